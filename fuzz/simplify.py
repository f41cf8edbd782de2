"""Simpler things that could stand in a step's place, simplest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stack_under_test.contract import abi
from stack_under_test.contract.frames import AnyFrame, ArpFrame, IcmpMessage, Ip, RawFrame, Rel, TcpSegment, UdpDatagram
from stack_under_test.contract.program import Advance, Call, Inject, Step
from stack_under_test.contract.values import (
    NULL,
    Arg,
    Buffer,
    Inet,
    InOut,
    Ints,
    IoVec,
    MsgHdr,
    Null,
    Octets,
    PollFds,
    Ref,
)
from stack_under_test.contract.world import STACK_IP
from stack_under_test.wire.tcp import ACK, PSH

_MS = 1_000_000


def simpler(step: Step) -> Iterator[Step]:
    """Candidates for `step`; each differs from it in one respect."""
    if isinstance(step, Call):
        yield from _calls(step)
    elif isinstance(step, Inject):
        yield from [Inject(frame) for frame in _frames(step.frame)]
    elif isinstance(step, Advance):
        yield from [Advance(ns) for ns in (0, _MS, 40 * _MS, step.ns // 2) if ns < step.ns]


def _calls(call: Call) -> Iterator[Call]:
    plainer = _plainer(call)
    if plainer is not None:
        yield plainer
    yield from _sized(call)
    for index in range(len(call.args)):
        for candidate in _in_place(call.args, index):
            yield replace(call, args=(*call.args[:index], candidate, *call.args[index + 1 :]))


def _plainer(call: Call) -> Call | None:
    """The same thing asked by a call with fewer arguments."""
    args = call.args
    match call.sys, args:
        case "accept4", (fd, where, length, _):
            return replace(call, sys="accept", args=(fd, where, length))
        case (("sendto" | "recvfrom"), (fd, memory, size, flags, _, _)):
            return replace(call, sys=call.sys[:4], args=(fd, memory, size, flags))
        case (("recvmsg" | "sendmsg"), (fd, MsgHdr(iov=IoVec(((memory, size), *_))), flags)):
            return replace(call, sys=call.sys[:4], args=(fd, memory, size, flags))
        case (("readv" | "writev"), (fd, IoVec(((memory, size), *_)), _)):
            return replace(call, sys=call.sys[:-1], args=(fd, memory, size))
        case "dup3", (old, new, _):
            return replace(call, sys="dup2", args=(old, new))
        case "dup2", (old, _):
            return replace(call, sys="dup", args=(old,))
    return None


def _in_place(args: tuple[Arg, ...], index: int) -> Iterator[Arg]:
    """What could stand for one argument; a length that is true stays so, one that is not becomes true first."""
    arg = args[index]
    actual = _size(args[index - 1]) if index else None
    if actual is not None and isinstance(arg, int | InOut):
        true: Arg = actual if isinstance(arg, int) else InOut((actual,))
        if arg == true:
            return
        yield true
    claimed = index + 1 < len(args) and isinstance(args[index + 1], int | InOut)
    if not (isinstance(arg, Buffer) and claimed):
        yield from _arguments(arg)


def _size(memory: Arg) -> int | None:
    """The octets behind a pointer whose length is the next argument."""
    match memory:
        case Octets(data):
            return len(data)
        case Buffer(size):
            return size
        case Ints(values):
            return 4 * len(values)
        case Inet():
            return 16
    return None


def _arguments(arg: Arg) -> Iterator[Arg]:
    if isinstance(arg, int):
        yield from _integers(arg)
    elif isinstance(arg, Ints | InOut):
        if len(arg.values) == 1 and isinstance(arg.values[0], int):
            yield from [type(arg)((value,)) for value in _integers(arg.values[0])]
    elif isinstance(arg, Buffer):
        yield from [Buffer(size, arg.kind) for size in (0, 1, 4, 16, 100) if size < arg.size]
    elif isinstance(arg, Inet):
        if arg.addr != STACK_IP:
            yield replace(arg, addr=STACK_IP)
        if arg.family != abi.AF_INET:
            yield replace(arg, family=abi.AF_INET)
    elif isinstance(arg, PollFds) and len(arg.items) > 1:
        yield from [PollFds((item,)) for item in arg.items]
    elif isinstance(arg, PollFds):
        yield from [PollFds(((arg.items[0][0], events),)) for events in _integers(arg.items[0][1])] if arg.items else ()
    elif not isinstance(arg, Ref | Null | Octets):
        yield NULL


def _integers(value: int) -> Iterator[int]:
    """0, 1, and the value with a bit less."""
    yield from [simple for simple in (0, 1) if abs(value) > simple]
    if 1 < value < 1 << 32:
        yield value & (value - 1)
        yield value & ~(1 << (value.bit_length() - 1))


def _sized(call: Call) -> Iterator[Call]:
    """A pointer and its length at once: sends and receives of less."""
    for index, (memory, size) in enumerate(zip(call.args, call.args[1:], strict=False)):
        if isinstance(memory, Octets) and size == len(memory.data):
            pairs: list[tuple[Arg, int]] = [(Octets(memory.data[:n]), n) for n in _sizes(len(memory.data))]
        elif isinstance(memory, Buffer) and size == memory.size:
            pairs = [(Buffer(n, memory.kind), n) for n in _sizes(memory.size)]
        elif isinstance(memory, Buffer) and memory.kind == "addr" and isinstance(size, InOut):
            yield replace(call, args=(*call.args[:index], NULL, NULL, *call.args[index + 2 :]))
            continue
        else:
            continue
        for pair in pairs:
            yield replace(call, args=(*call.args[:index], *pair, *call.args[index + 2 :]))


def _sizes(size: int) -> list[int]:
    return [simple for simple in (0, 1, 10, 100, size // 2) if simple < size]


def _frames(frame: AnyFrame) -> Iterator[AnyFrame]:
    if isinstance(frame, RawFrame):
        yield from [RawFrame(frame.octets[:n]) for n in (20, 28, 40, len(frame.octets) // 2) if n < len(frame.octets)]
        return
    if isinstance(frame, ArpFrame):
        if frame.dst is not None:
            yield replace(frame, dst=None)
        return
    if frame.ip != Ip():
        yield replace(frame, ip=Ip())
    body = frame.body
    if isinstance(body, TcpSegment):
        yield from [replace(frame, body=candidate) for candidate in _segments(body)]
    elif isinstance(body, UdpDatagram):
        yield from [replace(frame, body=replace(body, payload=body.payload[:n])) for n in _sizes(len(body.payload))]
        if body.length is not None or body.checksum is not None:
            yield replace(frame, body=replace(body, length=None, checksum=None))
    elif isinstance(body, IcmpMessage) and isinstance(body.body, bytes):
        yield from [replace(frame, body=replace(body, body=body.body[:n])) for n in _sizes(len(body.body))]


def _segments(segment: TcpSegment) -> Iterator[TcpSegment]:
    if segment.options:
        yield replace(segment, options=())
        if len(segment.options) > 1:
            for index in range(len(segment.options)):
                yield replace(segment, options=segment.options[:index] + segment.options[index + 1 :])
    yield from [replace(segment, payload=segment.payload[:n]) for n in _sizes(len(segment.payload))]
    plain = replace(segment, window=65535, urgent=0, reserved=0, data_offset=None, checksum=None)
    if plain != segment:
        yield plain
        yield replace(segment, window=65535)
    if segment.flags & ACK and segment.flags & PSH:
        yield replace(segment, flags=segment.flags & ~PSH)
    if isinstance(segment.ack, Rel) and segment.ack != Rel("nxt"):
        yield replace(segment, ack=Rel("nxt"))
