"""Reno's window (RFC 5681; `tcp_slow_start`, `tcp_cong_avoid_ai`) and what holds it back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.reference.net import SEC
from stack_under_test.reference.sock import Socket, State
from stack_under_test.reference.tcp import congestion
from stack_under_test.reference.tcp.sock import INFINITE_SSTHRESH, TcpSock
from stack_under_test.reference.tcp.tests.sockets import fresh

cwnds = st.integers(1, 1000)


def sender(cwnd: int, ssthresh: int = INFINITE_SSTHRESH) -> TcpSock:
    sk = fresh(State.ESTABLISHED)
    sk.cwnd, sk.ssthresh, sk.is_cwnd_limited = cwnd, ssthresh, True
    return sk


@given(cwnds, st.integers(0, 100))
def test_slow_start_adds_what_was_acknowledged(cwnd: int, acked: int) -> None:
    sk = sender(cwnd)
    assert congestion.slow_start(sk, acked) == 0
    assert sk.cwnd == cwnd + acked


@given(cwnds, st.integers(0, 100), st.integers(0, 100))
def test_slow_start_ends_at_the_threshold(cwnd: int, below: int, acked: int) -> None:
    sk = sender(cwnd, cwnd + below)
    left = congestion.slow_start(sk, acked)
    assert sk.cwnd == min(cwnd + acked, cwnd + below)
    assert left == acked - (sk.cwnd - cwnd)


@given(cwnds)
def test_congestion_avoidance_adds_one_segment_a_window(cwnd: int) -> None:
    sk = sender(cwnd, 1)
    for _ in range(cwnd):
        assert sk.cwnd == cwnd
        congestion.reno_cong_avoid(sk, 1)
    assert sk.cwnd == cwnd + 1


@given(cwnds, st.integers(1, 3000))
def test_an_ack_of_several_windows_counts_each(cwnd: int, acked: int) -> None:
    sk = sender(cwnd, 1)
    congestion.additive_increase(sk, cwnd, acked)
    assert (sk.cwnd, sk.cwnd_cnt) == (cwnd + acked // cwnd, acked % cwnd)


@given(cwnds)
def test_a_loss_halves_the_window_but_leaves_two(cwnd: int) -> None:
    assert congestion.reno_ssthresh(sender(cwnd)) == max(cwnd // 2, 2)


def test_a_window_that_was_not_used_does_not_grow() -> None:
    """RFC 2861; `tcp_is_cwnd_limited`: in slow start half of it used is enough."""
    sk = sender(10, 5)
    sk.is_cwnd_limited = False
    congestion.reno_cong_avoid(sk, 10)
    assert sk.cwnd == 10
    sk.ssthresh, sk.max_packets_out = INFINITE_SSTHRESH, 5
    congestion.reno_cong_avoid(sk, 1)
    assert sk.cwnd == 10
    sk.max_packets_out = 6
    congestion.reno_cong_avoid(sk, 1)
    assert sk.cwnd == 11


def test_an_idle_sender_halves_its_window_per_timeout_down_to_the_initial_one() -> None:
    """`tcp_cwnd_restart` (RFC 2861 4.1)."""
    for idle, cwnd in ((1, 80), (2, 40), (3, 20), (4, 10), (9, 10)):
        sk = sender(80)
        sk.rto, sk.net.now = SEC, idle * SEC
        congestion.slow_start_after_idle_check(sk)
        assert sk.cwnd == cwnd, idle


def test_the_window_grows_no_further_than_its_clamp() -> None:
    """`snd_cwnd_clamp`."""
    sk = sender(10)
    sk.cwnd_clamp = 12
    congestion.slow_start(sk, 10)
    assert sk.cwnd == 12


def test_a_window_left_unused_for_a_timeout_shrinks_half_way_to_what_was_used() -> None:
    """`tcp_cwnd_application_limited` (RFC 2861 4.2)."""
    sk = sender(40, 14)
    sk.ssthresh = 20
    sk.net.now = 10 * SEC
    sk.socket = Socket.__new__(Socket)
    congestion.cwnd_validate(sk, False)
    assert (sk.cwnd, sk.ssthresh) == (25, 30)
    congestion.cwnd_validate(sk, False)
    assert sk.cwnd == 25
