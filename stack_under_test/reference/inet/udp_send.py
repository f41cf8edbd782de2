"""UDP's send side (`udp_sendmsg`): where to, over which route, and what becomes of the octets.

Without corking a call is one datagram.  With UDP_CORK or MSG_MORE the first call fixes destination, route and size limit,
later ones append, whatever address they name; the first without MSG_MORE sends all as one datagram.

Packets leave at once, so the send buffer only ever holds what is corked or being made.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from errno import EACCES, EAFNOSUPPORT, EDESTADDRREQ, EINVAL, EMSGSIZE, ENOBUFS, EOPNOTSUPP, EPIPE
from typing import TYPE_CHECKING

from ...contract import abi
from ...wire.checksum import internet_checksum
from ..errors import Fail, NotModelled
from ..sock import SEND_SHUTDOWN, WAKE_WRITE, State
from . import output
from .control import Cookie, each, sent
from .errqueue import local_error
from .routing import ANY, LO, Kind, Route, Scope, dst_mtu, is_multicast, mtu_locked, route_output
from .sockaddr import SIZE, parse
from .truesize import sent_truesize

if TYPE_CHECKING:
    from ..sock import Message
    from .udp import UdpSock

PROTOCOL = 17
MAX_SEGMENTS = 128
"""UDP_MAX_SEGMENTS."""
_HEADER = struct.Struct("!HHHH")


@dataclass(slots=True)
class Pending:
    """`struct inet_cork`: a datagram in the making. `limit` is the largest IP packet it may become."""

    route: Route
    dport: int
    cookie: Cookie
    mtu: int
    limit: int
    header: int
    data: bytearray = field(default_factory=bytearray)
    length: int = 8
    charged: int = 0


def sendmsg(sk: UdpSock, message: Message) -> int:
    """`udp_sendmsg`."""
    size = message.iter.count
    if size > 0xFFFF:
        raise Fail(EMSGSIZE, "udp_sendmsg: len > 0xffff")
    if message.flags & abi.MSG_OOB:
        raise Fail(EOPNOTSUPP, "udp_sendmsg: MSG_OOB")
    more = sk.cork or message.flags & abi.MSG_MORE != 0
    if sk.pending is not None:
        _append(sk, sk.pending, message, size, more)
        return size
    destination, dport, connected = _destination(sk, message)
    cookie = Cookie(sk.saddr, sk.bound_dev_if, segment=sk.gso_size)
    if message.control:
        connected = not _read_control(message.control, cookie) and connected
    if cookie.options is None:
        cookie.options = sk.header_options
    route = _route(sk, message, cookie, destination, connected)
    if message.flags & abi.MSG_CONFIRM and message.flags & abi.MSG_PROBE and not size:
        return 0
    if message.flags & abi.MSG_PROBE:
        return size
    pending = _setup(sk, route, dport, cookie)
    if more:
        sk.pending = pending
        _append(sk, pending, message, size, more)
        return size
    _charge(sk, pending, size)
    pending.data = bytearray(message.iter.copy_from(size))
    _push(sk, pending)
    return size


def _destination(sk: UdpSock, message: Message) -> tuple[bytes, int, bool]:
    """Address, port, and whether they are the connected ones. The address wins over the connection."""
    if message.name is None:
        if sk.state != State.ESTABLISHED:
            raise Fail(EDESTADDRREQ, "udp_sendmsg: not connected")
        return sk.daddr, sk.dport, True
    if len(message.name) < SIZE:
        raise Fail(EINVAL, "udp_sendmsg: namelen")
    to = parse(message.name)
    if to.family not in (abi.AF_INET, abi.AF_UNSPEC):
        raise Fail(EAFNOSUPPORT, "udp_sendmsg: family")
    if not to.port:
        raise Fail(EINVAL, "udp_sendmsg: port 0")
    return to.address, to.port, False


def _read_control(control: bytes, cookie: Cookie) -> bool:
    """`udp_cmsg_send`, then IP's. True when there was anything for IP."""
    others = False
    for level, kind, data in each(control):
        if level != abi.SOL_UDP:
            others = True
        elif kind != abi.UDP_SEGMENT or len(data) != 2:
            raise Fail(EINVAL, "__udp_cmsg_send")
        else:
            cookie.segment = int.from_bytes(data, "little")
    if others:
        sent(control, cookie)
    return others


def _route(sk: UdpSock, message: Message, cookie: Cookie, destination: bytes, connected: bool) -> Route:
    """The route, from the connection where nothing differs from it. Raises Fail(EACCES) for broadcast without leave."""
    scope = Scope.LINK if sk.dontroute or message.flags & abi.MSG_DONTROUTE else Scope.UNIVERSE
    source, oif = cookie.address, cookie.oif
    if is_multicast(destination):
        oif = oif or sk.mc_index
        source = sk.mc_addr if source == ANY else source
    else:
        oif = oif or sk.uc_index
        if connected and scope is Scope.UNIVERSE and sk.route is not None:
            return sk.route
    route = route_output(sk.net, destination, source, oif, scope, sk.transparent)
    if route.kind is Kind.BROADCAST and not sk.broadcast:
        raise Fail(EACCES, "udp_sendmsg: broadcast")
    if connected:
        sk.route = route
    return route


