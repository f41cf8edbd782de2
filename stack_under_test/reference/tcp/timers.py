"""What happens when a TCP timer expires: retransmission, loss probe, delayed ACK, zero window, keepalive (`tcp_timer.c`)."""

from __future__ import annotations

from errno import ETIMEDOUT

from ...contract import abi
from ..net import MSEC, SEC
from ..sock import State
from . import loss, recovery, retransmit, rtt, sacks, small_queues, timewait
from .established import keepalive_time
from .output import current_mss, send_ack, send_active_reset
from .segment import TxSkb
from .sock import (
    ACK_TIMER,
    ATO_MIN,
    DELACK_MAX,
    INFINITE_SSTHRESH,
    NAGLE_OFF,
    RTO_MAX,
    RTO_MIN,
    SMALL_QUEUE,
    TIMEOUT_INIT,
    TIMEWAIT_LEN,
    TcpSock,
)
from .xmit import fragment_sent, probe0_base, probe0_when, snd_wnd_test, write_wakeup, write_xmit

_SENDING = (State.ESTABLISHED, State.FIN_WAIT1, State.CLOSING, State.CLOSE_WAIT, State.LAST_ACK)
THIN_LINEAR_RETRIES = 6
"""`TCP_THIN_LINEAR_RETRIES`."""


def expired(sk: TcpSock, kind: str) -> None:
    """One of the socket's timers is due."""
    if kind == "delack":
        delack(sk)
    elif kind == "compressed_ack":
        if sk.compressed_ack:
            sk.compressed_ack = 0
            send_ack(sk)
    elif kind == "keepalive":
        keepalive(sk)
    elif kind == SMALL_QUEUE:
        small_queue_left(sk)
    elif sk.state not in (State.CLOSE, State.LISTEN) and sk.pending:
        _write_timer(sk)


def _write_timer(sk: TcpSock) -> None:
    """`tcp_write_timer_handler`."""
    sk.refresh()
    pending = sk.pending
    if pending == rtt.REO_TIMEOUT:
        reorder_timeout(sk)
    elif pending == rtt.LOSS_PROBE:
        loss_probe(sk)
    elif pending == rtt.RETRANS:
        sk.pending = ""
        retransmit_timeout(sk)
    elif pending == rtt.PROBE0:
        sk.pending = ""
        probe(sk)


def delack(sk: TcpSock) -> None:
    """`tcp_delack_timer_handler`."""
    if sk.state in (State.CLOSE, State.LISTEN):
        return
    if sk.compressed_ack:
        sk.refresh()
        sacks.flush_compressed(sk)
        return
    if not sk.ack_pending & ACK_TIMER:
        return
    sk.ack_pending &= ~ACK_TIMER
    if sk.ack_scheduled():
        if not sk.in_pingpong():
            sk.ack_ato = min(sk.ack_ato << 1, sk.rto, DELACK_MAX)
        else:
            sk.pingpong = 0
            sk.ack_ato = ATO_MIN
        sk.refresh()
        send_ack(sk)


def reorder_timeout(sk: TcpSock) -> None:
    """`tcp_rack_reo_timeout`."""
    prior, lost = sk.packets_in_flight(), sk.lost
    loss.rack_detect_loss(sk)
    if prior != sk.packets_in_flight():
        if sk.ca_state != 3:
            recovery.enter_recovery(sk, False)
            recovery.reduce_cwnd(sk, 1, False, sk.lost - lost)
        retransmit.retransmit_queue(sk)
    if sk.pending != rtt.RETRANS:
        rtt.rearm_rto(sk)


def loss_probe(sk: TcpSock) -> None:
    """`tcp_send_loss_probe`: new data if any may go, else the last segment again (RFC 8985 7.3)."""
    mss = current_mss(sk)
    if not sk.tlp_high_seq:
        sk.tlp_retrans = False
        sent = False
        if sk.write_queue and snd_wnd_test(sk, sk.write_queue[0], mss):
            out = sk.packets_out
            write_xmit(sk, mss, NAGLE_OFF, 2)
            sent = sk.packets_out > out
        elif sk.rtx_queue:
            sent = sk.tlp_retrans = _probe_tail(sk, sk.rtx_queue[-1], mss)
        else:
            sk.pending = ""
            return
        if sent:
            sk.tlp_high_seq = sk.snd_nxt
            sk.pending = ""
    rtt.rearm_rto(sk)


def small_queue_left(sk: TcpSock) -> None:
    """`tcp_tsq_write`: what the connection waited for has left this host."""
    if sk.state not in _SENDING:
        return
    if sk.lost_out > sk.retrans_out and sk.cwnd > sk.packets_in_flight():
        sk.refresh()
        retransmit.retransmit_queue(sk)
    write_xmit(sk, current_mss(sk), sk.nonagle)


