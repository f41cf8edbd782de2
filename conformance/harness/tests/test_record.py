"""The record of a run survives being cut off anywhere, and says in one line what is wrong with a directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.harness.compare import compare
from conformance.harness.divergence import Divergence
from conformance.harness.record import FINDINGS, Finding, RecordError, finding, occurrence_key, open_record, read_record
from conformance.harness.tests import builders as b

METADATA = {"left": "linux", "right": "reference", "seed": 1, "sysctls": {"a": "b"}}


def found(number: int = 0) -> Finding:
    program = b.program(b.HANDSHAKE)
    traces = b.handshake(1, 2), b.handshake(1, 2, window=7)
    divergence = compare(program, *traces, left_traits=b.LINUX, right_traits=b.REFERENCE)
    assert isinstance(divergence, Divergence)
    return finding(program, divergence, traces, (b.LINUX, b.REFERENCE), number=number)


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[None]:
    """`os.write` takes `after` octets, then there is no space."""
    real = os.write

    def write(descriptor: int, octets: bytes) -> int:
        nonlocal after
        if after <= 0:
            raise OSError(28, "No space left on device")
        taken = real(descriptor, octets[:after])
        after -= taken
        return taken

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        yield


def test_what_is_recorded_is_read(tmp_path: Path) -> None:
    with open_record(tmp_path / "run", METADATA) as recorder:
        recorder.add(found(3))
        recorder.add(found(9))
        recorder.update({"agree": 8, "diverge": 2}, {found().fingerprint: 2}, 10)
    record = read_record(tmp_path / "run")
    assert record == recorder.record
    assert record.findings == (found(3), found(9))
    assert (record.counts["agree"], record.next_number) == (8, 10)
    assert record.findings[0].program == b.HANDSHAKE.lstrip()


def test_what_is_explained_is_another_finding_than_what_is_not(tmp_path: Path) -> None:
    explained = replace(found(4), explained=(("checks_end", "A segment's end."), ("compat", "")))
    with open_record(tmp_path, METADATA) as recorder:
        recorder.add(found(3))
        recorder.add(explained)
        recorder.update({"diverge": 3}, {found().key: 1, explained.key: 2}, 10)
    record = read_record(tmp_path)
    assert record.findings == (found(3), explained)
    assert explained.key == occurrence_key(found().fingerprint, ("checks_end", "compat"))
    assert found().key == found().fingerprint
    assert record.occurrences == {found().key: 1, explained.key: 2}


def test_older_records_explain_nothing(tmp_path: Path) -> None:
    with open_record(tmp_path, METADATA) as recorder:
        recorder.add(found(3))
    path = tmp_path / FINDINGS
    line = json.loads(path.read_text())
    del line["explained"]
    path.write_text(json.dumps(line) + "\n")
    assert read_record(tmp_path).findings == (found(3),)
    with open_record(tmp_path, METADATA) as recorder:
        assert recorder.record.findings[0].explained == ()


def test_a_finding_is_there_before_the_run_goes_on(tmp_path: Path) -> None:
    recorder = open_record(tmp_path, METADATA)
    recorder.add(found())
    assert read_record(tmp_path).findings == (found(),)
    recorder.close()


def test_a_record_that_was_cut_off_is_read_and_resumed(tmp_path: Path) -> None:
    with open_record(tmp_path, METADATA) as recorder:
        recorder.add(found(1))
        recorder.add(found(2))
    path = tmp_path / "findings.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole), 101):
        path.write_bytes(whole[:length])
        assert read_record(tmp_path).findings == (found(1),)
    with open_record(tmp_path, METADATA) as recorder:
        assert recorder.record.findings == (found(1),)
        recorder.add(found(3))
    assert read_record(tmp_path).findings == (found(1), found(3))


def test_a_full_disk_is_one_line_and_leaves_whole_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_record(tmp_path, METADATA) as recorder:
        recorder.add(found(1))
        with full_disk(monkeypatch, 100), pytest.raises(RecordError, match="No space left on device") as caught:
            recorder.add(found(2))
        assert "\n" not in str(caught.value)
        recorder.add(found(3))
    assert read_record(tmp_path).findings == (found(1), found(3))


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"Not a directory|File exists"):
        open_record(tmp_path / "file", METADATA)
    with pytest.raises(RecordError, match="Not a directory"):
        open_record(tmp_path / "file" / "run", METADATA)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json.new").mkdir()
    with pytest.raises(RecordError, match="Is a directory"):
        open_record(tmp_path / "run", METADATA)


def test_another_run_is_not_resumed(tmp_path: Path) -> None:
    open_record(tmp_path, METADATA).close()
    with pytest.raises(RecordError, match="seed 1, not 2"):
        open_record(tmp_path, METADATA | {"seed": 2})


def test_what_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no record of a run"):
        read_record(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RecordError, match="not a record of a run"):
        read_record(tmp_path)
    open_record(tmp_path / "run", METADATA).close()
    (tmp_path / "run" / "findings.jsonl").write_text("{}\n")
    with pytest.raises(RecordError, match="line 1 is no finding"):
        read_record(tmp_path / "run")


def test_flaky_findings_say_so(tmp_path: Path) -> None:
    with open_record(tmp_path, METADATA) as recorder:
        recorder.add(replace(found(), status="flaky"))
    assert read_record(tmp_path).findings[0].status == "flaky"
