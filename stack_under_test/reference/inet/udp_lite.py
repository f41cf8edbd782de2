"""UDP-Lite (RFC 3828) as far as a host without a socket of it goes: a datagram for a closed port is told so.

Its length field says how much the checksum covers; a checksum is mandatory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...wire.checksum import verifies
from . import icmp_send
from .routing import Kind

if TYPE_CHECKING:
    from ..net import Net
    from .packet import Packet

PROTOCOL = 136
_HEADER = 8


def receive(net: Net, packet: Packet) -> None:
    """`__udp4_lib_rcv`, `udplite_checksum_init` (RFC 3828, section 3.1)."""
    datagram = packet.octets[packet.offset :]
    size = len(datagram)
    if size < _HEADER or packet.kind is not Kind.LOCAL:
        return
    covered = int.from_bytes(datagram[4:6], "big") or size
    if not _HEADER <= covered <= size or datagram[6:8] == b"\0\0":
        return
    pseudo = int.from_bytes(packet.source + packet.destination, "big") + PROTOCOL + size
    if verifies(datagram[:covered], pseudo):
        icmp_send.send(net, packet, 3, 3)
