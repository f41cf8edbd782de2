"""Worlds: a used one equals a fresh one, links of both kinds, sysctls."""

from __future__ import annotations

import struct

from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, IcmpMessage, Ip, RawFrame, TcpOption, TcpSegment, UdpDatagram
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Advance, Inject, Program, Step
from stack_under_test.contract.trace import StepTrace, Trace, Unsupported
from stack_under_test.contract.values import NULL, Buffer, Inet, InOut, Ints, Octets, Ref
from stack_under_test.contract.world import PEER_IP, PEER_IP6, PEER_MAC, STACK_IP, STACK_IP6, STACK_MAC, World
from stack_under_test.linux import LinuxTarget
from stack_under_test.linux.tests.programs import HERE, call, datagram, established, listening, program, segment
from stack_under_test.linux.tests.traces import flags_of, frames, out, result, results
from stack_under_test.wire.tcp import ACK, FIN, PSH, RST, SYN

MS = 1_000_000
NONBLOCK = abi.SOCK_NONBLOCK
TAP = World(link="tap")

_FRAGMENT = Inject(Frame(UdpDatagram(1234, 8080, b"half"), Ip(more_fragments=True, dont_fragment=False, ident=7)))
_TOO_BIG = Inject(
    Frame(IcmpMessage(3, 4, struct.pack("!HH", 0, 600), Frame(UdpDatagram(8080, 53, b"x" * 8), Ip(src=STACK_IP, dst=PEER_IP))))
)

LEAVERS: dict[str, tuple[Step, ...]] = {
    "open": established(),
    "half open": (*listening(), segment(SYN)),
    "half open, listener closed": (*listening(), segment(SYN), call("close", Ref(0))),
    "in the accept queue": (*listening(), segment(SYN), segment(ACK, 1, 1)),
    "time wait": (
        *established(),
        call("close", Ref(5)),
        segment(FIN | ACK, 1, 2),
        segment(ACK, 2, 2),
    ),
    "orphan in FIN-WAIT-1": (*established(), call("send", Ref(5), Octets(b"abc"), 3, 0), call("close", Ref(5))),
    "orphan in FIN-WAIT-2": (*established(), call("close", Ref(5)), segment(ACK, 1, 2)),
    "SYN-SENT": (
        call("socket", abi.AF_INET, abi.SOCK_STREAM | NONBLOCK, 0),
        call("bind", Ref(0), HERE, 16),
        call("connect", Ref(0), Inet(PEER_IP, 1234), 16),
    ),
    "loopback": (
        *listening(NONBLOCK),
        call("socket", abi.AF_INET, abi.SOCK_STREAM | NONBLOCK, 0),
        call("connect", Ref(3), HERE, 16),
        call("close", Ref(3)),
    ),
    "fragment": (_FRAGMENT,),
    "path MTU": (
        call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0),
        call("bind", Ref(0), HERE, 16),
        call("connect", Ref(0), Inet(PEER_IP, 53), 16),
        call("send", Ref(0), Octets(b"x" * 8), 8, 0),
        _TOO_BIG,
        call("getsockopt", Ref(0), abi.SOL_IP, abi.IP_MTU, Buffer(4, "ints"), InOut((4,))),
    ),
    "multicast": (
        call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0),
        call("setsockopt", Ref(0), abi.SOL_IP, abi.IP_ADD_MEMBERSHIP, Octets(bytes((239, 1, 2, 3)) + STACK_IP), 8),
    ),
    "interface down": (
        call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0),
        call("ioctl", Ref(0), 0x8914, Octets(b"tun0".ljust(16, b"\0") + bytes(24))),
    ),
    "lingering": (
        *established(),
        call("setsockopt", Ref(5), abi.SOL_SOCKET, abi.SO_LINGER, Ints((1, 100)), 8),
        call("send", Ref(5), Octets(b"abc"), 3, 0),
        call("close", Ref(5)),
    ),
}


def essence(trace: Trace) -> list[object]:
    """What does not differ from run to run: outcomes (outs left out where they hold ports), and the frames' kinds."""
    return [(results(trace)[at], [_kind(frame) for frame in frames(step)]) for at, step in enumerate(trace.steps)]


