"""Programs with steps taken out, and the rest made to fit.

References are renumbered; sequence numbers of later segments close up over octets that are no longer sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from stack_under_test.contract.check import references
from stack_under_test.contract.frames import Frame, Rel, TcpSegment
from stack_under_test.contract.program import Call, Inject, Program, Step
from stack_under_test.contract.values import PortOf, Ref
from stack_under_test.wire.tcp import FIN, SYN

T = TypeVar("T")
Redirect = Callable[[Ref], Ref | int | None]
"""What stands for a reference: another one, a number, or None when its user must go."""


class Dangling(Exception):
    """A reference has nothing to stand for."""


def redirected(value: T, redirect: Redirect) -> T:
    """`value` with every reference in it replaced. Raises Dangling."""
    return _redirected(value, redirect)  # type: ignore[no-any-return]


def _redirected(value: Any, redirect: Redirect) -> Any:
    if isinstance(value, Ref):
        target = redirect(value)
        if target is None:
            raise Dangling
        return target
    if isinstance(value, PortOf):
        target = redirect(value.ref)
        if target is None:
            raise Dangling
        return PortOf(target) if isinstance(target, Ref) else 0
    if isinstance(value, tuple):
        return tuple([_redirected(item, redirect) for item in value])
    if is_dataclass(value) and not isinstance(value, type):
        changes = {}
        for item in fields(value):
            old = getattr(value, item.name)
            new = _redirected(old, redirect) if isinstance(old, tuple) or is_dataclass(old) else old
            if new is not old and new != old:
                changes[item.name] = new
        return replace(value, **changes) if changes else value
    return value


def without(program: Program, dropped: Collection[int], stand_in: Redirect = lambda ref: None) -> Program:
    """`program` less the steps at `dropped`.

    Whatever used a dropped step's result goes too, unless `stand_in` (which sees old numbers) has something for it.
    """
    numbers: dict[int, int] = {}
    steps: list[Step] = []

    def redirect(ref: Ref) -> Ref | int | None:
        if ref.step in numbers:
            return Ref(numbers[ref.step], ref.part)
        other = stand_in(ref)
        if isinstance(other, Ref):
            return Ref(numbers[other.step], other.part) if other.step in numbers else None
        return other

    for index, step in enumerate(program.steps):
        if index in dropped:
            continue
        try:
            new = redirected(step, redirect) if references(step) else step
        except Dangling:
            continue
        numbers[index] = len(steps)
        steps.append(new)
    return Program(tuple(steps), program.world)


def closed_up(program: Program, at: int, replacement: Step | None = None) -> Program | None:
    """The step at `at` replaced (None: about to be taken out), later segments moved up by the octets it sends less.

    None when the step is not a TCP segment of the peer's, or when nothing would change.
    """
    old = _segment(program.steps[at])
    if old is None or not isinstance(old.seq, Rel) or old.seq.base != "peer":
        return None
    new = _segment(replacement) if replacement is not None else None
    gone = _length(old) - (_length(new) if new is not None else 0)
    if gone == 0:
        return None
    end = old.seq.offset + _length(old)
    steps = list(program.steps)
    if replacement is not None:
        steps[at] = replacement
    for index in range(at + 1, len(steps)):
        steps[index] = _moved(steps[index], old, end, gone)
    return Program(tuple(steps), program.world)


def _segment(step: Step) -> TcpSegment | None:
    if isinstance(step, Inject) and isinstance(step.frame, Frame) and isinstance(step.frame.body, TcpSegment):
        return step.frame.body
    return None


def _length(segment: TcpSegment) -> int:
    return len(segment.payload) + bool(segment.flags & SYN) + bool(segment.flags & FIN)


def _moved(step: Step, first: TcpSegment, end: int, gone: int) -> Step:
    """`step` moved up by `gone` octets when it is a later segment of the same conversation."""
    segment = _segment(step)
    if segment is None or (segment.sport, segment.dport) != (first.sport, first.dport):
        return step
    if not isinstance(segment.seq, Rel) or segment.seq.base != "peer" or segment.seq.offset < end:
        return step
    assert isinstance(step, Inject)
    assert isinstance(step.frame, Frame)
    seq = Rel("peer", segment.seq.offset - gone)
    return Inject(replace(step.frame, body=replace(segment, seq=seq)))


def descriptor_sources(program: Program) -> dict[int, Ref]:
    """Calls whose result could be stood in for by the descriptor they were made on (dup, accept), by step."""
    sources = {}
    for index, step in enumerate(program.steps):
        if isinstance(step, Call) and step.sys in _MAKERS and step.args and isinstance(step.args[0], Ref):
            sources[index] = step.args[0]
    return sources


_MAKERS = frozenset({"dup", "dup2", "dup3", "fcntl", "accept", "accept4"})


def one_task(steps: Sequence[Step], task: int) -> tuple[Step, ...]:
    """`task`'s calls made by the main task."""
    return tuple([replace(step, task=0) if isinstance(step, Call) and step.task == task else step for step in steps])
