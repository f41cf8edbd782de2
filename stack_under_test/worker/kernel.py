"""Raw system calls through libc's `syscall`, and the few facilities of the kernel that Python does not offer.

Arguments are passed as registers: any integer, modulo 2**64, is accepted.  A call returns what the kernel did, -1 with
`get_errno()` for an error; nothing is checked, retried or raised on the way.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterator
from typing import Any

SYS_POLL, SYS_IOCTL, SYS_GETSOCKNAME, SYS_SETSOCKOPT, SYS_GETSOCKOPT, SYS_FCNTL = 7, 16, 51, 54, 55, 72
SYS_FUTEX, SYS_RESTART, SYS_CLOSE_RANGE, SYS_PIDFD_OPEN, SYS_PPOLL, SYS_CAPSET = 202, 219, 436, 434, 271, 126
_SYS_CLONE = 56

CLONE_FILES, CLONE_NEWNS = 0x400, 0x20000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x1000_0000, 0x2000_0000, 0x4000_0000

_FUTEX_WAIT, _FUTEX_WAKE = 0, 1
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
_PROT_NONE, _PROT_RW = 0, 3
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_FIXED_NOREPLACE = 0x1, 0x20, 0x10_0000
_MADV_REMOVE = 9
_SA_RESTART = 0x1000_0000

LOWEST_OWN_FD = 3000
"""The worker's descriptors begin here, beyond RLIMIT_NOFILE's soft limit, so that no program gets or hits one by
chance."""
HIGHEST_OWN_FD = 3999
PROGRAM_FDS = 1024
"""The soft RLIMIT_NOFILE; also FD_SETSIZE."""

_libc = ctypes.CDLL(None, use_errno=True)
_holding_gil = ctypes.PyDLL(None, use_errno=True)


def syscall_of(arity: int) -> Any:
    """libc's `syscall` for a number and that many registers; each further one would cost 90 ns."""
    function = _libc["syscall"]
    function.argtypes = [ctypes.c_long] * (1 + arity)
    function.restype = ctypes.c_long
    return function


syscall = syscall_of(6)
read_into: Any = _libc.read
read_into.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
read_into.restype = ctypes.c_ssize_t
get_errno = ctypes.get_errno


class _SigAction(ctypes.Structure):
    """`struct sigaction` as libc takes it (x86-64: glibc and musl agree)."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def failure(what: str) -> OSError:
    number = get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def clone(flags: int) -> int:
    """fork(2) with clone flags; 0 in the child.  The caller must be single-threaded: Python's fork hooks do not run."""
    child: int = _holding_gil.syscall(_SYS_CLONE, ctypes.c_ulong(flags | signal.SIGCHLD), None, None, None, None)
    if child < 0:
        raise failure("clone")
    return child


def unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        raise failure("unshare")


def setns(fd: int, kind: int) -> None:
    if _libc.setns(fd, kind) != 0:
        raise failure("setns")


def mount(source: str, target: str, kind: str, flags: int) -> None:
    if _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None) != 0:
        raise failure(f"mount {target}")


def reserve(address: int, size: int) -> None:
    """Map `size` shared octets at exactly `address`, inaccessible until `open_memory`."""
    _libc.mmap.restype = ctypes.c_void_p
    flags = _MAP_SHARED | _MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
    got = _libc.mmap(ctypes.c_void_p(address), ctypes.c_size_t(size), _PROT_NONE, flags, -1, ctypes.c_long(0))
    if got != address:
        raise failure(f"mmap at {address:#x}")


def open_memory(address: int, size: int) -> None:
    if _libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), _PROT_RW) != 0:
        raise failure("mprotect")


def close_range(first: int, last: int) -> None:
    """close_range(2), or one by one where the kernel has no such call."""
    if syscall(SYS_CLOSE_RANGE, first, last, 0, 0, 0, 0) != 0:
        os.closerange(first, min(last, HIGHEST_OWN_FD) + 1)


def futex_wait(address: int, value: int) -> None:
    """Sleep while the word at `address` is `value`; may return early."""
    syscall(SYS_FUTEX, address, _FUTEX_WAIT, value, 0, 0, 0)


def futex_wake(address: int) -> None:
    syscall(SYS_FUTEX, address, _FUTEX_WAKE, 1, 0, 0, 0)


def die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def exact_timers() -> None:
    """A timer slack of 1 ns, so that `Advance` oversleeps as little as the kernel can."""
    _libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


@contextlib.contextmanager
def wide_table() -> Iterator[None]:
    """While the worker opens descriptors of its own: numbers beyond the programs' range may be had, and a program that
    has used up its own does not stop it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, HIGHEST_OWN_FD + 1), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (PROGRAM_FDS, hard))


def own_fd(fd: int) -> int:
    """Move a descriptor of the worker's out of the programs' range (inside `wide_table`)."""
    moved: int = syscall(SYS_FCNTL, fd, 1030, LOWEST_OWN_FD, 0, 0, 0)
    if moved < 0:
        raise failure("fcntl F_DUPFD_CLOEXEC")
    os.close(fd)
    return moved


def catch_signals() -> None:
    """SIGUSR1 interrupts calls, SIGUSR2 restarts them.  The handler is libc's `abs`: it takes an int and does
    nothing."""
    nothing = ctypes.cast(_libc.abs, ctypes.c_void_p).value
    for number, flags in ((signal.SIGUSR1, 0), (signal.SIGUSR2, _SA_RESTART)):
        action = _SigAction(nothing, (ctypes.c_ulong * 16)(), flags, None)
        if _libc.sigaction(int(number), ctypes.byref(action), None) != 0:
            raise failure("sigaction")


def keep_capabilities(wanted: int) -> None:
    """Give up every capability whose bit is not in `wanted`."""
    header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)
    low, high = wanted & 0xFFFF_FFFF, wanted >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if syscall(SYS_CAPSET, ctypes.addressof(header), ctypes.addressof(data), 0, 0, 0, 0) != 0:
        raise failure("capset")
