"""TCP options: what `tcp_parse_options` takes from a segment, and the layouts Linux writes (`tcp_options_write`)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sysctl import Sysctls

MAX_WSCALE = 14
TIMESTAMP_ALIGNED = 12
MIN_MSS = 88

_TS = struct.Struct("!II")


class Received:
    """`struct tcp_options_received` of one segment; None where the option was absent."""

    __slots__ = ("fastopen", "mss", "sack", "sack_ok", "ts_ecr", "ts_val", "wscale")

    def __init__(self) -> None:
        self.mss: int | None = None
        self.wscale: int | None = None
        self.sack_ok = False
        self.sack: bytes = b""
        self.ts_val: int | None = None
        self.ts_ecr = 0
        self.fastopen: bytes | None = None


def parse(octets: bytes, syn: bool, established: bool = False) -> Received:
    """Walk the options as Linux does: an impossible length ends the walk, a wrong length skips the option.

    MSS, window scale and SACK-permitted count only on a SYN (and not once established).
    """
    found = Received()
    if len(octets) == 12 and octets[:4] == b"\x01\x01\x08\x0a":
        found.ts_val, found.ts_ecr = _TS.unpack_from(octets, 4)
        return found
    at = 0
    size = len(octets)
    while at < size:
        kind = octets[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if at + 1 >= size:
            break
        length = octets[at + 1]
        if length < 2 or at + length > size:
            break
        _take(found, kind, octets[at + 2 : at + length], syn and not established)
        at += length
    return found


def unestablished(octets: bytes, syn: bool, sysctl: Sysctls) -> Received:
    """Outside a connection (`estab` 0) an option is only there if the namespace's settings want it."""
    found = parse(octets, syn) if octets else Received()
    if not sysctl.tcp_timestamps:
        found.ts_val, found.ts_ecr = None, 0
    if not sysctl.tcp_window_scaling:
        found.wscale = None
    found.sack_ok = found.sack_ok and bool(sysctl.tcp_sack)
    return found


def _take(found: Received, kind: int, body: bytes, opening: bool) -> None:
    length = len(body) + 2
    if kind == 2 and length == 4 and opening:
        mss = int.from_bytes(body, "big")
        if mss:
            found.mss = mss
    elif kind == 3 and length == 3 and opening:
        found.wscale = min(body[0], MAX_WSCALE)
    elif kind == 4 and length == 2 and opening:
        found.sack_ok = True
    elif kind == 5 and length >= 10 and (length - 2) % 8 == 0:
        found.sack = body
    elif kind == 8 and length == 10:
        found.ts_val, found.ts_ecr = _TS.unpack(body)
    elif kind == 34 and opening and (length == 2 or (6 <= length <= 18 and length % 2 == 0)):
        found.fastopen = body


def timestamps(val: int, ecr: int) -> bytes:
    return b"\x01\x01\x08\x0a" + _TS.pack(val, ecr)


def sacks(blocks: list[tuple[int, int]]) -> bytes:
    head = struct.pack("!BBBB", 1, 1, 5, 2 + 8 * len(blocks))
    return head + b"".join([_TS.pack(left, right) for left, right in blocks])


def opening(mss: int, wscale: int | None, sack_ok: bool, ts: tuple[int, int] | None) -> bytes:
    """A SYN's options, in Linux's order."""
    parts = [struct.pack("!BBH", 2, 4, mss)]
    if ts is not None:
        parts.append((b"\x04\x02" if sack_ok else b"\x01\x01") + b"\x08\x0a" + _TS.pack(*ts))
    elif sack_ok:
        parts.append(b"\x01\x01\x04\x02")
    if wscale is not None:
        parts.append(bytes((1, 3, 3, wscale)))
    return b"".join(parts)
