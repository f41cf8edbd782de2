"""The target `uml`: exact times, the same octets, guests that die, and nothing left behind."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Program
from stack_under_test.contract.trace import Blocked, Completion, FrameOut, Killed, Returned, Trace
from stack_under_test.uml.target import UmlTarget
from stack_under_test.uml.virtual import STEP_NS

LISTEN = """
r0 = socket(AF_INET, SOCK_STREAM, 0)
bind(r0, {AF_INET, 192.0.2.1, 8080}, 16)
listen(r0, 8)
"""
SYN = "< tcp 1234 > 8080 S seq peer+0 <mss 1460, sackOK, TS val 1 ecr 0>\n"
ESTABLISHED = (
    LISTEN
    + SYN
    + """< tcp 1234 > 8080 . seq peer+1 ack iss+1 <nop, nop, TS val 2 ecr ts+0>
r1 = accept4(r0, NULL, NULL, 0)
"""
)
SECOND = 1_000_000_000
ROUNDING = 100
"""Nanoseconds: the kernel converts between cycles and time."""
PROGRAMS = (
    ESTABLISHED + 'send(r1, "abc", 3, 0)\nadvance 100s\nclose(r1)\n',
    "r0 = socket(AF_INET, SOCK_STREAM, 0)\nt1: connect(r0, {AF_INET, 192.0.2.2, 9}, 16)\nadvance 10s\n",
    (
        'r0 = socket(AF_INET, SOCK_DGRAM, 0)\nsendto(r0, "x", 1, 0, {AF_INET, 192.0.2.2, 53}, 16)\n'
        "fstat(r0, &stat[144])\nadvance 7200s\n"
        'sendto(r0, "x", 1, 0, {AF_INET, 192.0.2.2, 53}, 16)\n'
    ),
    LISTEN + SYN + "fork t3\nt3: accept(r0, NULL, NULL)\nadvance 5s\n",
    'link tap\nr0 = socket(AF_INET, SOCK_DGRAM, 0)\nsendto(r0, "x", 1, 0, {AF_INET, 192.0.2.77, 53}, 16)\nadvance 5s\n',
)


def run(uml: UmlTarget, text: str) -> Trace:
    return uml.run(parse_program(text))


def frames(trace: Trace, step: int) -> list[int]:
    """When packets left in a step, in milliseconds since its start."""
    events = trace.steps[step].events
    return [(event.at - trace.steps[step].started) // 1_000_000 for event in events if isinstance(event, FrameOut)]


def test_advance_is_exact(uml: UmlTarget) -> None:
    trace = run(uml, LISTEN + "advance 1us\nadvance 123456789ns\nadvance 100000s\n")
    for step, ns in zip(trace.steps, (STEP_NS, STEP_NS, STEP_NS, 1000, 123_456_789, 100_000 * SECOND), strict=True):
        assert abs(step.ended - step.started - ns) <= ROUNDING


def test_a_syn_ack_is_repeated_at_its_times(uml: UmlTarget) -> None:
    began = time.monotonic_ns()
    trace = run(uml, LISTEN + SYN + "advance 70s\n")
    assert time.monotonic_ns() - began < 5 * SECOND
    times = frames(trace, 4)
    assert len(times) == 5
    for found, nominal in zip(times, (1_000, 3_000, 7_000, 15_000, 31_000), strict=True):
        assert nominal <= found <= nominal + 20


def test_a_waiting_call_returns_at_a_virtual_time(uml: UmlTarget) -> None:
    trace = run(uml, ESTABLISHED + "t1: poll([{r1, POLLIN}], 1, 50)\nadvance 2s\n")
    assert isinstance(trace.steps[6].outcome, Blocked)
    (event,) = trace.steps[7].events
    assert isinstance(event, Completion)
    assert event.outcome.value == 0
    assert abs(event.at - trace.steps[6].started - STEP_NS - 50_000_000) < 100_000


def test_both_links(uml: UmlTarget) -> None:
    trace = run(uml, PROGRAMS[4])
    assert frames(trace, 2) or frames(trace, 1)
    assert dict(trace.metadata)["net.ipv4.tcp_congestion_control"] == "reno"


def test_what_was_asked_of_the_world_but_refused(uml: UmlTarget) -> None:
    trace = run(uml, "sysctl net.ipv4.no_such = 1\nr0 = socket(AF_INET, SOCK_STREAM, 0)\n")
    assert "no_such" in str(trace.steps[0].outcome)
    assert isinstance(run(uml, LISTEN).steps[0].outcome, Returned)


def test_used_and_fresh_guests_give_the_same_octets(kernel: None, uml: UmlTarget) -> None:
    programs = [parse_program(text) for text in PROGRAMS]
    used = [uml.run(program).steps for program in (*programs, *programs[::-1])][::-1]
    with UmlTarget(seed=1) as fresh:
        for program, steps in zip(programs, used, strict=False):
            assert fresh.run(program).steps == steps


def test_another_seed_gives_other_numbers(kernel: None, uml: UmlTarget) -> None:
    program = parse_program(PROGRAMS[0])
    with UmlTarget(seed=2) as other:
        assert other.run(program).steps != uml.run(program).steps


def test_many_at_once_in_order(uml: UmlTarget) -> None:
    programs = [parse_program(f"advance {number}ms\n") for number in range(1, 40)]
    for number, trace in enumerate(uml.run_many(programs), 1):
        assert abs(trace.steps[0].ended - number * 1_000_000) <= ROUNDING


def test_a_guest_that_is_gone_is_replaced(kernel: None) -> None:
    with UmlTarget(limit_ns=3 * SECOND) as uml:
        os.killpg(uml.group, signal.SIGKILL)
        assert isinstance(run(uml, LISTEN).steps[2].outcome, Returned)
        os.killpg(uml.group, signal.SIGSTOP)
        assert isinstance(run(uml, LISTEN).steps[2].outcome, Returned)


def test_a_program_that_is_not_answered_is_killed(kernel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with UmlTarget(limit_ns=0) as uml:
        last = run(uml, LISTEN).steps[-1].outcome
        assert isinstance(last, Killed)
        assert last.signal == "hang"


def test_nothing_is_left_behind(kernel: None) -> None:
    folders = [Path("/dev/shm"), Path(os.environ.get("TMPDIR", "/tmp"))]
    before = {path for folder in folders for path in folder.glob("sockdiff-uml-*")}
    uml = UmlTarget()
    group = uml.group
    run(uml, ESTABLISHED)
    uml.close()
    assert {path for folder in folders for path in folder.glob("sockdiff-uml-*")} <= before
    deadline = time.monotonic_ns() + 5 * SECOND
    while _alive(group) and time.monotonic_ns() < deadline:
        time.sleep(0.01)
    assert not _alive(group)


def test_what_a_killed_parent_left_is_removed_by_the_next(kernel: None) -> None:
    old, young = (Path(tempfile.mkdtemp(prefix="sockdiff-uml-", dir="/dev/shm")) for _ in range(2))
    try:
        os.utime(old, (1000, 1000))
        UmlTarget().close()
        assert not old.exists()
        assert young.exists()
    finally:
        young.rmdir()


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_host_cannot_be_written(uml: UmlTarget, tmp_path: Path) -> None:
    name = str(tmp_path / "s")
    trace = run(uml, f'r0 = socket(AF_UNIX, SOCK_STREAM, 0)\nbind(r0, {{AF_UNIX, "{name}"}}, 110)\n')
    assert isinstance(trace.steps[1].outcome, Returned)
    assert trace.steps[1].outcome.errno == 2
    assert not list(tmp_path.iterdir())


def test_the_empty_program(uml: UmlTarget) -> None:
    assert uml.run(Program(())).steps == ()
