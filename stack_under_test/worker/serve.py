"""The worker's main loop: programs come, traces go, the world is cleaned after each.

A first answer of 0 programs says that the worker is ready.  Down the control descriptor comes a batch of programs,
with its length before it.  What is told of them is a row of *entries*, each with its length before it: the records of
a program's steps, then one whose length has the top bit set and which ends the program; that one holds the world's
metadata if the world was new.  Entries go into memory shared with the parent, and the number of programs done up the
control descriptor once there are no more; or, where memory cannot be shared, the entries themselves go up the control
descriptor.  Either way the parent has every step that ended before a worker died.

The world is cleaned after the answer, while the parent works on it.
"""

from __future__ import annotations

import gc
import marshal
import mmap
import os
import struct
from typing import Protocol

from stack_under_test.contract.syscalls import SYSCALLS
from stack_under_test.contract.world import World
from stack_under_test.worker import kernel
from stack_under_test.worker.arenas import Arenas
from stack_under_test.worker.codec import StepRecord, pack_step, unpack_programs
from stack_under_test.worker.confine import Surroundings
from stack_under_test.worker.lanes import Lanes
from stack_under_test.worker.marks import Marks
from stack_under_test.worker.prepare import Prepared, PreparedCall, Preparer
from stack_under_test.worker.runner import Runner
from stack_under_test.worker.setup import Source
from stack_under_test.worker.site import Site

_LENGTH = struct.Struct("<I")
END = 0x8000_0000
"""Set in the length of the entry that ends a program."""
RECORDS_SIZE = 64 << 20
HALVES = 2
"""Batches take turns in the halves of the shared memory, so that the parent can read one while the other is filled."""
_HALF = RECORDS_SIZE // HALVES
_HEAD = 8
"""Octets before the first entry of a half.  The 32-bit word at 0 is 1 while a program runs."""
_KEEP_PAGES = 1 << 20
_RESERVE = 1 << 16
"""Octets kept free for the entry that ends a program."""
_ZERO = bytes(4)
_SITES = 8
FD_MAKERS = frozenset({name for name, sys in SYSCALLS.items() if sys.result == "fd"} | {"fcntl"})


class Records(Protocol):
    """Where entries go."""

    def ready(self) -> None:
        """The worker can take programs."""
        ...

    def room(self) -> bool:
        """Whether there is room for another program."""
        ...

    def begin(self) -> None: ...

    def add(self, record: StepRecord) -> bool: ...

    def end(self, metadata: bytes) -> None: ...

    def answer(self, programs: int) -> None:
        """The batch is done as far as it goes."""
        ...


class SharedRecords:
    """Entries in memory that the parent maps too; a length of 0 comes after the last."""

    def __init__(self, memory: int, control: int) -> None:
        self._map = mmap.mmap(memory, RECORDS_SIZE)
        self._control = control
        self._half = 0
        self._at = first_entry(0)

    def room(self) -> bool:
        return self._at < self._half * _HALF + _HALF // 2

    def ready(self) -> None:
        write_all(self._control, _LENGTH.pack(0))

    def begin(self) -> None:
        if self._at == first_entry(self._half):
            # The parent had read this half before it sent the batch that begins now.
            if self._map[self._half * _HALF + _KEEP_PAGES]:
                self._map.madvise(mmap.MADV_REMOVE, self._half * _HALF, _HALF)
            _LENGTH.pack_into(self._map, self._at, 0)
        _LENGTH.pack_into(self._map, 0, 1)

    def add(self, record: StepRecord) -> bool:
        return self._entry(pack_step(record), 0)

    def end(self, metadata: bytes) -> None:
        self._entry(metadata, END)
        _LENGTH.pack_into(self._map, 0, 0)

    def answer(self, programs: int) -> None:
        write_all(self._control, _LENGTH.pack(programs))
        self._half = (self._half + 1) % HALVES
        self._at = first_entry(self._half)

    def _entry(self, octets: bytes, mark: int) -> bool:
        at, size = self._at, len(octets)
        end = at + 4 + size
        if end + (0 if mark else _RESERVE) > (self._half + 1) * _HALF:
            return False
        # The length goes last: until then the entry is not there.
        self._map[at + 4 : end + 4] = octets + _ZERO
        _LENGTH.pack_into(self._map, at, size | mark)
        self._at = end
        return True


def first_entry(half: int) -> int:
    """Where the entries of a half begin."""
    return half * _HALF + _HEAD


