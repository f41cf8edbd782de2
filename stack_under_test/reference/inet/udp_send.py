"""UDP's send side (`udp_sendmsg`): where to, over which route, and what becomes of the octets.

Without corking a call is one datagram.  With UDP_CORK or MSG_MORE the first call fixes destination, route and size limit,
later ones append, whatever address they name; the first without MSG_MORE sends all as one datagram.

Packets leave at once, so the send buffer only ever holds what is corked or being made, and what waits for a neighbour.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from errno import EACCES, EAFNOSUPPORT, EAGAIN, EDESTADDRREQ, EINVAL, EMSGSIZE, ENOBUFS, EOPNOTSUPP, EPIPE
from typing import TYPE_CHECKING, NamedTuple

from ...contract import abi
from ...wire.checksum import internet_checksum
from ..errors import Fail, NotModelled
from ..release import Release
from ..sock import SEND_SHUTDOWN, State, deadline, interrupted, wait_on
from ..wait import Blocking, MayBlock, Wakeup
from . import icmp_send, output
from .control import Cookie, each, sent
from .errqueue import local_error
from .packet import Packet
from .routing import ANY, LO, Kind, Route, Scope, dst_mtu, is_multicast, mtu_locked, route_output, sk_route
from .sockaddr import SIZE, parse

if TYPE_CHECKING:
    from ..sock import Message
    from ..uaccess import IovIter
    from .udp import UdpSock

PROTOCOL = 17
UDP_HEADER = 8
MAX_SEGMENTS = 128
"""UDP_MAX_SEGMENTS."""
_HEADER = struct.Struct("!HHHH")


class Flow(NamedTuple):
    """The ends of what is being sent (`inet->cork.fl`)."""

    source: bytes
    destination: bytes
    dport: int


@dataclass(slots=True)
class Pending:
    """`struct inet_cork`: a datagram in the making, `mtu` as it was when it was begun.

    `last` is the length of its last fragment, header included; `charged` what its buffers cost so far, `counted` what of that
    the socket's send buffer holds while it is corked.
    """

    route: Route
    cookie: Cookie
    mtu: int
    header: int
    data: bytearray = field(default_factory=bytearray)
    length: int = 0
    last: int = 0
    charged: int = 0
    counted: int = 0
    confirm: bool = False


def sendmsg(sk: UdpSock, message: Message) -> MayBlock[int]:
    """`udp_sendmsg`: plain when it need not wait for room."""
    size = message.iter.count
    if size > 0xFFFF:
        raise Fail(EMSGSIZE, "udp_sendmsg: len > 0xffff")
    if message.flags & abi.MSG_OOB:
        raise Fail(EOPNOTSUPP, "udp_sendmsg: MSG_OOB")
    more = sk.cork or message.flags & abi.MSG_MORE != 0
    if sk.pending is not None:
        _append(sk, sk.pending, message, more)
        return size
    destination, dport, connected = _destination(sk, message)
    cookie = Cookie(sk.saddr, sk.bound_dev_if, segment=sk.gso_size)
    cookie.tos = sk.tos if sk.net.release.tos_when_begun else None
    if message.control:
        connected = not _read_control(message.control, cookie, sk.net.release) and connected
    if cookie.options is None:
        cookie.options = sk.header_options
    route, flow = _route(sk, message, cookie, destination, dport, connected)
    if message.flags & abi.MSG_PROBE:
        if message.flags & abi.MSG_CONFIRM and sk.net.neighbours is not None and not route.local:
            sk.net.neighbours.confirm(sk.net.neighbours.lookup(flow.destination))
        return 0 if message.flags & abi.MSG_CONFIRM and not size else size
    pending = _setup(sk, route, cookie)
    pending.confirm = message.flags & abi.MSG_CONFIRM != 0
    if more:
        sk.flow = Flow(flow.source, destination if destination != ANY else flow.destination, dport)
        sk.pending = pending
        _append(sk, pending, message, more)
        return size
    if _is_full(sk):
        return _when_there_is_room(sk, message, pending, flow)
    _take(sk, pending, flow, message.iter)
    _push(sk, pending, flow)
    return size


def _is_full(sk: UdpSock) -> bool:
    return sk.wmem_alloc - 1 >= sk.sndbuf


def _when_there_is_room(sk: UdpSock, message: Message, pending: Pending, flow: Flow) -> Blocking[int]:
    """`sock_wait_for_wmem`: the datagram is made when what waits for a neighbour has left room for it."""
    size = message.iter.count
    timeout = 0 if message.flags & abi.MSG_DONTWAIT else sk.sndtimeo
    _check_length(sk, pending, flow, size + UDP_HEADER)
    until = deadline(sk.net, timeout)
    while _is_full(sk):
        _check_sendable(sk)
        if timeout == 0 or (until is not None and sk.net.now >= until):
            raise Fail(EAGAIN, "sock_alloc_send_pskb: no room")
        if (yield from wait_on(sk, until)) is Wakeup.SIGNAL:
            raise interrupted(until)
    _take(sk, pending, flow, message.iter)
    _push(sk, pending, flow)
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


def _read_control(control: bytes, cookie: Cookie, release: Release) -> bool:
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
        sent(control, cookie, release)
    return others


def _route(
    sk: UdpSock, message: Message, cookie: Cookie, destination: bytes, dport: int, connected: bool
) -> tuple[Route, Flow]:
    """The route and the ends. Raises Fail(EACCES) for broadcast without leave.

    On a connected socket's kept route the ends are those last written to `sk.flow`, which is connect()'s doing unless a
    corked datagram went elsewhere since: then that is where an address-less send goes too.
    """
    scope = Scope.LINK if sk.dontroute or message.flags & abi.MSG_DONTROUTE else Scope.UNIVERSE
    source, oif = cookie.address, cookie.oif
    if is_multicast(destination):
        oif = oif or sk.mc_index
        source = sk.mc_addr if source == ANY else source
        connected = False
    else:
        oif = oif or sk.uc_index
        connected = connected and scope is Scope.UNIVERSE
        kept = sk_route(sk) if connected else None
        if kept is not None and sk.flow is not None:
            return kept, sk.flow
    route = route_output(sk.net, destination, source, oif, scope, sk.transparent)
    if route.kind is Kind.BROADCAST and not sk.broadcast:
        raise Fail(EACCES, "udp_sendmsg: broadcast")
    if connected:
        sk.route = route
    return route, Flow(route.source, route.destination, dport)


def _setup(sk: UdpSock, route: Route, cookie: Cookie) -> Pending:
    """`ip_setup_cork`, `ip_sk_use_pmtu`."""
    mtu = dst_mtu(sk.net, route) if sk.pmtudisc < abi.IP_PMTUDISC_PROBE else route.device.mtu
    header = 20 + (len(cookie.options.data) if cookie.options else 0)
    return Pending(route, cookie, mtu, header)


def _take(sk: UdpSock, pending: Pending, flow: Flow, source: IovIter) -> None:
    """`__ip_append_data`: is it too long, then buffer by buffer: room for it, and the octets into it."""
    size = source.count if pending.length else source.count + UDP_HEADER
    mtu = _check_length(sk, pending, flow, size)
    pending.length += size
    whole = (mtu - pending.header & ~7) + pending.header
    while size > 0:
        room = mtu - pending.last
        if room < size:
            room = whole - pending.last
        if pending.last and room > 0:
            octets = min(room, size)
            pending.charged += octets
            pending.last += octets
        else:
            gap = pending.last - whole if pending.last else 0
            here = size + gap
            if here > mtu - pending.header:
                here = whole - pending.header
            _allocate(sk, pending, here)
            pending.last = here + pending.header
            octets = here - gap
        header = UDP_HEADER if not pending.data and size == pending.length else 0
        pending.data += source.copy_from(octets - header)
        size -= octets


def _check_length(sk: UdpSock, pending: Pending, flow: Flow, size: int) -> int:
    """Whether `size` octets more are too many; the MTU that goes for the datagram."""
    mtu = 0xFFFF if pending.cookie.segment else pending.mtu
    if pending.length + size > (0xFFFF if _may_fragment(sk) else mtu) - pending.header:
        local_error(sk, EMSGSIZE, flow.destination, sk.dport, mtu - (pending.header - 20))
        raise Fail(EMSGSIZE, "__ip_append_data")
    return mtu


def _may_fragment(sk: UdpSock) -> bool:
    """`ip_sk_ignore_df`."""
    return sk.pmtudisc < abi.IP_PMTUDISC_DO or sk.pmtudisc == abi.IP_PMTUDISC_OMIT


def _allocate(sk: UdpSock, pending: Pending, size: int) -> None:
    """A buffer for one more fragment: the first may fail, the others need the charge within twice the send buffer."""
    if not pending.last:
        _check_sendable(sk)
        if _is_full(sk):
            raise NotModelled("a corked datagram that waits for room")
    elif sk.wmem_alloc + pending.charged - pending.counted > 2 * sk.sndbuf:
        raise Fail(ENOBUFS, "__ip_append_data: sndbuf")
    paged = size - 8 if pending.cookie.segment else 0
    pending.charged += sk.net.buffers.sent(size - paged + pending.header) + paged


def _check_sendable(sk: UdpSock) -> None:
    error = sk.take_error()
    if error:
        raise Fail(error, "sock_alloc_send_pskb: sock_error")
    if sk.shutdown & SEND_SHUTDOWN:
        raise Fail(EPIPE, "sock_alloc_send_pskb: SEND_SHUTDOWN")


def _append(sk: UdpSock, pending: Pending, message: Message, more: bool) -> None:
    """`ip_append_data` to what is corked; an error throws all of it away, MSG_PROBE only appends nothing."""
    if not message.flags & abi.MSG_PROBE:
        assert sk.flow is not None
        try:
            _take(sk, pending, sk.flow, message.iter)
        except Fail:
            discard(sk)
            raise
        sk.wmem_alloc += pending.charged - pending.counted
        pending.counted = pending.charged
    if not more:
        push_pending(sk)


def discard(sk: UdpSock) -> None:
    """`udp_flush_pending_frames`."""
    if sk.pending is not None:
        sk.wmem_alloc -= sk.pending.counted
        sk.pending = None


def push_pending(sk: UdpSock) -> None:
    """`udp_push_pending_frames`."""
    pending = sk.pending
    if pending is not None:
        assert sk.flow is not None
        discard(sk)
        _push(sk, pending, sk.flow)


def _push(sk: UdpSock, pending: Pending, flow: Flow) -> None:
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
                _send(sk, pending, flow, bytes(data[at : at + segment]))
            _left(sk)
            return
    _send(sk, pending, flow, bytes(data))
    _left(sk)


def _left(sk: UdpSock) -> None:
    """`sock_def_write_space`, as what has left is freed."""
    if sk.wmem_alloc * 2 <= sk.sndbuf:
        sk.write_space()


def _send(sk: UdpSock, pending: Pending, flow: Flow, data: bytes) -> None:
    """One datagram (RFC 768); DF as `__ip_make_skb` decides it."""
    net, route, cookie = sk.net, pending.route, pending.cookie
    if route.destination != flow.destination or route.source != flow.source:
        route = route._replace(destination=flow.destination, source=flow.source)
    size = 8 + len(data)
    check = 0
    if not sk.no_check:
        pseudo = int.from_bytes(route.source + route.destination, "big") + PROTOCOL + size
        check = internet_checksum(data, pseudo + sk.num + flow.dport + size) or 0xFFFF
    pmtudisc = sk.pmtudisc
    df = pmtudisc in (abi.IP_PMTUDISC_DO, abi.IP_PMTUDISC_PROBE) or (
        pmtudisc == abi.IP_PMTUDISC_WANT and pending.header + pending.length <= dst_mtu(net, route) and not mtu_locked(route)
    )
    if cookie.ttl:
        ttl = cookie.ttl
    elif route.kind is Kind.MULTICAST:
        ttl = sk.mc_ttl
    else:
        ttl = sk.uc_ttl if sk.uc_ttl >= 0 else net.sysctl.ip_default_ttl
    mtu = dst_mtu(net, route) if pmtudisc < abi.IP_PMTUDISC_PROBE else min(route.device.mtu, 0xFFFF)
    payload = _HEADER.pack(sk.num, flow.dport, size, check) + data
    try:
        output.send(
            net,
            route,
            PROTOCOL,
            payload,
            tos=sk.tos if cookie.tos is None else cookie.tos,
            ttl=ttl,
            df=df,
            mtu=mtu,
            options=cookie.options,
            loop=sk.mc_loop,
            ignore_df=_may_fragment(sk),
            sk=sk,
            confirm=pending.confirm,
        )
    except output.TooLong as too_long:
        kind = route.kind if route.kind in (Kind.BROADCAST, Kind.MULTICAST) else Kind.UNICAST
        about = Packet.of_own(too_long.octets, route.device, kind)
        icmp_send.send(net, about, 3, 4, too_long.mtu)
        raise
