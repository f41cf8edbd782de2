"""Is a difference between two Linux kernels one of their releases?

The reference stack can be like either kernel's release (`stack_under_test/reference/release.py`).  A divergence is
*explained* when the left kernel agrees with the reference that is like it, the right one with the reference like that, and
the two references differ in the very same way; then the fields of `Release` are looked for that make the difference.
Whether stacks agree is `Pair`'s to say, as everywhere: late and flaky runs explain nothing.  Nor do unsteady ones; but since
the reference tells its timers, which kernels do not, it may show that a difference which looked steady is `ByChance`.

A fingerprint may have several causes, so each program is judged by itself.  Of several fields that would each do, the
first in `Release`'s order is named.  What to do with a program that the reference does not model is left to others: it is not
explained, and `Unexplained` says at which step.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise

from conformance.harness.compare import NotModelled, compare
from conformance.harness.divergence import Divergence
from conformance.harness.lockstep import Agree, Diverge, Flaky, Late, Pair, Result, Unsteady, Unsupported
from stack_under_test.contract.program import Program
from stack_under_test.contract.trace import Trace
from stack_under_test.contract.world import KERNEL
from stack_under_test.reference.release import Release
from stack_under_test.reference.target import ReferenceTarget

_NAMES = frozenset({"name", "version"})
"""Fields that say which release it is, not what it does."""
_ATTEMPTS = 5
"""How often a program is run before it counts that a kernel in real time cannot be compared: a busy machine must not make
what is explained look unexplained."""
_SENTENCE = re.compile(r"(?<=\.)\s")


@dataclass(frozen=True, slots=True)
class Explained:
    """`fields` of `Release`, set to the right kernel's values, turn the left kernel's trace into the right one's."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unexplained:
    """One line that says why, and the step, if any, that the reference does not model."""

    reason: str
    unmodelled: int | None = None


@dataclass(frozen=True, slots=True)
class ByChance:
    """From `step` on, what belongs to which step is up to chance (`lockstep.Unsteady`), and nothing else speaks against
    the kernels being as their releases are."""

    step: int


Verdict = Explained | Unexplained | ByChance


def between(pair: Pair) -> Releases | None:
    """None unless both of the pair's targets are Linux kernels that the reference knows to differ."""
    if not all(KERNEL in dict(target.traits.facts) for target in (pair.left, pair.right)):
        return None
    releases = Releases(pair)
    return releases if releases.differing else None


class Releases:
    """What can be explained between the kernels of `pair`. `differing`: the fields in which their releases differ."""

    def __init__(self, pair: Pair) -> None:
        self._left, self._right = ReferenceTarget(), ReferenceTarget()
        self._pairs = (
            ("left", replace(pair, right=self._left, tally=Counter())),
            ("right", replace(pair, left=pair.right, right=self._right, tally=Counter())),
        )
        facts = pair.left.traits.facts, pair.right.traits.facts
        # A kernel may have taken over what the other's host decides; its own facts come last.
        self._left.adopt((*facts[1], *facts[0]))
        self._right.adopt((*facts[0], *facts[1]))
        timed = pair.left.traits.virtual_time and pair.right.traits.virtual_time
        self._policy = replace(pair.policy, times=pair.policy.times and timed)
        self.differing = _differing(self._left.release, self._right.release)

    def explain(self, program: Program, shown: Diverge) -> Verdict:
        """Why `program` shows this on the pair."""
        refuted = self._refuted(program, shown)
        return refuted if refuted is not None else self._fields(program, shown.divergence)

    def holds(self, program: Program, shown: Diverge, named: tuple[str, ...]) -> bool:
        """Whether it is explained, by these fields."""
        return self._turns(_until(program, shown.divergence), named) and self._refuted(program, shown) is None

    def _refuted(self, program: Program, shown: Diverge) -> Unexplained | ByChance | None:
        chance = None
        for (side, pair), trace in zip(self._pairs, (shown.left, shown.right), strict=True):
            refuted = _unlike(side, pair, program, trace, shown.divergence.step)
            if isinstance(refuted, Unexplained):
                return refuted
            chance = refuted or chance
        if chance is not None:
            return chance
        traces = self._left.run(program), self._right.run(program)
        found = compare(program, *traces, self._left.traits, self._right.traits, policy=self._policy)
        if not isinstance(found, Divergence) or found.fingerprint != shown.divergence.fingerprint:
            return Unexplained("the references like either kernel do not differ in this way")
        return None

    def _fields(self, program: Program, found: Divergence) -> Explained | Unexplained:
        short = _until(program, found)
        for name in self.differing:
            if self._turns(short, (name,)):
                return Explained((name,))
        named = self.differing
        if not self._turns(short, named):
            return Unexplained("no field of the releases makes the difference")
        for name in self.differing:
            fewer = tuple(other for other in named if other != name)
            if self._turns(short, fewer):
                named = fewer
        return Explained(named)

    def _turns(self, program: Program, named: tuple[str, ...]) -> bool:
        """Whether the right release's values of these fields make the left reference do what the right one does."""
        left, right = self._left.release, self._right.release
        try:
            self._left.release = replace(left, **{name: getattr(right, name) for name in named})
            trace = self._left.run(program)
        finally:
            self._left.release = left
        return self._same(program, trace, self._right.run(program))

    def _same(self, program: Program, one: Trace, other: Trace) -> bool:
        return compare(program, one, other, self._left.traits, self._right.traits, policy=self._policy) is None


