"""Which of the results a pair of runs gives: scripted targets hand out traces one after another."""

from __future__ import annotations

from dataclasses import replace

from conformance.harness.compare import Policy
from conformance.harness.lockstep import Agree, Diverge, Flaky, Late, Pair, Unsteady, Unsupported, run_pair
from conformance.harness.tests import builders as b
from conformance.harness.timing import LATE_NS, TICK_NS, excess_ns, longer, unsteady_from
from stack_under_test.contract import trace as t
from stack_under_test.contract.program import Advance, Program
from stack_under_test.contract.target import Traits
from stack_under_test.contract.trace import FrameOut, Trace

PROGRAM = b.program("close(3)\nadvance 100ms\nclose(3)")
MS = 1_000_000


class Scripted:
    """A target that answers with the next of its traces, the last one again and again."""

    def __init__(self, traits: Traits, *traces: Trace) -> None:
        self.traits = traits
        self.traces = list(traces)
        self.runs = 0

    def run(self, program: Program) -> Trace:
        self.runs += 1
        return self.traces.pop(0) if len(self.traces) > 1 else self.traces[0]

    def close(self) -> None:
        pass


def trace(last: int = 0, event_at: int | None = None, excess: int = 0) -> Trace:
    """PROGRAM's run: an event at a time within the advance step, and some time lost before it."""
    events = () if event_at is None else (FrameOut(b.datagram(9, 7), excess + event_at),)
    return Trace(
        (
            b.step(0, at=0, took=excess),
            b.done(*events, at=excess, took=100 * MS),
            b.step(last, at=excess + 100 * MS, took=0),
        )
    )


def linux(*traces: Trace) -> Scripted:
    return Scripted(b.LINUX, *traces)


def reference(*traces: Trace) -> Scripted:
    return Scripted(b.REFERENCE, *traces)


def test_agreement() -> None:
    result = run_pair(PROGRAM, linux(trace()), reference(trace()))
    assert result == Agree(trace(), trace())


def test_a_divergence_is_seen_again() -> None:
    left, right = linux(trace()), reference(trace(1))
    result = Pair(left, right).run(PROGRAM)
    assert isinstance(result, Diverge)
    assert result.divergence.kind == "outcome.value"
    assert (left.runs, right.runs) == (3, 3)
    assert isinstance(Pair(left, right, confirm=0).run(PROGRAM), Diverge)
    assert left.runs == 4


def test_a_divergence_that_does_not_come_again_is_flaky() -> None:
    result = Pair(linux(trace(1), trace()), reference(trace())).run(PROGRAM)
    assert isinstance(result, Flaky)
    assert result.second is None
    result = Pair(linux(trace(1), trace(-9)), reference(trace())).run(PROGRAM)
    assert isinstance(result, Flaky)
    assert result.second is not None
    assert result.second.kind == "outcome.errno"


def test_unsupported_is_a_third_result() -> None:
    cut = Trace((b.step(t.Unsupported("SCTP")),))
    result = run_pair(PROGRAM, linux(trace()), reference(cut))
    assert isinstance(result, Unsupported)
    assert (result.step, result.side, result.reason) == (0, "right", "SCTP")


def test_a_late_run_is_run_again_and_not_compared() -> None:
    late = trace(1, excess=2 * LATE_NS)
    left = linux(late, trace())
    assert isinstance(Pair(left, reference(trace())).run(PROGRAM), Agree)
    assert left.runs == 2
    always = linux(late)
    result = Pair(always, reference(trace())).run(PROGRAM)
    assert isinstance(result, Late)
    assert (result.side, result.excess, always.runs) == ("left", 2 * LATE_NS, 3)
    assert isinstance(Pair(reference(late), reference(late)).run(PROGRAM), Agree)


def test_a_hang_is_not_lateness() -> None:
    hung = Trace((b.step(0), replace(b.step(t.Killed("hang")), ended=10**10)))
    assert excess_ns(PROGRAM, hung) == 1000
    assert isinstance(Pair(linux(hung), reference(trace())).run(PROGRAM), Diverge)


