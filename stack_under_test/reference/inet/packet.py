"""An IPv4 datagram on its way in, as far as IP has read it (`struct sk_buff` with `IPCB`)."""

from __future__ import annotations

from .header_options import HeaderOptions
from .routing import Device, Kind
from .truesize import link_truesize, sent_truesize


class Packet:
    """`octets` is the datagram, trimmed to its total length; its payload begins at `offset`.

    `kind` says whether it came to a unicast (LOCAL), broadcast or multicast address; UNICAST: it is not for us.
    """

    __slots__ = (
        "destination",
        "device",
        "fragment_size",
        "kind",
        "looped",
        "octets",
        "offset",
        "options",
        "origin",
        "protocol",
        "source",
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
        self.truesize = 0
        """What it costs a buffer; 0 until somebody asks (`cost`)."""
        self.fragment_size = 0
        """Largest fragment it was put together from (`frag_max_size`); 0: it came whole."""

    def cost(self) -> int:
        """`skb->truesize`."""
        if not self.truesize:
            self.truesize = sent_truesize(len(self.octets)) if self.looped else link_truesize(len(self.octets))
        return self.truesize
