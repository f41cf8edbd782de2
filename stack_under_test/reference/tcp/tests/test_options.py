"""TCP options: `tcp_parse_options` over anything, and what Linux writes (RFC 9293 3.2, RFC 7323, RFC 2018)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.reference.tcp import options
from stack_under_test.reference.tcp.segment import parse as parse_segment

words = st.integers(0, 0xFFFF_FFFF)


@given(st.binary(max_size=40), st.booleans(), st.booleans())
def test_any_octets_are_read_without_complaint(octets: bytes, syn: bool, established: bool) -> None:
    found = options.parse(octets, syn, established)
    assert found.wscale is None or found.wscale <= options.MAX_WSCALE
    assert len(found.sack) % 8 == 0


@given(st.binary(max_size=120))
def test_any_octets_are_a_segment_or_none(octets: bytes) -> None:
    """`tcp_v4_rcv` drops what is too short, has a bad offset or a bad checksum; nothing raises."""
    segment = parse_segment(octets, bytes(4), bytes(4), 0, 64, len(octets) + 20)
    if segment is not None:
        assert segment.doff == 20 + len(segment.options)
        assert segment.doff + len(segment.payload) == len(octets)


@given(st.integers(1, 65535), st.none() | st.integers(0, 14), st.booleans(), st.none() | st.tuples(words, words))
def test_the_options_of_a_syn_parse_back(mss: int, wscale: int | None, sack: bool, ts: tuple[int, int] | None) -> None:
    octets = options.opening(mss, wscale, sack, ts)
    assert len(octets) % 4 == 0
    assert len(octets) <= 40
    found = options.parse(octets, True)
    assert (found.mss, found.wscale, found.sack_ok) == (mss, wscale, sack)
    assert (found.ts_val, found.ts_ecr) == (ts or (None, 0))


@given(words, words)
def test_timestamps_parse_back(value: int, echo: int) -> None:
    octets = options.timestamps(value, echo)
    assert len(octets) == options.TIMESTAMP_ALIGNED
    for whole in (octets, octets + b"\0\0\0\0"):
        found = options.parse(whole, False)
        assert (found.ts_val, found.ts_ecr) == (value, echo)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=4))
def test_sack_blocks_parse_back(blocks: list[tuple[int, int]]) -> None:
    octets = options.sacks(blocks)
    assert len(octets) % 4 == 0
    found = options.parse(octets, False).sack
    assert list(struct.iter_unpack("!II", found)) == blocks


@pytest.mark.parametrize(
    ("octets", "mss"),
    [
        (b"\x02\x04\x05\xb4", 1460),
        (b"\x01\x01\x02\x04\x05\xb4", 1460),
        (b"\x00\x02\x04\x05\xb4", None),
        (b"\x02\x03\x05\x02\x04\x05\xb4", 1460),
        (b"\x02\x04\x00\x00", None),
        (b"\xfd\x01\x02\x04\x05\xb4", None),
        (b"\xfd\x09\x02\x04\x05\xb4", None),
        (b"\xfd\x02\x02\x04\x05\xb4", 1460),
        (b"\x02", None),
        (b"\x02\x04\x05\xb4\x02\x04\x02\x18", 536),
    ],
)
def test_a_wrong_length_skips_an_option_an_impossible_one_ends_the_walk(octets: bytes, mss: int | None) -> None:
    """`tcp_parse_options`: `opsize < 2` or beyond the header returns; a known kind's wrong size is passed over."""
    assert options.parse(octets, True).mss == mss


def test_what_only_a_syn_may_say() -> None:
    octets = options.opening(1000, 7, True, (1, 2))
    found = options.parse(octets, False)
    assert (found.mss, found.wscale, found.sack_ok, found.ts_val) == (None, None, False, 1)
    late = options.parse(octets, True, established=True)
    assert (late.mss, late.wscale, late.sack_ok, late.ts_val) == (None, None, False, 1)


def test_a_window_scale_beyond_fourteen_counts_as_fourteen() -> None:
    """RFC 7323 2.3."""
    assert options.parse(b"\x03\x03\xff", True).wscale == 14