def test_an_event_at_the_edge_of_a_step_makes_a_difference_unsteady() -> None:
    result = run_pair(PROGRAM, linux(trace()), reference(trace(event_at=99 * MS)))
    assert isinstance(result, Unsteady)
    assert (result.step, result.divergence.kind) == (1, "frames.extra")
    assert isinstance(run_pair(PROGRAM, linux(trace()), reference(trace(event_at=2 * MS))), Unsteady)
    assert isinstance(run_pair(PROGRAM, linux(trace()), reference(trace(event_at=40 * MS))), Diverge)
    both = trace(event_at=99 * MS)
    assert isinstance(run_pair(PROGRAM, linux(both), reference(both)), Agree)


def test_only_differences_from_the_edge_on_are_unsteady() -> None:
    early = Trace((b.step(5), *trace(event_at=99 * MS).steps[1:]))
    assert unsteady_from(PROGRAM, early) == 1
    assert isinstance(run_pair(PROGRAM, linux(trace()), reference(early)), Diverge)


class Slower(Scripted):
    """A target with virtual time whose event comes just after PROGRAM's pause."""

    def __init__(self) -> None:
        super().__init__(b.REFERENCE, trace())

    def run(self, program: Program) -> Trace:
        pause = program.steps[1]
        assert isinstance(pause, Advance)
        if pause.ns < 103 * MS:
            return trace()
        return Trace((trace().steps[0], b.done(*trace(event_at=103 * MS).steps[1].events, took=pause.ns)))


def test_what_is_missing_may_come_when_a_pause_is_longer() -> None:
    result = run_pair(PROGRAM, linux(trace(event_at=95 * MS)), Slower())
    assert isinstance(result, Unsteady)
    assert (result.step, result.divergence.kind) == (1, "frames.missing")
    assert isinstance(run_pair(PROGRAM, linux(trace(event_at=50 * MS)), Slower()), Diverge), "too early for chance"
    assert isinstance(run_pair(PROGRAM, linux(trace(event_at=95 * MS)), reference(trace())), Diverge), "it never comes"


def test_how_much_longer_a_pause_is() -> None:
    prolonged = longer(PROGRAM, trace(event_at=96 * MS), 1)
    assert prolonged is not None
    assert prolonged.steps == (PROGRAM.steps[0], Advance(100 * MS + TICK_NS + 12 * MS))
    assert longer(PROGRAM, trace(event_at=70 * MS), 1) is None
    assert longer(PROGRAM, trace(), 1) is None
    assert longer(PROGRAM, trace(event_at=96 * MS), 0) is None


def test_two_virtual_targets_are_never_unsteady() -> None:
    virtual = Scripted(replace(b.LINUX, virtual_time=True), trace())
    assert isinstance(run_pair(PROGRAM, virtual, reference(trace(event_at=99 * MS))), Diverge)


def test_what_a_policy_passes_over_is_counted_once_a_program() -> None:
    pair = Pair(linux(trace()), reference(trace(1)), Policy(frozenset({"outcome.value"})))
    assert isinstance(pair.run(PROGRAM), Agree)
    assert pair.tally == {"outcome.value": 1}


class Elsewhere(Scripted):
    """A target that runs elsewhere; `log` shows the order."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(b.LINUX, trace())
        self.log = log

    def submit(self, program: Program) -> None:
        self.log.append("submit")

    def collect(self) -> Trace:
        self.log.append("collect")
        return self.run(PROGRAM)


def test_the_right_side_runs_while_the_left_one_does() -> None:
    log: list[str] = []

    class Logged(Scripted):
        def run(self, program: Program) -> Trace:
            log.append("right")
            return super().run(program)

    assert isinstance(Pair(Elsewhere(log), Logged(b.REFERENCE, trace())).run(PROGRAM), Agree)
    assert log == ["submit", "right", "collect"]
    log.clear()
    assert isinstance(Pair(Elsewhere(log), Logged(b.LINUX, trace())).run(PROGRAM), Agree)
    assert log == ["right"]
