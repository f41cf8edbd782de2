"""The system call table: name -> function and how many registers it looks at.

A function takes the task and its registers, and returns a number, fails with `Fail`, or returns a generator when it has
to sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..wait import MayBlock
from . import descriptors, epolling, fcntl, ioctl, messages, names, options, polling, readwrite


class Entry(NamedTuple):
    function: Callable[..., MayBlock[int]]
    registers: int


SYSCALL_TABLE: Mapping[str, Entry] = MappingProxyType(
    {
        "read": Entry(readwrite.sys_read, 3),
        "write": Entry(readwrite.sys_write, 3),
        "close": Entry(descriptors.sys_close, 1),
        "fstat": Entry(readwrite.sys_fstat, 2),
        "poll": Entry(polling.sys_poll, 3),
        "lseek": Entry(readwrite.sys_lseek, 3),
        "ioctl": Entry(ioctl.sys_ioctl, 3),
        "readv": Entry(readwrite.sys_readv, 3),
        "writev": Entry(readwrite.sys_writev, 3),
        "select": Entry(polling.sys_select, 5),
        "dup": Entry(descriptors.sys_dup, 1),
        "dup2": Entry(descriptors.sys_dup2, 2),
        "socket": Entry(names.sys_socket, 3),
        "connect": Entry(names.sys_connect, 3),
        "accept": Entry(names.sys_accept, 3),
        "sendto": Entry(messages.sys_sendto, 6),
        "send": Entry(messages.sys_sendto, 6),
        "recvfrom": Entry(messages.sys_recvfrom, 6),
        "recv": Entry(messages.sys_recvfrom, 6),
        "sendmsg": Entry(messages.sys_sendmsg, 3),
        "recvmsg": Entry(messages.sys_recvmsg, 3),
        "shutdown": Entry(names.sys_shutdown, 2),
        "bind": Entry(names.sys_bind, 3),
        "listen": Entry(names.sys_listen, 2),
        "getsockname": Entry(names.sys_getsockname, 3),
        "getpeername": Entry(names.sys_getpeername, 3),
        "socketpair": Entry(names.sys_socketpair, 4),
        "setsockopt": Entry(options.sys_setsockopt, 5),
        "getsockopt": Entry(options.sys_getsockopt, 5),
        "fcntl": Entry(fcntl.sys_fcntl, 3),
        "epoll_wait": Entry(epolling.sys_epoll_wait, 4),
        "epoll_ctl": Entry(epolling.sys_epoll_ctl, 4),
        "accept4": Entry(names.sys_accept4, 4),
        "epoll_create1": Entry(epolling.sys_epoll_create1, 1),
        "dup3": Entry(descriptors.sys_dup3, 3),
    }
)
