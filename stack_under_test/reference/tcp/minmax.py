"""A minimum over a sliding window of time, kept in three samples (`lib/win_minmax.c`, after Kathleen Nichols)."""

from __future__ import annotations

from typing import NamedTuple

NOTHING = 0xFFFF_FFFF
"""What there is without a measurement."""


class Sample(NamedTuple):
    at: int
    value: int


class RunningMin:
    """`struct minmax`: the best sample, the best of what came after it, and the best of what came after that.

    Times and `window` are in one unit, whichever.
    """

    __slots__ = ("_best", "_second", "_third", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self._reset(Sample(0, NOTHING))

    @property
    def value(self) -> int:
        """`minmax_get`."""
        return self._best.value

    def _reset(self, sample: Sample) -> None:
        self._best = self._second = self._third = sample

    def add(self, at: int, value: int) -> None:
        """`minmax_running_min`."""
        sample = Sample(at, value)
        if value <= self._best.value or at - self._third.at > self.window:
            self._reset(sample)
            return
        if value <= self._second.value:
            self._second = self._third = sample
        elif value <= self._third.value:
            self._third = sample
        self._grow_old(sample)

    def _grow_old(self, sample: Sample) -> None:
        """`minmax_subwin_update`: what is too old gives way to the next best; successors come from later quarters."""
        age = sample.at - self._best.at
        if age > self.window:
            self._best, self._second, self._third = self._second, self._third, sample
            if sample.at - self._best.at > self.window:
                self._best, self._second, self._third = self._second, self._third, sample
        elif self._second.at == self._best.at and age > self.window // 4:
            self._second = self._third = sample
        elif self._third.at == self._second.at and age > self.window // 2:
            self._third = sample
