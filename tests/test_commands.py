"""targets, run, diff, report: what they print, and their status; what cannot be run, in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sockdiff as module
from stack_under_test.linux import available
from tests.conftest import AGREES, OF_RELEASES, ROOT, SHOWS_BUG, Command

FileOf = Callable[[str], Path]
needs_linux = pytest.mark.skipif(available() is not None, reason=f"target linux: {available()}")


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Status 2 and one line on standard error, no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("sockdiff: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_help_loads_nothing_that_is_slow() -> None:
    code = (
        "import sys, sockdiff\n"
        "try: sockdiff.main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'hypothesis', 'scapy', 'pyroute2', 'multiprocessing', 'conformance', 'fuzz'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_targets_says_what_is_there_and_why_not(sockdiff: Command) -> None:
    done = sockdiff("targets")
    assert done.returncode == 0
    assert "reference    available" in done.stdout
    assert "the moon is in the wrong phase" in done.stdout
    assert "no_such_module_for_tests" in done.stdout
    rows = json.loads(sockdiff("targets", "--json").stdout)
    assert rows["planted"]["unavailable"] is None
    assert rows["missing"]["unavailable"] == "the moon is in the wrong phase"


def test_run_prints_each_step_and_what_happened(sockdiff: Command, program_file: FileOf) -> None:
    done = sockdiff("run", program_file(SHOWS_BUG), "--target", "reference")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "r0 = socket(AF_INET, SOCK_STREAM, 0)"
    assert any(line.startswith("    > tcp") for line in lines)


def test_run_takes_standard_input_and_gives_data(sockdiff: Command) -> None:
    done = sockdiff("run", "-", "--target", "reference", "--json", input=AGREES)
    data = json.loads(done.stdout)
    assert [step["value"] for step in data["steps"]] == [3, 0]
    assert data["target"] == "reference"


def test_diff_agrees(sockdiff: Command, program_file: FileOf) -> None:
    done = sockdiff("diff", program_file(AGREES), "--left", "reference", "--right", "reference")
    assert (done.returncode, done.stdout) == (0, "agree\n")


def test_diff_shows_both_sides_of_the_first_difference(sockdiff: Command, program_file: FileOf) -> None:
    done = sockdiff("diff", program_file(SHOWS_BUG), "--left", "reference", "--right", "planted")
    assert done.returncode == 1
    assert "    reference  " in done.stdout
    assert "    planted    " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("diverge at step 3: tcp .: frame.ack")


def test_a_listed_divergence_is_no_failure(sockdiff: Command, program_file: FileOf, tmp_path: Path) -> None:
    arguments = ("diff", program_file(SHOWS_BUG), "--left", "reference", "--right", "planted")
    found = json.loads(sockdiff(*arguments, "--json").stdout)["divergence"]["fingerprint"]
    baseline = tmp_path / "known.toml"
    baseline.write_text(f'[[divergence]]\nfingerprint = "{found}"\nreason = "planted"\n')
    done = sockdiff(*arguments, "--baseline", baseline)
    assert done.returncode == 0
    assert "listed: planted" in done.stdout


def test_a_difference_between_releases_is_explained(sockdiff: Command, program_file: FileOf) -> None:
    sides = ("--left", "newer", "--right", "older")
    done = sockdiff("diff", program_file(OF_RELEASES), *sides)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("explained by release: scm_options_everywhere: SO_PASSCRED and its like")
    data = json.loads(sockdiff("diff", program_file(OF_RELEASES), *sides, "--json").stdout)
    assert [cause["field"] for cause in data["explained"]] == ["scm_options_everywhere"]
    assert (data["result"], data["unexplained"]) == ("diverge", "")


def test_a_difference_that_the_releases_do_not_explain_is_a_failure(sockdiff: Command, program_file: FileOf) -> None:
    for wrong in ("setsockopt", "socket"):
        sides = ("--left", f"newer:wrong={wrong}", "--right", "older")
        done = sockdiff("diff", program_file(OF_RELEASES), *sides)
        assert done.returncode == 1, done.stderr
        assert done.stdout.splitlines()[-1].startswith("not explained by release: the left kernel and the reference like it")
    data = json.loads(sockdiff("diff", program_file(OF_RELEASES), *sides, "--json").stdout)
    assert data["explained"] == []
    assert data["unexplained"].startswith("the left kernel")


def test_unsupported_is_no_pass(sockdiff: Command) -> None:
    text = "r0 = socket(AF_PACKET, SOCK_RAW, 0)\n"
    done = sockdiff("diff", "-", "--left", "reference", "--right", "reference", input=text)
    assert_refused(done, "unsupported")


@needs_linux
def test_linux_against_the_reference(sockdiff: Command, program_file: FileOf) -> None:
    done = sockdiff("diff", program_file(SHOWS_BUG))
    assert (done.returncode, done.stdout) == (0, "agree\n"), done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("r0 = socket(AF_INET\n", ("line 1",)),
        ("r0 = socket(AF_INET, SOCK_STREAM, 0)\nnonsense(r0)\n", ("line 2",)),
        ("< tcp 1 > 2 X seq 1\n", ("line 1",)),
        ("\0\1\2", ("line 1",)),
    ],
)
def test_a_malformed_program_is_refused_with_its_line(sockdiff: Command, text: str, words: tuple[str, ...]) -> None:
    assert_refused(sockdiff("run", "-", "--target", "reference", input=text), "standard input", *words)


def test_a_file_that_cannot_be_read_is_refused(sockdiff: Command, tmp_path: Path) -> None:
    assert_refused(sockdiff("run", "nowhere", "--target", "reference"), "nowhere", "No such file")
    assert_refused(sockdiff("run", tmp_path, "--target", "reference"), "Is a directory")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    assert_refused(sockdiff("diff", tmp_path / "binary"), "UTF-8")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("run", "-", "--target", "vax"), "unknown target"),
        (("run", "-", "--target", "missing"), "wrong phase"),
        (("run", "-", "--target", "broken"), "cannot be loaded"),
        (("run", "-", "--target", "planted:colour=red"), "unknown option"),
        (("run", "-", "--target", "planted:red"), "name=value"),
        (("run", "-"), "--target"),
        (("fuzz", "--programs", "0"), "less than 1"),
        (("fuzz", "--programs", "many"), "no whole number"),
        (("fuzz", "--minutes", "-1"), "no time"),
        (("fuzz", "--minutes", "nan"), "minutes"),
        (("fuzz", "--seed", "-1"), "seed"),
        (("fuzz", "--right", "vax"), "unknown target"),
        (("fuzz", "--jobs", "x"), "no whole number"),
        (("fuzz", "--left", "reference", "--baseline", "nowhere"), "no such file"),
        (("report", "nowhere"), "no record"),
        (("report", "nowhere", "--format", "pdf"), "pdf"),
        (("dance",), "dance"),
        ((), "command"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(sockdiff: Command, arguments: tuple[str, ...], word: str) -> None:
    assert_refused(sockdiff(*arguments, input=AGREES), word)


def test_a_full_disk_behind_standard_output(sockdiff: Command, program_file: FileOf) -> None:
    with open("/dev/full", "w") as full:
        done = sockdiff(
            "run", program_file(AGREES), "--target", "reference", capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert_refused(done, "No space left")


def test_nobody_reads_the_output(environment: dict[str, str], program_file: FileOf) -> None:
    text = AGREES + "getsockname(r0, &addr[128], &[128])\n" * 3000
    run = f"{sys.executable} {ROOT}/sockdiff.py run {program_file(text)} --target reference; echo $? >&2"
    done = subprocess.run(["sh", "-c", f"({run}) | head -n 1"], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == "141\n"


def test_in_process_main_returns_the_status(program_file: FileOf, capsys: pytest.CaptureFixture[str]) -> None:
    assert module.main(["run", str(program_file(AGREES)), "--target", "reference"]) == 0
    assert module.main(["run", "nowhere", "--target", "reference"]) == 2
    with pytest.raises(SystemExit) as ended:
        module.main(["dance"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("sockdiff: nowhere")
