"""ICMP, ICMPv6 and neighbour discovery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)

from stack_under_test.wire import icmp, icmpv6, ipv6, nd
from stack_under_test.wire.addresses import format_ip, format_mac
from stack_under_test.wire.fields import Trailing
from stack_under_test.wire.icmp import Icmp
from stack_under_test.wire.icmpv6 import Icmpv6
from stack_under_test.wire.nd import NdOption
from stack_under_test.wire.tests.strategies import anything, build, data, ip6, mac, moderate, u8, u16, u32, whole_units

SRC, DST = bytes.fromhex("fe80" + 27 * "0" + "1"), bytes.fromhex("fe80" + 27 * "0" + "2")

four = st.binary(min_size=4, max_size=4)
messages = build(Icmp, type=u8, code=u8, rest=four, payload=data)
messages6 = build(Icmpv6, type=u8, code=u8, rest=four, payload=data)
nd_options = st.lists(build(NdOption, kind=u8, data=whole_units), max_size=3).map(
    lambda options: tuple(option._replace(length=(len(option.data) + 2) // 8) for option in options)
)
bodies = st.one_of(
    build(nd.RouterSolicitation, options=nd_options, reserved=u32),
    build(nd.RouterAdvertisement, u8, u8, u16, u32, u32, nd_options),
    build(nd.NeighborSolicitation, ip6, nd_options, u32),
    build(
        nd.NeighborAdvertisement,
        ip6,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        nd_options,
        st.integers(0, 2**29 - 1),
    ),
    build(nd.Redirect, ip6, ip6, nd_options, u32),
)


@given(messages)
@moderate
def test_icmp_write_read(message: Icmp) -> None:
    octets = icmp.write(message)
    found = icmp.read(octets)
    assert found is not None
    assert icmp.recompute(found) == message
    assert icmp.checksum_ok(octets) == bool(octets.strip(b"\0"))


@given(anything)
@moderate
def test_icmp_read_write(octets: bytes) -> None:
    message = icmp.read(octets)
    assert (message is None) == (len(octets) < 8)
    assert message is None or icmp.write(message) == octets


@given(messages6, ip6, ip6)
@moderate
def test_icmpv6_write_read(message: Icmpv6, src: bytes, dst: bytes) -> None:
    octets = icmpv6.write(message, src, dst)
    found = icmpv6.read(octets)
    assert found is not None
    assert icmpv6.recompute(found) == message
    assert icmpv6.checksum_ok(octets, src, dst)


@given(anything)
@moderate
def test_icmpv6_read_write(octets: bytes) -> None:
    message = icmpv6.read(octets)
    assert (message is None) == (len(octets) < 8)
    assert message is None or icmpv6.write(message, b"", b"") == octets


@given(u16, u16, data)
@moderate
def test_scapy_echo(ident: int, sequence: int, payload: bytes) -> None:
    octets = icmp.write(icmp.echo_request(ident, sequence, payload))
    assert bytes(ICMP(type=8, id=ident, seq=sequence) / payload) == octets
    found = ICMP(octets)
    assert (found.type, found.code, found.id, found.seq) == (8, 0, ident, sequence)
    message = icmp.read(octets)
    assert message is not None
    assert (message.ident, message.sequence, message.payload) == (ident, sequence, payload)


@given(u16, data)
@moderate
def test_scapy_fragmentation_needed(mtu: int, original: bytes) -> None:
    octets = icmp.write(icmp.unreachable(icmp.FRAGMENTATION_NEEDED, original, mtu))
    assert bytes(ICMP(type=3, code=4, nexthopmtu=mtu) / original) == octets
    message = icmp.read(octets)
    assert message is not None
    assert message.next_hop_mtu == mtu


@given(u16, u16, data)
@moderate
def test_scapy_echo_over_ipv6(ident: int, sequence: int, payload: bytes) -> None:
    built = IPv6(src=format_ip(SRC), dst=format_ip(DST)) / ICMPv6EchoRequest(id=ident, seq=sequence, data=payload)
    packet = ipv6.read(bytes(built))
    assert packet is not None
    message = icmpv6.echo_request(ident, sequence, payload)
    assert packet.payload == icmpv6.write(message, SRC, DST)
    assert (message.ident, message.sequence) == (ident, sequence)


def test_the_messages_that_errors_are_made_of() -> None:
    original = b"original"
    assert icmp.echo_reply(1, 2, b"x") == Icmp(0, 0, b"\0\x01\0\x02", b"x")
    assert icmp.time_exceeded(icmp.TTL_EXCEEDED, original) == Icmp(11, 0, bytes(4), original)
    assert icmp.parameter_problem(20, original).pointer == 20
    assert icmp.redirect(1, b"\x0a\0\0\x01", original).gateway == b"\x0a\0\0\x01"
    assert icmp.source_quench(original) == Icmp(4, 0, bytes(4), original)
    assert icmpv6.echo_reply(1, 2) == Icmpv6(129, 0, b"\0\x01\0\x02")
    assert icmpv6.unreachable(icmpv6.PORT_UNREACHABLE, original) == Icmpv6(1, 4, bytes(4), original)
    assert icmpv6.packet_too_big(1280, original).mtu == 1280
    assert icmpv6.time_exceeded(0, original) == Icmpv6(3, 0, bytes(4), original)
    assert icmpv6.parameter_problem(icmpv6.UNRECOGNIZED_NEXT_HEADER, 6, original).pointer == 6


@given(bodies)
@moderate
def test_nd_write_read(body: nd.Body) -> None:
    message = nd.write(body)
    assert nd.read(message) == body
    assert icmpv6.read(icmpv6.write(message, SRC, DST)) is not None


@given(st.integers(130, 140), u8, four, st.binary(max_size=90), u16)
@moderate
def test_nd_read_write(kind: int, code: int, rest: bytes, payload: bytes, checksum: int) -> None:
    message = Icmpv6(kind, code, rest, payload, checksum)
    body = nd.read(message)
    assert body is None or nd.write(body)._replace(code=code, checksum=checksum) == message


@given(ip6, mac, st.booleans(), st.booleans(), st.booleans())
@moderate
def test_scapy_neighbor_discovery(target: bytes, address: bytes, router: bool, solicited: bool, override: bool) -> None:
    text, ll = format_ip(target), format_mac(address)
    ip = IPv6(src=format_ip(SRC), dst=format_ip(DST))
    solicitation = nd.NeighborSolicitation(target, (NdOption(nd.SOURCE_LINK_LAYER_ADDRESS, address),))
    assert _payload(ip / ICMPv6ND_NS(tgt=text) / ICMPv6NDOptSrcLLAddr(lladdr=ll)) == _write(solicitation)
    options = (NdOption(nd.TARGET_LINK_LAYER_ADDRESS, address),)
    advertisement = nd.NeighborAdvertisement(target, router, solicited, override, options)
    built = ip / ICMPv6ND_NA(tgt=text, R=router, S=solicited, O=override) / ICMPv6NDOptDstLLAddr(lladdr=ll)
    assert _payload(built) == _write(advertisement)


@given(build(nd.RouterAdvertisement, u8, st.sampled_from((0, nd.MANAGED)), u16, u32, u32), u32)
@moderate
def test_scapy_router_advertisement(body: nd.RouterAdvertisement, mtu: int) -> None:
    built = ICMPv6ND_RA(
        chlim=body.hop_limit, M=bool(body.flags), O=0, prf=0, routerlifetime=body.lifetime,
        reachabletime=body.reachable_time, retranstimer=body.retransmit_timer,
    ) / ICMPv6NDOptMTU(mtu=mtu)  # fmt: skip
    body = body._replace(options=(NdOption(nd.MTU, b"\0\0" + mtu.to_bytes(4, "big")),))
    assert _payload(IPv6(src=format_ip(SRC), dst=format_ip(DST)) / built) == _write(body)


def _payload(built: object) -> bytes:
    packet = ipv6.read(bytes(built))  # type: ignore[call-overload]
    assert packet is not None
    return packet.payload


def _write(body: nd.Body) -> bytes:
    return icmpv6.write(nd.write(body), SRC, DST)


@given(st.binary(max_size=60))
@moderate
def test_nd_options_read_write(octets: bytes) -> None:
    assert nd.write_options(nd.read_options(octets)) == octets


def test_nd_options_without_an_end() -> None:
    assert nd.read_options(b"\x01\x00rest") == (Trailing(b"\x01\x00rest"),)
    assert nd.read_options(b"\x01\x02" + bytes(6)) == (Trailing(b"\x01\x02" + bytes(6)),)
    assert nd.read_options(b"\x01\x01abcdef\x05") == (NdOption(1, b"abcdef", 1), Trailing(b"\x05"))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"Icmp\.type: 256"):
        icmp.write(Icmp(256, 0))
    with pytest.raises(ValueError, match=r"Icmp\.rest: 3 octets where exactly 4 stand"):
        icmp.write(Icmp(8, 0, b"abc"))
    with pytest.raises(ValueError, match=r"Icmp\.rest: 65536 and 1 do not fit"):
        icmp.echo_request(65536, 1)
    with pytest.raises(ValueError, match=r"Icmpv6\.code: -1"):
        icmpv6.write(Icmpv6(1, -1), SRC, DST)
    with pytest.raises(ValueError, match=r"Icmpv6\.rest: 5 octets"):
        icmpv6.write(Icmpv6(1, 0, b"abcde"), SRC, DST)
    with pytest.raises(ValueError, match=r"Icmpv6\.rest: 4294967296"):
        icmpv6.packet_too_big(1 << 32, b"")
    with pytest.raises(ValueError, match=r"NeighborSolicitation\.target: 4 octets where exactly 16 stand"):
        nd.write(nd.NeighborSolicitation(bytes(4)))
    with pytest.raises(ValueError, match=r"Redirect\.destination"):
        nd.write(nd.Redirect(bytes(16), b""))
    with pytest.raises(ValueError, match=r"NeighborAdvertisement\.reserved"):
        nd.write(nd.NeighborAdvertisement(bytes(16), reserved=1 << 29))
    with pytest.raises(ValueError, match=r"RouterSolicitation\.reserved"):
        nd.write(nd.RouterSolicitation(reserved=1 << 32))
    with pytest.raises(ValueError, match=r"RouterAdvertisement\.lifetime"):
        nd.write(nd.RouterAdvertisement(lifetime=65536))
    with pytest.raises(ValueError, match=r"NdOption\.length: 256"):
        nd.write_options((NdOption(1, bytes(2046)),))
