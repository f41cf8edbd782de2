"""A campaign's processes.  Each has its own targets and asks the campaign for work over a pipe.

What a job says: `Found` (answered with a bool), `Shrunk`, `Done` (asks for more), `Failed`.  What it is told: `Chunk`,
`Stop`.  A job whose campaign has vanished stops by itself, so that a killed campaign leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from conformance.harness.lockstep import Pair
from conformance.harness.record import Finding
from fuzz.generate import Generator
from fuzz.hunt import Hunt, Stopped
from fuzz.profile import Profile
from stack_under_test.contract.target import Target
from stack_under_test.registry import open_target

_PATIENCE = 10


class Found(NamedTuple):
    """Answered with a bool: whether to shrink it."""

    finding: Finding


class Shrunk(NamedTuple):
    finding: Finding


class Done(NamedTuple):
    """A chunk is finished: what was counted in it, and what the job has reached so far (`Coverage.as_json`)."""

    chunk: int
    totals: Any
    occurrences: Mapping[str, int]
    coverage: Mapping[str, str]


class Failed(NamedTuple):
    """The job cannot go on; one line."""

    reason: str


class Chunk(NamedTuple):
    """Programs `first` to `end` - 1."""

    number: int
    first: int
    end: int


class Stop(NamedTuple):
    """Finish at once."""


Said = Found | Shrunk | Done | Failed


@dataclass(frozen=True, slots=True)
class Task:
    """What every job of a campaign is to do."""

    left: str
    right: str
    seed: int
    profile: Profile
    budget: int


class Job:
    """A process and the campaign's end of its pipe; `chunk` is what it works on."""

    def __init__(self, task: Task) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_main, args=(task, theirs), daemon=True)
        with _without_interrupts():
            self._process.start()
        theirs.close()
        self.chunk: Chunk | None = None

    def give(self, chunk: Chunk) -> None:
        """That the job has died shows when it is listened to."""
        self.chunk = chunk
        with contextlib.suppress(OSError):
            self.pipe.send(chunk)

    def stop(self) -> None:
        """Tell it to finish; `end` waits for that."""
        with contextlib.suppress(OSError):
            self.pipe.send(Stop())

    def end(self) -> None:
        """Wait until the process has closed its targets and gone, not for ever."""
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.pipe.close()


class _without_interrupts:  # noqa: N801
    """A process started inside ignores Ctrl-C from its first instruction on: the campaign tells it when to stop."""

    def __enter__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._old = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._old)


class _Listener:
    """`hunt.Listener` over the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def found(self, found: Finding) -> bool:
        self._pipe.send(Found(found))
        answer = self._pipe.recv()
        if isinstance(answer, Stop):
            raise Stopped
        return bool(answer)

    def shrunk(self, found: Finding) -> None:
        self._pipe.send(Shrunk(found))

    def check(self) -> None:
        """Nothing is sent while a job works, except to stop it; the end of the pipe counts too."""
        if self._pipe.poll():
            raise Stopped


def _main(task: Task, pipe: Connection) -> None:
    targets: list[Target] = []
    try:
        targets.append(open_target(task.left))
        targets.append(open_target(task.right))
        _work(task, pipe, Pair(targets[0], targets[1]))
    except (Stopped, EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        _tell(pipe, Failed(f"{type(error).__name__}: {error}"))
    finally:
        for target in targets:
            target.close()


def _work(task: Task, pipe: Connection, pair: Pair) -> None:
    hunt = Hunt(pair, Generator(task.seed, task.profile).program, _Listener(pipe), task.budget)
    while isinstance(chunk := pipe.recv(), Chunk):
        totals, occurrences = hunt.run(range(chunk.first, chunk.end))
        pipe.send(Done(chunk.number, totals.as_json(), dict(occurrences), hunt.coverage.as_json()))


def _tell(pipe: Connection, said: Said) -> None:
    with contextlib.suppress(OSError):
        pipe.send(said)
