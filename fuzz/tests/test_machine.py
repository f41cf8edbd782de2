"""The state machine: a stack agrees with itself; a planted bug is found, shrunk and printed as a program."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fuzz.machine import socket_machine
from fuzz.quality.planted import BUGS, Planted
from stack_under_test.contract.parser import parse_program
from stack_under_test.reference.target import ReferenceTarget

SETTINGS = settings(
    max_examples=60,
    stateful_step_count=10,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)


def test_a_stack_agrees_with_itself_step_by_step() -> None:
    run_state_machine_as_test(socket_machine(ReferenceTarget(1), ReferenceTarget(2)), settings=SETTINGS)


def test_what_fails_is_printed_as_a_short_program() -> None:
    machine = socket_machine(ReferenceTarget(), Planted(ReferenceTarget(), BUGS[1]))
    with pytest.raises(AssertionError) as failure:
        run_state_machine_as_test(machine, settings=SETTINGS)
    summary, _, program = str(failure.value).split("\n", 2)
    assert "frame.ack" in summary
    assert len(parse_program(program).steps) <= 6
