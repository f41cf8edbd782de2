"""Calls that wait, tasks and signals."""

from __future__ import annotations

import pytest

from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, Rel, TcpSegment
from stack_under_test.contract.program import Advance, Fork, Inject, Signal
from stack_under_test.contract.trace import Completion, Signalled
from stack_under_test.contract.values import (
    NULL,
    Buffer,
    EpollEvent,
    FdSet,
    Inet,
    Ints,
    IoVec,
    MsgHdr,
    Octets,
    PollFds,
    Ref,
    Timeval,
)
from stack_under_test.contract.world import PEER_IP
from stack_under_test.linux import LinuxTarget
from stack_under_test.linux.target import UNORDERED
from stack_under_test.linux.tests.programs import HERE, call, established, listening, program, segment
from stack_under_test.linux.tests.traces import completions, flags_of, frames, result, results
from stack_under_test.wire.tcp import ACK, FIN, PSH, RST, SYN

MS = 1_000_000


def test_accept_completes_when_the_handshake_does(linux: LinuxTarget) -> None:
    trace = linux.run(program(*listening(), call("accept", Ref(0), NULL, NULL), segment(SYN), segment(ACK, 1, 1)))
    assert results(trace)[3] == "Blocked"
    assert [completions(step) for step in trace.steps[3:]] == [[], [], [(3, 4, 0)]]


def test_a_value_completed_later_can_be_used(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *listening(),
            call("accept", Ref(0), NULL, NULL),
            segment(SYN),
            segment(ACK, 1, 1),
            call("send", Ref(3), Octets(b"hi"), 2, 0),
        )
    )
    assert frames(trace.steps[6])[0][40:] == b"hi"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("recv", (Ref(5), Buffer(10), 10, 0)),
        ("recvfrom", (Ref(5), Buffer(10), 10, 0, NULL, NULL)),
        ("read", (Ref(5), Buffer(10), 10)),
        ("readv", (Ref(5), IoVec(((Buffer(10), 10),)), 1)),
        ("recvmsg", (Ref(5), MsgHdr(iov=IoVec(((Buffer(10), 10),))), 0)),
    ],
)
def test_receiving_waits_for_data(linux: LinuxTarget, name: str, args: tuple[Ref, ...]) -> None:
    trace = linux.run(program(*established(), call(name, *args), segment(PSH | ACK, 1, 1, b"hello")))
    assert results(trace)[6] == "Blocked"
    assert completions(trace.steps[7]) == [(6, 5, 0)]
    event = next(event for event in trace.steps[7].events if isinstance(event, Completion))
    assert b"hello" in dict(event.outcome.outs).values()


def test_waiting_for_all(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *established(),
            segment(PSH | ACK, 1, 1, b"ab"),
            call("recv", Ref(5), Buffer(4), 4, abi.MSG_WAITALL),
            segment(PSH | ACK, 3, 1, b"c"),
            segment(PSH | ACK, 4, 1, b"d"),
        )
    )
    assert results(trace)[7] == "Blocked"
    assert [completions(step) for step in trace.steps[8:]] == [[], [(7, 4, 0)]]


def test_connect(linux: LinuxTarget) -> None:
    stream = call("socket", abi.AF_INET, abi.SOCK_STREAM, 0)
    bind = call("bind", Ref(0), HERE, 16)
    to_peer = call("connect", Ref(0), Inet(PEER_IP, 1234), 16)
    refused = linux.run(program(stream, bind, to_peer, segment(RST | ACK, 0, 1)))
    assert completions(refused.steps[3]) == [(2, -1, 111)]
    made = linux.run(program(stream, bind, to_peer, segment(SYN | ACK, 0, 1)))
    assert completions(made.steps[3]) == [(2, 0, 0)]
    assert flags_of(frames(made.steps[3])[0]) == ACK


def test_send_waits_for_room(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *established(),
            call("setsockopt", Ref(5), abi.SOL_SOCKET, abi.SO_SNDBUF, Ints((4608,)), 4),
            call("send", Ref(5), Octets(b"x" * 100_000), 100_000, 0),
            segment(RST | ACK, 1, 1),
        )
    )
    assert results(trace)[7] == "Blocked"
    assert [event[0] for event in completions(trace.steps[8])] == [7]


