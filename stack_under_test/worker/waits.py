"""May this call wait?

A call that certainly does not is made by the controller itself, ten times faster than through a lane.  "Certainly" is
decided from what the kernel says beforehand: the descriptor does not block, or poll(2) reports what the call needs and
the call is of a plain form for which Linux guarantees that readiness is enough.  When in doubt a call goes to a lane,
where waiting is observed; a wrong True costs time, a wrong False would hang the worker.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from stack_under_test.contract import abi
from stack_under_test.contract.memory import ARENA_BASE, ARENA_SIZE, MAX_TASKS
from stack_under_test.worker.kernel import SYS_FCNTL, SYS_GETSOCKOPT, SYS_IOCTL, SYS_POLL, syscall

Registers = Sequence[int]
_U32 = 0xFFFF_FFFF

_PLAIN_RECEIVE = abi.MSG_TRUNC | abi.MSG_NOSIGNAL | abi.MSG_CMSG_CLOEXEC
_PLAIN_SEND = abi.MSG_NOSIGNAL | abi.MSG_DONTROUTE | abi.MSG_EOR | abi.MSG_MORE | abi.MSG_CONFIRM
_SMALL = 512
"""A send of this size fits when POLLOUT is reported: SOCK_MIN_SNDBUF is 4608 and POLLOUT means a third of it is
free."""

UNPLAIN_OPTIONS = frozenset(
    {(abi.SOL_SOCKET, name) for name in (abi.SO_LINGER, abi.SO_RCVLOWAT, abi.SO_PEEK_OFF, abi.SO_BUSY_POLL)}
    | {(abi.SOL_SOCKET, name) for name in (abi.SO_PREFER_BUSY_POLL, abi.SO_RESERVE_MEM, abi.SO_TXTIME)}
    | {(abi.SOL_TCP, name) for name in (abi.TCP_NOTSENT_LOWAT, abi.TCP_ULP, abi.TCP_REPAIR, abi.TCP_FASTOPEN_CONNECT)}
)
"""Once a program has set one of these, readiness guarantees nothing and close may linger."""


class Waits:
    """Answers for one controller; `plain` is False once a program has set an option of UNPLAIN_OPTIONS."""

    def __init__(self) -> None:
        self.plain = True
        self._scratch = (ctypes.c_ubyte * 64)()
        self._address = ctypes.addressof(self._scratch)

    def ready(self, fd: int, events: int) -> bool:
        """poll(2) without waiting: the events are there, or there is nothing to read any more (who writes may still wait
        for a connection).

        A stream without room is not asked: Linux takes that for the wish to be told of room (`tcp_poll` sets
        SOCK_NOSPACE), and the send buffer would grow because of us.
        """
        if not self._roomy(fd):
            return False
        struct.pack_into("<IHH", self._scratch, 0, fd & _U32, events, 0)
        syscall(SYS_POLL, self._address, 1, 0, 0, 0, 0)
        return bool(self._scratch[6] & (events | abi.POLLNVAL | (abi.POLLHUP if events & abi.POLLIN else 0)))

    def readable(self, fd: int) -> bool:
        """`ready` for reading.  An urgent octet that is next counts as readable when memory is short, and is then passed
        over: reading waits all the same."""
        if not self.ready(fd, abi.POLLIN):
            return False
        struct.pack_into("<i", self._scratch, 24, 0)
        return syscall(SYS_IOCTL, fd, abi.SIOCATMARK, self._address + 24, 0, 0, 0) != 0 or not self._scratch[24]

    def _roomy(self, fd: int) -> bool:
        """`__sk_stream_is_writeable`, from SO_MEMINFO; True of what is not a stream."""
        struct.pack_into("<I", self._scratch, 60, 24)
        if syscall(SYS_GETSOCKOPT, fd, abi.SOL_SOCKET, abi.SO_MEMINFO, self._address + 36, self._address + 60, 0):
            return True
        sndbuf, _, queued = struct.unpack_from("<III", self._scratch, 48)
        room = sndbuf - queued
        return bool(room >= queued >> 1)

    def nonblocking(self, fd: int) -> bool:
        """O_NONBLOCK is set, or there is no such descriptor."""
        return bool(syscall(SYS_FCNTL, fd, abi.F_GETFL, 0, 0, 0, 0) & abi.O_NONBLOCK)

    def option(self, fd: int, name: int) -> int:
        """A SOL_SOCKET int; -1 when it cannot be had."""
        struct.pack_into("<iI", self._scratch, 16, -1, 4)
        got = syscall(SYS_GETSOCKOPT, fd, abi.SOL_SOCKET, name, self._address + 16, self._address + 20, 0)
        value: int = struct.unpack_from("<i", self._scratch, 16)[0]
        return value if got == 0 else -1


def _read(waits: Waits, regs: Registers) -> bool:
    return not (waits.nonblocking(regs[0]) or (waits.plain and waits.readable(regs[0])))


def _receive(waits: Waits, regs: Registers, flags: int) -> bool:
    if flags & abi.MSG_DONTWAIT or waits.nonblocking(regs[0]):
        return False
    return bool(flags & ~_PLAIN_RECEIVE & _U32) or not waits.plain or not waits.readable(regs[0])


def _write(waits: Waits, regs: Registers) -> bool:
    if waits.nonblocking(regs[0]):
        return False
    return not waits.plain or not 0 <= regs[2] <= _SMALL or not waits.ready(regs[0], abi.POLLOUT)


def _sendto(waits: Waits, regs: Registers) -> bool:
    flags = regs[3]
    if flags & abi.MSG_DONTWAIT or waits.nonblocking(regs[0]):
        return False
    if flags & ~_PLAIN_SEND & _U32 or not waits.plain or not 0 <= regs[2] <= _SMALL or not waits.ready(regs[0], abi.POLLOUT):
        return True
    return regs[4] != 0 and waits.option(regs[0], abi.SO_DOMAIN) not in (abi.AF_INET, abi.AF_INET6, -1)


def _vector(waits: Waits, regs: Registers, flags: int) -> bool:
    """Sends from several buffers: their total is not looked up, so only what does not block goes straight."""
    return not (flags & abi.MSG_DONTWAIT or waits.nonblocking(regs[0]))


def _connect(waits: Waits, regs: Registers) -> bool:
    if waits.nonblocking(regs[0]):
        return False
    return waits.option(regs[0], abi.SO_TYPE) not in (abi.SOCK_DGRAM, abi.SOCK_RAW, -1)


def _accept(waits: Waits, regs: Registers) -> bool:
    """A connection whose address cannot be stored is closed at once, and so may linger."""
    return not waits.plain or not (waits.nonblocking(regs[0]) or waits.ready(regs[0], abi.POLLIN))


def _poll(waits: Waits, regs: Registers) -> bool:
    """Asked for now, without waiting: if something is ready, the call itself will not wait either.  An error says
    nothing, since a bad address may be found only when the wait is over."""
    return regs[2] & _U32 != 0 and syscall(SYS_POLL, regs[0], regs[1], 0, 0, 0, 0) <= 0


def _epoll_wait(waits: Waits, regs: Registers) -> bool:
    return regs[3] & _U32 != 0 and not waits.ready(regs[0], abi.POLLIN)


def _select(waits: Waits, regs: Registers) -> bool:
    """Only a zero timeout is sure not to wait: select tells readiness by overwriting its arguments."""
    inside = ARENA_BASE <= regs[4] <= ARENA_BASE + MAX_TASKS * 2 * ARENA_SIZE
    return not (
        inside and (regs[4] - ARENA_BASE) % (2 * ARENA_SIZE) <= ARENA_SIZE - 16 and not any(ctypes.string_at(regs[4], 16))
    )


def _close(waits: Waits, regs: Registers) -> bool:
    return not waits.plain


Rule = Callable[[Waits, Registers], bool]
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "read": _read,
        "readv": _read,
        "write": _write,
        "writev": lambda waits, regs: _vector(waits, regs, 0),
        "close": _close,
        "dup2": _close,
        "dup3": _close,
        "poll": _poll,
        "select": _select,
        "connect": _connect,
        "accept": _accept,
        "accept4": _accept,
        "sendto": _sendto,
        "send": _sendto,
        "sendmsg": lambda waits, regs: _vector(waits, regs, regs[2]),
        "recvfrom": lambda waits, regs: _receive(waits, regs, regs[3]),
        "recv": lambda waits, regs: _receive(waits, regs, regs[3]),
        "recvmsg": lambda waits, regs: _receive(waits, regs, regs[2]),
        "epoll_wait": _epoll_wait,
        "fcntl": lambda waits, regs: regs[1] & _U32 == abi.F_SETLKW,
    }
)
"""Calls that are not here never wait."""
