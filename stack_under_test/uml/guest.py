"""What runs inside the kernel, as its first process: the worker behind /dev/hostpipe (stdlib alone).

The host's file system is there read-only, for Python to be loaded from; once everything is, the process moves into an
empty root of its own, keeping nothing but /proc and /dev.

Each program has a world of its own, and everything it could inherit from the one before is begun anew: descriptors
closed, connections ended, the namespace given up; then the kernel's randomness, the origins of its clocks and the time
of day set back (the ioctl of hostpipe), and time moved on to a multiple of PHASE_NS, so that ticks and timer wheels
stand as they always do.  So a program's trace is the same in its first and its thousandth run.

What comes down the pipe is as for any worker (`worker.serve`), but for one word before it: 1 for entries step by step,
0 for all of a program's at once, which is faster, but tells nothing when the kernel dies.
"""

from __future__ import annotations

import codecs
import ctypes
import gc
import marshal
import os
import struct
import time
import traceback

from stack_under_test.contract.world import HOST_OWNED, World
from stack_under_test.uml.virtual import Clock, VirtualRunner
from stack_under_test.worker import confine, kernel
from stack_under_test.worker.arenas import Arenas
from stack_under_test.worker.codec import FlatStep, StepRecord, pack_step, unpack_programs
from stack_under_test.worker.confine import Surroundings
from stack_under_test.worker.lanes import Lanes
from stack_under_test.worker.prepare import Prepared, PreparedCall, Preparer
from stack_under_test.worker.serve import END, FD_MAKERS, read_exactly, read_message, write_all
from stack_under_test.worker.setup import LocalSource, pin, quiet
from stack_under_test.worker.site import Site

_RESTART, _COVERAGE = 0x7501, 0x7502
_DEVICE = "/dev/hostpipe"
_MS_RDONLY, _MS_REMOUNT = 1, 0x20
_POWER_OFF = 0x4321FEDC
_CAP_SYS_BOOT = 22
_SYS_IOCTL = 16
_NEW_ROOT = "/tmp"
_LENGTH = struct.Struct("<I")
_TASKS = range(8)
_PRIORITY = 1
"""Of the controller: above the kernel's own threads, below every lane."""
_ENCODINGS = ("ascii", "latin-1", "utf-8", "idna")
"""Python loads these when they are first used; then its files are out of reach."""

PHASE_NS = 1_024_000_000
"""Programs begin at multiples of this: a multiple of every granularity the timer wheel has up to two hours."""
SETTLED_NS = 300 * 1_000_000_000
"""Jiffies begin 300 seconds before they wrap; the first program comes after that."""
TIME_OF_DAY_NS = 1_700_000_000_000_000_000
"""What CLOCK_REALTIME is when a program begins."""
READY = b"sockdiff"
"""The first octets up the pipe."""


