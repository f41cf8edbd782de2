"""Values a program hands to a system call.

An argument is an integer, the result of an earlier call, or a pointer.  A pointer is described by what stands in memory
behind it; nothing is validated here, since absurd arguments are what the suite tests.  `memory.py` decides where the
octets lie, `printer.py`/`parser.py` how a value is written.

All numbers are host integers; addresses are packed octets (4 or 16); ports are in host order.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ref:
    """The result of an earlier step: its return value, or with `part` the n-th int it stored (socketpair)."""

    step: int
    part: int | None = None


@dataclass(frozen=True, slots=True)
class PortOf:
    """The local port of the socket that `ref` names, at the moment of use; 0 when it has none."""

    ref: Ref


Port = int | PortOf
Number = int | Ref


@dataclass(frozen=True, slots=True)
class Null:
    """The NULL pointer."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A user-space address at which nothing is mapped."""


NULL = Null()
BAD = Bad()


@dataclass(frozen=True, slots=True)
class Octets:
    """Memory that the caller filled; not reported afterwards."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Buffer:
    """`size` octets of memory for the call to fill.

    `kind` says how people read the result: ``buf``, ``addr`` (a sockaddr), ``events`` (epoll_event array), ``ints``,
    ``timeval``, ``stat`` or ``control``.  It changes nothing for the call.
    """

    size: int
    kind: str = "buf"


@dataclass(frozen=True, slots=True)
class Ints:
    """An array of C ints the caller filled (option values, `struct linger`); values are taken modulo 2**32."""

    values: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class InOut:
    """An array of C ints that the call reads and may change (a socklen_t, an ioctl argument)."""

    values: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Inet:
    """`struct sockaddr_in` (16 octets); `addr` is 4 octets."""

    addr: bytes
    port: Port
    family: int = 2


@dataclass(frozen=True, slots=True)
class Inet6:
    """`struct sockaddr_in6` (28 octets); `addr` is 16 octets."""

    addr: bytes
    port: Port
    flowinfo: int = 0
    scope_id: int = 0
    family: int = 10


@dataclass(frozen=True, slots=True)
class Unix:
    """`struct sockaddr_un`: the family and the path's octets as given (an abstract name starts with NUL)."""

    path: bytes
    family: int = 1


@dataclass(frozen=True, slots=True)
class Timeval:
    """`struct timeval`, in and out (select writes it back)."""

    sec: int
    usec: int


@dataclass(frozen=True, slots=True)
class IoVec:
    """An array of `struct iovec`: pairs of a pointer and the length claimed for it."""

    items: tuple[tuple[Pointer, int], ...]


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """One cmsg: level, type, data."""

    level: int
    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Control:
    """Ancillary data laid out with CMSG alignment."""

    messages: tuple[ControlMessage, ...]


@dataclass(frozen=True, slots=True)
class MsgHdr:
    """`struct msghdr`; the kernel writes namelen, controllen and flags back. `iovlen` None means the vector's length."""

    name: Pointer = NULL
    namelen: int = 0
    iov: Pointer = NULL
    iovlen: int | None = None
    control: Pointer = NULL
    controllen: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class PollFds:
    """An array of `struct pollfd`: (fd, events); revents is written back."""

    items: tuple[tuple[Number, int], ...]


@dataclass(frozen=True, slots=True)
class EpollEvent:
    """`struct epoll_event` (packed, 12 octets); `data` is 64 bits."""

    events: int
    data: int


@dataclass(frozen=True, slots=True)
class FdSet:
    """`fd_set` (1024 bits) with these descriptors set; written back by select."""

    fds: tuple[Number, ...]


Pointer = (
    Null
    | Bad
    | Octets
    | Buffer
    | Ints
    | InOut
    | Inet
    | Inet6
    | Unix
    | Timeval
    | IoVec
    | Control
    | MsgHdr
    | PollFds
    | EpollEvent
    | FdSet
)
Arg = int | Ref | Pointer
