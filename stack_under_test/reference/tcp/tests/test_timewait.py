"""What a connection in TIME-WAIT answers (RFC 9293 3.10.7.4, RFC 6191; `tcp_timewait_state_process`)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from stack_under_test.reference.net import MSEC, SEC
from stack_under_test.reference.sock import State
from stack_under_test.reference.tcp import options, timewait
from stack_under_test.reference.tcp.seq import MASK
from stack_under_test.reference.tcp.tests.sockets import HERE, PEER, arriving, fresh
from stack_under_test.reference.tcp.timewait import Answer, TimeWait
from stack_under_test.wire.tcp import ACK, FIN, RST, SYN, Tcp
from stack_under_test.wire.tcp_options import Timestamps

RCV_NXT, SND_NXT = 0xFFFF_FFF0, 5000
TS_RECENT = 700


@dataclass(frozen=True)
class Case:
    """`seq` counts from RCV.NXT, `ts` from TS.Recent; the answer, and whether the 60 seconds begin anew."""

    flags: int
    seq: int
    answer: Answer
    restarts: bool = False
    ts: int | None = None
    payload: bytes = b""


def left_behind(substate: State = State.TIME_WAIT, stamped: bool = True) -> TimeWait:
    sk = fresh(State.FIN_WAIT2)
    sk.in_table = (HERE, 8080, PEER, 1234)
    sk.rcv_nxt = sk.rcv_wup = RCV_NXT
    sk.rcv_wnd = 1000
    sk.snd_nxt = SND_NXT
    if stamped:
        sk.ts_recent, sk.ts_recent_stamp = TS_RECENT, 0
    left = TimeWait(sk, substate)
    left.reschedule()
    left.net.now = SEC
    return left


def answered(left: TimeWait, case: Case) -> tuple[Answer, int]:
    stamp = () if case.ts is None else (Timestamps(TS_RECENT + case.ts, 0),)
    segment = Tcp(1234, 8080, (RCV_NXT + case.seq) & MASK, SND_NXT, case.flags, 1000, stamp, case.payload)
    return timewait.receive(left, arriving(segment))


@pytest.mark.parametrize(
    "case",
    [
        Case(ACK, 0, Answer.NOTHING, True),
        Case(ACK, 5, Answer.ACK_OOW, True),
        Case(ACK, -5, Answer.ACK_OOW, True),
        Case(FIN | ACK, -1, Answer.ACK_OOW, True),
        Case(ACK, 0, Answer.ACK_OOW, True, payload=b"x"),
        Case(FIN, 5, Answer.ACK_OOW),
        Case(SYN, 1, Answer.SYN),
        Case(SYN, 0, Answer.ACK_OOW),
        Case(SYN, -1, Answer.ACK_OOW),
        Case(SYN, -1, Answer.SYN, ts=1),
        Case(SYN, 1, Answer.ACK_OOW, True, ts=-1),
        Case(SYN | ACK, 1, Answer.ACK_OOW, True),
        Case(RST, 5, Answer.NOTHING),
        Case(ACK, 0, Answer.NOTHING, True, ts=0),
        Case(ACK, 0, Answer.ACK_OOW, True, ts=-1),
        Case(ACK, 5, Answer.ACK_OOW, True, ts=-1),
        Case(RST, 0, Answer.NOTHING, ts=-1),
    ],
)
def test_in_time_wait(case: Case) -> None:
    left = left_behind()
    before = left.armed["timewait"]
    answer, isn = answered(left, case)
    assert answer is case.answer
    assert (left.armed["timewait"] != before) == case.restarts
    assert bool(isn) == (answer is Answer.SYN)


def test_a_syn_reopens_with_a_number_beyond_what_was_used() -> None:
    assert answered(left_behind(), Case(SYN, 1, Answer.SYN)) == (Answer.SYN, SND_NXT + 65537)


def test_a_reset_ends_time_wait() -> None:
    """RFC 1337's assassination; only tcp_rfc1337 forbids it."""
    left = left_behind()
    left.net.tcp.add((HERE, 8080, PEER, 1234), left)
    assert answered(left, Case(RST, 0, Answer.NOTHING)) == (Answer.NOTHING, 0)
    assert not left.armed
    assert left.net.tcp.get((HERE, 8080, PEER, 1234)) is None


def test_the_timestamp_of_what_is_acceptable_is_remembered() -> None:
    left = left_behind()
    answered(left, Case(ACK, 0, Answer.NOTHING, ts=9))
    assert (left.ts_recent, left.ts_recent_stamp) == (TS_RECENT + 9, SEC)


@pytest.mark.parametrize(
    "case",
    [
        Case(ACK, 0, Answer.NOTHING),
        Case(ACK, -5, Answer.ACK_OOW),
        Case(ACK, 2000, Answer.ACK_OOW),
        Case(ACK, 0, Answer.RST, payload=b"late"),
        Case(FIN | ACK, 0, Answer.RST, payload=b"late"),
        Case(FIN | ACK, 1, Answer.RST),
        Case(SYN, 0, Answer.RST),
        Case(FIN, 0, Answer.NOTHING),
        Case(FIN | ACK, 0, Answer.ACK_OOW, ts=-1),
    ],
)
def test_in_an_orphans_fin_wait2(case: Case) -> None:
    """Nobody is left to read: data is refused with RST, out of window is answered with an ACK."""
    left = left_behind(State.FIN_WAIT2)
    assert answered(left, case)[0] is case.answer
    assert left.substate is State.FIN_WAIT2


def test_an_orphans_fin_wait2_becomes_time_wait_by_the_peers_fin() -> None:
    left = left_behind(State.FIN_WAIT2)
    assert answered(left, Case(FIN | ACK, 0, Answer.ACK)) == (Answer.ACK, 0)
    assert left.substate is State.TIME_WAIT
    assert left.rcv_nxt == (RCV_NXT + 1) & MASK
    assert left.armed["timewait"][0] == 61 * SEC + 4 * MSEC


def test_the_timestamp_clock_goes_on_where_the_connections_stood() -> None:
    """`tcp_tw_tsval`; RFC 7323 5.4."""
    left = left_behind()
    left.tsoffset = MASK
    assert timewait.tsval(left) == SEC // MSEC - 1
    assert len(options.timestamps(timewait.tsval(left), left.ts_recent)) == options.TIMESTAMP_ALIGNED
