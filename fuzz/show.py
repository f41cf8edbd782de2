"""A program's run, or the difference between two, as lines for people and as values for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.harness.lockstep import Diverge, Flaky, Late, Result, Unsteady, Unsupported
from conformance.harness.normalise import normalise
from conformance.harness.record import explained_json, explained_text
from conformance.harness.view_text import view_lines
from conformance.releases import sentences
from fuzz.explain import Judged
from stack_under_test.contract.errnos import errno_name
from stack_under_test.contract.printer import label_steps, print_step
from stack_under_test.contract.program import Program
from stack_under_test.contract.target import Traits
from stack_under_test.contract.trace import Completion, FrameOut, Returned, StepTrace, Trace

_MARGIN = "    "


def run_lines(program: Program, trace: Trace, traits: Traits) -> Iterator[str]:
    """Each step, and under it what happened."""
    views = view_lines(normalise(program, trace, traits))
    for text, lines in zip(_steps(program), views, strict=False):
        yield text
        yield from [_MARGIN + line for line in lines]


def difference_lines(
    program: Program, names: tuple[str, str], traces: tuple[Trace, Trace], traits: tuple[Traits, Traits], step: int
) -> Iterator[str]:
    """The steps up to `step`; where the sides differ, both."""
    left, right = (view_lines(normalise(program, trace, trait)) for trace, trait in zip(traces, traits, strict=True))
    width = max(map(len, names)) + 2
    for index, text in enumerate(_steps(program)[: step + 1]):
        yield text
        mine, theirs = _at(left, index), _at(right, index)
        if mine == theirs:
            yield from [_MARGIN + line for line in mine]
            continue
        for name, lines in zip(names, (mine, theirs), strict=True):
            yield from [_MARGIN + (name if first else "").ljust(width) + line for line, first in _marked(lines)]


def verdict(result: Result) -> str:
    """One line."""
    match result:
        case Diverge(divergence):
            return f"diverge at step {divergence.step + 1}: {divergence.summary}"
        case Unsupported(step, side, reason):
            return f"unsupported: the {side} target does not model step {step + 1}: {reason}"
        case Late(side, excess):
            return f"late: the {side} target took {excess // 1_000_000} ms too long, each time; nothing was compared"
        case Unsteady(step, divergence):
            return f"unsteady: from step {step + 1} on, what belongs to which step is up to chance: {divergence.summary}"
        case Flaky(first, second):
            other = second.summary if second is not None else "none"
            return f"flaky: a second run showed another difference: {first.summary}; then {other}"
    return "agree"


def trace_json(program: Program, trace: Trace, traits: Traits) -> dict[str, Any]:
    """The raw trace, octets in hexadecimal, with the comparable lines beside it."""
    views = view_lines(normalise(program, trace, traits))
    return {
        "target": trace.target,
        "release": traits.release,
        "metadata": dict(trace.metadata),
        "steps": [
            {"step": text, "lines": list(lines), **_step_json(step)}
            for text, lines, step in zip(_steps(program), views, trace.steps, strict=False)
        ],
    }


def result_json(result: Result) -> dict[str, Any]:
    """A verdict as data: `result` names it; a difference has its fingerprint, step, kind, subject and sides."""
    found: dict[str, Any] = {"result": type(result).__name__.lower(), "summary": verdict(result)}
    if isinstance(result, Diverge | Unsteady):
        divergence = result.divergence
        found["divergence"] = {
            name: getattr(divergence, name)
            for name in ("fingerprint", "step", "kind", "path", "subject", "left", "right", "summary")
        }
    return found


def judged_lines(judged: Judged) -> Iterator[str]:
    """What explains a difference between two releases of Linux, or why nothing does."""
    if judged.fields:
        yield f"explained by release: {explained_text(sentences(judged.fields))}"
    elif judged.reason:
        yield f"not explained by release: {judged.reason}"


def judged_json(judged: Judged) -> dict[str, Any]:
    """The same as data."""
    return {"explained": explained_json(sentences(judged.fields)), "unexplained": judged.reason}


def _steps(program: Program) -> list[str]:
    labels = label_steps(program)
    return [print_step(step, index, labels) for index, step in enumerate(program.steps)]


def _at(lines: tuple[tuple[str, ...], ...], index: int) -> tuple[str, ...]:
    return lines[index] if index < len(lines) else ("(the run had ended)",)


def _marked(lines: tuple[str, ...]) -> list[tuple[str, bool]]:
    return [(line, index == 0) for index, line in enumerate(lines or ("-",))]


def _step_json(step: StepTrace) -> dict[str, Any]:
    outcome: dict[str, Any] = {"outcome": type(step.outcome).__name__.lower(), **_returned(step.outcome)}
    events = [
        {"frame": event.octets.hex(), "at_ns": event.at}
        if isinstance(event, FrameOut)
        else {"completes_step": event.step, "at_ns": event.at, **_returned(event.outcome)}
        if isinstance(event, Completion)
        else {"signal": event.signal, "task": event.task, "at_ns": event.at}
        for event in step.events
    ]
    return {**outcome, "events": events, "started_ns": step.started, "ended_ns": step.ended}


def _returned(outcome: object) -> dict[str, Any]:
    if not isinstance(outcome, Returned):
        return {name: getattr(outcome, name) for name in ("signal", "reason", "detail") if hasattr(outcome, name)}
    result: dict[str, Any] = {"value": outcome.value, "outs": {path: octets.hex() for path, octets in outcome.outs}}
    if outcome.errno:
        result |= {"errno": errno_name(outcome.errno)}
    if outcome.rule:
        result |= {"rule": outcome.rule}
    return result
