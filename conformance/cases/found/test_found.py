"""What campaigns have found: each program once differed, on Linux and on the reference stack or on Linux alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conformance.harness.lockstep import Agree, Late, Pair
from stack_under_test.contract.parser import parse_program
from stack_under_test.registry import open_target, why_unavailable

PROGRAMS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    reason = why_unavailable("linux")
    if reason is not None:
        pytest.skip(reason)
    with closing(open_target("linux")) as linux, closing(open_target("reference")) as reference:
        yield Pair(linux, reference, attempts=20)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program(pair: Pair, path: Path) -> None:
    result = pair.run(parse_program(path.read_text("utf-8")))
    if isinstance(result, Late):
        pytest.skip(f"this machine is too busy: {result.excess} ns late")
    assert isinstance(result, Agree), result
