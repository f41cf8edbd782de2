"""setsockopt and getsockopt: SOL_SOCKET is answered here, every other level by the family (`net/socket.c`)."""

from __future__ import annotations

from errno import EINVAL

from ...contract import abi
from ..errors import Fail
from ..task import Task
from .registers import c_int, c_ulong
from .sol_socket_get import sk_getsockopt
from .sol_socket_set import sk_setsockopt


def sys_setsockopt(task: Task, fd: int, level: int, name: int, value: int, length: int) -> int:
    """`do_sock_setsockopt`."""
    sock = task.files.socket(fd)
    level, name, value, length = c_int(level), c_int(name), c_ulong(value), c_int(length)
    if length < 0:
        raise Fail(EINVAL, "do_sock_setsockopt: optlen")
    if level == abi.SOL_SOCKET:
        sk_setsockopt(task, sock.sk, name, value, length)
    else:
        sock.ops.setsockopt(sock, level, name, value, length, task.memory)
    return 0


def sys_getsockopt(task: Task, fd: int, level: int, name: int, value: int, length: int) -> int:
    """`do_sock_getsockopt`: `length` is the address of the length."""
    sock = task.files.socket(fd)
    level, name, value, length = c_int(level), c_int(name), c_ulong(value), c_ulong(length)
    if level == abi.SOL_SOCKET:
        sk_getsockopt(task, sock.sk, name, value, length)
    else:
        sock.ops.getsockopt(sock, level, name, value, length, task.memory)
    return 0
