"""What a synchronized connection refuses: RST, SYN, ACK and timestamps that do not fit (RFC 5961, RFC 7323 5).

`tcp_validate_incoming` in Linux's order; the same checks in every state.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from stack_under_test.contract.frames import TcpSegment
from stack_under_test.reference.tcp.tests.build import (
    DATA,
    ERROR,
    LAST,
    OPEN,
    PURE,
    RESET,
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
    sack_established,
    stamped,
    stamped_established,
    time_wait,
    write,
)
from stack_under_test.wire.tcp import ACK, FIN, PSH, RST, SYN, URG

BEFORE_FIN = {"SYN_RECV": crossed(), "ESTABLISHED": established(), "FIN_WAIT1": fin_wait1(), "FIN_WAIT2": fin_wait2()}
AFTER_FIN = {"CLOSING": closing(), "CLOSE_WAIT": close_wait(), "LAST_ACK": last_ack()}
SYNCHRONIZED = [(name, scene, 1) for name, scene in BEFORE_FIN.items()] + [
    (name, scene, 2) for name, scene in AFTER_FIN.items()
]
"""(state, scene, RCV.NXT)."""


def challenge(name: str, rcv_nxt: int) -> str:
    """The ACK that says where we are (RFC 5961 7)."""
    snd_nxt = 2 if name in ("FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK") else 1
    return f". {snd_nxt}:{snd_nxt}(0) ack {rcv_nxt}"


@pytest.mark.parametrize(("name", "scene", "rcv_nxt"), SYNCHRONIZED)
def test_a_reset_counts_only_at_the_very_next_number(name: str, scene: Scene, rcv_nxt: int) -> None:
    """RFC 5961 3.2: exact resets, in the window is challenged, outside is ignored."""
    exact, inside, outside = (replace(RESET, seq=peer(seq)) for seq in (rcv_nxt, rcv_nxt + 1, rcv_nxt + 100_000))
    assert play(scene, exact, STATE) == ["CLOSE"]
    assert play(scene, inside, STATE) == [challenge(name, rcv_nxt), name]
    assert play(scene, outside, STATE) == [name]


@pytest.mark.parametrize(("name", "scene", "rcv_nxt"), SYNCHRONIZED)
def test_a_reset_one_below_counts_after_the_peers_fin(name: str, scene: Scene, rcv_nxt: int) -> None:
    """`tcp_reset_check`: some stacks send FIN and RST with one number."""
    below = replace(RESET, seq=peer(rcv_nxt - 1))
    got = play(scene, below, STATE)
    assert got[-1] == ("CLOSE" if name in AFTER_FIN else name)


@pytest.mark.parametrize(("name", "scene", "rcv_nxt"), SYNCHRONIZED)
def test_a_reset_needs_no_acknowledgement(name: str, scene: Scene, rcv_nxt: int) -> None:
    """RFC 9293 3.10.7.4: RST is looked at before ACK, whose field may be anything."""
    reset = replace(RESET, flags=RST | ACK, seq=peer(rcv_nxt), ack=iss(4_000_000))
    assert play(scene, reset, STATE) == ["CLOSE"], name


@pytest.mark.parametrize(("name", "scene", "rcv_nxt"), SYNCHRONIZED)
@pytest.mark.parametrize("offset", [0, 1, 100_000, -100])
def test_a_syn_is_challenged_wherever_it_stands(name: str, scene: Scene, rcv_nxt: int, offset: int) -> None:
    """RFC 5961 4.2: whatever its number, a SYN gets an ACK and changes nothing."""
    syn = replace(OPEN, seq=peer(rcv_nxt + offset))
    answer = [challenge(name, rcv_nxt)]
    assert play(scene, syn, STATE) == [*answer, name]


@pytest.mark.parametrize(("name", "scene", "rcv_nxt"), SYNCHRONIZED)
def test_a_segment_beyond_the_window_is_answered_and_dropped(name: str, scene: Scene, rcv_nxt: int) -> None:
    """RFC 9293 3.10.7.4 first."""
    outside = replace(PURE, seq=peer(rcv_nxt + 100_000))
    assert play(scene, outside, STATE) == [challenge(name, rcv_nxt), name]


@pytest.mark.parametrize(("name", "scene", "rcv_nxt"), SYNCHRONIZED)
def test_a_segment_without_ack_is_dropped(name: str, scene: Scene, rcv_nxt: int) -> None:
    """RFC 9293 3.10.7.4 fifth: "if the ACK bit is off, drop the segment"."""
    for flags in (0, FIN, PSH, URG, FIN | PSH):
        bare = replace(DATA, flags=flags, ack=0, seq=peer(rcv_nxt))
        assert play(scene, bare, STATE) == [name]


@pytest.mark.parametrize(("name", "scene", "rcv_nxt"), SYNCHRONIZED)
def test_an_acknowledgement_of_what_was_never_sent(name: str, scene: Scene, rcv_nxt: int) -> None:
    """RFC 9293 3.10.7.4 fifth: answered by an ACK; in SYN-RECEIVED by a RST."""
    beyond = replace(PURE, seq=peer(rcv_nxt), ack=iss(1000))
    answer = "R 1000:1000(0)" if name == "SYN_RECV" else challenge(name, rcv_nxt)
    assert play(scene, beyond, STATE) == [answer, name]


def test_an_acknowledgement_from_long_ago_is_challenged() -> None:
    """RFC 5961 5.2: below SND.UNA - MAX.SND.WND."""
    scene = (*established(), write(10), replace(PURE, ack=iss(11)))
    assert play(scene, replace(PURE, ack=iss(0)), STATE) == [". 11:11(0) ack 1", "ESTABLISHED"]
    assert play(scene, replace(PURE, ack=iss(5)), STATE) == ["ESTABLISHED"]


def test_the_data_of_an_acceptable_old_acknowledgement_counts() -> None:
    scene = (*established(), write(10), replace(PURE, ack=iss(11)))
    assert play(scene, replace(DATA, ack=iss(5))) == [". 11:11(0) ack 6"]


def test_a_reset_at_the_right_edge_of_the_sack_blocks_counts() -> None:
    """RFC 5961's reset after loss: Linux takes it at the highest number reported, too."""
    scene = (*sack_established(), replace(DATA, seq=peer(11)))
    assert play(scene, replace(RESET, seq=peer(16)), ERROR) == ["= ECONNRESET"]
    assert play(scene, replace(RESET, seq=peer(15)), STATE) == [". 1:1(0) ack 1 <sack 11:16>", "ESTABLISHED"]


