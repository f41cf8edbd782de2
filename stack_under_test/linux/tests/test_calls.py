"""Every call of the contract's table, once with its plain effect and many times with arguments out of place."""

from __future__ import annotations

import socket
import struct

import pytest

from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, Ip, RawFrame, UdpDatagram
from stack_under_test.contract.memory import ARENA_SIZE
from stack_under_test.contract.program import Advance, Call, Inject, Program, Step
from stack_under_test.contract.syscalls import SYSCALLS
from stack_under_test.contract.trace import Done, Returned, Signalled, Unsupported
from stack_under_test.contract.values import (
    BAD,
    NULL,
    Arg,
    Buffer,
    EpollEvent,
    FdSet,
    Inet,
    Inet6,
    InOut,
    Ints,
    IoVec,
    MsgHdr,
    Octets,
    PollFds,
    PortOf,
    Ref,
    Timeval,
    Unix,
)
from stack_under_test.contract.world import PEER_IP, STACK_IP, STACK_IP6
from stack_under_test.linux import LinuxTarget
from stack_under_test.linux.tests.programs import (
    HERE,
    PEER_PORT,
    PORT,
    call,
    datagram,
    established,
    listening,
    program,
    segment,
)
from stack_under_test.linux.tests.traces import completions, flags_of, frames, out, result, results
from stack_under_test.wire import icmp, ipv4
from stack_under_test.wire.tcp import ACK, FIN, PSH, RST

NONBLOCK = abi.SOCK_NONBLOCK
STREAM = call("socket", abi.AF_INET, abi.SOCK_STREAM | NONBLOCK, 0)
DGRAM = call("socket", abi.AF_INET, abi.SOCK_DGRAM | NONBLOCK, 0)

PLAIN: dict[str, tuple[tuple[Step, ...], tuple[Arg, ...], tuple[int, str]]] = {
    "socket": ((), (abi.AF_INET, abi.SOCK_STREAM, 0), (3, "")),
    "socketpair": ((), (abi.AF_UNIX, abi.SOCK_STREAM, 0, InOut((0, 0))), (0, "")),
    "bind": ((STREAM,), (Ref(0), HERE, 16), (0, "")),
    "listen": ((STREAM,), (Ref(0), 1), (0, "")),
    "accept": (listening(NONBLOCK), (Ref(0), NULL, NULL), (-1, "EAGAIN")),
    "accept4": (listening(NONBLOCK), (Ref(0), NULL, NULL, 0), (-1, "EAGAIN")),
    "connect": ((STREAM,), (Ref(0), Inet(PEER_IP, 80), 16), (-1, "EINPROGRESS")),
    "shutdown": (established(NONBLOCK), (Ref(5), abi.SHUT_WR), (0, "")),
    "close": ((STREAM,), (Ref(0),), (0, "")),
    "getsockname": ((STREAM,), (Ref(0), Buffer(16, "addr"), InOut((16,))), (0, "")),
    "getpeername": ((STREAM,), (Ref(0), Buffer(16, "addr"), InOut((16,))), (-1, "ENOTCONN")),
    "send": (established(NONBLOCK), (Ref(5), Octets(b"abc"), 3, 0), (3, "")),
    "sendto": ((DGRAM,), (Ref(0), Octets(b"abc"), 3, 0, Inet(PEER_IP, 9), 16), (3, "")),
    "sendmsg": (established(NONBLOCK), (Ref(5), MsgHdr(iov=IoVec(((Octets(b"abc"), 3),))), 0), (3, "")),
    "recv": (established(NONBLOCK), (Ref(5), Buffer(8), 8, 0), (-1, "EAGAIN")),
    "recvfrom": ((DGRAM,), (Ref(0), Buffer(8), 8, 0, NULL, NULL), (-1, "EAGAIN")),
    "recvmsg": ((DGRAM,), (Ref(0), MsgHdr(iov=IoVec(((Buffer(8), 8),))), 0), (-1, "EAGAIN")),
    "read": (established(NONBLOCK), (Ref(5), Buffer(8), 8), (-1, "EAGAIN")),
    "write": (established(NONBLOCK), (Ref(5), Octets(b"abc"), 3), (3, "")),
    "readv": (established(NONBLOCK), (Ref(5), IoVec(((Buffer(8), 8),)), 1), (-1, "EAGAIN")),
    "writev": (established(NONBLOCK), (Ref(5), IoVec(((Octets(b"ab"), 2), (Octets(b"c"), 1))), 2), (3, "")),
    "setsockopt": ((STREAM,), (Ref(0), abi.SOL_SOCKET, abi.SO_KEEPALIVE, Ints((1,)), 4), (0, "")),
    "getsockopt": ((STREAM,), (Ref(0), abi.SOL_SOCKET, abi.SO_TYPE, Buffer(4), InOut((4,))), (0, "")),
    "fcntl": ((STREAM,), (Ref(0), abi.F_GETFL, 0), (abi.O_RDWR | abi.O_NONBLOCK, "")),
    "ioctl": ((STREAM,), (Ref(0), abi.FIONREAD, InOut((7,))), (0, "")),
    "dup": ((STREAM,), (Ref(0),), (4, "")),
    "dup2": ((STREAM,), (Ref(0), 9), (9, "")),
    "dup3": ((STREAM,), (Ref(0), 9, abi.O_CLOEXEC), (9, "")),
    "poll": ((STREAM,), (PollFds(((Ref(0), abi.POLLIN),)), 1, -1), (1, "")),
    "epoll_create1": ((), (abi.EPOLL_CLOEXEC,), (3, "")),
    "epoll_ctl": ((STREAM, call("epoll_create1", 0)), (Ref(1), 1, Ref(0), EpollEvent(abi.EPOLLIN, 5)), (0, "")),
    "epoll_wait": (
        (STREAM, call("epoll_create1", 0), call("epoll_ctl", Ref(1), 1, Ref(0), EpollEvent(abi.EPOLLIN, 5))),
        (Ref(1), Buffer(24, "events"), 2, -1),
        (1, ""),
    ),
    "select": ((STREAM,), (4, FdSet((Ref(0),)), NULL, NULL, Timeval(0, 0)), (1, "")),
    "lseek": ((STREAM,), (Ref(0), 0, abi.SEEK_SET), (-1, "ESPIPE")),
    "fstat": ((STREAM,), (Ref(0), Buffer(144, "stat")), (0, "")),
}


