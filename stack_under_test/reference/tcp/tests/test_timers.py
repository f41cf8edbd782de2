"""Timers that end things: keepalive, TIME-WAIT, the orphan's FIN-WAIT-2, lingering (RFC 1122 4.2.3.6, RFC 9293 3.6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stack_under_test.reference.tcp.tests.build import (
    CLOSE,
    DATA,
    ERROR,
    LAST,
    PURE,
    SHUT_WR,
    STATE,
    Scene,
    close_wait,
    closing,
    crossed,
    established,
    fin_wait1,
    fin_wait2,
    iss,
    last_ack,
    peer,
    play,
    setsockopt,
    syn_sent,
    time_wait,
    write,
)

PEERS_FIN = replace(LAST, ack=iss(2))


def linger(on: int, seconds: int) -> str:
    return setsockopt("SOL_SOCKET", "SO_LINGER", on, seconds)


def keepalive(idle: int, interval: int, count: int) -> Scene:
    return (
        *established(),
        setsockopt("SOL_TCP", "TCP_KEEPIDLE", idle),
        setsockopt("SOL_TCP", "TCP_KEEPINTVL", interval),
        setsockopt("SOL_TCP", "TCP_KEEPCNT", count),
        setsockopt("SOL_SOCKET", "SO_KEEPALIVE", 1),
    )


def test_an_idle_peer_is_asked_whether_it_lives() -> None:
    """RFC 9293 3.8.4: with an old sequence number, so that an answer is due; after two hours unless told otherwise.

    So long a timer is kept in steps of 64 ticks.
    """
    assert play(keepalive(1, 1, 9), "advance 1500ms", PURE, "advance 1500ms") == [
        "1004ms . 0:0(0) ack 1",
        "1004ms . 0:0(0) ack 1",
    ]
    scene = (*established(), setsockopt("SOL_SOCKET", "SO_KEEPALIVE", 1))
    assert play(scene, "advance 7199s", "advance 2s") == ["1224ms . 0:0(0) ack 1"]


def test_a_peer_that_never_answers_is_given_up() -> None:
    """`tcp_keepalive_timer`: a RST and ETIMEDOUT after TCP_KEEPCNT probes."""
    assert play(keepalive(1, 1, 2), "advance 3500ms", ERROR) == [
        "1004ms . 0:0(0) ack 1",
        "2008ms . 0:0(0) ack 1",
        "3012ms R. 1:1(0) ack 1",
        "= ETIMEDOUT",
    ]


def test_what_arrives_puts_the_probe_off() -> None:
    assert play(keepalive(1, 1, 9), "advance 700ms", DATA, "advance 600ms", "advance 600ms") == [
        ". 1:1(0) ack 6",
        "404ms . 0:0(0) ack 6",
    ]


def test_no_probe_while_data_is_under_way() -> None:
    scene = (*keepalive(1, 1, 9), write(5))
    assert all("P. 1:6(5) ack 1" in text for text in play(scene, "advance 1200ms"))


def test_time_wait_lasts_a_minute() -> None:
    """TCP_TIMEWAIT_LEN for 2 MSL."""
    assert play(time_wait(), "advance 59s", PEERS_FIN) == [". 2:2(0) ack 2"]
    assert play(time_wait(), "advance 61s", PEERS_FIN) == ["R 2:2(0)"]


def test_a_retransmitted_fin_restarts_time_wait() -> None:
    """RFC 9293 3.10.7.4 eighth."""
    assert play(time_wait(), "advance 40s", PEERS_FIN, "advance 40s", PEERS_FIN) == [". 2:2(0) ack 2"] * 2


def test_an_orphan_does_not_wait_for_ever_for_the_peers_fin() -> None:
    """tcp_fin_timeout, 60 s; then nobody remembers the connection."""
    orphan = (*established(), CLOSE, replace(PURE, ack=iss(2)))
    assert play(orphan, "advance 59s", PEERS_FIN) == [". 2:2(0) ack 2"]
    assert play(orphan, "advance 61s", PEERS_FIN) == ["R 2:2(0)"]


def test_a_connection_with_an_owner_waits() -> None:
    assert play(fin_wait2(), "advance 1000s", STATE) == ["FIN_WAIT2"]


@pytest.mark.parametrize(("value", "answer"), [(1, "R 2:2(0)"), (-1, "R 2:2(0)")])
def test_linger2_says_how_long(value: int, answer: str) -> None:
    """TCP_LINGER2: seconds in FIN-WAIT-2 without an owner, or not at all."""
    scene = (*established(), setsockopt("SOL_TCP", "TCP_LINGER2", value), CLOSE, replace(PURE, ack=iss(2)))
    assert play(scene, "advance 1500ms", PEERS_FIN) == [answer]


def test_without_patience_fin_wait2_ends_in_a_reset() -> None:
    """A negative TCP_LINGER2: closing in FIN-WAIT-2 aborts."""
    scene = (*established(), setsockopt("SOL_TCP", "TCP_LINGER2", -1), SHUT_WR, replace(PURE, ack=iss(2)))
    assert play(scene, CLOSE) == ["= 0", "R. 2:2(0) ack 1"]


@pytest.mark.parametrize(
    ("scene", "frames"),
    [
        (established(), ["R. 1:1(0) ack 1"]),
        (close_wait(), ["R. 1:1(0) ack 2"]),
        (fin_wait1(), ["R. 2:2(0) ack 1"]),
        (fin_wait2(), ["R. 2:2(0) ack 1"]),
        (crossed(), ["R. 1:1(0) ack 1"]),
        (closing(), []),
        (last_ack(), []),
        (time_wait(), []),
        (syn_sent(), []),
    ],
)
def test_lingering_for_no_time_aborts(scene: Scene, frames: list[str]) -> None:
    """SO_LINGER 0 is ABORT (RFC 9293 3.10.5): a RST where the peer still counts on us."""
    assert play((*scene, linger(1, 0)), CLOSE) == ["= 0", *frames]


def test_closing_with_unread_data_aborts() -> None:
    """RFC 2525 2.17; `tcp_close`."""
    assert play((*established(), DATA), CLOSE) == ["= 0", "R. 1:1(0) ack 6"]
    assert play((*established(), DATA, replace(LAST, seq=peer(6))), CLOSE) == ["= 0", "R. 1:1(0) ack 7"]


def test_closing_with_everything_read_does_not() -> None:
    scene = (*established(), DATA, "recv(c, &buf[5], 5, 0)")
    assert play(scene, CLOSE) == ["= 0", "F. 1:2(0) ack 6"]
    assert play((*established(), LAST), CLOSE) == ["= 0", "F. 1:2(0) ack 2"]


def test_lingering_sleeps_until_the_fin_is_acknowledged() -> None:
    scene = (*established(), "fcntl(c, F_SETFL, 0)", linger(1, 2))
    assert play(scene, "t1: close(c)", replace(PURE, ack=iss(2))) == ["= blocked", "F. 1:2(0) ack 1", "close = 0"]


def test_lingering_comes_to_an_end() -> None:
    scene = (*established(), "fcntl(c, F_SETFL, 0)", linger(1, 1))
    got = play(scene, "t1: close(c)", "advance 1100ms")
    assert [text for text in got if "F." not in text] == ["= blocked", "1004ms close = 0"]


def test_an_unread_fin_is_no_unread_data() -> None:
    assert play(close_wait(), CLOSE, replace(PURE, seq=peer(2), ack=iss(2)), LAST) == ["= 0", "F. 1:2(0) ack 2", "R 1:1(0)"]
