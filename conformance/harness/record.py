"""The record of a run: a directory that loses no finding, whenever the run ends.

`run.json` says what was run (targets, releases, sysctls, seed, options) and how far it came (counts, the number of the
next program); it is replaced whole, so it is always readable.  `findings.jsonl` has a line a finding, appended and
synced before the run goes on; a last line that was cut off is dropped when reading and when resuming.

A finding is a program with what it showed.  Programs that show a known fingerprint again are counted (`occurrences`),
not stored again.  What is explained by other fields of a kernel's release is another finding, though its fingerprint is the
same; so is what is not explained.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stack_under_test.contract.printer import print_program
from stack_under_test.contract.program import Program
from stack_under_test.contract.target import Traits
from stack_under_test.contract.trace import Trace

from .coverage import from_json
from .divergence import Divergence
from .normalise import normalise
from .view_text import view_lines

RUN = "run.json"
FINDINGS = "findings.jsonl"
VERSION = 1

Lines = tuple[tuple[str, ...], ...]
"""Per step, the lines of a view."""


class RecordError(Exception):
    """A record cannot be written or read; one line."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A divergence with the program that showed it, both sides as text. `status` is ``diverge`` or ``flaky``; `number`
    is the program's number in the run; `listed` the baseline's reason, if it is listed; `explained`: where the difference is
    one between two releases of Linux, what of them makes it, each with a sentence."""

    fingerprint: str
    kind: str
    summary: str
    step: int
    path: str
    subject: str
    left: str
    right: str
    program: str
    left_lines: Lines
    right_lines: Lines
    status: str = "diverge"
    number: int = 0
    listed: str = ""
    explained: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """By what it is counted in `RunRecord.occurrences`: `occurrence_key`."""
        return occurrence_key(self.fingerprint, tuple(name for name, _ in self.explained))


def occurrence_key(fingerprint: str, explained: tuple[str, ...] = ()) -> str:
    """``0123456789ab`` or, where something explains it, ``0123456789ab+checks_end``."""
    return "+".join((fingerprint, *explained))


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, as far as it came. `metadata`: names and values that JSON can hold; `counts`: results by kind (`agree`,
    `diverge`, `unsupported`, `late`, `unsteady`, `flaky`) and whatever else was counted; `occurrences`: programs by
    `Finding.key`; `next_number`: where to go on; `coverage`: what was reached, where a side tells (`Coverage.as_json`)."""

    metadata: Mapping[str, Any]
    counts: Mapping[str, int] = field(default_factory=dict)
    occurrences: Mapping[str, int] = field(default_factory=dict)
    next_number: int = 0
    findings: tuple[Finding, ...] = ()
    coverage: Mapping[str, str] = field(default_factory=dict)


def finding(
    program: Program,
    divergence: Divergence,
    traces: tuple[Trace, Trace],
    traits: tuple[Traits, Traits],
    **extra: Any,
) -> Finding:
    """A finding from a comparison; `extra` are `status`, `number`, `listed`, `explained`."""
    left, right = (view_lines(normalise(program, trace, trait)) for trace, trait in zip(traces, traits, strict=True))
    return Finding(
        divergence.fingerprint,
        divergence.kind,
        divergence.summary,
        divergence.step,
        divergence.path,
        divergence.subject,
        divergence.left,
        divergence.right,
        print_program(program),
        left,
        right,
        **extra,
    )


def explained_text(explained: tuple[tuple[str, str], ...]) -> str:
    """`Finding.explained` on one line."""
    return " ".join(f"{name}: {about}" if about else name for name, about in explained)


def explained_json(explained: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    """The same as data."""
    return [{"field": name, "about": about} for name, about in explained]


class Recorder:
    """Writes a record. `open_record` makes one."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.path = path
        self._record = record
        self._file = _opened(path / FINDINGS)

    @property
    def record(self) -> RunRecord:
        """What has been recorded so far."""
        return self._record

    def add(self, found: Finding) -> None:
        """Append a finding and see it onto the disk. Raises RecordError."""
        line = json.dumps(asdict(found), ensure_ascii=False, separators=(",", ":")) + "\n"
        size = 0
        try:
            size = os.fstat(self._file).st_size
            _write_all(self._file, line.encode())
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, size)
            raise RecordError(f"{self.path / FINDINGS}: {error.strerror}") from None
        self._record = replace(self._record, findings=(*self._record.findings, found))

    def update(
        self,
        counts: Mapping[str, int],
        occurrences: Mapping[str, int],
        next_number: int,
        coverage: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Replace how far the run came. Raises RecordError."""
        self._record = replace(
            self._record,
            counts=dict(counts),
            occurrences=dict(occurrences),
            next_number=next_number,
            coverage=dict(coverage),
        )
        _write_run(self.path, self._record)

    def close(self) -> None:
        """Close the files; recording again is an error."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_record(path: Path, metadata: Mapping[str, Any], identity: tuple[str, ...] = ("left", "right", "seed")) -> Recorder:
    """Begin a record, or go on with the one in `path` when its `identity` metadata are the same. Raises RecordError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    if (path / RUN).exists():
        record = read_record(path)
        for name in identity:
            if record.metadata.get(name) != metadata.get(name):
                was, is_ = record.metadata.get(name), metadata.get(name)
                raise RecordError(f"{path}: holds a run with {name} {was}, not {is_}; choose another directory")
        _cut(path / FINDINGS)
    else:
        if (path / FINDINGS).exists():
            raise RecordError(f"{path}: holds {FINDINGS} but no {RUN}; choose another directory")
        record = RunRecord(dict(metadata))
    _write_run(path, record)
    return Recorder(path, record)


def read_record(path: Path) -> RunRecord:
    """The record in a directory. Raises RecordError for what is none; a finding cut off at the end is dropped."""
    try:
        data = json.loads((path / RUN).read_text("utf-8"))
        coverage = from_json(data.get("coverage", {})).as_json()
        record = RunRecord(data["metadata"], data["counts"], data["occurrences"], data["next_number"], coverage=coverage)
    except FileNotFoundError:
        raise RecordError(f"{path}: no record of a run ({RUN} is missing)") from None
    except OSError as error:
        raise RecordError(f"{path / RUN}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path / RUN}: not a record of a run: {error!r}") from None
    return replace(record, findings=_findings(path / FINDINGS))


def _findings(path: Path) -> tuple[Finding, ...]:
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    found = []
    for number, line in enumerate(octets.split(b"\n")[:-1], 1):
        try:
            data = json.loads(line)
            for side in ("left_lines", "right_lines"):
                data[side] = tuple(tuple(lines) for lines in data[side])
            data["explained"] = tuple((name, about) for name, about in data.get("explained", ()))
            found.append(Finding(**data))
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path}: line {number} is no finding: {error}") from None
    return tuple(found)


def _cut(path: Path) -> None:
    """Drop an unfinished last line, so that the next finding begins on its own."""
    with contextlib.suppress(FileNotFoundError):
        octets = path.read_bytes()
        whole = octets.rfind(b"\n") + 1
        if whole < len(octets):
            os.truncate(path, whole)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None


def _write_all(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]


def _write_run(path: Path, record: RunRecord) -> None:
    data = {
        "version": VERSION,
        "metadata": dict(record.metadata),
        "counts": dict(record.counts),
        "occurrences": dict(record.occurrences),
        "next_number": record.next_number,
        "coverage": dict(record.coverage),
    }
    new = path / f"{RUN}.new"
    try:
        with new.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path / RUN)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise RecordError(f"{path / RUN}: {error.strerror}") from None
