"""The timers of TCP, IP and the waiting calls: each program on Linux in virtual time and on the reference stack.

Every result and packet has to agree, and whatever happens by itself has to happen at the same time, but for what Linux
adds to a delay: a clock tick each time a timer is armed, and for hours the rounding of its timer wheel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conformance.harness.lockstep import Agree, Diverge, Pair, Unsupported
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.target import Target
from stack_under_test.contract.trace import Trace
from stack_under_test.registry import open_target, why_unavailable

PROGRAMS = sorted(Path(__file__).parent.glob("*.txt"))
TICK_NS = 4_000_000
"""250 Hz.  Linux lets a timer run at the first tick that is surely not too early: one later than the delay says."""
WHEEL = 16_384
"""A two-hour delay is kept to this fraction (`docs/uml.md`, 05)."""


@pytest.fixture(scope="module")
def uml() -> Iterator[Target]:
    reason = why_unavailable("uml")
    if reason is not None:
        pytest.skip(reason)
    with closing(open_target("uml")) as target:
        yield target


@pytest.fixture(scope="module")
def pair(uml: Target) -> Pair:
    return Pair(uml, open_target("reference"))


def apart(left: Trace, right: Trace) -> list[str]:
    """Events whose times differ by more than Linux's rounding of all the timers so far explains."""
    found, count = [], 1
    for index, (this, that) in enumerate(zip(left.steps, right.steps, strict=True)):
        for one, other in zip(this.events, that.events, strict=True):
            if abs(one.at - other.at) > count * TICK_NS + one.at // WHEEL:
                found.append(f"step {index}: {one.at} ns and {other.at} ns")
            count += 1
    return found


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 40


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program(pair: Pair, path: Path) -> None:
    result = pair.run(parse_program(path.read_text("utf-8")))
    if isinstance(result, Unsupported):
        pytest.skip(f"{result.side}: {result.reason}")
    if isinstance(result, Diverge):
        pytest.fail(str(result.divergence))
    assert isinstance(result, Agree)
    assert apart(result.left, result.right) == []
