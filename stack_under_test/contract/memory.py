"""Where a call's arguments lie in the caller's memory.

One layout for every stack: the worker copies the image into a real mapping at the same address at which the reference
stack pretends to have one, so that an overlong length reads and overwrites the same neighbours on both sides.

A task owns ARENA_SIZE octets at `arena(task)`, followed by a hole of the same size (BAD points into the first hole, so it
faults, as does whatever runs off an arena's end).  Arguments are laid out in order, each 16-aligned; memory for the call
to fill is preset to FILL, and what is reported of it ends with the last octet that is not FILL.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from .values import (
    Arg,
    Bad,
    Buffer,
    Control,
    EpollEvent,
    FdSet,
    Inet,
    Inet6,
    InOut,
    Ints,
    IoVec,
    MsgHdr,
    Null,
    Number,
    Octets,
    Pointer,
    PollFds,
    PortOf,
    Ref,
    Timeval,
    Unix,
)

ARENA_BASE = 0x40_0000_0000
"""Below 512 GiB, where processes in a user-mode kernel end."""
ARENA_SIZE = 1 << 20
MAX_TASKS = 8
BAD_ADDRESS = ARENA_BASE + ARENA_SIZE + 0x1000
FILL = 0xA5
_FILLS = tuple(bytes((FILL,)) * size for size in (4096, 256, 16, 1))

Resolve = Callable[[Ref | PortOf], int]
"""The value of an earlier result or of a port, at the time of the call; -1 (or 0 for a port) when there is none."""


class Out(NamedTuple):
    """Memory the call may change: `path` names it in the trace, `trim` drops untouched FILL at the end."""

    path: str
    address: int
    size: int
    trim: bool


class Encoded(NamedTuple):
    """`registers` for the call, the `image` to place at the arena's start, and what to read back."""

    registers: tuple[int, ...]
    image: bytes
    outs: tuple[Out, ...]


def arena(task: int) -> int:
    """First address of a task's arena."""
    return ARENA_BASE + task * 2 * ARENA_SIZE


def trimmed(octets: bytes) -> bytes:
    """Without the FILL at the end; a large untouched buffer is most often all of it, so it goes in large pieces first."""
    end = len(octets)
    for piece in _FILLS:
        while octets.endswith(piece, 0, end):
            end -= len(piece)
    return octets[:end]


def collect(out: Out, octets: bytes) -> bytes:
    """What the trace holds of an out region's octets."""
    return trimmed(octets) if out.trim else octets


def encode(args: tuple[Arg, ...], base: int, resolve: Resolve) -> Encoded:
    """Lay `args` out at `base`.  Raises ValueError when they do not fit an arena or a number does not fit its field."""
    layout = _Layout(base, resolve)
    try:
        registers = tuple([layout.register(arg, f"arg{index}") for index, arg in enumerate(args)])
    except struct.error as error:
        raise ValueError(f"a field does not fit: {error}") from None
    if len(layout.image) > ARENA_SIZE:
        raise ValueError(f"arguments take {len(layout.image)} octets, an arena has {ARENA_SIZE}")
    return Encoded(registers, bytes(layout.image), tuple(layout.outs))


