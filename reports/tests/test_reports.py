"""Every format renders every record: well-formed, complete, and with nothing of the program leaking into the markup."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.harness.record import Finding, RunRecord
from reports import FORMATS, render
from reports.groups import groups, rows, totals

PROGRAM = """link tap
sysctl net.ipv4.tcp_sack = 0
r0 = socket(AF_INET, SOCK_STREAM, 0)
listen(r0, -1)
write(r0, "<b>&\\x00</b>", 8)
"""
FOUND = Finding(
    fingerprint="0123456789ab",
    kind="outcome.errno",
    summary="listen(): outcome.errno: = 0 | = -1 EINVAL",
    step=1,
    path="",
    subject="listen()",
    left="= 0",
    right="= -1 EINVAL",
    program=PROGRAM,
    left_lines=(("= fd#0",), ("= 0", '> udp 9 > 7 "<script>alert(1)</script>"'), ("= 8",)),
    right_lines=(("= fd#0",), ("= -1 EINVAL",)),
    number=3,
)
LISTED = replace(FOUND, fingerprint="ba9876543210", kind="frame.window", listed="windows grow <otherwise>")
EXPLAINED = replace(FOUND, fingerprint="cccccccccccc", explained=(("checks_end", "A segment's <end> is looked at."),))
ALSO = replace(EXPLAINED, fingerprint=FOUND.fingerprint)
"""Of the same fingerprint as one that is not explained."""
FLAKY = replace(FOUND, fingerprint="aaaaaaaaaaaa", status="flaky")
RECORD = RunRecord(
    {
        "left": "linux",
        "right": "reference",
        "seed": 7,
        "left release": "6.18.44",
        "sysctls": {"net.ipv4.tcp_sack": "1"},
    },
    {"programs": 2000, "agree": 1900, "diverge": 60, "unsupported": 30, "late": 9, "flaky": 1, "established": 1200},
    {"0123456789ab": 40, "ba9876543210": 20},
    2000,
    (replace(FOUND, program="close(0)\n" * 9), LISTED, FLAKY, FOUND),
)
RELEASES = replace(
    RECORD, findings=(ALSO, *RECORD.findings, EXPLAINED), occurrences={**RECORD.occurrences, ALSO.key: 9, EXPLAINED.key: 11}
)
EMPTY = RunRecord({})


class Page(HTMLParser):
    """Checks that tags nest, and collects text and links."""

    VOID = frozenset({"meta", "input", "br", "hr", "img", "link"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(record: RunRecord) -> Page:
    parser = Page()
    parser.feed(render(record, "html"))
    parser.close()
    assert parser.open == []
    return parser


def test_html_is_well_formed_and_complete_in_itself() -> None:
    read = page(RECORD)
    assert read.outside == []
    assert (read.tags.count("script"), read.tags.count("style"), read.tags.count("b")) == (1, 1, 5)
    text = "".join(read.text)
    for part in (PROGRAM, "linux against reference", "2\u202f000 programs", "1 unlisted divergence", "= -1 EINVAL"):
        assert part in text
    assert '> udp 9 > 7 "<script>alert(1)</script>"' in text
    assert "url(" not in render(RECORD, "html")
    assert "@import" not in render(RECORD, "html")


def test_html_says_when_there_is_nothing() -> None:
    assert "None: both sides did the same" in "".join(page(EMPTY).text)


def test_the_last_finding_of_a_fingerprint_stands_and_unlisted_come_first() -> None:
    assert [(group.status, group.count) for group in groups(RECORD)] == [("unlisted", 40), ("listed", 20), ("flaky", 1)]
    assert groups(RECORD)[0].finding.program == PROGRAM


def test_rows_align_both_traces() -> None:
    first, second, third = rows(FOUND)
    assert (first.text, first.first, first.lines) == (
        "r0 = socket(AF_INET, SOCK_STREAM, 0)",
        False,
        (("= fd#0", "= fd#0", False),),
    )
    assert (second.first, second.lines[0], second.lines[1][1:]) == (True, ("= 0", "= -1 EINVAL", True), ("", True))
    assert third.lines == (("= 8", "not reached", True),)


def test_totals() -> None:
    assert totals(RECORD)["programs"] == 2000
    assert totals(RunRecord({}, {"agree": 3, "late": 1}))["programs"] == 4


def test_json() -> None:
    data = json.loads(render(RECORD, "json"))
    assert data["totals"]["agree"] == 1900
    assert [found["fingerprint"] for found in data["divergences"]] == ["0123456789ab", "ba9876543210", "aaaaaaaaaaaa"]
    assert data["divergences"][0]["program"] == PROGRAM


def test_markdown() -> None:
    text = render(RECORD, "markdown")
    assert "# sockdiff: linux against reference" in text
    assert "-     = 0\n" in text
    assert "+     = -1 EINVAL\n" in text
    assert "Known: windows grow \\<otherwise\\>" in text
    assert "No divergence." in render(EMPTY, "markdown")


def test_junit() -> None:
    suite = ET.fromstring(render(RECORD, "junit").encode()).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "2")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.text is not None
    assert "-> listen(r0, -1)" in failure.text


def test_sarif() -> None:
    run: dict[str, Any] = json.loads(render(RECORD, "sarif"))["runs"][0]
    assert [result["level"] for result in run["results"]] == ["error", "note", "warning"]
    first = run["results"][0]
    assert first["locations"][0]["physicalLocation"]["region"]["startLine"] == 4
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == first["ruleId"]


def test_what_is_explained_stands_apart_in_every_format() -> None:
    found = groups(RELEASES)
    assert [(group.status, group.count) for group in found] == [
        ("unlisted", 40), ("listed", 20), ("explained", 11), ("explained", 9), ("flaky", 1)
    ]  # fmt: skip
    said = "explained by release: checks_end: A segment's <end> is looked at."
    page = Page()
    page.feed(render(RELEASES))
    assert "E" + said[1:] in "".join(page.text)
    assert "1 unlisted divergence, 2 explained by release" in "".join(page.text)
    divergences = json.loads(render(RELEASES, "json"))["divergences"]
    assert divergences[2]["explained"] == [{"field": "checks_end", "about": "A segment's <end> is looked at."}]
    assert (divergences[2]["status"], divergences[0]["explained"]) == ("explained", [])
    assert r"Explained by release: checks\_end: A segment's \<end\> is looked at." in render(RELEASES, "markdown")
    suite = ET.fromstring(render(RELEASES, "junit").encode()).find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "4")
    assert said in [skipped.get("message") for skipped in suite.iter("skipped")]
    results: list[dict[str, Any]] = json.loads(render(RELEASES, "sarif"))["runs"][0]["results"]
    assert [result["level"] for result in results] == ["error", "note", "note", "note", "warning"]
    assert results[2]["suppressions"][0]["justification"] == said
    assert len({result["partialFingerprints"]["sockdiff/v1"] for result in results}) == 5


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="there are html, json, markdown, junit, sarif"):
        render(EMPTY, "pdf")


_texts = st.text(max_size=20) | st.sampled_from(["</script>", "&lt;", '"', "'", "]]>", "```", "\x00\x1b", "-->"])
_lines = st.lists(st.lists(_texts, max_size=3).map(tuple), max_size=3).map(tuple)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_text_is_carried_through(data: st.DataObject) -> None:
    texts = {name: data.draw(_texts) for name in ("summary", "path", "subject", "left", "right", "listed", "program")}
    lines = {name: data.draw(_lines) for name in ("left_lines", "right_lines")}
    found = replace(FOUND, step=data.draw(st.integers(0, 4)), **texts, **lines)  # type: ignore[arg-type]
    record = RunRecord({"left": data.draw(_texts), "right": "b"}, {"agree": 1}, {}, 1, (found,))
    for name in FORMATS:
        text = render(record, name)
        match name:
            case "html":
                page(record)
            case "junit":
                ET.fromstring(text.encode())
            case "json" | "sarif":
                json.loads(text)
