"""SOL_SOCKET options: lengths, values, what is read back (`net/core/sock.c`)."""

from __future__ import annotations

import struct

import pytest

from stack_under_test.reference.tests.programs import outs, words

UDP = "r0 = socket(AF_INET, SOCK_DGRAM, 0)\n"
TCP = "r0 = socket(AF_INET, SOCK_STREAM, 0)\n"


def read_back(name: str, value: str, length: int = 4, socket: str = UDP) -> bytes:
    program = f"{socket}setsockopt(r0, SOL_SOCKET, {name}, {value}, {length})\n"
    return outs(f"{program}getsockopt(r0, SOL_SOCKET, {name}, &buf[64], &[64])")["arg3"]


def integer(octets: bytes) -> int:
    return int(struct.unpack("<i", octets)[0])


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("setsockopt(r0, SOL_SOCKET, SO_BROADCAST, [1], 3)", "EINVAL"),
        ("setsockopt(r0, SOL_SOCKET, SO_BROADCAST, [1], -1)", "EINVAL"),
        ("setsockopt(r0, SOL_SOCKET, SO_BROADCAST, BAD, 4)", "EFAULT"),
        ("setsockopt(r0, SOL_SOCKET, 999, BAD, 4)", "EFAULT"),
        ("setsockopt(r0, SOL_SOCKET, 999, [1], 4)", "ENOPROTOOPT"),
        ("setsockopt(r0, SOL_SOCKET, SO_TYPE, [1], 4)", "ENOPROTOOPT"),
        ("setsockopt(r0, SOL_SOCKET, SO_PASSCRED, [1], 4)", "EOPNOTSUPP"),
        ("setsockopt(r0, SOL_SOCKET, SO_LINGER, [1, 0], 4)", "EINVAL"),
        ("setsockopt(r0, SOL_SOCKET, SO_RCVTIMEO, {sec=1, usec=1000000}, 16)", "EDOM"),
        ("setsockopt(r0, SOL_SOCKET, SO_RCVTIMEO, {sec=1, usec=0}, 15)", "EINVAL"),
        ('setsockopt(r0, SOL_SOCKET, SO_BINDTODEVICE, "nope", 4)', "ENODEV"),
        ('setsockopt(r0, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2)', "0"),
        ("setsockopt(r0, SOL_SOCKET, SO_BINDTODEVICE, NULL, 0)", "0"),
        ("setsockopt(r0, SOL_SOCKET, SO_BINDTOIFINDEX, [-1], 4)", "EINVAL"),
        ("setsockopt(r0, SOL_SOCKET, SO_BUF_LOCK, [4], 4)", "EINVAL"),
        ("setsockopt(r0, SOL_SOCKET, SO_ZEROCOPY, [2], 4)", "EINVAL"),
        ("setsockopt(r0, SOL_SOCKET, SO_ATTACH_FILTER, [0, 0, 0, 0], 16)", "EINVAL"),
        ("setsockopt(r0, SOL_SOCKET, SO_ATTACH_BPF, [99], 4)", "EBADF"),
        ("setsockopt(r0, SOL_SOCKET, SO_ATTACH_BPF, [0], 4)", "EINVAL"),
        ("setsockopt(r0, SOL_SOCKET, SO_DETACH_FILTER, [0], 4)", "ENOENT"),
        ("setsockopt(r0, SOL_SOCKET, SO_TIMESTAMPING, [-1], 4)", "EINVAL"),
        ("setsockopt(r0, SOL_SOCKET, SO_TIMESTAMPING, [2], 4)", "unsupported"),
        ("setsockopt(r0, SOL_SOCKET, SO_TXREHASH, [1], 4)", "EOPNOTSUPP"),
        ("getsockopt(r0, SOL_SOCKET, SO_TYPE, &buf[4], BAD)", "EFAULT"),
        ("getsockopt(r0, SOL_SOCKET, SO_TYPE, &buf[4], &[-1])", "EINVAL"),
        ("getsockopt(r0, SOL_SOCKET, 999, &buf[4], &[-1])", "EINVAL"),
        ("getsockopt(r0, SOL_SOCKET, 999, &buf[4], &[4])", "ENOPROTOOPT"),
        ("getsockopt(r0, SOL_SOCKET, SO_TYPE, BAD, &[4])", "EFAULT"),
        ("getsockopt(r0, SOL_SOCKET, SO_TYPE, BAD, &[0])", "0"),
        ("getsockopt(r0, SOL_SOCKET, SO_PEERNAME, &buf[16], &[16])", "ENOTCONN"),
        ("getsockopt(r0, SOL_SOCKET, SO_COOKIE, &buf[8], &[7])", "EINVAL"),
        ("getsockopt(r0, SOL_SOCKET, SO_COOKIE, &buf[8], &[8])", "unsupported"),
    ],
)
def test_the_error_that_wins(call: str, word: str) -> None:
    assert words(UDP + call) == f"3 {word}"


