"""Forked tasks: descriptors of their own, for the same open descriptions."""

from __future__ import annotations

from stack_under_test.contract import abi
from stack_under_test.contract.program import Fork, Signal, Step
from stack_under_test.contract.values import Buffer, Inet, InOut, Octets, PortOf, Ref
from stack_under_test.contract.world import PEER_IP, STACK_IP, World
from stack_under_test.linux import LinuxTarget
from stack_under_test.linux.tests.programs import call, established, program, segment
from stack_under_test.linux.tests.traces import completions, flags_of, frames, out, results
from stack_under_test.wire.tcp import ACK, FIN, PSH


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