def test_every_call_is_covered() -> None:
    assert set(PLAIN) == set(SYSCALLS)


@pytest.mark.parametrize("name", sorted(SYSCALLS))
def test_plain(linux: LinuxTarget, name: str) -> None:
    before, args, expected = PLAIN[name]
    trace = linux.run(program(*before, call(name, *args)))
    assert result(trace.steps[-1]) == expected


@pytest.mark.parametrize("name", sorted(SYSCALLS))
def test_absurd_arguments(linux: LinuxTarget, name: str) -> None:
    """No argument at all, too many, wild numbers, bad pointers: an error, and the worker goes on."""
    count = len(SYSCALLS[name].params)
    rows: list[tuple[Arg, ...]] = [
        (),
        (-1,) * 8,
        (1 << 70,) * count,
        (-(1 << 63),) * count,
        (Ref(0), *(BAD,) * (count - 1)),
        (BAD,) * count,
        (Ref(99), *(NULL,) * (count - 1)),
    ]
    if name in ("accept", "accept4", "connect", "read", "recv", "recvfrom"):
        rows = [row for row in rows if row]
    trace = linux.run(program(STREAM, *(call(name, *row) for row in rows)))
    assert len(trace.steps) == 1 + len(rows)


def test_unknown_call(linux: LinuxTarget) -> None:
    trace = linux.run(program(call("frobnicate", 1), STREAM))
    assert isinstance(trace.steps[0].outcome, Unsupported)
    assert len(trace.steps) == 1


def test_lowest_free_descriptor(linux: LinuxTarget) -> None:
    trace = linux.run(program(STREAM, STREAM, STREAM, call("close", 4), STREAM, STREAM, call("dup", 3)))
    assert results(trace) == [(3, ""), (4, ""), (5, ""), (0, ""), (4, ""), (6, ""), (7, "")]


