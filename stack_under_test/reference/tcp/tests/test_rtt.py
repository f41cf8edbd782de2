"""Round-trip estimates and the timeout they give (RFC 6298; `tcp_rtt_estimator`, `tcp_set_rto`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.reference.net import MSEC, SEC
from stack_under_test.reference.sock import State
from stack_under_test.reference.tcp import rtt
from stack_under_test.reference.tcp.sock import RTO_MAX, RTO_MIN, TcpSock
from stack_under_test.reference.tcp.tests.sockets import fresh

TICK = SEC // 250
samples = st.lists(st.integers(0, 100_000_000), min_size=1, max_size=40)


def measured(*sample_us: int) -> TcpSock:
    sk = fresh(State.ESTABLISHED)
    for sample in sample_us:
        rtt.estimate(sk, sample)
        rtt.set_rto(sk)
        sk.snd_una = sk.snd_nxt = sk.snd_nxt + 1
    return sk


@given(st.integers(1, 10_000_000))
def test_the_first_sample_is_taken_as_it_is(sample: int) -> None:
    """RFC 6298 2.2: SRTT = R, RTTVAR = R/2 (kept four times as large), never below the minimum."""
    sk = measured(sample)
    assert sk.srtt_us == sample << 3
    assert sk.mdev_us == sample << 1
    assert sk.rttvar_us == max(sample << 1, RTO_MIN // 1000)


@given(st.integers(1, 5_000_000), st.integers(1, 5_000_000))
def test_a_steady_round_trip_is_what_the_estimate_comes_to(first: int, steady: int) -> None:
    sk = measured(first, *[steady] * 150)
    assert abs((sk.srtt_us >> 3) - steady) <= max(8, steady >> 6)
    assert sk.mdev_us <= max(64, steady >> 3)


@given(samples)
def test_the_timeout_is_whole_ticks_between_its_bounds(values: list[int]) -> None:
    sk = measured(*values)
    assert RTO_MIN <= sk.rto <= RTO_MAX
    assert sk.rto == RTO_MAX or sk.rto % TICK == 0
    assert sk.srtt_us >= 1
    assert sk.rto == RTO_MAX or sk.rto >= (sk.srtt_us >> 3) * 1000


@pytest.mark.parametrize(("sample", "rto"), [(1, 204), (4000, 204), (4001, 208), (100_000, 300), (1_000_000, 3000)])
def test_the_timeout_after_one_sample(sample: int, rto: int) -> None:
    """srtt + max(2 R, 200 ms), rounded up to the 4 ms tick (`usecs_to_jiffies`)."""
    assert measured(sample).rto == rto * MSEC


def test_a_sudden_rise_raises_the_timeout_at_once() -> None:
    before, after = measured(10_000), measured(10_000, 500_000)
    assert after.rto > before.rto
    assert after.rttvar_us == after.mdev_us == 20_000 + (490_000 - 5000)


def test_a_sudden_fall_counts_an_eighth() -> None:
    """`tcp_rtt_estimator`: a lower sample is no reason to distrust the estimate; its error is taken an eighth."""
    sk = measured(800_000, 80_000)
    assert sk.srtt_us == (800_000 << 3) - 720_000
    assert sk.mdev_us == 1_600_000 + (720_000 - 400_000 >> 3)


def test_a_timestamp_echo_stands_in_where_karn_forbids_a_sample() -> None:
    """RFC 7323 4.1; `tcp_ack_update_rtt`."""
    sk = fresh(State.ESTABLISHED)
    sk.net.now = 500 * MSEC
    assert not rtt.update(sk, -1, -1, -1, True, False)
    sk.saw_tstamp, sk.rcv_tsecr = True, sk.tsval() - sk.tsoffset - 30
    assert not rtt.update(sk, -1, -1, -1, False, False)
    assert rtt.update(sk, -1, -1, -1, True, False)
    assert sk.srtt_us == 30_000 << 3
