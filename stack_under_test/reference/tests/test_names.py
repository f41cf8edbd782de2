"""Making and naming sockets: which error wins (`net/socket.c`)."""

from __future__ import annotations

import struct

import pytest

from stack_under_test.reference.tests.programs import outs, words


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("socket(-1, 99, 0)", "EINVAL"),
        ("socket(-1, 11, 0)", "EAFNOSUPPORT"),
        ("socket(46, SOCK_STREAM, 0)", "EAFNOSUPPORT"),
        ("socket(0, 11, 0)", "EINVAL"),
        ("socket(3, SOCK_STREAM, 0)", "EAFNOSUPPORT"),
        ("socket(AF_INET6, SOCK_STREAM, 0)", "unsupported"),
        ("socket(AF_INET, SOCK_PACKET, 0)", "unsupported"),
        ("socket(AF_INET, SOCK_STREAM|16, 0)", "EINVAL"),
        ("socket(AF_INET, SOCK_SEQPACKET, 0)", "ESOCKTNOSUPPORT"),
        ("socket(AF_INET, SOCK_DGRAM, 263)", "EINVAL"),
        ("socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP)", "EPROTONOSUPPORT"),
        ("socketpair(AF_INET, SOCK_DGRAM, 0, &[0, 0])", "EOPNOTSUPP"),
        ("socketpair(AF_INET, SOCK_DGRAM, IPPROTO_TCP, BAD)", "EFAULT"),
        ("socketpair(AF_INET, 0x1000, 0, BAD)", "EINVAL"),
        ("bind(0, BAD, -1)", "ENOTSOCK"),
        ("connect(0, BAD, 16)", "EFAULT"),
        ("connect(0, BAD, -1)", "EINVAL"),
        ("connect(0, BAD, 0)", "ENOTSOCK"),
        ("connect(9, BAD, -1)", "EBADF"),
        ("accept4(9, NULL, NULL, 1)", "EBADF"),
        ("accept4(0, NULL, NULL, 1)", "EINVAL"),
        ("accept4(0, NULL, NULL, 0)", "ENOTSOCK"),
        ("listen(0, 1)", "ENOTSOCK"),
        ("shutdown(0, 9)", "ENOTSOCK"),
        ("sendto(9, -1, 1, 0, NULL, 0)", "EFAULT"),
        ("recvfrom(9, -1, 1, 0, NULL, NULL)", "EFAULT"),
        ("sendmsg(9, BAD, 0x80000000)", "EINVAL"),
        ("recvmsg(0, BAD, 0)", "ENOTSOCK"),
    ],
)
def test_the_error_that_wins(call: str, word: str) -> None:
    assert words(call) == word


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("bind(r0, BAD, 129)", "EINVAL"),
        ("bind(r0, BAD, 128)", "EFAULT"),
        ("bind(r0, BAD, 0)", "EINVAL"),
        ("accept(r0, NULL, NULL)", "EOPNOTSUPP"),
        ("getpeername(r0, BAD, BAD)", "ENOTCONN"),
        ("getsockname(r0, &addr[16], BAD)", "EFAULT"),
        ("getsockname(r0, &addr[16], &[-1])", "EINVAL"),
        ("getsockname(r0, BAD, &[0])", "0"),
        ("sendto(r0, NULL, 0, 0, BAD, 16)", "EFAULT"),
        ("sendmsg(r0, {name=NULL, namelen=-1}, 0)", "EDESTADDRREQ"),
        ('sendmsg(r0, {name="", namelen=-1}, 0)', "EINVAL"),
        ("sendmsg(r0, {iovlen=1025}, 0)", "EMSGSIZE"),
        ("sendmsg(r0, {iovlen=1}, 0)", "EFAULT"),
        ("sendmsg(r0, {iov=[{BAD, -1}]}, 0)", "EINVAL"),
        ("sendmsg(r0, {controllen=0x80000000}, 0)", "ENOBUFS"),
        ("sendmsg(r0, {controllen=131072}, 0)", "ENOBUFS"),
        ("sendmsg(r0, {control=BAD, controllen=16}, 0)", "EFAULT"),
        ("recvmsg(r0, BAD, 0)", "EFAULT"),
        ("recvmsg(r0, {iovlen=1025}, MSG_DONTWAIT)", "EMSGSIZE"),
        ("recv(r0, BAD, 1, MSG_DONTWAIT)", "EAGAIN"),
    ],
)
def test_the_error_that_wins_on_a_socket(call: str, word: str) -> None:
    assert words(f"r0 = socket(AF_INET, SOCK_DGRAM, 0)\n{call}") == f"3 {word}"


def test_a_failed_socketpair_has_stored_the_numbers_it_would_have_had() -> None:
    assert outs("socketpair(AF_INET, SOCK_DGRAM, 0, &[7, 7])")["arg3"] == struct.pack("<ii", 3, 4)
    assert words("socketpair(AF_INET, SOCK_DGRAM, 0, &[7, 7])\nr0 = dup(0)") == "EOPNOTSUPP 3"


def test_a_name_is_cut_to_the_room_for_it_but_its_whole_length_is_told() -> None:
    stored = outs("r0 = socket(AF_INET, SOCK_DGRAM, 0)\ngetsockname(r0, &addr[16], &[3])")
    assert stored == {"arg1": b"\2\0\0", "arg2": struct.pack("<i", 16)}


def test_a_length_is_told_even_when_the_name_cannot_be_stored() -> None:
    program = "r0 = socket(AF_INET, SOCK_DGRAM, 0)\ngetsockname(r0, BAD, &[100])"
    assert words(program) == "3 EFAULT"
    assert outs(program)["arg2"] == struct.pack("<i", 16)


def test_a_connection_is_lost_when_its_name_cannot_be_stored() -> None:
    program = """
        r0 = socket(AF_INET, SOCK_STREAM, 0)
        bind(r0, {AF_INET, 127.0.0.1, 8080}, 16)
        listen(r0, 1)
        r1 = socket(AF_INET, SOCK_STREAM, 0)
        connect(r1, {AF_INET, 127.0.0.1, 8080}, 16)
        accept(r0, BAD, &[16])
        r2 = dup(0)
        fcntl(r0, F_SETFL, O_NONBLOCK)
        accept(r0, NULL, NULL)
        recv(r1, &buf[1], 1, MSG_DONTWAIT)
    """
    assert words(program) == "3 0 0 4 0 EFAULT 5 0 EAGAIN 0"