@pytest.mark.parametrize(
    ("segment", "answers"),
    [
        (DATA, [". 1:1(0) ack 1 <TS ecr 1001>"]),
        (replace(DATA, seq=peer(-4)), [". 1:1(0) ack 1 <TS ecr 1001>"]),
        (LAST, [". 1:1(0) ack 1 <TS ecr 1001>"]),
        (replace(OPEN, seq=peer(1), options=()), [". 1:1(0) ack 1 <TS ecr 1001>"]),
        (replace(PURE, seq=peer(0)), []),
    ],
)
def test_paws_refuses_timestamps_from_the_past(segment: TcpSegment, answers: list[str]) -> None:
    """RFC 7323 5.3 R1: an ACK in answer, nothing else; an old pure ACK is not even worth that."""
    assert play(stamped_established(), stamped(segment, 900), STATE) == [*answers, "ESTABLISHED"]


def test_paws_lets_one_tick_and_resets_pass() -> None:
    """Linux allows TS.Recent - 1 (TCP_PAWS_WINDOW); RFC 7323 5.2: PAWS does not apply to RST."""
    assert play(stamped_established(), stamped(DATA, 1000)) == [". 1:1(0) ack 6 <TS ecr 1001>"]
    assert play(stamped_established(), stamped(RESET, 900), STATE) == ["CLOSE"]


def test_the_timestamp_echoed_is_that_of_the_segment_that_moved_the_edge() -> None:
    """RFC 7323 4.3 (2): of segments held back, the first one's is echoed."""
    scene = stamped_established()
    assert play(scene, stamped(DATA, 1005)) == [". 1:1(0) ack 6 <TS ecr 1005>"]
    beyond = replace(DATA, seq=peer(50))
    assert play(scene, stamped(beyond, 1005)) == [". 1:1(0) ack 1 <TS ecr 1001>"]
    assert play(scene, stamped(beyond, 1005), stamped(DATA, 1006))[-1] == ". 1:1(0) ack 6 <TS ecr 1006>"


def test_a_connection_with_timestamps_takes_segments_without() -> None:
    """RFC 7323 3.2 says SHOULD drop; Linux does not."""
    assert play(stamped_established(), DATA) == [". 1:1(0) ack 6 <TS ecr 1001>"]


@pytest.mark.parametrize(
    ("segment", "answers"),
    [
        (replace(RESET, seq=peer(3)), []),
        (replace(OPEN, seq=peer(1)), [". 2:2(0) ack 2"]),
        (replace(OPEN, seq=peer(1), flags=SYN | ACK, ack=iss(2)), [". 2:2(0) ack 2"]),
        (replace(DATA, seq=peer(2), ack=iss(2)), [". 2:2(0) ack 2"]),
        (replace(PURE, seq=peer(2), ack=iss(2)), []),
    ],
)
def test_time_wait_answers_what_is_not_new(segment: TcpSegment, answers: list[str]) -> None:
    assert play(time_wait(), segment) == answers


def test_time_wait_ends_by_a_reset_and_by_a_new_opening() -> None:
    """RFC 9293 3.10.7.4 (RFC 6191): a SYN beyond RCV.NXT reopens with a number past the old ones."""
    assert play(time_wait(), replace(RESET, seq=peer(2)), replace(LAST, ack=iss(2))) == ["R 2:2(0)"]
    assert play(time_wait(), replace(OPEN, seq=peer(3))) == ["S. 0:1(0) ack 4 <mss 1460>"]