def test_an_answer_is_cut_to_the_room_and_its_length_told() -> None:
    assert outs(f"{UDP}getsockopt(r0, SOL_SOCKET, SO_TYPE, &buf[8], &[2])") == {
        "arg3": b"\2\0",
        "arg4": struct.pack("<i", 2),
    }


def test_flags_read_back_as_one() -> None:
    for name in ("SO_REUSEADDR", "SO_BROADCAST", "SO_KEEPALIVE", "SO_DEBUG", "SO_RXQ_OVFL", "SO_TIMESTAMP"):
        assert integer(read_back(name, "[-5]")) == 1
        assert integer(read_back(name, "[0]")) == 0


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("SO_SNDBUF", 0, 4608),
        ("SO_RCVBUF", 0, 2304),
        ("SO_SNDBUF", 10000, 20000),
        ("SO_RCVBUF", -1, 425984),
        ("SO_SNDBUF", 1 << 30, 425984),
        ("SO_RCVLOWAT", 0, 1),
        ("SO_RCVLOWAT", -1, 0x7FFFFFFF),
        ("SO_PEEK_OFF", 7, 7),
        ("SO_INCOMING_CPU", -1, -1),
    ],
)
def test_numbers_are_brought_into_range(name: str, value: int, kept: int) -> None:
    assert integer(read_back(name, f"[{value}]")) == kept


def test_times_are_rounded_up_to_ticks() -> None:
    assert read_back("SO_RCVTIMEO", "{sec=1, usec=1}", 16) == struct.pack("<qq", 1, 4000)
    assert read_back("SO_SNDTIMEO", "{sec=0, usec=999999}", 16) == struct.pack("<qq", 1, 0)
    assert read_back("SO_RCVTIMEO", "{sec=-1, usec=0}", 16) == bytes(16)
    assert read_back("SO_LINGER", "[5, 3]", 8) == struct.pack("<ii", 1, 3)
    assert read_back("SO_LINGER", "[0, 3]", 8) == bytes(8)


def test_a_device_is_read_back_by_name() -> None:
    assert read_back("SO_BINDTODEVICE", '"tun0"', 4) == b"tun0\0"
    assert read_back("SO_BINDTODEVICE", '""', 0) == b""


def test_a_locked_filter_stays_locked() -> None:
    program = f"""{UDP}
        setsockopt(r0, SOL_SOCKET, SO_LOCK_FILTER, [1], 4)
        setsockopt(r0, SOL_SOCKET, SO_LOCK_FILTER, [0], 4)
        setsockopt(r0, SOL_SOCKET, SO_DETACH_FILTER, [0], 4)
        getsockopt(r0, SOL_SOCKET, SO_LOCK_FILTER, &ints[4], &[4])
    """
    assert words(program) == "3 0 EPERM EPERM 0"
    assert integer(outs(program)["arg3"]) == 1


def test_reading_an_error_clears_it() -> None:
    program = """
        r0 = socket(AF_INET, SOCK_DGRAM, 0)
        connect(r0, {AF_INET, 127.0.0.1, 9}, 16)
        send(r0, "x", 1, 0)
        getsockopt(r0, SOL_SOCKET, SO_ERROR, &ints[4], &[4])
    """
    assert integer(outs(program)["arg3"]) == 111
    assert integer(outs(f"{program}getsockopt(r0, SOL_SOCKET, SO_ERROR, &ints[4], &[4])")["arg3"]) == 0


def test_tcp_starts_with_its_own_buffers() -> None:
    assert integer(outs(f"{TCP}getsockopt(r0, SOL_SOCKET, SO_SNDBUF, &ints[4], &[4])")["arg3"]) == 16384
    assert integer(outs(f"{TCP}getsockopt(r0, SOL_SOCKET, SO_RCVBUF, &ints[4], &[4])")["arg3"]) == 131072
