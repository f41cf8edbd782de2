"""Sequence numbers compare modulo 2**32 (RFC 9293 3.4; `before`, `after`, `between` of include/net/tcp.h)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.reference.tcp.seq import HALF, MASK, after, before, between, diff

numbers = st.integers(0, MASK)
steps = st.integers(1, HALF - 1)


@given(numbers, steps)
def test_what_lies_less_than_half_the_space_ahead_comes_after(start: int, step: int) -> None:
    end = (start + step) & MASK
    assert before(start, end)
    assert after(end, start)
    assert not before(end, start)
    assert not after(start, end)


@given(numbers)
def test_nothing_comes_before_itself(number: int) -> None:
    assert not before(number, number)
    assert not after(number, number)


@given(numbers, st.integers(1 - HALF, HALF - 1))
def test_the_signed_distance_is_undone_by_adding_it(start: int, distance: int) -> None:
    assert diff((start + distance) & MASK, start) == distance


@given(numbers, st.integers(0, MASK), st.integers(0, MASK))
def test_between_includes_both_ends_across_the_wrap(low: int, size: int, offset: int) -> None:
    high, value = (low + size) & MASK, (low + offset) & MASK
    assert between(value, low, high) == (offset <= size)


@given(numbers, numbers)
def test_before_and_after_are_one_relation_read_both_ways(a: int, b: int) -> None:
    """At exactly half the space Linux calls each before the other (`(__s32)(a - b) < 0`)."""
    assert after(a, b) == before(b, a)
    assert before(a, b) == (diff(a, b) < 0)
