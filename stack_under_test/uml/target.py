"""The target `uml`: guests behind the contract.

Programs go down the pipe whole and their entries come back at once.  A guest that does not answer within the wall-clock
limit, or has died, is replaced; since it tells nothing then, the program is run once more, on a fresh guest and step by
step, which shows the step it happens in.

A guest whose clock has come far is replaced too: after 24 days of milliseconds the kernel's 32-bit time stamps change
their sign.
"""

from __future__ import annotations

import marshal
import os
import struct
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from stack_under_test.contract import abi, coverage
from stack_under_test.contract.program import Advance, Program
from stack_under_test.contract.target import Traits, Unavailable
from stack_under_test.contract.trace import Killed, StepTrace, Trace
from stack_under_test.contract.world import HOST_OWNED, KERNEL, MACHINE, World
from stack_under_test.uml.blocks import Blocks, as_set, read_blocks
from stack_under_test.uml.boot import Gone, Machine, Silent
from stack_under_test.uml.guest import PHASE_NS, SETTLED_NS
from stack_under_test.uml.places import Kernel, available
from stack_under_test.worker import buffers
from stack_under_test.worker.reader import Metadata, Reading, read_stream, request

NAME = "uml"
_FAMILIES = frozenset({abi.AF_UNIX, abi.AF_INET, abi.AF_INET6, abi.AF_NETLINK, abi.AF_PACKET})
_LIMIT_NS = 10_000_000_000
_LIFE_NS = 20 * 86_400 * 1_000_000_000
_CLEANING_NS = 2 * PHASE_NS
_BATCH = 16
_LENGTH = struct.Struct("<I")


class UmlTarget:
    """Guests of one kernel; the same `seed` gives the same octets.  `limit_ns` is the wall-clock time a program may take.
    `cpu` is where the guest runs; None: the CPU with this process's number among those it may use."""

    def __init__(self, kernel: Kernel | None = None, seed: int = 0, limit_ns: int = _LIMIT_NS, cpu: int | None = None) -> None:
        self._kernel = kernel or Kernel()
        reason = available(self._kernel)
        if reason is not None:
            raise Unavailable(reason)
        self._seed, self._limit_ns = seed, limit_ns
        cpus = sorted(os.sched_getaffinity(0))
        self._cpu = cpus[os.getpid() % len(cpus)] if cpu is None else cpu
        self._host: tuple[str, ...] = ("",) * len(HOST_OWNED)
        self._machines: list[Machine] = []
        self._metadata: dict[World, Metadata] = {}
        self._lived = 0
        self._finalizer = weakref.finalize(self, _end, self._machines)
        name = NAME if self._kernel == Kernel() else f"{NAME}:{self._kernel.name}"
        release = str(self._kernel.facts().get("release", self._kernel.release))
        self._blocks = self._table() if "kcov" in self._kernel.features else None
        self._numbers = self._blocks.numbers() if self._blocks is not None else {}
        self._reached = 0
        facts = ((coverage.NAME, f"{self._kernel.name} {self._blocks.build}"),) if self._blocks is not None else ()
        facts = ((KERNEL, release), (MACHINE, "um"), *facts)
        self._traits = Traits(name, release, True, _FAMILIES, frozenset({"tun", "tap"}), facts=facts)
        self._boot()
        self._traits = replace(self._traits, facts=(*facts, *buffers.facts(self.run(buffers.ASK))))

    def _table(self) -> Blocks:
        try:
            return read_blocks(self._kernel.blocks_file)
        except (OSError, ValueError):
            raise Unavailable(f"kernel {self._kernel.name} has no table of its code: build it again") from None

    @property
    def traits(self) -> Traits:
        return self._traits

    @property
    def group(self) -> int:
        """The process group of the guest that runs now."""
        return self._machines[0].group

    def adopt(self, facts: tuple[tuple[str, str], ...]) -> None:
        """Take over what the other side's host decides (`HOST_OWNED`)."""
        given = dict(facts)
        self._host = tuple(given.get(name, kept) for name, kept in zip(HOST_OWNED, self._host, strict=True))

    def run(self, program: Program) -> Trace:
        return self.run_many((program,))[0]

    def run_many(self, programs: Iterable[Program]) -> list[Trace]:
        """The traces of `programs`, in their order."""
        left = list(programs)
        traces: list[Trace] = []
        while left:
            # What a program reached is read before the next one begins.
            batch = left[: _BATCH if self._blocks is None else 1]
            reading, failure = self._batch(batch, stepwise=False)
            if failure is not None:
                self._replace()
                failed = batch[len(reading.traces)]
                again, failure = self._batch([failed], stepwise=True)
                if failure is not None:
                    self._replace()
                    again.end([*again.steps, StepTrace(failure)][: max(len(failed.steps), 1)])
                reading.traces += again.traces
            traces += [self._told(trace) for trace in reading.traces]
            left = left[len(reading.traces) :]
        return traces

    def close(self) -> None:
        """End the guest and all its processes."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _batch(self, programs: Sequence[Program], stepwise: bool) -> tuple[Reading, Killed | None]:
        """Run them; what was read, and how the guest failed if it did."""
        self._age(programs)
        machine = self._machines[0]
        reading = Reading(programs, self._traits.name, self._metadata)
        host = marshal.dumps(self._host)
        failure: list[Killed] = []

        def read(size: int) -> bytes | None:
            if size == 0:
                return b""
            try:
                return machine.read(size, time.monotonic_ns() + self._limit_ns)
            except Silent:
                failure.append(Killed("hang", f"no answer within {self._limit_ns // 1_000_000} ms"))
            except Gone as ending:
                failure.append(Killed("died", str(ending)))
            return None

        try:
            machine.write(_LENGTH.pack(stepwise) + _LENGTH.pack(len(host)) + host + request(programs))
        except Gone as ending:
            return reading, Killed("died", str(ending))
        read_stream(read, programs, reading)
        if self._blocks is not None:
            self._reached = as_set(machine.noted(), self._numbers)
        return reading, failure[0] if failure else None

    def _told(self, trace: Trace) -> Trace:
        """With what the program reached, where the kernel can tell."""
        if self._blocks is None:
            return trace
        return replace(trace, metadata=(*trace.metadata, coverage.entry(self._reached)))

    def _age(self, programs: Sequence[Program]) -> None:
        """Replace the guest before its clock has come too far."""
        asked = sum([step.ns for program in programs for step in program.steps if type(step) is Advance])
        span = asked + _CLEANING_NS * len(programs)
        if self._lived + span > _LIFE_NS:
            self._replace()
        self._lived += span

    def _replace(self) -> None:
        _end(self._machines)
        self._boot()

    def _boot(self) -> None:
        self._lived = SETTLED_NS
        self._machines.append(Machine(self._kernel, self._seed, self._cpu))


def _end(machines: list[Machine]) -> None:
    while machines:
        machines.pop().close()
