"""The user-mode kernel against a stock one: do both tell the same of a program, and when?

Results, packets and their order have to be the same.  Times cannot be, for three reasons, and the allowance is what
these amount to:

- a stock kernel's timer wheel keeps a delay to 8/63 of it at worst, always late (`kernel/time/timer.c`: level n begins at
  63 * 8^(n-1) ticks and counts in 8^n), which patch 05-exact-timers takes away;
- each timer runs at a tick, of 4 ms, and the ticks of two machines do not coincide;
- under qemu a step takes as long as its instructions do, some 0.1 ms, and in the user-mode kernel 20 microseconds: what a
  timer measures begins that much later.

A program may also look, or send, at a moment when a timer is over in one kernel and still late in the other.  Where both
do not agree, the program is run once more with that much more patience before the step in question.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

from conformance.harness.compare import NotModelled, Policy, compare
from stack_under_test.contract.program import Advance, Program
from stack_under_test.contract.target import Traits
from stack_under_test.contract.trace import Trace
from stack_under_test.uml import stock
from stack_under_test.uml.places import Kernel
from stack_under_test.uml.steps import Show
from stack_under_test.uml.target import UmlTarget

TICK_NS = 4_000_000
WHEEL = (8, 63)
_UNTIMED = Policy(times=False)
_MS = 1_000_000


class Row(NamedTuple):
    """A program. `events` were compared in time; the one that took up most of its allowance was `apart_ns` later on the
    stock kernel, of `allowed_ns`.  `problem` is "" when both agree, `step` where they do not (-1: only in time), and
    `patience_ns` how much longer the program had to wait for that."""

    name: str
    problem: str
    step: int = -1
    events: int = 0
    apart_ns: int = 0
    allowed_ns: int = 0
    patience_ns: int = 0


class Report(NamedTuple):
    """The kernels, and a row a program; `elapsed_ns` is what the stock kernel took."""

    exact: str
    stock: str
    rows: tuple[Row, ...]
    elapsed_ns: int


def crosscheck(programs: Mapping[str, Program], release: str, limit_ns: int, show: Show) -> Report:
    """Run programs, by name, on the user-mode kernel of a release and on the stock kernel next to it.  `limit_ns` is the
    wall-clock time of one boot.  Raises Unavailable."""
    with closing(UmlTarget(Kernel(release))) as uml:
        other = stock.find(uml.traits.release)
        other.fetch(show)
        began = time.monotonic_ns()
        traces, traits = other.run(list(programs.values()), limit_ns, show)
        pairs = zip(programs.items(), uml.run_many(programs.values()), traces, strict=True)
        rows = [check(name, program, (one, uml.traits), (two, traits)) for (name, program), one, two in pairs]
        again = {
            index: waiting
            for index, row in enumerate(rows)
            if row.step >= 0 and (waiting := patient(programs[row.name], row.step)) is not None
        }
        if again:
            traces, _ = other.run([program for program, _ in again.values()], limit_ns, show)
            for (index, (program, patience)), two in zip(again.items(), traces, strict=True):
                row = check(rows[index].name, program, (uml.run(program), uml.traits), (two, traits))
                rows[index] = row._replace(patience_ns=patience) if not row.problem else rows[index]
        return Report(uml.traits.release, other.release, tuple(rows), time.monotonic_ns() - began)


def patient(program: Program, step: int) -> tuple[Program, int] | None:
    """The program with the last pause before `step` made longer by what a timer may be late by then, and by how much;
    None where there is no pause."""
    pauses = [(index, one.ns) for index, one in enumerate(program.steps[:step]) if isinstance(one, Advance)]
    if not pauses:
        return None
    index, ns = pauses[-1]
    more = sum(ns for _, ns in pauses) * WHEEL[0] // WHEEL[1] + TICK_NS
    return replace(program, steps=(*program.steps[:index], Advance(ns + more), *program.steps[index + 1 :])), more


def check(name: str, program: Program, exact: tuple[Trace, Traits], stock: tuple[Trace, Traits]) -> Row:
    """`exact` is the user-mode kernel's trace, `stock` the other's."""
    found = compare(program, exact[0], stock[0], exact[1], stock[1], policy=_UNTIMED)
    if isinstance(found, NotModelled):
        return Row(name, f"not run: {found.reason}")
    if found is not None:
        return Row(name, f"step {found.step}: {found.summary}", found.step)
    times = list(_times(program, exact[0], stock[0]))
    worst = max(times, key=lambda time: abs(time[0]) / time[1], default=(0, 0))
    wrong = [(apart, allowed) for apart, allowed in times if not -TICK_NS <= apart <= allowed]
    problem = f"{wrong[0][0] // _MS} ms apart, {wrong[0][1] // _MS} ms allowed" if wrong else ""
    return Row(name, problem, -1, len(times), *worst)


def _times(program: Program, exact: Trace, stock: Trace) -> Iterator[tuple[int, int]]:
    """Of each event: how much later the stock kernel was, and how much it may have been.  What a step causes that lets no
    time pass is there when the step is over, however long it takes."""
    count = 0
    for step, one, other in zip(program.steps, exact.steps, stock.steps, strict=False):
        lag = other.started - one.started if isinstance(step, Advance) else other.ended - one.ended
        for here, there in zip(one.events, other.events, strict=True):
            count += 1
            yield there.at - here.at, here.at * WHEEL[0] // WHEEL[1] + count * TICK_NS + max(0, lag)


def table(report: Report) -> Iterator[str]:
    """The rows as a table in Markdown, and a line that sums them up."""
    rows = report.rows
    yield "| program | events | later by | allowed | |"
    yield "|---|---|---|---|---|"
    for row in rows:
        times = f"{row.apart_ns // _MS} ms | {row.allowed_ns // _MS} ms" if row.events else "- | -"
        yield f"| `{row.name}` | {row.events} | {times} | {_verdict(row)} |"
    yield ""
    agree = sum(not row.problem for row in rows)
    yield f"{agree} of {len(rows)} programs agree: user-mode {report.exact}, stock {report.stock}."


def _verdict(row: Row) -> str:
    waited = f", {row.patience_ns // _MS} ms later" if row.patience_ns else ""
    return row.problem or f"agrees{waited}"


def as_json(report: Report) -> dict[str, Any]:
    """The same as data."""
    return {**report._asdict(), "rows": [row._asdict() for row in report.rows]}
