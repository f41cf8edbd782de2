"""`struct sockaddr_in`: octets, as the system calls carry them."""

from __future__ import annotations

from typing import NamedTuple

from ...contract import abi

SIZE = 16


class Sockaddr(NamedTuple):
    """What a protocol reads; whether enough octets were given is its own check."""

    family: int
    port: int
    address: bytes


def parse(octets: bytes) -> Sockaddr:
    """Reads what is there; octets that the caller did not give are zero."""
    octets = octets[:8].ljust(8, b"\0")
    return Sockaddr(int.from_bytes(octets[:2], "little"), int.from_bytes(octets[2:4], "big"), octets[4:8])


def sockaddr_in(address: bytes, port: int) -> bytes:
    return _FAMILY + port.to_bytes(2, "big") + address + _ZERO


_FAMILY = abi.AF_INET.to_bytes(2, "little")
_ZERO = bytes(8)
