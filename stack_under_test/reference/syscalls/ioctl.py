"""ioctl: what any file understands, then the socket's own (`fs/ioctl.c`, `sock_ioctl` in `net/socket.c`)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from errno import EINVAL, ENOENT, ENOTTY
from types import MappingProxyType

from ...contract import abi
from ..epoll import EpollFile
from ..errors import Fail, NotModelled
from ..file import File, SocketFile
from ..task import Task
from ..uaccess import UserMemory
from .device_ioctl import IFREQ_SIZE, device_ioctl, interface_list
from .fcntl import set_owner
from .registers import c_int, c_uint, c_ulong

FIOQSIZE, FIGETBSZ = 0x5460, 2
SIOCGIFCONF = abi.SIOCGIFCONF
SIOCGSTAMP_NEW, SIOCGSTAMPNS_NEW, SIOCGSTAMPNS_OLD = 0x80108906, 0x80108907, 0x8907
EPIOCSPARAMS, EPIOCGPARAMS = 0x40088A01, 0x80088A02
SIOCDEVPRIVATE = range(0x89F0, 0x8A00)
BRIDGES_VLANS_NAMESPACES = frozenset((0x8940, 0x8941, 0x89A0, 0x89A1, 0x89A2, 0x89A3, 0x8982, 0x8983, 0x894C))
FILESYSTEM_COMMANDS = frozenset(
    (
        *(FIGETBSZ, 0xC0045877, 0xC0045878, 0xC020660B, 0x40049409, 0x4020940D, 0xC0189436),
        *(0x80086601, 0x40086602, 0x801C581F, 0x401C5820, 0x80111500, 0x80811501),
    )
)
"""Freeze, clone, extents, attributes: of files in file systems."""
SOCK_IOC_TYPE = 0x89


def sys_ioctl(task: Task, fd: int, command: int, argument: int) -> int:
    """`sys_ioctl`, `do_vfs_ioctl`."""
    file = task.files.get(fd)
    command, argument = c_uint(command), c_ulong(argument)
    generic = _GENERIC.get(command)
    if generic is not None:
        generic(task, c_uint(fd), file, argument)
        return 0
    if command in FILESYSTEM_COMMANDS:
        raise NotModelled(f"ioctl {command:#x}")
    if isinstance(file, SocketFile):
        return _socket_ioctl(file, command, argument, task.memory)
    if isinstance(file, EpollFile):
        if command in (EPIOCSPARAMS, EPIOCGPARAMS):
            raise NotModelled("busy polling of an epoll")
        raise Fail(EINVAL, "ep_eventpoll_ioctl")
    raise Fail(ENOTTY, "vfs_ioctl")


def _close_on_exec(task: Task, fd: int, file: File, argument: int) -> None:
    task.files.cloexec.add(fd)


def _no_close_on_exec(task: Task, fd: int, file: File, argument: int) -> None:
    task.files.cloexec.discard(fd)


def _nonblocking(task: Task, fd: int, file: File, argument: int) -> None:
    """`ioctl_fionbio`."""
    on = task.memory.read_int(argument)
    file.flags = file.flags | abi.O_NONBLOCK if on else file.flags & ~abi.O_NONBLOCK


def _asynchronous(task: Task, fd: int, file: File, argument: int) -> None:
    """`ioctl_fioasync`: only a change needs the file to be able to."""
    wanted = abi.O_ASYNC if task.memory.read_int(argument) else 0
    if (wanted ^ file.flags) & abi.O_ASYNC:
        if not file.can_async:
            raise Fail(ENOTTY, "ioctl_fioasync: no fasync")
        file.flags ^= abi.O_ASYNC


def _size(task: Task, fd: int, file: File, argument: int) -> None:
    raise Fail(ENOTTY, "do_vfs_ioctl: FIOQSIZE")


_GENERIC: Mapping[int, Callable[[Task, int, File, int], None]] = MappingProxyType(
    {
        abi.FIOCLEX: _close_on_exec,
        abi.FIONCLEX: _no_close_on_exec,
        abi.FIONBIO: _nonblocking,
        abi.FIOASYNC: _asynchronous,
        FIOQSIZE: _size,
    }
)


def _socket_ioctl(file: SocketFile, command: int, argument: int, memory: UserMemory) -> int:
    """`sock_ioctl`."""
    if command in (abi.FIOSETOWN, abi.SIOCSPGRP):
        set_owner(memory.read_int(argument))
        return 0
    if command in (abi.FIOGETOWN, abi.SIOCGPGRP):
        memory.write_int(argument, 0)
        return 0
    if command in (abi.SIOCGSTAMP, SIOCGSTAMPNS_OLD, SIOCGSTAMP_NEW, SIOCGSTAMPNS_NEW):
        return _timestamp(file)
    if command == SIOCGIFCONF:
        return _interfaces(argument, memory)
    if command in BRIDGES_VLANS_NAMESPACES:
        raise NotModelled(f"ioctl {command:#x}")
    if command not in SIOCDEVPRIVATE:
        try:
            return file.ioctl(command, argument, memory)
        except Fail as fail:
            if fail.errno != ENOTTY:
                raise
        if c_int(command) >> 8 & 0xFF != SOCK_IOC_TYPE:
            raise Fail(ENOTTY, "sock_do_ioctl")
    device_ioctl(command, argument, memory, file.sock.sk.net.neighbours is not None)
    return 0


def _timestamp(file: SocketFile) -> int:
    """`sock_gettstamp`: there is none before the first datagram was read, and never on TCP."""
    sk = file.sock.sk
    if sk.type == abi.SOCK_STREAM or not sk.num:
        raise Fail(ENOENT, "sock_gettstamp")
    raise NotModelled("SIOCGSTAMP: the time a datagram came")


def _interfaces(argument: int, memory: UserMemory) -> int:
    """`dev_ifconf`: as many whole entries as fit; without a buffer, the room that all of them need."""
    length, buffer = struct.unpack("<i4xQ", memory.read(argument, 16))
    entries = interface_list()
    if buffer:
        entries = entries[: max(0, length) // IFREQ_SIZE]
        for index, entry in enumerate(entries):
            memory.write(buffer + index * IFREQ_SIZE, entry)
    memory.write_int(argument, len(entries) * IFREQ_SIZE)
    return 0
