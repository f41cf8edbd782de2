"""Whole packets: parsing, putting together, and the line that people read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.wire import arp, ethernet, icmp, icmpv6, ipv4, ipv6, nd, packet, tcp, udp
from stack_under_test.wire.addresses import parse_ip
from stack_under_test.wire.ipv4 import Ipv4
from stack_under_test.wire.ipv6 import Extension, Fragment, Ipv6
from stack_under_test.wire.packet import Packet, assemble, parse, summary
from stack_under_test.wire.tcp import ACK, SYN, Tcp
from stack_under_test.wire.tcp_options import NOP, SACK_PERMITTED, Mss, Timestamps, WindowScale
from stack_under_test.wire.tests.strategies import data, ended, ipv4_headers, ipv6_headers, moderate, tcp_headers, u8
from stack_under_test.wire.udp import Udp

A, B = parse_ip("192.0.2.1"), parse_ip("198.51.100.2")
A6, B6 = parse_ip("2001:db8::1"), parse_ip("2001:db8::2")
V4_TCP, V4_UDP, V4_ICMP = Ipv4(A, B, tcp.PROTOCOL), Ipv4(A, B, udp.PROTOCOL), Ipv4(A, B, icmp.PROTOCOL)
V6_TCP, V6_ICMP = Ipv6(A6, B6, tcp.PROTOCOL), Ipv6(A6, B6, icmpv6.PROTOCOL)
PROTOCOLS = st.sampled_from((1, 6, 17, 58, 0, 43, 44, 51, 60, 99))


@given(ipv4_headers, tcp_headers)
@moderate
def test_tcp_over_ipv4(ip: Ipv4, segment: Tcp) -> None:
    octets = assemble(ip._replace(protocol=tcp.PROTOCOL), segment)
    found = parse(octets)
    assert found.octets == octets
    if ip.fragment_offset:
        assert found.upper is None
    else:
        assert isinstance(found.upper, Tcp)
        assert tcp.recompute(found.upper) == segment._replace(options=ended(segment.options))


@given(ipv6_headers, tcp_headers)
@moderate
def test_tcp_over_ipv6_behind_extension_headers(ip: Ipv6, segment: Tcp) -> None:
    chain = ipv6.linked((Extension(0, b"", ipv6.HOP_BY_HOP), Fragment(0, ident=9), Extension(0, b"x" * 9)), tcp.PROTOCOL)
    ip = ip._replace(next_header=ipv6.HOP_BY_HOP, payload=ipv6.write_extensions(chain))
    found = parse(assemble(ip, segment))
    assert isinstance(found.upper, Tcp)
    assert tcp.recompute(found.upper) == segment._replace(options=ended(segment.options))


@given(st.sampled_from((0x45, 0x46, 0x4F, 0x60, 0x00)), PROTOCOLS, st.binary(max_size=120), st.booleans())
@moderate
def test_anything_is_parsed_and_summarised(first: int, protocol: int, octets: bytes, link_layer: bool) -> None:
    if len(octets) > 9:
        octets = bytes((first,)) + octets[1:]
        at = 6 if first == 0x60 else 9
        octets = octets[:at] + bytes((protocol,)) + octets[at + 1 :]
    found = parse(octets)
    if isinstance(found.ip, Ipv4):
        assert ipv4.write(found.ip) == octets
    elif found.ip is not None:
        assert ipv6.write(found.ip) == octets
    assert summary(octets, link_layer).isprintable()


@given(u8, u8, data, st.booleans())
@moderate
def test_any_icmp_is_summarised(kind: int, code: int, payload: bytes, quote: bool) -> None:
    body = assemble(V4_TCP, Tcp(1, 2))[:28] + payload if quote else payload
    assert summary(assemble(V4_ICMP, icmp.Icmp(kind, code, b"\0\0\0\x09", body))).startswith("192.0.2.1 > ")
    body = assemble(V6_TCP, Tcp(1, 2))[:48] + payload if quote else payload
    assert summary(assemble(V6_ICMP, icmpv6.Icmpv6(kind, code, b"\0\0\0\x09", body))).startswith("2001:db8::1 > ")


SYN_OPTIONS = (Mss(1460), SACK_PERMITTED, Timestamps(7, 0), NOP, WindowScale(7))
SOLICITATION = nd.write(nd.NeighborSolicitation(B6))
HEADERLESS = ipv4.write(V4_TCP._replace(payload=b"abc"))


FRAGMENTATION_NEEDED = icmp.unreachable(icmp.FRAGMENTATION_NEEDED, assemble(V4_TCP, Tcp(7, 8))[:28], 576)


@pytest.mark.parametrize(
    ("octets", "line"),
    [
        (b"", "not IP, 0 octets: "),
        (b"\x45\x00", "not IP, 2 octets: 4500"),
        (
            assemble(V4_TCP, Tcp(1234, 80, 100, 0, SYN, 65535, SYN_OPTIONS)),
            "192.0.2.1:1234 > 198.51.100.2:80: S 100:101(0) win 65535 <mss 1460,sackOK,TS val 7 ecr 0,nop,wscale 7>",
        ),
        (
            assemble(V6_TCP, Tcp(1234, 80, 0xFFFFFFFF, 5, ACK, 9, payload=b"xy", checksum=0)),
            "2001:db8::1:1234 > 2001:db8::2:80: . 4294967295:1(2) ack 5 win 9 [bad tcp checksum]",
        ),
        (assemble(V4_UDP, Udp(53, 9, b"xyz")), "192.0.2.1:53 > 198.51.100.2:9: udp (3)"),
        (
            assemble(V4_UDP._replace(ttl=1, checksum=1), Udp(53, 9, b"xyz", length=10)),
            "192.0.2.1:53 > 198.51.100.2:9: udp (2) [bad ip checksum] [udp length 10 of 11]",
        ),
        (
            assemble(V4_UDP._replace(more_fragments=True, ident=5), Udp(53, 9, b"xyz")),
            "192.0.2.1:53 > 198.51.100.2:9: udp (3) [frag 5:11@0+]",
        ),
        (
            ipv4.write(V4_UDP._replace(fragment_offset=2, ident=5, payload=b"12345678")),
            "192.0.2.1 > 198.51.100.2: udp (8) [frag 5:8@16]",
        ),
        (HEADERLESS + b"pad", "192.0.2.1 > 198.51.100.2: tcp (3) [total length 23 of 26]"),
        (
            ipv4.write(Ipv4(A, B, 99, b"x", tos=2, options=b"\x94\x04\0\0")),
            "192.0.2.1 > 198.51.100.2: protocol 99 (1) [tos 0x02] [ip options 148]",
        ),
        (
            assemble(V4_ICMP, icmp.echo_request(1, 2, b"x" * 56)),
            "192.0.2.1 > 198.51.100.2: icmp echo request id 1 seq 2 (56)",
        ),
        (
            assemble(V4_ICMP, icmp.unreachable(icmp.PORT_UNREACHABLE, assemble(V4_UDP, Udp(7, 8)))),
            "192.0.2.1 > 198.51.100.2: icmp unreachable port (192.0.2.1:7 > 198.51.100.2:8: udp)",
        ),
        (
            assemble(V4_ICMP._replace(dst=A), FRAGMENTATION_NEEDED),
            "192.0.2.1 > 192.0.2.1: icmp unreachable fragmentation needed mtu 576 (192.0.2.1:7 > 198.51.100.2:8: tcp)",
        ),
        (
            assemble(V6_ICMP, icmpv6.packet_too_big(1280, assemble(V6_TCP, Tcp(7, 8)))),
            "2001:db8::1 > 2001:db8::2: icmp6 packet too big mtu 1280 (2001:db8::1:7 > 2001:db8::2:8: tcp)",
        ),
        (
            assemble(V6_ICMP, SOLICITATION),
            "2001:db8::1 > 2001:db8::2: icmp6 neighbor solicitation 2001:db8::2",
        ),
        (
            ipv6.write(Ipv6(A6, B6, 0, ipv6.write_extensions((Extension(59, b"", ipv6.HOP_BY_HOP),)))),
            "2001:db8::1 > 2001:db8::2: protocol 59 (0) [hopopts]",
        ),
    ],
)
def test_summary(octets: bytes, line: str) -> None:
    assert summary(octets) == line


def test_summary_of_frames() -> None:
    one, all_ones = b"\x02\0\0\0\0\x01", ethernet.BROADCAST
    request = arp.Arp(arp.REQUEST, one, A, bytes(6), B)
    frame = ethernet.Ethernet(all_ones, one, ethernet.ARP, arp.write(request))
    start = "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff "
    assert summary(ethernet.write(frame), True) == start + "arp who-has 198.51.100.2 tell 192.0.2.1"
    reply = arp.write(request._replace(operation=arp.REPLY))
    assert summary(ethernet.write(frame._replace(payload=reply)), True) == (
        start + "arp reply 192.0.2.1 is-at 02:00:00:00:00:01"
    )
    carried = frame._replace(ethertype=ethernet.IPV4, payload=assemble(V4_UDP, Udp(1, 2)))
    assert summary(ethernet.write(carried), True) == start + "192.0.2.1:1 > 198.51.100.2:2: udp (0)"
    assert summary(ethernet.write(frame._replace(ethertype=0x88CC)), True) == start + "ethertype 0x88cc (28)"
    assert summary(b"\x01", True) == "not Ethernet, 1 octets: 01"


def test_parse_of_what_is_no_packet() -> None:
    assert parse(b"") == Packet(None, None, b"")
    assert parse(b"\x60") == Packet(None, None, b"\x60")
    assert packet.parse(bytes(60)).ip is None
