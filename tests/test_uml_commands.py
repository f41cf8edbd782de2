"""`sockdiff uml`, and campaigns of which a side tells its coverage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stack_under_test.uml.places import Kernel, available
from tests.conftest import Command
from tests.test_commands import assert_refused

KCOV = available(Kernel(features=("kcov",)))
needs_kcov = pytest.mark.skipif(KCOV is not None, reason=str(KCOV))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("coverage", "no-such-run"), "no-such-run: no record of a run"),
        (("build", "--release", "../x"), "is no release"),
        (("build", "--jobs", "0"), "number of compilers"),
        (("build", "--source", "/no/such"), ""),
        (("march",), "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(sockdiff: Command, arguments: tuple[str, ...], words: str) -> None:
    assert_refused(sockdiff("uml", *arguments), words)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("uml:9.9", "no kernel 9.9 was built"),
        ("uml:../..", "is no release"),
        ("uml:foo=1", "unknown option 'foo'"),
        ("uml:kcov=maybe", "kcov is 0 or 1"),
        ("uml:seed=-1", "2**64"),
        ("uml:seed=x", "'x'"),
    ],
)
def test_a_target_that_is_none_is_told_in_a_line(sockdiff: Command, tmp_path: Path, target: str, words: str) -> None:
    if available() is not None and not target.startswith("uml:9.9"):
        words = ""
    program = tmp_path / "p"
    program.write_text("advance 1s\n", "utf-8")
    assert_refused(sockdiff("run", str(program), "--target", target), words)


def test_status_without_kernels(sockdiff: Command, environment: dict[str, str], tmp_path: Path) -> None:
    done = sockdiff("uml", "status", "--json", env={**environment, "XDG_CACHE_HOME": str(tmp_path)})
    assert done.returncode == 0
    assert json.loads(done.stdout)["kernels"] == {}


def test_a_campaign_that_told_no_coverage(sockdiff: Command, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    sockdiff("fuzz", "--left", "reference", "--right", "reference", "--programs", "1", "--jobs", "1", "--out", out)
    assert_refused(sockdiff("uml", "coverage", out), "no coverage was recorded")


@needs_kcov
@pytest.mark.parametrize("sides", [("uml:kcov=1", "reference"), ("reference", "uml:kcov=1")])
def test_a_campaign_records_what_either_side_reached(sockdiff: Command, tmp_path: Path, sides: tuple[str, str]) -> None:
    out = tmp_path / "run"
    fuzz = ("fuzz", "--left", sides[0], "--right", sides[1], "--seed", "1", "--jobs", "2", "--out", str(out))
    assert sockdiff(*fuzz, "--programs", "10").returncode in (0, 1)
    side = "left" if sides[0].startswith("uml") else "right"
    first = json.loads(sockdiff("uml", "coverage", str(out), "--json").stdout)
    assert list(first) == [side]
    share = first[side]["directories"]["net/ipv4"]
    assert 0 < share["functions"] < share["all_functions"]
    assert 0 < share["blocks"] < share["all_blocks"]
    sockdiff(*fuzz, "--programs", "40")
    done = sockdiff("uml", "coverage", str(out), "--json", "--functions")
    more = json.loads(done.stdout)[side]
    assert more["directories"]["net/ipv4"]["blocks"] > share["blocks"]
    rows = {row["function"]: row for row in more["functions"] if row["file"] == "net/ipv4/tcp.c"}
    assert rows["tcp_close"]["blocks"] >= rows["tcp_close"]["reached"] >= 0
    assert "all four" in sockdiff("uml", "coverage", str(out)).stdout
    # Of another build of the kernel the numbers would mean something else.
    run = json.loads((out / "run.json").read_text("utf-8"))
    run["metadata"]["coverage"][side] = "6.12-kcov of-old"
    (out / "run.json").write_text(json.dumps(run), "utf-8")
    assert_refused(sockdiff("uml", "coverage", str(out)), "another build")
    assert_refused(sockdiff(*fuzz, "--programs", "50"), "choose another directory")
