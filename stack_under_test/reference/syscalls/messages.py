"""sendto, recvfrom, sendmsg, recvmsg (`net/socket.c`, ancillary data out of `net/core/scm.c`)."""

from __future__ import annotations

import struct
from errno import EFAULT, EINVAL, EMSGSIZE, ENOBUFS
from typing import NamedTuple

from ...contract import abi
from ..errors import Fail, NotModelled
from ..file import SocketFile
from ..sock import Message, Socket
from ..task import Task
from ..uaccess import UIO_MAXIOV, IovIter, UserMemory, import_iovec, import_ubuf
from ..wait import Blocking, MayBlock
from .addresses import SOCKADDR_STORAGE, holding, move_addr_to_kernel, move_addr_to_user
from .registers import c_int, c_uint, c_ulong
from .sol_socket_set import RCVTSTAMP

MSG_SENDPAGE_NOPOLICY, MSG_SPLICE_PAGES, MSG_SENDPAGE_DECRYPTED = 0x10000, 0x8000000, 0x100000
MSG_INTERNAL_SENDMSG_FLAGS = MSG_SENDPAGE_NOPOLICY | MSG_SPLICE_PAGES | MSG_SENDPAGE_DECRYPTED
MSG_CMSG_COMPAT = 0x8000_0000
CMSG_HEADER = 16
CMSG_ON_STACK = 36
"""Ancillary data up to this size is not charged to the socket."""
_REPORTED_OPTIONS = (abi.SO_RXQ_OVFL, abi.SO_RCVMARK, abi.SO_RCVPRIORITY)
MSG_NAMELEN, MSG_CONTROLLEN, MSG_FLAGS = 8, 40, 48
"""Offsets in `struct user_msghdr`."""


def _nonblocking(sock: Socket) -> int:
    assert sock.file is not None
    return abi.MSG_DONTWAIT if sock.file.flags & abi.O_NONBLOCK else 0


def _check_zerocopy(sock: Socket, flags: int) -> None:
    if flags & abi.MSG_ZEROCOPY and sock.sk.options.get(abi.SO_ZEROCOPY):
        raise NotModelled("MSG_ZEROCOPY")


def _check_ancillary(sock: Socket) -> None:
    """`sock_recv_cmsgs`: times, marks and counters of drops that would now be reported with the data."""
    sk = sock.sk
    if sk.timestamp_flags & RCVTSTAMP or sk.options.get(abi.SO_TIMESTAMPING):
        raise NotModelled("receive timestamps")
    if sk.type != abi.SOCK_STREAM and any(sk.options.get(name) for name in _REPORTED_OPTIONS):
        raise NotModelled("SO_RXQ_OVFL, SO_RCVMARK, SO_RCVPRIORITY")


def _held(task: Task, sock: Socket, call: Blocking[int]) -> Blocking[int]:
    assert isinstance(sock.file, SocketFile)
    return holding(task, sock.file, call)


def sys_sendto(task: Task, fd: int, buffer: int, size: int, flags: int, address: int, length: int) -> MayBlock[int]:
    """`__sys_sendto`: looks at the buffer's place before the descriptor; a NULL address hides any length."""
    source = import_ubuf(task.memory, c_ulong(buffer), c_ulong(size))
    sock = task.files.socket(fd)
    name = None
    address = c_ulong(address)
    if address:
        name = move_addr_to_kernel(task.memory, address, c_int(length))
    flags = c_uint(flags) & ~MSG_INTERNAL_SENDMSG_FLAGS | _nonblocking(sock)
    _check_zerocopy(sock, flags)
    message = Message(source, flags, name)
    result = sock.ops.sendmsg(sock, message)
    return result if isinstance(result, int) else _held(task, sock, result)


def sys_recvfrom(task: Task, fd: int, buffer: int, size: int, flags: int, address: int, length: int) -> MayBlock[int]:
    """`__sys_recvfrom`: a name that cannot be stored fails the call after the data is taken."""
    into = import_ubuf(task.memory, c_ulong(buffer), c_ulong(size))
    sock = task.files.socket(fd)
    address = c_ulong(address)
    message = Message(into, c_uint(flags) | _nonblocking(sock), wants_name=address != 0)
    result = sock.ops.recvmsg(sock, message, into.count)
    if not isinstance(result, int):
        return _held(task, sock, _recvfrom_later(task, message, result, address, length))
    if address:
        move_addr_to_user(task.net.release, task.memory, message.name or b"", address, c_ulong(length))
    return result


def _recvfrom_later(task: Task, message: Message, call: Blocking[int], address: int, length: int) -> Blocking[int]:
    result = yield from call
    if address:
        move_addr_to_user(task.net.release, task.memory, message.name or b"", address, c_ulong(length))
    return result


class UserMsghdr(NamedTuple):
    """`struct user_msghdr`, as the caller has it."""

    name: int
    namelen: int
    iov: int
    iovlen: int
    control: int
    controllen: int
    flags: int


