"""What every report shows: findings by fingerprint, totals with their names, and both traces aligned.

A record may hold a finding several times (as it was met, then shrunk): the last stands.  Divergences that are neither
listed nor explained come first, then listed ones, then those that are explained by release, then what did not come again;
within each, the most frequent first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType

from conformance.harness.record import Finding, RunRecord, explained_text

TOTALS: Mapping[str, str] = MappingProxyType(
    {
        "agree": "agree",
        "diverge": "diverge",
        "unsupported": "unsupported",
        "late": "late",
        "unsteady": "unsteady",
        "flaky": "flaky",
        "lost": "lost",
    }
)
"""Results a program can have, in the order in which they are shown."""

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "agree": "no difference over the whole program",
        "diverge": "a confirmed difference",
        "unsupported": "one side does not model the program; compared up to there",
        "late": "a run in real time took too long to be compared",
        "unsteady": "a timer fell on the edge of a step; either side may be right",
        "flaky": "a difference that did not come again",
        "lost": "never ran: the process that was to run it died",
    }
)

STATUSES = ("unlisted", "listed", "explained", "flaky")
"""Of a divergence, in the order in which they are shown."""

_WORLD = re.compile(r"(?:link|sysctl) ")


@dataclass(frozen=True, slots=True)
class Group:
    """One divergence: `count` programs showed it; `status` is ``unlisted``, ``listed``, ``explained`` or ``flaky``."""

    finding: Finding
    count: int
    status: str


@dataclass(frozen=True, slots=True)
class Row:
    """One step of both traces: its text; lines side by side with whether each pair differs; `first`: the divergence."""

    index: int
    text: str
    lines: tuple[tuple[str, str, bool], ...]
    first: bool


def groups(record: RunRecord) -> tuple[Group, ...]:
    """The divergences of a record, most important first."""
    latest = {(found.status, found.key): found for found in record.findings}
    made = [
        Group(
            found,
            max(1, record.occurrences.get(found.key, 0)),
            _status(found),
        )
        for found in latest.values()
    ]
    return tuple(sorted(made, key=lambda group: (STATUSES.index(group.status), -group.count, group.finding.summary)))


def _status(found: Finding) -> str:
    if found.status == "flaky":
        return "flaky"
    return "explained" if found.explained else "listed" if found.listed else "unlisted"


def why(group: Group) -> str:
    """Why a divergence is no failure, on one line; "" for one that is, or that did not come again."""
    found = group.finding
    if group.status == "explained":
        return f"explained by release: {explained_text(found.explained)}"
    return f"known: {found.listed}" if group.status == "listed" else ""


def totals(record: RunRecord) -> dict[str, int]:
    """Programs by result, and ``programs`` for their number."""
    results = {name: int(record.counts.get(name, 0)) for name in TOTALS}
    return {"programs": int(record.counts.get("programs", sum(results.values()))), **results}


def also_counted(record: RunRecord) -> dict[str, int]:
    """The counts that are no results."""
    known = {"programs", *TOTALS}
    return {name.replace("_", " "): int(value) for name, value in record.counts.items() if name not in known}


def sides(record: RunRecord) -> tuple[str, str]:
    """The names of the targets."""
    return str(record.metadata.get("left", "left")), str(record.metadata.get("right", "right"))


def title(record: RunRecord) -> str:
    """``linux against reference``."""
    return " against ".join(sides(record))


def program_steps(finding: Finding) -> tuple[str, ...]:
    """The program's steps as text, in order: its lines but for the world's."""
    return tuple(line for line in finding.program.splitlines() if line and not _WORLD.match(line))


def rows(finding: Finding) -> tuple[Row, ...]:
    """Both traces, aligned by step and line."""
    made = []
    for index, text in enumerate(program_steps(finding)):
        left = finding.left_lines[index] if index < len(finding.left_lines) else ("not reached",)
        right = finding.right_lines[index] if index < len(finding.right_lines) else ("not reached",)
        pairs = tuple((one, other, one != other) for one, other in zip_longest(left, right, fillvalue=""))
        made.append(Row(index, text, pairs, index == finding.step))
    return tuple(made)