def test_standard_descriptors(linux: LinuxTarget) -> None:
    """0 to 2 are /dev/null, may be closed and overwritten, and are there again for the next program."""
    first = program(call("close", 0), STREAM, call("dup2", Ref(1), 1), call("fcntl", 2, abi.F_SETFL, abi.O_NONBLOCK))
    assert results(linux.run(first)) == [(0, ""), (0, ""), (1, ""), (0, "")]
    second = program(STREAM, call("write", 1, Octets(b"x"), 1), call("fcntl", 2, abi.F_GETFL, 0), call("read", 0, Buffer(1), 1))
    assert results(linux.run(second)) == [(3, ""), (1, ""), (abi.O_RDWR | abi.O_LARGEFILE, ""), (0, "")]


def test_descriptor_table_is_full(linux: LinuxTarget) -> None:
    """1021 may be had; blocking calls still find their way."""
    trace = linux.run(
        program(
            *[DGRAM] * 1022,
            call("fcntl", 3, abi.F_SETFL, 0),
            call("recv", 3, Buffer(4), 4, 0, task=2),
            call("close", 1023),
            DGRAM,
        )
    )
    assert result(trace.steps[1020]) == (1023, "")
    assert result(trace.steps[1021]) == (-1, "EMFILE")
    assert results(trace)[-3:] == ["Blocked", (0, ""), (1023, "")]


def test_reserved_descriptors(linux: LinuxTarget) -> None:
    for step in (call("close", 3000), call("poll", PollFds(((3001, 1),)), 1, 0), call("dup", 3999)):
        assert isinstance(linux.run(program(step)).steps[0].outcome, Unsupported)
    assert results(linux.run(program(call("close", 2999), call("close", 700)))) == [(-1, "EBADF")] * 2


def test_handshake_data_and_reset(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *established(),
            segment(PSH | ACK, 1, 1, b"hello"),
            call("recv", Ref(5), Buffer(100), 100, 0),
            call("send", Ref(5), Octets(b"world"), 5, 0),
            segment(RST, 6),
            call("read", Ref(5), Buffer(10), 10),
            call("write", Ref(5), Octets(b"x"), 1),
        )
    )
    assert flags_of(frames(trace.steps[3])[0]) == 0x12
    assert result(trace.steps[7]) == (5, "")
    assert out(trace.steps[7], "arg1") == b"hello"
    assert frames(trace.steps[8])[0][40:] == b"world"
    assert result(trace.steps[10]) == (-1, "ECONNRESET")
    assert result(trace.steps[11]) == (-1, "EPIPE")


def test_sigpipe_is_an_event(linux: LinuxTarget) -> None:
    write = call("send", Ref(5), Octets(b"x"), 1, 0)
    quiet = call("send", Ref(5), Octets(b"x"), 1, abi.MSG_NOSIGNAL)
    trace = linux.run(program(*established(), call("shutdown", Ref(5), 1), write, quiet))
    assert result(trace.steps[7]) == result(trace.steps[8]) == (-1, "EPIPE")
    signals = [[event.signal for event in step.events if isinstance(event, Signalled)] for step in trace.steps[7:]]
    assert signals == [["SIGPIPE"], []]


def test_orderly_close(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *established(NONBLOCK),
            segment(FIN | ACK, 1, 1),
            call("recv", Ref(5), Buffer(4), 4, 0),
            call("close", Ref(5)),
            segment(ACK, 2, 2),
        )
    )
    assert result(trace.steps[7]) == (0, "")
    # The FIN may come behind the acknowledgement that the next tick owed.
    assert any(flags_of(frame) & FIN for frame in frames(trace.steps[8]))


