"""Which names a number goes by, depending on where it stands.

`abi.py` holds each number once; here they are grouped by the kind of parameter (`syscalls.py`), by the level for option
names and by the command for `fcntl`'s argument.  A group says how to *print* a number.  Reading needs no group: a name
means the same number everywhere (`NUMBERS`), so any name may be written in any place, and any number without one.

An enumeration prints a name or the number.  Flags print as names joined by ``|`` when every bit has a name, otherwise
as one hexadecimal number.  A negative number prints in decimal, whatever the group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import abi

SCM_RIGHTS, SCM_CREDENTIALS = 1, 2

NUMBERS: Mapping[str, int] = MappingProxyType(
    {name: value for name, value in vars(abi).items() if name.isupper() and isinstance(value, int)}
    | {"SCM_RIGHTS": SCM_RIGHTS, "SCM_CREDENTIALS": SCM_CREDENTIALS}
)
"""Every name that may be written for a number."""


@dataclass(frozen=True)
class Namespace:
    """Names of whole values and names of bits.

    `base` masks the bits that hold an enumeration beside the flags (a socket's type); `hexadecimal` is how a value
    without a name prints.
    """

    values: Mapping[int, str]
    flags: Mapping[int, str]
    base: int = 0
    hexadecimal: bool = False

    def text(self, value: int) -> str:
        """The canonical text of a number in this place."""
        if value < 0:
            return str(value)
        rest = value & ~self.base if self.flags else 0
        names = []
        for bit, name in self.flags.items():
            if rest & bit:
                names.append(name)
                rest &= ~bit
        if rest or not names:
            return self.values.get(value) or (hex(value) if value and self.hexadecimal else str(value))
        head = value & self.base
        return "|".join(([self.values.get(head, str(head))] if head else []) + names)


def _enumeration(names: Iterable[str], hexadecimal: bool = False) -> Namespace:
    return Namespace(MappingProxyType({NUMBERS[name]: name for name in names}), MappingProxyType({}), 0, hexadecimal)


def _bits(names: Iterable[str]) -> Namespace:
    return Namespace(MappingProxyType({}), MappingProxyType({NUMBERS[name]: name for name in names}), 0, True)


def _starting(*prefixes: str) -> list[str]:
    return [name for name in NUMBERS if name.startswith(prefixes)]


DECIMAL = _enumeration(())
HEXADECIMAL = _enumeration((), hexadecimal=True)
FAMILY = _enumeration(_starting("AF_"))
PROTOCOL = _enumeration(name for name in _starting("IPPROTO_") if name != "IPPROTO_IP")
LEVEL = _enumeration(_starting("SOL_"))
HOW = _enumeration(_starting("SHUT_"))
WHENCE = _enumeration(_starting("SEEK_"))
SIGNAL = _enumeration(_starting("SIG"))
IOCTL = _enumeration(_starting("FIO", "SIOC", "TIOC"), hexadecimal=True)
FCNTL = _enumeration(_starting("F_"))
EPOLL_OP = _enumeration(_starting("EPOLL_CTL_"))
SOCKET_FLAGS = _bits(("SOCK_NONBLOCK", "SOCK_CLOEXEC"))
SOCKET_TYPE = Namespace(
    MappingProxyType({NUMBERS[name]: name for name in _starting("SOCK_") if name not in SOCKET_FLAGS.flags.values()}),
    SOCKET_FLAGS.flags,
    base=0xF,
)
MESSAGE_FLAGS = _bits(_starting("MSG_"))
POLL_EVENTS = _bits(_starting("POLL"))
EPOLL_EVENTS = _bits(
    [name for name in _starting("EPOLL") if not name.startswith(("EPOLL_", "EPOLLNVAL"))],
)
EPOLL_FLAGS = _bits(("EPOLL_CLOEXEC",))
OPEN_FLAGS = _bits([name for name in _starting("O_") if NUMBERS[name] > 2])
DESCRIPTOR_FLAGS = _bits(("FD_CLOEXEC",))
POINTER = HEXADECIMAL
"""A number where a pointer is expected."""

OPTION_NAMES: Mapping[int, Namespace] = MappingProxyType(
    {
        abi.SOL_SOCKET: _enumeration(_starting("SO_")),
        abi.SOL_IP: _enumeration([name for name in _starting("IP_") if not name.startswith("IP_PMTUDISC_")]),
        abi.SOL_TCP: _enumeration(_starting("TCP_")),
        abi.SOL_UDP: _enumeration(_starting("UDP_")),
    }
)
CONTROL_TYPES: Mapping[int, Namespace] = MappingProxyType(
    {
        **OPTION_NAMES,
        abi.SOL_SOCKET: _enumeration(("SCM_RIGHTS", "SCM_CREDENTIALS", "SO_TIMESTAMP", "SO_TIMESTAMPNS", "SO_TIMESTAMPING")),
    }
)

KINDS: Mapping[str, Namespace] = MappingProxyType(
    {
        "family": FAMILY,
        "socktype": SOCKET_TYPE,
        "protocol": PROTOCOL,
        "level": LEVEL,
        "msgflags": MESSAGE_FLAGS,
        "how": HOW,
        "whence": WHENCE,
        "ioctl": IOCTL,
        "fcntl": FCNTL,
        "epollop": EPOLL_OP,
        "epollflags": EPOLL_FLAGS,
        "sockflags": SOCKET_FLAGS,
        "oflags": OPEN_FLAGS,
        **dict.fromkeys(("fd", "size", "count", "ms", "int"), DECIMAL),
    }
)
"""Parameter kind (`Sys.params`) -> group; a kind that is not here is a pointer's."""


def namespace(kind: str, before: object = None) -> Namespace:
    """The group for a parameter; `before` is the argument that stands before it (the level, or `fcntl`'s command)."""
    if kind == "optname":
        return OPTION_NAMES.get(before, DECIMAL) if isinstance(before, int) else DECIMAL
    if kind == "fcntlarg":
        if before == abi.F_SETFL:
            return OPEN_FLAGS
        return DESCRIPTOR_FLAGS if before == abi.F_SETFD else DECIMAL
    return KINDS.get(kind, POINTER)
