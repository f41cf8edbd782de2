"""fcntl (`fs/fcntl.c`).

File owners are process numbers, which the stack does not have: only "nobody" can be set.  Locks, leases and pipe sizes
are answered where the answer does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from errno import EBADF, EINVAL, ENOTDIR, ESRCH
from types import MappingProxyType

from ...contract import abi
from ..errors import Fail, NotModelled
from ..file import RLIMIT_NOFILE, File
from ..task import Task
from .registers import c_int, c_uint, c_ulong

SETFL_MASK = abi.O_APPEND | abi.O_NONBLOCK | abi.O_DIRECT | abi.O_NOATIME
F_SETOWN_EX, F_GETOWN_EX, F_GETOWNER_UIDS = 15, 16, 17
F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
F_SETLEASE, F_GETLEASE, F_NOTIFY, F_DUPFD_QUERY, F_CREATED_QUERY = 1024, 1025, 1026, 1027, 1028
F_SETPIPE_SZ = 1031
F_GET_RW_HINT, F_SET_RW_HINT, F_GET_FILE_RW_HINT = 1035, 1036, 1037
F_UNLCK = 2
PID_MAX = 1 << 22
NSIG = 64


def sys_fcntl(task: Task, fd: int, command: int, argument: int) -> int:
    """`sys_fcntl`."""
    file = task.files.get(fd)
    command = c_uint(command)
    handler = _COMMANDS.get(command)
    if handler is None:
        raise Fail(EINVAL, "do_fcntl: unknown command")
    return handler(task, c_uint(fd), file, c_ulong(argument))


def _dupfd(task: Task, file: File, start: int, flags: int) -> int:
    """`f_dupfd`."""
    start = c_uint(start)
    if start >= RLIMIT_NOFILE:
        raise Fail(EINVAL, "f_dupfd: RLIMIT_NOFILE")
    new = task.files.reserve(flags, start)
    file.count += 1
    task.files.install(new, file)
    return new


def _set_cloexec(task: Task, fd: int, file: File, argument: int) -> int:
    if argument & abi.FD_CLOEXEC:
        task.files.cloexec.add(fd)
    else:
        task.files.cloexec.discard(fd)
    return 0


def _set_flags(task: Task, fd: int, file: File, argument: int) -> int:
    """`setfl`: nothing here can do O_DIRECT; O_ASYNC only sockets."""
    argument = c_uint(argument)
    if argument & abi.O_DIRECT:
        raise Fail(EINVAL, "setfl: O_DIRECT")
    if file.can_async:
        file.flags = file.flags & ~abi.O_ASYNC | argument & abi.O_ASYNC
    file.flags = file.flags & ~SETFL_MASK | argument & SETFL_MASK
    return 0


def set_owner(who: int) -> None:
    """`f_setown` to a process (or, negative, a group). Raises Fail(EINVAL), Fail(ESRCH)."""
    if who == -(1 << 31):
        raise Fail(EINVAL, "f_setown: INT_MIN")
    if abs(who) >= PID_MAX:
        raise Fail(ESRCH, "f_setown: find_vpid")
    if who:
        raise NotModelled("process numbers (F_SETOWN)")


def _set_owner(task: Task, fd: int, file: File, argument: int) -> int:
    set_owner(c_int(argument))
    return 0


def _set_signal(task: Task, fd: int, file: File, argument: int) -> int:
    """`f_owner_sig`."""
    number = c_int(argument)
    if not 0 <= number <= NSIG:
        raise Fail(EINVAL, "f_owner_sig: valid_signal")
    file.signum = number
    return 0


def _lock(task: Task, fd: int, file: File, argument: int) -> int:
    task.memory.read(argument, 32)
    raise NotModelled("record locks")


def _owner_ex(task: Task, fd: int, file: File, argument: int) -> int:
    task.memory.read(argument, 8)
    raise NotModelled("process numbers (F_SETOWN_EX, F_GETOWN_EX)")


def _owner_uids(task: Task, fd: int, file: File, argument: int) -> int:
    task.memory.write_int(argument, 0)
    task.memory.write_int(argument + 4, 0)
    return 0


def _rw_hint(task: Task, fd: int, file: File, argument: int) -> int:
    task.memory.read(argument, 8)
    raise NotModelled("write life-time hints")


def _notify(task: Task, fd: int, file: File, argument: int) -> int:
    """`fcntl_dirnotify`: removing all notifications succeeds on anything."""
    if argument & 0x7FFF_FFFF:
        raise Fail(ENOTDIR, "fcntl_dirnotify")
    return 0


def _dupfd_query(task: Task, fd: int, file: File, argument: int) -> int:
    return int(task.files.get(argument) is file)


def _not_a_pipe(task: Task, fd: int, file: File, argument: int) -> int:
    raise Fail(EBADF, "pipe_fcntl")


def _lease(task: Task, fd: int, file: File, argument: int) -> int:
    raise Fail(EINVAL, "fcntl_setlease")


Command = Callable[[Task, int, File, int], int]

_COMMANDS: Mapping[int, Command] = MappingProxyType(
    {
        abi.F_DUPFD: lambda task, fd, file, argument: _dupfd(task, file, argument, 0),
        abi.F_DUPFD_CLOEXEC: lambda task, fd, file, argument: _dupfd(task, file, argument, abi.O_CLOEXEC),
        abi.F_GETFD: lambda task, fd, file, argument: int(fd in task.files.cloexec),
        abi.F_SETFD: _set_cloexec,
        abi.F_GETFL: lambda task, fd, file, argument: file.flags,
        abi.F_SETFL: _set_flags,
        abi.F_SETOWN: _set_owner,
        abi.F_GETOWN: lambda task, fd, file, argument: 0,
        abi.F_SETSIG: _set_signal,
        abi.F_GETSIG: lambda task, fd, file, argument: file.signum,
        F_SETOWN_EX: _owner_ex,
        F_GETOWN_EX: _owner_ex,
        F_GETOWNER_UIDS: _owner_uids,
        **dict.fromkeys((abi.F_GETLK, abi.F_SETLK, abi.F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW), _lock),
        F_SETLEASE: _lease,
        F_GETLEASE: lambda task, fd, file, argument: F_UNLCK,
        F_NOTIFY: _notify,
        F_DUPFD_QUERY: _dupfd_query,
        F_CREATED_QUERY: lambda task, fd, file, argument: 0,
        F_SETPIPE_SZ: _not_a_pipe,
        abi.F_GETPIPE_SZ: _not_a_pipe,
        F_GET_RW_HINT: _rw_hint,
        F_SET_RW_HINT: _rw_hint,
    }
)