class StreamedRecords:
    """Entries up the control descriptor, each as soon as its step is over."""

    def __init__(self, control: int) -> None:
        self._control = control

    def ready(self) -> None:
        pass

    def room(self) -> bool:
        return True

    def begin(self) -> None:
        pass

    def add(self, record: StepRecord) -> bool:
        octets = pack_step(record)
        write_all(self._control, _LENGTH.pack(len(octets)) + octets)
        return True

    def end(self, metadata: bytes) -> None:
        write_all(self._control, _LENGTH.pack(len(metadata) | END) + metadata)

    def answer(self, programs: int) -> None:
        pass


class Worker:
    """Serves one parent until it hangs up."""

    def __init__(self, control: int, records: Records, source: Source, surroundings: Surroundings) -> None:
        self._control = control
        self._records = records
        self._source = source
        self._surroundings = surroundings
        arenas = Arenas()
        lanes = Lanes(surroundings.proc)
        lanes.thread(0)
        self._runner = Runner(arenas, lanes)
        self._preparer = Preparer()
        self._sites: dict[World, Site] = {}
        self._refusals: dict[World, str] = {}
        self._news: dict[World, bytes] = {}
        """Metadata of worlds that the parent has not been told of."""
        self._here: Site | None = None
        self._used: tuple[Site, Marks, list[Prepared]] | None = None

    def serve(self) -> None:
        """Until the parent hangs up.  It is told when the ordinary world is there.  Values are freed by their reference
        counts; the collector of cycles would only search."""
        gc.disable()
        self._site(World())
        self._records.ready()
        while (octets := read_message(self._control)) is not None:
            done = 0
            for world, flat in unpack_programs(octets):
                if not self._records.room():
                    break
                self._clean()
                self._run(world, self._preparer.steps(flat))
                done += 1
            self._records.answer(done)
            self._clean()

    def _run(self, world: World, steps: list[Prepared]) -> None:
        self._records.begin()
        site, refusal = self._site(world)
        if site is None or refusal:
            if steps:
                self._records.add((("u", refusal), (), 0, 0))
        else:
            self._used = site, self._runner.run(world, steps, site, self._records), steps
        self._records.end(self._news.pop(world, b""))

    def _clean(self) -> None:
        """After a program: bring its world back to what it was, or give it up."""
        if self._used is None:
            return
        site, marks, steps = self._used
        self._used = None
        site.close_descriptors(self._highest(steps), marks.standard_fds)
        if marks.standard_fds:
            self._surroundings.restore_standard()
        left = site.clean(marks)
        if marks.unix_paths:
            self._surroundings.remove_paths()
        if left:
            self._give_up(site)

    def _site(self, world: World) -> tuple[Site | None, str]:
        """The site for a world, entered, and why programs cannot be run in it ("" if they can)."""
        site = self._sites.get(world)
        if site is not None:
            if site is not self._here:
                site.enter()
                self._here = site
            return site, self._refusals.get(world, "")
        if len(self._sites) >= _SITES:
            self._give_up(next(iter(self._sites.values())))
        try:
            with kernel.wide_table():
                got = self._source.obtain(world)
                namespace, tun = kernel.own_fd(got.namespace), kernel.own_fd(got.tun)
        except OSError as error:
            return None, f"world: {error}"
        kernel.setns(namespace, kernel.CLONE_NEWNET)
        site = self._here = self._sites[world] = Site(world, namespace, tun, self._surroundings.proc)
        site.settle()
        self._news[world] = marshal.dumps((got.metadata, got.refused))
        wanted = {name for name, _ in world.sysctls}
        self._refusals[world] = "; ".join([f"{name}: {reason}" for name, reason in got.refused if name in wanted])
        return site, self._refusals[world]

    def _give_up(self, site: Site) -> None:
        del self._sites[site.world]
        self._refusals.pop(site.world, None)
        self._news.pop(site.world, None)
        site.close()
        if site is self._here:
            self._here = None

    def _highest(self, steps: list[Prepared]) -> int:
        """The highest descriptor that a TCP socket of the program's may have."""
        values = self._runner.values
        made = [values[index] for index, step in enumerate(steps) if type(step) is PreparedCall and step.name in FD_MAKERS]
        return min(max(made, default=2), kernel.PROGRAM_FDS - 1)


def read_message(fd: int) -> bytes | None:
    """Octets with their length before them, or None at the end."""
    head = read_exactly(fd, 4)
    return None if head is None else read_exactly(fd, _LENGTH.unpack(head)[0])


def read_exactly(fd: int, size: int) -> bytes | None:
    octets = os.read(fd, size) if size else b""
    if len(octets) == size:
        return octets
    parts = [octets]
    missing = size - len(octets)
    while missing:
        octets = os.read(fd, min(missing, 1 << 20))
        if not octets:
            return None
        parts.append(octets)
        missing -= len(octets)
    return b"".join(parts)


def write_all(fd: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(fd, view) :]
