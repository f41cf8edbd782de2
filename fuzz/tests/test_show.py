"""Traces and verdicts as lines and as data."""

from __future__ import annotations

import json

from conformance.harness.lockstep import Diverge, Pair
from fuzz import show
from fuzz.quality.planted import BUGS, Planted
from stack_under_test.contract.parser import parse_program
from stack_under_test.reference.target import ReferenceTarget

PROGRAM = parse_program(BUGS[1].shortest)


def test_a_run_shows_every_step_and_event() -> None:
    target = ReferenceTarget()
    trace = target.run(PROGRAM)
    lines = list(show.run_lines(PROGRAM, trace, target.traits))
    assert [line for line in lines if not line.startswith(" ")] == BUGS[1].shortest.splitlines()
    data = json.loads(json.dumps(show.trace_json(PROGRAM, trace, target.traits)))
    assert data["steps"][1]["outcome"] == "blocked"
    assert {"completes_step", "value", "outs", "at_ns"} <= set(data["steps"][2]["events"][-1])


def test_both_sides_stand_where_they_differ() -> None:
    left, right = ReferenceTarget(), Planted(ReferenceTarget(), BUGS[1])
    result = Pair(left, right).run(PROGRAM)
    assert isinstance(result, Diverge)
    lines = list(
        show.difference_lines(PROGRAM, ("sound", "planted"), (result.left, result.right), (left.traits, right.traits), 2)
    )
    assert sum(line.startswith("    sound") for line in lines) == 1
    assert sum(line.startswith("    planted") for line in lines) == 1
    assert show.result_json(result)["divergence"]["kind"] == "frame.ack"
    assert show.verdict(result).startswith("diverge at step 3")
