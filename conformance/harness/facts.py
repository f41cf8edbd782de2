"""What a program itself says about the numbers in its trace.

A number is the stack's choice only if the program did not name it.  So ports and acknowledgement numbers that the
program writes are collected, and the protocol behind a descriptor is followed through the calls that made it.  Computed
once for both sides of a comparison.
"""

from __future__ import annotations

from stack_under_test.contract import abi
from stack_under_test.contract.frames import PEER_ISN, ArpFrame, Frame, IcmpMessage, RawFrame, Rel, Seq, TcpSegment, UdpDatagram
from stack_under_test.contract.program import Call, Inject, Program
from stack_under_test.contract.values import Arg, Inet, Inet6, MsgHdr, Octets, Pointer, Ref
from stack_under_test.contract.world import EPHEMERAL

_MASK = 0xFFFF_FFFF
_MAKES_FROM_FIRST = frozenset({"accept", "accept4", "dup", "dup2", "dup3", "fcntl"})


class Facts:
    """`low` and `high`: the ephemeral range; `ports`: those in it that the program names. `acks`: acknowledgement
    numbers as long as they do not depend on the stack's; `timestamps`: TSval of that sort, and `timestamps_relative` whether
    there are others. `crossed`: some sequence number of the peer is relative to one of the stack's. `idents`: ICMP
    identifiers named, `macs`: hardware addresses named. `header_options`: by an IHL, the IP options of the packets that
    state it, truly or falsely; `odd_offsets`: some TCP data offset is false."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.ports: set[int] = set()
        self.acks: set[int] = {0}
        self.timestamps: set[int] = {0}
        self.timestamps_relative = False
        self.crossed = False
        self.idents: set[int] = set()
        self.macs: set[bytes] = set()
        self.header_options: dict[int, set[bytes]] = {}
        self.odd_offsets = False
        self.low, self.high = EPHEMERAL
        for name, value in program.world.sysctls:
            if name == "net.ipv4.ip_local_port_range":
                self._range(value.split())
        for step in program.steps:
            if isinstance(step, Call):
                for arg in step.args:
                    if not isinstance(arg, int | Ref):
                        self._address(arg)
            elif isinstance(step, Inject):
                if isinstance(step.frame, ArpFrame):
                    self.macs.update((step.frame.sender_mac, step.frame.target_mac))
                elif isinstance(step.frame, RawFrame):
                    self._raw(step.frame.octets)
                else:
                    self._frame(step.frame)

    def protocol(self, arg: Arg | None) -> str:
        """``tcp``, ``udp``, ``icmp`` or ``raw`` for the socket a descriptor argument names; ``""`` when not known."""
        for _ in range(len(self.program.steps) + 1):
            if not isinstance(arg, Ref) or not 0 <= arg.step < len(self.program.steps):
                return ""
            call = self.program.steps[arg.step]
            if not isinstance(call, Call) or not call.args:
                return ""
            if call.sys == "socket":
                return _socket_protocol(call.args)
            if call.sys not in _MAKES_FROM_FIRST:
                return ""
            arg = call.args[0]
        return ""

    def _range(self, words: list[str]) -> None:
        if len(words) == 2 and all(word.isdecimal() for word in words):
            self.low, self.high = min(self.low, int(words[0])), max(self.high, int(words[1]))

    def _port(self, port: object) -> None:
        if isinstance(port, int) and self.low <= port & 0xFFFF <= self.high:
            self.ports.add(port & 0xFFFF)

    def _address(self, pointer: Pointer) -> None:
        if isinstance(pointer, Inet | Inet6):
            self._port(pointer.port)
            if isinstance(pointer.port, int):
                self.idents.add(pointer.port & 0xFFFF)
        elif isinstance(pointer, MsgHdr):
            self._address(pointer.name)
        elif isinstance(pointer, Octets) and 4 <= len(pointer.data) <= 128:
            self._port(int.from_bytes(pointer.data[2:4], "big"))

    def _frame(self, frame: Frame) -> None:
        body = frame.body
        if frame.ip.ihl is not None or frame.ip.options:
            options = frame.ip.options + bytes(-len(frame.ip.options) % 4)
            stated = 5 + len(options) // 4 if frame.ip.ihl is None else frame.ip.ihl
            self.header_options.setdefault(stated & 15, set()).add(options)
        if isinstance(body, TcpSegment):
            self._port(body.sport)
            self._port(body.dport)
            self.odd_offsets |= body.data_offset is not None
            self.acks.add(_alone(body.ack))
            if isinstance(body.seq, Rel) and body.seq.base != "peer":
                self.crossed = True
            for option in body.options:
                if option.name == "TS" and len(option.values) == 2 and not isinstance(option.values[0], bytes):
                    self._timestamp(option.values[0])
        elif isinstance(body, UdpDatagram):
            self._port(body.sport)
            self._port(body.dport)
        elif isinstance(body, IcmpMessage):
            self.idents.add(int.from_bytes(body.rest[:2], "big"))
            if isinstance(body.body, Frame):
                self._frame(body.body)

    def _timestamp(self, value: Seq) -> None:
        constant = _constant(value)
        if constant is None:
            self.timestamps_relative = True
        else:
            self.timestamps.add(constant)

    def _raw(self, octets: bytes) -> None:
        """What would be ports, acknowledgement number and identifier, whatever the protocol."""
        self.timestamps_relative = True
        at = 0
        if self.program.world.link == "tap":
            at = 14
            self.macs.update((octets[6:12], octets[22:28]))
        if len(octets) > at + 20:
            at += (octets[at] & 15) * 4 if octets[at] >> 4 == 4 else 40
            self._port(int.from_bytes(octets[at : at + 2], "big"))
            self._port(int.from_bytes(octets[at + 2 : at + 4], "big"))
            self.acks.add(int.from_bytes(octets[at + 8 : at + 12], "big"))
            self.idents.add(int.from_bytes(octets[at + 4 : at + 6], "big"))


def _constant(value: Seq) -> int | None:
    """The 32-bit number, unless it depends on what the stack chose."""
    if isinstance(value, Rel):
        return (PEER_ISN + value.offset) & _MASK if value.base == "peer" else None
    return value & _MASK


def _alone(value: Seq) -> int:
    """The number that stands there while the stack has shown none of its own on the flow."""
    constant = _constant(value)
    return constant if constant is not None else value.offset & _MASK if isinstance(value, Rel) else 0


def _socket_protocol(args: tuple[Arg, ...]) -> str:
    kind = args[1] if len(args) > 1 and isinstance(args[1], int) else 0
    if kind & 0xF == abi.SOCK_STREAM:
        return "tcp"
    if kind & 0xF == abi.SOCK_DGRAM:
        return "icmp" if len(args) > 2 and args[2] in (abi.IPPROTO_ICMP, abi.IPPROTO_ICMPV6) else "udp"
    return "raw" if kind & 0xF == abi.SOCK_RAW else ""