@pytest.mark.parametrize("wait", ["poll", "select", "epoll_wait"])
def test_readiness_waits(linux: LinuxTarget, wait: str) -> None:
    args = {
        "poll": (PollFds(((Ref(5), abi.POLLIN),)), 1, -1),
        "select": (10, FdSet((Ref(5),)), NULL, NULL, NULL),
        "epoll_wait": (Ref(6), Buffer(24, "events"), 2, -1),
    }[wait]
    trace = linux.run(
        program(
            *established(),
            call("epoll_create1", 0),
            call("epoll_ctl", Ref(6), abi.EPOLL_CTL_ADD, Ref(5), EpollEvent(abi.EPOLLIN, 1)),
            call(wait, *args),
            segment(PSH | ACK, 1, 1, b"x"),
            call(wait, *args),
        )
    )
    assert results(trace)[8] == "Blocked"
    assert completions(trace.steps[9]) == [(8, 1, 0)]
    assert result(trace.steps[10]) == (1, "")


def test_timeouts_run_out_while_time_passes(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *listening(),
            call("poll", PollFds(((Ref(0), abi.POLLIN),)), 1, 200),
            call("select", 10, FdSet((Ref(0),)), NULL, NULL, Timeval(0, 260_000), task=1),
            Advance(50 * MS),
            Advance(300 * MS),
        )
    )
    assert completions(trace.steps[5]) == []
    assert completions(trace.steps[6]) == [(3, 0, 0), (4, 0, 0)]
    first, second = (event for event in trace.steps[6].events if isinstance(event, Completion))
    assert 30 * MS < second.at - first.at < 120 * MS
    assert 349 * MS < trace.steps[6].ended - trace.steps[5].started < 500 * MS


def test_retransmissions_are_stamped(linux: LinuxTarget) -> None:
    """A SYN-ACK is sent again after a second; it is seen when it leaves, not when the time is over."""
    trace = linux.run(program(*listening(), segment(SYN), Advance(1_300 * MS)))
    (event,) = trace.steps[4].events
    assert 900 * MS < event.at - trace.steps[3].ended < 1_200 * MS


def test_busy(linux: LinuxTarget) -> None:
    accept = call("accept", Ref(0), NULL, NULL)
    trace = linux.run(
        program(*listening(), accept, accept, call("getsockname", 0, NULL, NULL), call("listen", Ref(0), 1, task=1))
    )
    assert results(trace)[3:] == ["Blocked", "Busy", "Busy", (0, "")]
    assert results(linux.run(program(call("close", 99, task=8), call("close", 99, task=-1)))) == ["Busy", "Busy"]


def test_two_tasks_wait_for_one_listener(linux: LinuxTarget) -> None:
    """The one that waited first is served first."""
    trace = linux.run(
        program(
            *listening(),
            call("accept", Ref(0), NULL, NULL, task=2),
            call("accept", Ref(0), NULL, NULL, task=1),
            segment(SYN),
            segment(ACK, 1, 1),
            call("close", Ref(0)),
        )
    )
    assert completions(trace.steps[6]) == [(3, 4, 0)]


def test_closing_in_another_task(linux: LinuxTarget) -> None:
    """close takes the number away but not the file: a waiting recv still gets its data."""
    trace = linux.run(
        program(
            *established(),
            call("recv", Ref(5), Buffer(4), 4, 0, task=1),
            call("close", Ref(5)),
            segment(PSH | ACK, 1, 1, b"data"),
            call("recv", Ref(5), Buffer(4), 4, 0),
        )
    )
    assert results(trace)[6:] == ["Blocked", (0, ""), "Done", (-1, "EBADF")]
    assert completions(trace.steps[8]) == [(6, 4, 0)]
    assert any(flags_of(frame) & (FIN | RST) for frame in frames(trace.steps[8]))


def test_shutdown_wakes_another_task(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(*established(), call("recv", Ref(5), Buffer(4), 4, 0, task=1), call("shutdown", Ref(5), abi.SHUT_RD))
    )
    assert completions(trace.steps[7]) == [(6, 0, 0)]


def test_one_completion_wakes_another(linux: LinuxTarget) -> None:
    """Over loopback, one task's datagram ends another's wait within the same step."""
    trace = linux.run(
        program(
            call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0),
            call("bind", Ref(0), HERE, 16),
            call("recv", Ref(0), Buffer(4), 4, 0, task=1),
            call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0),
            call("sendto", Ref(3), Octets(b"ping"), 4, 0, HERE, 16),
        )
    )
    assert result(trace.steps[4]) == (4, "")
    assert completions(trace.steps[4]) == [(2, 4, 0)]


