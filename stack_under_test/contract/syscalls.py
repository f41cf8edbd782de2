"""The system calls a program may make: number, parameters, whether it can block.

Numbers are x86-64's (`arch/x86/entry/syscalls/syscall_64.tbl`).  A parameter's kind tells people's eyes (and the
generator) what it is; the kernel sees a register either way.  `recv` and `send` are, as in libc, recvfrom and sendto with
a NULL address.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

MACHINE = "x86_64"


class Sys(NamedTuple):
    """`blocks`: the call can wait for something; `params`: kinds, by name; `result`: ``fd`` when it returns a descriptor."""

    name: str
    number: int
    params: tuple[str, ...]
    blocks: bool = False
    result: str = "int"


_TABLE = (
    Sys("read", 0, ("fd", "out", "size"), True),
    Sys("write", 1, ("fd", "in", "size"), True),
    Sys("close", 3, ("fd",), True),
    Sys("fstat", 5, ("fd", "out")),
    Sys("poll", 7, ("pollfds", "count", "ms"), True),
    Sys("lseek", 8, ("fd", "int", "whence")),
    Sys("ioctl", 16, ("fd", "ioctl", "inout")),
    Sys("readv", 19, ("fd", "iovec", "count"), True),
    Sys("writev", 20, ("fd", "iovec", "count"), True),
    Sys("select", 23, ("count", "fdset", "fdset", "fdset", "timeval"), True),
    Sys("dup", 32, ("fd",), False, "fd"),
    Sys("dup2", 33, ("fd", "fd"), False, "fd"),
    Sys("socket", 41, ("family", "socktype", "protocol"), False, "fd"),
    Sys("connect", 42, ("fd", "sockaddr", "size"), True),
    Sys("accept", 43, ("fd", "addr", "sizeptr"), True, "fd"),
    Sys("sendto", 44, ("fd", "in", "size", "msgflags", "sockaddr", "size"), True),
    Sys("send", 44, ("fd", "in", "size", "msgflags"), True),
    Sys("recvfrom", 45, ("fd", "out", "size", "msgflags", "addr", "sizeptr"), True),
    Sys("recv", 45, ("fd", "out", "size", "msgflags"), True),
    Sys("sendmsg", 46, ("fd", "msghdr", "msgflags"), True),
    Sys("recvmsg", 47, ("fd", "msghdr", "msgflags"), True),
    Sys("shutdown", 48, ("fd", "how")),
    Sys("bind", 49, ("fd", "sockaddr", "size")),
    Sys("listen", 50, ("fd", "int")),
    Sys("getsockname", 51, ("fd", "addr", "sizeptr")),
    Sys("getpeername", 52, ("fd", "addr", "sizeptr")),
    Sys("socketpair", 53, ("family", "socktype", "protocol", "inout")),
    Sys("setsockopt", 54, ("fd", "level", "optname", "optval", "size")),
    Sys("getsockopt", 55, ("fd", "level", "optname", "out", "sizeptr")),
    Sys("fcntl", 72, ("fd", "fcntl", "fcntlarg")),
    Sys("epoll_wait", 232, ("fd", "events", "count", "ms"), True),
    Sys("epoll_ctl", 233, ("fd", "epollop", "fd", "epollevent")),
    Sys("accept4", 288, ("fd", "addr", "sizeptr", "sockflags"), True, "fd"),
    Sys("epoll_create1", 291, ("epollflags",), False, "fd"),
    Sys("dup3", 292, ("fd", "fd", "oflags"), False, "fd"),
)

SYSCALLS: Mapping[str, Sys] = MappingProxyType({entry.name: entry for entry in _TABLE})
