"""A segment arrives for a connection: the steps of RFC 9293 3.10.7.4 in Linux's order (`tcp_rcv_state_process`).

A step looks at the segment and says whether to go on.  `STEPS` says which steps a state takes, in order; there is one
step per check, not one per state.  SYN-SENT has its own list (RFC 9293 3.10.7.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from errno import ECONNREFUSED, ECONNRESET, EPIPE
from types import MappingProxyType

from ..sock import RCV_SHUTDOWN, SEND_SHUTDOWN, State
from . import ack as acks
from . import ecn, fastpath, options, receive, rtt, timewait, window
from .established import established, finish_connect, try_undo_spurious_syn
from .options import Received
from .output import (
    initialize_rcv_mss,
    send_ack,
    send_challenge_ack,
    send_synack,
    sync_mss,
)
from .segment import ACK, FIN, RST, SYN, Segment
from .seq import MASK, after, before, between
from .sock import ACK_TIMER, DELACK_MAX, TIMEWAIT_LEN, TcpSock
from .states import enter


class Arrival:
    """A segment on its way through the steps.

    `checked`: header prediction has vouched for it, validation is over.  `reset` asks the caller to answer with a RST.
    """

    __slots__ = ("checked", "options", "queued", "reset", "segment", "verdict")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.options: Received | None = None
        self.verdict = acks.Verdict.NEW
        self.queued = False
        self.checked = False
        self.reset = False


def fast_path(sk: TcpSock, arrival: Arrival) -> bool:
    """Header prediction, before anything else in ESTABLISHED."""
    if not fastpath.predicted(sk, arrival.segment):
        return True
    taken = fastpath.take(sk, arrival.segment)
    arrival.checked = taken is None
    return taken is not True


Step = Callable[[TcpSock, Arrival], bool]
"""True: go on with the next step."""


def process(sk: TcpSock, segment: Segment) -> bool:
    """Run the state's steps. True: the segment wants a RST in answer."""
    sk.refresh()
    sk.segs_in += segment.segs
    if segment.payload:
        sk.data_segs_in += segment.segs
    arrival = Arrival(segment)
    for step in STEPS[sk.state]:
        if arrival.checked and step in VALIDATE:
            continue
        if not step(sk, arrival):
            break
    return arrival.reset


def read_options(sk: TcpSock, found: Received) -> None:
    """Keep the timestamps of the segment at hand (`tcp_fast_parse_options`)."""
    sk.saw_tstamp = False
    if found.ts_val is not None and sk.tstamp_ok:
        sk.saw_tstamp = True
        sk.rcv_tsval = found.ts_val
        sk.rcv_tsecr = (found.ts_ecr - sk.tsoffset) & MASK if found.ts_ecr else 0


def flags(sk: TcpSock, arrival: Arrival) -> bool:
    """A segment with none of ACK, RST and SYN is dropped."""
    return bool(arrival.segment.flags & (ACK | RST | SYN))


def paws(sk: TcpSock, arrival: Arrival) -> bool:
    """PAWS (RFC 7323 5.3; `tcp_validate_incoming`'s first check)."""
    segment = arrival.segment
    sk.saw_tstamp = False
    if segment.options:
        arrival.options = options.parse(segment.options, bool(segment.flags & SYN), True)
        read_options(sk, arrival.options)
    if not sk.saw_tstamp or acks.paws_check(sk, 1) or segment.flags & RST:
        return True
    if _disordered_ack(sk, segment):
        return True
    if segment.flags & SYN:
        send_challenge_ack(sk)
    elif not (sk.net.release.ignores_old_paws and _old_pure_ack(sk, segment)):
        send_dupack(sk, segment)
    return False


def _old_pure_ack(sk: TcpSock, segment: Segment) -> bool:
    """An old timestamp on an old pure ACK is no news (`PAWS_OLD_ACK`)."""
    pure = segment.flags & ACK and segment.seq == segment.end_seq
    return bool(pure) and before(segment.seq, sk.rcv_nxt)


def _disordered_ack(sk: TcpSock, segment: Segment) -> bool:
    """`tcp_disordered_ack_check`: a pure duplicate ACK overtaken on the way may pass."""
    replay = sk.rto // 1_000_000 * 1200 // 1000
    return bool(
        segment.flags & ACK
        and segment.seq == segment.end_seq
        and segment.seq == sk.rcv_nxt
        and segment.ack == sk.snd_una
        and not window.may_update(sk, segment.ack, segment.seq, segment.window << sk.snd_wscale)
        and ((sk.ts_recent - sk.rcv_tsval + 0x8000_0000) & MASK) - 0x8000_0000 <= replay
    )


