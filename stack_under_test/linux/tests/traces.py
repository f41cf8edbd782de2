"""Short ways to read traces."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from stack_under_test.contract.trace import Completion, FrameOut, Outcome, Returned, StepTrace, Trace


def result(step: StepTrace) -> tuple[int, str]:
    """(value, name of the error)."""
    outcome: Outcome = step.outcome
    assert isinstance(outcome, Returned), outcome
    return outcome.value, errno.errorcode[outcome.errno] if outcome.errno else ""


def results(trace: Trace) -> list[tuple[int, str] | str]:
    """What each step came to: a result, or the name of the outcome's class."""
    return [result(step) if isinstance(step.outcome, Returned) else type(step.outcome).__name__ for step in trace.steps]


def frames(steps: Sequence[StepTrace] | StepTrace) -> list[bytes]:
    each = [steps] if isinstance(steps, StepTrace) else steps
    return [event.octets for step in each for event in step.events if isinstance(event, FrameOut)]


def flags_of(frame: bytes) -> int:
    """TCP flags of an IPv4 packet without options."""
    return frame[33]


def completions(step: StepTrace) -> list[tuple[int, int, int]]:
    """(step, value, errno) of the calls that came back in this step."""
    return [(event.step, event.outcome.value, event.outcome.errno) for event in step.events if isinstance(event, Completion)]


def out(step: StepTrace, path: str) -> bytes:
    assert isinstance(step.outcome, Returned)
    return dict(step.outcome.outs)[path]
