"""Ending from our side: close, shutdown, disconnect, and the child nobody accepted (`__tcp_close`, `tcp_disconnect`)."""

from __future__ import annotations

from collections.abc import Generator
from errno import ECONNRESET

from ..sock import SEND_SHUTDOWN, SHUTDOWN_MASK, SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK, State, deadline
from ..wait import Wait, Wakeup
from . import timewait
from .output import send_active_reset
from .segment import FIN
from .seq import MASK, after
from .sock import INFINITE_SSTHRESH, TIMEWAIT_LEN, TcpSock
from .states import CLOSING_BY_US, enter
from .xmit import send_fin

ANY = bytes(4)
SURVIVING = (
    "rcv_nxt", "rcv_wup", "rcv_wnd", "rcv_ssthresh", "scaling_ratio", "tsoffset", "snd_una", "snd_nxt", "snd_up", "snd_sml",
    "snd_wnd", "snd_wl1", "max_window", "mss_cache", "advmss", "pmtu", "tcp_header_len", "lrcvtime", "lsndtime", "rcv_tstamp",
    "rcvq_space", "urg_seq", "retransmits", "timeout_rehash", "rtt_min", "ecn_ok", "ecn_seen", "ecn_queue_cwr",
    "ecn_demand_cwr", "pacing_rate", "rcv_rtt_us", "rcv_rtt_seq", "rcv_rtt_time", "rcvq_seq", "rcvq_time", "high_seq",
    "cwnd_used", "dup_ack_counter", "compressed_ack_rcv_nxt", "wstamp_ns",
)  # fmt: skip
"""What `tcp_disconnect` leaves as it was."""


def close_state(sk: TcpSock) -> bool:
    """`tcp_close_state`: True when a FIN has to go out."""
    state, needs_fin = CLOSING_BY_US.get(sk.state, (sk.state, False))
    if state is not sk.state:
        enter(sk, state)
    return needs_fin


def shutdown(sk: TcpSock, how: int) -> None:
    """`tcp_shutdown`."""
    if how & SEND_SHUTDOWN and sk.state in (State.ESTABLISHED, State.SYN_SENT, State.CLOSE_WAIT) and close_state(sk):
        send_fin(sk)


def _flush_receive_queue(sk: TcpSock) -> bool:
    """Throw unread data away; True when there was some."""
    unread = False
    for skb in sk.receive_queue:
        end = (skb.end_seq - (1 if skb.flags & FIN else 0)) & MASK
        unread = unread or after(end, sk.copied_seq)
    sk.receive_queue.clear()
    sk.rmem_alloc = sum(skb.truesize for skb in sk.ofo_queue)
    return unread


def close(sk: TcpSock, timeout: int | None) -> Generator[Wait, Wakeup, None]:
    """`tcp_close`: RST when data was unread (RFC 2525 2.17) or linger is zero, else FIN; then the socket is an orphan."""
    sk.shutdown = SHUTDOWN_MASK
    if sk.state is State.LISTEN:
        enter(sk, State.CLOSE)
        listen_stop(sk)
        _orphan(sk)
        return
    unread = _flush_receive_queue(sk)
    if sk.state is not State.CLOSE:
        if unread:
            enter(sk, State.CLOSE)
            send_reset_closed(sk)
        elif sk.linger and sk.linger_time == 0:
            disconnect(sk)
        elif close_state(sk):
            send_fin(sk)
        yield from _wait_close(sk, timeout)
    _orphan(sk)


def send_reset_closed(sk: TcpSock) -> None:
    """The reset of a socket that is closed already."""
    send_active_reset(sk)
    sk.ack_pending = 0


def _wait_close(sk: TcpSock, timeout: int | None) -> Generator[Wait, Wakeup, None]:
    """`sk_stream_wait_close`: linger until the FIN is acknowledged or time is up."""
    if timeout == 0 or sk.socket is None:
        return
    until = deadline(sk.net, timeout)
    while sk.state in (State.FIN_WAIT1, State.CLOSING, State.LAST_ACK):
        reason = yield Wait((sk.socket.wait,), until)
        if reason is not Wakeup.EVENT:
            return


def _orphan(sk: TcpSock) -> None:
    """`adjudge_to_death`."""
    was_closed = sk.state is State.CLOSE
    sk.dead = True
    if sk.socket is not None:
        sk.socket.sk = None
    sk.socket = None
    if sk.state is State.FIN_WAIT2:
        if sk.linger2 < 0:
            enter(sk, State.CLOSE)
            send_reset_closed(sk)
        else:
            timeout = timewait.fin_time(sk)
            if timeout > TIMEWAIT_LEN:
                sk.arm("keepalive", timeout - TIMEWAIT_LEN)
            else:
                timewait.enter_time_wait(sk, State.FIN_WAIT2, timeout)
                return
    if was_closed or sk.state is State.CLOSE:
        timewait.destroy(sk)


def listen_stop(sk: TcpSock) -> None:
    """`inet_csk_listen_stop`: children not yet accepted are reset; requests stay, in case the socket listens again."""
    while sk.accept_queue:
        abort_child(sk.accept_queue.popleft())
    sk.ack_backlog = 0


def abort_child(sk: TcpSock) -> None:
    """`inet_child_forget`: a connection nobody accepted is reset."""
    sk.dead = True
    disconnect(sk)
    timewait.destroy(sk)


def _needs_reset(state: State) -> bool:
    """`tcp_need_reset`."""
    return state in (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT1, State.FIN_WAIT2, State.SYN_RECV)


def disconnect(sk: TcpSock) -> None:
    """`tcp_disconnect`: ABORT of RFC 9293 3.10.5, and the socket as good as new except for its options."""
    old = sk.state
    if old is not State.CLOSE:
        enter(sk, State.CLOSE)
    if old is State.LISTEN:
        listen_stop(sk)
    elif _needs_reset(old) or (sk.snd_nxt != sk.write_seq and old in (State.CLOSING, State.LAST_ACK)):
        send_active_reset(sk)
        sk.err = ECONNRESET
    elif old is State.SYN_SENT:
        sk.err = ECONNRESET
    timewait.clear_timers(sk)
    kept = {name: getattr(sk, name) for name in SURVIVING}
    write_seq = (sk.write_seq + sk.max_window + 2) & MASK or 1
    sk.cleanup_defaults()
    for name, value in kept.items():
        setattr(sk, name, value)
    sk.copied_seq = sk.rcv_nxt
    sk.write_seq = write_seq
    sk.ssthresh = INFINITE_SSTHRESH
    sk.user_mss = 0
    sk.peek_off = -1
    sk.dport = 0
    if not sk.userlocks & SOCK_BINDADDR_LOCK:
        sk.rcv_saddr = sk.saddr = ANY
    sk.shutdown = 0
    sk.done = False
    sk.route = None
    if old is not State.CLOSE and not sk.userlocks & SOCK_BINDPORT_LOCK:
        # `tcp_set_state` gives a port back that was chosen by lot: only where the state changes.
        sk.proto.put_port(sk)
    sk.error_report()
