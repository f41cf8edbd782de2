"""What a campaign counts. Totals add up, go through JSON, and say the shares of the four classes.

Why programs were unsupported is counted by reason, beside the results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from fuzz.classify import Reached


@dataclass(slots=True)
class Totals:
    """Counts of programs, but for `steps`; each program is in exactly one of agree ... lost; `explained` are those of
    `diverge` that are explained by release, `explained_in_part` those of them of which something had to be left out."""

    programs: int = 0
    steps: int = 0
    agree: int = 0
    diverge: int = 0
    unsupported: int = 0
    late: int = 0
    unsteady: int = 0
    flaky: int = 0
    lost: int = 0
    explained: int = 0
    explained_in_part: int = 0
    established: int = 0
    moved_data: int = 0
    closed_in_order: int = 0
    met_error: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def reached(self, reached: Reached) -> None:
        for name, value in reached._asdict().items():
            setattr(self, name, getattr(self, name) + value)

    def add(self, other: Totals) -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    def shares(self) -> dict[str, float]:
        """Class -> per cent of the programs that ran."""
        ran = max(1, self.programs - self.lost)
        return {name: round(100 * getattr(self, name) / ran, 1) for name in Reached._fields}

    def as_json(self) -> dict[str, int]:
        """Counts by name; a reason is named after ``unsupported: ``."""
        counts = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "reasons"}
        return counts | {_REASON + reason: count for reason, count in self.reasons.items()}


_REASON = "unsupported: "


def from_json(counts: Mapping[str, int]) -> Totals:
    """The inverse of `as_json`; names it does not know are passed over, missing ones are 0."""
    numbers = {item.name: int(counts.get(item.name, 0)) for item in fields(Totals) if item.name != "reasons"}
    reasons = {name.removeprefix(_REASON): int(count) for name, count in counts.items() if name.startswith(_REASON)}
    return Totals(**numbers, reasons=Counter(reasons))
