"""close, dup, dup2, dup3 (`fs/open.c`, `fs/file.c`)."""

from __future__ import annotations

from errno import EBADF, EBUSY, EINVAL

from ...contract import abi
from ..errors import Fail
from ..file import RLIMIT_NOFILE
from ..task import Task
from .registers import c_int, c_uint


def sys_close(task: Task, fd: int) -> int:
    """`sys_close`; the file's release, which may sleep, is the task's work at the end of the call."""
    task.put(task.files.remove(fd))
    return 0


def sys_dup(task: Task, fd: int) -> int:
    """`sys_dup`."""
    file = task.files.get(fd)
    new = task.files.reserve()
    file.count += 1
    task.files.install(new, file)
    return new


def sys_dup2(task: Task, old: int, new: int) -> int:
    """`sys_dup2`: onto itself it only asks whether the descriptor is open."""
    if c_uint(old) == c_uint(new):
        task.files.get(old)
        return c_uint(old)
    return sys_dup3(task, old, new, 0)


def sys_dup3(task: Task, old: int, new: int, flags: int) -> int:
    """`ksys_dup3`: a number that a sleeping accept has taken is EBUSY."""
    new, flags = c_uint(new), c_int(flags)
    if flags & ~abi.O_CLOEXEC:
        raise Fail(EINVAL, "ksys_dup3: flags")
    if c_uint(old) == new:
        raise Fail(EINVAL, "ksys_dup3: same descriptor")
    if new >= RLIMIT_NOFILE:
        raise Fail(EBADF, "ksys_dup3: RLIMIT_NOFILE")
    files = task.files
    file = files.get(old)
    if new in files.files and files.files[new] is None:
        raise Fail(EBUSY, "do_dup2: reserved descriptor")
    replaced = files.replace(new, file, flags)
    if replaced is not None:
        task.put(replaced)
    return new
