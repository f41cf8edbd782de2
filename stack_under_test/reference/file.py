"""Open files and descriptor tables (`fs/file.c`, `fs/file_table.c`).

`File` is the open description: its flags, who shares it, and the operations a file type has (`struct file_operations`).
`FdTable` maps numbers to files for the tasks that share it.  A number can be taken before its file is there
(`get_unused_fd_flags` while accept sleeps): it then counts as open but names nothing.

A file whose last reference goes is not released at once but when the call that dropped it is about to return, as
`fput` leaves it to the task's work; only there may it sleep (SO_LINGER).
"""

from __future__ import annotations

import struct
from errno import EBADF, EINVAL, EMFILE, ENOTSOCK, ENOTTY, ESPIPE
from typing import TYPE_CHECKING

from ..contract import abi
from .errors import Fail
from .sock import Message, Socket
from .uaccess import IovIter, UserMemory
from .wait import MayBlock, WaitQueue

if TYPE_CHECKING:
    from .epoll import Item

RLIMIT_NOFILE = 1024
MAX_FDS = 4096
"""Size of the descriptor bitmaps: what select clamps its first argument to.  They have to reach the highest descriptor
in the table, and the worker keeps its own beyond RLIMIT_NOFILE."""
DEFAULT_POLLMASK = abi.POLLIN | abi.POLLOUT | abi.POLLRDNORM | abi.POLLWRNORM
S_IFCHR, S_IFSOCK = 0o020000, 0o140000


class File:
    """`struct file`; the defaults are those of a file type without the operation."""

    pollable = True
    readable = False
    """FMODE_CAN_READ, and FMODE_CAN_WRITE with it."""
    can_async = False
    """It has a `fasync`, so O_ASYNC can be set."""
    mode = 0o600
    device = 0

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.count = 1
        self.signum = 0
        self.watches: list[Item] = []
        """The epoll items that watch this file (`f_ep`)."""

    def queue(self) -> WaitQueue | None:
        """Where to wait for a change of `poll`'s answer; None for what is always ready."""
        return None

    def poll(self) -> int:
        return DEFAULT_POLLMASK

    def read_iter(self, into: IovIter) -> MayBlock[int]:
        raise Fail(EINVAL, "vfs_read: no read_iter")

    def write_iter(self, source: IovIter) -> MayBlock[int]:
        raise Fail(EINVAL, "vfs_write: no write_iter")

    def llseek(self) -> int:
        return 0

    def ioctl(self, command: int, argument: int, memory: UserMemory) -> int:
        raise Fail(ENOTTY, "vfs_ioctl")

    def stat(self) -> bytes:
        """`struct stat` (x86-64); device, inode and times are plausible, not comparable."""
        head = struct.pack("<QQQIIIIQqqq", 1, 1, 1, self.mode, 0, 0, 0, self.device, 0, 4096, 0)
        return head.ljust(144, b"\0")

    def release(self) -> MayBlock[None]:
        return None


class NullFile(File):
    """/dev/null opened O_RDWR (`null_fops`): what descriptors 0 to 2 are. It has no poll, so epoll refuses it."""

    pollable = False
    mode = S_IFCHR | 0o666
    device = 0x103
    readable = True

    def __init__(self) -> None:
        super().__init__(abi.O_RDWR | abi.O_LARGEFILE)

    def read_iter(self, into: IovIter) -> int:
        return 0

    def write_iter(self, source: IovIter) -> int:
        return source.count


