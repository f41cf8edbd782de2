"""One program on two stacks: run both, see whether the runs can be compared, compare, confirm.

The result is one of a closed set.  Only `Agree` and `Diverge` say something about the stacks; the others say why
nothing can be said, and are counted apart, never as a pass:

- a real-time run that was late (`timing.py`) is run again, a few times, then given up as `Late`;
- a difference after an event that may fall on either side of a step by chance is `Unsteady`; so is an event missing on a
  side with virtual time that does show it when the pause is a little longer;
- a difference that further runs on fresh worlds do not show again, with the same fingerprint, is `Flaky`: Linux's
  shortest delay, for the acknowledgement of a FIN, is "by the next tick", so whether it falls in a step or after it
  is up to chance, about one run in four;
- `NotModelled`: one side says so itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from stack_under_test.contract.program import Program
from stack_under_test.contract.target import Adopts, Target, Traits
from stack_under_test.contract.trace import Trace

from .compare import DEFAULT, NotModelled, Policy, compare
from .divergence import Divergence
from .timing import LATE_NS, excess_ns, longer, tick_from, unsteady_from


@runtime_checkable
class Submits(Protocol):
    """A target that runs elsewhere, so that something else can be done between `submit` and `collect`."""

    def submit(self, program: Program) -> None: ...

    def collect(self) -> Trace: ...


@dataclass(frozen=True, slots=True)
class Agree:
    """No difference over the whole program."""

    left: Trace = field(compare=False)
    right: Trace = field(compare=False)


@dataclass(frozen=True, slots=True)
class Diverge:
    """A confirmed difference, with the traces of the run that showed it first."""

    divergence: Divergence
    left: Trace = field(compare=False)
    right: Trace = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unsupported:
    """No difference up to `step`, which `side` does not model."""

    step: int
    side: str
    reason: str
    left: Trace = field(compare=False)
    right: Trace = field(compare=False)


@dataclass(frozen=True, slots=True)
class Late:
    """`side` took `excess` nanoseconds too long, each time; nothing was compared."""

    side: str
    excess: int
    left: Trace = field(compare=False)
    right: Trace = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unsteady:
    """There is a difference, but from `step` on, what belongs to which step is up to chance."""

    step: int
    divergence: Divergence
    left: Trace = field(compare=False)
    right: Trace = field(compare=False)


@dataclass(frozen=True, slots=True)
class Flaky:
    """A difference that the confirming run showed otherwise (`second`), or not at all (None)."""

    first: Divergence
    second: Divergence | None
    left: Trace = field(compare=False)
    right: Trace = field(compare=False)


Result = Agree | Diverge | Unsupported | Late | Unsteady | Flaky


@dataclass(frozen=True, slots=True)
class Pair:
    """Two targets, `left` the one that is right. `late_ns`: the margin of `timing.py`; `attempts`: runs before a
    program counts as late; `confirm`: how many further runs must show a difference; `overlap`: run an in-process
    right side while the left one, elsewhere, is running. `tally` counts what `policy` passes over."""

    left: Target
    right: Target
    policy: Policy = DEFAULT
    late_ns: int = LATE_NS
    attempts: int = 3
    confirm: int = 2
    overlap: bool = True
    tally: Counter[str] = field(default_factory=Counter, compare=False)

    def __post_init__(self) -> None:
        for one, other in ((self.left, self.right), (self.right, self.left)):
            if isinstance(one, Adopts):
                one.adopt(other.traits.facts)

    def run(self, program: Program) -> Result:
        """Run and compare. Raises what a target raises when it cannot run at all (`Unavailable`)."""
        result = self._once(program)
        if not isinstance(result, Diverge):
            return result
        for _ in range(self.confirm):
            again = self._once(program, Counter())
            if isinstance(again, Agree):
                return Flaky(result.divergence, None, result.left, result.right)
            if not isinstance(again, Diverge):
                return again
            if again.divergence.fingerprint != result.divergence.fingerprint:
                return Flaky(result.divergence, again.divergence, result.left, result.right)
        return result

    def _once(self, program: Program, tally: Counter[str] | None = None) -> Result:
        traits = self.left.traits, self.right.traits
        left, right = self._both(program, traits[1])
        for attempt in range(self.attempts):
            late = [
                (side, excess)
                for side, trace, trait in (("left", left, traits[0]), ("right", right, traits[1]))
                if not trait.virtual_time and (excess := excess_ns(program, trace)) > self.late_ns
            ]
            if not late:
                break
            if attempt + 1 == self.attempts:
                return Late(*late[0], left, right)
            for side, _ in late:
                if side == "left":
                    left = self.left.run(program)
                else:
                    right = self.right.run(program)
        found = compare(program, left, right, *traits, policy=self.policy, tally=self.tally if tally is None else tally)
        if found is None:
            return Agree(left, right)
        if isinstance(found, NotModelled):
            return Unsupported(found.step, found.side, found.reason, left, right)
        unsteady = self._by_chance(program, found, left, right)
        return Diverge(found, left, right) if unsteady is None else Unsteady(unsteady, found, left, right)

    def _by_chance(self, program: Program, found: Divergence, left: Trace, right: Trace) -> int | None:
        """The step, at the latest that of the difference, from which on chance decides what belongs to which step."""
        traits = self.left.traits, self.right.traits
        step = _unsteady(program, (left, right), traits)
        if step is None and found.kind in ("frames.missing", "frames.extra") and not traits[0].virtual_time:
            step = tick_from(left, right, found.step)
        missing = found.kind in ("frames.missing", "completion.missing")
        if step is None and missing and self._comes_later(program, left, found.step):
            step = found.step
        return step if step is not None and step <= found.step else None

    def _comes_later(self, program: Program, left: Trace, step: int) -> bool:
        """Given a little longer, does the right side do what the left one did just before the end of a pause?"""
        traits = self.left.traits, self.right.traits
        given = longer(program, left, step)
        if given is None or traits[0].virtual_time or not traits[1].virtual_time:
            return False
        return compare(given, left, self.right.run(given), *traits, policy=self.policy) is None

    def _both(self, program: Program, right: Traits) -> tuple[Trace, Trace]:
        """Not at the same time when the right side's clock is the wall's: each would make the other late."""
        if not (self.overlap and right.virtual_time and isinstance(self.left, Submits)):
            return self.left.run(program), self.right.run(program)
        self.left.submit(program)
        try:
            trace = self.right.run(program)
        finally:
            collected = self.left.collect()
        return collected, trace


def run_pair(program: Program, left: Target, right: Target, policy: Policy = DEFAULT) -> Result:
    """One program on two targets; see `Pair.run`."""
    return Pair(left, right, policy).run(program)


def _unsteady(program: Program, traces: tuple[Trace, Trace], traits: tuple[Traits, Traits]) -> int | None:
    """Judged by the side with virtual time; by both when neither has it; never when both have it."""
    virtual = [trace for trace, trait in zip(traces, traits, strict=True) if trait.virtual_time]
    if len(virtual) == 2:
        return None
    steps = [step for trace in virtual or traces if (step := unsteady_from(program, trace)) is not None]
    return min(steps, default=None)
