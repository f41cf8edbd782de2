"""What a raw socket, or an error queue, gives to read of the stack's own packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness.normalise import View, normalise
from conformance.harness.reads import ipv4_packet, tcp_header
from conformance.harness.tests import builders as b
from stack_under_test.contract.trace import Trace
from stack_under_test.contract.world import PEER_IP, STACK_IP
from stack_under_test.wire import icmp, tcp, tcp_options

LOOPBACK = b"\x7f\0\0\1"


def packet(message: bytes, lot: bytes, source: bytes = STACK_IP) -> bytes:
    """An IPv4 packet; `lot` are two octets that the stack drew."""
    return b"E\0\0\x40" + lot + b"\0\0@\x01" + lot + source + STACK_IP + message


def error(lot: bytes) -> bytes:
    return icmp.write(icmp.Icmp(3, 3, bytes(4), packet(lot * 8, lot)))


def read(octets: bytes, cut: int) -> View:
    """The view of a `recvmsg` that gets the octets in two pieces."""
    program = b.program(
        f"r0 = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)\nrecvmsg(r0, {{iov=[{{&buf[{cut}], {cut}}}, {{&buf[99], 99}}]}}, 0)"
    )
    outs = (("arg1.iov0", octets[:cut]), ("arg1.iov1", octets[cut:]))
    return normalise(program, Trace((b.step(3), b.step(len(octets), outs=outs))), b.LINUX)


@pytest.mark.parametrize("source", [STACK_IP, LOOPBACK])
@pytest.mark.parametrize("cut", [1, 5, 11, 23, 40])
def test_what_was_drawn_by_lot_is_not_compared(source: bytes, cut: int) -> None:
    one, other = (packet(error(lot), lot, source) for lot in (b"12", b"34"))
    assert read(one, cut) == read(other, cut)
    assert read(one, cut) != read(one[:-1], cut)
    assert read(one, cut) != read(one.replace(b"\3\3", b"\3\2"), cut)


def test_packets_of_others_are_compared_in_full() -> None:
    one, other = (packet(error(lot), lot, PEER_IP) for lot in (b"12", b"34"))
    assert read(one, 20) != read(other, 20)


def test_the_program_names_identifiers() -> None:
    one, other = (packet(icmp.write(icmp.Icmp(0, 0, lot + b"\0\1", b"data")), b"12") for lot in (b"\x12\x34", b"\x56\x78"))
    assert ipv4_packet(one, set()) == ipv4_packet(other, set())
    assert ipv4_packet(one, {0x1234}) != ipv4_packet(other, {0x1234})
    assert ipv4_packet(one, set()).endswith(b"data")


def test_clocks_are_not_compared() -> None:
    one, other = (packet(icmp.write(icmp.Icmp(14, 0, bytes(4), b"orig" + clock * 2)), b"12") for clock in (b"1234", b"5678"))
    assert ipv4_packet(one, set()) == ipv4_packet(other, set())
    assert b"orig" in ipv4_packet(one, set())


ODD = (b"", b"E", b"E" * 9, packet(b"", b"12"), packet(b"\3", b"12"), b"\x4f" + bytes(30), b"hello")


@pytest.mark.parametrize("octets", ODD)
def test_whatever_is_read_keeps_its_length(octets: bytes) -> None:
    assert len(ipv4_packet(octets, set())) == len(octets)


@pytest.mark.parametrize("options", [(), (tcp_options.Mss(1460), tcp_options.SackPermitted())])
@pytest.mark.parametrize("cut", [60, 38, 20, 13])
def test_what_a_stack_chose_in_a_header_quoted_back_is_not_compared(options: tuple[tcp_options.Option, ...], cut: int) -> None:
    """Its port, its sequence number, its timestamp; the peer's stay."""

    def sent(sport: int, seq: int, ts: int, echo: int) -> bytes:
        stamp = tcp_options.Timestamps(ts, echo)
        return tcp.write(tcp.Tcp(sport, 7, seq, 0, 2, 100, (*options, stamp)), STACK_IP, PEER_IP)[:cut]

    assert tcp_header(sent(40000, 1, 2, 3)) == tcp_header(sent(40001, 5, 0xFFFF_FFFF, 3))
    if cut == 60:
        assert tcp_header(sent(40000, 1, 2, 3)) != tcp_header(sent(40000, 1, 2, 4))


@given(st.binary(max_size=80))
def test_any_octets_may_be_quoted(octets: bytes) -> None:
    assert len(tcp_header(octets)) == len(octets)
