"""Whether a target does the same again: generated programs, each on an instance that has run others before it, which are
others each time.

Only octets count: traces are compared as they are, nothing is made symbolic.  It is for targets in virtual time; in
real time no two runs are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count as count_from
from itertools import islice

from fuzz.generate import Generator
from fuzz.profile import VIRTUAL, Profile
from stack_under_test.contract.printer import print_program
from stack_under_test.contract.program import Advance, Program
from stack_under_test.contract.trace import Trace
from stack_under_test.registry import open_target

PROFILE: Profile = replace(VIRTUAL, timed=100, unsteady=True)
"""Time passes, and values are asked for that differ between two runs of an ordinary kernel."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Program `number` showed something else the second time, from `step` on: what it showed there each time."""

    number: int
    step: int
    first: str
    second: str
    program: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """`fresh` programs were run on an instance of their own too; `virtual_ns` is the time that all of them let pass once,
    `elapsed_ns` what the run on the first instance took."""

    programs: int
    fresh: int
    virtual_ns: int
    elapsed_ns: int
    differences: tuple[Difference, ...]


def repeat(spec: str, count: int, seed: int, fresh: int = 0, watch: Callable[[int], None] = lambda permille: None) -> Repeated:
    """Run `count` programs in which time passes, in order; again on another instance, from the last to the first; and
    `fresh` of them on an instance each that has run nothing.  Raises what opening the target raises."""
    programs = list(islice(_timed(seed), count))
    alone = [count * index // fresh for index in range(fresh)] if fresh else []
    total = 2 * count + len(alone)
    differences: list[Difference] = []
    began = time.monotonic_ns()
    first = []
    for trace in _run(spec, programs):
        first.append(trace)
        watch(1000 * len(first) // total)
    elapsed = time.monotonic_ns() - began
    for index, trace in enumerate(_run(spec, programs[::-1])):
        number = count - 1 - index
        differences += _compare(number, programs[number], first[number], trace)
        watch(1000 * (count + index) // total)
    for index, number in enumerate(alone):
        (trace,) = _run(spec, [programs[number]])
        differences += _compare(number, programs[number], first[number], trace)
        watch(1000 * (2 * count + index) // total)
    return Repeated(count, len(alone), sum(map(_virtual_ns, programs)), elapsed, tuple(differences))


def _timed(seed: int) -> Iterator[Program]:
    """Generated programs in which time passes."""
    generator = Generator(seed, PROFILE)
    return filter(_virtual_ns, map(generator.program, count_from(0)))


def _virtual_ns(program: Program) -> int:
    return sum(step.ns for step in program.steps if isinstance(step, Advance))


def _run(spec: str, programs: Sequence[Program]) -> Iterator[Trace]:
    with closing(open_target(spec)) as target:
        for program in programs:
            yield target.run(program)


def _compare(number: int, program: Program, first: Trace, second: Trace) -> Iterator[Difference]:
    """The first step in which two traces of a program differ; also the end of one of them."""
    if first.steps == second.steps:
        return
    pairs = enumerate(zip(first.steps, second.steps, strict=False))
    step, texts = next(((at, (str(one), str(other))) for at, (one, other) in pairs if one != other), (-1, ("", "")))
    if step < 0:
        step = min(len(first.steps), len(second.steps))
        texts = f"{len(first.steps)} steps", f"{len(second.steps)} steps"
    yield Difference(number, step, *texts, print_program(program))


def repeated_lines(result: Repeated) -> Iterator[str]:
    """The verdict, and the programs that differed."""
    hours, rate = result.virtual_ns // 3_600_000_000_000, result.programs * 1_000_000_000 // max(1, result.elapsed_ns)
    yield f"{result.programs} programs let {hours} hours pass, {rate} programs/s"
    yield f"run again in reverse order, {result.fresh} of them on fresh instances too: {len(result.differences)} differences"
    for found in result.differences:
        yield f"program {found.number}, step {found.step}:"
        yield from (f"    {line}" for line in found.program.splitlines())
        yield f"  first   {found.first}"
        yield f"  second  {found.second}"
