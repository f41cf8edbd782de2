"""poll and select (`fs/select.c`).

Both look at every file once; if none is ready they sleep on all of them and look again.  The deadline is absolute, so
looking again does not prolong it.
"""

from __future__ import annotations

import struct
from errno import EBADF, EFAULT, EINTR, EINVAL
from typing import NamedTuple

from ...contract import abi
from ..errors import Fail
from ..file import MAX_FDS, RLIMIT_NOFILE, File
from ..net import MSEC, SEC
from ..task import Task
from ..uaccess import access_ok
from ..wait import Blocking, MayBlock, Wait, WaitQueue, Wakeup
from .registers import c_int, c_long, c_uint, c_ulong

USEC = 1_000
KTIME_MAX = (1 << 63) - 1
POLLIN_SET = abi.POLLRDNORM | abi.POLLRDBAND | abi.POLLIN | abi.POLLHUP | abi.POLLERR | abi.POLLNVAL
POLLOUT_SET = abi.POLLWRBAND | abi.POLLWRNORM | abi.POLLOUT | abi.POLLERR | abi.POLLNVAL
POLLEX_SET = abi.POLLPRI | abi.POLLNVAL


class Waits:
    """`struct poll_wqueues`: the files looked at while nothing was ready, each with the events that count."""

    def __init__(self) -> None:
        self.queues: list[WaitQueue] = []
        self.keys: list[int] = []
        self.files: list[File] = []

    def add(self, file: File, key: int) -> None:
        queue = file.queue()
        if queue is not None:
            self.queues.append(queue)
            self.keys.append(key)
            self.files.append(file)

    def hold(self) -> None:
        for file in self.files:
            file.count += 1

    def free(self, task: Task) -> None:
        """`poll_freewait`."""
        for file in self.files:
            task.put(file)

    def wait(self, deadline: int | None) -> Wait:
        return Wait(tuple(self.queues), deadline, False, tuple(self.keys))


def _deadline(task: Task, timeout: int) -> int | None:
    """Absolute time after `timeout` ns; times beyond what a timer can hold never come."""
    deadline = task.net.now + timeout
    return deadline if deadline < KTIME_MAX else None


# --- poll


class _PollFd(NamedTuple):
    fd: int
    events: int


def sys_poll(task: Task, array: int, count: int, timeout: int) -> MayBlock[int]:
    """`do_sys_poll`."""
    array, count, timeout = c_ulong(array), c_uint(count), c_int(timeout)
    if count > RLIMIT_NOFILE:
        raise Fail(EINVAL, "do_sys_poll: RLIMIT_NOFILE")
    raw = task.memory.read(array, 8 * count)
    entries = [_PollFd(fd, events) for fd, events, _ in struct.iter_unpack("<iHH", raw)]
    waits = Waits() if timeout else None
    revents = _look_at(task, entries, waits)
    if waits is None or any(revents):
        return _poll_finish(task, array, revents)
    return _poll_sleep(task, array, entries, waits, None if timeout < 0 else _deadline(task, timeout * MSEC))


def _look_at(task: Task, entries: list[_PollFd], waits: Waits | None) -> list[int]:
    """`do_pollfd` for each: its revents; `waits` takes the files down until one is ready."""
    revents = []
    for fd, events in entries:
        if fd < 0:
            revents.append(0)
            continue
        file = task.files.files.get(fd)
        if file is None:
            mask = abi.POLLNVAL
        else:
            key = events | abi.POLLERR | abi.POLLHUP
            mask = file.poll() & key
            if waits is not None and not mask:
                waits.add(file, key)
        revents.append(mask)
    return revents


def _poll_sleep(task: Task, array: int, entries: list[_PollFd], waits: Waits, deadline: int | None) -> Blocking[int]:
    """The loop of `do_poll`: events win over a signal, a signal over the deadline."""
    waits.hold()
    try:
        while True:
            reason = yield waits.wait(deadline)
            revents = _look_at(task, entries, None)
            if any(revents) or reason is Wakeup.TIMEOUT:
                return _poll_finish(task, array, revents)
            if reason is Wakeup.SIGNAL:
                _poll_finish(task, array, revents)
                raise Fail(EINTR, "do_poll: ERESTART_RESTARTBLOCK")
    finally:
        waits.free(task)


def _poll_finish(task: Task, array: int, revents: list[int]) -> int:
    if not access_ok(array, 8 * len(revents)):
        raise Fail(EFAULT, "do_sys_poll: user_write_access_begin")
    for index, mask in enumerate(revents):
        task.memory.write(array + 8 * index + 6, struct.pack("<H", mask))
    return sum(1 for mask in revents if mask)


# --- select