def _kind(frame: bytes) -> tuple[int, int, bytes]:
    return len(frame), frame[9], frame[33:34] if frame[9] == 6 else frame[20:22]


def test_a_used_world_equals_a_fresh_one(linux: LinuxTarget) -> None:
    """Every program answers the same whichever ran before it."""
    programs = [Program(steps) for steps in LEAVERS.values()]
    first = [essence(trace) for trace in linux.run_many(programs)]
    for shift in (1, 5):
        order = [(index * 5 + shift) % len(programs) for index in range(len(programs))]
        again = linux.run_many([programs[index] for index in order])
        for index, trace in zip(order, again, strict=True):
            assert essence(trace) == first[index], list(LEAVERS)[index]


def test_a_path_mtu_was_learnt_and_forgotten(linux: LinuxTarget) -> None:
    for _ in range(2):
        trace = linux.run(Program(LEAVERS["path MTU"]))
        assert out(trace.steps[5], "arg3") == struct.pack("<I", 600)
    again = LEAVERS["path MTU"][:3] + LEAVERS["path MTU"][5:]
    assert out(linux.run(Program(again)).steps[3], "arg3") == struct.pack("<I", 1500)


_LEARNT = """
r0 = socket(AF_INET, SOCK_STREAM, 0)
r1 = socket(AF_INET, SOCK_DGRAM, 0)
bind(r1, {AF_INET, 192.0.2.1, 0}, 16)
connect(r0, {AF_INET, 192.0.2.2, 40003}, 16)
< tcp 40003 > port(r0) S. seq peer+0 ack nxt+0 win 0
send(r0, "A"*875, 875, 0)
< icmp 3 4 mtu 40 quoting (udp port(r1) > 40001 "ABCDE")
< tcp 40003 > port(r0) P. seq peer+1 ack nxt+0 "a"
"""


def test_a_path_mtu_leaves_nothing_to_later_routes(linux: LinuxTarget) -> None:
    """A next hop keeps a learnt path MTU that was flushed: later connections are bound to it, and hear of the next one."""
    for _ in range(3):
        trace = linux.run(parse_program(_LEARNT))
        assert [len(frame) for frame in frames(trace.steps[-1])] == [548, 48, 379]


def test_nothing_is_left(linux: LinuxTarget) -> None:
    """The port and the four-tuple are free, and nothing comes unasked, after each of them."""
    probe = program(*listening(), Advance(5 * MS), segment(ACK, 1, 1), segment(SYN))
    for name, steps in LEAVERS.items():
        linux.run(Program(steps))
        trace = linux.run(probe)
        assert results(trace)[:3] == [(3, ""), (0, ""), (0, "")], name
        assert [[flags_of(frame) for frame in frames(step)] for step in trace.steps[3:]] == [[], [RST], [SYN | ACK]], name


def test_worlds_are_silent(linux: LinuxTarget) -> None:
    """Neither link sends anything of its own accord: no router solicitations, no MLD reports, no ARP."""
    for world in (World(), TAP):
        assert linux.run(program(Advance(1_500 * MS), world=world)).steps[0].events == ()


# TAP


def _ethernet(frame: bytes) -> tuple[bytes, bytes, bytes]:
    return frame[:6], frame[6:12], frame[12:14]


def test_tap_carries_ethernet(linux: LinuxTarget) -> None:
    trace = linux.run(program(*established(NONBLOCK), segment(PSH | ACK, 1, 1, b"hi"), world=TAP))
    assert [_ethernet(frame) for frame in frames(trace.steps)] == [(PEER_MAC, STACK_MAC, b"\x08\x00")] * 2
    assert result(trace.steps[5]) == (4, "")


def test_tap_six(linux: LinuxTarget) -> None:
    echo = Inject(Frame(IcmpMessage(128, 0, body=b"ping"), Ip(src=PEER_IP6, dst=STACK_IP6)))
    (frame,) = frames(linux.run(program(echo, world=TAP)).steps)
    assert _ethernet(frame) == (PEER_MAC, STACK_MAC, b"\x86\xdd")
    assert frame[14 + 40] == 129


