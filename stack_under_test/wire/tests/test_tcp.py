"""The TCP header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from stack_under_test.wire import ipv4, ipv6, tcp
from stack_under_test.wire.addresses import format_ip
from stack_under_test.wire.tcp import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG, Tcp
from stack_under_test.wire.tcp_options import Mss, Other, Timestamps
from stack_under_test.wire.tests.strategies import (
    anything,
    data,
    ended,
    ip4,
    ip6,
    mangled_option_octets,
    moderate,
    tcp_headers,
    u9,
)

addresses = st.one_of(st.tuples(ip4, ip4), st.tuples(ip6, ip6))


@given(tcp_headers, addresses)
@moderate
def test_write_read(segment: Tcp, pair: tuple[bytes, bytes]) -> None:
    octets = tcp.write(segment, *pair)
    found = tcp.read(octets)
    assert found is not None
    assert tcp.recompute(found) == segment._replace(options=ended(segment.options))
    assert found.data_offset == (len(octets) - len(segment.payload)) // 4
    assert tcp.checksum_ok(octets, *pair)
    assert tcp.write(found, b"", b"") == octets


@given(anything, st.none() | st.integers(0, 15))
@moderate
def test_read_write(octets: bytes, data_offset: int | None) -> None:
    if data_offset is not None and len(octets) >= 13:
        octets = octets[:12] + bytes((data_offset << 4 | octets[12] & 0x0F,)) + octets[13:]
    segment = tcp.read(octets)
    assert (segment is None) == (len(octets) < 20)
    assert segment is None or tcp.write(segment, b"", b"") == octets


@given(tcp_headers, mangled_option_octets, st.integers(0, 15), data)
@moderate
def test_read_write_of_mangled_options(segment: Tcp, options: bytes, data_offset: int, payload: bytes) -> None:
    fixed = tcp.write(segment._replace(options=(), payload=b"", data_offset=data_offset), bytes(4), bytes(4))
    octets = fixed + options + payload
    found = tcp.read(octets)
    assert found is not None
    assert tcp.write(found, b"", b"") == octets


@given(tcp_headers, st.integers(0, 15), addresses)
@moderate
def test_a_stated_data_offset_is_written_without_padding(segment: Tcp, data_offset: int, pair: tuple[bytes, bytes]) -> None:
    octets = tcp.write(segment._replace(data_offset=data_offset, options=(Other(99, b"x"),)), *pair)
    assert octets[12] >> 4 == data_offset
    assert octets[20:] == b"\x63\x03x" + segment.payload
    assert tcp.checksum_ok(octets, *pair)


@given(tcp_headers, ip4, ip4)
@moderate
def test_scapy_reads_the_same_over_ipv4(segment: Tcp, src: bytes, dst: bytes) -> None:
    octets = ipv4.write(ipv4.Ipv4(src, dst, tcp.PROTOCOL, tcp.write(segment._replace(options=()), src, dst)))
    found = IP(octets)[TCP]
    assert (found.sport, found.dport, found.seq, found.ack) == segment[:4]
    assert (int(found.flags), found.window, found.urgptr) == (segment.flags, segment.window, segment.urgent)
    assert (found.dataofs, found.reserved, bytes(found.payload)) == (5, segment.reserved, segment.payload)
    built = IP(octets)
    del built[TCP].chksum
    assert bytes(built) == octets


@given(tcp_headers, ip6, ip6)
@moderate
def test_reads_what_scapy_built_over_ipv6(segment: Tcp, src: bytes, dst: bytes) -> None:
    built = TCP(
        sport=segment.sport, dport=segment.dport, seq=segment.seq, ack=segment.ack, flags=segment.flags,
        window=segment.window, urgptr=segment.urgent, reserved=segment.reserved,
    )  # fmt: skip
    packet = ipv6.read(bytes(IPv6(src=format_ip(src), dst=format_ip(dst)) / built / segment.payload))
    assert packet is not None
    found = tcp.read(packet.payload)
    assert found is not None
    assert tcp.recompute(found) == segment._replace(options=())
    assert tcp.write(tcp.recompute(found), src, dst) == packet.payload


@given(u9)
@moderate
def test_flags_round_trip(flags: int) -> None:
    assert tcp.parse_flags(tcp.format_flags(flags)) == flags


def test_flags_as_packetdrill_writes_them() -> None:
    assert tcp.format_flags(0) == "-"
    assert tcp.format_flags(SYN | ACK) == "S."
    assert tcp.parse_flags("FP.") == FIN | PSH | ACK
    assert tcp.parse_flags("RUEWA") == RST | URG | ECE | CWR | AE
    with pytest.raises(ValueError, match="not a TCP flag: 'x'"):
        tcp.parse_flags("Sx")


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (Tcp(65536, 1), r"Tcp\.sport: 65536 does not fit in 16 bits"),
        (Tcp(1, 1, seq=1 << 32), r"Tcp\.seq: 4294967296 does not fit in 32 bits"),
        (Tcp(1, 1, ack=-1), r"Tcp\.ack: -1"),
        (Tcp(1, 1, flags=0x200), r"Tcp\.flags: 512 does not fit in 9 bits"),
        (Tcp(1, 1, reserved=8), r"Tcp\.reserved: 8 does not fit in 3 bits"),
        (Tcp(1, 1, data_offset=16), r"Tcp\.data_offset: 16 does not fit in 4 bits"),
        (Tcp(1, 1, checksum=1 << 16), r"Tcp\.checksum: 65536"),
        (Tcp(1, 1, options=(Timestamps(1, 2),) * 5), r"Tcp\.options: 52 octets, at most 40 fit"),
        (Tcp(1, 1, options=(Mss(65536),)), r"Mss\.value: 65536 does not fit in 16 bits"),
    ],
)
def test_what_does_not_fit_is_named(segment: Tcp, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tcp.write(segment, bytes(4), bytes(4))
