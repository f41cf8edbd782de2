"""What can be worked out about a step before it is run, kept for every equal step that follows.

Programs are made of the same few thousand steps.  A call's memory image does not change unless a reference lies in it,
and a segment's octets do not change but for ports, sequence numbers, timestamps and a checksum; so a known step costs a
fraction of a new one. A step of another form is kept as it is and worked out each time.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeGuard

from stack_under_test.contract.flows import Flows
from stack_under_test.contract.frames import AnyFrame, Frame, LinkFrame, Rel, Seq, TcpSegment
from stack_under_test.contract.memory import MAX_TASKS, Encoded, Resolve, arena, encode
from stack_under_test.contract.program import Advance, Call, Fork, Inject, Signal
from stack_under_test.contract.values import Arg, Bad, Null, Port, PortOf, Ref
from stack_under_test.contract.world import PEER_IP, PEER_IP6, STACK_IP, STACK_IP6
from stack_under_test.worker.codec import FlatStep, build
from stack_under_test.worker.marks import harmless
from stack_under_test.worker.plans import PLANS, Plan

_KEPT_STEPS = 1 << 14
_KEPT_OCTETS = 4096
_PADDING = (0,) * 6
_ports = struct.Struct("!HH")
_number = struct.Struct("!I")
_SIZES: Mapping[str, int] = MappingProxyType({"mss": 4, "wscale": 3, "sackOK": 2, "TS": 10, "nop": 1, "eol": 1})
"""Of TCP options, in octets."""


class PreparedCall(NamedTuple):
    """`registers` are those of the kernel, with 0 where `refs` has (position, reference) to be looked up.  `encoded`
    is None when memory holds references; `memory`: a register points into the arena; `error` says why the call cannot
    be made at all."""

    task: int
    name: str
    args: tuple[Arg, ...]
    plan: Plan | None
    registers: tuple[int, ...] = ()
    encoded: Encoded | None = None
    refs: tuple[tuple[int, Ref], ...] = ()
    memory: bool = False
    error: str = ""

    def encode(self, resolve: Resolve) -> Encoded:
        """Encode a call whose memory holds references.  Raises ValueError."""
        return encode(self.args, arena(self.task), resolve)


class Hole(NamedTuple):
    """Four octets of a segment that hold a number of its flow; `weight` is what the number counts in a checksum: 256 at
    an odd place."""

    at: int
    number: Seq
    weight: int


class Segment(NamedTuple):
    """What is open in a TCP segment: its header is `at`, its flow `source` and `destination`, where a port may be open,
    and `holes`.  `partial` is the sum of all but these (None when the frame brings a checksum of its own)."""

    at: int
    source: tuple[bytes, Port]
    destination: tuple[bytes, Port]
    holes: tuple[Hole, ...]
    partial: int | None


class PreparedFrame(NamedTuple):
    """A frame by its octets; those of a `segment` are still to be completed."""

    octets: bytes
    raw: bool
    harmless: bool
    segment: Segment | None = None

    def now(self, flows: Flows, resolve: Resolve) -> bytes:
        """The octets at this moment."""
        if self.segment is None:
            return self.octets
        at, (source, sport), (destination, dport), holes, partial = self.segment
        octets, total = bytearray(self.octets), partial or 0
        if not (isinstance(sport, int) and isinstance(dport, int)):
            sport, dport = (port if isinstance(port, int) else resolve(port) & 0xFFFF for port in (sport, dport))
            _ports.pack_into(octets, at, sport, dport)
        total += sport + dport
        key = (source, sport, destination, dport)
        for place, symbol, weight in holes:
            number = flows.number(key, symbol)
            _number.pack_into(octets, place, number)
            total += number * weight
        if partial is not None:
            check = 0xFFFF - (total % 0xFFFF or 0xFFFF)
            octets[at + 16 : at + 18] = check.to_bytes(2, "big")
        return bytes(octets)


Prepared = PreparedCall | PreparedFrame | Inject | Advance | Signal | Fork


class Preparer:
    """Prepares steps, and remembers them."""

    def __init__(self) -> None:
        self._known: dict[FlatStep, Prepared] = {}

    def steps(self, flat: list[FlatStep]) -> list[Prepared]:
        known = self._known
        return [known.get(step) or self._new(step) for step in flat]

    def _new(self, flat: FlatStep) -> Prepared:
        step = build(flat)
        size = 0
        prepared: Prepared = step
        if isinstance(step, Call):
            prepared = _call(step)
            size = len(prepared.encoded.image) if prepared.encoded else 0
        elif isinstance(step, Inject):
            prepared = _frame(step.frame) or step
            size = len(prepared.octets) if isinstance(prepared, PreparedFrame) else 0
        if size <= _KEPT_OCTETS:
            if len(self._known) >= _KEPT_STEPS:
                self._known.clear()
            self._known[flat] = prepared
        return prepared


def _call(step: Call) -> PreparedCall:
    task, name, args = step.task, step.sys, step.args
    plan = PLANS.get(name)
    if plan is None:
        return PreparedCall(task, name, args, None, error=f"no such call: {name}")
    if not 0 <= task < MAX_TASKS:
        return PreparedCall(task, name, args, plan)
    refs = tuple([(at, arg) for at, arg in enumerate(args[: plan.arity]) if isinstance(arg, Ref)])
    seen: list[Ref | PortOf] = []

    def spy(ref: Ref | PortOf) -> int:
        seen.append(ref)
        return 0

    try:
        encoded = encode(tuple([0 if isinstance(arg, Ref) else arg for arg in args]), arena(task), spy)
    except ValueError as error:
        return PreparedCall(task, name, args, plan, error=f"{name}: {error}")
    registers = (encoded.registers + _PADDING)[: plan.arity]
    memory = any(not isinstance(arg, int | Ref | Null | Bad) for arg in args)
    return PreparedCall(task, name, args, plan, registers, None if seen else encoded, refs, memory)


def _frame(frame: AnyFrame) -> PreparedFrame | None:
    """The frame with its numbers left open, or None where other things are open than a TCP segment's."""
    if isinstance(frame, LinkFrame):
        try:
            return PreparedFrame(Flows().octets(frame, lambda _: 0), True, False)
        except (ValueError, TypeError, struct.error):
            return None
    flows, body = Flows(), frame.body
    seen: list[Ref | PortOf] = []

    def spy(ref: Ref | PortOf) -> int:
        seen.append(ref)
        return 0

    try:
        octets = flows.octets(frame, spy)
    except (ValueError, TypeError, IndexError, KeyError, struct.error):
        return None
    if isinstance(body, TcpSegment):
        # With a false header length the ports are under the checksum of IP.
        return None if frame.ip.options or frame.ip.ihl is not None else _segment(frame, body, octets)
    # A quoted segment has numbers of its own.
    if seen or isinstance(getattr(body, "body", b""), Frame):
        return None
    return PreparedFrame(octets, False, harmless(octets))


