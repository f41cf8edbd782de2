"""Every transition of RFC 9293 figure 5, walked by calls and segments and read off TCP_INFO.

A socket that entered TIME-WAIT is CLOSED to its owner (`tcp_time_wait` puts a value in its place); that the connection
is still there shows in what it answers.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from stack_under_test.reference.tcp.tests.build import (
    ANSWER,
    CLOSE,
    DATA,
    ERROR,
    HERE,
    LAST,
    OPEN,
    PURE,
    READ,
    RESET,
    SHUT_WR,
    STATE,
    THERE,
    Line,
    Scene,
    client,
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
    syn_sent,
    time_wait,
)

FIN_ACKED = replace(PURE, ack=iss(2))
AFTER_FIN = replace(PURE, seq=peer(2))
REOPEN = f"connect(c, {THERE}, 16)"


@pytest.mark.parametrize(
    ("scene", "state"),
    [
        (client(), "CLOSE"),
        ((*client(), "listen(c, 1)"), "LISTEN"),
        (syn_sent(), "SYN_SENT"),
        (crossed(), "SYN_RECV"),
        (established(), "ESTABLISHED"),
        (fin_wait1(), "FIN_WAIT1"),
        (fin_wait2(), "FIN_WAIT2"),
        (closing(), "CLOSING"),
        (time_wait(), "CLOSE"),
        (close_wait(), "CLOSE_WAIT"),
        (last_ack(), "LAST_ACK"),
    ],
)
def test_the_scenes_are_in_the_states_they_are_named_after(scene: Scene, state: str) -> None:
    assert play(scene, STATE) == [state]


@pytest.mark.parametrize(
    ("scene", "event", "state"),
    [
        (client(), "listen(c, 1)", "LISTEN"),
        (client(), REOPEN, "SYN_SENT"),
        ((*client(), "listen(c, 1)"), "shutdown(c, SHUT_RD)", "CLOSE"),
        (syn_sent(), OPEN, "SYN_RECV"),
        (syn_sent(), ANSWER, "ESTABLISHED"),
        (syn_sent(), SHUT_WR, "CLOSE"),
        (syn_sent(), replace(RESET, flags=0x14, ack=iss(1)), "CLOSE"),
        (crossed(), PURE, "ESTABLISHED"),
        (crossed(), ANSWER, "ESTABLISHED"),
        (crossed(), LAST, "CLOSE_WAIT"),
        (crossed(), RESET, "CLOSE"),
        (established(), SHUT_WR, "FIN_WAIT1"),
        (established(), LAST, "CLOSE_WAIT"),
        (established(), RESET, "CLOSE"),
        (fin_wait1(), FIN_ACKED, "FIN_WAIT2"),
        (fin_wait1(), LAST, "CLOSING"),
        (fin_wait1(), replace(LAST, ack=iss(2)), "CLOSE"),
        (fin_wait1(), RESET, "CLOSE"),
        (fin_wait2(), replace(LAST, ack=iss(2)), "CLOSE"),
        (fin_wait2(), RESET, "CLOSE"),
        (closing(), replace(AFTER_FIN, ack=iss(2)), "CLOSE"),
        (closing(), replace(RESET, seq=peer(2)), "CLOSE"),
        (close_wait(), SHUT_WR, "LAST_ACK"),
        (close_wait(), replace(RESET, seq=peer(2)), "CLOSE"),
        (last_ack(), replace(AFTER_FIN, ack=iss(2)), "CLOSE"),
        (last_ack(), replace(RESET, seq=peer(2)), "CLOSE"),
    ],
)
def test_each_transition_of_the_diagram(scene: Scene, event: Line, state: str) -> None:
    assert play(scene, event, STATE)[-1] == state


@pytest.mark.parametrize("scene", [time_wait(), (*closing(), replace(AFTER_FIN, ack=iss(2)))])
def test_time_wait_repeats_its_last_acknowledgement(scene: Scene) -> None:
    """RFC 9293 3.10.7.4: a retransmitted FIN is acknowledged again, by a connection no socket has."""
    assert play(scene, replace(LAST, ack=iss(2))) == [". 2:2(0) ack 2"]


def test_fin_and_acknowledgement_of_ours_go_to_time_wait_at_once() -> None:
    """Figure 5's short way from FIN-WAIT-1: one segment acknowledges our FIN and brings theirs."""
    assert play(fin_wait1(), replace(LAST, ack=iss(2)), replace(LAST, ack=iss(2))) == [". 2:2(0) ack 2"] * 2


def test_the_last_acknowledgement_leaves_nothing_behind() -> None:
    last = replace(AFTER_FIN, ack=iss(2))
    assert play(last_ack(), last, last) == ["R 2:2(0)"]


@pytest.mark.parametrize(
    ("scene", "frame"),
    [
        (established(), "F. 1:2(0) ack 1"),
        (close_wait(), "F. 1:2(0) ack 2"),
        (crossed(), "F. 1:2(0) ack 1"),
    ],
)
def test_closing_where_the_connection_is_synchronized_sends_a_fin(scene: Scene, frame: str) -> None:
    assert play(scene, CLOSE)[1:] == [frame]


@pytest.mark.parametrize("scene", [syn_sent(), fin_wait1(), fin_wait2(), closing(), time_wait(), last_ack()])
def test_closing_where_there_is_nothing_more_to_say_sends_nothing(scene: Scene) -> None:
    assert play(scene, CLOSE) == ["= 0"]


@pytest.mark.parametrize(
    ("scene", "error"),
    [
        (syn_sent(), "= ECONNREFUSED"),
        (crossed(), "= ECONNRESET"),
        (established(), "= ECONNRESET"),
        (fin_wait1(), "= ECONNRESET"),
        (fin_wait2(), "= ECONNRESET"),
        (closing(), "= ECONNRESET"),
        (close_wait(), "= EPIPE"),
        (last_ack(), "= ECONNRESET"),
    ],
)
def test_the_error_a_reset_means(scene: Scene, error: str) -> None:
    """`tcp_reset`."""
    after_fin = scene in (closing(), close_wait(), last_ack())
    reset = replace(RESET, flags=0x14, seq=peer(2 if after_fin else 1), ack=iss(1))
    assert play(scene, reset, ERROR, ERROR, STATE) == [error, "= 0", "CLOSE"]


def test_a_closed_connection_can_be_opened_anew() -> None:
    """From CLOSED by the same socket: `tcp_disconnect` by AF_UNSPEC, then connect()."""
    scene = (*established(), 'connect(c, {AF_UNSPEC, "\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0"}, 16)')
    assert play(established(), scene[-1], STATE) == ["= 0", "R. 1:1(0) ack 1", "CLOSE"]
    again = "connect(c, {AF_INET, 192.0.2.2, 1235}, 16)"
    assert play(scene, again, STATE)[-1] == "SYN_SENT"


def test_data_and_the_fin_behind_it_move_the_state_together() -> None:
    """The acknowledgement waits: after a FIN Linux expects its user to answer (`tcp_fin` enters pingpong mode)."""
    whole = replace(DATA, flags=DATA.flags | LAST.flags)
    assert play(established(), whole, STATE, READ, READ, "advance 50ms") == [
        "CLOSE_WAIT",
        "= 5 b'hello'",
        "= 0",
        "44ms . 1:1(0) ack 7",
    ]


def test_a_name_is_kept_through_the_whole_life() -> None:
    for scene in (established(), fin_wait2(), last_ack()):
        assert play(scene, f"bind(c, {HERE}, 16)") == ["= EINVAL"]
