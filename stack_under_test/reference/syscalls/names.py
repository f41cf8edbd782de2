"""socket, socketpair, bind, listen, accept, accept4, connect, shutdown, getsockname, getpeername (`net/socket.c`)."""

from __future__ import annotations

from errno import EAFNOSUPPORT, ECONNABORTED, EINVAL
from typing import cast

from ...contract import abi
from ..errors import Fail, NotModelled
from ..families import AF_MAX, FAMILIES, NOT_MODELLED
from ..file import SocketFile
from ..net import Net
from ..sock import ProtoOps, Socket
from ..task import Task
from ..wait import Blocking, MayBlock
from .addresses import holding, move_addr_to_kernel, move_addr_to_user
from .registers import c_int, c_ulong

SOCK_MAX = 11
SOCK_TYPE_MASK = 0xF
SOCK_FLAGS = abi.SOCK_CLOEXEC | abi.SOCK_NONBLOCK


def sock_create(net: Net, family: int, kind: int, protocol: int) -> Socket:
    """`__sock_create`; SOCK_PACKET in AF_INET is the old way to ask for AF_PACKET."""
    if not 0 <= family < AF_MAX:
        raise Fail(EAFNOSUPPORT, "__sock_create: family out of range")
    if kind >= SOCK_MAX:
        raise Fail(EINVAL, "__sock_create: type out of range")
    if family == abi.AF_INET and kind == abi.SOCK_PACKET:
        family = abi.AF_PACKET
    create = FAMILIES.get(family)
    if create is None:
        if family in NOT_MODELLED:
            raise NotModelled(f"address family {family}")
        raise Fail(EAFNOSUPPORT, "__sock_create: family not registered")
    sock = Socket(kind, cast("ProtoOps", None))
    create(net, sock, protocol, kind)
    return sock


def sys_socket(task: Task, family: int, kind: int, protocol: int) -> int:
    """`__sys_socket`."""
    kind = c_int(kind)
    flags = kind & ~SOCK_TYPE_MASK
    if flags & ~SOCK_FLAGS:
        raise Fail(EINVAL, "__sys_socket_create: type flags")
    sock = sock_create(task.net, c_int(family), kind & SOCK_TYPE_MASK, c_int(protocol))
    file = SocketFile(sock, flags & abi.O_NONBLOCK)
    try:
        fd = task.files.reserve(flags)
    except Fail:
        task.put(file)
        raise
    task.files.install(fd, file)
    return fd


def sys_socketpair(task: Task, family: int, kind: int, protocol: int, pair: int) -> int:
    """`__sys_socketpair`: the descriptors are stored before it is known whether the family can make a pair."""
    kind = c_int(kind)
    flags = kind & ~SOCK_TYPE_MASK
    if flags & ~SOCK_FLAGS:
        raise Fail(EINVAL, "__sys_socketpair: type flags")
    reserved = [task.files.reserve(flags)]
    files: list[SocketFile] = []
    try:
        reserved.append(task.files.reserve(flags))
        pair = c_ulong(pair)
        task.memory.write_int(pair, reserved[0])
        task.memory.write_int(pair + 4, reserved[1])
        for _ in range(2):
            sock = sock_create(task.net, c_int(family), kind & SOCK_TYPE_MASK, c_int(protocol))
            files.append(SocketFile(sock, flags & abi.O_NONBLOCK))
        one, other = files
        one.sock.ops.socketpair(one.sock, other.sock)
    except BaseException:
        for fd in reversed(reserved):
            task.files.unreserve(fd)
        for file in reversed(files):
            task.put(file)
        raise
    for fd, file in zip(reserved, files, strict=True):
        task.files.install(fd, file)
    return 0


def sys_bind(task: Task, fd: int, address: int, length: int) -> int:
    """`__sys_bind`."""
    sock = task.files.socket(fd)
    sock.ops.bind(sock, move_addr_to_kernel(task.memory, c_ulong(address), c_int(length)))
    return 0


