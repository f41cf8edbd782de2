"""Running again: what is the same, and what a target that is not shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from fuzz import repeat as module
from fuzz.repeat import repeat, repeated_lines
from stack_under_test.contract.program import Program
from stack_under_test.contract.target import Target
from stack_under_test.contract.trace import FrameOut, Trace
from stack_under_test.reference.target import ReferenceTarget
from stack_under_test.registry import why_unavailable


class Counting(ReferenceTarget):
    """From its third program on it sends a packet nobody asked for: what it does depends on what it has run."""

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__()
        self._count = 0

    def run(self, program: Program) -> Trace:
        trace = super().run(program)
        self._count += 1
        if self._count < 3 or not trace.steps:
            return trace
        last = replace(trace.steps[-1], events=(*trace.steps[-1].events, FrameOut(b"\x45")))
        return replace(trace, steps=(*trace.steps[:-1], last))


def opened(spec: str) -> Target:
    return Counting({}) if spec == "counting" else ReferenceTarget()


def test_the_reference_does_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_target", opened)
    told: list[int] = []
    result = repeat("reference", 12, 5, 3, told.append)
    assert (result.programs, result.fresh, result.differences) == (12, 3, ())
    assert result.virtual_ns > 0
    assert told == sorted(told)
    assert list(repeated_lines(result))[-1].endswith("0 differences")


def test_what_hangs_on_earlier_programs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_target", opened)
    result = repeat("counting", 6, 5, 2)
    # Programs 0 and 1 show the packet in reverse only, 4 and 5 in order only, and 3 on an instance of its own.
    assert sorted({found.number for found in result.differences}) == [0, 1, 3, 4, 5]
    assert any("FrameOut" in line for line in repeated_lines(result))


def test_the_user_mode_kernel_does_the_same_again() -> None:
    reason = why_unavailable("uml")
    if reason is not None:
        pytest.skip(reason)
    assert repeat("uml", 150, 11, 3).differences == ()
