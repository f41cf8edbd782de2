"""The first difference between two traces of one program.

Steps are compared in order; within a step the outcome, what the call stored, the packets, the completions, the signals.
The comparison stops at the first difference, since what follows it is its consequence, and at a step that one side does
not model (`NotModelled`), since nothing after it is comparable; all before it is compared.

When packets differ in number, the first place where they differ is a packet missing on the right or one too many, by
what comes next on each side; when a packet differs, the first field that does gives the kind (``frame.window``).

A `Policy` names kinds that are passed over; each difference passed over is counted in the tally, never in silence.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from stack_under_test.contract.errnos import errno_name
from stack_under_test.contract.namespaces import EPOLL_EVENTS, POLL_EVENTS
from stack_under_test.contract.program import Call, Program
from stack_under_test.contract.target import Traits
from stack_under_test.contract.trace import Blocked, Busy, Done, Returned, StepTrace, Trace

from . import tcp_info
from .divergence import Divergence, call_subject, order, packet_subject, result_essence, step_subject
from .facts import Facts
from .normalise import Normaliser, Result, StepView, Times
from .outs import Out, text
from .packets import Ethernet, Packet, Segment
from .rules import EVENT_TOLERANCE_NS
from .view_text import field_text, packet_text, result_text


@dataclass(frozen=True, slots=True)
class NotModelled:
    """At `step` the `side` (``left``, ``right``) says that it does not model this; nothing after it was compared."""

    step: int
    side: str
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """`passed_over`: kinds of difference that do not count as a divergence. `times`: compare when events happen, where
    both targets have virtual time."""

    passed_over: frozenset[str] = field(default=frozenset())
    times: bool = True


DEFAULT = Policy()


def compare(
    program: Program,
    left: Trace,
    right: Trace,
    left_traits: Traits,
    right_traits: Traits,
    *,
    policy: Policy = DEFAULT,
    tally: Counter[str] | None = None,
) -> Divergence | NotModelled | None:
    """The first difference, or where one side does not model the program, or None.

    `tally` counts, by kind, the differences that `policy` passes over."""
    facts = Facts(program)
    sides = Normaliser(facts, left, left_traits), Normaliser(facts, right, right_traits)
    return _Comparison(program, sides, policy, tally).run()


class _Comparison:
    def __init__(
        self, program: Program, sides: tuple[Normaliser, Normaliser], policy: Policy, tally: Counter[str] | None
    ) -> None:
        self.program = program
        self.sides = sides
        self.policy = policy
        self.tally = tally
        self.timed = policy.times and all(side.traits.virtual_time for side in sides)

    def run(self) -> Divergence | NotModelled | None:
        left, right = self.sides
        shared = min(len(left.trace.steps), len(right.trace.steps), len(self.program.steps))
        same_fds = left.traits.fd_base == right.traits.fd_base
        for index in range(shared):
            if same_fds and _alike(left.trace.steps[index], right.trace.steps[index]):
                continue
            views = left.step(index), right.step(index)
            if views[0] != views[1]:
                found = self._step(index, *views)
                if found is not None:
                    return found
            kind = views[0].result.kind
            if kind in ("killed", "unsupported"):
                return NotModelled(index, "left", views[0].result.detail) if kind == "unsupported" else None
            if self.timed and (views[0].packets or views[0].completions):
                late = self._times(index, views[0])
                if late is not None and not self._passes(late):
                    return late
        lengths = len(left.trace.steps), len(right.trace.steps)
        if lengths[0] != lengths[1] and shared < len(self.program.steps):
            subject = step_subject(self.program.steps[shared])
            return Divergence(shared, "killed", "trace", f"{lengths[0]} steps", f"{lengths[1]} steps", subject)
        return None

    def _step(self, index: int, left: StepView, right: StepView) -> Divergence | NotModelled | None:
        for side, view in (("left", left), ("right", right)):
            if view.result.kind == "unsupported":
                return NotModelled(index, side, view.result.detail)
        step = self.program.steps[index]
        found = _result(index, step_subject(step), left.result, right.result)
        if found is not None and not self._passes(found):
            return found
        found = self._packets(index, left.packets, right.packets)
        if found is not None:
            return found
        for found in (self._completions(index, left, right), self._signals(index, left, right)):
            if found is not None and not self._passes(found):
                return found
        return None

    def _passes(self, divergence: Divergence) -> bool:
        if divergence.kind not in self.policy.passed_over:
            return False
        if self.tally is not None:
            self.tally[divergence.kind] += 1
        return True

    def _packets(self, index: int, left: tuple[Packet, ...], right: tuple[Packet, ...]) -> Divergence | None:
        trigger = step_subject(self.program.steps[index])
        for place in range(max(len(left), len(right))):
            if place >= len(right) or (place + 1 < len(left) and left[place + 1] == right[place] != left[place]):
                found = _lone(index, "frames.missing", left[place], trigger)
            elif place >= len(left) or (place + 1 < len(right) and left[place] == right[place + 1] != right[place]):
                found = _lone(index, "frames.extra", right[place], trigger)
            elif left[place] != right[place]:
                for found in _fields(index, left[place], right[place], trigger):
                    if not self._passes(found):
                        return found
                continue
            else:
                continue
            return None if self._passes(found) else found
        return None

    def _completions(self, index: int, left: StepView, right: StepView) -> Divergence | None:
        mine = {completed.step: completed.result for completed in left.completions}
        theirs = {completed.step: completed.result for completed in right.completions}
        for step in sorted(mine.keys() | theirs.keys()):
            call = self.program.steps[step]
            subject = call_subject(call) if isinstance(call, Call) else step_subject(call)
            one, other = mine.get(step), theirs.get(step)
            if one is None or other is None:
                kind = "completion.missing" if other is None else "completion.extra"
                texts = [f"step {step} completes {result_text(result)}" if result else "-" for result in (one, other)]
                done = one or other
                essence = (result_essence(done) if done else "", step_subject(self.program.steps[index]))
                return Divergence(index, kind, "", texts[0], texts[1], subject, essence)
            found = _result(index, subject, one, other, "completion")
            if found is not None:
                return found
        return None

    def _signals(self, index: int, left: StepView, right: StepView) -> Divergence | None:
        if left.signals == right.signals:
            return None
        names = [", ".join(name for _, name in view.signals) or "none" for view in (left, right)]
        subject = step_subject(self.program.steps[index])
        return Divergence(index, "signal", "", names[0], names[1], subject, tuple(names))

    def _times(self, index: int, view: StepView) -> Divergence | None:
        """Rule event-time; the views are equal, so the events correspond."""
        times: tuple[Times, Times] = (self.sides[0].times(index), self.sides[1].times(index))
        trigger = step_subject(self.program.steps[index])
        for kind, lefts, rights in (
            ("frame.time", times[0].packets, times[1].packets),
            ("completion.time", times[0].completions, times[1].completions),
        ):
            for place, (one, other) in enumerate(zip(lefts, rights, strict=False)):
                if abs(one - other) > EVENT_TOLERANCE_NS:
                    subject = packet_subject(view.packets[place]) if kind == "frame.time" else trigger
                    texts = f"after {one / 1e6:g} ms", f"after {other / 1e6:g} ms"
                    return Divergence(index, kind, "", *texts, subject, (trigger, order(one, other)))
        return None


def _alike(left: StepTrace, right: StepTrace) -> bool:
    """Whether two raw steps, of which half are no more than a number, are the same without any rule."""
    if left.events or right.events:
        return False
    one, other = left.outcome, right.outcome
    if type(one) is Returned and type(other) is Returned:
        return one.value == other.value and one.errno == other.errno and not one.outs and not other.outs
    return type(one) in (Blocked, Busy, Done) and one == other


def _result(index: int, subject: str, left: Result, right: Result, prefix: str = "outcome") -> Divergence | None:
    """Compare two results: what kind, which error, which value, what was stored."""
    if left == right:
        return None
    essence = result_essence(left), result_essence(right)
    texts = result_text(left), result_text(right)
    if left.kind != right.kind or left.errno != right.errno or left.detail != right.detail:
        kinds = {left.kind, right.kind}
        kind = "killed" if "killed" in kinds else f"{prefix}.errno"
        if kinds & {"blocked", "busy"}:
            kind = f"{prefix}.blocking"
        return Divergence(index, kind, "", *texts, subject, essence)
    if left.value != right.value:
        return Divergence(index, f"{prefix}.value", "", *texts, subject, _value_essence(subject, left.value, right.value))
    return _outs(index, subject, left.outs, right.outs)


def _value_essence(subject: str, left: int, right: int) -> tuple[str, ...]:
    """Status flags are what they are; counts and descriptors only more or less."""
    if subject.startswith("fcntl(F_GET"):
        return hex(left & ~right), hex(right & ~left)
    return (order(left, right), "to zero" if right == 0 else "from zero" if left == 0 else "")


def _outs(index: int, subject: str, left: tuple[Out, ...], right: tuple[Out, ...]) -> Divergence | None:
    mine = {out.path: out for out in left}
    theirs = {out.path: out for out in right}
    for path in [*mine, *(path for path in theirs if path not in mine)]:
        one, other = mine.get(path), theirs.get(path)
        if one == other:
            continue
        texts = text(one) if one else "nothing stored", text(other) if other else "nothing stored"
        shown = path.rstrip("0123456789") if ".iov" in path else path
        if one is None or other is None or one.kind != other.kind:
            return Divergence(index, "outs", shown, *texts, subject, ("form",))
        if one.kind == "tcp_info":
            texts = tcp_info.differing(one.value, other.value)
        kind = "readiness" if one.kind in ("pollfds", "fdset", "events") else "outs"
        return Divergence(index, kind, shown, *texts, subject, _out_essence(one, other))
    return None


def _out_essence(left: Out, right: Out) -> tuple[str, ...]:
    """What of two values of one form differs."""
    one, other = left.value, right.value
    match left.kind:
        case "pollfds" | "events":
            return _bits(left.kind, one, other)
        case "errno":
            return tuple(errno_name(value[0]) if value else "" for value in (one, other))
        case "sockaddr" if len(one) == len(other) == 3:
            names = zip(("family", "port", "address"), one, other, strict=True)
            return tuple(name for name, mine, theirs in names if mine != theirs)
        case "tcp_info":
            return tuple(sorted({name for name, _ in set(one[1:]) ^ set(other[1:])}))
        case "flags":
            return hex(one & ~other), hex(other & ~one)
    return (order(one, other),)


def _bits(kind: str, left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[str, ...]:
    """The readiness bits that only one side has, at the first descriptor where they differ."""
    for one, other in zip(left, right, strict=False):
        if one != other:
            if kind == "pollfds":
                return POLL_EVENTS.text(one & ~other), POLL_EVENTS.text(other & ~one)
            return EPOLL_EVENTS.text(one[0] & ~other[0]), EPOLL_EVENTS.text(other[0] & ~one[0])
    return ("number", order(len(left), len(right)))


def _lone(index: int, kind: str, packet: Packet, trigger: str) -> Divergence:
    words = f"> {packet_text(packet)}"
    texts = (words, "-") if kind == "frames.missing" else ("-", words)
    return Divergence(index, kind, "", *texts, packet_subject(packet), (trigger,))


def _fields(index: int, left: Packet, right: Packet, trigger: str) -> list[Divergence]:
    """A divergence for each field that differs, in the order of the tuple: addresses and ports first."""
    if isinstance(left, Ethernet) and isinstance(right, Ethernet) and left[:4] == right[:4]:
        return _fields(index, left.packet, right.packet, trigger)
    texts = f"> {packet_text(left)}", f"> {packet_text(right)}"
    subjects = packet_subject(left), packet_subject(right)
    if type(left) is not type(right):
        return [Divergence(index, "frame.kind", "", *texts, subjects[0], (subjects[1], trigger))]
    found = []
    for name, one, other in zip(left._fields, left, right, strict=True):
        if one != other:
            essence: tuple[str, ...] = (trigger, order(one, other))
            if name == "flags":
                essence = (subjects[1], trigger)
            elif name in ("options", "faults"):
                essence = (trigger, _names(left, one), _names(right, other))
            shown = field_text(left, name), field_text(right, name)
            found.append(Divergence(index, f"frame.{name}", "", *shown, subjects[0], essence))
    return found


def _names(packet: Packet, values: Any) -> str:
    """The options by name, without their values, or the faults."""
    if isinstance(packet, Segment):
        return " ".join(value if isinstance(value, str) else type(value).__name__ for value in values)
    return str(values)
