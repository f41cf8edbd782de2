"""The record as SARIF 2.1.0, for code scanning services: a rule a kind, a result a divergence.

A divergence has no place in a source file; its location is the program that shows it, by the step's line.
"""

from __future__ import annotations

import json
from typing import Any

from conformance.harness.record import RunRecord
from reports.groups import Group, groups, program_steps, sides, why

_LEVELS = {"unlisted": "error", "listed": "note", "explained": "note", "flaky": "warning"}


def render(record: RunRecord) -> str:
    """One run of the tool `sockdiff`."""
    found = groups(record)
    kinds = sorted({group.finding.kind for group in found})
    run = {
        "tool": {
            "driver": {
                "name": "sockdiff",
                "rules": [{"id": kind, "shortDescription": {"text": f"two stacks differ: {kind}"}} for kind in kinds],
            }
        },
        "results": [_result(record, group, kinds) for group in found],
        "properties": {"metadata": dict(record.metadata), "counts": dict(record.counts)},
    }
    data = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _result(record: RunRecord, group: Group, kinds: list[str]) -> dict[str, Any]:
    found = group.finding
    left, right = sides(record)
    steps = program_steps(found)
    text = steps[found.step] if found.step < len(steps) else ""
    line = found.program.splitlines().index(text) + 1 if text else 1
    result: dict[str, Any] = {
        "ruleId": found.kind,
        "ruleIndex": kinds.index(found.kind),
        "level": _LEVELS[group.status],
        "message": {"text": f"{found.subject}: {found.kind}; {left}: {found.left}; {right}: {found.right}"},
        "partialFingerprints": {"sockdiff/v1": found.key},
        "occurrenceCount": group.count,
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": f"programs/{found.key}.txt"},
                    "region": {"startLine": line, "snippet": {"text": found.program}},
                }
            }
        ],
    }
    if why(group):
        result["suppressions"] = [{"kind": "external", "justification": why(group)}]
    return result
