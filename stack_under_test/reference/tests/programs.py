"""Programs as text, run on the reference stack, and their results as words."""

from __future__ import annotations

from stack_under_test.contract.errnos import errno_name
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.trace import (
    Blocked,
    Busy,
    Completion,
    Done,
    Returned,
    Signalled,
    StepTrace,
    Unsupported,
)
from stack_under_test.reference.target import ReferenceTarget


def run(text: str) -> list[StepTrace]:
    return list(ReferenceTarget().run(parse_program(text)).steps)


def words(text: str) -> str:
    """One word a step: the value or the error, ``blocked``, ``busy``, ``done`` or ``unsupported``.

    Behind a word ``@3=EINTR`` says that the call of step 3 came back, ``!SIGPIPE`` that a signal was raised.
    """
    return " ".join(_word(step) for step in run(text))


def outs(text: str) -> dict[str, bytes]:
    """What the last step, a call that returned, has stored."""
    outcome = run(text)[-1].outcome
    assert isinstance(outcome, Returned), outcome
    return dict(outcome.outs)


def _word(step: StepTrace) -> str:
    parts = [_outcome(step)]
    for event in step.events:
        if isinstance(event, Completion):
            parts.append(f"@{event.step}={_returned(event.outcome)}")
        elif isinstance(event, Signalled):
            parts.append(f"!{event.signal}")
    return "".join(parts)


def _outcome(step: StepTrace) -> str:
    outcome = step.outcome
    if isinstance(outcome, Returned):
        return _returned(outcome)
    if isinstance(outcome, Done):
        return errno_name(outcome.errno) if outcome.errno else "done"
    names = {Blocked: "blocked", Busy: "busy", Unsupported: "unsupported"}
    assert type(outcome) in names, outcome
    return names[type(outcome)]


def _returned(outcome: Returned) -> str:
    return errno_name(outcome.errno) if outcome.errno else str(outcome.value)