def test_tap_asks_for_strangers_and_forgets_them(linux: LinuxTarget) -> None:
    stranger = bytes((192, 0, 2, 77))
    steps = (
        call("socket", abi.AF_INET, abi.SOCK_DGRAM, 0),
        call("sendto", Ref(0), Octets(b"x"), 1, 0, Inet(stranger, 9), 16),
    )
    for _ in range(2):
        (frame,) = frames(linux.run(program(*steps, world=TAP)).steps)
        assert frame[:6] == b"\xff" * 6
        assert frame[12:14] == b"\x08\x06"
        assert frame[38:42] == stranger


def test_tap_raw_frames_go_as_they_are(linux: LinuxTarget) -> None:
    request = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, PEER_MAC, PEER_IP, bytes(6), STACK_IP)
    trace = linux.run(program(Inject(RawFrame(b"\xff" * 6 + PEER_MAC + b"\x08\x06" + request)), world=TAP))
    (frame,) = frames(trace.steps)
    assert _ethernet(frame) == (PEER_MAC, STACK_MAC, b"\x08\x06")


# Sysctls


def _synack(step: StepTrace) -> bytes:
    (frame,) = frames(step)
    return frame


def test_sysctls_of_a_world(linux: LinuxTarget) -> None:
    """They hold in their world only, and are recorded."""
    stamped = Inject(
        Frame(
            TcpSegment(
                1234,
                8080,
                SYN,
                options=(
                    TcpOption("mss", (1460,)),
                    TcpOption(
                        "TS",
                        (
                            1,
                            0,
                        ),
                    ),
                    TcpOption("nop"),
                    TcpOption("nop"),
                ),
            )
        )
    )
    steps = (*listening(), stamped)
    without = World(sysctls=(("net.ipv4.tcp_timestamps", "0"),))
    for _ in range(2):
        plain, other = linux.run(program(*steps)), linux.run(program(*steps, world=without))
        assert len(_synack(plain.steps[3])) - len(_synack(other.steps[3])) == 12
        assert dict(other.metadata)["net.ipv4.tcp_timestamps"] == "0"
        assert dict(plain.metadata)["net.ipv4.tcp_timestamps"] == "1"


def test_sysctls_that_cannot_be_set(linux: LinuxTarget) -> None:
    for name, value in (("net.ipv4.no_such_thing", "1"), ("net.ipv4.tcp_timestamps", "many"), ("kernel.none", "x")):
        trace = linux.run(program(*listening(), world=World(sysctls=((name, value),))))
        (step,) = trace.steps
        assert isinstance(step.outcome, Unsupported)
        assert name in step.outcome.reason


def test_many_worlds(linux: LinuxTarget) -> None:
    """More than a worker keeps."""
    worlds = [World(sysctls=(("net.ipv4.ip_default_ttl", str(ttl)),)) for ttl in range(70, 82)]
    for world in [*worlds, *worlds]:
        (frame,) = frames(linux.run(program(segment(ACK, 1, 1), world=world)).steps)
        assert frame[8] == int(world.sysctls[0][1])


def test_unknown_link(linux: LinuxTarget) -> None:
    (step,) = linux.run(program(datagram(b""), world=World(link="token ring"))).steps
    assert isinstance(step.outcome, Unsupported)


def test_orphaned_resources(linux: LinuxTarget) -> None:
    """Unread data and a full accept queue at the end."""
    for _ in range(3):
        trace = linux.run(program(*established(), segment(PSH | ACK, 1, 1, b"x" * 1000), call("accept", Ref(0), NULL, NULL)))
        assert result(trace.steps[7]) == (-1, "EAGAIN")


def test_a_path_mtu_that_no_route_has_met_is_forgotten_too(linux: LinuxTarget) -> None:
    """Nothing was sent since: the kernel's dump does not show it, and the next route would be bound to it."""
    lone = LEAVERS["path MTU"][:3] + LEAVERS["path MTU"][4:5]
    ask = LEAVERS["path MTU"][:3] + LEAVERS["path MTU"][5:]
    for _ in range(2):
        linux.run(Program(lone))
        assert out(linux.run(Program(ask)).steps[3], "arg3") == struct.pack("<I", 1500)
