"""The IPv6 header and the walk over extension headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN

from stack_under_test.wire import ipv6
from stack_under_test.wire.addresses import format_ip
from stack_under_test.wire.ipv6 import Extension, Fragment, Ipv6
from stack_under_test.wire.tests.strategies import anything, data, extensions, ipv6_headers, moderate, u8, unassigned

SRC, DST = bytes.fromhex("20010db8" + 23 * "0" + "1"), bytes.fromhex("20010db8" + 23 * "0" + "2")


@given(ipv6_headers)
@moderate
def test_write_read(header: Ipv6) -> None:
    octets = ipv6.write(header)
    found = ipv6.read(octets)
    assert found is not None
    assert ipv6.recompute(found) == header
    assert found.payload_length == len(header.payload)


@given(anything, st.none() | st.integers(0, 100))
@moderate
def test_read_write(octets: bytes, payload_length: int | None) -> None:
    if payload_length is not None and len(octets) >= 6:
        octets = octets[:4] + payload_length.to_bytes(2, "big") + octets[6:]
    header = ipv6.read(octets)
    assert (header is None) == (len(octets) < 40)
    assert header is None or ipv6.write(header) == octets


@given(st.lists(extensions, max_size=4), st.sampled_from((6, 17, 58, 59, 50, 99)), data)
@moderate
def test_walk_finds_what_was_written(chain: list[Extension | Fragment], protocol: int, payload: bytes) -> None:
    chained = ipv6.linked(chain, protocol)
    first = chained[0].kind if chained else protocol
    found = ipv6.upper_layer(Ipv6(SRC, DST, first, ipv6.write_extensions(chained) + payload))
    assert (found.protocol, found.payload) == (protocol, payload)
    assert [extension.kind for extension in found.extensions] == [extension.kind for extension in chained]
    assert not found.is_later_fragment
    for theirs, ours in zip(found.extensions, chained, strict=True):
        if isinstance(theirs, Extension) and isinstance(ours, Extension):
            assert theirs._replace(length=None) == ours
        else:
            assert theirs == ours


@given(st.sampled_from((0, 43, 44, 51, 60)), st.binary(max_size=120), st.booleans())
@moderate
def test_walk_over_anything(protocol: int, payload: bytes, announce: bool) -> None:
    if announce:
        payload = bytes((protocol, 0)) + payload
    found = ipv6.upper_layer(Ipv6(SRC, DST, protocol, payload))
    assert ipv6.write_extensions(found.extensions) + found.payload == payload


def test_a_later_fragment_ends_the_walk() -> None:
    chain = ipv6.linked((Fragment(0, offset=3, ident=7),), 60)
    found = ipv6.upper_layer(Ipv6(SRC, DST, 44, ipv6.write_extensions(chain) + bytes(16)))
    assert found == (60, chain, bytes(16))
    assert found.is_later_fragment


@given(ipv6_headers, unassigned)
@moderate
def test_scapy_reads_the_same(header: Ipv6, protocol: int) -> None:
    header = header._replace(next_header=protocol)
    found = IPv6(ipv6.write(header))
    assert (found.src, found.dst, found.nh) == (format_ip(header.src), format_ip(header.dst), header.next_header)
    assert (found.hlim, found.tc, found.fl) == (header.hop_limit, header.traffic_class, header.flow_label)
    assert (found.version, found.plen) == (6, len(header.payload))


@given(ipv6_headers, unassigned)
@moderate
def test_reads_what_scapy_built(header: Ipv6, protocol: int) -> None:
    header = header._replace(next_header=protocol)
    built = IPv6(
        src=format_ip(header.src), dst=format_ip(header.dst), nh=header.next_header, hlim=header.hop_limit,
        tc=header.traffic_class, fl=header.flow_label,
    )  # fmt: skip
    found = ipv6.read(bytes(built / header.payload))
    assert found is not None
    assert ipv6.recompute(found) == header._replace(trailer=b"")


@given(u8, st.integers(0, 8191), st.booleans(), st.integers(0, 2**32 - 1))
@moderate
def test_scapy_extension_headers(n: int, offset: int, more: bool, ident: int) -> None:
    built = (
        IPv6(src="2001:db8::1", dst="2001:db8::2")
        / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(n % 30))])
        / IPv6ExtHdrDestOpt()
        / IPv6ExtHdrFragment(nh=6, offset=offset, m=more, id=ident)
        / b"payload"
    )
    packet = ipv6.read(bytes(built))
    assert packet is not None
    found = ipv6.upper_layer(packet)
    assert (found.protocol, found.payload) == (6, b"payload")
    assert [extension.kind for extension in found.extensions] == [0, 60, 44]
    assert found.extensions[2] == Fragment(6, offset, more, ident)


def test_a_computed_length_pads() -> None:
    assert ipv6.write_extensions((Extension(6, b""),)) == bytes((6, 0)) + bytes(6)
    assert ipv6.write_extensions((Extension(6, b"x" * 7),)) == bytes((6, 1)) + b"x" * 7 + bytes(7)
    assert ipv6.write_extensions((Extension(6, b"x" * 10, ipv6.AUTHENTICATION),)) == bytes((6, 1)) + b"x" * 10


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"Ipv6\.flow_label: 1048576 does not fit in 20 bits"):
        ipv6.write(Ipv6(SRC, DST, 6, flow_label=1 << 20))
    with pytest.raises(ValueError, match=r"Ipv6\.dst: 4 octets where exactly 16 stand"):
        ipv6.write(Ipv6(SRC, bytes(4), 6))
    with pytest.raises(ValueError, match=r"Ipv6\.payload_length: 65536"):
        ipv6.write(Ipv6(SRC, DST, 6, bytes(65536)))
    with pytest.raises(ValueError, match=r"Ipv6\.hop_limit: 256"):
        ipv6.write(Ipv6(SRC, DST, 6, hop_limit=256))
    with pytest.raises(ValueError, match=r"Fragment\.offset: 8192"):
        ipv6.write_extensions((Fragment(6, 8192),))
    with pytest.raises(ValueError, match=r"Fragment\.ident"):
        ipv6.write_extensions((Fragment(6, ident=1 << 32),))
    with pytest.raises(ValueError, match=r"Extension\.length: 256"):
        ipv6.write_extensions((Extension(6, bytes(2054)),))