class SocketFile(File):
    """`socket_file_ops`."""

    mode = S_IFSOCK | 0o777
    readable = True
    can_async = True

    def __init__(self, sock: Socket, flags: int) -> None:
        super().__init__(abi.O_RDWR | flags)
        self.sock = sock
        sock.file = self

    def queue(self) -> WaitQueue:
        return self.sock.wait

    def poll(self) -> int:
        return self.sock.ops.poll(self.sock)

    def read_iter(self, into: IovIter) -> MayBlock[int]:
        """`sock_read_iter`: asking for nothing gets nothing, whatever the socket's state."""
        if not into.count:
            return 0
        flags = abi.MSG_DONTWAIT if self.flags & abi.O_NONBLOCK else 0
        return self.sock.ops.recvmsg(self.sock, Message(into, flags), into.count)

    def write_iter(self, source: IovIter) -> MayBlock[int]:
        """`sock_write_iter`: a write of nothing does reach the protocol."""
        flags = abi.MSG_DONTWAIT if self.flags & abi.O_NONBLOCK else 0
        return self.sock.ops.sendmsg(self.sock, Message(source, flags))

    def llseek(self) -> int:
        raise Fail(ESPIPE, "vfs_llseek")

    def ioctl(self, command: int, argument: int, memory: UserMemory) -> int:
        return self.sock.ops.ioctl(self.sock, command, argument, memory)

    def release(self) -> MayBlock[None]:
        """`sock_close`; a socket that accept could not fill has no protocol part."""
        if self.sock.sk is None:
            return None
        return self.sock.ops.release(self.sock)


class FdTable:
    """`struct files_struct`: `files` by number (None: taken, no file yet), `cloexec` the numbers with FD_CLOEXEC."""

    __slots__ = ("_next", "cloexec", "files")

    def __init__(self) -> None:
        self.files: dict[int, File | None] = {}
        self.cloexec: set[int] = set()
        self._next = 0

    def get(self, fd: int) -> File:
        """`fdget`; `fd` is the register, of which the kernel takes 32 bits. Raises Fail(EBADF)."""
        file = self.files.get(fd & 0xFFFF_FFFF)
        if file is None:
            raise Fail(EBADF, "fdget")
        return file

    def socket(self, fd: int) -> Socket:
        """`sockfd_lookup_light`. Raises Fail(EBADF), Fail(ENOTSOCK)."""
        file = self.files.get(fd & 0xFFFF_FFFF)
        if file is None:
            raise Fail(EBADF, "fdget")
        if not isinstance(file, SocketFile):
            raise Fail(ENOTSOCK, "sock_from_file")
        return file.sock

    def reserve(self, flags: int = 0, start: int = 0) -> int:
        """`alloc_fd`: take the lowest free number at or above `start`. Raises Fail(EMFILE)."""
        fd = max(start, self._next)
        while fd in self.files:
            fd += 1
        if fd >= RLIMIT_NOFILE:
            raise Fail(EMFILE, "alloc_fd")
        if start <= self._next:
            self._next = fd + 1
        self.files[fd] = None
        self._set_cloexec(fd, flags)
        return fd

    def unreserve(self, fd: int) -> None:
        """`put_unused_fd`."""
        del self.files[fd]
        self._next = min(self._next, fd)

    def install(self, fd: int, file: File) -> None:
        """`fd_install`: the reserved number takes over the caller's reference."""
        self.files[fd] = file

    def remove(self, fd: int) -> File:
        """`file_close_fd`: free the number; the caller drops the reference. Raises Fail(EBADF)."""
        file = self.get(fd)
        self.unreserve(fd & 0xFFFF_FFFF)
        return file

    def replace(self, fd: int, file: File, flags: int) -> File | None:
        """`do_dup2`: `fd` names `file` from now on; returns what it named before."""
        old = self.files.get(fd)
        self.files[fd] = file
        file.count += 1
        self._set_cloexec(fd, flags)
        return old

    def copy(self) -> FdTable:
        """`dup_fd`: the same open descriptions under the same numbers; numbers still without a file are free."""
        new = FdTable()
        for fd, file in self.files.items():
            if file is not None:
                file.count += 1
                new.files[fd] = file
        new.cloexec = self.cloexec & new.files.keys()
        return new

    def _set_cloexec(self, fd: int, flags: int) -> None:
        if flags & abi.O_CLOEXEC:
            self.cloexec.add(fd)
        else:
            self.cloexec.discard(fd)
