"""Reports: pure functions from the record of a run to text.

`render(record, format)` is all there is to call.  A report reads only the record; it runs nothing, opens nothing, and
the engine does not know that it exists.  Each format is a module with one function of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from conformance.harness.record import RunRecord
from reports import html_page, json_data, junit_xml, markdown_text, sarif_json

FORMATS: Mapping[str, Callable[[RunRecord], str]] = MappingProxyType(
    {
        "html": html_page.render,
        "json": json_data.render,
        "markdown": markdown_text.render,
        "junit": junit_xml.render,
        "sarif": sarif_json.render,
    }
)


def render(record: RunRecord, format: str = "html") -> str:  # noqa: A002 (the word people use)
    """The report in one of `FORMATS`. Raises ValueError for another."""
    if format not in FORMATS:
        raise ValueError(f"no report format {format!r}; there are {', '.join(FORMATS)}")
    return FORMATS[format](record)
