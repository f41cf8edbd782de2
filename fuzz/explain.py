"""Which of a pair's divergences are explained by the releases of its kernels, and by which program that shows.

`conformance.releases` judges a program.  What it cannot judge whole is made less: what follows the difference goes, then,
step by step, what the reference does not model, as long as both kernels still show the same difference.  A socket of a family
or type that it lacks becomes an ordinary one, control messages go: what only these treat differently is then not explained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from conformance.harness.lockstep import Agree, Diverge, Flaky, Pair, Result, Unsteady
from conformance.releases import ByChance, Explained, Unexplained, between, settled
from fuzz import rewrite
from stack_under_test.contract.abi import AF_INET, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM
from stack_under_test.contract.program import Call, Program, Step
from stack_under_test.contract.values import NULL, Control, MsgHdr
from stack_under_test.contract.world import World

_SURER = 8
"""How many further runs must show what nothing explains: chance is likelier than a kernel that is not like its release."""
_LESS = 32
"""How often a program is made less before it counts as unexplained."""


class Judged(NamedTuple):
    """The release's `fields` that explain the divergence, and the program that shows it; without fields, `reason` says why
    the whole program is not explained.  `chance` is a step from which on the difference is up to chance."""

    fields: tuple[str, ...]
    program: Program
    reason: str = ""
    chance: int | None = None


class Explainer:
    """Explains nothing unless the pair's targets are Linux kernels of different releases."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._surer = replace(pair, confirm=_SURER, tally=Counter())
        self._releases = between(pair)

    def run(self, program: Program) -> tuple[Result, Judged]:
        """What `program` shows on the pair, and what explains that."""
        result = self._pair.run(program)
        if not isinstance(result, Diverge):
            return result, Judged((), program)
        judged = self.judge(program, result)
        if judged.chance is not None:
            return Unsteady(judged.chance, result.divergence, result.left, result.right), judged
        if judged.reason:
            again = self._surer.run(program)
            if isinstance(again, Agree):
                again = Flaky(result.divergence, None, result.left, result.right)
            if isinstance(again, Flaky | Unsteady):
                return again, judged
        return result, judged

    def judge(self, program: Program, result: Diverge) -> Judged:
        """`result` is what `program` shows."""
        if self._releases is None:
            return Judged((), program)
        verdict = self._releases.explain(program, result)
        less, reason = program, verdict.reason if isinstance(verdict, Unexplained) else ""
        for _ in range(_LESS):
            if not isinstance(verdict, Unexplained):
                break
            smaller = self._first(_less(less, result.divergence.step, verdict.unmodelled), result.divergence.fingerprint)
            if smaller is None:
                break
            less, result = smaller
            verdict = self._releases.explain(less, result)
        match verdict:
            case Explained(fields):
                return Judged(fields, less)
            case ByChance(step):
                return Judged((), program, f"from step {step + 1} on, what belongs to which step is up to chance", step)
        return Judged((), program, reason)

    def same(self, program: Program, result: Diverge, fields: tuple[str, ...]) -> bool:
        """Whether `program`, which shows `result`, is still explained by `fields`; without any, still not explained."""
        if self._releases is None:
            return True
        if fields:
            return self._releases.holds(program, result, fields)
        return isinstance(self._releases.explain(program, result), Unexplained)

    def _first(self, programs: Iterable[Program], fingerprint: str) -> tuple[Program, Diverge] | None:
        """The first of `programs` that shows `fingerprint`."""
        for program in programs:
            result = settled(self._pair, program)
            if isinstance(result, Diverge) and result.divergence.fingerprint == fingerprint:
                return program, result
        return None


def _less(program: Program, step: int, unmodelled: int | None) -> Iterator[Program]:
    """Without what comes after `step`, or else without what the reference does not model, or with something plain instead."""
    if len(program.steps) > step + 1:
        yield replace(program, steps=program.steps[: step + 1])
        return
    if unmodelled is None:
        return
    if program.world != World():
        yield replace(program, world=World())
    if unmodelled == step:
        return
    yield rewrite.without(program, {unmodelled})
    for plain in _plain(program.steps[unmodelled]):
        yield replace(program, steps=(*program.steps[:unmodelled], plain, *program.steps[unmodelled + 1 :]))
    # What was asked for before may be what is not modelled now.
    yield from [rewrite.without(program, {index}) for index in reversed(range(unmodelled))]


def _plain(step: Step) -> Iterator[Step]:
    """An ordinary socket instead of any other, a message without control messages."""
    match step:
        case Call("socket", (_, int(kind), _)):
            flags = kind & (SOCK_NONBLOCK | SOCK_CLOEXEC)
            yield from [replace(step, args=(AF_INET, plain | flags, 0)) for plain in (SOCK_STREAM, SOCK_DGRAM)]
        case Call("sendmsg", (fd, MsgHdr(control=Control()) as message, flags)):
            yield replace(step, args=(fd, replace(message, control=NULL, controllen=0), flags))
