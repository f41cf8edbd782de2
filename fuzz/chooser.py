"""How the grammar makes its choices.

One grammar, two drivers.  Campaigns drive it with `RandomChooser`, which costs next to nothing; Hypothesis drives it
with `strategies.DrawChooser`, which makes every choice something to shrink.  So the first item of a choice and the low
end of a range are the simplest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Weights(Generic[T]):
    """Items with integer weights, simplest first.  Raises ValueError when nothing has weight."""

    __slots__ = ("_bounds", "items", "total")

    def __init__(self, *pairs: tuple[int, T]) -> None:
        kept = [(weight, item) for weight, item in pairs if weight > 0]
        if not kept:
            raise ValueError("no item has a weight")
        self.items = tuple([item for _, item in kept])
        self._bounds = tuple(accumulate(weight for weight, _ in kept))
        self.total = self._bounds[-1]

    def at(self, point: int) -> T:
        """The item at 0 <= `point` < `total`."""
        return self.items[bisect_right(self._bounds, point)]


class Chooser(Protocol):
    """All randomness of the grammar."""

    def integer(self, low: int, high: int) -> int:
        """An integer in low..high, both included; at most 2**48 values."""

    def choice(self, items: Sequence[T]) -> T:
        """One of `items`, equally likely."""

    def weighted(self, table: Weights[T]) -> T:
        """One of the table's items."""

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 cases; False is the simpler answer."""


class RandomChooser:
    """A `Chooser` over a seeded generator."""

    def __init__(self, rng: Random) -> None:
        self._random: Callable[[], float] = rng.random

    def integer(self, low: int, high: int) -> int:
        return low + int(self._random() * (high - low + 1))

    def choice(self, items: Sequence[T]) -> T:
        return items[int(self._random() * len(items))]

    def weighted(self, table: Weights[T]) -> T:
        return table.at(int(self._random() * table.total))

    def chance(self, percent: int) -> bool:
        return self._random() * 100 >= 100 - percent
