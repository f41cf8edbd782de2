"""The target: worlds it has, symbols, frames the link refuses, what ends a program."""

from __future__ import annotations

import struct
from typing import Never

import pytest

from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Call, Program, Signal
from stack_under_test.contract.target import Stepwise
from stack_under_test.contract.trace import Busy, Done, FrameOut, Killed, Returned, Unsupported
from stack_under_test.contract.values import Buffer, Octets, PollFds
from stack_under_test.contract.world import World
from stack_under_test.reference.syscalls import names
from stack_under_test.reference.target import ReferenceTarget
from stack_under_test.reference.tests.programs import outs, run, words


def test_it_can_be_driven_step_by_step() -> None:
    target = ReferenceTarget()
    assert isinstance(target, Stepwise)
    target.begin(World())
    assert target.step(Call("dup", (0,))).outcome == Returned(3)
    target.begin(World())
    assert target.step(Call("dup", (0,))).outcome == Returned(3)
    target.close()


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        (World(sysctls=(("net.ipv4.no_such", "1"),)), "sysctl net.ipv4.no_such"),
        (World(sysctls=(("net.ipv4.tcp_sack", "x"),)), "sysctl net.ipv4.tcp_sack = x"),
    ],
)
def test_a_world_it_does_not_have_is_unsupported_at_the_first_step(world: World, reason: str) -> None:
    (step,) = ReferenceTarget().run(Program((Call("dup", (0,)), Call("dup", (0,))), world)).steps
    assert step.outcome == Unsupported(reason)


def test_sysctls_of_the_world_are_heeded() -> None:
    program = "sysctl net.core.wmem_max = 10000\nr0 = socket(AF_INET, SOCK_DGRAM, 0)\n"
    program += "setsockopt(r0, SOL_SOCKET, SO_SNDBUF, [20000], 4)\ngetsockopt(r0, SOL_SOCKET, SO_SNDBUF, &ints[4], &[4])"
    assert outs(program)["arg3"] == struct.pack("<i", 20000)


@pytest.mark.parametrize("frame", ["", "\\x00", "\\x55\\x00", "\\x00" * 40])
def test_the_link_refuses_what_is_no_ip(frame: str) -> None:
    assert words(f'< raw "{frame}"') == "EINVAL"


@pytest.mark.parametrize("frame", ["\\x45", "\\x45\\x00\\x00", "\\x4f" + "\\x00" * 30])
def test_the_link_takes_what_claims_to_be_ipv4(frame: str) -> None:
    assert words(f'< raw "{frame}"') == "done"


def test_what_is_not_modelled_ends_the_program() -> None:
    assert words('dup(0)\n< raw "\\x60\\x00"\ndup(0)') == "3 unsupported"
    assert words("socket(AF_UNIX, SOCK_STREAM, 0)\ndup(0)") == "unsupported"


def test_results_are_named_by_their_step() -> None:
    program = """
        r0 = dup(9)
        close(r0)
        r1 = socketpair(AF_INET, SOCK_DGRAM, 0, &[7, 8])
        close(r1[0])
        r2 = socket(AF_INET, SOCK_DGRAM, 0)
        bind(r2, {AF_INET, 0.0.0.0, 1000}, 16)
        r3 = socket(AF_INET, SOCK_DGRAM, 0)
        bind(r3, {AF_INET, 127.0.0.1, port(r2)}, 16)
        bind(r3, {AF_INET, 127.0.0.1, port(r0)}, 16)
    """
    assert words(program) == "EBADF EBADF EOPNOTSUPP EBADF 3 0 4 EADDRINUSE 0"


def test_a_blocked_call_has_its_result_once_it_came_back() -> None:
    program = """
        r0 = socket(AF_INET, SOCK_STREAM, 0)
        bind(r0, {AF_INET, 127.0.0.1, 8080}, 16)
        listen(r0, 1)
        t1: r1 = accept(r0, NULL, NULL)
        close(r1)
        r2 = socket(AF_INET, SOCK_STREAM, 0)
        connect(r2, {AF_INET, 127.0.0.1, 8080}, 16)
        close(r1)
    """
    assert words(program) == "3 0 0 blocked EBADF 5 0@3=4 0"


def test_descriptors_of_the_worker_are_refused() -> None:
    refused = Unsupported("descriptor reserved by the worker")
    for call in (Call("close", (3000,)), Call("dup2", (0, (1 << 32) + 3999)), Call("poll", (PollFds(((3500, 1),)), 1, 0))):
        assert ReferenceTarget().run(Program((call,))).steps[0].outcome == refused


def test_tasks_and_signals_that_cannot_be() -> None:
    target = ReferenceTarget()
    target.begin(World())
    assert target.step(Call("dup", (0,), 8)).outcome == Busy()
    assert target.step(Signal(3, 10)).outcome == Done()
    assert isinstance(target.step(Signal(0, 9)).outcome, Unsupported)


def test_memory_outside_a_calls_image_is_zero() -> None:
    target = ReferenceTarget()
    target.begin(World())
    for call in parse_program(
        """
        r0 = socket(AF_INET, SOCK_DGRAM, 0)
        connect(r0, {AF_INET, 192.0.2.2, 7}, 16)
        write(0, "xxxxxxxxxxxxxxxxxxxxxxxx", 24)
        """
    ).steps:
        target.step(call)
    step = target.step(Call("write", (3, Octets(b"ab"), 6)))
    (frame,) = step.events
    assert isinstance(frame, FrameOut)
    assert frame.octets[28:] == b"ab\0\0\0\0"


def test_missing_arguments_are_zero_and_surplus_ones_do_not_matter() -> None:
    steps = (Call("dup", ()), Call("dup", (0, 1, 2)), Call("read", (0, Buffer(4))))
    outcomes = [step.outcome for step in ReferenceTarget().run(Program(steps)).steps]
    assert outcomes == [Returned(3), Returned(4), Returned(0, 0, (("arg1", b""),))]


def test_an_exception_in_the_stack_is_a_crash_that_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> Never:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(names, "sock_create", crash)
    outcome = run("socket(AF_INET, SOCK_DGRAM, 0)\ndup(0)")[-1].outcome
    assert isinstance(outcome, Killed)
    assert outcome.signal == "exception"
    assert "ZeroDivisionError: planted" in outcome.detail


def test_the_same_seed_gives_the_same_trace() -> None:
    program = parse_program("r0 = socket(AF_INET, SOCK_STREAM, 0)\nt1: connect(r0, {AF_INET, 192.0.2.2, 7}, 16)")
    assert ReferenceTarget(1).run(program) == ReferenceTarget(1).run(program)
    assert ReferenceTarget(1).run(program) != ReferenceTarget(2).run(program)
