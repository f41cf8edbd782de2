"""The end of a connection: TIME-WAIT (and the orphan's FIN-WAIT-2) as a small value, and being done.

(`tcp_time_wait`, `tcp_timewait_state_process`, `tcp_done`; RFC 9293 3.10.7.4, RFC 6191 for reuse by timestamps.)
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from ..net import MSEC, SEC
from ..sock import SHUTDOWN_MASK, State
from ..timers import PINNED
from . import options, window
from .ack import ts_acceptable
from .segment import ACK, FIN, RST, SYN, Segment
from .seq import MASK, after, before
from .sock import TIMEWAIT_LEN, TcpSock
from .states import enter

if TYPE_CHECKING:
    from ..net import Net


class TimeWait:
    """`struct tcp_timewait_sock`; it still owns the port."""

    state = State.TIME_WAIT

    def __init__(self, sk: TcpSock, substate: State) -> None:
        self.net: Net = sk.net
        self.armed: dict[str, tuple[int, int]] = {}
        self.substate = substate
        self.key = sk.in_table
        self.num = sk.num
        self.rcv_saddr = sk.rcv_saddr
        self.reuse = sk.reuse
        self.reuseport = sk.reuseport
        self.bound_dev_if = sk.bound_dev_if
        self.saddr, self.daddr, self.dport = sk.saddr, sk.daddr, sk.dport
        self.tos = sk.tos
        self.rcv_nxt = sk.rcv_nxt
        self.snd_nxt = sk.snd_nxt
        self.rcv_wnd = window.receive_window(sk)
        self.rcv_wscale = sk.rcv_wscale
        self.ts_recent = sk.ts_recent
        self.ts_recent_stamp = sk.ts_recent_stamp
        self.tsoffset = sk.tsoffset

    def expired(self, kind: str) -> None:
        self.kill()

    def kill(self) -> None:
        """`inet_twsk_deschedule_put`."""
        self.net.timers.cancel(self, "timewait")
        if self.key is not None:
            self.net.tcp.remove(self.key)
        self.net.tcp_ports.put(self)

    def reschedule(self) -> None:
        self.net.timers.arm(self, "timewait", self.net.timer(TIMEWAIT_LEN), PINNED)


class Answer(Enum):
    """`enum tcp_tw_status`."""

    NOTHING = 0
    ACK = 1
    RST = 2
    SYN = 3
    ACK_OOW = 4


def fin_time(sk: TcpSock) -> int:
    """`tcp_fin_time`: how long an orphan waits for the peer's FIN."""
    timeout = sk.linger2 or sk.net.sysctl.tcp_fin_timeout * SEC
    return max(timeout, (sk.rto << 2) - (sk.rto >> 1))


def enter_time_wait(sk: TcpSock, substate: State, timeout: int) -> None:
    """`tcp_time_wait`: the socket is done; what is left takes its place in the tables."""
    left = TimeWait(sk, substate)
    key = sk.in_table
    rto = (sk.rto << 2) - (sk.rto >> 1)
    timeout = TIMEWAIT_LEN if substate is State.TIME_WAIT else max(timeout, rto)
    sk.net.tcp_ports.replace(sk, left)
    if key is not None:
        sk.net.tcp.replace(key, left)
        sk.in_table = None
    sk.net.timers.arm(left, "timewait", sk.net.timer(timeout), PINNED)
    if sk.state is not State.TIME_WAIT and substate is State.TIME_WAIT:
        enter(sk, State.TIME_WAIT)
    done(sk)


def done(sk: TcpSock) -> None:
    """`tcp_done`: closed, timers off; a dead socket is destroyed, a living one hears of it."""
    enter(sk, State.CLOSE)
    clear_timers(sk)
    sk.shutdown = SHUTDOWN_MASK
    if not sk.dead:
        sk.state_change()
    else:
        destroy(sk)


def clear_timers(sk: TcpSock) -> None:
    """`tcp_clear_xmit_timers`."""
    sk.pending = ""
    sk.ack_pending = 0
    for kind in tuple(sk.armed):
        sk.disarm(kind)


