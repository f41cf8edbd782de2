"""IP input: what is dropped, what is answered, what is put together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ....contract.world import STACK_IP
from ....wire import icmp, ipv4, udp
from ..header_options import HeaderOptions, Malformed, build, compile_received, compile_user, undo
from ..output import fragments
from .build import Host, datagram, echo, packet

SECOND = 1_000_000_000
TICK = SECOND // 250


def address(text: str) -> bytes:
    return bytes(map(int, text.split(".")))


def message_of(octets: bytes) -> icmp.Icmp:
    header = ipv4.read(octets)
    assert header is not None
    found = icmp.read(header.payload)
    assert found is not None
    assert ipv4.checksum_ok(octets)
    assert icmp.checksum_ok(header.payload)
    return found


@pytest.mark.parametrize(
    ("source", "answered"),
    [
        ("192.0.2.2", True),
        ("192.0.2.255", True),
        ("8.8.8.8", True),
        ("0.0.0.1", True),
        ("0.0.0.0", False),
        ("127.0.0.1", False),
        ("192.0.2.1", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
    ],
)
def test_martian_sources_are_dropped(source: str, answered: bool) -> None:
    assert bool(Host().deliver(echo(source=address(source)))) is answered


@pytest.mark.parametrize("destination", ["192.0.2.255", "255.255.255.255", "224.0.0.1", "127.0.0.1", "10.0.0.1", "192.0.2.7"])
def test_only_our_own_address_answers(destination: str) -> None:
    assert Host().deliver(echo(destination=address(destination))) == []


@pytest.mark.parametrize(
    "fields", [{"version": 5}, {"ihl": 4}, {"ihl": 15}, {"total_length": 19}, {"total_length": 99}, {"checksum": 1}]
)
def test_malformed_headers_are_dropped(fields: dict[str, Any]) -> None:
    assert Host().deliver(echo(**fields)) == []


def test_trailing_octets_are_cut_off() -> None:
    host = Host()
    assert host.deliver(echo() + b"padding") == Host().deliver(echo())


def test_echo_keeps_code_tos_and_data() -> None:
    (reply,) = Host().deliver(packet(1, icmp.write(icmp.Icmp(8, 7, b"\0\1\0\2", b"data")), tos=0xFF, ttl=1))
    header = ipv4.read(reply)
    assert header is not None
    assert (header.tos, header.ttl, header.dont_fragment) == (0xFF, 64, False)
    assert message_of(reply)[:4] == (0, 7, b"\0\1\0\2", b"data")


def test_unknown_protocol_is_answered_with_at_most_576_octets() -> None:
    (answer,) = Host().deliver(packet(200, bytes(1000), tos=0xFF))
    assert len(answer) == 576
    assert (message_of(answer).type, message_of(answer).code, answer[1]) == (3, 2, 0xDE)


@pytest.mark.parametrize(("protocol", "kind"), [(1, 3), (1, 11), (1, 9), (1, 99)])
def test_no_error_about_an_error(protocol: int, kind: int) -> None:
    bad_options = b"\x99\x01\0\0"
    assert Host().deliver(packet(protocol, icmp.write(icmp.Icmp(kind, 0)), options=bad_options)) == []


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ("07040400", 22),
        ("99010000", 20),
        ("01010107", 23),
        ("44040500", None),
        ("440405f0", 23),
        ("94030000", 21),
        ("0707040000000000", None),
        ("07030400", None),
        ("0703040703040000", 23),
    ],
)
def test_options_earn_a_parameter_problem_that_points_at_them(options: str, pointer: int | None) -> None:
    (answer,) = Host().deliver(echo(options=bytes.fromhex(options)))
    found = message_of(answer)
    assert (found.pointer if found.type == 12 else None) == pointer


def test_record_route_comes_back_with_our_address_twice() -> None:
    (reply,) = Host().deliver(echo(options=bytes.fromhex("070b0400000000000000000000")[:12]))
    header = ipv4.read(reply)
    assert header is not None
    assert header.options == b"\x07\x0b\x0c" + STACK_IP * 2 + b"\0"


def test_source_routes_are_not_taken() -> None:
    assert Host().deliver(echo(options=bytes.fromhex("8307040000000000"))) == []


@given(st.binary(max_size=40))
def test_any_options_are_understood_or_malformed(octets: bytes) -> None:
    pointer = 20
    try:
        compile_received(octets, STACK_IP, 0)
    except Malformed as malformed:
        pointer = malformed.pointer
    assert 20 <= pointer < 20 + max(len(octets), 1)


@pytest.mark.parametrize(
    "text", ["", "01010101", "07070400000000", "070b040000000000000000", "94040000", "01010707040000000001"]
)
def test_what_an_application_set_reads_back(text: str) -> None:
    octets = bytes.fromhex(text)
    options = compile_user(octets)
    assert undo(options) == octets + bytes(-len(octets) % 4)
    assert len(build(options, STACK_IP, 0)) == len(options.data)
    assert isinstance(options, HeaderOptions)


def pieces(data: bytes, mtu: int, ident: int = 7) -> list[bytes]:
    return fragments(datagram(5, 99, data, ident=ident, dont_fragment=False), mtu)


@given(st.binary(min_size=1, max_size=300), st.integers(28, 120), st.randoms(use_true_random=False))
def test_fragments_in_any_order_make_the_datagram(data: bytes, mtu: int, random: object) -> None:
    host = Host()
    sock = host.bound(99)
    parts = pieces(data, mtu)
    random.shuffle(parts)  # type: ignore[attr-defined]
    assert host.deliver(*parts) == []
    assert host.receive(sock)[0] == data


def test_a_duplicate_is_ignored_and_an_overlap_condemns() -> None:
    host = Host()
    sock = host.bound(99)
    one, two, *rest = pieces(bytes(range(80)), 60)
    host.deliver(one, two, two, *rest)
    assert host.receive(sock)[0] == bytes(range(80))
    overlapping = ipv4.read(pieces(bytes(range(80)), 60, 8)[0])
    assert overlapping is not None
    shifted = ipv4.write(ipv4.recompute(overlapping._replace(fragment_offset=1)))
    first, *others = pieces(bytes(range(80)), 60, 8)
    host.deliver(first, shifted, *others)
    assert not sock.sk.receive_queue


def test_a_queue_that_times_out_tells_its_source() -> None:
    host = Host()
    first, *_ = pieces(bytes(100), 60)
    host.deliver(first)
    assert host.advance(30 * SECOND + TICK - 1) == []
    (answer,) = host.advance(1)
    assert (message_of(answer).type, message_of(answer).code) == (11, 1)
    assert message_of(answer).payload[:12] == first[:12]


def test_a_queue_without_its_first_fragment_dies_silently() -> None:
    host = Host()
    host.deliver(*pieces(bytes(100), 60)[1:])
    assert host.advance(31 * SECOND) == []


def test_closed_ports_are_unreachable_unless_many_were_asked() -> None:
    host = Host()
    (answer,) = host.deliver(datagram(5, 6, b"x") + b"pad")
    assert (message_of(answer).type, message_of(answer).code) == (3, 3)
    assert message_of(answer).payload == datagram(5, 6, b"x")
    assert host.deliver(datagram(5, 6, b"x", destination=address("192.0.2.255"))) == []
    assert host.deliver(datagram(5, 6, b"x", udp_checksum=1)) == []


def test_udp_lite_needs_its_checksum() -> None:
    body = udp.Udp(5, 6, b"lite", 0, 0)
    assert Host().deliver(packet(136, udp.write(body, STACK_IP, STACK_IP))) == []
