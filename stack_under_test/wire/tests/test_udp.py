"""The UDP header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from stack_under_test.wire import ipv4, ipv6, udp
from stack_under_test.wire.addresses import format_ip
from stack_under_test.wire.tests.strategies import anything, build, data, ip4, ip6, moderate, u16
from stack_under_test.wire.udp import Udp

datagrams = build(Udp, sport=u16, dport=u16, payload=data)
addresses = st.one_of(st.tuples(ip4, ip4), st.tuples(ip6, ip6))


@given(datagrams, addresses)
@moderate
def test_write_read(datagram: Udp, pair: tuple[bytes, bytes]) -> None:
    octets = udp.write(datagram, *pair)
    found = udp.read(octets)
    assert found is not None
    assert udp.recompute(found) == datagram
    assert found.length == len(octets)
    assert found.checksum != udp.NO_CHECKSUM
    assert udp.checksum_ok(octets, *pair)


@given(anything, st.none() | st.integers(0, 130))
@moderate
def test_read_write(octets: bytes, length: int | None) -> None:
    if length is not None and len(octets) >= 6:
        octets = octets[:4] + length.to_bytes(2, "big") + octets[6:]
    datagram = udp.read(octets)
    assert (datagram is None) == (len(octets) < 8)
    assert datagram is None or udp.write(datagram, b"", b"") == octets


@given(datagrams, addresses, st.integers(0, 80))
@moderate
def test_a_checksum_covers_the_stated_length(datagram: Udp, pair: tuple[bytes, bytes], length: int) -> None:
    octets = udp.write(datagram._replace(length=length), *pair)
    assert udp.checksum_ok(octets, *pair) == (8 <= length <= len(octets))


@given(datagrams, st.tuples(ip4, ip4))
@moderate
def test_scapy_reads_the_same_over_ipv4(datagram: Udp, pair: tuple[bytes, bytes]) -> None:
    octets = ipv4.write(ipv4.Ipv4(*pair, udp.PROTOCOL, udp.write(datagram, *pair)))
    found = IP(octets)[UDP]
    assert (found.sport, found.dport, found.len) == (datagram.sport, datagram.dport, 8 + len(datagram.payload))
    built = IP(octets)
    del built[UDP].chksum
    assert bytes(built) == octets


@given(datagrams, st.tuples(ip6, ip6))
@moderate
def test_reads_what_scapy_built_over_ipv6(datagram: Udp, pair: tuple[bytes, bytes]) -> None:
    src, dst = pair
    built = IPv6(src=format_ip(src), dst=format_ip(dst)) / UDP(sport=datagram.sport, dport=datagram.dport)
    packet = ipv6.read(bytes(built / datagram.payload))
    assert packet is not None
    found = udp.read(packet.payload)
    assert found is not None
    assert udp.recompute(found) == datagram
    assert udp.write(udp.recompute(found), src, dst) == packet.payload


def test_a_computed_checksum_of_zero_is_sent_as_ones() -> None:
    zero = next(port for port in range(65536) if udp.write(Udp(port, 0), bytes(4), bytes(4))[6:] == b"\xff\xff")
    assert udp.checksum_ok(udp.write(Udp(zero, 0), bytes(4), bytes(4)), bytes(4), bytes(4))


def test_no_checksum() -> None:
    octets = udp.write(Udp(1, 2, b"x", checksum=udp.NO_CHECKSUM), b"", b"")
    assert octets[6:8] == b"\0\0"
    assert udp.checksum_ok(octets, bytes(4), bytes(4))
    assert not udp.checksum_ok(octets, bytes(16), bytes(16))


@pytest.mark.parametrize(
    ("datagram", "message"),
    [
        (Udp(65536, 1), r"Udp\.sport: 65536 does not fit in 16 bits"),
        (Udp(1, -1), r"Udp\.dport: -1"),
        (Udp(1, 1, bytes(65528)), r"Udp\.length: 65536"),
        (Udp(1, 1, checksum=65536), r"Udp\.checksum: 65536"),
    ],
)
def test_what_does_not_fit_is_named(datagram: Udp, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        udp.write(datagram, bytes(4), bytes(4))
