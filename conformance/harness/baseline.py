"""Known divergences: `conformance/baselines/<target>.toml`, strict in both directions.

A divergence that is listed does not fail a run; one that is listed and no longer occurs does (`stale`), as does one
that occurs and is not listed (`unlisted`).  An entry says why the divergence is there, on which releases of the
oracle it holds (prefixes of the release; none means all), and where to read more.

```
[[divergence]]
fingerprint = "0123456789ab"
summary = "bind(): outcome.errno: = -1 EINVAL | = 0"
reason = "..."
releases = ["6.12", "6.18"]
link = "https://..."
```
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .divergence import FINGERPRINT_DIGITS, Divergence

_FINGERPRINT = re.compile(rf"[0-9a-f]{{{FINGERPRINT_DIGITS}}}")
_TEXTS = ("fingerprint", "reason", "link", "summary")


class BaselineError(Exception):
    """A baseline cannot be read or written; one line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One known divergence."""

    fingerprint: str
    reason: str
    releases: tuple[str, ...] = ()
    link: str = ""
    summary: str = ""

    def holds_on(self, release: str) -> bool:
        """Whether the entry is about this release: ``6.1`` is about 6.1.9, not about 6.18."""
        return not self.releases or any(
            release == prefix or release.startswith((f"{prefix}.", f"{prefix}-")) for prefix in self.releases
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """The entries of one target, in file order."""

    entries: tuple[Entry, ...] = ()

    def entry(self, fingerprint: str, release: str = "") -> Entry | None:
        """The entry for a fingerprint on a release, if it is listed."""
        for entry in self.entries:
            if entry.fingerprint == fingerprint and (not release or entry.holds_on(release)):
                return entry
        return None

    def unlisted(self, found: Iterable[Divergence], release: str = "") -> tuple[Divergence, ...]:
        """The divergences no entry is about."""
        return tuple(divergence for divergence in found if self.entry(divergence.fingerprint, release) is None)

    def stale(self, occurred: Iterable[str], release: str = "") -> tuple[Entry, ...]:
        """Entries about this release whose fingerprints did not occur. Only a run that covers them all can tell."""
        seen = set(occurred)
        return tuple(
            entry for entry in self.entries if entry.fingerprint not in seen and (not release or entry.holds_on(release))
        )


def load(path: Path) -> Baseline:
    """The baseline of a file; an empty one when there is no file. Raises BaselineError."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Baseline()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BaselineError(f"{path}: {error}") from None
    entries = table.get("divergence", [])
    if not isinstance(entries, list) or set(table) - {"divergence"}:
        raise BaselineError(f"{path}: only [[divergence]] tables may stand here")
    return Baseline(tuple(_entry(path, number, entry) for number, entry in enumerate(entries, 1)))


def append(path: Path, entry: Entry) -> None:
    """Add an entry at the end; what stands there is left as it is. Raises BaselineError."""
    if not _FINGERPRINT.fullmatch(entry.fingerprint):
        raise BaselineError(f"{entry.fingerprint!r} is no fingerprint")
    if not entry.reason.strip():
        raise BaselineError(f"{entry.fingerprint}: a known divergence needs a reason")
    if load(path).entry(entry.fingerprint):
        raise BaselineError(f"{path}: {entry.fingerprint} is listed already")
    lines = [
        "[[divergence]]",
        *[f"{name} = {_string(getattr(entry, name))}" for name in _TEXTS if getattr(entry, name)],
    ]
    if entry.releases:
        lines.append(f"releases = [{', '.join(map(_string, entry.releases))}]")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if file.tell() else "") + "\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror}") from None


def _string(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's, but for DEL, which JSON leaves."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _entry(path: Path, number: int, table: Any) -> Entry:
    def refuse(message: str) -> BaselineError:
        return BaselineError(f"{path}: divergence {number}: {message}")

    if not isinstance(table, dict):
        raise refuse("not a table")
    unknown = set(table) - {*_TEXTS, "releases"}
    if unknown:
        raise refuse(f"unknown field {sorted(unknown)[0]!r}")
    texts = {name: table.get(name, "") for name in _TEXTS}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise refuse(f"{name} is not a string")
    if not _FINGERPRINT.fullmatch(texts["fingerprint"]):
        raise refuse(f"a fingerprint is {FINGERPRINT_DIGITS} hexadecimal digits")
    if not texts["reason"].strip():
        raise refuse("the reason is missing")
    releases = table.get("releases", [])
    if not isinstance(releases, list) or not all(isinstance(release, str) for release in releases):
        raise refuse("releases is not a list of strings")
    return Entry(texts["fingerprint"], texts["reason"], tuple(releases), texts["link"], texts["summary"])
