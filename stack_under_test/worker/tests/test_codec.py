"""Programs and records as octets."""

from __future__ import annotations

import socket

import pytest

from stack_under_test.contract.frames import Frame, IcmpMessage, Ip, RawFrame, Rel, TcpOption, TcpSegment, UdpDatagram
from stack_under_test.contract.program import Advance, Call, Fork, Inject, Program, Signal, Step
from stack_under_test.contract.trace import (
    Blocked,
    Busy,
    Completion,
    Done,
    FrameOut,
    Killed,
    Outcome,
    Returned,
    Signalled,
    StepTrace,
    Unsupported,
)
from stack_under_test.contract.values import (
    BAD,
    NULL,
    Buffer,
    Control,
    ControlMessage,
    EpollEvent,
    FdSet,
    Inet,
    Inet6,
    InOut,
    Ints,
    IoVec,
    MsgHdr,
    Octets,
    PollFds,
    PortOf,
    Ref,
    Timeval,
    Unix,
)
from stack_under_test.contract.world import World
from stack_under_test.worker.codec import (
    OutcomeRecord,
    build,
    flatten,
    pack_programs,
    pack_step,
    unpack_programs,
    unpack_step,
)

STEPS: tuple[Step, ...] = (
    Call("socket", (2, 1, 0)),
    Call("socketpair", (1, 1, 0, InOut((0, Ref(3)))), 2),
    Call("bind", (Ref(0), Inet(b"\1\2\3\4", PortOf(Ref(1))), 16)),
    Call("bind", (Ref(0, 1), Inet6(bytes(16), 1, 2, 3), 28)),
    Call("bind", (NULL, Unix(b"/x"), 1 << 70)),
    Call("setsockopt", (BAD, -1, 2, Ints((1, Ref(2))), 4)),
    Call("poll", (PollFds(((Ref(1), 1), (2, 3))), 2, 5)),
    Call("select", (4, FdSet((1, Ref(2))), NULL, NULL, Timeval(1, 2))),
    Call("epoll_ctl", (1, 2, 3, EpollEvent(4, 1 << 63))),
    Call(
        "sendmsg",
        (1, MsgHdr(Octets(b"n"), 1, IoVec(((Buffer(3), 4),)), None, Control((ControlMessage(1, 2, b"3"),))), 0),
    ),
    Inject(RawFrame(b"raw")),
    Inject(Frame(TcpSegment(1, PortOf(Ref(2)), 2, Rel("peer", 1), 7, options=(TcpOption("TS", (Rel("ts"), 0)),)))),
    Inject(Frame(IcmpMessage(3, 1, body=Frame(UdpDatagram(1, 2, b"u"), Ip(ttl=3))))),
    Advance(5),
    Signal(1, 10),
    Fork(3),
)


def test_programs_survive() -> None:
    programs = [Program(STEPS), Program((), World("tap", (("net.a", "1"),)))]
    read = [Program(tuple(build(step) for step in steps), world) for world, steps in unpack_programs(pack_programs(programs))]
    assert read == programs


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_equal_steps_are_equal_keys(step: Step) -> None:
    assert flatten(step) == flatten(build(flatten(step)))
    assert hash(flatten(step)) == hash(flatten(build(flatten(step))))


def test_enumerations_become_plain() -> None:
    call = Call("socket", (socket.AF_INET, socket.SOCK_DGRAM, True))
    frame = Inject(Frame(UdpDatagram(1, 2, bytearray(b"x")), Ip(protocol=socket.IPPROTO_UDP)))  # type: ignore[arg-type]
    ((_, steps),) = unpack_programs(pack_programs([Program((call, frame))]))
    assert build(steps[0]) == call
    assert build(steps[1]) == Inject(Frame(UdpDatagram(1, 2, b"x"), Ip(protocol=17)))


def test_what_is_no_program() -> None:
    with pytest.raises(TypeError, match="no part of a program"):
        flatten(Call("socket", (1.5,)))  # type: ignore[arg-type]


def test_records() -> None:
    records: dict[OutcomeRecord, Outcome] = {
        ("r", -1, 11, (("arg1", b"x"),)): Returned(-1, 11, (("arg1", b"x"),)),
        ("b",): Blocked(),
        ("y",): Busy(),
        ("d", 22): Done(22),
        ("k", "hang", "why"): Killed("hang"),
        ("u", "no"): Unsupported("no"),
    }
    for record, outcome in records.items():
        assert unpack_step(pack_step((record, (), 1, 2))) == StepTrace(outcome, (), 1, 2)
    events = (("f", b"o", 1), ("c", 4, 5, 0, (), 2), ("s", 1, "SIGPIPE", 3))
    assert unpack_step(pack_step((("d", 0), events, 0, 9))).events == (
        FrameOut(b"o", 1),
        Completion(4, Returned(5), 2),
        Signalled(1, "SIGPIPE", 3),
    )