def test_datagrams_and_references(linux: LinuxTarget) -> None:
    """PortOf names the port the stack chose, in a frame and in an address; Ref.part a descriptor of a pair."""
    port = PortOf(Ref(0))
    trace = linux.run(
        program(
            DGRAM,
            call("sendto", Ref(0), Octets(b"q"), 1, 0, Inet(PEER_IP, 53), 16),
            Inject(Frame(UdpDatagram(53, port, b"answer"))),
            call("recvfrom", Ref(0), Buffer(64), 64, 0, Buffer(16, "addr"), InOut((16,))),
            call("connect", Ref(0), Inet(STACK_IP, port), 16),
            call("getpeername", Ref(0), Buffer(16, "addr"), InOut((16,))),
            call("socketpair", abi.AF_UNIX, abi.SOCK_STREAM, 0, InOut((0, 0))),
            call("write", Ref(6, 1), Octets(b"xyz"), 3),
            call("read", Ref(6, 0), Buffer(8), 8),
            call("close", Ref(6, 2)),
            call("close", Ref(5)),
        )
    )
    assert out(trace.steps[3], "arg1") == b"answer"
    chosen = frames(trace.steps[1])[0][20:22]
    assert out(trace.steps[5], "arg1")[2:4] == chosen
    assert out(trace.steps[8], "arg1") == b"xyz"
    assert result(trace.steps[9]) == (-1, "EBADF")


def test_overlong_lengths(linux: LinuxTarget) -> None:
    """What lies behind a buffer is zero, then the arena ends and the call faults."""
    trace = linux.run(
        program(
            DGRAM,
            call("bind", Ref(0), HERE, 128),
            call("sendto", Ref(0), Octets(b"abc"), 40, 0, Inet(PEER_IP, 9), 16),
            call("sendto", Ref(0), Octets(b"abc"), ARENA_SIZE + 1, 0, Inet(PEER_IP, 9), 16),
            datagram(b"d" * 100),
            call("recv", Ref(0), Buffer(10), 1000, 0),
            call("sendto", Ref(0), Octets(b"abc"), 40, 0, Inet(PEER_IP, 9), 16),
        )
    )
    sent = frames(trace.steps[2])[0][28:]
    assert sent == b"abc" + bytes(13) + bytes.fromhex("02000009") + PEER_IP + bytes(16)
    assert result(trace.steps[3])[1] == "EMSGSIZE"
    assert result(trace.steps[5]) == (100, "")
    assert out(trace.steps[5], "arg1") == b"d" * 10
    assert frames(trace.steps[6])[0][28:] == sent


def test_nothing_stays_in_memory(linux: LinuxTarget) -> None:
    """A buffer of no octets with a length is written beyond; the next call finds zeroes there all the same."""
    trace = linux.run(
        program(
            call("socketpair", abi.AF_UNIX, abi.SOCK_STREAM, 0, InOut((0, 0))),
            call("write", Ref(0, 0), Octets(b"abcde"), 5),
            call("read", Ref(0, 1), Buffer(0), 5),
            call("write", Ref(0, 0), Octets(b""), 5),
            call("read", Ref(0, 1), Buffer(5), 5),
        )
    )
    assert out(trace.steps[4], "arg1") == bytes(5)


def test_a_call_without_memory_forgets_nothing(linux: LinuxTarget) -> None:
    """What an earlier call left is cleared, although the one in between had no memory and waited."""
    trace = linux.run(
        program(
            call("socketpair", abi.AF_UNIX, abi.SOCK_STREAM, 0, InOut((0, 0))),
            call("recv", Ref(0, 0), Buffer(40000), 40000, abi.MSG_DONTWAIT, task=1),
            call("poll", NULL, 0, 5, task=1),
            Advance(20_000_000),
            call("write", Ref(0, 0), Octets(b""), 40000, task=1),
            call("read", Ref(0, 1), Buffer(40000), 40000),
        )
    )
    assert out(trace.steps[5], "arg1") == bytes(40000)


def test_bad_pointers(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            STREAM,
            call("bind", Ref(0), BAD, 16),
            call("bind", Ref(0), NULL, 16),
            call("getsockname", Ref(0), BAD, InOut((16,))),
            call("getsockname", Ref(0), Buffer(16), BAD),
            call("poll", BAD, 1, 0),
            call("setsockopt", Ref(0), 1, 2, BAD, 4),
            call("fstat", Ref(0), NULL),
            call("sendmsg", Ref(0), BAD, 0),
        )
    )
    assert {result(step) for step in trace.steps[1:]} == {(-1, "EFAULT")}


