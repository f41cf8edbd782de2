"""Segment text: order, holes and their SACK blocks, duplicates, FIN, urgent data, and when it is acknowledged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stack_under_test.contract.frames import TcpSegment
from stack_under_test.reference.tcp.tests.build import (
    CLOSE,
    DATA,
    LAST,
    MSS,
    OPEN,
    PURE,
    READ,
    SACK_OK,
    STATE,
    acts,
    established,
    iss,
    peer,
    play,
    sack_established,
    setsockopt,
    stamped,
    stamped_established,
    windows,
    write,
)
from stack_under_test.wire.tcp import ACK, FIN, PSH, URG

INLINE = setsockopt("SOL_SOCKET", "SO_OOBINLINE", 1)
OOB = "recv(c, &buf[4], 4, MSG_OOB)"
AT_MARK = "ioctl(c, SIOCATMARK, &[7])"
UNREAD = "ioctl(c, FIONREAD, &[7])"


def piece(start: int, text: bytes, flags: int = PSH | ACK) -> TcpSegment:
    """Octets of the peer's stream from `start` (the first is 1)."""
    return replace(DATA, seq=peer(start), payload=text, flags=flags)


def urgent(start: int, text: bytes, pointer: int) -> TcpSegment:
    return replace(piece(start, text, PSH | ACK | URG), urgent=pointer)


def test_data_in_order_is_delivered_and_acknowledged_at_once_at_the_start() -> None:
    """Quick ACKs (`tcp_incr_quickack`): a new connection's peer is in slow start."""
    assert play(established(), piece(1, b"ab"), piece(3, b"cd"), READ) == [". 1:1(0) ack 3", ". 1:1(0) ack 5", "= 4 b'abcd'"]


def test_quick_acknowledgements_come_to_an_end() -> None:
    """At most 16 (TCP_MAX_QUICKACKS); then a lone segment waits 40 ms and a tick."""
    scene = (*established(), *(piece(1 + 5 * index, b"hello") for index in range(16)))
    assert play(scene, piece(81, b"hello"), "advance 50ms") == ["44ms . 1:1(0) ack 86"]
    assert acts(established(), *scene[len(established()) :])[-1] == [". 1:1(0) ack 81"]


@pytest.mark.parametrize(("quick", "answer"), [(0, []), (1, [". 1:1(0) ack 6"])])
def test_quickack_decides_whether_the_first_segment_waits(quick: int, answer: list[str]) -> None:
    """TCP_QUICKACK 0 makes the connection interactive, 1 ends that (tcp(7))."""
    assert play((*established(), setsockopt("SOL_TCP", "TCP_QUICKACK", quick)), DATA) == answer


def test_a_delayed_acknowledgement_leaves_after_40_ms() -> None:
    """RFC 9293 3.8.6.3 allows 500 ms; TCP_DELACK_MIN is 40, and a timer adds a tick."""
    scene = (*established(), setsockopt("SOL_TCP", "TCP_QUICKACK", 0))
    assert play(scene, DATA, "advance 30ms", "advance 15ms") == ["14ms . 1:1(0) ack 6"]


def test_a_delayed_acknowledgement_rides_on_data() -> None:
    scene = (*established(), setsockopt("SOL_TCP", "TCP_QUICKACK", 0))
    assert play(scene, DATA, write(3), "advance 50ms") == ["= 3", "P. 1:4(3) ack 6"]


def test_more_than_a_segment_is_acknowledged_when_it_is_read() -> None:
    """RFC 9293 3.8.6.3: Linux counts from what the reader has taken (RCV.MSS is 536 to begin with)."""
    scene = (*established(), setsockopt("SOL_TCP", "TCP_QUICKACK", 0))
    take = "recv(c, NULL, 2000, MSG_TRUNC)"
    assert play(scene, piece(1, b"x" * 536), piece(537, b"y" * 536), take) == ["= 1072", ". 1:1(0) ack 1073"]
    assert play(scene, piece(1, b"x" * 536), take, piece(537, b"y"), take) == ["= 536", "= 1", ". 1:1(0) ack 538"]


def test_the_window_shrinks_by_what_arrives() -> None:
    """RFC 9293 3.8.6.2.2: the right edge stands still until there is room for a segment more."""
    assert windows(established(), piece(1, b"x" * 1000), piece(1001, b"y" * 1000)) == [63240, 62240]


def test_data_out_of_order_is_kept_and_acknowledged_by_duplicates() -> None:
    """RFC 5681 4.2: an immediate duplicate ACK, and one for the hole's filling."""
    assert play(established(), piece(6, b"world"), READ, piece(1, b"hello"), READ) == [
        ". 1:1(0) ack 1",
        "= EAGAIN",
        ". 1:1(0) ack 11",
        "= 10 b'helloworld'",
    ]


