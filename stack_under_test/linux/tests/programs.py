"""Short ways to write programs and to read traces."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from stack_under_test.contract.abi import AF_INET, SOCK_NONBLOCK, SOCK_STREAM
from stack_under_test.contract.frames import Frame, Rel, TcpOption, TcpSegment, UdpDatagram
from stack_under_test.contract.program import Call, Inject, Program, Step
from stack_under_test.contract.trace import Completion, FrameOut, Outcome, Returned, StepTrace, Trace
from stack_under_test.contract.values import Arg, Inet, Ref
from stack_under_test.contract.world import STACK_IP, World

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
PEER_PORT, PORT = 1234, 8080
HERE = Inet(STACK_IP, PORT)


def call(name: str, *args: Arg, task: int = 0) -> Call:
    return Call(name, args, task)


def program(*steps: Step, world: World | None = None) -> Program:
    return Program(steps, world or World())


def segment(flags: int, seq: int = 0, ack: int | None = None, payload: bytes = b"", port: int = PORT) -> Inject:
    """A segment of the peer's; `seq` and `ack` count from the initial numbers."""
    options = (TcpOption("mss", (1460,)),) if flags & SYN else ()
    acknowledged = 0 if ack is None else Rel("iss", ack)
    return Inject(Frame(TcpSegment(PEER_PORT, port, flags, Rel("peer", seq), acknowledged, options=options, payload=payload)))


def datagram(payload: bytes, port: int = PORT) -> Inject:
    return Inject(Frame(UdpDatagram(PEER_PORT, port, payload)))


def listening(flags: int = 0) -> tuple[Step, ...]:
    """Three steps; r0 listens on PORT."""
    return (
        call("socket", AF_INET, SOCK_STREAM | flags, 0),
        call("bind", Ref(0), HERE, 16),
        call("listen", Ref(0), 4),
    )


def established(flags: int = 0) -> tuple[Step, ...]:
    """Six steps; r5 is a connection to the peer, accepted with `flags`."""
    return (
        *listening(SOCK_NONBLOCK),
        segment(SYN),
        segment(ACK, 1, 1),
        call("accept4", Ref(0), 0, 0, flags),
    )


def result(step: StepTrace) -> tuple[int, str]:
    """(value, name of the error)."""
    outcome: Outcome = step.outcome
    assert isinstance(outcome, Returned), outcome
    return outcome.value, errno.errorcode[outcome.errno] if outcome.errno else ""


def results(trace: Trace) -> list[tuple[int, str] | str]:
    """What each step came to: a result, or the name of the outcome's class."""
    return [result(step) if isinstance(step.outcome, Returned) else type(step.outcome).__name__ for step in trace.steps]


def frames(steps: Sequence[StepTrace] | StepTrace) -> list[bytes]:
    each = [steps] if isinstance(steps, StepTrace) else steps
    return [event.octets for step in each for event in step.events if isinstance(event, FrameOut)]


def flags_of(frame: bytes) -> int:
    """TCP flags of an IPv4 packet without options."""
    return frame[33]


def completions(step: StepTrace) -> list[tuple[int, int, int]]:
    """(step, value, errno) of the calls that came back in this step."""
    return [(event.step, event.outcome.value, event.outcome.errno) for event in step.events if isinstance(event, Completion)]


def out(step: StepTrace, path: str) -> bytes:
    assert isinstance(step.outcome, Returned)
    return dict(step.outcome.outs)[path]
