"""sockdiff fuzz as users meet it: findings, resuming, Ctrl-C, death, a full disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.baseline import Entry, append
from conformance.harness.record import FINDINGS, read_record
from fuzz.campaign import latest
from fuzz.generate import generate
from fuzz.profile import MS, TIMED
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Advance
from tests.conftest import Command, command
from tests.test_commands import assert_refused, needs_linux

PAIR = ("fuzz", "--left", "reference", "--right", "planted", "--seed", "5")
WAIT = 60


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, f"waited in vain for: {what}"
        time.sleep(0.02)


def test_a_campaign_ends_with_shares_findings_and_a_report(sockdiff: Command, tmp_path: Path) -> None:
    done = sockdiff(*PAIR, "--programs", 120, "--jobs", 2, "--out", "out")
    assert done.returncode == 1, done.stderr
    assert "reached ESTABLISHED" in done.stdout
    assert "unlisted divergences" in done.stdout
    assert f"report: {Path('out') / 'report.html'}" in done.stdout
    assert "<html" in (tmp_path / "out" / "report.html").read_text()
    record = read_record(tmp_path / "out")
    assert record.counts["programs"] == record.next_number == 120
    assert record.metadata["left"] == "reference"
    short = min(latest(record.findings), key=lambda found: len(found.program))
    assert len(parse_program(short.program).steps) <= 5
    assert not done.stderr.count("\r")


def test_a_record_is_reported_in_every_format(sockdiff: Command, tmp_path: Path) -> None:
    sockdiff(*PAIR, "--programs", 30, "--jobs", 1, "--out", "out")
    for form in ("html", "json", "markdown", "junit", "sarif"):
        done = sockdiff("report", "out", "--format", form)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
        assert sockdiff("report", "out", "--format", form, "--output", "report").returncode == 0
        assert (tmp_path / "report").read_text() == done.stdout


def test_a_stack_agrees_with_itself_and_json_is_data(sockdiff: Command) -> None:
    done = sockdiff("fuzz", "--left", "reference", "--right", "reference", "--programs", 100, "--seed", 3, "--json")
    assert done.returncode == 0, done.stdout
    data = json.loads(done.stdout)
    assert data["totals"]["programs"] == 100
    assert data["findings"] == []


def test_the_same_out_goes_on_where_it_was(sockdiff: Command, tmp_path: Path) -> None:
    sockdiff(*PAIR, "--programs", 60, "--out", "out")
    findings = (tmp_path / "out" / FINDINGS).read_bytes()
    again = sockdiff(*PAIR, "--programs", 60, "--out", "out")
    assert again.returncode == 1
    assert (tmp_path / "out" / FINDINGS).read_bytes() == findings
    more = sockdiff("fuzz", "--left", "reference", "--right", "planted", "--programs", 100, "--out", "out")
    assert "\n100 programs" in more.stdout
    whole = sockdiff(*PAIR, "--programs", 100, "--out", "whole")
    assert whole.stdout.splitlines()[2:5] == more.stdout.splitlines()[2:5]
    other = sockdiff("fuzz", "--left", "reference", "--right", "reference", "--seed", 5, "--out", "out")
    assert_refused(other, "choose another directory")


def test_what_is_resumed_is_judged_by_the_baseline_as_it_is_now(sockdiff: Command, tmp_path: Path) -> None:
    resume = (*PAIR, "--programs", 20, "--jobs", 1, "--out", "out", "--baseline", "known.toml")
    (tmp_path / "known.toml").touch()
    assert sockdiff(*resume).returncode == 1
    for found in latest(read_record(tmp_path / "out").findings):
        append(tmp_path / "known.toml", Entry(found.fingerprint, "planted"))
    assert sockdiff(*resume).returncode == 0
    assert {found.listed for found in latest(read_record(tmp_path / "out").findings)} == {"planted"}
    (tmp_path / "known.toml").write_text("")
    assert sockdiff(*resume).returncode == 1
    assert {found.listed for found in latest(read_record(tmp_path / "out").findings)} == {""}


def test_what_the_releases_explain_is_no_failure(sockdiff: Command, tmp_path: Path) -> None:
    kernels = ("fuzz", "--left", "newer", "--seed", 5, "--right", "older", "--out", "out")
    done = sockdiff(*kernels, "--programs", 20)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\n0 unlisted divergences, 0 listed, [1-9]\d* explained by release\n", done.stdout)
    assert re.search(r"\n[1-9]\d* programs explained by release, \d+ of them with something left out:\n  +[1-9]", done.stdout)
    record = read_record(tmp_path / "out")
    assert record.counts["explained"] == record.counts["diverge"] > 0
    assert set(record.occurrences) == {found.key for found in record.findings}
    assert sum(record.occurrences.values()) == record.counts["diverge"]
    assert all(about for found in record.findings for _, about in found.explained)
    more = sockdiff(*kernels, "--programs", 40)
    whole = sockdiff(*kernels[:-1], "whole", "--programs", 40)
    assert more.stdout.splitlines()[2:-1] == whole.stdout.splitlines()[2:-1]


def test_what_they_do_not_explain_is_one(sockdiff: Command, tmp_path: Path) -> None:
    done = sockdiff("fuzz", "--left", "newer", "--right", "older:wrong=listen", "--seed", 5, "--programs", 40, "--out", "out")
    assert done.returncode == 1, done.stdout
    unlisted = [found for found in latest(read_record(tmp_path / "out").findings) if not found.explained]
    assert unlisted
    assert all("listen" in found.program for found in unlisted)
    data = json.loads(sockdiff("report", "out", "--format", "json").stdout)
    assert {found["status"] for found in data["divergences"]} == {"unlisted", "explained"}


def test_time_may_pass_in_every_program(sockdiff: Command, tmp_path: Path) -> None:
    pair = ("fuzz", "--left", "reference", "--right", "reference", "--seed", 5, "--programs", 30, "--out", "out")
    assert sockdiff(*pair, "--timed").returncode == 0
    assert read_record(tmp_path / "out").metadata["timed"] is True
    assert_refused(sockdiff(*pair), "timed")
    programs = [generate(5, index, TIMED) for index in range(30)]
    assert all(5 * MS <= step.ns <= 1000 * MS for program in programs for step in program.steps if isinstance(step, Advance))
    assert sum(any(isinstance(step, Advance) for step in program.steps) for program in programs) > 15


def test_minutes_end_it(sockdiff: Command) -> None:
    done = sockdiff("fuzz", "--left", "reference", "--right", "reference", "--minutes", "0.01", "--out", "out")
    assert done.returncode == 0, done.stderr


class Running:
    """A campaign in the background that would take minutes, in a session of its own."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        arguments = command(*PAIR, "--minutes", 5, "--jobs", 2, "--out", "out")
        self.process = subprocess.Popen(
            arguments,
            env=environment,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.out = directory / "out"

    def found_something(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        path = self.out / FINDINGS
        return path.exists() and path.read_bytes().count(b"\n") >= 2

    def alive(self) -> bool:
        """Whether anything of the session is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 0)
            return True
        return False


@pytest.fixture
def running(environment: dict[str, str], tmp_path: Path) -> Any:
    campaign = Running(environment, tmp_path)
    yield campaign
    with contextlib.suppress(ProcessLookupError):
        os.killpg(campaign.process.pid, signal.SIGKILL)
    campaign.process.communicate()


def test_ctrl_c_keeps_findings_and_leaves_nothing_behind(running: Running) -> None:
    until(running.found_something, "findings")
    os.killpg(running.process.pid, signal.SIGINT)
    stdout, stderr = running.process.communicate(timeout=WAIT)
    assert running.process.returncode == 130
    assert stderr.splitlines()[-1].startswith("sockdiff: interrupted")
    assert "Traceback" not in stderr
    assert "unlisted divergences" in stdout
    assert read_record(running.out).findings
    until(lambda: not running.alive(), "the end of every process")


def test_a_killed_campaign_loses_nothing_and_goes_on(running: Running, sockdiff: Command) -> None:
    until(running.found_something, "findings")
    running.process.kill()
    running.process.communicate()
    until(lambda: not running.alive(), "the end of every process")
    kept = read_record(running.out)
    assert len(kept.findings) >= 2
    programs = kept.next_number + 50
    resumed = sockdiff(*PAIR, "--programs", programs, "--out", "out")
    whole = sockdiff(*PAIR, "--programs", programs, "--out", "whole")
    assert resumed.stdout.splitlines()[2:5] == whole.stdout.splitlines()[2:5]
    texts = {found.fingerprint for found in read_record(running.out).findings}
    assert texts >= {found.fingerprint for found in kept.findings}


def test_an_output_folder_that_cannot_be_written(sockdiff: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(sockdiff(*PAIR, "--programs", 10, "--out", "file/out"), "file/out")


def test_a_full_disk_in_the_middle(sockdiff: Command) -> None:
    """A limit on file sizes stands for the full disk: the write fails just so."""
    limit = 4000
    done = sockdiff(
        *PAIR,
        "--programs",
        200,
        "--out",
        "out",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("sockdiff: out/")
    assert "Traceback" not in done.stderr


@needs_linux
def test_linux_against_itself(sockdiff: Command) -> None:
    done = sockdiff("fuzz", "--left", "linux", "--right", "linux", "--programs", 40, "--seed", 2, "--jobs", 1)
    assert done.returncode == 0, done.stdout


@needs_linux
def test_bench_measures_against_the_limit(sockdiff: Command) -> None:
    figures = json.loads(sockdiff("bench", "--programs", 15, "--jobs", 1, "--json").stdout)
    assert [figure["name"] for figure in figures] == [
        "bare TUN lockstep", "bare program", "generation", "linux", "linux, batches", "linux, bare program",
        "linux, bare batches", "reference", "lockstep", "fuzz, 1 job",
    ]  # fmt: skip
    assert all(figure["steps"] > 0 for figure in figures)
