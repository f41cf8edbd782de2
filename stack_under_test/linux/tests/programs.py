"""Short ways to write programs."""

from __future__ import annotations

from stack_under_test.contract.abi import AF_INET, SOCK_NONBLOCK, SOCK_STREAM
from stack_under_test.contract.frames import Frame, Rel, TcpOption, TcpSegment, UdpDatagram
from stack_under_test.contract.program import Call, Inject, Program, Step
from stack_under_test.contract.values import Arg, Inet, Ref
from stack_under_test.contract.world import STACK_IP, World
from stack_under_test.wire.tcp import ACK, SYN

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