def test_sack_blocks_name_what_is_kept_most_recent_first() -> None:
    """RFC 2018 4."""
    pieces = [piece(start, b"xx") for start in (11, 21, 13)]
    assert play(sack_established(), *pieces) == [
        ". 1:1(0) ack 1 <sack 11:13>",
        ". 1:1(0) ack 1 <sack 21:23 11:13>",
        ". 1:1(0) ack 1 <sack 11:15 21:23>",
    ]


def test_a_fourth_block_pushes_none_out_without_timestamps() -> None:
    """Four blocks fit 40 octets of options; SACK compression holds the fourth duplicate back for a while."""
    pieces = [piece(start, b"xx") for start in (11, 21, 31, 41)]
    got = play(sack_established(), *pieces, "advance 5ms")
    assert got[-1].endswith(". 1:1(0) ack 1 <sack 41:43 31:33 21:23 11:13>")
    assert len(got) == 4


def test_three_blocks_fit_beside_timestamps() -> None:
    """RFC 2018 3: 12 octets of timestamps leave room for three."""
    opening = stamped(replace(OPEN, options=(MSS, SACK_OK)), 1000, 0)
    scene = established(opening, stamped(PURE, 1001))
    pieces = [stamped(piece(start, b"xx"), 1002) for start in (11, 21, 31, 41)]
    got = play(scene, *pieces, "advance 5ms")
    assert got[-1].endswith(". 1:1(0) ack 1 <TS ecr 1001,sack 41:43 31:33 21:23>")


def test_a_filled_hole_takes_its_block_along() -> None:
    scene = (*sack_established(), piece(6, b"world"), piece(21, b"later"))
    assert play(scene, piece(1, b"hello")) == [". 1:1(0) ack 11 <sack 21:26>"]


def test_a_duplicate_is_reported() -> None:
    """D-SACK (RFC 2883 4.1): the first block lies below the cumulative ACK."""
    scene = (*sack_established(), piece(1, b"hello"), READ)
    assert play(scene, piece(1, b"hello"), piece(6, b"world")) == [". 1:1(0) ack 6 <sack 1:6>", ". 1:1(0) ack 11"]


def test_a_duplicate_of_what_is_kept_is_reported_within_its_block() -> None:
    """RFC 2883 4.1.2: the first block lies inside the second."""
    scene = (*sack_established(), piece(11, b"world"))
    assert play(scene, piece(12, b"or")) == [". 1:1(0) ack 1 <sack 12:14 11:16>"]


def test_an_overlap_with_what_was_received_is_cut_off_and_reported() -> None:
    scene = (*sack_established(), piece(1, b"hello"))
    assert play(scene, piece(3, b"LLOworld"), READ) == [". 1:1(0) ack 11 <sack 3:6>", "= 10 b'helloworld'"]


def test_of_overlapping_pieces_kept_the_first_to_come_counts() -> None:
    """`tcp_data_queue_ofo`: what is covered is cut from the newcomer's neighbours, never from what was delivered."""
    scene = (*sack_established(), piece(4, b"DEFG"), piece(6, b"fghi"))
    assert play(scene, piece(1, b"abc"), READ) == [". 1:1(0) ack 10", "= 9 b'abcDEFGhi'"]
    covered = (*sack_established(), piece(4, b"DE"), piece(3, b"cdefg"))
    assert play(covered, piece(1, b"ab"), READ)[-1] == "= 7 b'abcdefg'"


def test_a_fin_out_of_order_waits_for_what_is_missing() -> None:
    scene = (*established(), piece(6, b"world", FIN | ACK))
    assert play(scene, STATE, piece(1, b"hello"), STATE, READ, READ) == [
        "ESTABLISHED",
        ". 1:1(0) ack 12",
        "CLOSE_WAIT",
        "= 10 b'helloworld'",
        "= 0",
    ]


def test_a_bare_fin_ahead_of_data_waits_too() -> None:
    scene = (*sack_established(), replace(LAST, seq=peer(6)))
    assert play(scene, STATE, piece(1, b"hello"), STATE) == ["ESTABLISHED", ". 1:1(0) ack 7", "CLOSE_WAIT"]


def test_data_beyond_a_fin_is_ignored() -> None:
    """RFC 9293 3.10.7.4 seventh: in CLOSE-WAIT "this should not occur"."""
    scene = (*established(), LAST)
    assert play(scene, piece(2, b"more"), READ, STATE) == [". 1:1(0) ack 2", "= 0", "CLOSE_WAIT"]


def test_data_for_a_shut_reader_is_refused_once_the_connection_is_closing() -> None:
    """`tcp_rcv_state_process`: after close() new data is answered by RST (RFC 9293 3.6.1)."""
    scene = (*established(), CLOSE, replace(PURE, ack=iss(2)))
    assert play(scene, replace(DATA, ack=iss(2))) == ["R 2:2(0)"]
    assert play((*established(), CLOSE), DATA) == ["R 1:1(0)"]
    assert play((*established(), "shutdown(c, SHUT_RDWR)"), DATA, STATE) == ["R 1:1(0)", "CLOSE"]


