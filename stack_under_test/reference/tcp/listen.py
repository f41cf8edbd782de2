"""Listening: connection requests (the SYN queue), and the children they become (the accept queue).

(`tcp_conn_request`, `tcp_check_req`, `tcp_create_openreq_child`, `inet_csk_listen_stop`.)  Syncookies and Fast Open are
not modelled: a listener whose queue is full drops, as with tcp_syncookies 0.
"""

from __future__ import annotations

from ...contract import abi
from ..errors import Fail, NotModelled
from ..inet.header_options import HeaderOptions, echo
from ..inet.routing import route_output
from ..net import MSEC, SEC, Net
from ..sock import SOCK_RCVBUF_LOCK, State
from ..timers import PINNED
from . import options, reply, rtt, window
from .ack import ts_acceptable
from .established import keepalive_time
from .output import header, sync_mss
from .path import advmss, mtu, request_xmit
from .segment import ACK, CWR, ECE, RST, SYN, Segment
from .seq import MASK, after
from .sock import MSS_DEFAULT, TIMEOUT_INIT, TcpSock
from .timewait import _in_window as in_window


class Request:
    """`struct tcp_request_sock`: a SYN answered, no connection yet."""

    state = State.NEW_SYN_RECV

    def __init__(self, listener: TcpSock, segment: Segment, isn: int) -> None:
        self.net: Net = listener.net
        self.armed: dict[str, tuple[int, int]] = {}
        self.listener = listener
        self.bound_dev_if = listener.bound_dev_if
        self.key = (segment.daddr, segment.dport, segment.saddr, segment.sport)
        self.rcv_isn = segment.seq
        self.rcv_nxt = (segment.seq + 1) & MASK
        self.snt_isn = isn
        self.tos = segment.tos
        self.num_retrans = 0
        self.num_timeout = 0
        self.acked = False
        self.snt_synack_us = 0
        self.ts_first = 0
        self.ts_last = 0
        self.tsoffset = 0
        self.rcv_wnd = 0
        self.window_clamp = 0
        self.rcv_wscale = 0
        self.header_options = _saved_options(segment)
        self._read_options(listener, segment)

    def _read_options(self, listener: TcpSock, segment: Segment) -> None:
        """`tcp_parse_options` into `tcp_openreq_init`."""
        sysctl = self.net.sysctl
        found = options.unestablished(segment.options, True, sysctl)
        self.mss = MSS_DEFAULT
        if found.mss:
            self.mss = min(found.mss, listener.user_mss) if listener.user_mss else found.mss
        self.wscale_ok = found.wscale is not None
        self.snd_wscale = found.wscale or 0
        self.sack_ok = found.sack_ok
        self.tstamp_ok = found.ts_val is not None
        self.ts_recent = found.ts_val or 0
        ecn = segment.flags & (ECE | CWR) == ECE | CWR
        self.ecn_ok = bool(ecn and sysctl.tcp_ecn and (not segment.tos & 3 or segment.reserved))

    def tsval(self) -> int:
        return (self.net.now // MSEC + self.tsoffset) & MASK

    def expired(self, kind: str) -> None:
        """`reqsk_timer_handler`: send the SYN-ACK again, or forget the peer."""
        if self.listener.state is not State.LISTEN:
            self.drop()
            return
        sysctl = self.net.sysctl
        retries = self.listener.syn_retries or sysctl.tcp_synack_retries
        defer = self.listener.defer_accept
        expire = self.num_timeout >= retries and (not self.acked or self.num_timeout >= defer)
        resend = not self.acked or self.num_timeout >= defer - 1 or not defer
        if expire or self.listener.state is not State.LISTEN:
            self.drop()
            return
        if resend:
            send_synack(self)
            self.num_retrans += 1
        self.num_timeout += 1
        self.arm_timer()

    def arm_timer(self) -> None:
        delay = min(TIMEOUT_INIT << self.num_timeout, 120 * SEC)
        self.net.timers.arm(self, "synack", self.net.timer(delay), PINNED)

    def drop(self) -> None:
        """`inet_csk_reqsk_queue_drop`."""
        self.net.timers.cancel(self, "synack")
        self.net.tcp.remove(self.key)
        if self in self.listener.syn_queue:
            self.listener.syn_queue.remove(self)


def _saved_options(segment: Segment) -> HeaderOptions | None:
    """`tcp_v4_save_options`."""
    try:
        return echo(segment.ip_options)
    except ValueError:
        return None


def conn_request(sk: TcpSock, segment: Segment, isn: int = 0) -> None:
    """`tcp_conn_request`: a SYN for a listener."""
    net = sk.net
    if not isn and len(sk.syn_queue) > sk.max_ack_backlog:
        if net.sysctl.tcp_syncookies:
            raise NotModelled("syncookies")
        return
    if len(sk.accept_queue) > sk.max_ack_backlog:
        return
    request = Request(sk, segment, isn)
    try:
        route = route_output(net, segment.saddr, segment.daddr, sk.bound_dev_if)
    except Fail:
        return
    if not isn:
        limit = net.sysctl.tcp_max_syn_backlog
        if not net.sysctl.tcp_syncookies and limit - len(sk.syn_queue) < limit >> 2:
            return
        request.snt_isn = net.rng.u32()
    if request.tstamp_ok:
        request.tsoffset = net.rng.u32()
    _openreq_rwin(sk, request, advmss(net, route))
    sk.syn_queue.append(request)
    net.tcp.add(request.key, request)
    request.arm_timer()
    if sk.save_syn:
        raise NotModelled("TCP_SAVE_SYN")
    send_synack(request)


def _openreq_rwin(sk: TcpSock, request: Request, mss: int) -> None:
    """`tcp_openreq_init_rwin`."""
    mss = _mss_clamp(sk, mss)
    clamp = sk.window_clamp
    full = window.full_space(sk)
    if sk.userlocks & SOCK_RCVBUF_LOCK and (clamp > full or clamp == 0):
        clamp = full
    taken = mss - (options.TIMESTAMP_ALIGNED if request.tstamp_ok else 0)
    request.rcv_wnd, request.window_clamp, request.rcv_wscale = window.initial(sk, taken, clamp, request.wscale_ok)


def _mss_clamp(sk: TcpSock, mss: int) -> int:
    """`tcp_mss_clamp`."""
    return min(sk.user_mss, mss) if sk.user_mss else mss


def send_synack(request: Request) -> None:
    """`tcp_v4_send_synack` with `tcp_make_synack`."""
    net = request.net
    ts = None
    if request.tstamp_ok:
        value = request.tsval()
        if not request.ts_first:
            value = value or MASK
            request.ts_first = value
        request.ts_last = value
        ts = (value, request.ts_recent)
    wscale = request.rcv_wscale if request.wscale_ok else None
    local, port, peer, peer_port = request.key
    route = route_output(net, peer, local, request.bound_dev_if)
    opts = options.opening(_mss_clamp(request.listener, advmss(net, route)), wscale, request.sack_ok, ts)
    flags = SYN | ACK | (ECE if request.ecn_ok else 0)
    octets = header(
        (port, peer_port), request.snt_isn, request.rcv_nxt, flags, min(request.rcv_wnd, 65535), opts, ends=(local, peer)
    )
    request.snt_synack_us = request.snt_synack_us or net.now // 1000
    request_xmit(request.listener, route, octets, request.header_options)


def check_req(request: Request, segment: Segment) -> TcpSock | None:
    """`tcp_check_req`: the listener itself when it must answer (a bad ACK), a new child, or None when dealt with."""
    sk = request.listener
    flg = segment.flags & (RST | SYN | ACK)
    found = options.unestablished(segment.options, bool(segment.flags & SYN), request.net.sysctl)
    paws_reject = tsecr_reject = False
    if found.ts_val is not None:
        if found.ts_ecr and request.tstamp_ok and request.net.release.checks_echo:
            tsecr_reject = (found.ts_ecr - request.ts_first) & MASK > (request.ts_last - request.ts_first) & MASK
        paws_reject = _paws_reject(request, found.ts_val, bool(segment.flags & RST))
    if segment.seq == request.rcv_isn and flg == SYN and not paws_reject:
        send_synack(request)
        request.num_retrans += 1
        request.arm_timer()
        return None
    if flg & ACK and not flg & RST and segment.ack != (request.snt_isn + 1) & MASK:
        return sk
    if paws_reject or tsecr_reject or not in_window(segment, request.rcv_nxt, _synack_window(request)):
        if not flg & RST:
            _request_ack(request, segment)
        return None
    if segment.seq == request.rcv_isn:
        flg &= ~SYN
    if flg & RST and segment.seq != request.rcv_nxt:
        _request_ack(request, segment)
        return None
    if flg & (RST | SYN):
        if not flg & RST:
            reply.reset(request.net, segment, sk.bound_dev_if)
        request.drop()
        return None
    if not flg & ACK:
        return None
    if request.num_timeout < sk.defer_accept and segment.end_seq == (request.rcv_isn + 1) & MASK:
        request.acked = True
        return None
    return _complete(sk, request, segment, found)


def _paws_reject(request: Request, value: int, rst: bool) -> bool:
    """`tcp_paws_reject` against the SYN's timestamp."""
    stamp = request.net.now - min(TIMEOUT_INIT << request.num_timeout, 120 * SEC)
    if ts_acceptable(request.ts_recent, stamp, value, request.net.now, 0):
        return False
    return not (rst and request.net.now >= stamp + 60 * SEC)


def _synack_window(request: Request) -> int:
    """`tcp_synack_window`."""
    return min(request.rcv_wnd, 65535)


def _request_ack(request: Request, segment: Segment) -> None:
    """`tcp_v4_reqsk_send_ack`."""
    win = _synack_window(request) >> request.rcv_wscale
    stamps = (request.tsval(), request.ts_recent)
    reply.ack(request.net, segment, request.snt_isn + 1, request.rcv_nxt, win, stamps, segment.tos & ~3)


def _complete(sk: TcpSock, request: Request, segment: Segment, found: options.Received) -> TcpSock | None:
    """The three-way handshake is done: make the child, unless the accept queue is full."""
    net = sk.net
    if len(sk.accept_queue) > sk.max_ack_backlog:
        if not net.sysctl.tcp_abort_on_overflow:
            request.acked = True
            return None
        reply.reset(net, segment, sk.bound_dev_if)
        request.drop()
        return None
    child = create_child(sk, request, segment)
    if found.ts_val is not None and not after(segment.seq, request.rcv_nxt):
        child.ts_recent = found.ts_val
    if not request.num_retrans:
        sample = net.now // 1000 - request.snt_synack_us
        rtt.update(child, sample, -1, sample, True, False)
    request.drop()
    net.tcp.add(request.key, child)
    child.in_table = request.key
    net.tcp_ports.share(child, sk)
    child.listener = sk
    sk.accept_queue.append(child)
    sk.ack_backlog = len(sk.accept_queue)
    return child


def create_child(sk: TcpSock, request: Request, segment: Segment) -> TcpSock:
    """`tcp_v4_syn_recv_sock`, `tcp_create_openreq_child`: the listener's options, the request's numbers."""
    child = TcpSock(sk.net, sk.family, sk.type, sk.protocol, sk.proto)
    for name in INHERITED:
        setattr(child, name, getattr(sk, name))
    child.options = {name: value for name, value in sk.options.items() if name not in OF_THE_SOCKET}
    local, port, peer, peer_port = request.key
    child.saddr = child.rcv_saddr = local
    child.daddr, child.num, child.dport = peer, port, peer_port
    child.sport = port
    child.userlocks &= ~8
    child.state = State.SYN_RECV
    child.header_options = request.header_options
    child.bound_dev_if = request.bound_dev_if
    child.route = route_output(sk.net, peer, local, child.bound_dev_if)
    isn = request.snt_isn
    child.rcv_wup = child.copied_seq = child.rcv_nxt = request.rcv_nxt
    child.snd_sml = child.snd_una = child.snd_nxt = child.snd_up = (isn + 1) & MASK
    child.snd_wl1 = request.rcv_isn
    child.write_seq = child.pushed_seq = (isn + 1) & MASK
    child.retrans_stamp = 0
    child.ack_pending = 0
    child.lsndtime = child.lrcvtime = sk.net.now
    child.mc_ttl = segment.ttl
    child.mc_index = segment.dif
    child.rcv_wnd = child.rcv_ssthresh = request.rcv_wnd
    child.window_clamp = request.window_clamp
    child.tstamp_ok, child.sack_ok, child.wscale_ok = request.tstamp_ok, request.sack_ok, request.wscale_ok
    child.snd_wscale = request.snd_wscale
    child.rcv_wscale = request.rcv_wscale
    child.ecn_ok = request.ecn_ok
    if not request.wscale_ok:
        child.snd_wscale = child.rcv_wscale = 0
        child.window_clamp = min(child.window_clamp, 65535)
    child.snd_wnd = child.max_window = segment.window << child.snd_wscale
    if request.tstamp_ok:
        child.ts_recent = request.ts_recent
        child.ts_recent_stamp = sk.net.now
        child.tcp_header_len = 20 + options.TIMESTAMP_ALIGNED
    child.tsoffset = request.tsoffset
    child.segs_in = 1
    child.total_retrans = request.num_retrans
    if request.num_timeout:
        child.total_rto, child.total_rto_recoveries = request.num_timeout, 1
        child.undo_marker = isn
        child.retrans_stamp = request.snt_synack_us * 1000
    child.mss_clamp = request.mss
    device_mss = advmss(sk.net, child.route)
    child.advmss = min(sk.user_mss, device_mss) if sk.user_mss else device_mss
    sync_mss(child, mtu(child))
    length = segment.doff + len(segment.payload)
    if length >= MSS_DEFAULT + child.tcp_header_len:
        child.last_seg_size = length - child.tcp_header_len
    child.rcv_mss = max(min(child.advmss, child.mss_cache, child.rcv_wnd // 2, 536), 88)
    if child.keepopen:
        child.arm("keepalive", keepalive_time(child))
    return child


INHERITED = (
    "urg_inline", "keepopen", "linger", "linger_time", "broadcast", "debug", "dontroute", "reuse", "reuseport", "no_check",
    "mark", "rcvbuf", "sndbuf", "userlocks", "rcvlowat", "rcvtimeo", "sndtimeo", "uc_ttl", "tos",
    "min_ttl", "pmtudisc", "recverr", "freebind", "transparent", "cmsg_flags", "mc_ttl", "mc_loop", "mc_all", "nonagle",
    "keepalive_time", "keepalive_intvl", "keepalive_probes", "linger2", "user_timeout", "syn_retries", "notsent_lowat",
    "recvmsg_inq", "congestion", "user_mss", "thin_lto", "defer_accept", "timestamp_flags", "bind_address_no_port",
    "local_port_range", "peek_off", "shutdown", "pingpong",
)  # fmt: skip
"""What a child takes from its listener (`sk_clone`)."""

OF_THE_SOCKET = frozenset({abi.SO_PASSCRED, abi.SO_PASSSEC, abi.SO_PASSPIDFD})
"""Options of `struct socket`, of which a child gets a new one."""