class _Sets:
    """The caller's sets as integers: in, out, ex; `size` octets of each are read and written back."""

    def __init__(self, task: Task, count: int, addresses: tuple[int, ...]) -> None:
        self.task = task
        self.count = count
        self.addresses = addresses
        self.size = (count + 63) // 64 * 8
        self.wanted = [
            int.from_bytes(task.memory.read(address, self.size), "little") if address else 0 for address in addresses
        ]
        self.result = [0, 0, 0]

    def check(self) -> None:
        """`max_select_fd`. Raises Fail(EBADF) for a bit of a closed descriptor; a reserved one counts as open."""
        bits = (self.wanted[0] | self.wanted[1] | self.wanted[2]) & ((1 << self.count) - 1)
        while bits:
            low = bits & -bits
            if low.bit_length() - 1 not in self.task.files.files:
                raise Fail(EBADF, "max_select_fd")
            bits ^= low
        mask = (1 << self.count) - 1
        self.wanted = [wanted & mask for wanted in self.wanted]

    def look(self, waits: Waits | None) -> int:
        """One pass of `do_select`; returns how many bits are set in the results."""
        found = 0
        self.result = [0, 0, 0]
        bits = self.wanted[0] | self.wanted[1] | self.wanted[2]
        while bits:
            bit = bits & -bits
            bits ^= bit
            file = self.task.files.files.get(bit.bit_length() - 1)
            mask = abi.POLLNVAL
            if file is not None:
                if waits is not None and not found:
                    waits.add(file, self.key(bit))
                mask = file.poll()
            for index, interest in enumerate((POLLIN_SET, POLLOUT_SET, POLLEX_SET)):
                if mask & interest and self.wanted[index] & bit:
                    self.result[index] |= bit
                    found += 1
        return found

    def key(self, bit: int) -> int:
        """`wait_key_set`."""
        reading = POLLIN_SET if self.wanted[0] & bit else 0
        writing = POLLOUT_SET if self.wanted[1] & bit else 0
        return POLLEX_SET | reading | writing

    def store(self) -> None:
        for address, result in zip(self.addresses, self.result, strict=True):
            if address:
                self.task.memory.write(address, result.to_bytes(self.size, "little"))


class _End:
    """The time limit of a select: None is none, 0 is "do not wait", else an absolute time."""

    def __init__(self, task: Task, address: int) -> None:
        self.task = task
        self.address = address
        self.at: int | None = None
        if not address:
            return
        seconds, micros = struct.unpack("<qq", task.memory.read(address, 16))
        whole = _quotient(micros)
        seconds, rest = c_long(seconds + whole), micros - whole * 1_000_000
        if seconds < 0 or rest < 0:
            raise Fail(EINVAL, "poll_select_set_timeout")
        timeout = seconds * SEC + rest * USEC
        self.at = task.net.now + timeout if timeout else 0

    @property
    def deadline(self) -> int | None:
        return self.at if self.at is None or self.at < KTIME_MAX else None

    def write_back(self) -> None:
        """`poll_select_finish`: the time left, whatever the result; memory that cannot be written does not matter."""
        if not self.at:
            return
        left = max(0, self.at - self.task.net.now)
        try:
            self.task.memory.write(self.address, struct.pack("<qq", left // SEC, left % SEC // USEC))
        except Fail as fail:
            if fail.errno != EFAULT:
                raise


def _quotient(micros: int) -> int:
    """C's division by a million, towards zero."""
    return micros // 1_000_000 if micros >= 0 else -(-micros // 1_000_000)


def sys_select(task: Task, count: int, reading: int, writing: int, excepting: int, timeval: int) -> MayBlock[int]:
    """`kern_select`, `core_sys_select`."""
    count = c_int(count)
    end = _End(task, c_ulong(timeval))
    try:
        if count < 0:
            raise Fail(EINVAL, "core_sys_select: n < 0")
        sets = _Sets(task, min(count, MAX_FDS), (c_ulong(reading), c_ulong(writing), c_ulong(excepting)))
        sets.check()
        waits = Waits() if end.at != 0 else None
        found = sets.look(waits)
        if found or waits is None:
            sets.store()
    except Fail:
        end.write_back()
        raise
    if waits is not None and not found:
        return _select_sleep(task, sets, waits, end)
    end.write_back()
    return found


def _select_sleep(task: Task, sets: _Sets, waits: Waits, end: _End) -> Blocking[int]:
    """The loop of `do_select`; a signal leaves the caller's sets as they are."""
    waits.hold()
    try:
        while True:
            reason = yield waits.wait(end.deadline)
            found = sets.look(None)
            if not found and reason is Wakeup.SIGNAL:
                raise Fail(EINTR, "core_sys_select: ERESTARTNOHAND")
            if found or reason is Wakeup.TIMEOUT:
                sets.store()
                return found
    finally:
        waits.free(task)
        end.write_back()