def _probe_tail(sk: TcpSock, skb: TxSkb, mss: int) -> bool:
    if small_queues.still_in_host_queue(sk, skb):
        return False
    if skb.pcount > 1 and len(skb.data) > (skb.pcount - 1) * mss:
        skb = fragment_sent(sk, skb, (skb.pcount - 1) * mss, mss)
    return retransmit.send_again(sk, skb, 1)


def model_timeout(boundary: int, base: int) -> int:
    """`tcp_model_timeout`: how long `boundary` doubling retransmissions take, ns."""
    threshold = (RTO_MAX // base).bit_length() - 1
    if boundary <= threshold:
        return ((2 << boundary) - 1) * base
    return ((2 << threshold) - 1) * base + (boundary - threshold) * RTO_MAX


def revert_backoff(sk: TcpSock, seq: int) -> None:
    """`tcp_ld_RTO_revert` (RFC 6069): there is no way there just now; that is no reason to wait ever longer."""
    if seq != sk.snd_una or not sk.retransmits or not sk.backoff or not sk.rtx_queue:
        return
    sk.backoff -= 1
    sk.refresh()
    sk.rto = SEC
    if sk.srtt_us:
        rtt.set_rto(sk)
    sk.rto = min(sk.rto << sk.backoff, RTO_MAX)
    tick = SEC // sk.net.release.hz
    waited = sk.now_us - sk.rtx_queue[0].mstamp
    left = sk.rto // tick + -waited * 1000 // tick
    if left > 0:
        rtt.arm_retransmit(sk, left * tick)
    else:
        retransmit_timeout(sk)


def timed_out(sk: TcpSock, boundary: int, timeout: int = 0) -> bool:
    """`retransmits_timed_out`."""
    if not sk.retransmits:
        return False
    if not timeout:
        base = TIMEOUT_INIT if sk.state in (State.SYN_SENT, State.SYN_RECV) else RTO_MIN
        timeout = model_timeout(boundary, base)
    return sk.whole_ms(sk.net.now) - sk.whole_ms(sk.retrans_stamp) >= timeout


def _orphan_retries(sk: TcpSock, alive: bool) -> int:
    """`tcp_orphan_retries`."""
    retries = sk.net.sysctl.tcp_orphan_retries
    if sk.err_soft and not alive:
        retries = 0
    return 8 if not retries and alive else retries


def write_timeout(sk: TcpSock) -> bool:
    """`tcp_write_timeout`: has it gone on too long? Then the connection is given up."""
    sysctl = sk.net.sysctl
    expired_now = False
    if sk.state in (State.SYN_SENT, State.SYN_RECV):
        retry_until = sk.syn_retries or sysctl.tcp_syn_retries
        most = retry_until + (sysctl.tcp_syn_linear_timeouts if sk.state is State.SYN_SENT else 0)
        expired_now = sk.retransmits >= most
        if sk.retransmits:
            _doubt_route(sk)
    else:
        if timed_out(sk, sysctl.tcp_retries1):
            _doubt_route(sk)
        retry_until = sysctl.tcp_retries2
        if sk.dead:
            retry_until = _orphan_retries(sk, sk.rto < RTO_MAX)
    if not expired_now:
        expired_now = timed_out(sk, retry_until, sk.user_timeout)
    if expired_now:
        write_error(sk)
    elif sk.options.get(abi.SO_TXREHASH, 1) == 1:
        sk.timeout_rehash += 1
    return expired_now


def _doubt_route(sk: TcpSock) -> None:
    """`ipv4_negative_advice`: what was learnt of the path may be wrong."""
    if sk.route is not None and sk.route.exception is not None:
        sk.route = None


def write_error(sk: TcpSock) -> None:
    """`tcp_write_err`."""
    timewait.done_with_error(sk, sk.err_soft or ETIMEDOUT)


def _zero_window_timed_out(sk: TcpSock, elapsed: int) -> bool:
    """`tcp_rtx_probe0_timed_out`."""
    timeout = RTO_MAX * 2
    if sk.user_timeout:
        if elapsed > sk.user_timeout:
            return True
        timeout = min(timeout, sk.user_timeout)
    idle = sk.whole_ticks(sk.net.now) - sk.tick - sk.whole_ticks(sk.rcv_tstamp)
    return idle > timeout and elapsed > timeout


def retransmit_timeout(sk: TcpSock) -> None:
    """`tcp_retransmit_timer`."""
    if not sk.packets_out or not sk.rtx_queue:
        return
    head = sk.rtx_queue[0]
    if not sk.snd_wnd and not sk.dead and sk.state not in (State.SYN_SENT, State.SYN_RECV):
        elapsed = sk.whole_ms(sk.net.now) - sk.whole_ms(sk.retrans_stamp or head.mstamp * 1000)
        if _zero_window_timed_out(sk, elapsed):
            write_error(sk)
            return
        recovery.enter_loss(sk)
        retransmit.retransmit(sk, head, 1)
        sk.route = None
    else:
        if write_timeout(sk):
            return
        recovery.enter_loss(sk)
        if not sk.retransmits:
            sk.total_rto_recoveries += 1
        sk.retransmits += 1
        sk.total_rto += 1
        retransmit.retransmit(sk, sk.rtx_queue[0], 1)
    if sk.state is State.ESTABLISHED and sk.thin_lto and _is_thin(sk) and sk.retransmits <= THIN_LINEAR_RETRIES:
        sk.backoff = 0
        rtt.set_rto(sk)
    elif sk.state is not State.SYN_SENT or sk.total_rto > sk.net.sysctl.tcp_syn_linear_timeouts:
        sk.backoff += 1
        sk.rto = min(sk.rto << 1, RTO_MAX)
    rtt.arm_retransmit(sk, _clamp_rto(sk))
    if timed_out(sk, sk.net.sysctl.tcp_retries1 + 1):
        sk.route = None


def _is_thin(sk: TcpSock) -> bool:
    """`tcp_stream_is_thin`."""
    return sk.packets_out < 4 and sk.ssthresh < INFINITE_SSTHRESH


def _clamp_rto(sk: TcpSock) -> int:
    """`tcp_clamp_rto_to_user_timeout`."""
    if not sk.user_timeout:
        return sk.rto
    remaining = sk.user_timeout - (sk.whole_ms(sk.net.now) - sk.whole_ms(sk.retrans_stamp))
    return min(sk.rto, remaining) if remaining > 0 else MSEC


def probe(sk: TcpSock) -> None:
    """`tcp_probe_timer`: the peer's window is shut; ask whether it has opened (RFC 9293 3.8.6.1)."""
    if sk.packets_out or not sk.write_queue:
        sk.probes_out = 0
        sk.probes_tstamp = 0
        return
    if not sk.probes_tstamp:
        sk.probes_tstamp = sk.whole_ticks(sk.net.now)
    elif sk.user_timeout and sk.whole_ticks(sk.net.now) - sk.probes_tstamp >= sk.user_timeout:
        write_error(sk)
        return
    most = sk.net.sysctl.tcp_retries2
    if sk.dead:
        alive = min(probe0_base(sk) << sk.backoff, RTO_MAX) < RTO_MAX
        most = _orphan_retries(sk, alive)
        if not alive and sk.backoff >= most:
            write_error(sk)
            return
    if sk.probes_out >= most:
        write_error(sk)
        return
    send_probe0(sk)


def send_probe0(sk: TcpSock) -> None:
    """`tcp_send_probe0`."""
    write_wakeup(sk)
    if sk.packets_out or not sk.write_queue:
        sk.probes_out = sk.backoff = sk.probes_tstamp = 0
        return
    sk.probes_out += 1
    if sk.backoff < sk.net.sysctl.tcp_retries2:
        sk.backoff += 1
    rtt.arm_retransmit(sk, probe0_when(sk), rtt.PROBE0)


def keepalive(sk: TcpSock) -> None:
    """`tcp_keepalive_timer`; it also ends an orphan's FIN-WAIT-2."""
    sk.refresh()
    if sk.state is State.FIN_WAIT2 and sk.dead:
        if sk.linger2 >= 0:
            left = timewait.fin_time(sk) - TIMEWAIT_LEN
            if left > 0:
                timewait.enter_time_wait(sk, State.FIN_WAIT2, left)
                return
        send_active_reset(sk)
        timewait.done(sk)
        return
    if not sk.keepopen or sk.state in (State.CLOSE, State.SYN_SENT, State.LISTEN):
        return
    when = keepalive_time(sk)
    if sk.packets_out or sk.write_queue:
        sk.arm("keepalive", when)
        return
    idle = sk.whole_ticks(sk.net.now) - sk.whole_ticks(max(sk.lrcvtime, sk.rcv_tstamp))
    if idle < when:
        sk.arm("keepalive", when - idle)
        return
    probes = sk.keepalive_probes or sk.net.sysctl.tcp_keepalive_probes
    if sk.user_timeout:
        over = idle >= sk.user_timeout and sk.probes_out > 0
    else:
        over = sk.probes_out >= probes
    if over:
        send_active_reset(sk)
        write_error(sk)
        return
    write_wakeup(sk)
    sk.probes_out += 1
    sk.arm("keepalive", sk.keepalive_intvl or sk.net.sysctl.tcp_keepalive_intvl * SEC)
