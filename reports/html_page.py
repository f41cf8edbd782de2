"""The record as one HTML file that a person opens first: totals, divergences, and both traces side by side.

The file is complete in itself: no request leaves it.  Without JavaScript, only the copy button and the filter are dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from conformance.harness.record import RunRecord
from reports.groups import MEANINGS, TOTALS, Group, Row, also_counted, groups, rows, sides, title, totals, why
from reports.html_style import SCRIPT, STYLE

_OPEN_AT_FIRST = 3
"""How many divergences are shown open when there are few."""


def render(record: RunRecord) -> str:
    """The whole page."""
    found = groups(record)
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>sockdiff: {escape(title(record))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            *_header(record, found),
            *_list(record, found),
            *_metadata(record),
            f"<script>{SCRIPT}</script>\n</body>\n</html>\n",
        ]
    )


def _header(record: RunRecord, found: tuple[Group, ...]) -> list[str]:
    counted = totals(record)
    programs = counted["programs"]
    left, right = sides(record)
    unlisted = sum(group.status == "unlisted" for group in found)
    explained = sum(group.status == "explained" for group in found)
    told = f"{_number(programs)} programs, {_plural(unlisted, 'unlisted divergence')}"
    told += f", {_number(explained)} explained by release" if explained else ""
    parts = [f"<h1>{escape(left)} against {escape(right)}</h1>\n", f'<p class="sub">{told}</p>\n']
    shown = [name for name in TOTALS if counted[name]]
    if shown:
        bars = [
            f'<i style="flex:{counted[name]};background:var(--{name})" title="{name}: {counted[name]}"></i>' for name in shown
        ]
        parts.append(f'<div class="bar" role="img" aria-label="results">{"".join(bars)}</div>\n')
    items = [_total(name, counted[name]) for name in shown]
    return [*parts, '<ul class="totals">\n', *items, "</ul>\n"]


def _total(name: str, count: int) -> str:
    dot = f'<i class="dot" style="background:var(--{name})"></i>'
    return f'<li title="{escape(MEANINGS[name])}">{dot}<b>{_number(count)}</b> <span>{name}</span></li>\n'


def _list(record: RunRecord, found: tuple[Group, ...]) -> list[str]:
    if not found:
        return ['<h2>Divergences</h2>\n<p class="none">None: both sides did the same in every program compared.</p>\n']
    search = '<input type="search" placeholder="Filter" aria-label="Filter divergences">'
    parts = [f'<div class="tools"><h2>Divergences</h2>{search}</div>\n']
    for group in found:
        parts += _group(record, group, len(found) <= _OPEN_AT_FIRST)
    return parts


def _group(record: RunRecord, group: Group, is_open: bool) -> list[str]:
    found = group.finding
    path = f" {escape(found.path)}" if found.path else ""
    return [
        f'<details class="found" id="{escape(found.key)}"{" open" if is_open else ""}>\n<summary>',
        f'<span class="count">{_number(group.count)}<small>&times;</small></span>',
        f'<span class="what"><strong class="mono">{escape(found.subject)}</strong>',
        f'<span class="kind">{escape(found.kind)}{path}</span>',
        f'<span class="versus mono"><span class="l">{escape(found.left)}</span><span class="sep">|</span>',
        f'<span class="r">{escape(found.right)}</span></span></span>',
        f'<span><span class="tag {group.status}">{group.status}</span></span></summary>\n<div class="body">\n',
        f'<p class="reason">{escape(_sentence(why(group)))}</p>\n' if why(group) else "",
        f'<div class="head"><h3>Program <code>{escape(found.fingerprint)}</code></h3>',
        f'<button type="button" class="copy">Copy</button></div>\n<pre class="program">{escape(found.program)}</pre>\n',
        *_traces(record, group),
        "</div>\n</details>\n",
    ]


def _traces(record: RunRecord, group: Group) -> list[str]:
    left, right = sides(record)
    heads = "".join(f'<th scope="col">{escape(side)}</th>' for side in (left, right))
    parts = [f'<table class="traces"><thead><tr>{heads}</tr></thead>\n<tbody>\n']
    for row in rows(group.finding):
        parts += _row(row)
        if row.first:
            parts.append('</tbody>\n<tbody class="after">\n')
    return [*parts, "</tbody></table>\n"]


def _row(row: Row) -> list[str]:
    note = '<span class="note">first difference</span>' if row.first else ""
    step = f'{note}<span class="n">{row.index}</span>{escape(row.text)}'
    parts = [f'<tr class="step{" first" if row.first else ""}"><td colspan="2">{step}</td></tr>\n']
    for one, other, differs in row.lines:
        mark = ' class="differs"' if differs else ""
        parts.append(f"<tr{mark}><td>{escape(one)}</td><td>{escape(other)}</td></tr>\n")
    return parts


def _metadata(record: RunRecord) -> list[str]:
    parts = ["<h2>This run</h2>\n"]
    counted = also_counted(record)
    if counted:
        said = ", ".join(f"{_number(value)} {escape(name)}" for name, value in counted.items())
        parts.append(f'<p class="sub">Of the programs: {said}</p>\n')
    return [*parts, '<dl class="meta mono">\n', *_pairs("", record.metadata), "</dl>\n"]


def _pairs(prefix: str, values: Mapping[str, Any]) -> list[str]:
    parts = []
    for name, value in values.items():
        if isinstance(value, dict):
            parts += _pairs(f"{prefix}{name} ", value)
        elif value not in (None, "", [], ()):
            parts.append(f"<dt>{escape(prefix + str(name))}</dt><dd>{escape(str(value))}</dd>\n")
    return parts


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(number: int) -> str:
    """With thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def _plural(number: int, noun: str) -> str:
    return f"{_number(number) if number else 'no'} {noun}{'' if number == 1 else 's'}"
