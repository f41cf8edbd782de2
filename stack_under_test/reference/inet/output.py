"""IP output: a header in front of a transport's octets, fragments where needed, and out on the device or back in.

`queue_xmit` (a socket's segment, `ip_queue_xmit`) and `unicast_reply` (an answer without a socket,
`ip_send_unicast_reply`) are the fast paths of TCP.  `send` is the general way of everything else: `ip_append_data` and
`ip_push_pending_frames` with the choices they take from the socket given as arguments.

Identification values are a counter: they are no part of a comparison (RFC 6864 gives them no meaning in atomic datagrams).
"""

from __future__ import annotations

import struct
from errno import EHOSTUNREACH, EMSGSIZE
from typing import TYPE_CHECKING

from ...contract.abi import IP_PMTUDISC_DO, IP_PMTUDISC_PROBE, IP_PMTUDISC_WANT
from ..errors import Fail
from .header_options import HeaderOptions, build, for_later_fragments
from .packet import Outgoing
from .routing import Kind, Route, dst_mtu, flushed, mtu_locked, route_output, sk_lookup, sk_route

if TYPE_CHECKING:
    from ..net import Net
    from ..sock import Sock

DF = 0x4000
MF = 0x2000
_HEADER = struct.Struct("!BBHHHBBH4s4s")
_pack = _HEADER.pack
MSEC = 1_000_000


class TooLong(Fail):
    """`ip_fragment`: a packet with DF that does not fit; whoever sent it also tells itself so by ICMP."""

    def __init__(self, octets: bytes, mtu: int) -> None:
        super().__init__(EMSGSIZE, "ip_fragment")
        self.octets = octets
        self.mtu = mtu


def header(
    first: int, tos: int, total: int, ident: int, flags: int, ttl: int, protocol: int, ends: bytes, data: bytes
) -> bytes:
    """The header with its checksum (RFC 791, section 3.1); `ends` are source and destination, `data` the options."""
    total_sum = (first << 8) + tos + total + ident + flags + (ttl << 8) + protocol
    total_sum += int.from_bytes(ends + data, "big")
    check = 0xFFFF - (total_sum % 0xFFFF or 0xFFFF)
    return _pack(first, tos, total, ident, flags, ttl, protocol, check, ends[:4], ends[4:]) + data


