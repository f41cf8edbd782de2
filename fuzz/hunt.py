"""Numbered programs on one pair of targets: count, report, shrink.

One process's part of a campaign, without the process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from conformance.harness.coverage import Coverage
from conformance.harness.lockstep import Agree, Diverge, Flaky, Late, Pair, Result, Unsteady, Unsupported
from conformance.harness.record import Finding, finding, occurrence_key
from conformance.releases import sentences
from fuzz.classify import classify
from fuzz.explain import Explainer, Judged
from fuzz.shrink import BUDGET, shrink
from fuzz.totals import Totals
from stack_under_test.contract.program import Program
from stack_under_test.contract.trace import Killed

HUNG_BUDGET = 24
"""How many programs may be run to shrink one that hangs: enough to find its last steps."""


class Stopped(Exception):
    """The campaign asked this hunt to stop; what was being done is to be forgotten."""


class Listener(Protocol):
    """Who hears of findings."""

    def found(self, found: Finding) -> bool:
        """A divergence as it was met; True when it is new and should be shrunk."""

    def shrunk(self, found: Finding) -> None:
        """The same divergence by a shorter program."""

    def check(self) -> None:
        """Called before every program; raises Stopped."""


class Hunt:
    """`program` gives a program by its number; `budget` is how many programs may be run to shrink one finding.
    `coverage` is what all programs so far have reached."""

    def __init__(self, pair: Pair, program: Callable[[int], Program], listener: Listener, budget: int = BUDGET) -> None:
        self._pair = pair
        self._hasty = replace(pair, confirm=0)
        self._program = program
        self._listener = listener
        self._budget = budget
        self._explainer = Explainer(pair)
        self._known: set[tuple[str, str]] = set()
        self.coverage = Coverage()

    def run(self, numbers: Iterable[int]) -> tuple[Totals, Counter[str]]:
        """Run these programs; what was counted, and how often each finding (`Finding.key`) occurred. Raises Stopped."""
        totals = Totals()
        occurrences: Counter[str] = Counter()
        for number in numbers:
            self._listener.check()
            program = self._program(number)
            result, judged = self._explainer.run(program)
            self._count(totals, program, result)
            self.coverage.add(result.left, result.right)
            if isinstance(result, Diverge):
                totals.explained += bool(judged.fields)
                totals.explained_in_part += bool(judged.fields) and judged.program != program
                occurrences[occurrence_key(result.divergence.fingerprint, judged.fields)] += 1
                self._report(number, program, result, judged)
            elif isinstance(result, Flaky):
                self._report_flaky(number, program, result)
        return totals, occurrences

    def _count(self, totals: Totals, program: Program, result: Result) -> None:
        totals.programs += 1
        totals.steps += len(result.left.steps)
        totals.reached(classify(program, result.left))
        name = _NAMES[type(result)]
        setattr(totals, name, getattr(totals, name) + 1)
        if isinstance(result, Unsupported):
            totals.reasons[f"{result.side}, {result.reason}"] += 1

    def _report(self, number: int, program: Program, result: Diverge, judged: Judged) -> None:
        fingerprint = result.divergence.fingerprint
        key = ("diverge", occurrence_key(fingerprint, judged.fields))
        if key in self._known:
            return
        self._known.add(key)
        if not self._listener.found(self._finding(number, program, result, judged.fields)):
            return
        budget = min(self._budget, HUNG_BUDGET) if hung(result) else self._budget
        short = shrink(judged.program, lambda smaller: self.fingerprint(smaller, judged.fields), fingerprint, budget)
        if short != program:
            again = self._pair.run(short)
            if isinstance(again, Diverge) and again.divergence.fingerprint == fingerprint:
                self._listener.shrunk(self._finding(number, short, again, judged.fields))

    def fingerprint(self, program: Program, explained: tuple[str, ...] = ()) -> str | None:
        """What `program` shows, unconfirmed, as shrinking asks; the end is confirmed. Nothing, when that has another
        explanation: a program must not slip from one cause into another. Raises Stopped."""
        self._listener.check()
        result = self._hasty.run(program)
        if not isinstance(result, Diverge) or not self._explainer.same(program, result, explained):
            return None
        return result.divergence.fingerprint

    def _report_flaky(self, number: int, program: Program, result: Flaky) -> None:
        key = ("flaky", occurrence_key(result.first.fingerprint))
        if key not in self._known:
            self._known.add(key)
            traces, traits = (result.left, result.right), (self._pair.left.traits, self._pair.right.traits)
            self._listener.found(finding(program, result.first, traces, traits, status="flaky", number=number))

    def _finding(self, number: int, program: Program, result: Diverge, explained: tuple[str, ...]) -> Finding:
        traces, traits = (result.left, result.right), (self._pair.left.traits, self._pair.right.traits)
        return finding(program, result.divergence, traces, traits, number=number, explained=sentences(explained))


def hung(result: Diverge) -> bool:
    """Whether a side ran into its time limit: every program that shows this takes as long."""
    ends = [trace.steps[-1].outcome for trace in (result.left, result.right) if trace.steps]
    return any(isinstance(end, Killed) and end.signal == "hang" for end in ends)


_NAMES = {
    Agree: "agree",
    Diverge: "diverge",
    Unsupported: "unsupported",
    Late: "late",
    Unsteady: "unsteady",
    Flaky: "flaky",
}