def _read_msghdr(memory: UserMemory, address: int) -> UserMsghdr:
    """The first half of `copy_msghdr_from_user`. Raises Fail(EFAULT), Fail(EINVAL) for a negative namelen."""
    header = UserMsghdr(*struct.unpack("<QI4xQQQQI4x", memory.read(address, 56)))
    namelen = c_int(header.namelen) if header.name else 0
    if namelen < 0:
        raise Fail(EINVAL, "copy_msghdr_from_user: negative namelen")
    return header._replace(namelen=min(namelen, SOCKADDR_STORAGE))


def _import_vector(memory: UserMemory, header: UserMsghdr) -> IovIter:
    """The second half. Raises Fail(EMSGSIZE) where readv says EINVAL, and what `import_iovec` does."""
    if header.iovlen > UIO_MAXIOV:
        raise Fail(EMSGSIZE, "copy_msghdr_from_user: iovlen")
    return import_iovec(memory, header.iov, header.iovlen)


def sys_sendmsg(task: Task, fd: int, header_address: int, flags: int) -> MayBlock[int]:
    """`__sys_sendmsg`: name, vector, then control; a namelen of 0 means no name."""
    flags = c_uint(flags)
    if flags & MSG_CMSG_COMPAT and task.net.release.compat:
        raise Fail(EINVAL, "__sys_sendmsg: MSG_CMSG_COMPAT")
    sock = task.files.socket(fd)
    memory = task.memory
    header = _read_msghdr(memory, c_ulong(header_address))
    name = memory.read(header.name, header.namelen) if header.namelen else None
    source = _import_vector(memory, header)
    if header.controllen > 0x7FFF_FFFF:
        raise Fail(ENOBUFS, "____sys_sendmsg: controllen > INT_MAX")
    if header.controllen > CMSG_ON_STACK and header.controllen >= task.net.sysctl.optmem_max:
        raise Fail(ENOBUFS, "____sys_sendmsg: sock_kmalloc")
    control = memory.read(header.control, header.controllen)
    _check_zerocopy(sock, flags)
    message = Message(source, flags & ~MSG_INTERNAL_SENDMSG_FLAGS | _nonblocking(sock), name, control)
    result = sock.ops.sendmsg(sock, message)
    return result if isinstance(result, int) else _held(task, sock, result)


def sys_recvmsg(task: Task, fd: int, header_address: int, flags: int) -> MayBlock[int]:
    """`__sys_recvmsg`."""
    flags = c_uint(flags)
    if flags & MSG_CMSG_COMPAT and task.net.release.compat:
        raise Fail(EINVAL, "__sys_recvmsg: MSG_CMSG_COMPAT")
    sock = task.files.socket(fd)
    header_address = c_ulong(header_address)
    header = _read_msghdr(task.memory, header_address)
    into = _import_vector(task.memory, header)
    message = Message(into, flags | _nonblocking(sock), wants_name=True)
    message.flags_out = flags & abi.MSG_CMSG_CLOEXEC
    result = sock.ops.recvmsg(sock, message, into.count)
    if not isinstance(result, int):
        return _held(task, sock, _recvmsg_later(task, sock, header_address, header, message, result))
    _check_ancillary(sock)
    _finish_recvmsg(task, header_address, header, message)
    return result


def _recvmsg_later(
    task: Task, sock: Socket, address: int, header: UserMsghdr, message: Message, call: Blocking[int]
) -> Blocking[int]:
    result = yield from call
    _check_ancillary(sock)
    _finish_recvmsg(task, address, header, message)
    return result


def _finish_recvmsg(task: Task, address: int, header: UserMsghdr, message: Message) -> None:
    """`____sys_recvmsg` after the protocol: name, flags, controllen, in this order."""
    memory = task.memory
    used = _put_control(memory, header, message)
    if header.name:
        move_addr_to_user(task.net.release, memory, message.name or b"", header.name, address + MSG_NAMELEN)
    memory.write_int(address + MSG_FLAGS, message.flags_out & ~MSG_CMSG_COMPAT)
    memory.write(address + MSG_CONTROLLEN, struct.pack("<Q", used))


def _put_control(memory: UserMemory, header: UserMsghdr, message: Message) -> int:
    """`put_cmsg` for each message; what does not fit is cut and marked. Returns the octets used."""
    at = header.control
    room = header.controllen
    for level, kind, data in message.control_out:
        if not header.control or room < CMSG_HEADER:
            message.flags_out |= abi.MSG_CTRUNC
            continue
        length = CMSG_HEADER + len(data)
        if room < length:
            message.flags_out |= abi.MSG_CTRUNC
            length = room
        try:
            memory.write(at, struct.pack("<QII", length, level & 0xFFFF_FFFF, kind & 0xFFFF_FFFF))
            memory.write(at + CMSG_HEADER, data[: length - CMSG_HEADER])
        except Fail as fail:
            if fail.errno != EFAULT:
                raise
            continue
        space = min(CMSG_HEADER + (len(data) + 7 & ~7), room)
        at += space
        room -= space
    return at - header.control
