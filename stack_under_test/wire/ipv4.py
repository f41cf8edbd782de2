"""The IPv4 header (RFC 791) and its options.

`payload` is what lies between the header and the total length, as far as there are octets; `trailer` is what lies
beyond, such as Ethernet's padding. A header length below 20 octets reads as no options; the 20 fixed octets are
always taken as the header.

Writing pads the options to 4 octets only when it computes the header length itself. A computed checksum covers what
a receiver will take for the header: `ihl` words. Reassembly, option processing and every judgement belong to stacks.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from stack_under_test.wire import tlv
from stack_under_test.wire.checksum import complement, internet_checksum, verifies
from stack_under_test.wire.fields import Trailing, padded, refuse

HEADER_LENGTH = 20

RECORD_ROUTE = 7
TIMESTAMP = 68
SECURITY = 130
LOOSE_SOURCE_ROUTE = 131
STRICT_SOURCE_ROUTE = 137
ROUTER_ALERT = 148

_HEADER = struct.Struct("!BBHHHBBH4s4s")
_unpack = _HEADER.unpack_from
_pack = _HEADER.pack
_new = tuple.__new__
_WIDTHS = {
    "version": 4,
    "ihl": 4,
    "tos": 8,
    "total_length": 16,
    "ident": 16,
    "fragment_offset": 13,
    "ttl": 8,
    "protocol": 8,
    "checksum": 16,
    "src": 32,
    "dst": 32,
}


class Ipv4(NamedTuple):
    """`fragment_offset` counts 8 octets, `ihl` 4, `total_length` 1; None in the last three computed fields computes."""

    src: bytes
    dst: bytes
    protocol: int
    payload: bytes = b""
    ttl: int = 64
    tos: int = 0
    ident: int = 0
    dont_fragment: bool = False
    more_fragments: bool = False
    reserved_flag: bool = False
    fragment_offset: int = 0
    options: bytes = b""
    version: int = 4
    ihl: int | None = None
    total_length: int | None = None
    checksum: int | None = None
    trailer: bytes = b""

    @property
    def is_fragment(self) -> bool:
        """Whether more than this packet is needed to have the datagram."""
        return self.more_fragments or self.fragment_offset != 0


class IpOption(NamedTuple):
    """One option; `data` excludes kind and length. Kinds 0 and 1 have neither length nor data."""

    kind: int
    data: bytes = b""


def read(octets: bytes) -> Ipv4 | None:
    """The packet, whatever its version field says, or None below 20 octets."""
    if len(octets) < HEADER_LENGTH:
        return None
    version_ihl, tos, total_length, ident, flags, ttl, protocol, checksum, src, dst = _unpack(octets)
    options = trailer = b""
    if version_ihl == 0x45 and total_length == len(octets):
        payload = octets[20:]
    else:
        header_end = max((version_ihl & 0x0F) << 2, HEADER_LENGTH)
        payload_end = max(total_length, header_end)
        options = octets[20:header_end]
        payload = octets[header_end:payload_end]
        trailer = octets[payload_end:]
    # fmt: off
    return _new(Ipv4, (
        src, dst, protocol, payload, ttl, tos, ident,
        flags & 0x4000 != 0, flags & 0x2000 != 0, flags & 0x8000 != 0, flags & 0x1FFF,
        options, version_ihl >> 4, version_ihl & 0x0F, total_length, checksum, trailer,
    ))
    # fmt: on


def write(header: Ipv4) -> bytes:
    """The octets of the packet, trailer included."""
    # fmt: off
    (
        src, dst, protocol, payload, ttl, tos, ident, dont_fragment, more_fragments, reserved_flag, fragment_offset,
        options, version, ihl, total_length, checksum, trailer,
    ) = header
    # fmt: on
    covered = -1 if ihl is None else ihl << 2
    if ihl is None:
        if options:
            options = padded(options, 4)
        ihl = 5 + (len(options) >> 2)
    if total_length is None:
        total_length = 20 + len(options) + len(payload)
    if (fragment_offset >> 13) | (version >> 4) | (ihl >> 4) or len(src) != 4 or len(dst) != 4:
        _refuse(header, ihl, total_length)
    first = version << 4 | ihl
    flags = fragment_offset
    if dont_fragment:
        flags |= 0x4000
    if more_fragments:
        flags |= 0x2000
    if reserved_flag:
        flags |= 0x8000
    try:
        if checksum is not None:
            fixed = _pack(first, tos, total_length, ident, flags, ttl, protocol, checksum, src, dst)
        elif covered in (-1, 20):
            # The fields are summed as numbers: packing twice would cost more than the additions.
            total = (first << 8) + tos + total_length + ident + flags + (ttl << 8) + protocol
            total += int.from_bytes(src + dst + options if covered < 0 else src + dst, "big")
            fixed = _pack(first, tos, total_length, ident, flags, ttl, protocol, complement(total), src, dst)
        else:
            fixed = _pack(first, tos, total_length, ident, flags, ttl, protocol, 0, src, dst)
            checksum = internet_checksum((fixed + options + payload + trailer)[: max(covered, HEADER_LENGTH)])
            fixed = fixed[:10] + checksum.to_bytes(2, "big") + fixed[12:]
    except struct.error:
        _refuse(header, ihl, total_length)
    return fixed + options + payload + trailer


def _refuse(header: Ipv4, ihl: int, total_length: int) -> NoReturn:
    filled = header._replace(ihl=ihl, total_length=total_length, checksum=header.checksum or 0)
    refuse(filled, _WIDTHS)


def recompute(header: Ipv4) -> Ipv4:
    """The same packet with header length, total length and checksum left to `write`."""
    return header._replace(ihl=None, total_length=None, checksum=None)


def checksum_ok(octets: bytes) -> bool:
    """Whether the header that `octets` begin with is whole and its checksum right."""
    if len(octets) < HEADER_LENGTH:
        return False
    length = (octets[0] & 0x0F) << 2
    return HEADER_LENGTH <= length <= len(octets) and verifies(octets[:length])


def read_options(octets: bytes) -> tuple[IpOption | Trailing, ...]:
    """The options in `Ipv4.options`; octets that cannot be parsed come last, as they are."""
    return tuple(found if isinstance(found, Trailing) else IpOption(*found) for found in tlv.split(octets))


def write_options(options: Iterable[IpOption | Trailing]) -> bytes:
    """The octets of `options`, without padding."""
    return b"".join(option.octets if isinstance(option, Trailing) else tlv.join(option.kind, option.data) for option in options)
