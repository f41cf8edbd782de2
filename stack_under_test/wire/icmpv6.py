"""ICMPv6 (RFC 4443): the shape of `icmp`, with a checksum that covers the IPv6 pseudo-header.

RFC 4443's fixed part is four octets; the four after them are `rest` here, since every message a Linux host handles
has them. The bodies of neighbour discovery are in `nd`.
"""

import struct
from typing import NamedTuple

from stack_under_test.wire.checksum import internet_checksum, pseudo_header, verifies
from stack_under_test.wire.fields import refuse

PROTOCOL = 58
HEADER_LENGTH = 8

DESTINATION_UNREACHABLE = 1
PACKET_TOO_BIG = 2
TIME_EXCEEDED = 3
PARAMETER_PROBLEM = 4
ECHO_REQUEST = 128
ECHO_REPLY = 129
MULTICAST_LISTENER_QUERY = 130
MULTICAST_LISTENER_REPORT = 131
MULTICAST_LISTENER_DONE = 132
ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
NEIGHBOR_SOLICITATION = 135
NEIGHBOR_ADVERTISEMENT = 136
REDIRECT = 137
MULTICAST_LISTENER_REPORT_V2 = 143

NO_ROUTE = 0
ADMINISTRATIVELY_PROHIBITED = 1
BEYOND_SCOPE = 2
ADDRESS_UNREACHABLE = 3
PORT_UNREACHABLE = 4
POLICY_FAILED = 5
REJECT_ROUTE = 6

HOP_LIMIT_EXCEEDED = 0
REASSEMBLY_TIME_EXCEEDED = 1

ERRONEOUS_HEADER = 0
UNRECOGNIZED_NEXT_HEADER = 1
UNRECOGNIZED_OPTION = 2

_HEADER = struct.Struct("!BBH4s")
_WIDTHS = {"type": 8, "code": 8, "checksum": 16, "rest": 32}


class Icmpv6(NamedTuple):
    """`rest` is always 4 octets; a `checksum` of None is computed. As a tuple it equals an `Icmp` of equal fields."""

    type: int
    code: int
    rest: bytes = b"\0\0\0\0"
    payload: bytes = b""
    checksum: int | None = None

    @property
    def ident(self) -> int:
        """The identifier of an echo message."""
        return int.from_bytes(self.rest[:2], "big")

    @property
    def sequence(self) -> int:
        """The sequence number of an echo message."""
        return int.from_bytes(self.rest[2:], "big")

    @property
    def mtu(self) -> int:
        """The MTU in "packet too big"."""
        return int.from_bytes(self.rest, "big")

    @property
    def pointer(self) -> int:
        """The offset of the octet a parameter problem is about."""
        return int.from_bytes(self.rest, "big")


def read(octets: bytes) -> Icmpv6 | None:
    """The message, or None below 8 octets."""
    if len(octets) < HEADER_LENGTH:
        return None
    kind, code, checksum, rest = _HEADER.unpack_from(octets)
    return Icmpv6(kind, code, rest, octets[8:], checksum)


def write(header: Icmpv6, src: bytes, dst: bytes) -> bytes:
    """The octets of the message; `src` and `dst` serve the checksum alone."""
    kind, code, rest, payload, checksum = header
    if checksum is None:
        initial = pseudo_header(src, dst, PROTOCOL, HEADER_LENGTH + len(payload))
        checksum = internet_checksum(payload, initial + (kind << 8) + code + int.from_bytes(rest, "big"))
    if len(rest) != 4:
        refuse(header._replace(checksum=checksum), _WIDTHS)
    try:
        return _HEADER.pack(kind, code, checksum, rest) + payload
    except struct.error:
        refuse(header._replace(checksum=header.checksum or 0), _WIDTHS)


def recompute(header: Icmpv6) -> Icmpv6:
    """The same message with its checksum left to `write`."""
    return header._replace(checksum=None)


def checksum_ok(octets: bytes, src: bytes, dst: bytes) -> bool:
    """Whether the checksum over pseudo-header and message is right."""
    return len(octets) >= HEADER_LENGTH and verifies(octets, pseudo_header(src, dst, PROTOCOL, len(octets)))


def echo_request(ident: int, sequence: int, payload: bytes = b"") -> Icmpv6:
    """An echo request message."""
    return Icmpv6(ECHO_REQUEST, 0, _number(ident, 16)[2:] + _number(sequence, 16)[2:], payload)


def echo_reply(ident: int, sequence: int, payload: bytes = b"") -> Icmpv6:
    """An echo reply message."""
    return Icmpv6(ECHO_REPLY, 0, _number(ident, 16)[2:] + _number(sequence, 16)[2:], payload)


def unreachable(code: int, original: bytes) -> Icmpv6:
    """A destination unreachable message about `original`, a packet's first octets."""
    return Icmpv6(DESTINATION_UNREACHABLE, code, payload=original)


def packet_too_big(mtu: int, original: bytes) -> Icmpv6:
    """A packet too big message about `original`."""
    return Icmpv6(PACKET_TOO_BIG, 0, _number(mtu, 32), original)


def time_exceeded(code: int, original: bytes) -> Icmpv6:
    """A time exceeded message about `original`."""
    return Icmpv6(TIME_EXCEEDED, code, payload=original)


def parameter_problem(code: int, pointer: int, original: bytes) -> Icmpv6:
    """A parameter problem message about the octet `pointer` of `original`."""
    return Icmpv6(PARAMETER_PROBLEM, code, _number(pointer, 32), original)


def _number(value: int, bits: int) -> bytes:
    if value >> bits:
        raise ValueError(f"Icmpv6.rest: {value} does not fit in {bits} bits")
    return value.to_bytes(4, "big")