def send_dupack(sk: TcpSock, segment: Segment) -> None:
    """`tcp_send_dupack`."""
    if segment.end_seq != segment.seq and before(segment.seq, sk.rcv_nxt):
        receive.enter_quickack_mode(sk)
        if sk.sack_ok:
            end = sk.rcv_nxt if after(segment.end_seq, sk.rcv_nxt) else segment.end_seq
            sk.dsack = (segment.seq, end)
    send_ack(sk)


def sequence(sk: TcpSock, arrival: Arrival) -> bool:
    """First: is it inside the window (`tcp_sequence`)? What is not is answered with an ACK, unless it is a RST."""
    segment = arrival.segment
    if _acceptable(sk, segment):
        return True
    if segment.flags & RST:
        if _reset_after_fin(sk, segment):
            reset(sk)
    elif segment.flags & SYN:
        send_challenge_ack(sk)
    else:
        send_dupack(sk, segment)
    return False


def _acceptable(sk: TcpSock, segment: Segment) -> bool:
    if before(segment.end_seq, sk.rcv_wup):
        return False
    limit = (sk.rcv_nxt + window.receive_window(sk)) & MASK
    if not sk.net.release.checks_end:
        return not after(segment.seq, limit)
    if after(segment.end_seq, limit):
        if not after((segment.end_seq - (segment.flags & FIN)) & MASK, limit):
            return True
        if after(segment.seq, limit) or sk.receive_queue:
            return False
    return True


def _reset_after_fin(sk: TcpSock, segment: Segment) -> bool:
    """`tcp_reset_check`: some stacks send FIN and RST with one sequence number."""
    return segment.seq == (sk.rcv_nxt - 1) & MASK and sk.state in (State.CLOSE_WAIT, State.LAST_ACK, State.CLOSING)


def check_rst(sk: TcpSock, arrival: Arrival) -> bool:
    """Second: RST exactly at RCV.NXT (or the right-most SACK edge) resets, elsewhere is challenged (RFC 5961 3)."""
    segment = arrival.segment
    if not segment.flags & RST:
        return True
    exact = segment.seq == sk.rcv_nxt or _reset_after_fin(sk, segment)
    if not exact and sk.sack_ok and sk.selective_acks:
        edge = sk.selective_acks[0][1]
        for _, end in sk.selective_acks[1:]:
            edge = end if after(end, edge) else edge
        exact = segment.seq == edge
    if exact:
        reset(sk)
    else:
        send_challenge_ack(sk)
    return False


def check_syn(sk: TcpSock, arrival: Arrival) -> bool:
    """Fourth: a SYN in a synchronized state is challenged (RFC 5961 4); the SYN-ACK of crossed SYNs passes."""
    segment = arrival.segment
    if not segment.flags & SYN:
        return True
    if (
        sk.state is State.SYN_RECV
        and sk.socket is not None
        and segment.flags & ACK
        and (segment.seq + 1) & MASK == segment.end_seq == sk.rcv_nxt
        and segment.ack == sk.snd_nxt
    ):
        return True
    send_challenge_ack(sk)
    return False


def reset(sk: TcpSock) -> None:
    """`tcp_reset`: the error a reset means in this state."""
    if sk.state is State.SYN_SENT:
        error = ECONNREFUSED
    elif sk.state is State.CLOSE_WAIT:
        error = EPIPE
    elif sk.state is State.CLOSE:
        return
    else:
        error = ECONNRESET
    timewait.done_with_error(sk, error)


def check_ack(sk: TcpSock, arrival: Arrival) -> bool:
    """Fifth: the ACK field, in every synchronized state but ESTABLISHED."""
    segment = arrival.segment
    flag = acks.SLOWPATH | acks.UPDATE_TS | acks.NO_CHALLENGE
    arrival.verdict = acks.acknowledge(sk, segment, flag, _sack(arrival))
    if arrival.verdict is not acks.Verdict.NEW:
        if sk.state is State.SYN_RECV:
            arrival.reset = True
            return False
        if arrival.verdict is acks.Verdict.BAD:
            send_challenge_ack(sk)
            return False
    return True


def _sack(arrival: Arrival) -> bytes:
    return arrival.options.sack if arrival.options is not None else b""


