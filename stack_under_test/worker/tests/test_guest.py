"""A worker by itself, as it runs in another kernel: it makes its own worlds and streams what happens."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack_under_test.contract.abi import AF_INET, SOCK_STREAM
from stack_under_test.contract.frames import Frame, Rel, TcpSegment
from stack_under_test.contract.program import Advance, Call, Inject, Program
from stack_under_test.contract.trace import Blocked, Completion, FrameOut, Returned, StepTrace, Trace
from stack_under_test.contract.values import NULL, Inet, Ref
from stack_under_test.contract.world import STACK_IP, World
from stack_under_test.worker.reader import Metadata, Reading, read_stream, request

ROOT = Path(__file__).resolve().parents[3]
STEPS = (
    Call("socket", (AF_INET, SOCK_STREAM, 0)),
    Call("bind", (Ref(0), Inet(STACK_IP, 8080), 16)),
    Call("listen", (Ref(0), 4)),
    Call("accept", (Ref(0), NULL, NULL)),
    Inject(Frame(TcpSegment(1234, 8080, 2, Rel("peer")))),
    Inject(Frame(TcpSegment(1234, 8080, 16, Rel("peer", 1), Rel("iss", 1)))),
    Advance(1_000_000),
)


@pytest.fixture
def guest() -> Iterator[subprocess.Popen[bytes]]:
    if sys.platform != "linux" or platform.machine() != "x86_64" or os.geteuid() != 0:
        pytest.skip("needs root on Linux")
    process = subprocess.Popen(
        [sys.executable, "-m", "stack_under_test.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def run(guest: subprocess.Popen[bytes], programs: list[Program], metadata: dict[World, Metadata]) -> list[Trace]:
    assert guest.stdin is not None
    assert guest.stdout is not None
    assert guest.stderr is not None
    output = guest.stdout
    guest.stdin.write(request(programs))
    guest.stdin.flush()
    reading = Reading(programs, "guest", metadata)

    def read(size: int) -> bytes | None:
        octets = output.read(size)
        return octets if len(octets) == size else None

    if not read_stream(read, programs, reading):
        words = guest.stderr.read().decode()
        if "Operation not permitted" in words or "/dev/net/tun" in words:
            pytest.skip(words.splitlines()[-1])
        raise AssertionError(words)
    return reading.traces


def shape(step: StepTrace) -> object:
    if isinstance(step.outcome, Returned):
        return step.outcome.value
    return type(step.outcome).__name__


@pytest.mark.parametrize("link", ["tun", "tap"])
def test_guest(guest: subprocess.Popen[bytes], link: str) -> None:
    metadata: dict[World, Metadata] = {}
    program = Program(STEPS, World(link))
    first, second = run(guest, [program, program], metadata)
    (third,) = run(guest, [program], metadata)
    for trace in (first, second, third):
        if any("world:" in str(step.outcome) for step in trace.steps):
            pytest.skip(str(trace.steps[0].outcome))
        assert [shape(step) for step in trace.steps] == [3, 0, 0, "Blocked", "Done", "Done", "Done"]
        assert isinstance(trace.steps[3].outcome, Blocked)
        (synack,) = trace.steps[4].events
        assert isinstance(synack, FrameOut)
        (accepted,) = trace.steps[5].events
        assert isinstance(accepted, Completion)
        assert accepted.outcome.value == 4
        assert dict(trace.metadata)["net.ipv4.tcp_congestion_control"] == "reno"
