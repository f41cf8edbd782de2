"""Ethernet and ARP."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import ARP, Ether

from stack_under_test.wire import arp, ethernet
from stack_under_test.wire.addresses import format_ip, format_mac
from stack_under_test.wire.arp import Arp
from stack_under_test.wire.ethernet import Ethernet
from stack_under_test.wire.tests.strategies import anything, build, data, ip4, mac, moderate, u8, u16

frames = build(Ethernet, dst=mac, src=mac, ethertype=u16, payload=data)
messages = build(
    Arp, operation=u16, sender_mac=mac, sender_ip=ip4, target_mac=mac, target_ip=ip4, hardware_type=u16,
    protocol_type=u16, trailer=st.binary(max_size=18),
)  # fmt: skip


@given(frames)
@moderate
def test_ethernet_write_read(frame: Ethernet) -> None:
    assert ethernet.read(ethernet.write(frame)) == frame


@given(anything)
@moderate
def test_ethernet_read_write(octets: bytes) -> None:
    frame = ethernet.read(octets)
    assert (frame is None) == (len(octets) < 14)
    assert frame is None or ethernet.write(frame) == octets


@given(messages)
@moderate
def test_arp_write_read(message: Arp) -> None:
    assert arp.read(arp.write(message)) == message


@given(anything, u8, u8)
@moderate
def test_arp_read_write(octets: bytes, hlen: int, plen: int) -> None:
    octets = octets[:4] + bytes((hlen % 24, plen % 24)) + octets[6:]
    message = arp.read(octets)
    assert (message is None) == (len(octets) < 8)
    assert message is None or arp.write(message) == octets


@given(messages, mac, mac)
@moderate
def test_scapy_reads_the_same(message: Arp, dst: bytes, src: bytes) -> None:
    message = message._replace(hardware_type=1, protocol_type=ethernet.IPV4)
    found = Ether(ethernet.write(Ethernet(dst, src, ethernet.ARP, arp.write(message))))
    assert (found.dst, found.src, found.type) == (format_mac(dst), format_mac(src), ethernet.ARP)
    their = found[ARP]
    assert (their.op, their.hwlen, their.plen) == (message.operation, 6, 4)
    assert (their.hwsrc, their.psrc) == (format_mac(message.sender_mac), format_ip(message.sender_ip))
    assert (their.hwdst, their.pdst) == (format_mac(message.target_mac), format_ip(message.target_ip))


@given(messages)
@moderate
def test_reads_what_scapy_built(message: Arp) -> None:
    built = ARP(
        op=message.operation, hwsrc=format_mac(message.sender_mac), psrc=format_ip(message.sender_ip),
        hwdst=format_mac(message.target_mac), pdst=format_ip(message.target_ip),
    )  # fmt: skip
    assert arp.read(bytes(built)) == message._replace(hardware_type=1, protocol_type=0x0800, trailer=b"")


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"Ethernet\.ethertype: 65536 does not fit in 16 bits"):
        ethernet.write(Ethernet(bytes(6), bytes(6), 0x10000))
    with pytest.raises(ValueError, match=r"Ethernet\.src: 5 octets where exactly 6 stand"):
        ethernet.write(Ethernet(bytes(6), bytes(5), 0))
    with pytest.raises(ValueError, match=r"Arp\.hlen: 256"):
        arp.write(Arp(1, b"", b"", b"", b"", hlen=256))