def test_memory_is_as_the_call_says(linux: LinuxTarget) -> None:
    """Nothing of an earlier call is seen by a later one that points at less."""
    trace = linux.run(
        program(STREAM, call("fstat", Ref(0), Buffer(144)), call("writev", 1, IoVec(()), 1), call("write", 1, Octets(b""), 5))
    )
    assert results(trace)[2:] == [(0, ""), (5, "")]


def test_a_wait_whose_address_is_bad(linux: LinuxTarget) -> None:
    """poll looks at its address again after waiting."""
    assert results(linux.run(program(call("poll", -1, 0, -1)))) == ["Blocked"]


def test_the_first_packet_has_its_time(linux: LinuxTarget) -> None:
    """Linux begins to note when packets arrive only some time after a socket asks, unless another one has already."""
    control = MsgHdr(iov=IoVec(((Buffer(8), 8),)), control=Buffer(64, "control"), controllen=64)
    asked = program(
        *established(NONBLOCK),
        call("setsockopt", Ref(5), abi.SOL_SOCKET, abi.SO_TIMESTAMP, Ints((1,)), 4),
        segment(ACK, 1, 1, b"x"),
        call("recvmsg", Ref(5), control, 0),
    )
    for _ in range(10):
        assert out(linux.run(asked).steps[8], "arg1.controllen") == (32).to_bytes(8, "little")


def test_raw_frames(linux: LinuxTarget) -> None:
    """A packet that is none is refused by the link; a good one by octets is answered."""
    echo = ipv4.write(ipv4.Ipv4(PEER_IP, STACK_IP, icmp.PROTOCOL, icmp.write(icmp.Icmp(8, 0, bytes(4), b"echo"))))
    trace = linux.run(program(Inject(RawFrame(b"\xff" * 40)), Inject(RawFrame(b"")), Inject(RawFrame(echo))))
    assert [type(step.outcome).__name__ for step in trace.steps] == ["Done"] * 3
    assert frames(trace.steps[2])[0][20] == 0
    assert trace.steps[0].outcome == Done(22)


def test_six(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            call("socket", abi.AF_INET6, abi.SOCK_DGRAM | NONBLOCK, 0),
            call("bind", Ref(0), Inet6(STACK_IP6, PORT), 28),
            Inject(Frame(UdpDatagram(PEER_PORT, PORT, b"six"), Ip(version=6))),
            call("recv", Ref(0), Buffer(10), 10, 0),
        )
    )
    assert out(trace.steps[3], "arg1") == b"six"


def test_unix_paths_do_not_last(linux: LinuxTarget) -> None:
    bind = program(
        call("socket", abi.AF_UNIX, abi.SOCK_STREAM, 0),
        call("bind", Ref(0), Unix(b"/tmp-sock"), 11),
        call("socket", abi.AF_UNIX, abi.SOCK_STREAM, 0),
        call("bind", Ref(2), Unix(b"relative"), 10),
        call("bind", Ref(2), Unix(b"/etc/x"), 8),
    )
    first, second = linux.run(bind), linux.run(bind)
    assert results(first) == results(second) == [(3, ""), (0, ""), (4, ""), (0, ""), (-1, "ENOENT")]


def test_enumerations_are_plain_numbers(linux: LinuxTarget) -> None:
    made = Program((Call("socket", (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)),))
    assert result(linux.run(made).steps[0]) == (3, "")
    assert isinstance(linux.run(made).steps[0].outcome, Returned)


def test_epoll_events(linux: LinuxTarget) -> None:
    trace = linux.run(
        program(
            *listening(),
            call("epoll_create1", 0),
            call("epoll_ctl", Ref(3), 1, Ref(0), EpollEvent(abi.EPOLLIN, 77)),
            call("epoll_wait", Ref(3), Buffer(24, "events"), 2, 1000, task=1),
            segment(2),
            segment(ACK, 1, 1),
            call("epoll_wait", Ref(3), Buffer(24, "events"), 2, 1000),
        )
    )
    assert completions(trace.steps[7]) == [(5, 1, 0)]
    assert out(trace.steps[8], "arg1") == struct.pack("<IQ", abi.EPOLLIN, 77)