def _segment(frame: Frame, body: TcpSegment, octets: bytes) -> PreparedFrame | None:
    ip = frame.ip
    six = len(ip.src or ip.dst or b"") == 16 or (ip.version == 6 and ip.src is None and ip.dst is None)
    at, (peer, stack) = (40, (PEER_IP6, STACK_IP6)) if six else (20, (PEER_IP, STACK_IP))
    holes = _holes(body, at)
    if holes is None:
        return None
    ports = [port & 0xFFFF if isinstance(port, int) else port for port in (body.sport, body.dport)]
    if not holes and all(isinstance(port, int) for port in ports):
        return PreparedFrame(octets, False, harmless(octets))
    partial = None
    if body.checksum is None:
        check = int.from_bytes(octets[at + 16 : at + 18], "big")
        known = sum(_ports.unpack_from(octets, at))
        known += sum([_number.unpack_from(octets, hole.at)[0] * hole.weight for hole in holes])
        # One more 0xFFFF keeps the sum from being 0, which would stand for a sum of nothing.
        partial = (0xFFFF - check - known) % 0xFFFF + 0xFFFF
    segment = Segment(at, (ip.src or peer, ports[0]), (ip.dst or stack, ports[1]), tuple(holes), partial)
    return PreparedFrame(octets, False, harmless(octets), segment)


def _holes(body: TcpSegment, at: int) -> list[Hole] | None:
    """Where the open numbers lie in a segment whose header is `at`; None when that cannot be told."""
    holes = [Hole(at + place, value, 1) for place, value in ((4, body.seq), (8, body.ack)) if _open(value)]
    place: int | None = 20
    for option in body.options:
        if any(_open(value) for value in option.values):
            if option.name != "TS" or place is None:
                return None
            weight = 256 if place & 1 else 1
            numbers = zip((2, 6), option.values, strict=False)
            holes += [Hole(at + place + offset, value, weight) for offset, value in numbers if _open(value)]
        size = _SIZES.get(option.name)
        place = None if place is None or size is None else place + size
    return holes


def _open(value: Seq | bytes) -> TypeGuard[Rel]:
    """Whether a number depends on what the stack has sent."""
    return isinstance(value, Rel) and value.base != "peer"
