"""Taking data from the caller and letting it out: Nagle, corking, windows, bursts (RFC 9293 3.8.6, RFC 896)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stack_under_test.contract.frames import TcpOption, TcpSegment
from stack_under_test.reference.tcp.tests.build import (
    ANSWER,
    CLOSE,
    DATA,
    ERROR,
    LAST,
    MSS,
    OPEN,
    PURE,
    SHUT_WR,
    Line,
    established,
    iss,
    peer,
    play,
    setsockopt,
    syn_sent,
    write,
)

NODELAY = setsockopt("SOL_TCP", "TCP_NODELAY", 1)
CORK = setsockopt("SOL_TCP", "TCP_CORK", 1)
UNCORK = setsockopt("SOL_TCP", "TCP_CORK", 0)


def acked(upto: int, window: int = 65535) -> TcpSegment:
    return replace(PURE, ack=iss(upto), window=window)


def narrow(window: int) -> tuple[Line, ...]:
    """The peer has announced that much, from the handshake on."""
    return established(replace(OPEN, window=window), replace(PURE, window=window))


def test_data_leaves_at_once_when_nothing_is_under_way() -> None:
    assert play(established(), write(5)) == ["= 5", "P. 1:6(5) ack 1"]


def test_nagle_holds_a_small_segment_while_a_small_one_is_under_way() -> None:
    """RFC 896 with Minshall's modification (`tcp_nagle_check`): one small segment at a time."""
    assert play(established(), write(5), write(3), write(2), acked(6)) == [
        "= 5",
        "P. 1:6(5) ack 1",
        "= 3",
        "= 2",
        "P. 6:11(5) ack 1",
    ]


def test_nagle_lets_a_small_segment_follow_full_ones() -> None:
    assert play(established(), write(1460), write(3)) == ["= 1460", "P. 1:1461(1460) ack 1", "= 3", "P. 1461:1464(3) ack 1"]


def test_a_write_of_more_than_a_segment_ends_in_a_small_one() -> None:
    assert play(established(), write(1463)) == ["= 1463", ". 1:1461(1460) ack 1", "P. 1461:1464(3) ack 1"]


def test_nodelay_lets_everything_out() -> None:
    assert play((*established(), NODELAY), write(5), write(3)) == ["= 5", "P. 1:6(5) ack 1", "= 3", "P. 6:9(3) ack 1"]


def test_setting_nodelay_lets_out_what_waits() -> None:
    """`__tcp_sock_set_nodelay` pushes."""
    assert play((*established(), write(5), write(3)), NODELAY) == ["= 0", "P. 6:9(3) ack 1"]


def test_a_cork_holds_back_what_fills_no_segment() -> None:
    """tcp(7): until it is pulled out, or 200 ms have passed."""
    assert play((*established(), CORK), write(5), write(1460), UNCORK) == [
        "= 5",
        "= 1460",
        ". 1:1461(1460) ack 1",
        "= 0",
        "P. 1461:1466(5) ack 1",
    ]


def test_a_cork_gives_way_after_200_ms() -> None:
    assert play((*established(), CORK), write(5), "advance 300ms") == ["= 5", "208ms P. 1:6(5) ack 1"]


def test_a_promise_of_more_holds_a_segment_back_for_one_call() -> None:
    """MSG_MORE is a cork for the length of a call."""
    assert play(established(), write(5, "MSG_MORE"), write(3)) == ["= 5", "= 3", "P. 1:9(8) ack 1"]
    assert play((*established(), NODELAY), write(5, "MSG_MORE"), write(3)) == ["= 5", "= 3", "P. 1:9(8) ack 1"]


def test_a_fin_lets_out_what_nagle_holds() -> None:
    assert play((*established(), write(5), write(3)), SHUT_WR) == ["= 0", "FP. 6:10(3) ack 1"]


def test_a_fin_rides_on_what_a_cork_held() -> None:
    assert play((*established(), CORK, write(3)), CLOSE) == ["= 0", "FP. 1:5(3) ack 1"]


def test_an_ended_record_is_not_joined_to_the_next() -> None:
    """MSG_EOR: what follows goes into a segment of its own."""
    scene = (*established(), write(5))
    assert play(scene, write(3, "MSG_EOR"), write(2), acked(6), acked(9)) == [
        "= 3",
        "= 2",
        "P. 6:9(3) ack 1",
        "P. 9:11(2) ack 1",
    ]


@pytest.mark.parametrize(
    ("mss", "sizes"), [(1460, [1460, 1460, 80]), (1000, [1000] * 3), (536, [536] * 5 + [320]), (48, [48] * 10), (1, [48] * 10)]
)
def test_segments_are_as_large_as_the_peer_allows(mss: int, sizes: list[int]) -> None:
    """RFC 9293 3.7.1; never less than tcp_min_snd_mss."""
    scene = established(replace(OPEN, options=(TcpOption("mss", (mss,)),)))
    got = play(scene, write(3000))[1:]
    assert [int(text.split("(")[1].split(")")[0]) for text in got] == sizes


def test_without_the_option_segments_carry_536_octets() -> None:
    """RFC 9293 3.7.1 (MUST-15)."""
    scene = established(replace(OPEN, options=()))
    assert play(scene, write(1000)) == ["= 1000", ". 1:537(536) ack 1", "P. 537:1001(464) ack 1"]


