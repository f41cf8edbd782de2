"""The comparison with a stock kernel: what it takes as the same, and that it can fail."""

from __future__ import annotations

from dataclasses import replace

from conformance.crosscheck import TICK_NS, Report, Row, check, patient, table
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Advance
from stack_under_test.contract.trace import Completion, FrameOut, Trace
from stack_under_test.reference.target import ReferenceTarget

SECOND = 1_000_000_000
PROGRAM = parse_program("r0 = socket(AF_INET, SOCK_DGRAM, 0)\nt1: poll([{r0, POLLIN}], 1, 20000)\nadvance 30s\n")


def run() -> tuple[Trace, ReferenceTarget]:
    target = ReferenceTarget()
    return target.run(PROGRAM), target


def later(trace: Trace, ns: int) -> Trace:
    """With the events of the last step moved."""
    last = trace.steps[-1]
    events = tuple([replace(event, at=event.at + ns) for event in last.events if isinstance(event, FrameOut | Completion)])
    return replace(trace, steps=(*trace.steps[:-1], replace(last, events=events)))


def row(ns: int) -> Row:
    trace, target = run()
    return check("poll", PROGRAM, (trace, target.traits), (later(trace, ns), target.traits))


def test_the_wheel_may_be_late_and_never_early() -> None:
    assert row(0).problem == ""
    assert row(20 * SECOND * 8 // 63).problem == ""
    assert row(-TICK_NS // 2).problem == ""
    assert "ms apart" in row(20 * SECOND * 8 // 63 + 3 * TICK_NS).problem
    assert "ms apart" in row(-2 * TICK_NS).problem


def test_what_happens_has_to_be_the_same() -> None:
    trace, target = run()
    silent = replace(trace, steps=(*trace.steps[:-1], replace(trace.steps[-1], events=())))
    found = check("poll", PROGRAM, (trace, target.traits), (silent, target.traits))
    assert found.problem
    assert found.step in (1, 2)


def test_patience_makes_the_last_pause_longer() -> None:
    program = parse_program("advance 2s\nadvance 61s\nr0 = socket(AF_INET, SOCK_DGRAM, 0)\nadvance 1s\n")
    waiting = patient(program, 2)
    assert waiting is not None
    longer, more = waiting
    assert more == 8 * SECOND + TICK_NS
    assert [step.ns for step in longer.steps if isinstance(step, Advance)] == [2 * SECOND, 61 * SECOND + more, SECOND]
    assert patient(program, 0) is None


def test_the_table_says_what_was_found() -> None:
    rows = (Row("a", ""), Row("b", "step 3: other", 3), Row("c", "", -1, 2, 5_000_000, 9_000_000, 8 * SECOND))
    text = "\n".join(table(Report("6.12.1", "6.12.1-amd64", rows, 1)))
    assert "| `a` | 0 | - | - | agrees |" in text
    assert "step 3: other" in text
    assert "| `c` | 2 | 5 ms | 9 ms | agrees, 8000 ms later |" in text
    assert "2 of 3 programs agree" in text
