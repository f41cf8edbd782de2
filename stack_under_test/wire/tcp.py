"""The TCP header (RFC 9293 3.1).

`flags` has 9 bits: RFC 9293's eight and, above them, AE (RFC 9768; formerly NS). `reserved` is the 3 bits between
the data offset and AE. A data offset below 5 reads as no options: the 20 fixed octets are always taken as the header.

Writing pads the options to 4 octets only when it computes the data offset itself. A computed checksum covers all
octets of the segment. Sequence arithmetic, and all that a segment means to a connection, belong to stacks.
"""

import struct
from typing import NamedTuple, NoReturn

from stack_under_test.wire import tcp_options
from stack_under_test.wire.checksum import complement, pseudo_header, verifies
from stack_under_test.wire.fields import padded, refuse
from stack_under_test.wire.tcp_options import Option

PROTOCOL = 6
HEADER_LENGTH = 20

FIN = 0x001
SYN = 0x002
RST = 0x004
PSH = 0x008
ACK = 0x010
URG = 0x020
ECE = 0x040
CWR = 0x080
AE = 0x100

_LETTERS = (("F", FIN), ("S", SYN), ("R", RST), ("P", PSH), (".", ACK), ("U", URG), ("E", ECE), ("W", CWR), ("A", AE))
_FLAGS = dict(_LETTERS)

_HEADER = struct.Struct("!HHIIHHHH")
_unpack = _HEADER.unpack_from
_pack = _HEADER.pack
_new = tuple.__new__
_read_options = tcp_options.read
_write_options = tcp_options.write
_WIDTHS = {
    "sport": 16,
    "dport": 16,
    "seq": 32,
    "ack": 32,
    "data_offset": 4,
    "reserved": 3,
    "flags": 9,
    "window": 16,
    "checksum": 16,
    "urgent": 16,
}


class Tcp(NamedTuple):
    """`window` is unscaled, `urgent` relative to `seq`, `data_offset` counts 4 octets; None computes."""

    sport: int
    dport: int
    seq: int = 0
    ack: int = 0
    flags: int = 0
    window: int = 0
    options: tuple[Option, ...] = ()
    payload: bytes = b""
    urgent: int = 0
    data_offset: int | None = None
    reserved: int = 0
    checksum: int | None = None


def read(octets: bytes) -> Tcp | None:
    """The segment, or None below 20 octets."""
    if len(octets) < HEADER_LENGTH:
        return None
    sport, dport, seq, ack, offset_flags, window, checksum, urgent = _unpack(octets)
    data_offset = offset_flags >> 12
    options: tuple[Option, ...] = ()
    if data_offset <= 5:
        payload = octets[20:]
    else:
        end = data_offset << 2
        options = _read_options(octets[20:end])
        payload = octets[end:]
    # fmt: off
    return _new(Tcp, (
        sport, dport, seq, ack, offset_flags & 0x1FF, window, options, payload, urgent,
        data_offset, offset_flags >> 9 & 7, checksum,
    ))
    # fmt: on


def write(header: Tcp, src: bytes, dst: bytes) -> bytes:
    """The octets of the segment; `src` and `dst` serve the checksum alone."""
    # fmt: off
    (
        sport, dport, seq, ack, flags, window, options, payload, urgent, data_offset, reserved, checksum,
    ) = header
    # fmt: on
    body = _write_options(options) if options else b""
    if data_offset is None:
        if len(body) & 3:
            body = padded(body, 4)
        data_offset = 5 + (len(body) >> 2)
    if payload:
        body += payload
    if (flags >> 9) | (reserved >> 3) | (data_offset >> 4):
        _refuse(header, data_offset)
    offset_flags = data_offset << 12 | reserved << 9 | flags
    if checksum is None:
        total = int.from_bytes(body, "big")
        if len(body) & 1:
            total <<= 8
        total += sport + dport + seq + ack + offset_flags + window + urgent
        checksum = complement(total + pseudo_header(src, dst, PROTOCOL, 20 + len(body)))
    try:
        return _pack(sport, dport, seq, ack, offset_flags, window, checksum, urgent) + body
    except struct.error:
        _refuse(header, data_offset)


def _refuse(header: Tcp, data_offset: int) -> NoReturn:
    if header.data_offset is None and data_offset > 15:
        raise ValueError(f"Tcp.options: {(data_offset - 5) * 4} octets, at most 40 fit")
    refuse(header._replace(data_offset=data_offset, checksum=header.checksum or 0), _WIDTHS)


def recompute(header: Tcp) -> Tcp:
    """The same segment with data offset and checksum left to `write`."""
    return header._replace(data_offset=None, checksum=None)


def checksum_ok(octets: bytes, src: bytes, dst: bytes) -> bool:
    """Whether the checksum over pseudo-header and segment is right."""
    return len(octets) >= HEADER_LENGTH and verifies(octets, pseudo_header(src, dst, PROTOCOL, len(octets)))


def format_flags(flags: int) -> str:
    """Flags as packetdrill writes them: `S`, `S.`, `FP.`; `-` for none."""
    return "".join([letter for letter, bit in _LETTERS if flags & bit]) or "-"


def parse_flags(text: str) -> int:
    """The inverse of `format_flags`; letters in any order, ValueError for an unknown one."""
    flags = 0
    for letter in "" if text == "-" else text:
        if letter not in _FLAGS:
            raise ValueError(f"not a TCP flag: {letter!r} in {text!r}")
        flags |= _FLAGS[letter]
    return flags
