"""A connection becomes established: buffers, timers and estimates start (`tcp_init_transfer`, `tcp_finish_connect`)."""

from __future__ import annotations

from ..net import MSEC, SEC
from ..sock import State
from . import congestion, rtt, window
from .ack import fast_path_on
from .output import initialize_rcv_mss
from .path import mtu
from .segment import Segment
from .seq import MASK
from .sock import INFINITE_SSTHRESH, INIT_CWND, TIMEOUT_FALLBACK, TcpSock
from .states import enter


def keepalive_time(sk: TcpSock) -> int:
    """`keepalive_time_when`."""
    return sk.keepalive_time or sk.net.sysctl.tcp_keepalive_time * SEC


def init_transfer(sk: TcpSock) -> None:
    """`tcp_init_transfer`."""
    mtu(sk)
    # What the handshake's retransmissions made of it (`tcp_init_metrics`).
    sk.ssthresh = INFINITE_SSTHRESH
    if not sk.srtt_us:
        # RFC 6298 5.7: the handshake was repeated and gave no sample.
        sk.rttvar_us = sk.mdev_us = sk.mdev_max_us = TIMEOUT_FALLBACK // 1000
        sk.rto = TIMEOUT_FALLBACK
    sk.cwnd = 1 if sk.total_retrans > 1 and sk.undo_marker else INIT_CWND
    sk.cwnd_stamp = sk.net.now
    window.init_buffer_space(sk)
    sk.confirm_route()


def finish_connect(sk: TcpSock) -> None:
    """`tcp_finish_connect`."""
    enter(sk, State.ESTABLISHED)
    sk.lrcvtime = sk.net.now
    init_transfer(sk)
    sk.lsndtime = sk.net.now
    sk.fast_path = (sk.tcp_header_len, sk.snd_wnd) if not sk.snd_wscale else None
    if sk.keepopen:
        sk.arm("keepalive", keepalive_time(sk))


def try_undo_spurious_syn(sk: TcpSock) -> None:
    """`tcp_try_undo_spurious_syn`: the peer answers the first SYN (or SYN-ACK): there was no need to repeat it."""
    first = sk.retrans_stamp // MSEC & MASK
    if sk.undo_marker and first and sk.saw_tstamp and first == sk.rcv_tsecr:
        sk.undo_marker = 0


def established(sk: TcpSock, segment: Segment) -> None:
    """SYN-RECEIVED's ACK arrived (`tcp_rcv_state_process`, TCP_SYN_RECV)."""
    sk.delivered += 1
    if not sk.srtt_us:
        rtt.update(sk, -1, -1, -1, True, False)
    if sk.tstamp_ok:
        sk.advmss -= 12
    try_undo_spurious_syn(sk)
    sk.retrans_stamp = 0
    init_transfer(sk)
    sk.copied_seq = sk.rcv_nxt
    enter(sk, State.ESTABLISHED)
    sk.state_change()
    sk.snd_una = segment.ack
    sk.snd_wnd = segment.window << sk.snd_wscale
    sk.snd_wl1 = segment.seq
    congestion.update_pacing_rate(sk)
    sk.lsndtime = sk.net.now
    initialize_rcv_mss(sk)
    fast_path_on(sk)
