"""Sending and receiving through the system call layer (`net/socket.c`)."""

from __future__ import annotations

import struct

from stack_under_test.reference.tests.programs import outs, words

PAIR = """
    r0 = socket(AF_INET, SOCK_DGRAM|SOCK_NONBLOCK, 0)
    bind(r0, {AF_INET, 127.0.0.1, 1000}, 16)
    r1 = socket(AF_INET, SOCK_DGRAM|SOCK_NONBLOCK, 0)
    bind(r1, {AF_INET, 127.0.0.1, 2000}, 16)
    connect(r1, {AF_INET, 127.0.0.1, 1000}, 16)
"""
NAME = struct.pack("<H", 2) + struct.pack("!H4s8x", 2000, bytes((127, 0, 0, 1)))


def test_a_read_of_nothing_takes_nothing_but_a_receive_does() -> None:
    program = f"""{PAIR}
        send(r1, "abc", 3, 0)
        read(r0, NULL, 0)
        recv(r0, NULL, 0, 0)
        recv(r0, NULL, 0, 0)
    """
    assert words(program).split()[5:] == ["3", "0", "0", "EAGAIN"]


def test_a_write_of_nothing_is_a_datagram_but_a_vector_of_nothing_is_none() -> None:
    program = f"""{PAIR}
        writev(r1, [{{"", 0}}], 1)
        recv(r0, &buf[4], 4, 0)
        write(r1, NULL, 0)
        recv(r0, &buf[4], 4, 0)
    """
    assert words(program).split()[5:] == ["0", "EAGAIN", "0", "0"]


def test_recvfrom_stores_data_and_name() -> None:
    program = f'{PAIR}\nsend(r1, "abc", 3, 0)\nrecvfrom(r0, &buf[8], 8, 0, &addr[32], &[32])'
    assert outs(program) == {"arg1": b"abc", "arg4": NAME, "arg5": struct.pack("<i", 16)}


def test_a_name_that_cannot_be_stored_fails_the_call_after_the_data_is_taken() -> None:
    program = f"""{PAIR}
        send(r1, "abc", 3, 0)
        recvfrom(r0, &buf[8], 8, 0, BAD, &[16])
        recvfrom(r0, &buf[8], 8, 0, &addr[16], &[16])
    """
    assert words(program).split()[6:] == ["EFAULT", "EAGAIN"]


def test_recvmsg_scatters_and_reports() -> None:
    program = f"""{PAIR}
        setsockopt(r0, SOL_IP, IP_PKTINFO, [1], 4)
        send(r1, "abcdef", 6, 0)
        recvmsg(r0, {{name=&addr[16], namelen=16, iov=[{{&buf[2], 2}}, {{&buf[3], 3}}], control=&control[64],
            controllen=64, flags=77}}, 0)
    """.replace("control=&control[64],\n            ", "control=&control[64], ")
    stored = outs(program)
    assert (stored["arg1.iov0"], stored["arg1.iov1"], stored["arg1.name"]) == (b"ab", b"cde", NAME)
    assert struct.unpack("<I", stored["arg1.flags"]) == (0x20,)
    assert struct.unpack("<Q", stored["arg1.controllen"]) == (32,)
    assert struct.unpack_from("<QII", stored["arg1.control"]) == (28, 0, 8)


def test_control_data_without_room_is_cut_and_marked() -> None:
    ask = "setsockopt(r0, SOL_IP, IP_PKTINFO, [1], 4)\nsend(r1, NULL, 0, 0)\n"
    short = outs(f"{PAIR}\n{ask}recvmsg(r0, {{control=&control[64], controllen=20}}, 0)")
    assert struct.unpack("<I", short["arg1.flags"]) == (0x8,)
    assert struct.unpack("<Q", short["arg1.controllen"]) == (20,)
    assert len(short["arg1.control"]) == 20
    none = outs(f"{PAIR}\n{ask}recvmsg(r0, {{controllen=64}}, 0)")
    assert struct.unpack("<I", none["arg1.flags"]) == (0x8,)
    assert struct.unpack("<Q", none["arg1.controllen"]) == (0,)


def test_what_would_have_to_be_reported_with_data_is_refused_not_left_out() -> None:
    program = f"{PAIR}\nsetsockopt(r0, SOL_SOCKET, SO_TIMESTAMP, [1], 4)\nsend(r1, NULL, 0, 0)\nrecvmsg(r0, {{}}, 0)"
    assert words(program.replace("{}", "{flags=0}")).split()[-1] == "unsupported"


def test_sending_on_a_closed_connection_raises_sigpipe() -> None:
    program = """
        r0 = socket(AF_INET, SOCK_STREAM, 0)
        send(r0, "x", 1, 0)
        send(r0, "x", 1, MSG_NOSIGNAL)
        shutdown(r0, SHUT_WR)
    """
    assert words(program) == "3 EPIPE!SIGPIPE EPIPE ENOTCONN"
