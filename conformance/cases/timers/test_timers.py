"""The timers of TCP, IP and the waiting calls: each program on Linux in virtual time and on the reference stack.

Every result and packet has to agree, and everything that happens by itself has to happen at the same time, to one
clock tick on either side; `LATER` lists programs for which that is known not to hold, and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import pytest

from conformance.harness.lockstep import Agree, Diverge, Pair, Unsupported
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.target import Target
from stack_under_test.contract.trace import Trace
from stack_under_test.registry import open_target, why_unavailable

PROGRAMS = sorted(Path(__file__).parent.glob("*.txt"))
TICK_NS = 4_000_000
"""250 Hz: a timer is armed at some moment and runs at a tick, and both sides round."""

LATER: Mapping[str, str] = MappingProxyType({})
"""Program -> why something in it happens at another time on the reference stack."""


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


def latest(left: Trace, right: Trace) -> tuple[int, int]:
    """The largest difference between the times of corresponding events, and its step."""
    return max(
        (abs(one.at - other.at), index)
        for index, (this, that) in enumerate(zip(left.steps, right.steps, strict=True))
        for one, other in [(None, None), *zip(this.events, that.events, strict=True)]
        if one is not None and other is not None
    )


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
