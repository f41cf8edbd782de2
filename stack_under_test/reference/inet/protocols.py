"""What a transport protocol registers with the family: how sockets of it are made, and how its packets are taken.

`Protosw` is a row of `inetsw` (what socket() asks for), `Transport` an entry of `inet_protos` (what IP delivers to).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..net import Net
    from ..sock import Proto, ProtoOps, Sock
    from .packet import Packet

NewSock = Callable[["Net", int, int, int, "Proto"], "Sock"]
"""(net, family, type, protocol, proto): `Sock` or a subclass of it."""


class Protosw(NamedTuple):
    """`struct inet_protosw`."""

    type: int
    protocol: int
    proto: Proto
    ops: ProtoOps
    new: NewSock


class IcmpError(NamedTuple):
    """An ICMP error that arrived: `quoted` is what it quotes of the packet it is about, from that packet's IP header on.

    The quotation holds a whole IP header and at least eight octets behind it.  `info` is the next-hop MTU of
    "fragmentation needed", the pointer of a parameter problem, the gateway of a redirect.  `packet` is the error itself.
    `original` is how much of the quotation is the original datagram, where extensions follow it (RFC 4884; 0: unsaid).
    """

    type: int
    code: int
    info: int
    quoted: bytes
    packet: Packet
    original: int = 0

    @property
    def transport(self) -> int:
        """Where in `quoted` the transport header begins."""
        return (self.quoted[0] & 15) * 4


class Transport(NamedTuple):
    """`struct net_protocol`."""

    receive: Callable[[Net, Packet], None]
    error: Callable[[Net, IcmpError], None] | None = None


def register(net: Net, row: Protosw, transport: Transport) -> None:
    """`inet_register_protosw` and `inet_add_protocol`."""
    net.inetsw.append(row)
    net.protocols[row.protocol] = transport