def _setup(sk: UdpSock, route: Route, dport: int, cookie: Cookie) -> Pending:
    """`ip_setup_cork`: what bounds the datagram (`ip_sk_use_pmtu`, `ip_sk_ignore_df`)."""
    mtu = dst_mtu(sk.net, route) if sk.pmtudisc < abi.IP_PMTUDISC_PROBE else min(route.device.mtu, 0xFFFF)
    fragments = sk.pmtudisc < abi.IP_PMTUDISC_DO or sk.pmtudisc == abi.IP_PMTUDISC_OMIT
    limit = 0xFFFF if fragments or cookie.segment else mtu
    header = 20 + (len(cookie.options.data) if cookie.options else 0)
    return Pending(route, dport, cookie, mtu, limit, header)


def _charge(sk: UdpSock, pending: Pending, size: int) -> None:
    """`__ip_append_data` up to the copying: too long, then what waits on the socket, then room for the buffers."""
    if pending.length + size > pending.limit - pending.header:
        info = pending.mtu - (pending.header - 20)
        local_error(sk, EMSGSIZE, pending.route.destination, sk.dport, info)
        raise Fail(EMSGSIZE, "__ip_append_data")
    total = pending.header + pending.length + size
    if not pending.charged:
        error = sk.take_error()
        if error:
            raise Fail(error, "sock_alloc_send_pskb: sock_error")
        if sk.shutdown & SEND_SHUTDOWN:
            raise Fail(EPIPE, "sock_alloc_send_pskb: SEND_SHUTDOWN")
    _allocate(sk, pending, total)


def _allocate(sk: UdpSock, pending: Pending, total: int) -> None:
    """Each fragment but the first needs the buffers so far to be within twice the send buffer."""
    piece = (pending.mtu - pending.header & ~7) + pending.header
    before = pending.charged
    charged = 0
    left = total
    while left > 0:
        if charged and not before and 1 + charged > 2 * sk.sndbuf:
            raise Fail(ENOBUFS, "__ip_append_data: sndbuf")
        here = left if left <= pending.mtu or pending.cookie.segment else piece
        charged += sent_truesize(here)
        left -= here - (pending.header if left > here else 0)
    pending.charged = charged


def _append(sk: UdpSock, pending: Pending, message: Message, size: int, more: bool) -> None:
    """`ip_append_data` to what is corked; an error throws all of it away, MSG_PROBE only appends nothing."""
    if not message.flags & abi.MSG_PROBE:
        try:
            _charge(sk, pending, size)
            pending.data += message.iter.copy_from(size)
        except Fail:
            _discard(sk)
            raise
        pending.length += size
        sk.wmem_alloc = 1 + pending.charged
    if not more:
        push_pending(sk)


def _discard(sk: UdpSock) -> None:
    """`udp_flush_pending_frames`."""
    sk.pending = None
    sk.wmem_alloc = 1


def push_pending(sk: UdpSock) -> None:
    """`udp_push_pending_frames`."""
    pending = sk.pending
    if pending is not None:
        _discard(sk)
        _push(sk, pending)


def _push(sk: UdpSock, pending: Pending) -> None:
    """`udp_send_skb`: header, checksum, and out; in segments of their own where UDP_SEGMENT asks."""
    data = pending.data
    segment = pending.cookie.segment
    if segment:
        if pending.header + 8 + min(len(data), segment) > pending.mtu:
            raise Fail(EMSGSIZE, "udp_send_skb: segment > mtu")
        if len(data) > segment * MAX_SEGMENTS or sk.no_check:
            raise Fail(EINVAL, "udp_send_skb: segments")
        if len(data) > segment:
            if pending.route.device is LO:
                raise NotModelled("UDP_SEGMENT over loopback")
            for at in range(0, len(data), segment):
                _send(sk, pending, bytes(data[at : at + segment]))
            sk.wake(WAKE_WRITE)
            return
    _send(sk, pending, bytes(data))
    sk.wake(WAKE_WRITE)


def _send(sk: UdpSock, pending: Pending, data: bytes) -> None:
    """One datagram (RFC 768); DF as `__ip_make_skb` decides it."""
    net, route, cookie = sk.net, pending.route, pending.cookie
    size = 8 + len(data)
    check = 0
    if not sk.no_check:
        pseudo = int.from_bytes(route.source + route.destination, "big") + PROTOCOL + size
        check = internet_checksum(data, pseudo + sk.num + pending.dport + size) or 0xFFFF
    pmtudisc = sk.pmtudisc
    df = pmtudisc in (abi.IP_PMTUDISC_DO, abi.IP_PMTUDISC_PROBE) or (
        pmtudisc == abi.IP_PMTUDISC_WANT
        and pending.header + size <= dst_mtu(net, route)
        and not mtu_locked(net, route.destination)
    )
    if cookie.ttl:
        ttl = cookie.ttl
    elif route.kind is Kind.MULTICAST:
        ttl = sk.mc_ttl
    else:
        ttl = sk.uc_ttl if sk.uc_ttl >= 0 else net.sysctl.ip_default_ttl
    output.send(
        net,
        route,
        PROTOCOL,
        _HEADER.pack(sk.num, pending.dport, size, check) + data,
        tos=sk.tos if cookie.tos is None else cookie.tos,
        ttl=ttl,
        df=df,
        mtu=dst_mtu(net, route) if pmtudisc < abi.IP_PMTUDISC_PROBE else route.device.mtu,
        options=cookie.options,
        loop=sk.mc_loop,
    )


