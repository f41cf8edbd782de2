"""The reference stack as a target: programs' steps carried out on a `Kernel` in virtual time.

A step takes `STEP_NS`, `Advance` the time it says; nothing else moves the clock.  Calls are laid out in the task's arena
exactly as the worker lays them out in real memory, symbols are resolved the same way, and what a call stored is collected
the same way.  So is the order of a step's events: packets as they left, completions by step, signals; by time when time
passes.

Whatever the stack does not model ends the program with `Unsupported`; an exception inside the stack is a crash of the
stack (`Killed`), with the traceback as detail.
"""

from __future__ import annotations

import struct
import traceback
from collections.abc import Mapping
from errno import EINVAL
from types import MappingProxyType

from ..contract import abi
from ..contract.flows import Flows
from ..contract.frames import LinkFrame
from ..contract.links import Link, link_of
from ..contract.memory import MAX_TASKS, Encoded, arena, collect, encode
from ..contract.program import Advance, Call, Fork, Inject, Program, Signal, Step
from ..contract.syscalls import SYSCALLS
from ..contract.target import Traits, run_steps
from ..contract.trace import (
    Blocked,
    Busy,
    Completion,
    Done,
    Event,
    FrameOut,
    Killed,
    Outcome,
    Outs,
    Returned,
    StepTrace,
    Trace,
    Unsupported,
)
from ..contract.values import Arg, PollFds, PortOf, Ref
from ..contract.world import HOST_OWNED, KERNEL, MACHINE, SMALL_HEAD, World
from .errors import Fail, NotModelled
from .file import SocketFile
from .inet import truesize
from .kernel import BLOCKED, Ended, Kernel
from .release import LINUX_6_18, Release, of_kernel
from .sysctl import Sysctls, configure
from .task import Task

SIGNALS = (abi.SIGUSR1, abi.SIGUSR2)
WORKER_FDS = range(3000, 4000)
"""Numbers at which the worker on the other side has its own descriptors; a program that names one cannot be compared."""
STEP_NS = 20_000
"""What a step takes: about what it takes Linux, so that round trips are short but not zero."""
_RESERVED = Unsupported("descriptor reserved by the worker")
_FD_PARAMS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {name: tuple(index for index, kind in enumerate(sys.params) if kind == "fd") for name, sys in SYSCALLS.items()}
)
_ENCODING_ERRORS = (ValueError, TypeError, IndexError, KeyError, struct.error)


class ReferenceTarget:
    """Implements `Target` and `Stepwise`; `seed` decides every choice that the stack makes at random."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._host: tuple[tuple[str, str], ...] = ()
        self.release = LINUX_6_18
        """The kernel release to be like, from the next program on."""
        self._configured: tuple[World, Sysctls | NotModelled] | None = None
        """Of the last world, since most programs run in the same."""
        self._run: _Run | None = None

    def adopt(self, facts: tuple[tuple[str, str], ...]) -> None:
        """Take over what the other side's host decides (`HOST_OWNED`), and be like its kernel."""
        found = dict(facts)
        if KERNEL in found:
            small_head = int(found.get(SMALL_HEAD, truesize.SMALL_HEAD))
            self.release = of_kernel(found[KERNEL], found.get(MACHINE, ""), small_head)
        self._host = tuple((name, value) for name, value in facts if name in HOST_OWNED)
        self._configured = None

    @property
    def traits(self) -> Traits:
        return Traits("reference", self.release.name, virtual_time=True, links=frozenset({"tun", "tap"}))

    def run(self, program: Program) -> Trace:
        return run_steps(self, program, "reference")

    def begin(self, world: World) -> None:
        if self._configured is None or self._configured[0] != world:
            self._configured = (world, self._configure(world))
        self._run = _Run(link_of(world), self._configured[1], self._seed, self.release)

    def _configure(self, world: World) -> Sysctls | NotModelled:
        try:
            return configure((*self._host, *world.sysctls))
        except NotModelled as reason:
            return reason

    def step(self, step: Step) -> StepTrace:
        assert self._run is not None, "begin() comes first"
        return self._run.step(step)

    def close(self) -> None:
        self._run = None


