"""Packets that calls read, from an error queue or a raw socket, without what the stack chose in them.

Rules that apply (`rules.py`): quoted-numbers, raw-read.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from stack_under_test.contract.trace import Outs
from stack_under_test.contract.world import STACK_IP

from .rules import ICMP_TIMES, zeroed

_ICMP = 1
_NOP, _TIMESTAMPS = 1, 8
_HEADER = 8
_ECHOES = frozenset({0, 8})
_ERRORS = frozenset({3, 4, 5, 11, 12})
_TIMES = frozenset({13, 14})


def rewrite(outs: Outs, change: Callable[[bytes], bytes]) -> Outs:
    """The outs with `change` made to the data, which may be in several pieces; it must keep their length."""
    data = BytesIO(change(b"".join([octets for path, octets in outs if _holds_data(path)])))
    return tuple([(path, data.read(len(octets)) if _holds_data(path) else octets) for path, octets in outs])


def _holds_data(path: str) -> bool:
    return path == "arg1" or ".iov" in path


def tcp_header(octets: bytes) -> bytes:
    """Without the stack's port, its sequence number, its timestamp and the checksum over them: a header that it sent."""
    stamp = _timestamp_value(octets)
    return zeroed(octets, ((0, 2), (4, 8), (16, 18), *(() if stamp is None else ((stamp, stamp + 4),))))


def _timestamp_value(octets: bytes) -> int | None:
    """Where TSval stands (RFC 7323, 3.2), if it does."""
    at, end = 20, (octets[12] >> 4) * 4 if len(octets) > 12 else 0
    while at + 1 < min(end, len(octets)) and octets[at]:
        if octets[at] == _TIMESTAMPS:
            return at + 2
        at += 1 if octets[at] == _NOP else max(2, octets[at + 1])
    return None


def ipv4_packet(octets: bytes, idents: set[int]) -> bytes:
    """As `raw-read` has it; `idents`: identifiers of echoes that the program names. A packet of somebody else's stays."""
    if not _sent_by_stack(octets):
        return octets
    octets = zeroed(octets, ((4, 6), (10, 12)))
    at = (octets[0] & 15) * 4
    if len(octets) <= at or octets[9] != _ICMP:
        return octets
    ranges = [(at + 2, at + 4)]
    kind, body = octets[at], at + _HEADER
    if kind in _ERRORS:
        ranges.append((body, len(octets)))
    elif kind in _ECHOES and int.from_bytes(octets[at + 4 : at + 6], "big") not in idents:
        ranges.append((at + 4, at + 6))
    elif kind in _TIMES:
        ranges += [(body + start, body + end) for start, end in ICMP_TIMES]
    return zeroed(octets, tuple(ranges))


def _sent_by_stack(octets: bytes) -> bool:
    """As far as what was read tells: is it an IPv4 packet of the stack's own?"""
    source = octets[12:16]
    return b"\x45" <= octets[:1] <= b"\x4f" and (len(source) < 4 or source == STACK_IP or source[0] == 127)
