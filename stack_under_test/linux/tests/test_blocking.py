"""Calls that wait, tasks, forks and signals."""

from __future__ import annotations

import pytest

from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, Rel, TcpSegment
from stack_under_test.contract.program import Advance, Fork, Inject, Signal, Step
from stack_under_test.contract.trace import Completion, Signalled
from stack_under_test.contract.values import (
    NULL,
    Buffer,
    EpollEvent,
    FdSet,
    Inet,
    InOut,
    Ints,
    IoVec,
    MsgHdr,
    Octets,
    PollFds,
    PortOf,
    Ref,
    Timeval,
)
from stack_under_test.contract.world import PEER_IP, STACK_IP, World
from stack_under_test.linux import LinuxTarget
from stack_under_test.linux.target import UNORDERED
from stack_under_test.linux.tests.programs import (
    ACK,
    FIN,
    HERE,
    PSH,
    RST,
    SYN,
    call,
    completions,
    established,
    flags_of,
    frames,
    listening,
    out,
    program,
    result,
    results,
    segment,
)

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


# Forks


def test_fork_shares_descriptions_not_the_table(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *established(),
            Fork(1),
            call("close", Ref(5)),
            call("send", Ref(5), Octets(b"child"), 5, 0, task=1),
            call("socket", abi.AF_INET, abi.SOCK_STREAM, 0, task=1),
            call("socket", abi.AF_INET, abi.SOCK_STREAM, 0),
            call("fcntl", Ref(0), abi.F_SETFL, 0, task=1),
            call("fcntl", Ref(0), abi.F_GETFL, 0),
            call("close", Ref(5), task=1),
        )
    )
    assert results(trace)[6:] == ["Done", (0, ""), (5, ""), (5, ""), (4, ""), (0, ""), (abi.O_RDWR, ""), (0, "")]
    assert frames(trace.steps[8])[0][40:] == b"child"
    assert flags_of(frames(trace.steps[13])[0]) & FIN


def test_fork_hands_over_every_descriptor(linux: LinuxTarget) -> None:
    """Also those beyond what one message of SCM_RIGHTS takes, with the holes between them and their flags; and what one
    program's task had, the next one's does not have."""
    copies = [call("fcntl", Ref(0), abi.F_DUPFD, 3 + 2 * number) for number in range(300)]
    asked = (call("fcntl", 3 + 2 * number, abi.F_GETFD, 0, task=1) for number in range(0, 300, 7))
    steps: tuple[Step, ...] = (
        call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0),
        *copies,
        call("dup3", Ref(0), 1023, abi.O_CLOEXEC),
        Fork(1),
        *asked,
        call("fcntl", 1023, abi.F_GETFD, 0, task=1),
        call("fcntl", 1022, abi.F_GETFD, 0, task=1),
        call("fcntl", 2, abi.F_GETFD, 0, task=1),
        call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0, task=1),
    )
    for _ in range(2):
        trace = linux.run(program(*steps))
        assert results(trace)[302:-4] == ["Done", *[(0, "")] * 43]
        assert results(trace)[-4:] == [(1, ""), (-1, "EBADF"), (0, ""), (6, "")]
        assert results(linux.run(program(Fork(1), call("close", 3, task=1))))[1] == (-1, "EBADF")


def test_fork_is_in_the_programs_world(linux: LinuxTarget) -> None:
    for ttl in (64, 70, 64):
        trace = linux.run(
            program(
                Fork(1),
                call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0, task=1),
                call("sendto", Ref(1), Octets(b"child"), 5, 0, Inet(PEER_IP, 9), 16, task=1),
                world=World(sysctls=(("net.ipv4.ip_default_ttl", str(ttl)),)),
            )
        )
        assert [frame[8] for frame in frames(trace.steps[2])] == [ttl]


def test_fork_waits_and_is_signalled(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *established(),
            Fork(2),
            call("recv", Ref(5), Buffer(4), 4, 0, task=2),
            call("recv", Ref(5), Buffer(4), 4, 0, task=2),
            Signal(2, abi.SIGUSR1),
            call("recv", Ref(5), Buffer(4), 4, 0, task=2),
            segment(PSH | ACK, 1, 1, b"data"),
        )
    )
    assert results(trace)[7:] == ["Blocked", "Busy", "Done", "Blocked", "Done"]
    assert completions(trace.steps[9]) == [(7, -1, 4)]
    assert completions(trace.steps[11]) == [(10, 4, 0)]


def test_fork_rules(linux: LinuxTarget) -> None:
    """A task comes to life once: as a thread by its first call, or as a process."""
    trace = linux.run(program(Fork(0), Fork(1), Fork(1), call("close", 99, task=2), Fork(2), Fork(8), Fork(7)))
    assert results(trace) == ["Busy", "Done", "Busy", (-1, "EBADF"), "Busy", "Busy", "Done"]


def test_port_of_a_forked_tasks_socket(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            Fork(1),
            call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0, task=1),
            call("bind", Ref(1), Inet(STACK_IP, 0), 16, task=1),
            call("connect", Ref(1), Inet(STACK_IP, PortOf(Ref(1))), 16, task=1),
            call("getpeername", Ref(1), Buffer(16, "addr"), InOut((16,)), task=1),
        )
    )
    assert out(trace.steps[4], "arg1")[2:4] != bytes(2)


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