def test_a_reader_that_only_shut_its_side_still_receives() -> None:
    """SHUT_RD is local: the data is acknowledged, read as long as it lasts, then end of file."""
    assert play((*established(), "shutdown(c, SHUT_RD)"), READ, DATA, READ, READ) == [
        "= 0",
        ". 1:1(0) ack 6",
        "= 5 b'hello'",
        "= 0",
    ]


def test_urgent_data_is_read_out_of_band() -> None:
    """RFC 9293 3.8.5 with BSD's reading of the pointer (RFC 6093): it points behind the octet."""
    scene = (*established(), urgent(1, b"abcde", 3))
    assert play(scene, OOB, OOB, READ, AT_MARK, READ) == ["= 1 b'c'", "= EINVAL", "= 2 b'ab'", "= 1", "= 2 b'de'"]


def test_urgent_data_stays_in_line_when_asked_to() -> None:
    """SO_OOBINLINE: reading stops at the mark all the same."""
    scene = (*established(), INLINE, urgent(1, b"abcde", 3))
    assert play(scene, OOB, READ, AT_MARK, READ) == ["= EINVAL", "= 2 b'ab'", "= 1", "= 3 b'cde'"]


def test_an_urgent_octet_announced_but_not_here() -> None:
    """`tcp_recv_urg`: EAGAIN until it comes, then nothing waits for it in the stream."""
    scene = (*established(), urgent(1, b"ab", 4))
    assert play(scene, OOB, UNREAD, READ, piece(3, b"cde"), OOB, READ, READ)[:4] == [
        "= EAGAIN",
        "= 2",
        "= 2 b'ab'",
        ". 1:1(0) ack 6",
    ]
    assert play(scene, READ, piece(3, b"cde"), OOB, READ, READ)[2:] == ["= 1 b'd'", "= 1 b'c'", "= 1 b'e'"]


def test_a_second_urgent_pointer_overtakes_the_first() -> None:
    """One octet at a time: the older one is lost, or left in the stream when nobody had come to it."""
    scene = (*established(), urgent(1, b"abc", 2), urgent(4, b"def", 2))
    assert play(scene, OOB, READ, READ) == ["= 1 b'e'", "= 4 b'abcd'", "= 1 b'f'"]


def test_a_pointer_to_what_was_read_is_no_news() -> None:
    scene = (*established(), piece(1, b"hello"), READ)
    assert play(scene, urgent(1, b"hello", 3), OOB, AT_MARK) == [". 1:1(0) ack 6", "= EINVAL", "= 0"]


def test_sending_urgent_data() -> None:
    """MSG_OOB: the last octet is urgent, the pointer stands behind it; earlier segments point to it too."""
    assert play(established(), 'send(c, "abc", 3, MSG_OOB)', write(2)) == [
        "= 3",
        "P.U 1:4(3) ack 1 urg 3",
        "= 2",
        "P. 4:6(2) ack 1",
    ]


def test_header_prediction_takes_data_beside_an_old_acknowledgement() -> None:
    """`tcp_rcv_established`: the expected header skips the ACK check's refusal, and the data counts."""
    scene = (*established(), write(3), replace(PURE, ack=iss(4)), piece(1, b"ab"))
    assert play(scene, replace(piece(3, b"cd"), ack=iss(4))) == [". 4:4(0) ack 5"]
    assert play(scene, replace(piece(3, b"cd"), ack=iss(-70_000)))[-1] == ". 4:4(0) ack 5"


def test_a_predicted_acknowledgement_frees_the_writer() -> None:
    scene = (*stamped_established(), write(5))
    unacked = "ioctl(c, TIOCOUTQ, &[7])"
    assert play(scene, unacked, stamped(replace(PURE, ack=iss(6)), 1002), unacked) == ["= 5", "= 0"]


def test_a_low_water_mark_holds_the_reader() -> None:
    """SO_RCVLOWAT: poll() says nothing before, a non-blocking read takes what there is."""
    scene = (*established(), setsockopt("SOL_SOCKET", "SO_RCVLOWAT", 6))
    ready = "poll([{c, POLLIN}], 1, 0)"
    assert play(scene, DATA, ready, piece(6, b"x"), ready, READ)[1::2] == ["= 0", "= 1"]


def test_reading_all_of_a_blocked_request() -> None:
    """MSG_WAITALL sleeps until everything is there, or the peer has no more."""
    scene = (*established(), "fcntl(c, F_SETFL, 0)")
    read_all = "t1: recv(c, &buf[10], 10, MSG_WAITALL)"
    assert play(scene, read_all, DATA, piece(6, b"world"))[-1] == "recv = 10 b'helloworld'"
    assert play(scene, read_all, DATA, replace(LAST, seq=peer(6)))[-1] == "recv = 5 b'hello'"
