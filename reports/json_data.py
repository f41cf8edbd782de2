"""The record as JSON, for other programs: totals, metadata, divergences with both traces."""

from __future__ import annotations

import json
from dataclasses import asdict

from conformance.harness.record import RunRecord
from reports.groups import groups, totals


def render(record: RunRecord) -> str:
    """An object with `metadata`, `totals`, `counts` and `divergences`."""
    data = {
        "metadata": dict(record.metadata),
        "totals": totals(record),
        "counts": dict(record.counts),
        "divergences": [{"count": group.count, **asdict(group.finding), "status": group.status} for group in groups(record)],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
