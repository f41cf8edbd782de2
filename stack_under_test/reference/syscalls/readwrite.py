"""read, write, readv, writev, lseek, fstat (`fs/read_write.c`, `fs/stat.c`)."""

from __future__ import annotations

from errno import EFAULT, EINVAL

from ..errors import Fail
from ..file import File
from ..task import Task
from ..uaccess import MAX_RW_COUNT, IovIter, access_ok, import_iovec
from ..wait import MayBlock
from .addresses import holding
from .registers import c_uint, c_ulong

SEEK_MAX = 4


def sys_read(task: Task, fd: int, buffer: int, size: int) -> MayBlock[int]:
    """`vfs_read`."""
    file = task.files.get(fd)
    into = _buffer(task, file, buffer, size)
    return _held(task, file, file.read_iter(into))


def sys_write(task: Task, fd: int, buffer: int, size: int) -> MayBlock[int]:
    """`vfs_write`."""
    file = task.files.get(fd)
    source = _buffer(task, file, buffer, size)
    return _held(task, file, file.write_iter(source))


def sys_readv(task: Task, fd: int, vector: int, count: int) -> MayBlock[int]:
    """`vfs_readv`: a vector of no octets at all never reaches the file."""
    file = task.files.get(fd)
    into = _vector(task, file, vector, count)
    return _held(task, file, file.read_iter(into)) if into.count else 0


def sys_writev(task: Task, fd: int, vector: int, count: int) -> MayBlock[int]:
    """`vfs_writev`: as readv, and so unlike write."""
    file = task.files.get(fd)
    source = _vector(task, file, vector, count)
    return _held(task, file, file.write_iter(source)) if source.count else 0


def _buffer(task: Task, file: File, buffer: int, size: int) -> IovIter:
    """The checks of `vfs_read` and `vfs_write`; the buffer's place is checked for its whole claimed length."""
    if not file.readable:
        raise Fail(EINVAL, "vfs_read: FMODE_CAN_READ")
    buffer, size = c_ulong(buffer), c_ulong(size)
    if not access_ok(buffer, size):
        raise Fail(EFAULT, "vfs_read: access_ok")
    size = min(size, MAX_RW_COUNT)
    return IovIter(task.memory, [(buffer, size)] if size else [])


def _vector(task: Task, file: File, vector: int, count: int) -> IovIter:
    if not file.readable:
        raise Fail(EINVAL, "vfs_readv: FMODE_CAN_READ")
    return import_iovec(task.memory, c_ulong(vector), c_ulong(count) & 0xFFFF_FFFF)


def _held(task: Task, file: File, result: MayBlock[int]) -> MayBlock[int]:
    return result if isinstance(result, int) else holding(task, file, result)


def sys_lseek(task: Task, fd: int, offset: int, whence: int) -> int:
    """`ksys_lseek`."""
    file = task.files.get(fd)
    if c_uint(whence) > SEEK_MAX:
        raise Fail(EINVAL, "ksys_lseek: whence")
    return file.llseek()


def sys_fstat(task: Task, fd: int, buffer: int) -> int:
    """`sys_newfstat`."""
    task.memory.write(c_ulong(buffer), task.files.get(fd).stat())
    return 0
