"""How fast: the bare limit of this kernel, then what each layer makes of it, in one run.

The bare loop is what the simplest Python makes of this kernel.  The programs are generated ones of about 20 steps in
which no time passes; all figures but the last are of one process.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from conformance.harness.lockstep import Pair
from fuzz.campaign import Order, run_campaign
from fuzz.generate import Generator
from fuzz.profile import DEFAULT
from stack_under_test.contract.program import Program
from stack_under_test.linux.bare import bare_lockstep
from stack_under_test.registry import open_target, why_unavailable

T = TypeVar("T")
_NS = 1_000_000_000
PROFILE = replace(DEFAULT, timed=0, foreign=0, crafted=0)
STEPS = range(17, 24)


class Figure(NamedTuple):
    """`programs` and `steps` a second; 0 programs where there are none; `note` when it could not be measured."""

    name: str
    programs: int
    steps: int
    note: str = ""


def bench_programs(count: int, seed: int = 1) -> list[Program]:
    """Generated programs of about 20 steps."""
    generator = Generator(seed, PROFILE)
    programs: list[Program] = []
    number = 0
    while len(programs) < count:
        program = generator.program(number)
        number += 1
        if len(program.steps) in STEPS:
            programs.append(program)
    return programs


def bench(count: int, jobs: int) -> Iterator[Figure]:
    """The figures, each as soon as it is known; `count` programs each."""
    yield _bare()
    programs, elapsed = _timed(lambda: bench_programs(count))
    yield _figure("generation", len(programs), _steps(programs), elapsed)
    for name in ("linux", "reference"):
        yield _target(name, programs)
    yield _lockstep(programs)
    yield from [_campaign(count, number) for number in sorted({1, jobs})]


def _bare() -> Figure:
    reason = why_unavailable("linux")
    if reason is not None:
        return Figure("bare TUN lockstep", 0, 0, reason)
    return Figure("bare TUN lockstep", 0, bare_lockstep())


def _target(name: str, programs: Sequence[Program]) -> Figure:
    reason = why_unavailable(name)
    if reason is not None:
        return Figure(name, 0, 0, reason)
    with closing(open_target(name)) as target:
        target.run(programs[0])
        steps, elapsed = _timed(lambda: sum([len(target.run(program).steps) for program in programs]))
    return _figure(name, len(programs), steps, elapsed)


def _lockstep(programs: Sequence[Program]) -> Figure:
    """Both targets, normalised and compared, differences confirmed."""
    name = "lockstep"
    reason = why_unavailable("linux")
    if reason is not None:
        return Figure(name, 0, 0, reason)
    with closing(open_target("linux")) as left, closing(open_target("reference")) as right:
        pair = Pair(left, right)
        pair.run(programs[0])
        steps, elapsed = _timed(lambda: sum([len(pair.run(program).left.steps) for program in programs]))
    return _figure(name, len(programs), steps, elapsed)


def _campaign(count: int, jobs: int) -> Figure:
    """`sockdiff fuzz` from its start to its end; findings are recorded, not shrunk."""
    name = f"fuzz, {jobs} {'job' if jobs == 1 else 'jobs'}"
    reason = why_unavailable("linux")
    if reason is not None:
        return Figure(name, 0, 0, reason)
    with tempfile.TemporaryDirectory() as out:
        order = Order("linux", "reference", Path(out), 1, count * jobs, jobs=jobs, profile=PROFILE, budget=0)
        summary = run_campaign(order)
    return _figure(name, summary.totals.programs, summary.totals.steps, summary.elapsed_ns)


def _timed(work: Callable[[], T]) -> tuple[T, int]:
    began = time.monotonic_ns()
    return work(), time.monotonic_ns() - began


def _steps(programs: Sequence[Program]) -> int:
    return sum(len(program.steps) for program in programs)


def _figure(name: str, programs: int, steps: int, elapsed: int) -> Figure:
    return Figure(name, programs * _NS // elapsed, steps * _NS // elapsed)


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """Lines: programs/s, steps/s, and the ratio of steps/s to the first figure's."""
    yield f"{'':20}{'programs/s':>12}{'steps/s':>12}{'of the limit':>14}"
    limit = figures[0].steps if figures else 0
    for name, programs, steps, note in figures:
        if note:
            yield f"{name:20}{note}"
            continue
        ratio = f"{100 * steps // limit} %" if limit else "-"
        yield f"{name:20}{programs or '-':>12}{steps:>12}{ratio:>14}"
