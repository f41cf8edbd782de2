"""`struct tcp_info` by the names of its fields."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from conformance.harness import tcp_info

MEASURED = ((7, 16), (44, 60), (68, 76), (92, 96), (104, 112), (148, 152), (160, 192), (244, 248))
"""Times, rates and round trips."""


@given(st.binary(max_size=300))
def test_any_octets_are_read(octets: bytes) -> None:
    value = tcp_info.decode(octets)
    assert value[0] == len(octets)
    assert tcp_info.text(value).startswith(f"{len(octets)} octets: {{")
    assert tcp_info.differing(value, value) == ("{}", "{}")


@given(st.binary(min_size=280, max_size=280), st.integers(0, 279), st.integers(1, 255))
def test_every_octet_counts_unless_it_is_measured(octets: bytes, at: int, change: int) -> None:
    other = octets[:at] + bytes((octets[at] ^ change,)) + octets[at + 1 :]
    measured = any(start <= at < end for start, end in MEASURED)
    assert (tcp_info.decode(octets) == tcp_info.decode(other)) is measured


def test_what_differs_is_named() -> None:
    one = tcp_info.decode(struct.pack("<8B24I", 1, *[0] * 7, *range(100, 124)))
    other = tcp_info.decode(struct.pack("<8B24I", 7, *[0] * 7, *range(100, 118), 9, *range(119, 124)))
    assert tcp_info.differing(one, other) == ("{snd_cwnd=118, state=1}", "{snd_cwnd=9, state=7}")
    assert tcp_info.differing(one, tcp_info.decode(b"\1"))[1] == "1 octets: {state=1}"
