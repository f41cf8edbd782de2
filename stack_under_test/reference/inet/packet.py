"""An IPv4 datagram on its way in, as far as IP has read it, or out to the link (`struct sk_buff` with `IPCB`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .header_options import HeaderOptions
from .routing import Device, Kind, Route
from .truesize import Buffers

if TYPE_CHECKING:
    from ..sock import Sock


class Outgoing(NamedTuple):
    """A packet on its way to the link: its route, the socket whose it is, `part` of what that socket sends, its truesize."""

    octets: bytes
    route: Route
    sk: Sock | None
    part: object
    truesize: int


class Packet:
    """`octets` is the datagram, trimmed to its total length; its payload begins at `offset`.

    `kind` says whether it came to a unicast (LOCAL), broadcast or multicast address; UNICAST: it is not for us.
    """

    __slots__ = (
        "destination",
        "device",
        "fragment_size",
        "frame",
        "kind",
        "looped",
        "octets",
        "offset",
        "options",
        "origin",
        "protocol",
        "source",
        "to_host",
        "tos",
        "truesize",
        "ttl",
    )

    def __init__(
        self,
        octets: bytes,
        offset: int,
        source: bytes,
        destination: bytes,
        protocol: int,
        tos: int,
        ttl: int,
        device: Device,
        kind: Kind,
    ) -> None:
        self.octets = octets
        self.offset = offset
        self.source = source
        self.destination = destination
        self.protocol = protocol
        self.tos = tos
        self.ttl = ttl
        self.device = device
        self.kind = kind
        self.options: HeaderOptions | None = None
        self.looped = False
        """This host sent it; it is not judged again."""
        self.origin: object = None
        """What the sending transport wants the receiving one to see (`queue_xmit`)."""
        self.to_host = True
        """PACKET_HOST: it came to this host's hardware address, not to many."""
        self.frame = 0
        """The length of the Ethernet frame it came in, with what aligns it; 0 on TUN."""
        self.truesize = 0
        """What it costs a buffer; 0 until somebody asks (`cost`)."""
        self.fragment_size = 0
        """Largest fragment it was put together from (`frag_max_size`); 0: it came whole."""

    @classmethod
    def of_own(cls, octets: bytes, device: Device, kind: Kind) -> Packet:
        """A packet that this host sends, as one to send an ICMP error about."""
        return cls(octets, (octets[0] & 15) * 4, octets[12:16], octets[16:20], octets[9], octets[1], octets[8], device, kind)

    def cost(self, buffers: Buffers) -> int:
        """`skb->truesize`."""
        if not self.truesize:
            length = len(self.octets)
            self.truesize = buffers.sent(length) if self.looped else buffers.link(length, self.frame)
        return self.truesize
