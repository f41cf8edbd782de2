"""The record as JUnit XML, for CI: a test case a divergence, failed when it is neither listed nor explained, else skipped."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from conformance.harness.record import RunRecord
from reports.groups import Group, Row, groups, rows, sides, title, totals, why

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(record: RunRecord) -> str:
    """One test suite; a case without a failure stands for all programs that agree."""
    found = groups(record)
    counted = totals(record)
    suite = ET.Element(
        "testsuite",
        name=_text(f"sockdiff: {title(record)}"),
        tests=str(len(found) + 1),
        failures=str(sum(group.status == "unlisted" for group in found)),
        skipped=str(sum(group.status != "unlisted" for group in found)),
        errors="0",
    )
    properties = ET.SubElement(suite, "properties")
    for name, count in counted.items():
        ET.SubElement(properties, "property", name=name, value=str(count))
    ET.SubElement(suite, "testcase", classname="sockdiff", name=f"{counted['agree']} programs agree")
    for group in found:
        _case(suite, record, group)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, record: RunRecord, group: Group) -> None:
    found = group.finding
    case = ET.SubElement(suite, "testcase", classname=f"sockdiff.{found.kind}", name=_text(f"{found.subject} {found.key}"))
    if group.status == "unlisted":
        failure = ET.SubElement(case, "failure", type=found.kind, message=_text(found.summary))
        failure.text = _text(_details(record, group))
    else:
        ET.SubElement(case, "skipped", message=_text(why(group) or "did not come again"))


def _details(record: RunRecord, group: Group) -> str:
    left, right = sides(record)
    lines = [f"met in {group.count} programs", "", found_program(group), f"{left}:"]
    row = _first(rows(group.finding))
    if row is None:
        return "\n".join(lines)
    lines += [f"  {line}" for line, _, _ in row.lines if line]
    return "\n".join([*lines, f"{right}:", *[f"  {line}" for _, line, _ in row.lines if line]])


def found_program(group: Group) -> str:
    """The program, with the step at which the sides differ marked."""
    step = group.finding.step
    marked = [f"{'->' if row.index == step else '  '} {row.text}" for row in rows(group.finding)]
    return "\n".join(marked) + "\n"


def _first(found: tuple[Row, ...]) -> Row | None:
    return next((row for row in found if row.first), None)


def _text(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _NOT_XML.sub("?", text)