def established_ack(sk: TcpSock, arrival: Arrival) -> bool:
    """Fifth, in ESTABLISHED (`tcp_rcv_established`)."""
    flag = acks.SLOWPATH | acks.UPDATE_TS
    ecn.count(sk, arrival.segment)
    verdict = acks.acknowledge(sk, arrival.segment, flag, _sack(arrival))
    if verdict is acks.Verdict.BAD:
        return False
    window.rtt_measure_ts(sk, (arrival.segment.end_seq - arrival.segment.seq) & MASK)
    return True


def after_ack(sk: TcpSock, arrival: Arrival) -> bool:
    """What our SYN or FIN being acknowledged means for the state."""
    if sk.state is State.SYN_RECV:
        established(sk, arrival.segment)
        if sk.shutdown & SEND_SHUTDOWN:
            sk.proto.shutdown(sk, SEND_SHUTDOWN)
        return True
    if sk.snd_una != sk.write_seq:
        return True
    if sk.state is State.FIN_WAIT1:
        return _fin_acked(sk, arrival)
    if sk.state is State.CLOSING:
        timewait.enter_time_wait(sk, State.TIME_WAIT, 0)
        return False
    if sk.state is State.LAST_ACK:
        timewait.done(sk)
        return False
    return True


def _fin_acked(sk: TcpSock, arrival: Arrival) -> bool:
    """FIN-WAIT-1 to FIN-WAIT-2; an orphan does not stay for ever (`tcp_fin_time`), and data for it is refused."""
    segment = arrival.segment
    enter(sk, State.FIN_WAIT2)
    sk.shutdown |= SEND_SHUTDOWN
    sk.confirm_route()
    if not sk.dead:
        sk.state_change()
        return True
    end = (segment.end_seq - (segment.flags & FIN)) & MASK
    if sk.linger2 < 0 or (segment.end_seq != segment.seq and after(end, sk.rcv_nxt)):
        timewait.done(sk)
        arrival.reset = True
        return False
    timeout = timewait.fin_time(sk)
    if timeout > TIMEWAIT_LEN:
        sk.arm("keepalive", timeout - TIMEWAIT_LEN)
    elif segment.flags & FIN:
        sk.arm("keepalive", timeout)
    else:
        timewait.enter_time_wait(sk, State.FIN_WAIT2, timeout)
        return False
    return True


def check_urg(sk: TcpSock, arrival: Arrival) -> bool:
    """Sixth: the urgent pointer."""
    receive.urgent(sk, arrival.segment)
    return True


def text(sk: TcpSock, arrival: Arrival) -> bool:
    """Seventh and eighth: data and FIN, where the state still takes them."""
    segment = arrival.segment
    if sk.state in (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK) and not before(segment.seq, sk.rcv_nxt):
        return True
    if sk.state is State.CLOSE:
        return True
    if sk.state is not State.ESTABLISHED and sk.shutdown & RCV_SHUTDOWN:
        end = (segment.end_seq - (segment.flags & FIN)) & MASK
        if segment.end_seq != segment.seq and after(end, sk.rcv_nxt):
            reset(sk)
            arrival.reset = True
            return False
    receive.data_queue(sk, segment)
    return True


def respond(sk: TcpSock, arrival: Arrival) -> bool:
    """Send what may be sent now, then acknowledge what must be acknowledged."""
    if sk.state is not State.CLOSE:
        receive.data_snd_check(sk)
        receive.ack_snd_check(sk)
    return True


