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
_ICMP_ERRORS_AND_REDIRECTS = frozenset({3, 4, 5, 11, 12})
_ICMPV6_ERRORS_AND_REDIRECTS = frozenset({1, 2, 3, 4, 137})
_MULTICAST_LISTENERS = frozenset({130, 131, 132, 143})
_MOST_FRAGMENTS = 64

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
        "fragments", "lasting", "listened", "owners", "rare_families", "standard_fds", "unix_paths", "unreachable", "waits",
    )  # fmt: skip

    def __init__(self, waits: Waits) -> None:
        self.waits = waits
        self.lasting = ""
        self.listened = self.unreachable = self.unix_paths = self.standard_fds = self.owners = False
        self.rare_families = False
        """There is a netlink, packet or raw socket."""
        self.fragments: list[bytes] = []
        """Those injected; the rest of a datagram may be missing."""

    def packet(self, octets: bytes) -> None:
        """An IP packet is about to be injected."""
        version = octets[0] >> 4 if octets else 0
        if version == 4 and len(octets) >= 20:
            self._four(octets)
        elif version == 6 and len(octets) >= 48:
            self._six(octets)

    def _four(self, octets: bytes) -> None:
        at = (octets[0] & 15) * 4
        if octets[6] & 0x3F or octets[7]:
            self._fragment(octets)
        elif octets[9] == 1 and len(octets) > at and octets[at] in _ICMP_ERRORS_AND_REDIRECTS:
            self.unreachable = True
        elif octets[9] == 2:
            self.lasting = "IGMP was injected"

    def _six(self, octets: bytes) -> None:
        following, kind = octets[6], octets[40]
        if following == 44:
            self._fragment(octets)
        elif following in _EXTENSION_HEADERS:
            self.lasting = "IPv6 extension headers were injected"
        elif following == 58 and kind in _ICMPV6_ERRORS_AND_REDIRECTS:
            self.unreachable = True
        elif following == 58 and kind in _MULTICAST_LISTENERS:
            self.lasting = "MLD was injected"

    def _fragment(self, octets: bytes) -> None:
        self.fragments.append(octets[:48])
        if len(self.fragments) > _MOST_FRAGMENTS:
            self.lasting = "many fragments were injected"


def harmless(octets: bytes) -> bool:
    """Whether injecting this IP packet leaves nothing that would have to be marked."""
    marks = Marks(Waits())
    marks.packet(octets)
    return not (marks.lasting or marks.fragments or marks.unreachable)


def _socket(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    if regs[0] & _U32 in (abi.AF_NETLINK, abi.AF_PACKET) or regs[1] & 0xF in (abi.SOCK_RAW, abi.SOCK_PACKET):
        marks.rare_families = True


def _send(marks: Marks, fd: int, flags: int) -> None:
    if flags & abi.MSG_FASTOPEN:
        marks.lasting = "fast open leaves cookies"
    if marks.rare_families:
        family = marks.waits.option(fd, abi.SO_DOMAIN)
        if family in (abi.AF_NETLINK, abi.AF_PACKET):
            marks.lasting = "netlink messages or whole frames were sent"
        elif marks.waits.option(fd, abi.SO_TYPE) == abi.SOCK_RAW:
            marks.unreachable = True


def _sendmsg(marks: Marks, regs: Registers, args: tuple[Arg, ...]) -> None:
    _send(marks, regs[0], regs[2])
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
        "sendto": lambda marks, regs, args: _send(marks, regs[0], regs[3]),
        "send": lambda marks, regs, args: _send(marks, regs[0], regs[3]),
        "write": lambda marks, regs, args: _send(marks, regs[0], 0),
        "writev": lambda marks, regs, args: _send(marks, regs[0], 0),
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
