"""`struct tcp_info` by the names of its fields (`include/uapi/linux/tcp.h`), without what is measured (rule measured)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

_SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8}
_LAYOUT = (
    "state:B ca_state:B retransmits:B probes:B backoff:B options:B wscale:B -:B -:I -:I snd_mss:I rcv_mss:I unacked:I "
    "sacked:I lost:I retrans:I fackets:I -:I -:I -:I -:I pmtu:I rcv_ssthresh:I -:I -:I snd_ssthresh:I snd_cwnd:I advmss:I "
    "reordering:I -:I rcv_space:I total_retrans:I -:Q max_pacing_rate:Q bytes_acked:Q bytes_received:Q segs_out:I segs_in:I "
    "notsent_bytes:I -:I data_segs_in:I data_segs_out:I -:Q -:Q -:Q -:Q delivered:I delivered_ce:I bytes_sent:Q "
    "bytes_retrans:Q dsack_dups:I reord_seen:I rcv_ooopack:I snd_wnd:I rcv_wnd:I rehash:I total_rto:H total_rto_recoveries:H "
    "-:I received_ce:I delivered_e1_bytes:I delivered_e0_bytes:I delivered_ce_bytes:I received_e1_bytes:I received_e0_bytes:I "
    "received_ce_bytes:I accecn_fail_mode:H accecn_opt_seen:H"
)
"""In their order; "-" for times, rates and round trips."""
_FIELDS = [field.split(":") for field in _LAYOUT.split()]
_STARTS = [0, *accumulate(_SIZES[size] for _, size in _FIELDS)]


Field = tuple[str, int | bytes]


def decode(octets: bytes) -> tuple[int | Field, ...]:
    """The length, then name and value of every field that is there in whole and not zero; what is left at the end as
    octets."""
    return (len(octets), *_fields(octets))


def _fields(octets: bytes) -> tuple[Field, ...]:
    found: list[Field] = []
    for (name, size), start in zip(_FIELDS, _STARTS, strict=False):
        if start + _SIZES[size] > len(octets):
            return (*found, ("rest", octets[start:])) if start < len(octets) and name != "-" else tuple(found)
        (value,) = struct.unpack_from(f"<{size}", octets, start)
        if value and name != "-":
            found.append((name, value))
    rest = octets[_STARTS[-1] :]
    return (*found, ("rest", rest)) if any(rest) else tuple(found)


def text(value: tuple[Any, ...]) -> str:
    return f"{value[0]} octets: {_braced(value[1:])}"


def differing(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[str, str]:
    """Both as people write them, but for the fields that are the same."""
    if left[0] != right[0]:
        return text(left), text(right)
    names = {name for name, _ in set(left[1:]) ^ set(right[1:])}
    one, other = ([(name, dict(value[1:]).get(name, 0)) for name in sorted(names)] for value in (left, right))
    return _braced(one), _braced(other)


def _braced(fields: Iterable[Field]) -> str:
    return "{" + ", ".join(f"{name}={what.hex() if isinstance(what, bytes) else what}" for name, what in fields) + "}"
