"""Running other programs for minutes: where they write, what is shown of it, and how they end.

Their output goes to a log, and a line about it to the terminal a few times a second.  They run in a process group of
their own and at the lowest priority; whoever interrupts us interrupts them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stack_under_test.contract.target import Unavailable
from stack_under_test.worker.kernel import syscall

_ERROR = re.compile(r"\b[Ee]rror(:| \d)")
_SYS_PRCTL, _PR_SET_PDEATHSIG = 157, 1
_SHOWN_NS = 500_000_000

Show = Callable[[str], None]
"""Shows a line of progress; the next one replaces it."""


class BuildError(Unavailable):
    """One line that says what failed, and where it is written."""


def terminal(line: str) -> None:
    """On a terminal a line that is overwritten; elsewhere nothing, so that logs stay short."""
    if sys.stderr.isatty():
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r\x1b[K{line[: columns - 1]}", end="", file=sys.stderr, flush=True)


def carry_out(what: str, command: Sequence[str], log: Path, show: Show, cwd: Path | None = None) -> None:
    """Run to the end.  Raises BuildError with the last lines; on an interrupt the command has ended too."""
    began = time.monotonic_ns()
    with open(log, "ab") as file:
        start = file.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            cwd=cwd,
            process_group=0,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 (one system call)
        )
        try:
            os.setpriority(os.PRIO_PGRP, process.pid, 19)
            while True:
                try:
                    status = process.wait(_SHOWN_NS / 1e9)
                    break
                except subprocess.TimeoutExpired:
                    show(f"{what}: {(time.monotonic_ns() - began) // 1_000_000_000} s, {_lines(log, start)} lines in {log}")
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    if status != 0:
        raise BuildError(f"{what} failed ({status}), see {log}: {' | '.join(_tail(log, start))}")


def _end_with_parent() -> None:
    """A signal that `make` hands on, when we are killed."""
    syscall(_SYS_PRCTL, _PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0, 0)


def _lines(log: Path, start: int) -> int:
    with open(log, "rb") as file:
        file.seek(start)
        return file.read().count(b"\n")


def _tail(log: Path, start: int) -> list[str]:
    with open(log, "rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    errors = [line.strip() for line in lines if _ERROR.search(line)]
    return (errors or [line.strip() for line in lines if line.strip()])[-3:]
