"""A difference between two stacks as a value, and the fingerprint by which it is known again.

A fingerprint is made of the kind, the path, what was called or sent, and the names, flags and values that make the
difference what it is.  It holds no seed, step, port, descriptor or sequence number, so that the same defect met by
another program has the same one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from stack_under_test.contract import abi
from stack_under_test.contract.errnos import errno_name
from stack_under_test.contract.frames import AnyFrame, ArpFrame, Datagram, IcmpMessage, RawFrame, TcpSegment, UdpDatagram
from stack_under_test.contract.namespaces import FCNTL, IOCTL, LEVEL, MESSAGE_FLAGS, OPTION_NAMES, SOCKET_TYPE
from stack_under_test.contract.program import Advance, Call, Fork, Inject, Signal, Step
from stack_under_test.wire.tcp import format_flags

from .normalise import Result
from .packets import ArpMessage, Ethernet, Message, Other, Packet, Segment

FINGERPRINT_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference: at `step` (an index), of a `kind` such as ``outcome.errno`` or ``frame.window``, at `path`
    (what was stored); `left` and `right` are the two sides in words, `subject` what was called or sent; `essence` are
    the parts of the fingerprint beside kind, path and subject."""

    step: int
    kind: str
    path: str
    left: str
    right: str
    subject: str
    essence: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits."""
        parts = "\x1f".join((self.kind, self.path, self.subject, *self.essence))
        return hashlib.sha256(parts.encode()).hexdigest()[:FINGERPRINT_DIGITS]

    @property
    def summary(self) -> str:
        """One line."""
        where = f" {self.path}" if self.path else ""
        return f"{self.subject}: {self.kind}{where}: {_short(self.left)} | {_short(self.right)}"


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."


def step_subject(step: Step) -> str:
    """What a step is, without any number that varies from program to program."""
    match step:
        case Call():
            return call_subject(step)
        case Inject(frame):
            return f"< {_frame_subject(frame)}"
        case Advance():
            return "advance"
        case Signal():
            return "signal"
        case Fork():
            return "fork"


def call_subject(call: Call) -> str:
    """The call's name, and the constants that say which of its many functions is meant."""
    args = call.args
    details: list[str] = []
    match call.sys:
        case "setsockopt" | "getsockopt" if isinstance(args[1], int) and isinstance(args[2], int):
            details = [LEVEL.text(args[1]), _option(args[1], args[2])]
        case "fcntl" if isinstance(args[1], int):
            details = [FCNTL.text(args[1])]
        case "ioctl" if isinstance(args[1], int):
            details = [IOCTL.text(args[1])]
        case "socket" | "socketpair" if isinstance(args[1], int):
            details = [SOCKET_TYPE.text(args[1] & ~(abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC))]
        case "send" | "sendto" | "recv" | "recvfrom" if isinstance(args[3], int) and args[3]:
            details = [MESSAGE_FLAGS.text(args[3])]
        case "sendmsg" | "recvmsg" if isinstance(args[2], int) and args[2]:
            details = [MESSAGE_FLAGS.text(args[2])]
        case _:
            pass
    return f"{call.sys}({', '.join(details)})"


def _option(level: int, option: int) -> str:
    names = OPTION_NAMES.get(level)
    return names.text(option) if names and option in names.values else "an unknown option"


def _frame_subject(frame: AnyFrame) -> str:
    if isinstance(frame, ArpFrame):
        return f"arp {frame.operation}"
    if isinstance(frame, RawFrame):
        return "raw"
    match frame.body:
        case TcpSegment() as body:
            return f"tcp {format_flags(body.flags & 0x1FF)}{' with data' if body.payload else ''}"
        case UdpDatagram():
            return "udp"
        case IcmpMessage() as message:
            return f"icmp {message.type} {message.code}"
        case Datagram():
            return "ip"


def packet_subject(packet: Packet) -> str:
    """The kind of packet a stack sent: ``tcp S.``, ``icmp 3 1``."""
    match packet:
        case Segment():
            return f"tcp {format_flags(packet.flags)}{' with data' if packet.payload else ''}"
        case Message():
            return f"{packet.kind} {packet.type} {packet.code}"
        case Other():
            return f"ip {packet.protocol}"
        case Ethernet():
            return packet_subject(packet.packet)
        case ArpMessage():
            return f"arp {packet.operation}"
    return packet.kind


def result_essence(result: Result) -> str:
    """The outcome as far as it says what kind of thing happened: the error by name, else whether, not how much."""
    if result.kind in ("returned", "fd", "done"):
        return errno_name(result.errno) if result.errno else "ok"
    return f"{result.kind} {result.detail}".strip()


def order(left: object, right: object) -> str:
    """How the right value relates to the left: ``less``, ``more`` or ``other``; octets and lists by their length."""
    if isinstance(left, int) and isinstance(right, int):
        return "less" if right < left else "more"
    if isinstance(left, bytes | tuple) and isinstance(right, bytes | tuple) and len(left) != len(right):
        return "less" if len(right) < len(left) else "more"
    return "other"
