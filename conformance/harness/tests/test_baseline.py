"""Known divergences: strict in both directions, and files that people write by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.harness.baseline import Baseline, BaselineError, Entry, append, load
from conformance.harness.divergence import Divergence

FOUND = Divergence(3, "outcome.errno", "", "= 0", "= -1 EINVAL", "listen()", ("ok", "EINVAL"))
OTHER = Divergence(3, "outcome.errno", "", "= 0", "= -1 EBADF", "listen()", ("ok", "EBADF"))

SHIPPED = Path(__file__).resolve().parents[2] / "baselines"


def test_listed_and_unlisted() -> None:
    baseline = Baseline((Entry(FOUND.fingerprint, "known"),))
    assert baseline.unlisted([FOUND, OTHER]) == (OTHER,)
    assert baseline.stale([FOUND.fingerprint]) == ()
    assert baseline.stale([OTHER.fingerprint]) == baseline.entries


def test_entries_are_about_releases() -> None:
    baseline = Baseline((Entry(FOUND.fingerprint, "known", ("6.1", "6.12")),))
    assert baseline.unlisted([FOUND], "6.12.3") == ()
    assert baseline.unlisted([FOUND], "6.1-rc2") == ()
    assert baseline.unlisted([FOUND], "6.18.44") == (FOUND,)
    assert baseline.stale([], "6.18.44") == ()
    assert baseline.stale([], "6.12") == baseline.entries


def test_no_file_is_an_empty_baseline(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml") == Baseline()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.name)
def test_those_we_ship_are_sound(path: Path) -> None:
    entries = load(path).entries
    assert entries
    assert len({entry.fingerprint for entry in entries}) == len(entries)
    assert all(entry.summary and entry.releases for entry in entries)


def test_append_and_load(tmp_path: Path) -> None:
    path = tmp_path / "baselines" / "reference.toml"
    entries = (
        Entry(FOUND.fingerprint, 'a "reason"\nof two lines \\ \x7f é', ("6.18",), "https://example.org", FOUND.summary),
        Entry(OTHER.fingerprint, "another"),
    )
    append(path, entries[0])
    path.write_text("# a comment that stays\n" + path.read_text("utf-8"), "utf-8")
    append(path, entries[1])
    assert load(path).entries == entries
    assert path.read_text("utf-8").startswith("# a comment that stays\n")
    with pytest.raises(BaselineError, match="listed already"):
        append(path, entries[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[divergence", "Expected"),
        ("divergence = 3", "only \\[\\[divergence"),
        ("other = 3", "only \\[\\[divergence"),
        ('[[divergence]]\nfingerprint = "x"\nreason = "y"', "divergence 1: a fingerprint is 12"),
        ('[[divergence]]\nfingerprint = "0123456789ab"', "the reason is missing"),
        ('[[divergence]]\nfingerprint = "0123456789ab"\nreason = "r"\nreleases = "6.1"', "not a list"),
        ('[[divergence]]\nfingerprint = "0123456789ab"\nreason = "r"\nwhy = "x"', "unknown field 'why'"),
        ('[[divergence]]\nfingerprint = "0123456789ab"\nreason = 3', "reason is not a string"),
    ],
)
def test_bad_files_give_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BaselineError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_appending_needs_a_fingerprint_a_reason_and_a_place(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="no fingerprint"):
        append(tmp_path / "b.toml", Entry("x", "y"))
    with pytest.raises(BaselineError, match="needs a reason"):
        append(tmp_path / "b.toml", Entry(FOUND.fingerprint, " "))
    (tmp_path / "file").write_text("")
    with pytest.raises(BaselineError):
        append(tmp_path / "file" / "b.toml", Entry(FOUND.fingerprint, "y"))
