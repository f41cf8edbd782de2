"""A shorter program that shows the same divergence.

Deletion first, in ever smaller chunks, then simpler steps, until nothing helps: what holds is that the fingerprint
stays the same, so a program never slips from one finding into another.  Hypothesis shrinks what it drew itself; this is
for findings of a campaign, for corpus entries, and for programs that people wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from fuzz import rewrite
from fuzz.recast import recast
from fuzz.simplify import simpler
from stack_under_test.contract.check import check_program, references
from stack_under_test.contract.program import Advance, Call, Program
from stack_under_test.contract.values import Ref
from stack_under_test.contract.world import World

Diverges = Callable[[Program], str | None]
"""The fingerprint of the divergence a program shows, or None."""

BUDGET = 3000


def shrink(program: Program, diverges: Diverges, fingerprint: str | None = None, budget: int = BUDGET) -> Program:
    """The shortest program found that still shows `fingerprint` (None: whatever `program` shows now).

    Runs at most `budget` programs.  Gives `program` back when it does not show the fingerprint at all.
    """
    wanted = diverges(program) if fingerprint is None else fingerprint
    if wanted is None:
        return program
    search = _Search(program, diverges, wanted, budget)
    search.run()
    return search.best


class _Search:
    def __init__(self, program: Program, diverges: Diverges, wanted: str, budget: int) -> None:
        self.best = program
        self._diverges = diverges
        self._wanted = wanted
        self._left = budget
        self._tried: set[Program] = {program}

    def run(self) -> None:
        if self.best.world != World():
            self._take(replace(self.best, world=World()))
        self._shorten()
        while self._left > 0:
            before = self.best
            self._delete()
            self._merge()
            self._tasks()
            self._recast()
            self._simplify()
            if self.best == before:
                return

    def _take(self, candidate: Program) -> bool:
        """Whether `candidate` shows the same; it is the best then."""
        if self._left <= 0 or candidate in self._tried:
            return False
        self._tried.add(candidate)
        try:
            check_program(candidate)
        except ValueError:
            return False
        self._left -= 1
        if self._diverges(candidate) != self._wanted:
            return False
        self.best = candidate
        return True

    def _shorten(self) -> None:
        """The shortest beginning that still shows it, by bisection."""
        low, high = 1, len(self.best.steps)
        while low < high:
            middle = (low + high) // 2
            if self._take(replace(self.best, steps=self.best.steps[:middle])):
                high = middle
            else:
                low = middle + 1

    def _delete(self) -> None:
        size = max(1, len(self.best.steps) // 2)
        while size:
            at = len(self.best.steps) - size
            while at > -size and self._left > 0:
                if not self._drop(range(max(0, at), min(at + size, len(self.best.steps)))):
                    at -= 1 if size == 1 else size // 2
                at = min(at, len(self.best.steps) - size)
            size //= 2

    def _drop(self, gone: range) -> bool:
        """Take steps out, with what depends on them, or with something standing in for what they gave."""
        program = self.best
        if not gone:
            return False
        if self._take(rewrite.without(program, gone)):
            return True
        if len(gone) > 1:
            return False
        return any(self._take(candidate) for candidate in self._stand_ins(program, gone[0]))

    def _stand_ins(self, program: Program, index: int) -> Iterator[Program]:
        shifted = rewrite.closed_up(program, index)
        if shifted is not None:
            yield rewrite.without(shifted, (index,))
        if not _used(program, index):
            return
        source = rewrite.descriptor_sources(program).get(index)
        if source is not None:
            yield rewrite.without(program, (index,), lambda ref: source)
        for other in range(index):
            step = program.steps[other]
            if isinstance(step, Call) and step.sys in ("socket", "accept", "accept4"):
                stand_in = Ref(other)
                yield rewrite.without(program, (index,), lambda ref, stand_in=stand_in: stand_in)  # type: ignore[misc]
        yield rewrite.without(program, (index,), lambda ref: -1)

    def _merge(self) -> None:
        """Two pauses become one."""
        index = 0
        while index + 1 < len(self.best.steps):
            first, second = self.best.steps[index], self.best.steps[index + 1]
            if isinstance(first, Advance) and isinstance(second, Advance):
                joined = Advance(first.ns + second.ns)
                longer = replace(self.best, steps=(*self.best.steps[:index], joined, *self.best.steps[index + 1 :]))
                if self._take(rewrite.without(longer, (index + 1,))):
                    continue
            index += 1

    def _tasks(self) -> None:
        for task in sorted({step.task for step in self.best.steps if isinstance(step, Call)} - {0}):
            self._take(replace(self.best, steps=rewrite.one_task(self.best.steps, task)))

    def _recast(self) -> None:
        while self._left > 0 and any(self._take(candidate) for candidate in recast(self.best)):
            pass

    def _simplify(self) -> None:
        for index in range(len(self.best.steps) - 1, -1, -1):
            while self._left > 0 and any(self._take(candidate) for candidate in self._simpler_at(index)):
                pass

    def _simpler_at(self, index: int) -> Iterator[Program]:
        program = self.best
        for step in simpler(program.steps[index]):
            steps = (*program.steps[:index], step, *program.steps[index + 1 :])
            closed = rewrite.closed_up(program, index, step)
            if closed is not None:
                yield closed
            yield replace(program, steps=steps)


def _used(program: Program, index: int) -> bool:
    return any(ref.step == index for step in program.steps[index + 1 :] for ref in references(step))
