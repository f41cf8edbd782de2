"""What a call makes of a register: C's conversions from 64 bits to the parameter's type."""

from __future__ import annotations


def c_int(register: int) -> int:
    """`int`, and `socklen_t` where the kernel takes it as one."""
    return ((register & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000


def c_uint(register: int) -> int:
    return register & 0xFFFF_FFFF


def c_ulong(register: int) -> int:
    """`unsigned long`, `size_t`, a pointer."""
    return register & 0xFFFF_FFFF_FFFF_FFFF


def c_long(register: int) -> int:
    return ((register & 0xFFFF_FFFF_FFFF_FFFF) ^ (1 << 63)) - (1 << 63)
