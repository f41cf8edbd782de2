"""What happens when segments are lost: timeouts, fast retransmit, RACK, loss probes (RFC 6298, RFC 5681, RFC 8985)."""

from __future__ import annotations

from dataclasses import replace

from stack_under_test.contract.frames import TcpSegment
from stack_under_test.reference.tcp.tests.build import (
    ERROR,
    PURE,
    SHUT_WR,
    Scene,
    acts,
    established,
    fin_wait1,
    iss,
    last_ack,
    peer,
    play,
    sack_established,
    sacking,
    setsockopt,
    write,
)

NODELAY = setsockopt("SOL_TCP", "TCP_NODELAY", 1)


def acked(upto: int) -> TcpSegment:
    return replace(PURE, ack=iss(upto))


def sacked(una: int, *edges: int) -> TcpSegment:
    return sacking(acked(una), *edges)


def in_flight(scene: Scene, segments: int) -> Scene:
    """Full segments, sent and not acknowledged, each by a call of its own."""
    return (*scene, *(write(1460) for _ in range(segments)))


def segment(number: int) -> str:
    """The n-th full segment, counted from 1."""
    start = 1 + 1460 * (number - 1)
    return f"{start}:{start + 1460}(1460)"


def ranges(texts: list[str]) -> list[str]:
    """Sequence numbers alone."""
    return [text.split("(")[0].split()[-1] + "(1460)" for text in texts]


def times(texts: list[str]) -> list[int]:
    return [int(text.split("ms")[0]) for text in texts]


def test_what_is_not_acknowledged_is_sent_again_ever_more_slowly() -> None:
    """RFC 6298 5.5: 204 ms (srtt 0 and the minimum variance, in ticks), then doubled each time; each timer adds a tick."""
    got = play((*established(), write(5)), "advance 3s")
    assert [text.split(" ", 1)[1] for text in got] == ["P. 1:6(5) ack 1"] * 3
    assert times(got) == [208, 620, 1440]


def test_retransmissions_back_off_to_two_minutes() -> None:
    """TCP_RTO_MAX, and the tick every timer adds."""
    got = times(play((*established(), write(5)), "advance 900s"))
    intervals = [later - earlier for earlier, later in zip([0, *got], got, strict=False)]
    assert intervals == [min(204 << step, 120_000) + 4 for step in range(len(got))]


def test_the_connection_is_given_up_after_fifteen() -> None:
    """tcp_retries2 15: the time that many retransmissions of a 200 ms timeout take, 924.6 s."""
    scene = (*established(), write(5))
    got = play(scene, "advance 1100s", ERROR)
    assert len(got) == 16
    assert got[-1] == "= ETIMEDOUT"


def test_a_user_timeout_gives_up_earlier() -> None:
    """RFC 5482; TCP_USER_TIMEOUT bounds the time data stays unacknowledged, and the retransmissions fit into it."""
    scene = (*established(), setsockopt("SOL_TCP", "TCP_USER_TIMEOUT", 1000), write(5))
    got = play(scene, "advance 2s", ERROR)
    assert times(got[:-1]) == [208, 620]
    assert got[-1] == "= ETIMEDOUT"


def test_a_fin_is_sent_again() -> None:
    assert play(fin_wait1(), "advance 500ms") == ["208ms F. 1:2(0) ack 1"]
    assert play(last_ack(), "advance 500ms") == ["208ms F. 1:2(0) ack 2"]


def test_small_segments_travel_together_the_second_time() -> None:
    """`tcp_retrans_try_collapse`."""
    scene = (*established(), NODELAY, write(5), write(3), write(2))
    assert play(scene, "advance 300ms") == ["208ms P. 1:11(10) ack 1"]


def test_a_fin_travels_with_the_data_before_it() -> None:
    scene = (*established(), write(5), SHUT_WR)
    assert play(scene, "advance 300ms") == ["208ms FP. 1:7(5) ack 1"]


def test_an_acknowledgement_restarts_the_timer() -> None:
    """RFC 6298 5.3; the round trip of 100 ms has become part of the estimate."""
    scene = (*established(), NODELAY, write(5), write(3))
    assert play(scene, "advance 100ms", acked(6), "advance 300ms") == ["220ms P. 6:9(3) ack 1"]