class _Layout:
    def __init__(self, base: int, resolve: Resolve) -> None:
        self.base = base
        self.resolve = resolve
        self.image = bytearray()
        self.outs: list[Out] = []

    def register(self, arg: Arg, path: str) -> int:
        if isinstance(arg, int):
            return arg
        if isinstance(arg, Ref):
            return self.resolve(arg)
        return self.pointer(arg, path)

    def pointer(self, pointer: Pointer, path: str) -> int:
        if isinstance(pointer, Null):
            return 0
        if isinstance(pointer, Bad):
            return BAD_ADDRESS
        if isinstance(pointer, Buffer):
            return self.out(path, bytes((FILL,)) * pointer.size, True)
        if isinstance(pointer, InOut):
            return self.out(path, self.ints(pointer.values), False)
        if isinstance(pointer, PollFds):
            items = [struct.pack("<IHH", self.number(fd), events & 0xFFFF, 0) for fd, events in pointer.items]
            return self.out(path, b"".join(items), False)
        if isinstance(pointer, FdSet):
            return self.out(path, self.fd_set(pointer), False)
        if isinstance(pointer, Timeval):
            return self.out(path, struct.pack("<QQ", pointer.sec & _U64, pointer.usec & _U64), False)
        if isinstance(pointer, IoVec):
            return self.place(self.iovec(pointer, path))
        if isinstance(pointer, MsgHdr):
            return self.msghdr(pointer, path)
        return self.place(self.octets(pointer))

    def octets(self, pointer: Octets | Ints | Inet | Inet6 | Unix | Control | EpollEvent) -> bytes:
        if isinstance(pointer, Octets):
            return pointer.data
        if isinstance(pointer, Ints):
            return self.ints(pointer.values)
        if isinstance(pointer, Inet):
            return struct.pack("<H", pointer.family) + struct.pack("!H4s8x", self.port(pointer.port), pointer.addr)
        if isinstance(pointer, Inet6):
            middle = struct.pack("!HI16s", self.port(pointer.port), pointer.flowinfo, pointer.addr)
            head = struct.pack("<H", pointer.family) + middle
            return head + struct.pack("<I", pointer.scope_id)
        if isinstance(pointer, Unix):
            return struct.pack("<H", pointer.family) + pointer.path
        if isinstance(pointer, EpollEvent):
            return struct.pack("<IQ", pointer.events & _U32, pointer.data & _U64)
        return b"".join(_cmsg(message.level, message.type, message.data) for message in pointer.messages)

    def place(self, octets: bytes) -> int:
        self.image += bytes(-len(self.image) % 16)
        address = self.base + len(self.image)
        self.image += octets
        return address

    def out(self, path: str, octets: bytes, trim: bool) -> int:
        address = self.place(octets)
        if octets:
            self.outs.append(Out(path, address, len(octets), trim))
        return address

    def number(self, number: Number) -> int:
        return (number if isinstance(number, int) else self.resolve(number)) & _U32

    def port(self, port: int | PortOf) -> int:
        return (port if isinstance(port, int) else self.resolve(port)) & 0xFFFF

    def ints(self, values: tuple[Number, ...]) -> bytes:
        return struct.pack(f"<{len(values)}I", *[self.number(value) for value in values])

    def fd_set(self, pointer: FdSet) -> bytes:
        bits = 0
        for fd in pointer.fds:
            number = fd if isinstance(fd, int) else self.resolve(fd)
            if 0 <= number < 1024:
                bits |= 1 << number
        return bits.to_bytes(128, "little")

    def iovec(self, pointer: IoVec, path: str) -> bytes:
        entries = [
            struct.pack("<QQ", self.pointer(item, f"{path}.iov{index}") & _U64, length & _U64)
            for index, (item, length) in enumerate(pointer.items)
        ]
        return b"".join(entries)

    def msghdr(self, header: MsgHdr, path: str) -> int:
        """Names the three fields the kernel writes back as an out of their own each."""
        count = len(header.iov.items) if isinstance(header.iov, IoVec) else 0
        name = self.pointer(header.name, f"{path}.name")
        iov = self.pointer(header.iov, path)
        control = self.pointer(header.control, f"{path}.control")
        fields = (
            name & _U64,
            header.namelen & _U32,
            iov & _U64,
            (count if header.iovlen is None else header.iovlen) & _U64,
            control & _U64,
            header.controllen & _U64,
            header.flags & _U32,
        )
        address = self.place(struct.pack("<QI4xQQQQI4x", *fields))
        self.outs.append(Out(f"{path}.namelen", address + 8, 4, False))
        self.outs.append(Out(f"{path}.controllen", address + 40, 8, False))
        self.outs.append(Out(f"{path}.flags", address + 48, 4, False))
        return address


_U32 = 0xFFFF_FFFF
_U64 = 0xFFFF_FFFF_FFFF_FFFF


def _cmsg(level: int, kind: int, data: bytes) -> bytes:
    """`struct cmsghdr` and its data, padded as CMSG_SPACE does."""
    return struct.pack("<QII", 16 + len(data), level & _U32, kind & _U32) + data + bytes(-len(data) % 8)
