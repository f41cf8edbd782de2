"""The timers of TCP, IP and the waiting calls: each program on Linux in virtual time and on the reference stack.

Every result and packet has to agree, and whatever happens by itself has to happen at the same time (rule event-time).
Those that take a moment are run on the host's kernel too, in real time: there what falls into which step has to agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conformance.harness.lockstep import Agree, Diverge, Pair, Unsupported
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Advance, Program
from stack_under_test.contract.target import Target
from stack_under_test.registry import open_target, why_unavailable

PROGRAMS = sorted(Path(__file__).parent.glob("*.txt"))
_MOMENT_NS = 100_000_000, 1_100_000_000


def _read(path: Path) -> Program:
    return parse_program(path.read_text("utf-8"))


def _slept_ns(path: Path) -> int:
    return sum(step.ns for step in _read(path).steps if isinstance(step, Advance))


SHORT = [path for path in PROGRAMS if _MOMENT_NS[0] <= _slept_ns(path) <= _MOMENT_NS[1]]


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


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 40
    assert len(SHORT) >= 20


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program(pair: Pair, path: Path) -> None:
    result = pair.run(_read(path))
    if isinstance(result, Unsupported):
        pytest.skip(f"{result.side}: {result.reason}")
    if isinstance(result, Diverge):
        pytest.fail(str(result.divergence))
    assert isinstance(result, Agree)


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_short_program_in_real_time(beside_linux: Pair, path: Path) -> None:
    result = beside_linux.run(_read(path))
    if isinstance(result, Diverge):
        pytest.fail(str(result.divergence))
    if not isinstance(result, Agree):
        pytest.skip(f"this machine is too busy: {type(result).__name__}")
