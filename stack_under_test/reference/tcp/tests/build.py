"""Connections in every state, template segments, and what comes of a program as readable lines.

A scene is a program's opening: functions named after the states give one, with the listener as `l` and the connection as
`c`.  `play` runs a scene and further lines, text or segments, and shows what the further lines came to:

    = 5 b'hello'            a call came back (with what it stored); ``= blocked``; ``recv = 5`` for one that had slept
    P. 1:6(5) ack 1         a segment left: flags, sequence numbers, length; all relative to the initial numbers
    40ms . 1:1(0) ack 6     the same so long after the beginning of an ``advance``
    ESTABLISHED             what TCP_INFO says (`STATE`)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

from stack_under_test.contract import abi
from stack_under_test.contract.errnos import errno_name
from stack_under_test.contract.frame_printer import frame_text
from stack_under_test.contract.frames import PEER_ISN, Frame, Rel, TcpOption, TcpSegment
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Advance, Call, Program, Step
from stack_under_test.contract.trace import Completion, Done, FrameOut, Returned, Signalled, StepTrace, Trace
from stack_under_test.reference.sock import State
from stack_under_test.reference.target import ReferenceTarget
from stack_under_test.wire import packet, tcp_options
from stack_under_test.wire.tcp import ACK, FIN, PSH, RST, SYN, URG, Tcp, format_flags

Line: TypeAlias = str | TcpSegment
Scene: TypeAlias = tuple[Line, ...]

PEER_PORT, PORT = 1234, 8080
HERE = "{AF_INET, 192.0.2.1, 8080}"
THERE = "{AF_INET, 192.0.2.2, 1234}"
STATE = "getsockopt(c, SOL_TCP, TCP_INFO, &buf[1], &[1])"
ERROR = "getsockopt(c, SOL_SOCKET, SO_ERROR, &buf[4], &[4])"
CLOSE = "close(c)"
SHUT_WR = "shutdown(c, SHUT_WR)"
READ = "recv(c, &buf[100], 100, 0)"

MSS = TcpOption("mss", (1460,))
SACK_OK = TcpOption("sackOK")
NOP = TcpOption("nop")


def peer(offset: int) -> Rel:
    """Relative to the peer's initial sequence number."""
    return Rel("peer", offset)


def iss(offset: int) -> Rel:
    """Relative to the stack's initial sequence number."""
    return Rel("iss", offset)


OPEN = TcpSegment(PEER_PORT, PORT, SYN, peer(0), options=(MSS,))
PURE = TcpSegment(PEER_PORT, PORT, ACK, peer(1), iss(1))
DATA = replace(PURE, flags=PSH | ACK, payload=b"hello")
LAST = replace(PURE, flags=FIN | ACK)
RESET = TcpSegment(PEER_PORT, PORT, RST, peer(1))
ANSWER = replace(OPEN, flags=SYN | ACK, ack=iss(1))


def stamped(segment: TcpSegment, value: int, echo: Rel | int = Rel("ts")) -> TcpSegment:  # noqa: B008
    """With a timestamp option in front, laid out as header prediction wants it (RFC 7323 appendix A)."""
    stamp = (NOP, NOP, TcpOption("TS", (value, echo)))
    return replace(segment, options=(*segment.options, *stamp))


def sacking(segment: TcpSegment, *edges: int) -> TcpSegment:
    """With SACK blocks; `edges` are offsets from the stack's initial sequence number."""
    return replace(segment, options=(NOP, NOP, TcpOption("sack", tuple(iss(edge) for edge in edges))))


def write(size: int, flags: str = "0") -> str:
    """`c` sends that many octets."""
    return f'send(c, "{"x" * size}", {size}, {flags})'


def setsockopt(level: str, name: str, *values: int, on: str = "c") -> str:
    return f"setsockopt({on}, {level}, {name}, [{', '.join(map(str, values))}], {4 * len(values)})"


def listening(backlog: int = 4, *options: str) -> Scene:
    """`options` are lines that configure `l`."""
    return (
        "l = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)",
        f"bind(l, {HERE}, 16)",
        *options,
        f"listen(l, {backlog})",
    )


def syn_recv(opening: TcpSegment = OPEN) -> Scene:
    """A request: SYN-RECEIVED as a listener sees it, with no socket yet."""
    return (*listening(), opening)


def established(opening: TcpSegment = OPEN, answer: TcpSegment = PURE, *options: str) -> Scene:
    return (*listening(4, *options), opening, answer, "c = accept4(l, NULL, NULL, SOCK_NONBLOCK)")


def sack_established(*options: str) -> Scene:
    return established(replace(OPEN, options=(MSS, SACK_OK)), PURE, *options)


def stamped_established() -> Scene:
    """With timestamps; the peer's clock stands at 1000, then 1001."""
    return established(stamped(OPEN, 1000, 0), stamped(PURE, 1001))


def client(*options: str) -> Scene:
    return ("c = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)", *options, f"bind(c, {HERE}, 16)")


def syn_sent(*options: str) -> Scene:
    return (*client(*options), f"connect(c, {THERE}, 16)")


def crossed() -> Scene:
    """SYN-RECEIVED after crossed SYNs."""
    return (*syn_sent(), OPEN)


def fin_wait1() -> Scene:
    return (*established(), SHUT_WR)


def fin_wait2() -> Scene:
    return (*fin_wait1(), replace(PURE, ack=iss(2)))


def closing() -> Scene:
    return (*fin_wait1(), LAST)