class _Run:
    """One program's run: results by step, calls that have not come back, flows."""

    def __init__(self, link: Link, sysctls: Sysctls | NotModelled, seed: int, release: Release) -> None:
        self.link = link
        self.results: list[int] = []
        self.parts: dict[int, bytes] = {}
        self.makers: list[int] = []
        """By step, the task that made it."""
        self.pending: dict[int, tuple[int, Encoded]] = {}
        self.flows = Flows()
        self.refused = ""
        self.kernel: Kernel | None = None
        if isinstance(sysctls, NotModelled):
            self.refused = str(sysctls)
        else:
            self.kernel = Kernel(sysctls, seed, release, link.carries_frames)

    def step(self, step: Step) -> StepTrace:
        self.makers.append(step.task if isinstance(step, Call) else 0)
        self.results.append(-1)
        kernel = self.kernel
        if kernel is None:
            return StepTrace(Unsupported(self.refused))
        started = kernel.net.elapsed
        try:
            if not isinstance(step, Advance):
                kernel.advance(kernel.net.now + STEP_NS)
            outcome = self._outcome(kernel, step)
            events = self._events(kernel, isinstance(step, Advance))
        except NotModelled as reason:
            outcome, events = Unsupported(str(reason)), ()
        except Exception:
            outcome, events = Killed("exception", traceback.format_exc()), ()
        due = kernel.next_deadline()
        return StepTrace(outcome, events, started, kernel.net.elapsed, None if due is None else due - kernel.net.now)

    def _outcome(self, kernel: Kernel, step: Step) -> Outcome:
        if isinstance(step, Call):
            return self._call(kernel, step)
        if isinstance(step, Inject):
            return self._inject(kernel, step)
        if isinstance(step, Advance):
            kernel.advance(kernel.net.now + max(0, step.ns))
            return Done()
        if isinstance(step, Signal):
            return self._signal(kernel, step)
        return self._fork(kernel, step)

    # --- steps

    def _call(self, kernel: Kernel, call: Call) -> Outcome:
        name = call.sys
        if name not in SYSCALLS:
            return Unsupported(f"no such call: {name}")
        if not 0 <= call.task < MAX_TASKS or call.task in self.pending:
            return Busy()
        try:
            encoded = encode(call.args, arena(call.task), self._resolve)
        except _ENCODING_ERRORS as error:
            return Unsupported(f"{name}: {error}")
        registers = encoded.registers
        for position in _FD_PARAMS[name]:
            if position < len(registers) and registers[position] & 0xFFFF_FFFF in WORKER_FDS:
                return _RESERVED
        task = kernel.task(call.task)
        if encoded.image and self._names_reserved(call.args):
            return _RESERVED
        task.memory.load(encoded.image)
        result = kernel.syscall(task, name, registers)
        step = len(self.results) - 1
        if isinstance(result, Blocked):
            self.pending[call.task] = (step, encoded)
            return BLOCKED
        return self._returned(step, task, encoded, result, kernel.rule)

    def _names_reserved(self, args: tuple[Arg, ...]) -> bool:
        return any(
            (fd if isinstance(fd, int) else self._resolve(fd)) & 0xFFFF_FFFF in WORKER_FDS
            for arg in args
            if isinstance(arg, PollFds)
            for fd, _ in arg.items
        )

    def _inject(self, kernel: Kernel, inject: Inject) -> Outcome:
        try:
            octets = self.flows.octets(inject.frame, self._resolve)
        except _ENCODING_ERRORS as error:
            return Unsupported(f"frame: {error}")
        octets = self.link.envelope(octets, isinstance(inject.frame, LinkFrame))
        if not self.link.takes(octets):
            return Done(EINVAL)
        if self.link.version(octets) == 6:
            return Unsupported("IPv6")
        kernel.receive(octets)
        return Done()

    def _signal(self, kernel: Kernel, signal: Signal) -> Outcome:
        """A task that is not inside a call only runs its handler."""
        if signal.signo not in SIGNALS:
            return Unsupported(f"signal {signal.signo} has no handler")
        if signal.task in self.pending:
            kernel.signal(kernel.tasks[signal.task], signal.signo)
        return Done()

    def _fork(self, kernel: Kernel, fork: Fork) -> Outcome:
        if not 0 < fork.task < MAX_TASKS or fork.task in kernel.tasks:
            return Busy()
        kernel.fork(fork.task)
        return Done()

    # --- results

    def _returned(self, step: int, task: Task, encoded: Encoded, result: int, rule: str) -> Returned:
        outs: Outs = ()
        if encoded.image:
            octets, base = task.memory.octets, task.memory.base
            outs = tuple(
                [
                    (out.path, collect(out, bytes(octets[out.address - base : out.address - base + out.size])))
                    for out in encoded.outs
                ]
            )
        if result < 0:
            return Returned(-1, -result, outs, rule)
        self.results[step] = result
        if outs:
            self.parts[step] = outs[0][1]
        return Returned(result, 0, outs)

    def _events(self, kernel: Kernel, by_time: bool) -> tuple[Event, ...]:
        frames: list[Event] = []
        completions: list[Completion] = []
        signals: list[Event] = []
        for event in kernel.drain():
            if isinstance(event, Ended):
                step, encoded = self.pending.pop(event.task.number)
                returned = self._returned(step, event.task, encoded, event.result, event.rule)
                completions.append(Completion(step, returned, event.at))
            elif isinstance(event, FrameOut):
                self.flows.saw(self.link.packet_of(event.octets))
                frames.append(event)
            else:
                signals.append(event)
        if not completions and not signals:
            return tuple(frames)
        completions.sort(key=lambda completion: completion.step)
        events: list[Event] = [*frames, *completions, *signals]
        if by_time:
            events.sort(key=lambda event: event.at)
        return tuple(events)

    # --- symbols

    def _resolve(self, value: Ref | PortOf) -> int:
        if isinstance(value, PortOf):
            return self._port(value.ref)
        if not 0 <= value.step < len(self.results) - 1:
            return -1
        if value.part is None:
            return self.results[value.step]
        octets = self.parts.get(value.step, b"")
        if not 0 <= value.part * 4 <= len(octets) - 4:
            return -1
        return int(struct.unpack_from("<i", octets, value.part * 4)[0])

    def _port(self, ref: Ref) -> int:
        """The local port of a socket, asked in the task that has it; 0 when there is none."""
        assert self.kernel is not None
        fd = self._resolve(ref)
        if fd < 0:
            return 0
        maker = self.makers[ref.step]
        if maker in self.pending and self.kernel.tasks[maker].files is not self.kernel.tasks[0].files:
            return 0
        file = self.kernel.task(maker).files.files.get(fd)
        if not isinstance(file, SocketFile):
            return 0
        try:
            name = file.sock.ops.getname(file.sock, 0)
        except Fail:
            return 0
        return int.from_bytes(name[2:4], "big")
