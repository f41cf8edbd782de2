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
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stack_under_test.contract.program import Advance, Program
from stack_under_test.contract.target import Unavailable
from stack_under_test.contract.trace import Killed, StepTrace, Trace
from stack_under_test.contract.world import World
from stack_under_test.worker.reader import Metadata, Reading, read_memory, request
from stack_under_test.worker.serve import HALVES, RECORDS_SIZE, read_exactly

_LENGTH = struct.Struct("<I")
NAME = "linux"

Spawn = Callable[[], tuple[int, socket.socket, int]]
"""Makes a worker: (id, control socket, descriptor of the record memory)."""
End = Callable[[int, bool], tuple[str, str]]
"""Waits for a worker's end, killing it first if told to; how it ended, and its last words."""


class _Batch:
    """Programs submitted together, and the traces of those that are done."""

    def __init__(self, programs: list[Program]) -> None:
        self.programs = programs
        self.traces: list[Trace] = []

    @property
    def left(self) -> list[Program]:
        return self.programs[len(self.traces) :]


class _Sending(NamedTuple):
    """A message to the worker: the programs of a batch that were left then."""

    batch: _Batch
    programs: list[Program]


class Connection:
    """A worker and its replacements.

    `submit` a batch of programs, or two so that the worker need not wait for the parent, and `collect` in that order.
    """

    def __init__(self, spawn: Spawn, end: End, limit_ns: int, metadata: dict[World, Metadata]) -> None:
        self._spawn, self._end = spawn, end
        self._limit_ns = limit_ns
        self._metadata = metadata
        self._batches: deque[_Batch] = deque()
        self._sendings: deque[_Sending] = deque()
        self._retried = False
        self._open()

    def fileno(self) -> int:
        """Readable when there is something to collect."""
        return self._fd

    @property
    def full(self) -> bool:
        """Whether a batch must be collected before another is submitted."""
        return len(self._batches) == HALVES

    @property
    def idle(self) -> bool:
        return not self._batches

    def submit(self, programs: Sequence[Program]) -> None:
        assert programs
        assert not self.full
        batch = _Batch(list(programs))
        self._batches.append(batch)
        self._send(batch)

    def collect(self) -> list[Trace]:
        """The traces of the batch submitted first; waits for them, at most their time limit."""
        batch = self._batches[0]
        try:
            while batch.left:
                self._take()
        except KeyboardInterrupt:
            self._abandon()
            raise
        self._batches.popleft()
        return batch.traces

    def close(self) -> None:
        """Let go of the worker, which ends with its nursery."""
        self._socket.close()
        self._memory.close()

    def _abandon(self) -> None:
        """Forget what was submitted, with the worker that is at it."""
        self._batches.clear()
        self._sendings.clear()
        self._end(self._id, True)
        self.close()
        self._open()

    def _open(self) -> None:
        self._id, self._socket, memory = self._spawn()
        self._memory = mmap.mmap(memory, RECORDS_SIZE)
        os.close(memory)
        self._fd = self._socket.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._half = 0
        if read_exactly(self._fd, _LENGTH.size) is None:
            raise Unavailable(f"a worker could not start: {' '.join(self._end(self._id, False))}")
        self._socket.setblocking(False)

    def _send(self, batch: _Batch) -> None:
        programs = batch.left
        self._sendings.append(_Sending(batch, programs))
        if len(self._sendings) == 1:
            self._set_deadline()
        self._write(request(programs))

    def _write(self, octets: bytes) -> None:
        """Send down.  A worker that is gone or takes nothing is found out by `_take`."""
        view = memoryview(octets)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                room = select.poll()
                room.register(self._fd, select.POLLOUT)
                if not room.poll(self._left_ms()):
                    return
            except OSError:
                return

    def _set_deadline(self) -> None:
        """From now on, the first message's programs are what the worker is busy with."""
        programs = self._sendings[0].programs
        slept = sum([step.ns for program in programs for step in program.steps if type(step) is Advance])
        self._deadline = time.monotonic_ns() + self._limit_ns + slept

    def _left_ms(self) -> int:
        return max(0, self._deadline - time.monotonic_ns()) // 1_000_000

    def _take(self) -> None:
        """Take the answer to the first message, or what there is of it if the worker failed; what is left is sent again."""
        batch, programs = self._sendings[0]
        failure = self._failure()
        reading = Reading(programs, NAME, self._metadata)
        read_memory(self._memory, self._half, reading)
        self._half = (self._half + 1) % HALVES
        if failure is None:
            self._sendings.popleft()
            self._retried = False
            batch.traces += reading.traces
            again = [batch] if batch.left else []
        else:
            began = _LENGTH.unpack_from(self._memory, 0)[0] == 1
            # A worker that ends between two programs has failed at cleaning up after the first, not at the second.
            if len(reading.traces) < len(programs) and (began or (self._retried and not reading.traces)):
                steps = [*reading.steps, StepTrace(failure)]
                reading.end(steps[: max(len(programs[len(reading.traces)].steps), 1)])
            self._retried = True
            batch.traces += reading.traces
            again = [sending.batch for sending in self._sendings if sending.batch.left]
            self._sendings.clear()
            self.close()
            self._open()
        if self._sendings:
            self._set_deadline()
        for unfinished in again:
            self._send(unfinished)

    def _failure(self) -> Killed | None:
        """Wait for the answer; how the worker failed, in which case it is gone, or None."""
        if not self._poll.poll(self._left_ms()):
            self._end(self._id, True)
            return Killed("hang", f"no answer within {self._limit_ns // 1_000_000} ms")
        try:
            answer = read_exactly(self._fd, _LENGTH.size)
        except OSError:
            answer = None
        return Killed(*self._end(self._id, False)) if answer is None else None
