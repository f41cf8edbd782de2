"""Sequence numbers: 32 bits, compared modulo 2**32 (RFC 9293 3.4; `before`, `after` of include/net/tcp.h)."""

from __future__ import annotations

MASK = 0xFFFF_FFFF
HALF = 0x8000_0000


def before(a: int, b: int) -> bool:
    return (a - b) & MASK >= HALF


def after(a: int, b: int) -> bool:
    return (b - a) & MASK >= HALF


def between(value: int, low: int, high: int) -> bool:
    """low <= value <= high."""
    return (high - low) & MASK >= (value - low) & MASK


def diff(a: int, b: int) -> int:
    """a - b as a signed distance."""
    return ((a - b + HALF) & MASK) - HALF
