"""The IPv4 header and its options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP

from stack_under_test.wire import ipv4
from stack_under_test.wire.addresses import format_ip
from stack_under_test.wire.fields import Trailing
from stack_under_test.wire.ipv4 import IpOption, Ipv4
from stack_under_test.wire.tests.strategies import anything, build, ip4, ipv4_headers, moderate, u8, u16, unassigned

SRC, DST = b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02"


@given(ipv4_headers)
@moderate
def test_write_read(header: Ipv4) -> None:
    octets = ipv4.write(header)
    found = ipv4.read(octets)
    assert found is not None
    assert ipv4.recompute(found) == header
    assert (found.ihl, found.total_length) == (5 + len(header.options) // 4, len(octets) - len(header.trailer))
    assert ipv4.checksum_ok(octets)
    assert ipv4.write(found) == octets


@given(anything, st.none() | u8, st.none() | st.integers(0, 130))
@moderate
def test_read_write(octets: bytes, first: int | None, total_length: int | None) -> None:
    if first is not None:
        octets = bytes((first,)) + octets[1:]
    if total_length is not None and len(octets) >= 4:
        octets = octets[:2] + total_length.to_bytes(2, "big") + octets[4:]
    header = ipv4.read(octets)
    assert (header is None) == (len(octets) < 20)
    assert header is None or ipv4.write(header) == octets


@given(ipv4_headers, st.integers(0, 15), st.binary(max_size=9))
@moderate
def test_a_stated_header_length_is_written_and_summed_as_receivers_do(header: Ipv4, ihl: int, options: bytes) -> None:
    octets = ipv4.write(header._replace(ihl=ihl, options=options))
    found = ipv4.read(octets)
    assert found is not None
    assert found.ihl == ihl
    assert ipv4.checksum_ok(octets) == (20 <= ihl * 4 <= len(octets))


@given(ipv4_headers, unassigned)
@moderate
def test_scapy_reads_the_same(header: Ipv4, protocol: int) -> None:
    header = header._replace(protocol=protocol)
    octets = ipv4.write(header._replace(options=b""))
    found = IP(octets)
    assert (found.src, found.dst, found.proto) == (format_ip(header.src), format_ip(header.dst), header.protocol)
    assert (found.ttl, found.tos, found.id, found.frag) == (
        header.ttl,
        header.tos,
        header.ident,
        header.fragment_offset,
    )
    assert int(found.flags) == header.reserved_flag << 2 | header.dont_fragment << 1 | header.more_fragments
    assert (found.version, found.ihl, found.len) == (4, 5, 20 + len(header.payload))
    stated = found.chksum
    del found.chksum
    assert IP(bytes(found)).chksum == stated


@given(ipv4_headers, unassigned)
@moderate
def test_reads_what_scapy_built(header: Ipv4, protocol: int) -> None:
    header = header._replace(protocol=protocol)
    flags = header.reserved_flag << 2 | header.dont_fragment << 1 | header.more_fragments
    built = bytes(
        IP(
            src=format_ip(header.src), dst=format_ip(header.dst), proto=header.protocol, ttl=header.ttl, tos=header.tos,
            id=header.ident, flags=flags, frag=header.fragment_offset,
        ) / header.payload
    )  # fmt: skip
    found = ipv4.read(built)
    assert found is not None
    assert ipv4.recompute(found) == header._replace(options=b"", trailer=b"")
    assert ipv4.write(ipv4.recompute(found)) == built


def test_options_are_padded_only_when_the_header_length_is_computed() -> None:
    header = Ipv4(SRC, DST, 6, options=b"\x94\x04\0\0\x01")
    assert len(ipv4.write(header)) == 28
    assert len(ipv4.write(header._replace(ihl=6))) == 25


def test_known_options() -> None:
    octets = bytes.fromhex("01940400000703040000")
    alert, route = IpOption(ipv4.ROUTER_ALERT, b"\0\0"), IpOption(ipv4.RECORD_ROUTE, b"\x04")
    assert ipv4.read_options(octets) == (IpOption(1), alert, route, IpOption(0), IpOption(0))
    assert ipv4.read_options(b"\x07\x09\x04") == (Trailing(b"\x07\x09\x04"),)
    assert ipv4.read_options(b"\x00\x01") == (IpOption(0), Trailing(b"\x01"))


@given(st.binary(max_size=44))
@moderate
def test_options_read_write(octets: bytes) -> None:
    assert ipv4.write_options(ipv4.read_options(octets)) == octets


@given(st.lists(build(IpOption, st.integers(2, 255), st.binary(max_size=10)), max_size=4))
@moderate
def test_options_write_read(options: list[IpOption]) -> None:
    assert ipv4.read_options(ipv4.write_options(options)) == tuple(options)


@given(ip4, ip4, u16, st.integers(0, 60))
@moderate
def test_checksum_ok_notices_one_octet(src: bytes, dst: bytes, ident: int, at: int) -> None:
    octets = bytearray(ipv4.write(Ipv4(src, dst, 17, b"x" * 41, ident=ident)))
    octets[at] ^= 0x10
    assert ipv4.checksum_ok(bytes(octets)) == (at >= 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ttl": 256}, r"Ipv4\.ttl: 256 does not fit in 8 bits"),
        ({"ident": -1}, r"Ipv4\.ident: -1 does not fit in 16 bits"),
        ({"fragment_offset": 8192}, r"Ipv4\.fragment_offset: 8192 does not fit in 13 bits"),
        ({"version": 16}, r"Ipv4\.version: 16 does not fit in 4 bits"),
        ({"ihl": 16}, r"Ipv4\.ihl: 16 does not fit in 4 bits"),
        ({"options": bytes(44)}, r"Ipv4\.ihl: 16 does not fit in 4 bits"),
        ({"payload": bytes(65516)}, r"Ipv4\.total_length: 65536 does not fit in 16 bits"),
        ({"checksum": 65536}, r"Ipv4\.checksum: 65536 does not fit in 16 bits"),
        ({"src": bytes(16)}, r"Ipv4\.src: 16 octets where exactly 4 stand"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ipv4.write(Ipv4(SRC, DST, 6)._replace(**change))  # type: ignore[arg-type]