def test_maxseg_bounds_what_is_announced_and_what_is_sent() -> None:
    assert play(syn_sent(setsockopt("SOL_TCP", "TCP_MAXSEG", 1000)), ANSWER, write(1500)) == [
        ". 1:1(0) ack 1",
        "= 1500",
        ". 1:1001(1000) ack 1",
        "P. 1001:1501(500) ack 1",
    ]


def test_ten_segments_leave_before_the_first_acknowledgement() -> None:
    """RFC 6928's initial window."""
    got = play(established(), write(20_000), acked(14_601))
    assert got[0] == "= 20000"
    assert [text.split()[1] for text in got[1:]] == [
        f"{start}:{min(start + 1460, 20_001)}({min(1460, 20_001 - start)})" for start in range(1, 20_001, 1460)
    ]


def test_each_acknowledged_segment_lets_two_out_in_slow_start() -> None:
    """RFC 5681 3.1; what one ACK lets out waits to make a burst (`tcp_tso_should_defer`)."""
    got = play((*established(), write(60_000)), acked(14_601))
    assert len(got) == 20
    assert got[-1].split()[1] == "42341:43801(1460)"


def test_the_peers_window_bounds_what_is_under_way() -> None:
    """RFC 9293 3.8.6: and no segment takes more than half of the largest window seen (`tcp_bound_to_half_wnd`)."""
    assert play(narrow(1000), write(1200)) == ["= 1200", ". 1:501(500) ack 1", "P. 501:1001(500) ack 1"]
    assert play((*narrow(1000), write(1200)), acked(1001, 1000)) == ["P. 1001:1201(200) ack 1"]


def test_a_small_window_is_filled_to_its_edge() -> None:
    assert play(narrow(300), write(500)) == ["= 500", "P. 1:301(300) ack 1"]


def test_a_closed_window_is_probed() -> None:
    """RFC 9293 3.8.6.1: after RTO, then twice that; a probe repeats an old number (`tcp_write_wakeup`)."""
    scene = (*established(), replace(PURE, window=0), write(5))
    assert play(scene, "advance 2s") == ["208ms . 0:0(0) ack 1", "620ms . 0:0(0) ack 1", "1440ms . 0:0(0) ack 1"]


def test_probes_go_on_while_they_are_answered() -> None:
    """RFC 9293 3.8.6.1 (MUST-36); the interval grows to two minutes."""
    scene = (*established(), replace(PURE, window=0), write(5))
    got = play(scene, "advance 300s", replace(PURE, window=0), "advance 300s", replace(PURE, window=9))
    assert got[-1] == "P. 1:6(5) ack 1"
    assert all(". 0:0(0) ack 1" in text for text in got[:-1])


def test_an_opened_window_lets_the_data_out() -> None:
    scene = (*established(), replace(PURE, window=0), write(5), "advance 300ms")
    assert play(scene, PURE) == ["P. 1:6(5) ack 1"]


def test_a_probe_carries_what_a_sliver_of_a_window_takes() -> None:
    """Silly window avoidance holds the rest back until the timer says otherwise (RFC 9293 3.8.6.2.1)."""
    scene = (*narrow(3), write(10))
    assert play(scene, "advance 300ms") == ["208ms P. 1:4(3) ack 1"]


def test_a_full_buffer_makes_the_writer_wait() -> None:
    """`sk_stream_wait_memory`: non-blocking writers take what fits, then EAGAIN."""
    scene = (*established(), replace(PURE, window=0), setsockopt("SOL_SOCKET", "SO_SNDBUF", 4096))
    got = play(scene, write(60_000), write(1))
    assert got[0].startswith("= ")
    assert got[1] == "= EAGAIN"
    assert 4096 <= int(got[0][2:]) < 60_000


def test_writing_after_the_peers_reset_raises_sigpipe() -> None:
    """The error first, once; then EPIPE."""
    scene = (*established(), replace(DATA, flags=4, payload=b""))
    assert play(scene, write(1), write(1), write(1, "MSG_NOSIGNAL")) == ["= ECONNRESET", "= EPIPE", "SIGPIPE", "= EPIPE"]


def test_writing_after_shutdown_raises_sigpipe() -> None:
    scene = (*established(), SHUT_WR)
    assert play(scene, write(1), write(1, "MSG_NOSIGNAL"), ERROR) == ["= EPIPE", "SIGPIPE", "= EPIPE", "= 0"]


def test_the_peers_fin_does_not_stop_our_data() -> None:
    """CLOSE-WAIT is half a connection still (RFC 9293 3.6)."""
    assert play((*established(), LAST), write(5), replace(PURE, seq=peer(2), ack=iss(6)), SHUT_WR) == [
        "= 5",
        "P. 1:6(5) ack 2",
        "= 0",
        "F. 6:7(0) ack 2",
    ]


def test_the_options_of_the_answer_bound_the_client_too() -> None:
    scene = (*syn_sent(), replace(ANSWER, options=(replace(MSS, values=(500,)),)))
    assert play(scene, write(600)) == ["= 600", ". 1:501(500) ack 1", "P. 501:601(100) ack 1"]
