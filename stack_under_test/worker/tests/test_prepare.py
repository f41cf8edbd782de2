"""A prepared step is the step: the same octets, registers and memory as if it were worked out each time."""

from __future__ import annotations

import itertools
import random

import pytest

from stack_under_test.contract.flows import Flows
from stack_under_test.contract.frames import (
    AnyFrame,
    Frame,
    IcmpMessage,
    Ip,
    RawFrame,
    Rel,
    Seq,
    TcpOption,
    TcpSegment,
    UdpDatagram,
)
from stack_under_test.contract.memory import arena, encode
from stack_under_test.contract.program import Advance, Call, Inject
from stack_under_test.contract.values import BAD, Arg, Buffer, Inet, InOut, Ints, PollFds, PortOf, Ref
from stack_under_test.contract.world import PEER_IP, STACK_IP, STACK_IP6
from stack_under_test.worker.codec import flatten
from stack_under_test.worker.prepare import PreparedCall, PreparedFrame, Preparer

PORTS = (1234, 8080)


def flows() -> Flows:
    """The stack has sent a SYN-ACK and some data, over IPv4 and IPv6."""
    made = Flows()
    for ip in (Ip(src=STACK_IP, dst=PEER_IP), Ip(src=STACK_IP6, dst=bytes(15) + b"\7")):
        for flags, seq in ((0x12, 0xFFFF_FFF0), (0x10, 0xFFFF_FFF1)):
            options = (TcpOption("TS", (77, 1)),)
            segment = TcpSegment(PORTS[1], PORTS[0], flags, seq, 5, options=options, payload=b"d" * (flags == 0x10) * 40)
            made.saw(made.octets(Frame(segment, ip), lambda ref: 0))
    return made


def frames() -> list[AnyFrame]:
    draw = random.Random(1)
    numbers: list[Seq] = [
        0,
        0xFFFF_FFFF,
        *(Rel(base, offset) for base in ("peer", "iss", "nxt", "ts") for offset in (-3, 0, 9)),
    ]
    options = [
        (),
        (TcpOption("mss", (1460,)),),
        (TcpOption("TS", (Rel("peer"), Rel("ts"))), TcpOption("nop"), TcpOption("nop")),
        (TcpOption("wscale", (7,)), TcpOption("TS", (Rel("ts", 1), Rel("ts", -1)))),
        (TcpOption("raw", (99, b"abc")), TcpOption("TS", (1, Rel("ts")))),
        (TcpOption("raw", (99, b"abc")), TcpOption("TS", (1, 2))),
    ]
    ips = [
        Ip(),
        Ip(options=b"\x01\x01\x01\x00"),
        Ip(version=6),
        Ip(src=bytes(15) + b"\7", dst=STACK_IP6),
        Ip(checksum=1),
        Ip(more_fragments=True),
        Ip(total_length=30),
    ]
    found: list[AnyFrame] = [
        RawFrame(b"x"),
        Frame(UdpDatagram(1, 2, b"u")),
        Frame(UdpDatagram(1, PortOf(Ref(0)), b"u")),
    ]
    quoted = Frame(TcpSegment(8080, 1234, 2, Rel("iss")), Ip(src=STACK_IP, dst=PEER_IP))
    found += [Frame(IcmpMessage(3, 1, body=quoted)), Frame(IcmpMessage(8, 0, body=b"ping"))]
    for seq, ack in itertools.product(numbers, numbers):
        segment = TcpSegment(
            draw.choice((*PORTS, 1, 70000, PortOf(Ref(2)))),
            draw.choice((PORTS[1], PORTS[1], PortOf(Ref(1)))),
            draw.randrange(256),
            seq,
            ack,
            options=draw.choice(options),
            payload=draw.randbytes(draw.randrange(4)),
            checksum=draw.choice((None, None, None, 0, 0xFFFF)),
            data_offset=draw.choice((None, None, 4)),
        )
        found.append(Frame(segment, draw.choice(ips)))
    return found


def test_frames() -> None:
    preparer, seen = Preparer(), flows()
    prepared = 0
    for frame in frames():
        expected = seen.octets(frame, lambda ref: PORTS[1])
        for (step,) in (preparer.steps([flatten(Inject(frame))]) for _ in range(2)):
            if isinstance(step, PreparedFrame):
                prepared += 1
                assert step.now(seen, lambda ref: PORTS[1]) == expected, frame
            else:
                assert step == Inject(frame)
    assert prepared > 220


CALLS: list[tuple[str, tuple[Arg, ...]]] = [
    ("socket", (2, 1)),
    ("close", (Ref(4), 1, 2, 3)),
    ("bind", (Ref(4), Inet(STACK_IP, 80), 16)),
    ("connect", (Ref(4), Inet(STACK_IP, PortOf(Ref(3))), 16)),
    ("poll", (PollFds(((Ref(3), 1),)), 1, 0)),
    ("setsockopt", (Ref(4), 1, 2, Ints((Ref(4),)), 4)),
    ("accept4", (Ref(3), Buffer(16, "addr"), InOut((16,)), 0)),
    ("recv", (Ref(3), BAD, 1 << 70)),
]


@pytest.mark.parametrize(("name", "args"), CALLS)
def test_calls(name: str, args: tuple[Arg, ...]) -> None:
    (call,) = Preparer().steps([flatten(Call(name, args, 1))])
    assert isinstance(call, PreparedCall)
    assert call.plan is not None

    def resolve(ref: Ref | PortOf) -> int:
        return ref.step if isinstance(ref, Ref) else 8000

    expected = encode(args, arena(1), resolve)
    if call.encoded is None:
        assert call.encode(resolve) == expected
        return
    registers = list(call.registers)
    for position, ref in call.refs:
        registers[position] = resolve(ref)
    assert tuple(registers) == (expected.registers + (0,) * 6)[: call.plan.arity]
    assert (call.encoded.image, call.encoded.outs) == (expected.image, expected.outs)


def test_steps_are_remembered() -> None:
    preparer = Preparer()
    flat = [flatten(Call("socket", (2, 1, 0))), flatten(Advance(5))]
    assert all(map(lambda a, b: a is b, preparer.steps(flat), preparer.steps(list(flat))))


def test_what_cannot_be_called() -> None:
    calls = (Call("frobnicate"), Call("recv", (3, Buffer(1 << 21), 1)), Call("close", (3,), 9))
    unknown, large, nobody = Preparer().steps([flatten(call) for call in calls])
    assert isinstance(unknown, PreparedCall)
    assert isinstance(large, PreparedCall)
    assert isinstance(nobody, PreparedCall)
    assert "frobnicate" in unknown.error
    assert "octets" in large.error
    assert nobody.error == ""
