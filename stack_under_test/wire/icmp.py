"""ICMP for IPv4 (RFC 792, RFC 1191).

Every message is type, code, checksum, four octets whose meaning depends on the type (`rest`), and a payload: data to
echo, or the start of the packet that an error is about. Properties read `rest` as one meaning or another without
asking whether the type has it; functions named after the messages make them.
"""

import struct
from typing import NamedTuple

from stack_under_test.wire.checksum import internet_checksum, verifies
from stack_under_test.wire.fields import refuse

PROTOCOL = 1
HEADER_LENGTH = 8

ECHO_REPLY = 0
DESTINATION_UNREACHABLE = 3
SOURCE_QUENCH = 4
REDIRECT = 5
ECHO_REQUEST = 8
ROUTER_ADVERTISEMENT = 9
ROUTER_SOLICITATION = 10
TIME_EXCEEDED = 11
PARAMETER_PROBLEM = 12
TIMESTAMP_REQUEST = 13
TIMESTAMP_REPLY = 14

NET_UNREACHABLE = 0
HOST_UNREACHABLE = 1
PROTOCOL_UNREACHABLE = 2
PORT_UNREACHABLE = 3
FRAGMENTATION_NEEDED = 4
SOURCE_ROUTE_FAILED = 5
ADMINISTRATIVELY_PROHIBITED = 13

TTL_EXCEEDED = 0
REASSEMBLY_TIME_EXCEEDED = 1

_HEADER = struct.Struct("!BBH4s")
_WIDTHS = {"type": 8, "code": 8, "checksum": 16, "rest": 32}


class Icmp(NamedTuple):
    """`rest` is always 4 octets; a `checksum` of None is computed. As a tuple it equals an `Icmpv6` of equal fields."""

    type: int
    code: int
    rest: bytes = b"\0\0\0\0"
    payload: bytes = b""
    checksum: int | None = None

    @property
    def ident(self) -> int:
        """The identifier of an echo or timestamp message."""
        return int.from_bytes(self.rest[:2], "big")

    @property
    def sequence(self) -> int:
        """The sequence number of an echo or timestamp message."""
        return int.from_bytes(self.rest[2:], "big")

    @property
    def next_hop_mtu(self) -> int:
        """The MTU in "fragmentation needed" (RFC 1191 4)."""
        return int.from_bytes(self.rest[2:], "big")

    @property
    def gateway(self) -> bytes:
        """The address in a redirect."""
        return self.rest

    @property
    def pointer(self) -> int:
        """The offset of the octet a parameter problem is about."""
        return self.rest[0]


def read(octets: bytes) -> Icmp | None:
    """The message, or None below 8 octets."""
    if len(octets) < HEADER_LENGTH:
        return None
    kind, code, checksum, rest = _HEADER.unpack_from(octets)
    return Icmp(kind, code, rest, octets[8:], checksum)


def write(header: Icmp) -> bytes:
    """The octets of the message."""
    kind, code, rest, payload, checksum = header
    if checksum is None:
        checksum = internet_checksum(payload, (kind << 8) + code + int.from_bytes(rest, "big"))
    if len(rest) != 4:
        refuse(header._replace(checksum=checksum), _WIDTHS)
    try:
        return _HEADER.pack(kind, code, checksum, rest) + payload
    except struct.error:
        refuse(header._replace(checksum=header.checksum or 0), _WIDTHS)


def recompute(header: Icmp) -> Icmp:
    """The same message with its checksum left to `write`."""
    return header._replace(checksum=None)


def checksum_ok(octets: bytes) -> bool:
    """Whether the checksum over the whole message is right."""
    return len(octets) >= HEADER_LENGTH and verifies(octets)


def echo_request(ident: int, sequence: int, payload: bytes = b"") -> Icmp:
    """An echo message."""
    return Icmp(ECHO_REQUEST, 0, _two(ident, sequence), payload)


def echo_reply(ident: int, sequence: int, payload: bytes = b"") -> Icmp:
    """An echo reply message."""
    return Icmp(ECHO_REPLY, 0, _two(ident, sequence), payload)


def unreachable(code: int, original: bytes, next_hop_mtu: int = 0) -> Icmp:
    """A destination unreachable message about `original`, a packet's first octets."""
    return Icmp(DESTINATION_UNREACHABLE, code, _two(0, next_hop_mtu), original)


def time_exceeded(code: int, original: bytes) -> Icmp:
    """A time exceeded message about `original`."""
    return Icmp(TIME_EXCEEDED, code, payload=original)


def parameter_problem(pointer: int, original: bytes, code: int = 0) -> Icmp:
    """A parameter problem message about the octet `pointer` of `original`."""
    return Icmp(PARAMETER_PROBLEM, code, _two(pointer << 8, 0), original)


def redirect(code: int, gateway: bytes, original: bytes) -> Icmp:
    """A redirect to `gateway` (4 octets) for `original`."""
    return Icmp(REDIRECT, code, gateway, original)


def source_quench(original: bytes) -> Icmp:
    """A source quench message about `original`."""
    return Icmp(SOURCE_QUENCH, 0, payload=original)


def _two(high: int, low: int) -> bytes:
    if (high | low) >> 16:
        raise ValueError(f"Icmp.rest: {high} and {low} do not fit in 16 bits each")
    return (high << 16 | low).to_bytes(4, "big")
