"""The record as JSON, for other programs: totals, metadata, divergences with both traces."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from conformance.harness.record import RunRecord, explained_json
from reports.groups import Group, groups, totals


def render(record: RunRecord) -> str:
    """An object with `metadata`, `totals`, `counts` and `divergences`."""
    data = {
        "metadata": dict(record.metadata),
        "totals": totals(record),
        "counts": dict(record.counts),
        "divergences": [_divergence(group) for group in groups(record)],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _divergence(group: Group) -> dict[str, Any]:
    explained = explained_json(group.finding.explained)
    return {"count": group.count, **asdict(group.finding), "explained": explained, "status": group.status}
