"""Programs from a seed, for campaigns: the same grammar as `strategies.programs`, without Hypothesis' cost."""

from __future__ import annotations

from random import Random

from fuzz.chooser import RandomChooser
from fuzz.grammar import Grammar
from fuzz.profile import DEFAULT, Profile
from stack_under_test.contract.program import Program


class Generator:
    """Program number `index` of a seed is the same on every machine and in every order of asking."""

    def __init__(self, seed: int, profile: Profile = DEFAULT) -> None:
        self.seed = seed
        self._grammar = Grammar(profile)

    def program(self, index: int) -> Program:
        return self._grammar.draw(RandomChooser(Random((self.seed << 64) + index)))


def generate(seed: int, index: int, profile: Profile = DEFAULT) -> Program:
    """One program; a `Generator` is faster for many."""
    return Generator(seed, profile).program(index)
