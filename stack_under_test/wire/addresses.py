"""Addresses: the text that people read <-> the packed octets that headers hold.

Leaves scopes, prefixes and name resolution to others: an address here is a number of octets.
"""

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def parse_ip(text: str) -> bytes:
    """4 octets for dotted IPv4, 16 for IPv6; ValueError for anything else."""
    return ipaddress.ip_address(text).packed


@lru_cache(maxsize=4096)
def format_ip(packed: bytes) -> str:
    """Dotted IPv4 for 4 octets, the canonical form of RFC 5952 for 16; ValueError for another length."""
    return str(ipaddress.ip_address(packed))


def parse_mac(text: str) -> bytes:
    """The octets of `02:00:00:00:00:01`; ValueError when it is not six pairs of digits."""
    packed = bytes.fromhex(text.replace(":", ""))
    if len(packed) != 6 or text.count(":") != 5:
        raise ValueError(f"not a MAC address: {text!r}")
    return packed


def format_mac(packed: bytes) -> str:
    """Colon-separated hexadecimal, whatever the length."""
    return packed.hex(":")
