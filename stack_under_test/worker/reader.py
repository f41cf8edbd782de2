"""The parent's side of `serve`: entries become traces, whichever way they come."""

from __future__ import annotations

import marshal
import struct
from collections.abc import Callable, Sequence
from mmap import mmap

from stack_under_test.contract.program import Program
from stack_under_test.contract.trace import StepTrace, Trace
from stack_under_test.contract.world import World
from stack_under_test.worker.codec import pack_programs, unpack_step
from stack_under_test.worker.serve import END, first_entry

_LENGTH = struct.Struct("<I")

Metadata = tuple[tuple[str, str], ...]


class Reading:
    """One batch being read: the `traces` of programs that have ended, and the `steps` of one that has not.

    `metadata` is kept by the caller from batch to batch, since a worker tells it of each world once.
    """

    def __init__(self, programs: Sequence[Program], target: str, metadata: dict[World, Metadata]) -> None:
        self._programs = programs
        self._target = target
        self._metadata = metadata
        self.traces: list[Trace] = []
        self.steps: list[StepTrace] = []

    def entry(self, length: int, octets: bytes) -> None:
        """An entry whose length word was `length`."""
        if length < END:
            self.steps.append(unpack_step(octets))
            return
        world = self._programs[len(self.traces)].world
        if octets:
            self._metadata[world], _ = marshal.loads(octets)
        self.end(self.steps)

    def end(self, steps: list[StepTrace]) -> None:
        """The program is over, with these steps."""
        world = self._programs[len(self.traces)].world
        self.traces.append(Trace(tuple(steps), self._target, self._metadata.get(world, ())))
        self.steps = []


def request(programs: Sequence[Program]) -> bytes:
    """What is sent down to have a batch run."""
    octets = pack_programs(programs)
    return _LENGTH.pack(len(octets)) + octets


def read_memory(memory: mmap, half: int, reading: Reading) -> None:
    """Take the entries that lie in a half of the shared memory."""
    at = first_entry(half)
    while word := _LENGTH.unpack_from(memory, at)[0]:
        end = at + 4 + (word & ~END)
        reading.entry(word, memory[at + 4 : end])
        at = end


def read_stream(read: Callable[[int], bytes | None], programs: Sequence[Program], reading: Reading) -> bool:
    """Take the entries of a whole batch from a stream; False when it ends before they do.  `read` gives exactly as many
    octets as asked for, or None at the end."""
    while len(reading.traces) < len(programs):
        head = read(_LENGTH.size)
        if head is None:
            return False
        word: int = _LENGTH.unpack(head)[0]
        octets = read(word & ~END)
        if octets is None:
            return False
        reading.entry(word, octets)
    return True