def _unlike(side: str, pair: Pair, program: Program, trace: Trace, until: int) -> Unexplained | ByChance | None:
    """How a kernel, of which `trace` is known, differs from the reference like it; None where it does not, or only because
    something after `until` is not modelled."""
    found = compare(program, trace, pair.right.run(program), pair.left.traits, pair.right.traits, policy=pair.policy)
    if isinstance(found, Divergence):
        # By chance, perhaps; only further runs can tell.
        match settled(pair, program):
            case Agree():
                return None
            case Unsupported(step, of, reason):
                found = NotModelled(step, of, reason)
            case Unsteady(step) if step <= until:
                return ByChance(step)
            case result:
                return Unexplained(f"the {side} kernel and the reference like it: {_told(result)}")
    if isinstance(found, NotModelled) and found.step <= until:
        return Unexplained(f"not modelled is step {found.step + 1}: {found.reason}", found.step)
    return None


def settled(pair: Pair, program: Program) -> Result:
    """What the pair shows; where chance or a busy machine had a part in it, what it shows in another run."""
    result = pair.run(program)
    for _ in range(_ATTEMPTS - 1):
        if not isinstance(result, Late | Unsteady | Flaky):
            break
        result = pair.run(program)
    return result


def _told(result: Result) -> str:
    match result:
        case Diverge(divergence) | Unsteady(_, divergence) | Flaky(divergence):
            return f"{type(result).__name__.lower()} at step {divergence.step + 1}: {divergence.summary}"
    return type(result).__name__.lower()


def _until(program: Program, found: Divergence) -> Program:
    """Up to the difference: what follows may have other causes."""
    return replace(program, steps=program.steps[: found.step + 1])


def _differing(left: Release, right: Release) -> tuple[str, ...]:
    names = [item.name for item in fields(Release) if item.name not in _NAMES]
    return tuple(name for name in names if getattr(left, name) != getattr(right, name))


# --- in words


def sentences(named: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Fields of `Release`, each with the first sentence of what release.py says about it."""
    about = dict(_documented())
    return tuple((name, about.get(name, "")) for name in named)


def _documented() -> Iterator[tuple[str, str]]:
    """The strings that stand below the fields, which Python itself does not keep."""
    body = ast.parse(inspect.getsource(Release)).body[0].body  # type: ignore[attr-defined]
    for item, below in pairwise(body):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and isinstance(below, ast.Expr):
            yield item.target.id, _first_sentence(ast.literal_eval(below.value))


def _first_sentence(text: str) -> str:
    return _SENTENCE.split(" ".join(text.split()), maxsplit=1)[0]