def queue_xmit(sk: Sock, segment: bytes, origin: object = None, part: object = None) -> int:
    """`__ip_queue_xmit`: send a connected socket's segment, checksum and all done. Returns 0 or the errno;
    raises TooLong.

    `origin` is handed to the transport when the packet loops back: the sender's buffer, which both then share.  `part` is
    what of the socket's it is, should it have to wait (`Sock.holds`).
    """
    net = sk.net
    route = sk_route(sk)
    if route is None:
        try:
            route = sk_lookup(sk)
        except Fail:
            return EHOSTUNREACH
    pmtudisc = sk.pmtudisc
    flags = DF if pmtudisc == IP_PMTUDISC_DO or (pmtudisc == IP_PMTUDISC_WANT and not mtu_locked(route)) else 0
    net.ident = ident = net.ident + 1 & 0xFFFF
    ttl = sk.uc_ttl if sk.uc_ttl >= 0 else net.sysctl.ip_default_ttl
    if sk.header_options is not None:
        data = build(sk.header_options, route.source, net.now // MSEC)
    else:
        data = b""
    size = 20 + len(data) + len(segment)
    first = 0x45 + (len(data) >> 2)
    # RFC 1071: the sum of 16-bit words is the number modulo 0xFFFF, so fields of any width are summed as they are.
    total = (first << 8) + sk.tos + size + ident + flags + (ttl << 8) + sk.protocol
    total += int.from_bytes(sk.saddr + sk.daddr + data, "big")
    check = 0xFFFF - (total % 0xFFFF or 0xFFFF)
    octets = _pack(first, sk.tos, size, ident, flags, ttl, sk.protocol, check, sk.saddr, sk.daddr) + data + segment
    if size > route.device.mtu or route.exception is not None:
        mtu = dst_mtu(net, route) if pmtudisc < IP_PMTUDISC_PROBE else route.device.mtu
        if size > mtu and not flags:
            for fragment in fragments(octets, mtu):
                transmit(net, route, fragment, sk=sk, part=part)
            return 0
        if size > mtu:
            raise TooLong(octets, mtu)
    if route.local:
        net.backlog.append((octets, route, origin))
    elif net.neighbours is None:
        net.outbox.append(octets)
    else:
        net.neighbours.output(Outgoing(octets, route, sk, part, net.buffers.sent(size)), sk.confirms_neighbour())
    return 0


def unicast_reply(
    net: Net,
    saddr: bytes,
    daddr: bytes,
    segment: bytes,
    tos: int = 0,
    ttl: int = 0,
    options: HeaderOptions | None = None,
    oif: int = 0,
) -> None:
    """`ip_send_unicast_reply`: answer a packet no socket stands for (TCP's RST, the ACKs of SYN-RECV and TIME-WAIT).

    `options` are the answer's, already echoed (`header_options.echo`). Nothing is sent where there is no route.
    """
    try:
        route = route_output(net, daddr, saddr, oif)
    except Fail:
        return
    data = b"" if options is None else build(options, route.source, net.now // MSEC)
    first = 0x45 + (len(data) >> 2)
    size = 20 + len(data) + len(segment)
    octets = header(first, tos, size, 0, DF, ttl or net.sysctl.ip_default_ttl, 6, saddr + daddr, data) + segment
    transmit(net, route, octets)


def send(
    net: Net,
    route: Route,
    protocol: int,
    payload: bytes,
    *,
    tos: int = 0,
    ttl: int = 64,
    df: bool = False,
    mtu: int = 0,
    options: HeaderOptions | None = None,
    loop: bool = True,
    ignore_df: bool = True,
    sk: Sock | None = None,
    confirm: bool = False,
) -> None:
    """`ip_push_pending_frames`: one datagram, in fragments when it is longer than `mtu` (0: the path's).

    `ignore_df`: this host may fragment it though nobody else may (DF); otherwise TooLong is raised.  `loop`: multicasts
    are heard by this host too (IP_MULTICAST_LOOP).  `sk` pays for what has to wait for a neighbour; `confirm`: MSG_CONFIRM.
    """
    data = b"" if options is None else build(options, route.source, net.now // MSEC)
    net.ident = ident = net.ident + 1 & 0xFFFF
    size = 20 + len(data) + len(payload)
    if size > 0xFFFF:
        # Longer than its length field can say, as loopback's MTU allows: whoever receives it drops it.
        return
    ends = route.source + route.destination
    head = header(0x45 + (len(data) >> 2), tos, size, ident, DF if df else 0, ttl, protocol, ends, data)
    octets = head + payload
    mtu = mtu or dst_mtu(net, route)
    if size <= mtu:
        transmit(net, route, octets, loop, sk, confirm=confirm)
        return
    if df and not ignore_df:
        raise TooLong(octets, mtu)
    for fragment in fragments(octets, mtu):
        transmit(net, route, fragment, loop, sk, confirm=confirm)
        confirm = False


def fragments(octets: bytes, mtu: int) -> list[bytes]:
    """`ip_do_fragment` (RFC 791, section 3.2): pieces of a multiple of eight octets, options as each may carry them."""
    first, tos, _, ident, flags, ttl, protocol, _, source, destination = _HEADER.unpack_from(octets)
    header_length = (first & 15) * 4
    options = octets[20:header_length]
    room = mtu - header_length & ~7
    pieces = []
    at = header_length
    while at < len(octets):
        end = min(at + room, len(octets)) if len(octets) - at > mtu - header_length else len(octets)
        offset = at - header_length >> 3
        more = MF if end < len(octets) else 0
        size = header_length + end - at
        pieces.append(
            header(first, tos, size, ident, flags & DF | offset | more, ttl, protocol, source + destination, options)
            + octets[at:end]
        )
        if offset == 0 and options:
            options = for_later_fragments(options)
        at = end
    return pieces


def transmit(
    net: Net,
    route: Route,
    octets: bytes,
    loop: bool = True,
    sk: Sock | None = None,
    part: object = None,
    confirm: bool = False,
) -> None:
    """`dst_output`: to the link, back to this host, or both (`ip_mc_output`); nowhere without a device."""
    if flushed(route):
        return
    if route.kind in (Kind.LOCAL, Kind.UNICAST):
        if route.local:
            net.loop(octets, route)
        else:
            _to_link(net, route, octets, sk, part, confirm)
        return
    on_loopback = route.device.index == 1
    if route.local and not on_loopback and (route.kind is Kind.BROADCAST or loop):
        net.loop(octets, route)
    if on_loopback:
        net.loop(octets, route)
    elif octets[8] or not (route.kind is Kind.MULTICAST and route.local):
        _to_link(net, route, octets, sk, part, confirm)


def _to_link(net: Net, route: Route, octets: bytes, sk: Sock | None, part: object, confirm: bool) -> None:
    if net.neighbours is None:
        net.emit(octets)
    else:
        net.neighbours.output(Outgoing(octets, route, sk, part, net.buffers.sent(len(octets))), confirm)
