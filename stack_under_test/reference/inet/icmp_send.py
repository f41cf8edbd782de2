"""Sending ICMP errors (RFC 792; RFC 1122, 3.2.2; `__icmp_send`).

None is sent about an ICMP error, a broadcast or multicast, or a fragment other than the first.  It quotes as much of the
packet as keeps the whole within 576 octets (RFC 1812, 4.3.2.3), and echoes the packet's options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...wire.checksum import internet_checksum
from ..errors import Fail
from . import output
from .header_options import echo
from .packet import Packet
from .routing import ANY, Kind, dst_mtu, route_output

if TYPE_CHECKING:
    from ..net import Net

PROTOCOL = 1
LIMIT = 576
HIGHEST_TYPE = 18
ERRORS = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12))
"""`icmp_pointers[].error`: with the errors proper, whatever Linux does not know better."""
_INTERNETWORK_CONTROL = 0xC0


def send(net: Net, packet: Packet, kind: int, code: int, info: int = 0) -> None:
    """`icmp_send`: tell the source of `packet`; `info` are the header's octets 4 to 7."""
    octets = packet.octets
    if not packet.to_host or packet.kind in (Kind.BROADCAST, Kind.MULTICAST) or octets[6] & 0x1F or octets[7]:
        return
    if packet.protocol == PROTOCOL:
        inner = octets[packet.offset : packet.offset + 1]
        if not inner or inner[0] > HIGHEST_TYPE or inner[0] in ERRORS:
            return
    try:
        options = echo(packet.options)
        route = route_output(net, packet.source, packet.destination if packet.kind is Kind.LOCAL else ANY)
    except (Fail, ValueError):
        return
    room = min(dst_mtu(net, route), LIMIT) - 28 - (len(options.data) if options else 0)
    if room <= 20:
        return
    body = info.to_bytes(4, "big") + octets[:room]
    check = internet_checksum(body, (kind << 8) + code)
    message = bytes((kind, code)) + check.to_bytes(2, "big") + body
    tos = packet.tos & 0x1E | _INTERNETWORK_CONTROL
    output.send(net, route, PROTOCOL, message, tos=tos, ttl=net.sysctl.ip_default_ttl, options=options)