class Entries:
    """What goes up the pipe for a program: at once, or step by step."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._parts: list[bytes] = []
        self.stepwise = False

    def add(self, record: StepRecord) -> bool:
        octets = pack_step(record)
        self._parts += (_LENGTH.pack(len(octets)), octets)
        if self.stepwise:
            self._flush()
        return True

    def end(self, metadata: bytes) -> None:
        self._parts += (_LENGTH.pack(len(metadata) | END), metadata)
        self._flush()

    def _flush(self) -> None:
        write_all(self._pipe, b"".join(self._parts))
        self._parts.clear()


class Guest:
    """Serves the host until it hangs up."""

    def __init__(self, pipe: int, core: list[int], surroundings: Surroundings) -> None:
        self._pipe = pipe
        self._core = core
        self._surroundings = surroundings
        self._source = _source()
        self._clock = Clock()
        self._entries = Entries(pipe)
        self._preparer = Preparer()
        # On a clock that stands still the fair scheduler would let a task that yields go on for ever.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        self._lanes = Lanes(surroundings.proc)
        arenas = Arenas()
        self._tasks = [self._lanes.thread(task).pid for task in _TASKS]
        self._runner = VirtualRunner(arenas, self._lanes, self._clock)
        self._told: set[World] = set()
        with kernel.wide_table():
            self._home = kernel.own_fd(os.open("/proc/self/ns/net", os.O_RDONLY))

    def serve(self) -> None:
        self._clock.sleep_until(SETTLED_NS)
        gc.disable()
        gc.freeze()
        write_all(self._pipe, READY)
        while (head := read_exactly(self._pipe, 4)) is not None:
            self._entries.stepwise = bool(_LENGTH.unpack(head)[0])
            host, programs = read_message(self._pipe), read_message(self._pipe)
            if host is None or programs is None:
                return
            self._adopt(marshal.loads(host))
            for world, flat in unpack_programs(programs):
                self._run(world, flat)

    def _adopt(self, values: tuple[str, ...]) -> None:
        """Set what the whole machine owns (HOST_OWNED); "" leaves a value as it is."""
        for fd, value in zip(self._core, values, strict=True):
            if value:
                os.pwrite(fd, value.encode(), 0)

    def _run(self, world: World, flat: list[FlatStep]) -> None:
        self._restart()
        steps = self._preparer.steps(flat)
        metadata = b""
        told = world in self._told
        try:
            with kernel.wide_table():
                got = self._source.make(world) if told else self._source.obtain(world)
                site = Site(world, kernel.own_fd(got.namespace), kernel.own_fd(got.tun), self._surroundings.proc)
        except OSError as error:
            self._refuse(f"world: {error}", steps)
            return
        site.settle()
        wanted = {name for name, _ in world.sysctls}
        refused = "; ".join([f"{name}: {reason}" for name, reason in got.refused if name in wanted])
        if not told:
            self._told.add(world)
            metadata = marshal.dumps((got.metadata, got.refused))
        if refused:
            self._refuse(refused, steps)
            site.close()
            return
        self._clock.sleep_until(((time.monotonic_ns() + PHASE_NS // 2) // PHASE_NS + 1) * PHASE_NS)
        self._restart()
        self._note(True)
        marks = self._runner.run(world, steps, site, self._entries)
        self._note(False)
        self._entries.end(metadata)
        site.close_descriptors(self._highest(steps), marks.standard_fds)
        if marks.standard_fds:
            self._surroundings.restore_standard()
        site.clean(marks)
        if marks.unix_paths:
            self._surroundings.remove_paths()
        site.close()
        kernel.setns(self._home, kernel.CLONE_NEWNET)
        self._renew_lanes()

    def _renew_lanes(self) -> None:
        """Every task has a lane again, and none holds on to the program's namespace.  Processes of forked tasks are not kept:
        making one uses numbers of inodes up, which fstat shows, and using a kept one does not."""
        self._lanes.end_spare()
        for task in _TASKS:
            lane = self._lanes.get(task)
            if lane is None or lane.pid != self._tasks[task]:
                self._lanes.remove(task)
                self._tasks[task] = self._lanes.thread(task).pid
        self._lanes.end_spare()

    def _restart(self) -> None:
        """Begin anew whatever one program could hand to the next."""
        if kernel.syscall(_SYS_IOCTL, self._pipe, _RESTART, TIME_OF_DAY_NS, 0, 0, 0) != 0:
            raise kernel.failure("hostpipe")

    def _note(self, on: bool) -> None:
        """From here on, note which code is reached, or until here; refused where nothing is noted (08-coverage)."""
        kernel.syscall(_SYS_IOCTL, self._pipe, _COVERAGE, on, 0, 0, 0)

    def _refuse(self, reason: str, steps: list[Prepared]) -> None:
        if steps:
            self._entries.add((("u", reason), (), 0, 0))
        self._entries.end(b"")

    def _highest(self, steps: list[Prepared]) -> int:
        values = self._runner.values
        made = [values[index] for index, step in enumerate(steps) if type(step) is PreparedCall and step.name in FD_MAKERS]
        return min(max(made, default=2), kernel.PROGRAM_FDS - 1)


def _source() -> LocalSource:
    """Namespaces inherit some of their settings from this first one, and then need not be given them one by one."""
    with open("/proc/sys/net/core/devconf_inherit_init_net", "w", encoding="ascii") as file:
        file.write("1")
    quiet()
    pin(World())
    return LocalSource()


def _enter_root() -> None:
    """An empty file system with /proc and /dev, and the host's out of reach."""
    for name in _ENCODINGS:
        codecs.lookup(name)
    kernel.mount("root", "/", "", _MS_REMOUNT | _MS_RDONLY)
    kernel.mount("sockdiff", _NEW_ROOT, "tmpfs", 0)
    for kind in ("proc", "dev"):
        os.mkdir(f"{_NEW_ROOT}/{kind}")
    kernel.mount("proc", f"{_NEW_ROOT}/proc", "proc", 0)
    kernel.mount("dev", f"{_NEW_ROOT}/dev", "devtmpfs", 0)
    os.chroot(_NEW_ROOT)
    os.chdir("/")


def _guest() -> Guest:
    _enter_root()
    with kernel.wide_table():
        pipe = kernel.own_fd(os.open(_DEVICE, os.O_RDWR))
        report = kernel.own_fd(os.open("/dev/console", os.O_WRONLY))
        core = [kernel.own_fd(os.open("/proc/sys/" + name.replace(".", "/"), os.O_RDWR)) for name in HOST_OWNED]
    os.dup2(report, 2)
    surroundings = Surroundings((pipe, report, *core), private_root=False)
    with kernel.wide_table():
        surroundings.root = kernel.own_fd(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
    kernel.keep_capabilities(confine.KEPT | 1 << _CAP_SYS_BOOT)
    return Guest(pipe, core, surroundings)


def main() -> None:
    """As process 1 there is nothing to return to: the machine is switched off."""
    try:
        _guest().serve()
    except BaseException:
        text = traceback.format_exc()
        with open("/dev/console", "w", encoding="utf-8") as console:
            console.write(text)
    finally:
        os.sync()
        ctypes.CDLL(None).reboot(_POWER_OFF)


if __name__ == "__main__":
    main()
