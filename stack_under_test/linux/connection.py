"""One worker, seen from the parent: programs go to it, traces come back, and a worker that is gone is replaced.

The records of a program lie in memory shared with the worker, so when it dies or does not answer in time, what it did
until then is there, and the step it was in is known.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence

from stack_under_test.contract.program import Advance, Program
from stack_under_test.contract.target import Unavailable
from stack_under_test.contract.trace import Killed, StepTrace, Trace
from stack_under_test.contract.world import World
from stack_under_test.worker.reader import Metadata, Reading, read_memory, request
from stack_under_test.worker.serve import RECORDS_SIZE, read_exactly, write_all

_LENGTH = struct.Struct("<I")
NAME = "linux"

Spawn = Callable[[], tuple[int, socket.socket, int]]
"""Makes a worker: (id, control socket, descriptor of the record memory)."""
End = Callable[[int, bool], tuple[str, str]]
"""Waits for a worker's end, killing it first if told to; how it ended, and its last words."""


class Connection:
    """A worker and its replacements.  One batch of programs at a time: `submit`, then `collect`."""

    def __init__(self, spawn: Spawn, end: End, limit_ns: int, metadata: dict[World, Metadata]) -> None:
        self._spawn, self._end = spawn, end
        self._limit_ns = limit_ns
        self._metadata = metadata
        self._left: list[Program] = []
        self._open()

    def fileno(self) -> int:
        """Readable when there is something to collect."""
        return self._fd

    def submit(self, programs: Sequence[Program]) -> None:
        self._send(list(programs))

    def collect(self) -> list[Trace]:
        """The traces of the programs submitted last; waits for them, at most their time limit."""
        traces: list[Trace] = []
        retried = False
        while self._left:
            failure = self._failure()
            reading = Reading(self._left, NAME, self._metadata)
            read_memory(self._memory, reading)
            began = _LENGTH.unpack_from(self._memory, 0)[0] == 1
            retried = retried and not reading.traces
            if failure is not None:
                self.close()
                self._open()
                # A worker that ends between two programs has failed at cleaning up after the first, not at the second.
                if len(reading.traces) < len(self._left) and (began or retried):
                    program = self._left[len(reading.traces)]
                    reading.end([*reading.steps, StepTrace(failure)][: max(len(program.steps), 1)])
                retried = True
            traces += reading.traces
            left, self._left = self._left[len(reading.traces) :], []
            if left:
                self._send(left)
        return traces

    def close(self) -> None:
        """Let go of the worker, which ends with its nursery."""
        self._socket.close()
        self._memory.close()

    def _open(self) -> None:
        self._id, self._socket, memory = self._spawn()
        self._memory = mmap.mmap(memory, RECORDS_SIZE)
        os.close(memory)
        self._fd = self._socket.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        if read_exactly(self._fd, _LENGTH.size) is None:
            raise Unavailable(f"a worker could not start: {' '.join(self._end(self._id, False))}")

    def _send(self, programs: list[Program]) -> None:
        octets = request(programs)
        slept = sum([step.ns for program in programs for step in program.steps if type(step) is Advance])
        self._left = programs
        self._deadline = time.monotonic_ns() + self._limit_ns + slept
        try:
            write_all(self._fd, octets)
        except OSError:
            # The worker is gone; `collect` finds the end of its answers.
            return

    def _failure(self) -> Killed | None:
        """Wait for the answer; how the worker failed, in which case it is gone, or None."""
        left_ms = max(0, self._deadline - time.monotonic_ns()) // 1_000_000
        if not self._poll.poll(left_ms):
            self._end(self._id, True)
            return Killed("hang", f"no answer within {self._limit_ns // 1_000_000} ms")
        try:
            answer = read_exactly(self._fd, _LENGTH.size)
        except OSError:
            answer = None
        return Killed(*self._end(self._id, False)) if answer is None else None
