"""How fast: the bare limit of this kernel, then what each layer makes of it, in one run.

The bare loops are what the simplest Python makes of this kernel: the lockstep of one connection after another, which is
the limit, and a whole program of 20 steps with sockets of its own, which `linux` runs too, like for like.  The other
programs are generated ones of about 20 steps in which no time passes, each run once; all figures but the last are of
one process, and one program at a time but for the batches.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from conformance.harness.lockstep import Pair
from fuzz.campaign import Order, run_campaign
from fuzz.generate import Generator
from fuzz.profile import DEFAULT
from stack_under_test.contract.program import Program
from stack_under_test.linux.bare import CONVERSATION, bare_lockstep, bare_programs
from stack_under_test.linux.target import LinuxTarget
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
    yield _linux("bare TUN lockstep", lambda name: Figure(name, 0, bare_lockstep()))
    yield _linux("bare program", _bare_program)
    programs, elapsed = _timed(lambda: bench_programs(count))
    yield _figure("generation", len(programs), _steps(programs), elapsed)
    yield _linux("linux", lambda name: _target(name, name, programs))
    yield _linux("linux, batches", lambda name: _batches(name, programs))
    yield _linux("linux, bare program", lambda name: _target(name, "linux", [CONVERSATION] * count))
    yield _linux("linux, bare batches", lambda name: _batches(name, [CONVERSATION] * count))
    yield _target("reference", "reference", programs)
    yield _linux("lockstep", lambda name: _lockstep(name, programs))
    for number in sorted({1, jobs}):
        name = f"fuzz, {number} {'job' if number == 1 else 'jobs'}"
        yield _linux(name, partial(_campaign, count=count, jobs=number))


def _linux(name: str, measure: Callable[[str], Figure]) -> Figure:
    """The measured figure, or why there is none on this machine."""
    reason = why_unavailable("linux")
    return measure(name) if reason is None else Figure(name, 0, 0, reason)


def _bare_program(name: str) -> Figure:
    programs = bare_programs()
    return Figure(name, programs, programs * len(CONVERSATION.steps))


def _target(name: str, target_name: str, programs: Sequence[Program]) -> Figure:
    with closing(open_target(target_name)) as target:
        target.run(programs[0])
        steps, elapsed = _timed(lambda: sum([len(target.run(program).steps) for program in programs]))
    return _figure(name, len(programs), steps, elapsed)


def _batches(name: str, programs: Sequence[Program]) -> Figure:
    with LinuxTarget() as target:
        target.run(programs[0])
        traces, elapsed = _timed(lambda: target.run_many(programs))
    return _figure(name, len(programs), sum(len(trace.steps) for trace in traces), elapsed)


def _lockstep(name: str, programs: Sequence[Program]) -> Figure:
    """Both targets, normalised and compared, differences confirmed."""
    with closing(open_target("linux")) as left, closing(open_target("reference")) as right:
        pair = Pair(left, right)
        pair.run(programs[0])
        steps, elapsed = _timed(lambda: sum([len(pair.run(program).left.steps) for program in programs]))
    return _figure(name, len(programs), steps, elapsed)


def _campaign(name: str, count: int, jobs: int) -> Figure:
    """`sockdiff fuzz` from its start to its end; findings are recorded, not shrunk."""
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
