"""Ethernet, the link of a TAP: frames out, and the addresses of groups (`net/ethernet/eth.c`; RFC 894, RFC 1112)."""

from __future__ import annotations

from ...wire.ethernet import Ethernet, write


def frame(destination: bytes, source: bytes, ethertype: int, payload: bytes) -> bytes:
    """`eth_header`."""
    return write(Ethernet(destination, source, ethertype, payload))


def multicast(address: bytes) -> bytes:
    """`ip_eth_mc_map` (RFC 1112, 6.4): the group's lower 23 bits."""
    return b"\x01\x00\x5e" + bytes((address[1] & 0x7F,)) + address[2:4]