def test_three_duplicate_acknowledgements_bring_the_missing_segment() -> None:
    """RFC 5681 3.2, without SACK."""
    scene = in_flight(established(), 5)
    assert acts(scene, acked(1), acked(1), acked(1))[:2] == [[], []]
    assert ranges(play(scene, *[acked(1)] * 3)) == [segment(1)]


def test_a_partial_acknowledgement_brings_the_next_hole() -> None:
    """NewReno (RFC 6582 3.2)."""
    scene = (*in_flight(established(), 6), *[acked(1)] * 3)
    assert ranges(play(scene, acked(1461))) == [segment(2)]


def test_duplicates_that_bring_data_are_none() -> None:
    """RFC 5681 2's definition of a duplicate ACK."""
    scene = in_flight(established(), 5)
    carrying = [replace(acked(1), seq=peer(1 + index), payload=b"x") for index in range(3)]
    assert all(". 7301:7301(0) ack" in text for text in play(scene, *carrying))


def test_with_sack_what_was_sent_before_something_delivered_is_lost() -> None:
    """RACK (RFC 8985 6.2): three segments SACKed beyond a hole mark it."""
    scene = in_flight(sack_established(), 5)
    got = play(scene, sacked(1, 1461, 2921), sacked(1, 1461, 4381), sacked(1, 1461, 5841))
    assert ranges(got) == [segment(1)]


def test_each_hole_is_filled_once() -> None:
    """The scoreboard: what is SACKed is not sent again."""
    scene = in_flight(sack_established(), 8)
    got = play(scene, sacked(1, 1461, 2921, 4381, 10221))
    assert ranges(got) == [segment(1), segment(3)]


def test_a_single_sacked_segment_starts_the_reordering_clock() -> None:
    """RACK waits a little before it calls a hole a loss (RFC 8985 6.2 step 4); here the timer does."""
    scene = in_flight(sack_established(), 4)
    got = play(scene, sacked(1, 1461, 2921), "advance 100ms")
    assert ranges(got[:1]) == [segment(1)]


def test_a_loss_probe_repeats_the_last_segment() -> None:
    """TLP (RFC 8985 7): well before the retransmission timer, so that SACK can tell what is missing."""
    got = play(in_flight(sack_established(), 3), "advance 250ms")
    assert ranges(got) == [segment(3), segment(1)]
    assert times(got) == [8, 216]


def test_a_loss_probe_prefers_new_data() -> None:
    """RFC 8985 7.3: an unsent segment, even beyond the congestion window."""
    got = play(in_flight(sack_established(), 12), "advance 100ms")
    assert ranges(got) == [segment(11)]
    assert times(got) == [8]


def test_nagle_gives_way_to_a_loss_probe() -> None:
    assert play((*sack_established(), write(5), write(3)), "advance 220ms") == ["208ms P. 6:9(3) ack 1"]


def test_a_lone_segments_probe_waits_for_the_delayed_acknowledgement() -> None:
    """RFC 8985 7.2: one segment in flight adds the worst delayed-ACK time, 200 ms; with 2 us of srtt, 51 ticks and one."""
    assert play((*sack_established(), write(5)), "advance 220ms") == ["208ms P. 1:6(5) ack 1"]


def test_an_acknowledgement_of_the_probe_ends_it() -> None:
    """RFC 8985 7.4.2: a duplicate ACK after the probe says nothing was lost but the time."""
    scene = (*in_flight(sack_established(), 3), "advance 20ms")
    assert play(scene, acked(4381), "advance 300ms") == []


def test_after_a_timeout_sending_restarts_with_one_segment() -> None:
    """RFC 5681 3.1: the loss window is one full-sized segment; then slow start over what was outstanding."""
    scene = in_flight(established(), 6)
    assert ranges(play(scene, "advance 210ms")) == [segment(1)]
    assert ranges(play((*scene, "advance 210ms"), acked(1461))) == [segment(2), segment(3)]