def test_lingering_close(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *established(),
            call("setsockopt", Ref(5), abi.SOL_SOCKET, abi.SO_LINGER, Ints((1, 10)), 8),
            call("send", Ref(5), Octets(b"abc"), 3, 0),
            call("close", Ref(5)),
            segment(ACK, 1, 5),
        )
    )
    assert results(trace)[8] == "Blocked"
    assert completions(trace.steps[9]) == [(8, 0, 0)]


# Signals


def test_signals(linux: LinuxTarget) -> None:
    """SIGUSR1 interrupts, SIGUSR2 restarts, and neither matters to a task that does not wait."""
    trace = linux.run(
        program(
            *established(),
            Signal(0, abi.SIGUSR1),
            Signal(3, abi.SIGUSR2),
            call("recv", Ref(5), Buffer(4), 4, 0),
            Signal(0, abi.SIGUSR2),
            Signal(0, abi.SIGUSR1),
            call("recv", Ref(5), Buffer(4), 4, 0, task=1),
            Signal(1, abi.SIGUSR1),
        )
    )
    assert [completions(step) for step in trace.steps[8:]] == [[], [], [(8, -1, 4)], [], [(11, -1, 4)]]


def test_uncaught_signal(linux: LinuxTarget) -> None:
    assert results(linux.run(program(Signal(0, 9)))) == ["Unsupported"]


def test_sigpipe_in_a_task_that_waited(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *established(),
            call("setsockopt", Ref(5), abi.SOL_SOCKET, abi.SO_SNDBUF, Ints((4608,)), 4),
            call("send", Ref(5), Octets(b"x" * 100_000), 100_000, 0, task=1),
            segment(RST | ACK, 1, 1),
            call("writev", Ref(5), IoVec(((Octets(b"x"), 1),)), 1, task=1),
            call("writev", Ref(5), IoVec(((Octets(b"x"), 1),)), 1, task=1),
        )
    )
    assert [result(step) for step in trace.steps[9:]] == [(-1, "ECONNRESET"), (-1, "EPIPE")]
    assert next(event for event in trace.steps[10].events if isinstance(event, Signalled)).task == 1


def test_urgent_data_signals_the_owner(linux: LinuxTarget) -> None:
    """The worker is process 1 of its own PID namespace; no other process can be named."""
    urgent = Inject(Frame(TcpSegment(1234, 8080, PSH | ACK | 32, Rel("peer", 1), Rel("iss", 1), payload=b"u", urgent=1)))
    trace = linux.run(
        program(
            *established(),
            call("fcntl", Ref(5), abi.F_SETOWN, 1),
            urgent,
            call("fcntl", Ref(5), abi.F_SETOWN, 999),
        )
    )
    assert "SIGURG" in [event.signal for event in trace.steps[7].events if isinstance(event, Signalled)]
    assert result(trace.steps[8]) == (-1, "ESRCH")


# Ends of programs


@pytest.mark.parametrize("forked", [False, True])
def test_waiting_calls_do_not_outlive_the_program(linux: LinuxTarget, forked: bool) -> None:
    waiting = program(
        *listening(),
        *((Fork(1), Fork(2)) if forked else ()),
        call("accept", Ref(0), NULL, NULL),
        call("accept", Ref(0), NULL, NULL, task=1),
        call("poll", PollFds(((Ref(0), 1),)), 1, -1, task=2),
    )
    for _ in range(3):
        assert results(linux.run(waiting))[-3:] == ["Blocked"] * 3
    assert results(linux.run(program(*listening(), call("close", Ref(0))))) == [(3, ""), (0, ""), (0, ""), (0, "")]


def test_many_programs_that_wait(linux: LinuxTarget) -> None:
    """The same answer each time, whatever the machine is doing; of two tasks the lower goes first."""
    recv = call("recv", Ref(3), Buffer(4), 4, 0)
    if UNORDERED in linux.traits.facts:
        pytest.skip(UNORDERED[1])
    waiting = program(
        *listening(),
        call("accept", Ref(0), NULL, NULL),
        segment(SYN),
        segment(ACK, 1, 1),
        recv,
        call("recv", Ref(3), Buffer(4), 4, 0, task=1),
        call("poll", PollFds(((Ref(3), abi.POLLIN),)), 1, -1, task=2),
        segment(PSH | ACK, 1, 1, b"one"),
        recv,
        segment(PSH | ACK, 4, 1, b"two"),
    )
    expected = [[(3, 4, 0)], [], [], [], [(6, 3, 0)], [], [(10, 3, 0)]]
    for trace in linux.run_many([waiting] * 300):
        assert [completions(step) for step in trace.steps[5:]] == expected