def syn_sent_ack(sk: TcpSock, arrival: Arrival) -> bool:
    """SYN-SENT, first: an unacceptable ACK is answered with a RST."""
    segment = arrival.segment
    found = arrival.options = options.unestablished(segment.options, bool(segment.flags & SYN), sk.net.sysctl)
    sk.saw_tstamp = found.ts_val is not None
    if sk.saw_tstamp:
        sk.rcv_tsval = found.ts_val or 0
        sk.rcv_tsecr = (found.ts_ecr - sk.tsoffset) & MASK if found.ts_ecr else 0
    if not segment.flags & ACK:
        return True
    if not after(segment.ack, sk.snd_una) or after(segment.ack, sk.snd_nxt):
        if not sk.retransmits:
            rtt.arm_retransmit(sk, rtt.TIMEOUT_MIN)
        arrival.reset = True
        return False
    if sk.saw_tstamp and sk.rcv_tsecr:
        first = sk.retrans_stamp // 1_000_000
        if not between(sk.rcv_tsecr, first & MASK, (sk.net.now // 1_000_000) & MASK):
            arrival.reset = True
            return False
    return True


def syn_sent_rst(sk: TcpSock, arrival: Arrival) -> bool:
    """SYN-SENT, second: RST counts only with an acceptable ACK."""
    segment = arrival.segment
    if segment.flags & RST:
        if segment.flags & ACK:
            reset(sk)
        return False
    return bool(segment.flags & SYN)


def _take_syn_options(sk: TcpSock, found: Received) -> None:
    """What the peer's SYN says counts for the connection's life."""
    if found.mss:
        sk.mss_clamp = min(found.mss, sk.user_mss) if sk.user_mss else found.mss
    sk.wscale_ok = found.wscale is not None
    sk.snd_wscale = found.wscale or 0
    sk.sack_ok = found.sack_ok


def _timestamps_agreed(sk: TcpSock) -> None:
    if sk.saw_tstamp:
        sk.tstamp_ok = True
        sk.tcp_header_len = 20 + options.TIMESTAMP_ALIGNED
        acks.store_ts_recent(sk)
    else:
        sk.tstamp_ok = False
        sk.tcp_header_len = 20


def syn_sent_syn(sk: TcpSock, arrival: Arrival) -> bool:
    """SYN-SENT, fourth: the SYN-ACK makes the connection; a bare SYN crosses ours."""
    segment = arrival.segment
    assert arrival.options is not None
    crossed = not segment.flags & ACK
    if crossed and sk.saw_tstamp and sk.ts_recent_stamp is not None and not acks.paws_check(sk, 0):
        return False
    _take_syn_options(sk, arrival.options)
    if crossed:
        _crossed_syn(sk, segment)
        return False
    ecn.answered(sk, segment.flags)
    sk.snd_wl1 = segment.seq
    try_undo_spurious_syn(sk)
    acks.acknowledge(sk, segment, acks.SLOWPATH, _sack(arrival))
    sk.rcv_nxt = sk.rcv_wup = (segment.seq + 1) & MASK
    sk.snd_wnd = segment.window
    if not sk.wscale_ok:
        sk.snd_wscale = sk.rcv_wscale = 0
        sk.window_clamp = min(sk.window_clamp, 65535)
    _timestamps_agreed(sk)
    if sk.tstamp_ok:
        sk.advmss -= options.TIMESTAMP_ALIGNED
    sync_mss(sk, sk.pmtu)
    initialize_rcv_mss(sk)
    sk.copied_seq = sk.rcv_nxt
    finish_connect(sk)
    if not sk.dead:
        sk.state_change()
    if sk.write_pending or sk.defer_accept or sk.in_pingpong():
        sk.schedule_ack()
        receive.enter_quickack_mode(sk)
        sk.ack_pending |= ACK_TIMER
        sk.ack_timeout = sk.whole_ticks(sk.net.now) + DELACK_MAX
        sk.arm("delack", DELACK_MAX)
        return False
    send_ack(sk)
    receive.urgent(sk, segment)
    receive.data_snd_check(sk)
    return False


def _crossed_syn(sk: TcpSock, segment: Segment) -> None:
    """Simultaneous open (RFC 9293 3.5): answer the SYN with ours and an ACK."""
    enter(sk, State.SYN_RECV)
    _timestamps_agreed(sk)
    sk.rcv_nxt = sk.rcv_wup = sk.copied_seq = (segment.seq + 1) & MASK
    sk.snd_wnd = sk.max_window = segment.window
    sk.snd_wl1 = segment.seq
    ecn.answered(sk, segment.flags)
    sync_mss(sk, sk.pmtu)
    initialize_rcv_mss(sk)
    send_synack(sk)


def dropped(sk: TcpSock, arrival: Arrival) -> bool:
    """CLOSED: nothing is listened to."""
    return False


VALIDATE: tuple[Step, ...] = (flags, paws, sequence, check_rst, check_syn)
_CLOSING: tuple[Step, ...] = (*VALIDATE, check_ack, after_ack, check_urg, text, respond)

STEPS: Mapping[State, tuple[Step, ...]] = MappingProxyType(
    {
        State.CLOSE: (dropped,),
        State.SYN_SENT: (syn_sent_ack, syn_sent_rst, syn_sent_syn),
        State.SYN_RECV: _CLOSING,
        State.ESTABLISHED: (fast_path, *VALIDATE, established_ack, check_urg, text, respond),
        State.FIN_WAIT1: _CLOSING,
        State.FIN_WAIT2: _CLOSING,
        State.CLOSE_WAIT: _CLOSING,
        State.CLOSING: _CLOSING,
        State.LAST_ACK: _CLOSING,
    }
)
