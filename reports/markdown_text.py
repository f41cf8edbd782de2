"""The record as Markdown, for issues and CI summaries."""

from __future__ import annotations

from conformance.harness.record import RunRecord
from reports.groups import MEANINGS, Group, Row, groups, rows, sides, title, totals, why


def render(record: RunRecord) -> str:
    """A heading, the totals, a section a divergence."""
    found = groups(record)
    lines = [f"# sockdiff: {title(record)}", "", *_totals(record), ""]
    if not found:
        lines += ["No divergence.", ""]
    for group in found:
        lines += _group(record, group)
    return "\n".join(lines)


def _totals(record: RunRecord) -> list[str]:
    counted = totals(record)
    lines = [f"{counted['programs']} programs.", "", "| result | programs | |", "|---|---:|---|"]
    return lines + [f"| {name} | {counted[name]} | {meaning} |" for name, meaning in MEANINGS.items() if counted[name]]


def _group(record: RunRecord, group: Group) -> list[str]:
    found = group.finding
    left, right = sides(record)
    times = "once" if group.count == 1 else f"{group.count} times"
    lines = [
        f"## {_plain(found.subject)}: {found.kind}",
        "",
        f"`{found.fingerprint}`, {group.status}, met {times}.",
        "",
    ]
    reason = _plain(why(group))
    if reason:
        lines += [reason[0].upper() + reason[1:], ""]
    lines += ["```", *found.program.splitlines(), "```", "", f"{left} (`-`) and {right} (`+`):", "", "```diff"]
    for row in rows(found):
        lines += _row(row)
        if row.first:
            break
    return [*lines, "```", ""]


def _row(row: Row) -> list[str]:
    lines = [f"  {row.text}"]
    lines += [f"      {left}" for left, _, differs in row.lines if not differs]
    lines += [f"-     {left}" for left, _, differs in row.lines if differs and left]
    return lines + [f"+     {right}" for _, right, differs in row.lines if differs and right]


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, on one line."""
    return " ".join("".join(f"\\{char}" if char in "\\`*_<>[]#|" else char for char in text).split())
