"""What a program leaves in its world that closing its descriptors does not undo.

Noted while it runs, from its calls and packets, so that `Site.clean` does no more than is needed and knows when a world
cannot be cleaned at all (`lasting` says why).  A mark may be set for nothing; one that is missing is a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from stack_under_test.contract import abi
from stack_under_test.contract.values import Arg, Control, Inet, Inet6, MsgHdr, Null
from stack_under_test.worker.waits import UNPLAIN_OPTIONS, Waits

Registers = Sequence[int]
_U32 = 0xFFFF_FFFF

_EXTENSION_HEADERS = frozenset({0, 43, 60, 135, 139, 140})

_HARMLESS_IOCTLS = frozenset(
    {*range(0x8901, 0x8908), 0x8910, 0x8912, 0x8913, 0x8915, 0x8917, 0x8919, 0x891B, 0x891D, 0x8921, 0x8927, 0x8933}
    | {0x8942, abi.SIOCOUTQNSD}
)
_OWNER_IOCTLS = frozenset({abi.SIOCSPGRP, abi.FIOSETOWN})
_LASTING_IP_OPTIONS = frozenset({*range(35, 49), *range(64, 100), *range(200, 213)})
_LASTING_IPV6_OPTIONS = frozenset({20, 21, 27, 28, 32, *range(42, 49), *range(64, 70), *range(200, 213)})


class Marks:
    """One program's marks."""

    __slots__ = (
        "crafts", "fragments", "lasting", "listened", "max_fd", "netlink", "owners", "standard_fds",
        "unix_paths", "unreachable", "waits",
    )  # fmt: skip

    def __init__(self, waits: Waits) -> None:
        self.waits = waits
        self.lasting = ""
        self.max_fd = 2
        self.listened = self.fragments = self.unreachable = False
        self.unix_paths = self.standard_fds = self.owners = False
        self.netlink = False
        self.crafts = 0
        """The family of a raw socket, 0 without one."""

    def packet(self, octets: bytes) -> None:
        """An IP packet is about to be injected."""
        version = octets[0] >> 4 if octets else 0
        if version == 4 and len(octets) >= 20:
            protocol = octets[9]
            if octets[6] & 0x3F or octets[7]:
                self.fragments = True
            elif protocol == 1 and octets[(octets[0] & 15) * 4 : (octets[0] & 15) * 4 + 1] != b"\x08":
                self.unreachable = True
            elif protocol == 2:
                self.lasting = "IGMP was injected"
        elif version == 6 and len(octets) >= 41:
            if octets[6] == 44:
                self.fragments = True
            elif octets[6] in _EXTENSION_HEADERS:
                self.lasting = "IPv6 extension headers were injected"
            elif octets[6] == 58 and octets[40] not in (128, 129):
                self.lasting = "ICMPv6 other than echo was injected"


def harmless(octets: bytes) -> bool:
    """Whether injecting this IP packet leaves nothing that would have to be marked."""
    marks = Marks(Waits())
    marks.packet(octets)
    return not (marks.lasting or marks.fragments or marks.unreachable)


def _socket(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    family, kind = regs[0] & _U32, regs[1] & 0xF
    if family == abi.AF_NETLINK:
        marks.netlink = True
    elif kind in (abi.SOCK_RAW, abi.SOCK_PACKET) or family == abi.AF_PACKET:
        marks.crafts = family


def _send(marks: Marks, flags: int) -> None:
    if marks.netlink:
        marks.lasting = "netlink messages were sent"
    if flags & abi.MSG_FASTOPEN:
        marks.lasting = "fast open leaves cookies"
    if marks.crafts:
        marks.fragments = marks.unreachable = True
        if marks.crafts != abi.AF_INET:
            marks.lasting = "crafted packets were sent"


def _sendmsg(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    _send(marks, regs[2])
    header = args[1] if len(args) > 1 else None
    control = header.control if isinstance(header, MsgHdr) else None
    if isinstance(control, Control) and any((m.level, m.type) == (abi.SOL_SOCKET, 1) for m in control.messages):
        marks.lasting = "descriptors were sent"


def _setsockopt(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    level, name = regs[1] & _U32, regs[2] & _U32
    if (level, name) in UNPLAIN_OPTIONS:
        marks.waits.plain = False
        if name == abi.TCP_FASTOPEN_CONNECT and level == abi.SOL_TCP:
            marks.lasting = "fast open leaves cookies"
    elif (level == abi.SOL_IP and name in _LASTING_IP_OPTIONS) or (level == abi.SOL_IPV6 and name in _LASTING_IPV6_OPTIONS):
        marks.lasting = "multicast, filters or flow labels were changed"


def _ioctl(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    command = regs[1] & _U32
    if command in _OWNER_IOCTLS:
        marks.owners = True
    elif 0x8900 <= command <= 0x8BFF and command not in _HARMLESS_IOCTLS:
        marks.lasting = f"ioctl {command:#x}"
    _standard(marks, regs, args)


def _fcntl(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    if regs[1] & _U32 in (abi.F_SETOWN, 15):
        marks.owners = True
    _standard(marks, regs, args)


def _standard(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    if regs[0] & _U32 < 3:
        marks.standard_fds = True


def _dup2(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    if regs[1] & _U32 < 3:
        marks.standard_fds = True


def _listen(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    marks.listened = True


def _bind(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    if not isinstance(args[1] if len(args) > 1 else None, Inet | Inet6 | Null):
        marks.unix_paths = True


Note = Callable[[Marks, Registers, tuple[Arg, ...]], None]
NOTES: Mapping[str, Note] = MappingProxyType(
    {
        "socket": _socket,
        "sendmsg": _sendmsg,
        "sendto": lambda marks, regs, args: _send(marks, regs[3]),
        "send": lambda marks, regs, args: _send(marks, regs[3]),
        "write": lambda marks, regs, args: _send(marks, 0),
        "writev": lambda marks, regs, args: _send(marks, 0),
        "setsockopt": _setsockopt,
        "ioctl": _ioctl,
        "fcntl": _fcntl,
        "close": _standard,
        "dup2": _dup2,
        "dup3": _dup2,
        "listen": _listen,
        "bind": _bind,
    }
)
"""What a call that is about to be made is noted for."""
