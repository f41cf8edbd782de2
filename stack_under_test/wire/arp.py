"""The Address Resolution Protocol (RFC 826) for any hardware and protocol address lengths.

On reading, the lengths found delimit the addresses, which are shorter than stated when the octets end early. Writing
puts the addresses as they are, whatever `hlen` and `plen` say.
"""

import struct
from typing import NamedTuple

from stack_under_test.wire.fields import refuse

REQUEST = 1
REPLY = 2

_HEADER = struct.Struct("!HHBBH")
_WIDTHS = {"hardware_type": 16, "protocol_type": 16, "hlen": 8, "plen": 8, "operation": 16}


class Arp(NamedTuple):
    """`trailer` is what follows the addresses, such as Ethernet's padding."""

    operation: int
    sender_mac: bytes
    sender_ip: bytes
    target_mac: bytes
    target_ip: bytes
    hardware_type: int = 1
    protocol_type: int = 0x0800
    hlen: int = 6
    plen: int = 4
    trailer: bytes = b""


def read(octets: bytes) -> Arp | None:
    """The message, or None below the 8 octets before the addresses."""
    if len(octets) < 8:
        return None
    hardware_type, protocol_type, hlen, plen, operation = _HEADER.unpack_from(octets)
    sender_ip = 8 + hlen
    target_mac = sender_ip + plen
    target_ip = target_mac + hlen
    end = target_ip + plen
    return Arp(
        operation,
        octets[8:sender_ip],
        octets[sender_ip:target_mac],
        octets[target_mac:target_ip],
        octets[target_ip:end],
        hardware_type,
        protocol_type,
        hlen,
        plen,
        octets[end:],
    )


def write(header: Arp) -> bytes:
    """The octets of the message."""
    operation, sender_mac, sender_ip, target_mac, target_ip, hardware_type, protocol_type, hlen, plen, trailer = header
    try:
        fixed = _HEADER.pack(hardware_type, protocol_type, hlen, plen, operation)
    except struct.error:
        refuse(header, _WIDTHS)
    return fixed + sender_mac + sender_ip + target_mac + target_ip + trailer
