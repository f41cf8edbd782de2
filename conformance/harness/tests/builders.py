"""Builders of traces: packets a stack might have sent, steps with outcomes, a program and both its traces."""

from __future__ import annotations

from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Program
from stack_under_test.contract.target import Traits
from stack_under_test.contract.trace import (
    Completion,
    Done,
    Event,
    FrameOut,
    Outcome,
    Outs,
    Returned,
    StepTrace,
    Trace,
)
from stack_under_test.contract.world import PEER_IP, STACK_IP
from stack_under_test.wire import icmp, ipv4, tcp, udp
from stack_under_test.wire.tcp_options import NOP, SACK_PERMITTED, Mss, Option, Timestamps, WindowScale

LINUX = Traits("linux", "6.18.44", virtual_time=False, fd_base=3)
REFERENCE = Traits("reference", "6.18", virtual_time=True, fd_base=3)
PEER = 0xFFFF_FF00

HANDSHAKE = """
r0 = socket(AF_INET, SOCK_STREAM, 0)
bind(r0, {AF_INET, 192.0.2.1, 8080}, 16)
listen(r0, 1)
< tcp 1234 > 8080 S seq peer+0 <mss 1460, sackOK, TS val 100 ecr 0, nop, wscale 7>
< tcp 1234 > 8080 . seq peer+1 ack iss+1 <nop, nop, TS val 101 ecr ts+0>
r1 = accept(r0, &addr[16], &[16])
< tcp 1234 > 8080 P. seq peer+1 ack nxt+0 "hello"
recv(r1, &buf[100], 100, 0)
"""


def ip(protocol: int, payload: bytes, **fields: object) -> bytes:
    """An IPv4 packet from the stack to its peer."""
    header = ipv4.Ipv4(STACK_IP, PEER_IP, protocol, payload, dont_fragment=True)
    return ipv4.write(header._replace(**fields))  # type: ignore[arg-type]


def segment(
    flags: str, seq: int, ack: int = 0, *, sport: int = 8080, dport: int = 1234, window: int = 65160,
    options: tuple[Option, ...] = (), payload: bytes = b"", ident: int = 0,
) -> bytes:  # fmt: skip
    """A TCP segment the stack sent; `ack` is relative to the peer's initial number."""
    number = (PEER + ack) & 0xFFFF_FFFF if "." in flags else 0
    header = tcp.Tcp(sport, dport, seq & 0xFFFF_FFFF, number, tcp.parse_flags(flags), window, options, payload)
    return ip(6, tcp.write(header, STACK_IP, PEER_IP), ident=ident)


def syn_options(ts: int) -> tuple[Option, ...]:
    return (Mss(1460), SACK_PERMITTED, Timestamps(ts & 0xFFFF_FFFF, 100), NOP, WindowScale(7))


def timestamps(ts: int, echo: int = 101) -> tuple[Option, ...]:
    return (NOP, NOP, Timestamps(ts & 0xFFFF_FFFF, echo))


def datagram(sport: int, dport: int, payload: bytes = b"x") -> bytes:
    return ip(17, udp.write(udp.Udp(sport, dport, payload), STACK_IP, PEER_IP))


def unreachable(code: int, quoted: bytes) -> bytes:
    return ip(1, icmp.write(icmp.unreachable(code, quoted)), tos=0xC0)


def step(outcome: Outcome | int = 0, *events: Event, outs: Outs = (), at: int = 0, took: int = 1000) -> StepTrace:
    """A step that began at `at`; an int is what the call returned, below zero the error."""
    if isinstance(outcome, int):
        outcome = Returned(outcome, 0, outs) if outcome >= 0 else Returned(-1, -outcome, outs)
    return StepTrace(outcome, events, at, at + took)


def frame(octets: bytes, at: int = 0) -> FrameOut:
    return FrameOut(octets, at)


def done(*events: Event, at: int = 0, took: int = 1000) -> StepTrace:
    return step(Done(), *events, at=at, took=took)


def completed(index: int, value: int, errno: int = 0, outs: Outs = ()) -> Completion:
    return Completion(index, Returned(value, errno, outs))


def program(text: str) -> Program:
    return parse_program(text)


def sockaddr(port: int, address: bytes = PEER_IP) -> bytes:
    return b"\2\0" + port.to_bytes(2, "big") + address + bytes(8)


def handshake(iss: int, ts: int, ident: int = 0, window: int = 65160) -> Trace:
    """What Linux does with HANDSHAKE, for an initial number and timestamp origin drawn by lot."""
    syn_ack = segment("S.", iss, 1, options=syn_options(ts))
    ack = segment(".", iss + 1, 6, window=window, options=timestamps(ts + 1), ident=ident)
    outs = (("arg1", sockaddr(1234)), ("arg2", (16).to_bytes(4, "little")))
    return Trace(
        (
            step(3),
            step(0),
            step(0),
            done(frame(syn_ack, 10_000)),
            done(),
            step(4, outs=outs),
            done(frame(ack, 20_000)),
            step(5, outs=(("arg1", b"hello"),)),
        )
    )
