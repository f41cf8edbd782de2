"""Ethernet II framing (RFC 894).

A VLAN tag is left in the payload, behind its own ethertype; an IEEE 802.3 length shows as an ethertype below 0x600.
There is no frame check sequence: TAP devices carry none.
"""

import struct
from typing import NamedTuple

from stack_under_test.wire.fields import refuse

IPV4 = 0x0800
ARP = 0x0806
VLAN = 0x8100
IPV6 = 0x86DD
BROADCAST = b"\xff" * 6

_HEADER = struct.Struct("!6s6sH")
_WIDTHS = {"dst": 48, "src": 48, "ethertype": 16}


class Ethernet(NamedTuple):
    """Destination and source are 6 octets each."""

    dst: bytes
    src: bytes
    ethertype: int
    payload: bytes = b""


def read(octets: bytes) -> Ethernet | None:
    """The frame, or None below 14 octets."""
    if len(octets) < 14:
        return None
    dst, src, ethertype = _HEADER.unpack_from(octets)
    return Ethernet(dst, src, ethertype, octets[14:])


def write(header: Ethernet) -> bytes:
    """The octets of the frame, not padded to Ethernet's minimum."""
    dst, src, ethertype, payload = header
    if len(dst) != 6 or len(src) != 6:
        refuse(header, _WIDTHS)
    try:
        return _HEADER.pack(dst, src, ethertype) + payload
    except struct.error:
        refuse(header, _WIDTHS)