def done_with_error(sk: TcpSock, error: int) -> None:
    """`tcp_done_with_error`."""
    sk.err = error
    purge_write_queue(sk)
    done(sk)
    if not sk.dead:
        sk.error_report()


def purge_write_queue(sk: TcpSock) -> None:
    """`tcp_write_queue_purge`."""
    sk.write_queue.clear()
    for skb in sk.rtx_queue:
        skb.let_go()
    sk.rtx_queue.clear()
    sk.sent_order.clear()
    sk.wmem_queued = 0
    sk.packets_out = 0
    sk.backoff = 0


def destroy(sk: TcpSock) -> None:
    """`inet_csk_destroy_sock`: the port goes back."""
    clear_timers(sk)
    purge_write_queue(sk)
    sk.proto.put_port(sk)


def receive(left: TimeWait, segment: Segment) -> tuple[Answer, int]:
    """`tcp_timewait_state_process`: what to answer, and the ISN for a SYN that reopens the connection."""
    found = None
    rejected = False
    if segment.options and left.ts_recent_stamp is not None:
        found = options.unestablished(segment.options, bool(segment.flags & SYN), left.net.sysctl)
        if found.ts_val is not None:
            acceptable = ts_acceptable(left.ts_recent, left.ts_recent_stamp, found.ts_val, left.net.now, 0)
            stale = left.net.now - left.ts_recent_stamp >= 60 * SEC
            rejected = not acceptable and not (segment.flags & RST and stale)
    tsval = found.ts_val if found is not None else None
    if left.substate is State.FIN_WAIT2:
        return _orphan(left, segment, rejected, tsval), 0
    bare = segment.seq == segment.end_seq or segment.flags & RST
    if not rejected and segment.seq == left.rcv_nxt and bare:
        if segment.flags & RST:
            if not left.net.sysctl.tcp_rfc1337:
                left.kill()
            return Answer.NOTHING, 0
        left.reschedule()
        if tsval is not None:
            left.ts_recent, left.ts_recent_stamp = tsval, left.net.now
        return Answer.NOTHING, 0
    if segment.flags & (SYN | RST | ACK) == SYN and not rejected:
        newer = tsval is not None and after(tsval, left.ts_recent)
        if after(segment.seq, left.rcv_nxt) or newer:
            return Answer.SYN, (left.snd_nxt + 65537) & MASK or 1
    if segment.flags & RST:
        return Answer.NOTHING, 0
    if rejected or segment.flags & ACK:
        left.reschedule()
    return Answer.ACK_OOW, 0


def _in_window(segment: Segment, start: int, size: int) -> bool:
    """`tcp_in_window`."""
    end = (start + size) & MASK
    if segment.seq == start:
        return True
    if after(segment.end_seq, start) and before(segment.seq, end):
        return True
    return segment.seq == end and segment.seq == segment.end_seq


def _orphan(left: TimeWait, segment: Segment, rejected: bool, tsval: int | None) -> Answer:
    """FIN-WAIT-2 without a socket: only the peer's FIN is expected."""
    if rejected or not _in_window(segment, left.rcv_nxt, left.rcv_wnd):
        return Answer.ACK_OOW
    if segment.flags & RST:
        left.kill()
        return Answer.NOTHING
    if segment.flags & SYN and not before(segment.seq, left.rcv_nxt):
        return Answer.RST
    if not segment.flags & ACK or not after(segment.end_seq, left.rcv_nxt) or segment.end_seq == segment.seq:
        return Answer.NOTHING
    if not segment.flags & FIN or segment.end_seq != (left.rcv_nxt + 1) & MASK:
        return Answer.RST
    left.substate = State.TIME_WAIT
    left.rcv_nxt = segment.end_seq
    if tsval is not None:
        left.ts_recent, left.ts_recent_stamp = tsval, left.net.now
    left.reschedule()
    return Answer.ACK


def tsval(left: TimeWait) -> int:
    """`tcp_tw_tsval`."""
    return (left.net.now // MSEC + left.tsoffset) & MASK
