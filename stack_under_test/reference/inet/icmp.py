"""ICMP input (RFC 792; RFC 1122, 3.2.2; `icmp_rcv`): questions are answered, errors go to the transport they are about.

An error is believed as far as the transport believes it: this module checks that the quotation is long enough, the
transport that it stands for something it sent.
"""

from __future__ import annotations

from errno import (
    ECONNREFUSED,
    EHOSTDOWN,
    EHOSTUNREACH,
    EMSGSIZE,
    ENETUNREACH,
    ENONET,
    ENOPROTOOPT,
    EOPNOTSUPP,
)
from typing import TYPE_CHECKING, NamedTuple

from ...wire import icmp as wire
from ...wire.checksum import internet_checksum, verifies
from ..errors import Fail
from . import output
from .header_options import echo
from .icmp_send import HIGHEST_TYPE
from .input import MSEC, spec_destination
from .packet import Packet
from .protocols import IcmpError
from .routing import Kind, route_output

if TYPE_CHECKING:
    from ..net import Net

PROTOCOL = 1
MAX_UNREACHABLE = 15
"""NR_ICMP_UNREACH."""
_RAW = 255


class Meaning(NamedTuple):
    """`struct icmp_err`: the errno a destination unreachable stands for, and whether it ends a connection."""

    errno: int
    fatal: bool


UNREACHABLE = (
    Meaning(ENETUNREACH, False),
    Meaning(EHOSTUNREACH, False),
    Meaning(ENOPROTOOPT, True),
    Meaning(ECONNREFUSED, True),
    Meaning(EMSGSIZE, False),
    Meaning(EOPNOTSUPP, False),
    Meaning(ENETUNREACH, True),
    Meaning(EHOSTDOWN, True),
    Meaning(ENONET, True),
    Meaning(ENETUNREACH, True),
    Meaning(EHOSTUNREACH, True),
    Meaning(ENETUNREACH, False),
    Meaning(EHOSTUNREACH, False),
    Meaning(EHOSTUNREACH, True),
    Meaning(EHOSTUNREACH, True),
    Meaning(EHOSTUNREACH, True),
)
"""`icmp_err_convert`, by code (RFC 1122, 4.2.3.9 and 3.2.2.1)."""


def receive(net: Net, packet: Packet) -> None:
    """`icmp_rcv`."""
    message = packet.octets[packet.offset :]
    if len(message) < 8 or not verifies(message):
        return
    kind = message[0]
    if kind > HIGHEST_TYPE:
        return
    if packet.kind is not Kind.LOCAL:
        # RFC 1122, 3.2.2.6 and 3.2.2.8: a question to many may be ignored, and nothing else may be asked of many.
        asks = kind in (wire.ECHO_REQUEST, wire.TIMESTAMP_REQUEST)
        if not asks or net.sysctl.icmp_echo_ignore_broadcasts:
            return
    handler = _HANDLERS.get(kind)
    if handler is not None:
        handler(net, packet, message)


def _echo(net: Net, packet: Packet, message: bytes) -> None:
    """`icmp_echo` (RFC 1122, 3.2.2.6): the same octets back, the type changed."""
    if not net.sysctl.icmp_echo_ignore_all:
        _reply(net, packet, wire.ECHO_REPLY, message[1], message[4:])


def _timestamp(net: Net, packet: Packet, message: bytes) -> None:
    """`icmp_timestamp` (RFC 792): received and sent in the same millisecond of the day."""
    if len(message) < 12:
        return
    now = (net.now // MSEC % (24 * 3600 * 1000)).to_bytes(4, "big")
    _reply(net, packet, wire.TIMESTAMP_REPLY, 0, message[4:12] + now + now)


def _reply(net: Net, packet: Packet, kind: int, code: int, rest: bytes) -> None:
    """`icmp_reply`: to the source, from the address it was sent to, with its TOS and its options."""
    try:
        options = echo(packet.options)
        route = route_output(net, packet.source, spec_destination(packet))
    except (Fail, ValueError):
        return
    if len(rest) + 4 > 0xFFFF - 20 - (len(options.data) if options else 0):
        return
    check = internet_checksum(rest, (kind << 8) + code)
    if check == 0xFFFF and net.release.sums_all_ones:
        # `icmp_push_reply` starts its sum over the data at ~0: a message of zeros alone gets 0 (x86).
        check = 0
    message = bytes((kind, code)) + check.to_bytes(2, "big") + rest
    output.send(net, route, PROTOCOL, message, tos=packet.tos, ttl=net.sysctl.ip_default_ttl, options=options)


def _unreachable(net: Net, packet: Packet, message: bytes) -> None:
    """`icmp_unreach`: unreachable, source quench, time exceeded, parameter problem."""
    quoted = message[8:]
    if len(quoted) < 20 or quoted[0] & 15 < 5:
        return
    kind, code = message[0], message[1]
    info = 0
    if kind == wire.DESTINATION_UNREACHABLE:
        if code > MAX_UNREACHABLE:
            return
        if code == wire.FRAGMENTATION_NEEDED:
            if net.sysctl.ip_no_pmtu_disc >= 2:
                return
            if not net.sysctl.ip_no_pmtu_disc:
                info = int.from_bytes(message[6:8], "big")
    elif kind == wire.PARAMETER_PROBLEM:
        info = message[4]
    elif kind == wire.TIME_EXCEEDED and code == wire.REASSEMBLY_TIME_EXCEEDED:
        return
    _deliver(net, packet, message, info)


def _redirect(net: Net, packet: Packet, message: bytes) -> None:
    """`icmp_redirect`; no route here has a gateway, so a transport has nothing to redirect."""
    if len(message) >= 28:
        _deliver(net, packet, message, int.from_bytes(message[4:8], "big"))


def _deliver(net: Net, packet: Packet, message: bytes, info: int) -> None:
    """`icmp_socket_deliver`: the quotation holds the IP header and eight octets of the transport's (RFC 792)."""
    quoted = message[8:]
    if len(quoted) < (quoted[0] & 15) * 4 + 8 or quoted[9] == _RAW:
        return
    transport = net.protocols.get(quoted[9])
    if transport is not None and transport.error is not None:
        transport.error(net, IcmpError(message[0], message[1], info, quoted, packet, message[5] * 4))


_HANDLERS = {
    wire.DESTINATION_UNREACHABLE: _unreachable,
    wire.SOURCE_QUENCH: _unreachable,
    wire.REDIRECT: _redirect,
    wire.ECHO_REQUEST: _echo,
    wire.TIME_EXCEEDED: _unreachable,
    wire.PARAMETER_PROBLEM: _unreachable,
    wire.TIMESTAMP_REQUEST: _timestamp,
}


def ignore(net: Net, packet: Packet) -> None:
    """A protocol the kernel takes without answering (IGMP, PIM without groups or routers)."""