def time_wait() -> Scene:
    return (*fin_wait2(), replace(LAST, ack=iss(2)))


def close_wait() -> Scene:
    return (*established(), LAST)


def last_ack() -> Scene:
    return (*close_wait(), SHUT_WR)


def run(program: Program) -> Trace:
    return ReferenceTarget().run(program)


def play(scene: Scene, *lines: Line) -> list[str]:
    """What `lines` came to, after `scene`."""
    return [text for texts in acts(scene, *lines) for text in texts]


def acts(scene: Scene, *lines: Line) -> list[list[str]]:
    """The same, per line."""
    program, trace = staged(scene, *lines)
    shown = [list(_step(step, done, program)) for step, done in _relative(program, trace)]
    return shown[len(scene) :]


def windows(scene: Scene, *lines: Line) -> list[int]:
    """The window fields of the segments that `lines` caused."""
    _, trace = staged(scene, *lines)
    found = [packet.parse(octets).upper for step in trace.steps[len(scene) :] for octets in frames(step)]
    return [segment.window for segment in found if isinstance(segment, Tcp)]


def staged(scene: Scene, *lines: Line) -> tuple[Program, Trace]:
    text = "\n".join(line if isinstance(line, str) else f"< {frame_text(Frame(line), str)}" for line in (*scene, *lines))
    program = parse_program(text)
    return program, run(program)


def frames(step: StepTrace) -> list[bytes]:
    return [event.octets for event in step.events if isinstance(event, FrameOut)]


class _Relative(dict[tuple[int, int], int]):
    """By the stack's port and the peer's, the stack's initial sequence number."""

    def saw(self, step: StepTrace) -> None:
        for octets in frames(step):
            segment = packet.parse(octets).upper
            if isinstance(segment, Tcp) and segment.flags & SYN:
                self[segment.sport, segment.dport] = segment.seq


def _relative(program: Program, trace: Trace) -> Iterator[tuple[Step, tuple[StepTrace, _Relative]]]:
    isns = _Relative()
    for step, done in zip(program.steps, trace.steps, strict=True):
        isns.saw(done)
        yield step, (done, isns)


def _step(step: Step, done: tuple[StepTrace, _Relative], program: Program) -> Iterator[str]:
    traced, isns = done
    if isinstance(step, Call):
        yield _call(step, traced)
    elif traced.outcome != Done():
        yield str(traced.outcome)
    for event in traced.events:
        when = f"{round((event.at - traced.started) / 1_000_000)}ms " if isinstance(step, Advance) else ""
        if isinstance(event, FrameOut):
            yield when + frame(event.octets, isns)
        elif isinstance(event, Completion):
            call = program.steps[event.step]
            assert isinstance(call, Call)
            yield f"{when}{call.sys} {_returned(call, event.outcome)}"
        else:
            assert isinstance(event, Signalled)
            yield when + event.signal


def _call(step: Call, traced: StepTrace) -> str:
    outcome = traced.outcome
    return _returned(step, outcome) if isinstance(outcome, Returned) else f"= {type(outcome).__name__.lower()}"


def _returned(step: Call, outcome: Returned) -> str:
    if outcome.errno:
        return f"= {errno_name(outcome.errno)}"
    outs = dict(outcome.outs)
    if step.sys == "getsockopt":
        octets = outs["arg3"].ljust(4, b"\0")
        if step.args[1:3] == (abi.SOL_TCP, abi.TCP_INFO):
            return State(octets[0]).name
        number = int(struct.unpack_from("<i", octets)[0])
        return f"= {errno_name(number)}" if number and step.args[2] == abi.SO_ERROR else f"= {number}"
    if step.sys in ("recv", "read") and outs.get("arg1"):
        return f"= {outcome.value} {outs['arg1']!r}"
    if step.sys == "ioctl":
        return f"= {struct.unpack('<i', outs['arg2'])[0]}"
    return f"= {outcome.value}"


def frame(octets: bytes, isns: dict[tuple[int, int], int]) -> str:
    """One segment, numbers relative; the stack's timestamp value and windows other than zero are not shown."""
    segment = packet.parse(octets).upper
    if not isinstance(segment, Tcp):
        return packet.summary(octets)
    isn = isns.get((segment.sport, segment.dport), 0)
    start = 0 if segment.flags & RST and not segment.seq else _distance(segment.seq, isn)
    end = start + len(segment.payload) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
    words = [format_flags(segment.flags), f"{start}:{end}({len(segment.payload)})"]
    if segment.flags & ACK:
        words.append(f"ack {_distance(segment.ack, PEER_ISN)}")
    if not segment.window and not segment.flags & RST:
        words.append("win 0")
    if segment.flags & URG:
        words.append(f"urg {segment.urgent}")
    options = [_option(option) for option in segment.options if not isinstance(option, tcp_options.Nop)]
    return " ".join([*words, *([f"<{','.join(options)}>"] if options else [])])


def _option(option: tcp_options.Option) -> str:
    if isinstance(option, tcp_options.Sack):
        blocks = [f"{_distance(left, PEER_ISN)}:{_distance(right, PEER_ISN)}" for left, right in option.blocks]
        return " ".join(["sack", *blocks])
    if isinstance(option, tcp_options.Timestamps):
        return f"TS ecr {option.echo}"
    return tcp_options.describe((option,))


def _distance(value: int, base: int) -> int:
    return ((value - base + (1 << 31)) & 0xFFFF_FFFF) - (1 << 31)
