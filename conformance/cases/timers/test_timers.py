"""The timers of TCP, IP and the waiting calls: each program on Linux in virtual time and on the reference stack.

Every result and packet has to agree, and whatever happens by itself has to happen at the same time (rule event-time).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conformance.harness.lockstep import Agree, Diverge, Pair, Unsupported
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.target import Target
from stack_under_test.registry import open_target, why_unavailable

PROGRAMS = sorted(Path(__file__).parent.glob("*.txt"))


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


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program(pair: Pair, path: Path) -> None:
    result = pair.run(parse_program(path.read_text("utf-8")))
    if isinstance(result, Unsupported):
        pytest.skip(f"{result.side}: {result.reason}")
    if isinstance(result, Diverge):
        pytest.fail(str(result.divergence))
    assert isinstance(result, Agree)
