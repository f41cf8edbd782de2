"""What campaigns have found: each program once differed, on Linux and on the reference stack or on Linux alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.harness.lockstep import Agree, Flaky, Late, Pair, Unsteady
from stack_under_test.contract.parser import parse_program

PROGRAMS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program(beside_linux: Pair, path: Path) -> None:
    result = beside_linux.run(parse_program(path.read_text("utf-8")))
    if isinstance(result, Flaky | Late | Unsteady):
        pytest.skip(f"this machine is too busy: {type(result).__name__}")
    assert isinstance(result, Agree), result
