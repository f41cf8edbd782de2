"""The grammar: same seed, same programs; nearly all distinct; each one a program that can be run and written down."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from fuzz.chooser import Weights
from fuzz.ethernet import STRANGER
from fuzz.generate import Generator, generate
from fuzz.profile import DEFAULT, Profile
from fuzz.scenarios import SCENARIOS
from fuzz.strategies import programs
from stack_under_test.contract.check import check_program
from stack_under_test.contract.frames import ArpFrame, Frame, RawFrame
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.printer import print_program
from stack_under_test.contract.program import Advance, Call, Fork, Inject, Program, Signal

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


def test_same_seed_and_index_give_the_same_program() -> None:
    generator = Generator(7)
    assert [generator.program(index) for index in (5, 3, 5)] == [generate(7, index) for index in (5, 3, 5)]
    assert generator.program(1) != generator.program(2)
    assert generate(7, 1) != generate(8, 1)


def test_nine_in_ten_of_5000_are_distinct() -> None:
    generator = Generator(1)
    assert len({generator.program(index) for index in range(5000)}) >= 4500


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_gives_programs_that_can_be_run_and_written(name: str) -> None:
    generator = Generator(3, Profile(scenarios=((name, 1),), bent=15, noise=20))
    for index in range(60):
        program = generator.program(index)
        check_program(program)
        assert parse_program(print_program(program)) == program


def test_on_ethernet_a_stranger_takes_the_place_of_the_peer() -> None:
    """Most programs are told by a station that the stack has to ask for, and that talks of its hardware address."""
    generator = Generator(5, Profile(ethernet=100, foreign=0, bent=0))
    drawn = [generator.program(index) for index in range(200)]
    assert all(program.world.link == "tap" and parse_program(print_program(program)) == program for program in drawn)
    frames = [[step.frame for step in program.steps if isinstance(step, Inject)] for program in drawn]
    assert sum(any(isinstance(frame, ArpFrame) for frame in several) for several in frames) > 100
    strange = [several for several in frames if any(isinstance(one, Frame) and one.ip.src == STRANGER for one in several)]
    assert len(strange) > 100
    assert not any(isinstance(one, Frame) and one.ip.src is None for several in strange for one in several)


def test_time_passes_in_few_programs_and_in_none_when_the_profile_says_so() -> None:
    generator, still = Generator(1), Generator(1, Profile(timed=0))
    timed = sum(any(isinstance(step, Advance) for step in generator.program(index).steps) for index in range(2000))
    assert 0 < timed <= 100
    assert not any(isinstance(step, Advance) for index in range(500) for step in still.program(index).steps)


def test_every_kind_of_step_occurs() -> None:
    generator = Generator(2, Profile(timed=50, forks=50, crafted=50))
    steps = [step for index in range(500) for step in generator.program(index).steps]
    assert {Call, Inject, Advance, Signal, Fork} <= {type(step) for step in steps}
    assert any(isinstance(step, Inject) and isinstance(step.frame, RawFrame) for step in steps)
    assert len({step.sys for step in steps if isinstance(step, Call)}) >= 33


def test_neither_scapy_nor_hypothesis_is_loaded_for_a_campaign() -> None:
    code = "import sys, fuzz.generate; sys.exit(any(name in sys.modules for name in ('scapy', 'hypothesis')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@SETTINGS
@given(programs(DEFAULT))
def test_hypothesis_draws_from_the_same_grammar(program: Program) -> None:
    check_program(program)


@SETTINGS
@given(st.lists(st.integers(0, 9), min_size=1).filter(any))
def test_weights_hold(weights: list[int]) -> None:
    table = Weights(*[(weight, index) for index, weight in enumerate(weights)])
    drawn = [table.at(point) for point in range(table.total)]
    assert [drawn.count(index) for index in range(len(weights))] == weights


def test_hypothesis_shrinks_what_it_draws() -> None:
    found = find(
        programs(),
        lambda program: any(isinstance(step, Call) and step.sys == "listen" for step in program.steps),
        settings=settings(SETTINGS, max_examples=300, derandomize=True),
    )
    assert len(found.steps) <= 6


def test_a_table_without_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight"):
        Weights((0, "a"))
