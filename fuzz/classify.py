"""What a program reached on a stack: established, moved data, closed in order, met an error.

Read from the program and its raw trace, so that the shares a campaign prints are what happened, not what the generator
meant to happen.  Ends of one connection over loopback leave no packet on the link; those closes are not counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from stack_under_test.contract import abi
from stack_under_test.contract.frames import PEER_ISN, Frame, Rel, TcpSegment
from stack_under_test.contract.program import Call, Inject, Program
from stack_under_test.contract.trace import Completion, FrameOut, Returned, Trace
from stack_under_test.contract.values import Ref
from stack_under_test.wire.tcp import ACK, FIN, RST, SYN

_WAITING = frozenset({11, 115})
"""EAGAIN and EINPROGRESS say "later", not "wrong"."""

_MOVING = frozenset({"read", "write", "readv", "writev", "send", "sendto", "sendmsg", "recv", "recvfrom", "recvmsg"})


class Reached(NamedTuple):
    """Each is one of the four classes of which every campaign prints the share."""

    established: bool = False
    moved_data: bool = False
    closed_in_order: bool = False
    met_error: bool = False


def classify(program: Program, trace: Trace) -> Reached:
    """What `program` reached, by the trace of one stack's run of it."""
    results = dict(_results(trace))
    closed = _Wire(program, trace)
    established = closed.established or _connected(program, results)
    moved = any(result.value > 0 and _step(program, index).sys in _MOVING for index, result in results.items())
    error = any(result.errno and result.errno not in _WAITING for result in results.values())
    return Reached(established, moved, closed.in_order, error)


def _step(program: Program, index: int) -> Call:
    step = program.steps[index]
    return step if isinstance(step, Call) else Call("")


def _results(trace: Trace) -> Iterator[tuple[int, Returned]]:
    """Every call's result, whether it came at once or later."""
    for index, step in enumerate(trace.steps):
        if isinstance(step.outcome, Returned):
            yield index, step.outcome
        for event in step.events:
            if isinstance(event, Completion):
                yield event.step, event.outcome


def _connected(program: Program, results: dict[int, Returned]) -> bool:
    """An accept gave a descriptor, or a connect of a stream socket came back with 0."""
    streams = set()
    for index in sorted(results):
        call, value = _step(program, index), results[index].value
        if value < 0:
            continue
        if call.sys == "socket" and call.args[0] == abi.AF_INET and _is_stream(call.args[1]):
            streams.add(index)
        elif call.sys in ("accept", "accept4") or (call.sys == "connect" and _names(call.args[0], streams)):
            return True
    return False


def _names(argument: object, steps: set[int]) -> bool:
    return isinstance(argument, Ref) and argument.step in steps


def _is_stream(kind: object) -> bool:
    return isinstance(kind, int) and kind & 15 == abi.SOCK_STREAM


class _Wire:
    """What the link shows, by the peer's port: a three-way handshake from our side, FINs both ways."""

    def __init__(self, program: Program, trace: Trace) -> None:
        self.established = False
        self.in_order = False
        self._opening: set[int] = set()
        self._stack_fin: set[int] = set()
        self._peer_fin: dict[int, int] = {}
        self._acked: set[int] = set()
        for step, result in zip(program.steps, trace.steps, strict=False):
            if isinstance(step, Inject) and isinstance(step.frame, Frame) and isinstance(step.frame.body, TcpSegment):
                self._injected(step.frame.body)
            for event in result.events:
                if isinstance(event, FrameOut):
                    self._sent(event.octets[14:] if program.world.link == "tap" else event.octets)

    def _injected(self, segment: TcpSegment) -> None:
        if segment.flags & FIN and isinstance(segment.sport, int) and isinstance(segment.seq, Rel):
            end = PEER_ISN + segment.seq.offset + len(segment.payload) + 1
            self._peer_fin[segment.sport] = end & 0xFFFF_FFFF

    def _sent(self, octets: bytes) -> None:
        if len(octets) < 40 or octets[0] >> 4 != 4 or octets[9] != 6:
            return
        _, port, _, ack, _, flags = struct.unpack_from("!HHIIBB", octets, (octets[0] & 15) * 4)
        if flags & RST:
            return
        if flags & SYN:
            self._opening.update(() if flags & ACK else (port,))
            return
        if flags & ACK and port in self._opening:
            self.established = True
        if flags & FIN:
            self._stack_fin.add(port)
        end = self._peer_fin.get(port)
        if flags & ACK and end is not None and (ack - end) & 0xFFFF_FFFF < 1 << 31:
            self._acked.add(port)
        if port in self._stack_fin and port in self._acked:
            self.in_order = True
