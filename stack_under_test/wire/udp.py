"""The UDP header (RFC 768).

`payload` is what lies within the length field, as far as there are octets; `trailer` is what lies beyond. A length
below 8 reads as an empty payload. A computed checksum covers what a receiver will take for the datagram: the length
field's octets. It is never 0, which means "none"; a stated checksum of 0 is written as such.
"""

import struct
from typing import NamedTuple

from stack_under_test.wire.checksum import internet_checksum, pseudo_header, verifies
from stack_under_test.wire.fields import refuse

PROTOCOL = 17
HEADER_LENGTH = 8
NO_CHECKSUM = 0

_HEADER = struct.Struct("!HHHH")
_unpack = _HEADER.unpack_from
_WIDTHS = {"sport": 16, "dport": 16, "length": 16, "checksum": 16}


class Udp(NamedTuple):
    """`length` counts the header too; None in `length` or `checksum` computes it."""

    sport: int
    dport: int
    payload: bytes = b""
    length: int | None = None
    checksum: int | None = None
    trailer: bytes = b""


def read(octets: bytes) -> Udp | None:
    """The datagram, or None below 8 octets."""
    if len(octets) < HEADER_LENGTH:
        return None
    sport, dport, length, checksum = _unpack(octets)
    if length == len(octets):
        return Udp(sport, dport, octets[8:], length, checksum)
    end = max(length, HEADER_LENGTH)
    return Udp(sport, dport, octets[8:end], length, checksum, octets[end:])


def write(header: Udp, src: bytes, dst: bytes) -> bytes:
    """The octets of the datagram; `src` and `dst` serve the checksum alone."""
    sport, dport, payload, length, checksum, trailer = header
    if length is None:
        length = HEADER_LENGTH + len(payload)
    body = payload + trailer if trailer else payload
    if checksum is None:
        covered = body[: length - HEADER_LENGTH] if HEADER_LENGTH <= length < HEADER_LENGTH + len(body) else body
        initial = sport + dport + length + pseudo_header(src, dst, PROTOCOL, length)
        checksum = internet_checksum(covered, initial) or 0xFFFF
    try:
        return _HEADER.pack(sport, dport, length, checksum) + body
    except struct.error:
        refuse(header._replace(length=length, checksum=header.checksum or 0), _WIDTHS)


def recompute(header: Udp) -> Udp:
    """The same datagram with length and checksum left to `write`."""
    return header._replace(length=None, checksum=None)


def checksum_ok(octets: bytes, src: bytes, dst: bytes) -> bool:
    """Whether a receiver accepts the checksum; none at all is right in IPv4 only (RFC 8200 8.1)."""
    if len(octets) < HEADER_LENGTH:
        return False
    _, _, length, checksum = _unpack(octets)
    if not HEADER_LENGTH <= length <= len(octets):
        return False
    if checksum == NO_CHECKSUM:
        return len(src) == 4
    return verifies(octets[:length], pseudo_header(src, dst, PROTOCOL, length))