def sys_listen(task: Task, fd: int, backlog: int) -> int:
    """`__sys_listen`: a negative backlog is a large one."""
    sock = task.files.socket(fd)
    backlog = c_int(backlog)
    somaxconn = task.net.sysctl.somaxconn
    sock.ops.listen(sock, backlog if 0 <= backlog <= somaxconn else somaxconn)
    return 0


def sys_connect(task: Task, fd: int, address: int, length: int) -> MayBlock[int]:
    """`__sys_connect`: unlike bind it reads the address before it asks whether this is a socket."""
    file = task.files.get(fd)
    name = move_addr_to_kernel(task.memory, c_ulong(address), c_int(length))
    sock = task.files.socket(fd)
    result = sock.ops.connect(sock, name, file.flags)
    return result if isinstance(result, int) else holding(task, file, result)


def sys_accept(task: Task, fd: int, address: int, length_address: int) -> MayBlock[int]:
    return sys_accept4(task, fd, address, length_address, 0)


def sys_accept4(task: Task, fd: int, address: int, length_address: int, flags: int) -> MayBlock[int]:
    """`__sys_accept4_file`: takes the new descriptor first, so that one is taken all the while it sleeps."""
    file = task.files.get(fd)
    flags = c_int(flags)
    if flags & ~SOCK_FLAGS:
        raise Fail(EINVAL, "__sys_accept4_file: flags")
    new_fd = task.files.reserve(flags)
    accept = _Accept(task, new_fd, c_ulong(address), c_ulong(length_address))
    try:
        sock = task.files.socket(fd)
        accept.new = Socket(sock.type, sock.ops)
        accept.file = SocketFile(accept.new, flags & abi.O_NONBLOCK)
        waiting = sock.ops.accept(sock, accept.new, file.flags)
        if waiting is not None:
            return holding(task, file, accept.later(waiting))
        return accept.finish()
    except BaseException:
        accept.undo()
        raise


class _Accept:
    """The second half of `do_accept`: the peer's name, then the descriptor."""

    def __init__(self, task: Task, fd: int, address: int, length_address: int) -> None:
        self.task = task
        self.fd = fd
        self.address = address
        self.length_address = length_address
        self.new: Socket | None = None
        self.file: SocketFile | None = None

    def later(self, waiting: Blocking[None]) -> Blocking[int]:
        try:
            yield from waiting
            return self.finish()
        except BaseException:
            self.undo()
            raise

    def finish(self) -> int:
        assert self.new is not None
        assert self.file is not None
        if self.address:
            try:
                name = self.new.ops.getname(self.new, 2)
            except Fail:
                raise Fail(ECONNABORTED, "do_accept: getname") from None
            move_addr_to_user(self.task.net.release, self.task.memory, name, self.address, self.length_address)
        self.task.files.install(self.fd, self.file)
        return self.fd

    def undo(self) -> None:
        """A connection that was taken from the queue already is lost with its file."""
        if self.file is not None:
            self.task.put(self.file)
        self.task.files.unreserve(self.fd)


def sys_getsockname(task: Task, fd: int, address: int, length_address: int) -> int:
    return _getname(task, fd, address, length_address, 0)


def sys_getpeername(task: Task, fd: int, address: int, length_address: int) -> int:
    return _getname(task, fd, address, length_address, 1)


def _getname(task: Task, fd: int, address: int, length_address: int, peer: int) -> int:
    """`__sys_getsockname`, `__sys_getpeername`."""
    sock = task.files.socket(fd)
    name = sock.ops.getname(sock, peer)
    move_addr_to_user(task.net.release, task.memory, name, c_ulong(address), c_ulong(length_address))
    return 0


def sys_shutdown(task: Task, fd: int, how: int) -> int:
    """`__sys_shutdown`."""
    sock = task.files.socket(fd)
    sock.ops.shutdown(sock, c_int(how))
    return 0
