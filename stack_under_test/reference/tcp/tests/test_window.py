"""The receive window (RFC 9293 3.8.6; `tcp_select_initial_window`, `__tcp_select_window`, `tcp_select_window`)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.reference.sock import State
from stack_under_test.reference.tcp import window
from stack_under_test.reference.tcp.seq import MASK, diff
from stack_under_test.reference.tcp.sock import TcpSock
from stack_under_test.reference.tcp.tests.sockets import fresh

BASE = 0xFFFF_8000
buffers = st.integers(2304, 6_291_456)


def receiver(rcvbuf: int, scaled: bool, mss: int = 1460) -> TcpSock:
    sk = fresh(State.ESTABLISHED)
    sk.rcvbuf = rcvbuf
    sk.rcv_nxt = sk.rcv_wup = BASE
    sk.rcv_wnd, sk.window_clamp, sk.rcv_wscale = window.initial(sk, mss, 0, scaled)
    sk.rcv_ssthresh = sk.rcv_wnd
    sk.rcv_mss = 536
    return sk


@given(buffers, st.booleans(), st.integers(88, 65495))
def test_the_first_window_is_whole_segments_that_fit_the_buffer(rcvbuf: int, scaled: bool, mss: int) -> None:
    sk = fresh()
    sk.rcvbuf = rcvbuf
    size, clamp, scale = window.initial(sk, mss, 0, scaled)
    assert 0 <= size <= window.full_space(sk)
    assert size % mss == 0 or size <= mss
    assert 0 <= scale <= 14
    assert scaled or scale == 0
    assert clamp == 65535 << scale


@pytest.mark.parametrize(("rmem_max", "scale"), [(65535, 0), (65536, 1), (131071, 1), (131072, 2), (6291456, 7), (1 << 30, 14)])
def test_the_scale_reaches_the_largest_buffer(rmem_max: int, scale: int) -> None:
    """RFC 7323 2.2; `ilog2(space) - 15` over the larger of tcp_rmem[2] and rmem_max."""
    sk = fresh()
    sk.net.sysctl = replace(sk.net.sysctl, tcp_rmem=(4096, 4096, rmem_max), rmem_max=4096)
    sk.rcvbuf = 4096
    assert window.initial(sk, 1460, 0, True)[2] == scale


@given(
    buffers,
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 200_000), st.integers(0, 100_000)), max_size=40),
)
def test_the_announced_right_edge_never_moves_left(rcvbuf: int, scaled: bool, happenings: list[tuple[int, int, int]]) -> None:
    """RFC 9293 3.8.6.2.1: a receiver SHOULD NOT shrink the window, whatever arrives, is charged and is read."""
    sk = receiver(rcvbuf, scaled)
    edge = (sk.rcv_wup + min(sk.rcv_wnd, 65535)) & MASK
    for arrived, charged, grown in happenings:
        sk.rcv_nxt = (sk.rcv_nxt + min(arrived, diff(edge, sk.rcv_nxt))) & MASK
        sk.rmem_alloc = charged
        sk.rcv_ssthresh = min(sk.rcv_ssthresh + grown, sk.window_clamp)
        field = window.select(sk)
        assert 0 <= field <= 65535
        announced = (sk.rcv_nxt + (field << sk.rcv_wscale)) & MASK
        assert diff(announced, edge) >= 0
        edge = announced


@given(buffers, st.booleans(), st.integers(0, 12_000_000))
def test_no_more_is_wished_for_than_fits(rcvbuf: int, scaled: bool, charged: int) -> None:
    sk = receiver(rcvbuf, scaled)
    sk.rmem_alloc = charged
    unit = 1 << sk.rcv_wscale
    assert 0 <= window.choose(sk) <= max(0, window.space(sk), sk.rcv_wnd) + unit - 1


def test_a_nearly_full_buffer_announces_nothing_rather_than_crumbs() -> None:
    """Silly window avoidance (RFC 9293 3.8.6.2.2): less than a sixteenth, or than a segment, is none."""
    sk = receiver(131072, False)
    sk.rmem_alloc = 131072 - (131072 >> 4) + 512
    assert window.space(sk) > sk.rcv_mss
    assert window.choose(sk) == 0


def test_what_there_was_no_memory_for_closes_the_window() -> None:
    """`tcp_select_window` under ICSK_ACK_NOMEM is the one exception to the right edge."""
    sk = receiver(131072, False)
    sk.ack_pending = 32
    assert window.select(sk) == 0
    assert window.receive_window(sk) == 0


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_window_updates_are_taken_from_newer_segments_only(old: int, new: int) -> None:
    """RFC 9293 3.10.7.4 (SND.WL1, SND.WL2), and a larger window even from an old pair (`tcp_may_update_window`)."""
    sk = fresh(State.ESTABLISHED)
    sk.snd_una, sk.snd_wl1, sk.snd_wnd = 100, 50, old
    assert window.may_update(sk, 101, 50, new)
    assert window.may_update(sk, 100, 51, new)
    assert not window.may_update(sk, 100, 49, new)
    assert window.may_update(sk, 100, 50, new) == (new > old)
    assert window.may_update(sk, 100, 50, 0)
