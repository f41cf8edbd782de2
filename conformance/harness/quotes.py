"""The packet that an ICMP error quotes: one of the program's own, in which some numbers came from the stack.

The quote is kept as octets, with those numbers zeroed and shown beside them (rule quoted): whatever else a stack
changes in a quote, or how much of the packet it quotes, is a difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stack_under_test.wire.checksum import verifies

from .facts import Facts

_MASK = 0xFFFF_FFFF
_CHECKSUM_AT = {6: 16, 17: 6, 1: 2, 58: 2}


class Quote(NamedTuple):
    """`octets` with the numbers of the other fields zeroed; `checksum` is ``ok``, ``wrong``, ``none`` or ``cut``."""

    octets: bytes
    sport: int | str
    dport: int | str
    ack: int | None
    checksum: str


def read_quote(
    octets: bytes,
    facts: Facts,
    port: Callable[[str, int], int | str],
    iss: Callable[[tuple[bytes, int, bytes, int]], int],
) -> Quote:
    """`port` makes a port symbolic; `iss` gives the stack's initial number on a flow."""
    header = _header(octets, facts)
    if header is None:
        return Quote(octets, 0, 0, None, "cut")
    protocol, at, src, dst, claimed = header
    changed = bytearray(octets)
    sport: int | str = 0
    dport: int | str = 0
    ack = None
    if protocol in (6, 17) and len(octets) >= at + 4:
        name = "tcp" if protocol == 6 else "udp"
        numbers = int.from_bytes(octets[at : at + 2], "big"), int.from_bytes(octets[at + 2 : at + 4], "big")
        sport, dport = port(name, numbers[0]), port(name, numbers[1])
        changed[at : at + 4] = bytes(4)
        if protocol == 6 and len(octets) >= at + 12:
            number = int.from_bytes(octets[at + 8 : at + 12], "big")
            ack = number if number in facts.acks else (number - iss((src, numbers[0], dst, numbers[1]))) & _MASK
            changed[at + 8 : at + 12] = bytes(4)
            _zero_timestamps(changed, at, facts)
    if octets[0] >> 4 == 4 and at != (octets[0] & 15) * 4:
        changed[10:12] = bytes(2)
    state = _checksum(octets, protocol, at, src + dst, claimed)
    where = at + _CHECKSUM_AT.get(protocol, len(octets))
    if where + 2 <= len(octets) and state != "none":
        changed[where : where + 2] = bytes(2)
    return Quote(bytes(changed), sport, dport, ack, state)


def _header(octets: bytes, facts: Facts) -> tuple[int, int, bytes, bytes, int] | None:
    """(protocol, offset of the upper layer, source, destination, the packet's claimed length)."""
    if len(octets) >= 20 and octets[0] >> 4 == 4:
        at = _upper_layer(octets, facts)
        if int.from_bytes(octets[6:8], "big") & 0x1FFF:
            return None
        return octets[9], at, octets[12:16], octets[16:20], int.from_bytes(octets[2:4], "big")
    if len(octets) >= 40 and octets[0] >> 4 == 6:
        return octets[6], 40, octets[8:24], octets[24:40], 40 + int.from_bytes(octets[4:6], "big")
    return None


def _upper_layer(octets: bytes, facts: Facts) -> int:
    """Where it begins: behind the options that the program wrote, whatever the header's length says."""
    for options in sorted(facts.header_options.get(octets[0] & 15, ()), key=len, reverse=True):
        if octets[20 : 20 + len(options)] == options:
            return 20 + len(options)
    return max(5, octets[0] & 15) * 4


def _checksum(octets: bytes, protocol: int, at: int, addresses: bytes, claimed: int) -> str:
    where = at + _CHECKSUM_AT.get(protocol, len(octets))
    if where + 2 > len(octets) or claimed > len(octets):
        return "cut"
    if protocol == 17 and octets[where : where + 2] == b"\0\0":
        return "none"
    pseudo = 0 if protocol == 1 else int.from_bytes(addresses, "big") + protocol + claimed - at
    return "ok" if verifies(octets[at:claimed], pseudo) else "wrong"


def _zero_timestamps(octets: bytearray, at: int, facts: Facts) -> None:
    """TSecr, and TSval where the program's are relative to the stack's."""
    length = 60 if facts.odd_offsets else (octets[at + 12] >> 4) * 4 if len(octets) > at + 12 else 0
    end = min(len(octets), at + length)
    option = at + 20
    while option < end and octets[option]:
        if octets[option] == 1:
            option += 1
            continue
        if option + 2 > end or octets[option + 1] < 2:
            return
        if octets[option] == 8:
            start = option + 2 if facts.timestamps_relative else option + 6
            stop = min(option + 10, end)
            if start < stop:
                octets[start:stop] = bytes(stop - start)
        option += octets[option + 1]
