"""What the programs of a run have reached so far, on each side that can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stack_under_test.contract.coverage import reached
from stack_under_test.contract.trace import Trace

SIDES = ("left", "right")


@dataclass(slots=True)
class Coverage:
    """A set of blocks a side (see `contract.coverage`); 0 where a side does not tell."""

    left: int = 0
    right: int = 0

    def add(self, left: Trace, right: Trace) -> int:
        """Add what a program reached; how many blocks nothing had reached before."""
        return self.merge(Coverage(reached(left), reached(right)))

    def merge(self, other: Coverage) -> int:
        """Add another run's of the same builds; how many blocks were new."""
        new = other.left & ~self.left, other.right & ~self.right
        self.left |= new[0]
        self.right |= new[1]
        return new[0].bit_count() + new[1].bit_count()

    def as_json(self) -> dict[str, str]:
        """Hexadecimal by side; sides that told nothing are left out."""
        return {side: f"{blocks:x}" for side in SIDES if (blocks := getattr(self, side))}


def from_json(data: Mapping[str, str]) -> Coverage:
    """The inverse of `as_json`.  Raises ValueError or TypeError for what is none."""
    return Coverage(*[int(data.get(side, "0"), 16) for side in SIDES])
