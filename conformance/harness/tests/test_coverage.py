"""What a run has reached: sets that grow, and their way through a record."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.harness.coverage import Coverage, from_json
from conformance.harness.record import RUN, RecordError, open_record, read_record
from stack_under_test.contract.coverage import entry, reached
from stack_under_test.contract.trace import Trace


def trace(blocks: int) -> Trace:
    return Trace((), "t", (("kernel", "6"), entry(blocks)))


def test_a_trace_tells_a_set_or_none() -> None:
    assert reached(trace(0x123)) == 0x123
    assert reached(Trace(())) == 0


def test_what_is_new_is_counted_once() -> None:
    coverage = Coverage()
    assert coverage.add(trace(0b11), Trace(())) == 2
    assert coverage.add(trace(0b110), Trace(())) == 1
    assert coverage.add(trace(0b110), trace(0b1)) == 1
    assert coverage == Coverage(0b111, 0b1)


def test_sides_that_tell_nothing_are_left_out() -> None:
    assert Coverage(0, 0x1F).as_json() == {"right": "1f"}
    assert from_json({"right": "1f"}) == Coverage(0, 0x1F)
    with pytest.raises(ValueError, match="invalid literal"):
        from_json({"left": "zz"})


def test_a_record_keeps_it(tmp_path: Path) -> None:
    with open_record(tmp_path, {"left": "a"}) as recorder:
        recorder.update({}, {}, 3, {"left": "1f"})
    assert read_record(tmp_path).coverage == {"left": "1f"}
    with open_record(tmp_path, {"left": "a"}) as recorder:
        assert recorder.record.coverage == {"left": "1f"}


@pytest.mark.parametrize("value", ['{"left": "zz"}', "[]", '{"left": 3}'])
def test_what_is_no_coverage(tmp_path: Path, value: str) -> None:
    text = f'{{"metadata": {{}}, "counts": {{}}, "occurrences": {{}}, "next_number": 0, "coverage": {value}}}'
    (tmp_path / RUN).write_text(text, "utf-8")
    with pytest.raises(RecordError, match="not a record"):
        read_record(tmp_path)
