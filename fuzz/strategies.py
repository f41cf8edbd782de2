"""Hypothesis strategies: whole programs, every choice of which shrinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from fuzz.chooser import Weights
from fuzz.grammar import Grammar
from fuzz.profile import DEFAULT, Profile
from stack_under_test.contract.program import Program

T = TypeVar("T")


class DrawChooser:
    """A `chooser.Chooser` whose choices Hypothesis makes, and shrinks towards the first and the lowest."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def choice(self, items: Sequence[T]) -> T:
        return items[self.integer(0, len(items) - 1)]

    def weighted(self, table: Weights[T]) -> T:
        return table.at(self.integer(0, table.total - 1))

    def chance(self, percent: int) -> bool:
        return percent > 0 and self.integer(0, 99) >= 100 - percent


def programs(profile: Profile = DEFAULT) -> SearchStrategy[Program]:
    """Whole programs of a profile."""
    grammar = Grammar(profile)

    @st.composite
    def drawn(draw: DrawFn) -> Program:
        return grammar.draw(DrawChooser(draw))

    return drawn()
