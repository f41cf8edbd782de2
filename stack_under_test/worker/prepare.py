"""What can be worked out about a step before it is run, kept for every equal step that follows.

Programs are made of the same few thousand steps.  A call's memory image does not change unless a reference lies in it,
and a segment's octets do not change but for two sequence numbers and a checksum; so a known step costs a fraction of
a new one. A step of another form is kept as it is and worked out each time.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from stack_under_test.contract.flows import Flows, Key
from stack_under_test.contract.frames import AnyFrame, Frame, RawFrame, Rel, Seq, TcpSegment
from stack_under_test.contract.memory import MAX_TASKS, Encoded, Resolve, arena, encode
from stack_under_test.contract.program import Advance, Call, Fork, Inject, Signal
from stack_under_test.contract.values import Arg, Bad, Null, PortOf, Ref
from stack_under_test.contract.world import PEER_IP, PEER_IP6, STACK_IP, STACK_IP6
from stack_under_test.worker.codec import FlatStep, build
from stack_under_test.worker.marks import harmless
from stack_under_test.worker.plans import PLANS, Plan

_KEPT_STEPS = 1 << 14
_KEPT_OCTETS = 4096
_PADDING = (0,) * 6
_numbers = struct.Struct("!II")


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


class PreparedFrame(NamedTuple):
    """A frame by its octets.  With a `key`, the TCP header at `at` still needs `seq` and `ack` as that flow has them,
    and a checksum: the complement of `partial` plus both numbers (None when the frame brings a checksum of its
    own)."""

    octets: bytes
    raw: bool
    harmless: bool
    key: Key | None = None
    at: int = 0
    seq: Seq = 0
    ack: Seq = 0
    partial: int | None = None

    def now(self, flows: Flows) -> bytes:
        """The octets at this moment."""
        key = self.key
        if key is None:
            return self.octets
        octets, at = bytearray(self.octets), self.at
        seq, ack = flows.number(key, self.seq), flows.number(key, self.ack)
        _numbers.pack_into(octets, at + 4, seq, ack)
        if self.partial is not None:
            check = 0xFFFF - ((self.partial + seq + ack) % 0xFFFF or 0xFFFF)
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
    """The frame with its numbers left open, or None where more than `seq` and `ack` is open."""
    if isinstance(frame, RawFrame):
        return PreparedFrame(frame.octets, True, False)
    flows, body = Flows(), frame.body
    seen: list[Ref | PortOf] = []

    def spy(ref: Ref | PortOf) -> int:
        seen.append(ref)
        return 0

    try:
        octets = flows.octets(frame, spy)
    except (ValueError, TypeError, IndexError, KeyError, struct.error):
        return None
    if seen:
        return None
    if not isinstance(body, TcpSegment):
        # A quoted segment has numbers of its own.
        return None if isinstance(getattr(body, "body", b""), Frame) else PreparedFrame(octets, False, harmless(octets))
    if any(_open(value) for option in body.options for value in option.values if not isinstance(value, bytes)):
        return None
    if not (_open(body.seq) or _open(body.ack)):
        return PreparedFrame(octets, False, harmless(octets))
    return None if frame.ip.options else _segment(frame, body, octets)


def _segment(frame: Frame, body: TcpSegment, octets: bytes) -> PreparedFrame:
    ip = frame.ip
    six = len(ip.src or ip.dst or b"") == 16 or (ip.version == 6 and ip.src is None and ip.dst is None)
    peer, stack = (PEER_IP6, STACK_IP6) if six else (PEER_IP, STACK_IP)
    sport, dport = body.sport, body.dport
    assert isinstance(sport, int)
    assert isinstance(dport, int)
    key = (ip.src or peer, sport & 0xFFFF, ip.dst or stack, dport & 0xFFFF)
    at = 40 if six else 20
    partial = None
    if body.checksum is None:
        check = int.from_bytes(octets[at + 16 : at + 18], "big")
        # One more 0xFFFF keeps the sum from being 0, which would stand for a sum of nothing.
        partial = (0xFFFF - check - sum(_numbers.unpack_from(octets, at + 4))) % 0xFFFF + 0xFFFF
    return PreparedFrame(octets, False, harmless(octets), key, at, body.seq, body.ack, partial)


def _open(value: Seq) -> bool:
    """Whether a number depends on what the stack has sent."""
    return isinstance(value, Rel) and value.base != "peer"
