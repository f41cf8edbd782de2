"""When the kernel's timer wheel fires: on a tick, never early, late by what a level of the wheel is coarse."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stack_under_test.reference.timers import wheel_expiry

USEC, MSEC, SEC = 1000, 1_000_000, 1_000_000_000
HOUR = 3600 * SEC
TICK = 4 * MSEC
REACH = 131_071
"""Ticks: what lies as far ahead is kept eight times coarser, what lies eight times as far 64 times."""

hertz = st.sampled_from([100, 250, 1000])
moments = st.one_of(st.integers(0, SEC), st.integers(0, 1000 * HOUR))
delays = st.one_of(st.integers(0, SEC), st.integers(0, 24 * HOUR))


def coarseness(delay: int, hz: int) -> int:
    """In ticks."""
    ticks = -(-delay * hz // SEC)
    return int(8 ** sum(ticks >= REACH * 8**level for level in range(4)))


@pytest.mark.parametrize(
    ("now", "delay", "fires"),
    [
        (0, 0, 4 * MSEC),
        (0, 1, 8 * MSEC),
        (0, SEC, 1004 * MSEC),
        (TICK - 1, SEC, 1004 * MSEC),
        (TICK, SEC, 1008 * MSEC),
        (TICK - 1, SEC + 1, 1008 * MSEC),
        (0, (REACH - 1) * TICK, REACH * TICK),
        (0, (REACH - 1) * TICK + 1, (REACH + 1) * TICK),
        (0, (REACH + 1) * TICK, (REACH + 9) * TICK),
        (140 * USEC, 2 * HOUR, 7_200_224 * MSEC),
    ],
)
def test_at_250_hz(now: int, delay: int, fires: int) -> None:
    assert wheel_expiry(now, delay, 250) == fires


@given(moments, delays, hertz)
@example(0, REACH * TICK, 250)
@example(0, 8 * REACH * TICK, 250)
def test_it_is_never_early_and_hardly_late(now: int, delay: int, hz: int) -> None:
    """The delay is rounded up to a tick, then to the next step of its level."""
    tick = SEC // hz
    late = wheel_expiry(now, delay, hz) - (now + delay)
    assert 0 < late < tick + coarseness(delay, hz) * tick


@given(moments, delays, hertz)
def test_it_falls_on_a_step_of_its_level(now: int, delay: int, hz: int) -> None:
    """Steps are counted from INITIAL_JIFFIES, five minutes before the count passes zero."""
    ticks, rest = divmod(wheel_expiry(now, delay, hz), SEC // hz)
    assert rest == 0
    assert (ticks - 300 * hz) % coarseness(delay, hz) == 0


@given(moments, delays, delays, hertz)
@example(0, REACH * TICK - 1, REACH * TICK, 250)
@example(0, 8 * REACH * TICK - TICK, 8 * REACH * TICK, 250)
def test_a_longer_delay_fires_no_earlier(now: int, one: int, other: int, hz: int) -> None:
    shorter, longer = sorted((one, other))
    assert wheel_expiry(now, shorter, hz) <= wheel_expiry(now, longer, hz)


@given(moments, moments, delays, hertz)
def test_what_is_set_later_fires_no_earlier(one: int, other: int, delay: int, hz: int) -> None:
    earlier, later = sorted((one, other))
    assert wheel_expiry(earlier, delay, hz) <= wheel_expiry(later, delay, hz)
