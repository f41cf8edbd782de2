"""User memory as the kernel sees it: copy in, copy out, fault.

A task has one mapped area (an arena of `contract.memory`); everything else faults.  `IovIter` walks a caller's vector
(`lib/iov_iter.c`): it copies as far as memory goes and says how far.
"""

from __future__ import annotations

import struct
from errno import EFAULT, EINVAL

from ..contract.memory import ARENA_SIZE
from .errors import Fail

TASK_SIZE_MAX = (1 << 47) - 4096
MAX_RW_COUNT = 0x7FFF_F000
UIO_MAXIOV = 1024


class UserMemory:
    """ARENA_SIZE octets mapped at `base`; `octets` are the first of them, zeroes follow."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.octets = bytearray()

    def load(self, image: bytes) -> None:
        """Place a call's image at the start of the arena; the rest of the arena is zero."""
        self.octets = bytearray(image)

    def span(self, address: int, length: int) -> int:
        """How many of the `length` octets from `address` on are mapped."""
        offset = address - self.base
        if not 0 <= offset < ARENA_SIZE:
            return 0
        return min(length, ARENA_SIZE - offset)

    def read(self, address: int, length: int) -> bytes:
        """`copy_from_user` of exactly `length` octets. Raises Fail(EFAULT)."""
        if length and self.span(address, length) < length:
            raise Fail(EFAULT, "copy_from_user")
        if not length:
            return b""
        offset = address - self.base
        return bytes(self.octets[offset : offset + length]).ljust(length, b"\0")

    def write(self, address: int, octets: bytes) -> None:
        """`copy_to_user`. Raises Fail(EFAULT); what fits before the fault is written, as the kernel does."""
        room = self.span(address, len(octets))
        offset = address - self.base
        if room:
            if len(self.octets) < offset:
                self.octets += bytes(offset - len(self.octets))
            self.octets[offset : offset + room] = octets[:room]
        if room < len(octets):
            raise Fail(EFAULT, "copy_to_user")

    def read_int(self, address: int) -> int:
        """A signed C int."""
        return int(struct.unpack("<i", self.read(address, 4))[0])

    def write_int(self, address: int, value: int) -> None:
        self.write(address, struct.pack("<I", value & 0xFFFF_FFFF))


def access_ok(address: int, length: int) -> bool:
    """`access_ok`: does the range lie in user space (mapped or not)?"""
    return address + length <= TASK_SIZE_MAX and address <= TASK_SIZE_MAX


class IovIter:
    """A cursor over (address, length) segments of user memory."""

    __slots__ = ("_at", "_memory", "_segments", "_within", "count")

    def __init__(self, memory: UserMemory, segments: list[tuple[int, int]]) -> None:
        self._memory = memory
        self._segments = segments
        self._at = 0
        self._within = 0
        self.count = sum(length for _, length in segments)
        """Octets left."""

    def copy_from(self, length: int) -> bytes:
        """`copy_from_iter_full`: the next `length` octets. Raises Fail(EFAULT) without moving when they are not all there."""
        mark = (self._at, self._within, self.count)
        parts = []
        while length:
            address, size = self._here(length)
            room = self._memory.span(address, size)
            if room < size:
                self._at, self._within, self.count = mark
                raise Fail(EFAULT, "copy_from_iter")
            parts.append(self._memory.read(address, size))
            self._move(size)
            length -= size
        return b"".join(parts)

    def copy_to(self, octets: bytes) -> int:
        """`copy_to_iter`: store up to `count` octets; returns how many were stored before the end or a fault."""
        done = 0
        total = min(len(octets), self.count)
        while done < total:
            address, size = self._here(total - done)
            room = self._memory.span(address, size)
            if room:
                self._memory.write(address, octets[done : done + room])
                self._move(room)
                done += room
            if room < size:
                break
        return done

    def revert(self, length: int) -> None:
        """`iov_iter_revert`: step back over the last `length` octets."""
        self.count += length
        while length:
            if self._within == 0:
                self._at -= 1
                self._within = self._segments[self._at][1]
                continue
            back = min(length, self._within)
            self._within -= back
            length -= back

    def _here(self, length: int) -> tuple[int, int]:
        while self._within == self._segments[self._at][1]:
            self._at += 1
            self._within = 0
        address, size = self._segments[self._at]
        return address + self._within, min(length, size - self._within)

    def _move(self, length: int) -> None:
        self._within += length
        self.count -= length


def import_iovec(memory: UserMemory, address: int, count: int) -> IovIter:
    """`import_iovec`: read the vector and check it. Raises Fail(EINVAL) for its size or a negative length, Fail(EFAULT).

    A single segment is capped before its place is checked, of several each is checked for its whole claimed length.
    """
    if count > UIO_MAXIOV:
        raise Fail(EINVAL, "iovec_from_user: nr_segs > UIO_MAXIOV")
    raw = memory.read(address, 16 * count) if count else b""
    segments = []
    total = 0
    for at in range(0, len(raw), 16):
        base, length = struct.unpack_from("<QQ", raw, at)
        if length >= 1 << 63:
            raise Fail(EINVAL, "copy_iovec_from_user: negative length")
        segments.append((base, length))
    if count == 1:
        return import_ubuf(memory, *segments[0])
    checked = []
    for base, claimed in segments:
        if not access_ok(base, claimed):
            raise Fail(EFAULT, "import_iovec: access_ok")
        length = min(claimed, MAX_RW_COUNT - total)
        total += length
        checked.append((base, length))
    return IovIter(memory, checked)


def import_ubuf(memory: UserMemory, address: int, length: int) -> IovIter:
    """`import_ubuf`: one buffer, its length capped at MAX_RW_COUNT. Raises Fail(EFAULT) for kernel addresses."""
    length = min(length, MAX_RW_COUNT)
    if not access_ok(address, length):
        raise Fail(EFAULT, "import_ubuf: access_ok")
    return IovIter(memory, [(address, length)] if length else [])
