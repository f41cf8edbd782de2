"""The campaign finds each planted bug, and its program ends at most two steps longer than the shortest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from conformance.harness.lockstep import Agree, Diverge, Pair
from conformance.harness.record import Finding
from fuzz.generate import Generator
from fuzz.hunt import Hunt, Stopped
from fuzz.profile import Profile
from fuzz.quality.planted import BUGS, Bug, Planted
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Program
from stack_under_test.reference.target import ReferenceTarget

ENOUGH = 600
"""Programs in which a bug has to show."""

SLACK = 2
"""Steps by which a shrunk program may be longer than the shortest."""


class Shortest:
    """A listener that has everything shrunk, and stops the hunt when a program is short enough."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.short: list[str] = []

    def found(self, found: Finding) -> bool:
        return True

    def shrunk(self, found: Finding) -> None:
        self.short.append(found.program)

    def check(self) -> None:
        if any(len(parse_program(text).steps) <= self.steps for text in self.short):
            raise Stopped


@pytest.fixture(params=BUGS, ids=lambda bug: bug.name)
def bug(request: pytest.FixtureRequest) -> Bug:
    found: Bug = request.param
    return found


@pytest.fixture
def pair(bug: Bug) -> Iterator[Pair]:
    left, right = ReferenceTarget(), Planted(ReferenceTarget(), bug)
    yield Pair(left, right)
    left.close()
    right.close()


def test_the_shortest_program_shows_the_bug(bug: Bug, pair: Pair) -> None:
    assert isinstance(pair.run(parse_program(bug.shortest)), Diverge)


def test_every_step_of_the_shortest_program_is_needed(bug: Bug, pair: Pair) -> None:
    program = parse_program(bug.shortest)
    shorter = Program(program.steps[:-1])
    assert isinstance(pair.run(shorter), Agree)


def test_a_campaign_finds_it_and_shrinks_it(bug: Bug, pair: Pair) -> None:
    listener = Shortest(len(parse_program(bug.shortest).steps) + SLACK)
    hunt = Hunt(pair, Generator(1, Profile(timed=0, crafted=0)).program, listener)
    with contextlib.suppress(Stopped):
        hunt.run(range(ENOUGH))
    assert any(len(parse_program(text).steps) <= listener.steps for text in listener.short), "\n".join(listener.short)
