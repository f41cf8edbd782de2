"""Carries out one program in a world.

Each step is made, then everything it has caused is gathered: packets are read off the link, and calls that waited are
looked at until every one either has finished or sleeps again, since one that finishes may send packets or wake
another.  Nothing is waited for except by `Advance`.

Within a step the events are in this order: packets as they left, completions by step, signals.  How a completion in
another process interleaves with packets of the same step cannot be observed; in `Advance` events are ordered by their
time.

Results are plain tuples, see `codec`; they go to the sink step by step, so that they outlive the worker.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import time
from collections.abc import Callable
from errno import EPIPE
from typing import Any, Protocol

from stack_under_test.contract import abi
from stack_under_test.contract.flows import Flows
from stack_under_test.contract.memory import ARENA_SIZE, MAX_TASKS, Encoded, arena
from stack_under_test.contract.program import Advance, Fork, Inject, Signal
from stack_under_test.contract.trace import Outs
from stack_under_test.contract.values import Arg, Control, MsgHdr, PollFds, PortOf, Ref
from stack_under_test.contract.world import World
from stack_under_test.worker import kernel
from stack_under_test.worker.arenas import Arenas
from stack_under_test.worker.codec import BLOCKED, BUSY, DONE, EventRecord, OutcomeRecord, StepRecord
from stack_under_test.worker.kernel import SYS_GETSOCKNAME, SYS_PPOLL, get_errno, read_into, syscall
from stack_under_test.worker.lanes import Lane, LaneDied, Lanes
from stack_under_test.worker.marks import Marks
from stack_under_test.worker.plans import Plan
from stack_under_test.worker.prepare import Prepared, PreparedCall, PreparedFrame
from stack_under_test.worker.site import Site
from stack_under_test.worker.waits import Waits

_FLOOD = 32 << 20
"""Octets of packets in one program, after which the stack counts as flooding."""
_SLICE_NS = 1_000_000
"""How often, while time passes, waiting calls are looked at."""
_PACKET = 1 << 17
_FAR = 16384
"""More than any call in a lane writes without saying so in its result."""
_PADDING = (0,) * 6
_LOWEST, _HIGHEST = kernel.LOWEST_OWN_FD, kernel.HIGHEST_OWN_FD
RESERVED: OutcomeRecord = ("u", "descriptor reserved by the worker")


class Sink(Protocol):
    """Where step records go; False when it takes no more."""

    def add(self, record: StepRecord) -> bool: ...


class _Stop(Exception):
    """The program ends with this step; the argument is its outcome."""

    def __init__(self, outcome: OutcomeRecord) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Runner:
    """One controller's machinery; `run` may be called any number of times."""

    def __init__(self, arenas: Arenas, lanes: Lanes) -> None:
        self._arenas = arenas
        self._lanes = lanes
        self._scratch = (ctypes.c_ubyte * _PACKET)()
        self._scratch_address = ctypes.addressof(self._scratch)
        self._scratch_view = memoryview(self._scratch).cast("B")
        self._small = (ctypes.c_ubyte * 256)()
        self._small_address = ctypes.addressof(self._small)
        handlers: dict[type, Callable[[Any], OutcomeRecord]] = {
            PreparedCall: self._call,
            PreparedFrame: self._inject,
            Inject: self._inject_open,
            Advance: self._advance,
            Signal: self._signal,
            Fork: self._fork,
        }
        self._handlers = handlers
        self._index = 0
        self._frames: list[EventRecord] = []
        self._quiet = False

    def run(self, world: World, steps: list[Prepared], site: Site, sink: Sink) -> Marks:
        """Run to the end, or to a step after which nothing can be known."""
        self._begin(world, steps, site)
        now, handlers = time.monotonic_ns, self._handlers
        begin = self._began = now()
        for index, step in enumerate(steps):
            self._index = index
            self._frames = []
            self._quiet = False
            kind = type(step)
            started = now() - begin
            try:
                outcome = handlers[kind](step)
                if not self._quiet:
                    self._drain()
                if self._waiting:
                    self._settle()
                if self.marks.owners:
                    self._owned_signals()
            except _Stop as stop:
                outcome = stop.outcome
            events = self._events(kind is Advance) if self._later else tuple(self._frames)
            if not sink.add((outcome, events, started, now() - begin)) or outcome[0] in "ku":
                break
        for task in self._lanes.end_program():
            self._arenas.lost(task)
        self._arenas.forget()
        return self.marks

    def _begin(self, world: World, steps: list[Prepared], site: Site) -> None:
        self._waits = Waits()
        self._waits.plain = not world.sysctls
        self.marks = Marks(self._waits)
        self._site = site
        self._tun = site.tun
        self._flows = Flows()
        self._unseen: list[bytes] = []
        self._steps = steps
        self.values = [-1] * len(steps)
        self._outs: dict[int, Outs] = {}
        self._waiting: dict[int, tuple[int, Encoded]] = {}
        self._alive = {0}
        self._octets = 0
        self._later: list[EventRecord] = []

    def _events(self, by_time: bool) -> tuple[EventRecord, ...]:
        """The step's events; `_later` holds completions and signals, and "c" sorts before "s"."""
        events = [*self._frames, *sorted(self._later)]
        self._later = []
        if by_time:
            events.sort(key=lambda event: event[-1])
        return tuple(events)

    # Calls

    def _call(self, call: PreparedCall) -> OutcomeRecord:
        task, plan = call.task, call.plan
        if call.error or plan is None:
            return ("u", call.error)
        if not 0 <= task < MAX_TASKS or task in self._waiting:
            return BUSY
        encoded, regs = self._arguments(call, plan)
        if call.memory:
            if plan.carries_fds and self._names_reserved(call.args):
                return RESERVED
            self._arenas.put(task, encoded.image)
        for position in plan.fds:
            if _LOWEST <= regs[position] & 0xFFFF_FFFF <= _HIGHEST:
                return RESERVED
        if plan.note is not None:
            plan.note(self.marks, regs, call.args)
        if task:
            self._alive.add(task)
        lane = self._lanes.get(task)
        if lane is not None and lane.forked:
            return self._in_lane(lane, plan, regs, encoded)
        if plan.rule is not None and plan.rule(self._waits, regs):
            return self._in_lane(self._lanes.thread(task), plan, regs, encoded)
        return self._straight(call, plan, regs, encoded)

    def _arguments(self, call: PreparedCall, plan: Plan) -> tuple[Encoded, tuple[int, ...]]:
        """The call's memory and registers, with references as they stand now."""
        encoded = call.encoded
        if encoded is None:
            encoded = call.encode(self._resolve)
            return encoded, (encoded.registers + _PADDING)[: plan.arity]
        if not call.refs:
            return encoded, call.registers
        regs = list(call.registers)
        for position, ref in call.refs:
            regs[position] = self._resolve(ref)
        return encoded, tuple(regs)

    def _straight(self, call: PreparedCall, plan: Plan, regs: tuple[int, ...], encoded: Encoded) -> OutcomeRecord:
        """Make a call that does not wait."""
        value = plan.invoke(plan.number, *regs)
        errno = 0
        self._quiet = plan.quiet
        if value == -1:
            errno = get_errno()
            if errno == EPIPE and signal.sigtimedwait((signal.SIGPIPE,), 0) is not None:
                self._later.append(("s", call.task, "SIGPIPE", time.monotonic_ns() - self._began))
        else:
            self.values[self._index] = value
        if not call.memory:
            return ("r", value, errno, ())
        outs = self._arenas.collect(call.task, encoded, plan.reach + (value if value > 0 else 0), errno)
        if outs and errno == 0:
            self._outs[self._index] = outs
        return ("r", value, errno, outs)

    def _in_lane(self, lane: Lane, plan: Plan, regs: tuple[int, ...], encoded: Encoded) -> OutcomeRecord:
        lane.start(plan.number, (regs + _PADDING)[:6])
        if not self._settled(lane):
            self._waiting[lane.task] = (self._index, encoded)
            return BLOCKED
        value, errno, outs, _ = self._finish(lane, self._index, encoded)
        return ("r", value, errno, outs)

    def _settled(self, lane: Lane) -> bool:
        try:
            return lane.settle()
        except LaneDied as death:
            self._waiting.pop(lane.task, None)
            self._lanes.remove(lane.task)
            raise _Stop(("k", str(death), f"task {lane.task}")) from None

    def _finish(self, lane: Lane, step: int, encoded: Encoded) -> tuple[int, int, Outs, int]:
        """Take over the result of a call that was made in a lane."""
        value, errno, at, sigpipe = lane.result()
        at -= self._began
        outs = self._arenas.collect(lane.task, encoded, _FAR + max(value, 0), errno)
        if sigpipe:
            self._later.append(("s", lane.task, "SIGPIPE", at))
        if value != -1:
            self.values[step] = value
            if outs:
                self._outs[step] = outs
        return value, errno, outs, at

    def _names_reserved(self, args: tuple[Arg, ...]) -> bool:
        """Whether a pollfd or a descriptor to be passed on is the worker's own."""
        for arg in args:
            if isinstance(arg, PollFds):
                for fd, _ in arg.items:
                    if _reserved(fd if isinstance(fd, int) else self._resolve(fd)):
                        return True
            elif isinstance(arg, MsgHdr) and isinstance(arg.control, Control):
                for message in arg.control.messages:
                    whole = message.data[: len(message.data) & ~3]
                    if any(_reserved(fd) for (fd,) in struct.iter_unpack("<I", whole)):
                        return True
        return False

    # Other steps

    def _inject(self, frame: PreparedFrame) -> OutcomeRecord:
        octets = frame.octets if frame.segment is None else frame.now(self._see(), self._resolve)
        return self._put(octets, frame.raw, frame.harmless)

    def _inject_open(self, step: Inject) -> OutcomeRecord:
        try:
            octets = self._see().octets(step.frame, self._resolve)
        except (ValueError, TypeError, IndexError, KeyError, struct.error) as error:
            return ("u", f"frame: {error}")
        return self._put(octets, False, False)

    def _put(self, octets: bytes, raw: bool, harmless: bool) -> OutcomeRecord:
        site = self._site
        link = site.link
        if link.carries_frames:
            octets = link.envelope(octets, raw)
        if not harmless:
            self.marks.packet(link.packet_of(octets))
        try:
            os.write(self._tun, octets)
        except OSError as error:
            return ("d", error.errno)
        return DONE

    def _advance(self, step: Advance) -> OutcomeRecord:
        deadline = time.monotonic_ns() + step.ns
        small, address = self._small, self._small_address
        while (left := deadline - time.monotonic_ns()) > 0:
            piece = min(left, _SLICE_NS) if self._waiting else left
            struct.pack_into("<IHH", small, 0, self._tun, abi.POLLIN, 0)
            struct.pack_into("<QQ", small, 16, *divmod(piece, 1_000_000_000))
            if syscall(SYS_PPOLL, address, 1, address + 16, 0, 0, 0) > 0:
                self._drain()
            if any(self._lane(task).finished() for task in self._waiting):
                self._settle()
        return DONE

    def _signal(self, step: Signal) -> OutcomeRecord:
        if step.signo not in (signal.SIGUSR1, signal.SIGUSR2):
            return ("u", f"signal {step.signo} has no handler")
        if step.task in self._waiting:
            self._lane(step.task).signal(step.signo)
        return DONE

    def _fork(self, step: Fork) -> OutcomeRecord:
        if not 0 < step.task < MAX_TASKS or step.task in self._alive:
            return BUSY
        self._alive.add(step.task)
        lane = self._lanes.fork(step.task, self._site.namespace)
        self._settled(lane)
        lane.result()
        return DONE

    # What a step has caused

    def _drain(self) -> None:
        """Read the link until it is empty."""
        tun, buffer = self._tun, self._scratch_address
        while (size := read_into(tun, buffer, _PACKET)) > 0:
            octets = bytes(self._scratch_view[:size])
            self._frames.append(("f", octets, time.monotonic_ns() - self._began))
            self._unseen.append(octets)
            self._octets += size
            if self._octets > _FLOOD:
                raise _Stop(("k", "flood", f"more than {_FLOOD} octets of packets"))

    def _see(self) -> Flows:
        """The flows, with all that the stack has sent until now."""
        for octets in self._unseen:
            self._flows.saw(self._site.link.packet_of(octets))
        self._unseen.clear()
        return self._flows

    def _settle(self) -> None:
        """Look at waiting calls until each has finished or sleeps, and nothing has changed since."""
        changed = True
        while changed:
            changed = False
            for task in sorted(self._waiting):
                lane = self._lane(task)
                if not self._settled(lane):
                    continue
                step, encoded = self._waiting.pop(task)
                value, errno, outs, at = self._finish(lane, step, encoded)
                self._later.append(("c", step, value, errno, outs, at))
                changed = True
            if changed:
                self._drain()

    def _owned_signals(self) -> None:
        """SIGURG and SIGIO, which a program can direct at the main task."""
        while (info := signal.sigtimedwait((signal.SIGURG, signal.SIGIO), 0)) is not None:
            name = signal.Signals(info.si_signo).name
            self._later.append(("s", 0, name, time.monotonic_ns() - self._began))

    def _lane(self, task: int) -> Lane:
        lane = self._lanes.get(task)
        assert lane is not None
        return lane

    # References

    def _resolve(self, ref: Ref | PortOf) -> int:
        if isinstance(ref, PortOf):
            return self._port(ref.ref)
        step = ref.step
        if not 0 <= step < self._index:
            return -1
        if ref.part is None:
            return self.values[step]
        outs = self._outs.get(step)
        if not outs or not 0 <= ref.part * 4 <= len(outs[0][1]) - 4:
            return -1
        value: int = struct.unpack_from("<i", outs[0][1], ref.part * 4)[0]
        return value

    def _port(self, ref: Ref) -> int:
        """The local port of a socket, asked in the task that has it."""
        fd = self._resolve(ref)
        if fd < 0:
            return 0
        maker = self._steps[ref.step]
        lane = self._lanes.get(maker.task) if isinstance(maker, PreparedCall) else None
        forked = lane is not None and lane.forked
        # A forked task shares arenas with us but not other memory; the end of its arena is out of its image's way.
        address = arena(lane.task) + ARENA_SIZE - 256 if lane and forked else self._small_address
        ctypes.memset(address, 0, 128)
        struct.pack_into("<I", self._small, 128, 128)
        ctypes.memmove(address + 128, self._small_address + 128, 4)
        regs = (fd, address, address + 128, 0, 0, 0)
        if lane and forked:
            if lane.busy:
                return 0
            lane.start(SYS_GETSOCKNAME, regs)
            self._settled(lane)
            failed = lane.result()[0]
        else:
            failed = syscall(SYS_GETSOCKNAME, *regs)
        head = ctypes.string_at(address, 4)
        if forked:
            ctypes.memset(address, 0, 256)
        family = int.from_bytes(head[:2], "little")
        return int.from_bytes(head[2:], "big") if failed == 0 and family in (abi.AF_INET, abi.AF_INET6) else 0


def _reserved(fd: int) -> bool:
    return _LOWEST <= fd & 0xFFFF_FFFF <= _HIGHEST
