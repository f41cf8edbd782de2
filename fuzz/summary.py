"""What a campaign says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from conformance.harness.record import explained_json, explained_text
from fuzz.campaign import Summary

_NS = 1_000_000_000
_CLASSES = {
    "established": "reached ESTABLISHED",
    "moved_data": "moved data",
    "closed_in_order": "ended with an orderly close",
    "met_error": "met an error",
}
_FEW = 50
_MOST = 4


def summary_lines(summary: Summary) -> Iterator[str]:
    """Totals, the shares of the four classes, and a line per finding."""
    totals = summary.totals
    rate = summary.ran * _NS // max(1, summary.elapsed_ns)
    yield f"{totals.programs} programs, {totals.steps} steps, {rate} programs/s"
    results = ("agree", "diverge", "unsupported", "late", "unsteady", "flaky")
    yield ", ".join(f"{name} {getattr(totals, name)}" for name in results)
    if totals.lost:
        yield f"lost {totals.lost}: the process that ran them died, twice"
    yield ", ".join(f"{_CLASSES[name]} {share} %" for name, share in totals.shares().items())
    for side, blocks in (("left", summary.coverage.left), ("right", summary.coverage.right)):
        if blocks:
            yield f"{side} reached {blocks.bit_count()} blocks of its code"
    if totals.reasons:
        most = sorted(totals.reasons.items(), key=lambda item: (-item[1], item[0]))[:_MOST]
        reasons = [f"{reason} ({count})" for reason, count in most]
        yield f"unsupported most often: {', '.join(reasons)}"
    unlisted = summary.unlisted
    listed = sum(bool(found.listed) for found in summary.findings)
    explained = sum(bool(found.explained) for found in summary.findings)
    by_release = f", {explained} explained by release" if explained else ""
    yield f"{len(unlisted)} unlisted divergences, {listed} listed{by_release}"
    ordered = sorted(unlisted, key=lambda found: -summary.occurrences.get(found.key, 0))
    for found in ordered[:_FEW]:
        times = summary.occurrences.get(found.key, 0)
        yield f"  {found.fingerprint}  {times:5} x  {found.program.count(chr(10)):2} lines  {found.summary}"
    if len(ordered) > _FEW:
        yield f"  and {len(ordered) - _FEW} more"
    if totals.explained:
        yield f"{totals.explained} programs explained by release, {totals.explained_in_part} of them with something left out:"
    yield from _causes(summary)


def _causes(summary: Summary) -> Iterator[str]:
    """A line for each explanation, the most frequent first: what of the releases it is, in how many programs."""
    programs: Counter[tuple[tuple[str, str], ...]] = Counter()
    for found in summary.findings:
        if found.explained:
            programs[found.explained] += summary.occurrences.get(found.key, 0)
    for explained, times in sorted(programs.items(), key=lambda item: (-item[1], item[0])):
        yield f"  {times:5} x  {explained_text(explained)}"


def summary_json(summary: Summary) -> dict[str, Any]:
    """The same as data; `findings` in full, the shrunk program as text."""
    return {
        "totals": summary.totals.as_json(),
        "shares": summary.totals.shares(),
        "blocks": {"left": summary.coverage.left.bit_count(), "right": summary.coverage.right.bit_count()},
        "interrupted": summary.interrupted,
        "elapsed_ns": summary.elapsed_ns,
        "findings": [
            {
                "fingerprint": found.fingerprint,
                "status": found.status,
                "kind": found.kind,
                "summary": found.summary,
                "listed": found.listed,
                "explained": explained_json(found.explained),
                "number": found.number,
                "occurrences": summary.occurrences.get(found.key, 0),
                "program": found.program,
            }
            for found in summary.findings
        ],
    }
