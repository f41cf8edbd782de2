"""Opening a connection: the three-way handshake both ways, crossed SYNs, queues and timers (RFC 9293 3.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stack_under_test.contract.frames import Rel, TcpOption, TcpSegment
from stack_under_test.reference.tcp.tests.build import (
    ANSWER,
    DATA,
    ERROR,
    HERE,
    MSS,
    OPEN,
    PURE,
    RESET,
    SACK_OK,
    STATE,
    THERE,
    acts,
    client,
    crossed,
    established,
    iss,
    listening,
    peer,
    play,
    setsockopt,
    stamped,
    syn_recv,
    syn_sent,
    write,
)
from stack_under_test.wire.tcp import ACK, FIN, PSH, RST, SYN

SYN_OUT = "S 0:1(0) <mss 1460,sackOK,TS ecr 0,wscale 7>"
ACCEPT = "c = accept4(l, NULL, NULL, SOCK_NONBLOCK)"
WSCALE = TcpOption("wscale", (3,))


def from_port(segment: TcpSegment, port: int) -> TcpSegment:
    return replace(segment, sport=port)


def test_passive_open() -> None:
    """`tcp_conn_request`, `tcp_check_req`."""
    assert play(listening(), ACCEPT, OPEN, "accept(l, NULL, NULL)", PURE, ACCEPT.replace("c =", "d ="), "advance 2s") == [
        "= EAGAIN",
        "S. 0:1(0) ack 1 <mss 1460>",
        "= EAGAIN",
        "= 4",
    ]


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ((), "<mss 1460>"),
        ((MSS, SACK_OK), "<mss 1460,sackOK>"),
        ((MSS, WSCALE), "<mss 1460,wscale 7>"),
        ((MSS, TcpOption("TS", (77, 0))), "<mss 1460,TS ecr 77>"),
        ((MSS, TcpOption("TS", (77, 0)), SACK_OK, WSCALE), "<mss 1460,sackOK,TS ecr 77,wscale 7>"),
        ((TcpOption("mss", (0,)),), "<mss 1460>"),
    ],
)
def test_the_answer_agrees_to_what_was_offered(options: tuple[TcpOption, ...], answer: str) -> None:
    """`tcp_synack_options`."""
    assert play(listening(), replace(OPEN, options=options)) == [f"S. 0:1(0) ack 1 {answer}"]


def test_active_open() -> None:
    assert play(client(), f"connect(c, {THERE}, 16)", ANSWER, f"connect(c, {THERE}, 16)", f"connect(c, {THERE}, 16)") == [
        "= EINPROGRESS",
        SYN_OUT,
        ". 1:1(0) ack 1",
        "= 0",
        "= EISCONN",
    ]


def test_a_blocking_connect_sleeps_until_it_is_answered() -> None:
    scene = ("c = socket(AF_INET, SOCK_STREAM, 0)", f"bind(c, {HERE}, 16)")
    connect = f"t1: connect(c, {THERE}, 16)"
    assert play(scene, connect, ANSWER) == ["= blocked", SYN_OUT, ". 1:1(0) ack 1", "connect = 0"]
    refused = replace(RESET, flags=RST | ACK, ack=iss(1))
    assert play(scene, connect, refused) == ["= blocked", SYN_OUT, "connect = ECONNREFUSED"]


def test_data_waiting_for_the_connection_leaves_with_it() -> None:
    """`tcp_rcv_synsent_state_process`: a sender that waits makes the handshake's ACK ride on its data."""
    scene = ("c = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)", f"bind(c, {HERE}, 16)", f"connect(c, {THERE}, 16)")
    assert play((*scene, "fcntl(c, F_SETFL, 0)"), "t1: " + write(5), ANSWER) == ["= blocked", "P. 1:6(5) ack 1", "send = 5"]


@pytest.mark.parametrize(
    ("segment", "answers"),
    [
        (replace(ANSWER, ack=iss(0)), ["R 0:0(0)"]),
        (replace(ANSWER, ack=iss(2)), ["R 2:2(0)"]),
        (replace(PURE, ack=iss(2)), ["R 2:2(0)"]),
        (replace(PURE, ack=iss(1)), []),
        (replace(RESET, flags=RST | ACK, ack=iss(2)), []),
        (RESET, []),
        (replace(OPEN, flags=FIN, options=()), []),
    ],
)
def test_in_syn_sent_what_does_not_fit_is_refused(segment: TcpSegment, answers: list[str]) -> None:
    """RFC 9293 3.10.7.3 first and second: a bad ACK gets a RST (with SEQ=SEG.ACK) unless it is one itself."""
    assert play(syn_sent(), segment, STATE) == [*answers, "SYN_SENT"]


def test_a_bad_acknowledgement_hastens_the_next_syn() -> None:
    """`tcp_rcv_synsent_state_process`: TCP_TIMEOUT_MIN, two ticks; a timer adds a third."""
    assert play(syn_sent(), replace(PURE, ack=iss(9)), "advance 100ms") == ["R 9:9(0)", f"12ms {SYN_OUT}"]


def test_a_timestamp_that_echoes_nothing_of_ours_is_refused() -> None:
    """PAWSACTIVEREJECTED."""
    assert play(syn_sent(), stamped(ANSWER, 5, Rel("ts", -1000)), STATE) == ["R 1:1(0)", "SYN_SENT"]
    assert play(syn_sent(), stamped(ANSWER, 5), STATE) == [". 1:1(0) ack 1 <TS ecr 5>", "ESTABLISHED"]


def test_crossed_syns() -> None:
    """Simultaneous open (RFC 9293 3.5, figure 8): each answers the other's SYN by its own with an ACK."""
    assert play(syn_sent(), OPEN, STATE, ANSWER, STATE) == [
        "S. 0:1(0) ack 1 <mss 1460,sackOK,TS ecr 0,wscale 7>",
        "SYN_RECV",
        ". 1:1(0) ack 1",
        "ESTABLISHED",
    ]


def test_crossed_syns_carry_data_afterwards() -> None:
    assert play(crossed(), DATA, "recv(c, &buf[9], 9, 0)", write(3)) == [
        ". 1:1(0) ack 6",
        "= 5 b'hello'",
        "= 3",
        "P. 1:4(3) ack 6",
    ]


def test_the_opening_acknowledgement_may_carry_data_and_fin() -> None:
    whole = replace(DATA, flags=PSH | ACK | FIN)
    assert play(syn_recv(), whole, ACCEPT, "recv(c, &buf[9], 9, 0)", "recv(c, &buf[9], 9, 0)", STATE) == [
        "= 4",
        "= 5 b'hello'",
        "= 0",
        "CLOSE_WAIT",
    ]


@pytest.mark.parametrize(
    ("segment", "answers"),
    [
        (OPEN, ["S. 0:1(0) ack 1 <mss 1460>"]),
        (replace(PURE, ack=iss(2)), ["R 2:2(0)"]),
        (replace(PURE, ack=iss(0)), ["R 0:0(0)"]),
        (replace(PURE, seq=peer(100_000)), [". 1:1(0) ack 1"]),
        (replace(OPEN, seq=peer(5)), ["R. 0:0(0) ack 6"]),
        (RESET, []),
        (replace(RESET, seq=peer(2)), [". 1:1(0) ack 1"]),
        (replace(RESET, seq=peer(100_000)), []),
        (replace(PURE, flags=PSH), []),
    ],
)
def test_a_request_answers(segment: TcpSegment, answers: list[str]) -> None:
    """`tcp_check_req`; RFC 9293 3.10.7.4 in SYN-RECEIVED."""
    got = play(syn_recv(), segment)
    assert got == answers


def test_a_reset_ends_a_request() -> None:
    assert play(syn_recv(), RESET, PURE) == ["R 1:1(0)"]


@pytest.mark.parametrize(
    ("segment", "answers"),
    [
        (PURE, ["R 1:1(0)"]),
        (DATA, ["R 1:1(0)"]),
        (replace(OPEN, flags=SYN | ACK, ack=7), ["R 7:7(0)"]),
        (RESET, []),
        (replace(RESET, flags=RST | ACK), []),
        (replace(OPEN, flags=SYN | RST), []),
        (replace(OPEN, flags=SYN | FIN), []),
        (replace(OPEN, flags=FIN), []),
        (replace(OPEN, flags=0), []),
    ],
)
def test_a_listener_answers(segment: TcpSegment, answers: list[str]) -> None:
    """RFC 9293 3.10.7.2; SYN with FIN is ignored as Linux does."""
    assert play(listening(), segment) == answers


@pytest.mark.parametrize(
    ("segment", "answer"),
    [
        (OPEN, ["R. 0:0(0) ack 1"]),
        (replace(OPEN, payload=b"abc"), ["R. 0:0(0) ack 4"]),
        (replace(PURE, ack=77), ["R 77:77(0)"]),
        (replace(OPEN, flags=FIN), ["R. 0:0(0) ack 1"]),
        (replace(OPEN, flags=0), ["R. 0:0(0) ack 0"]),
        (RESET, []),
        (replace(RESET, flags=RST | ACK), []),
    ],
)
def test_where_nobody_listens(segment: TcpSegment, answer: list[str]) -> None:
    """RFC 9293 3.10.7.1: every segment but a RST is answered by one."""
    assert play((), segment) == answer


def test_requests_beyond_the_backlog_are_dropped() -> None:
    """Backlog 0 holds one connection nobody accepted and one request (`sk_acceptq_is_full`, `inet_csk_reqsk_queue_is_full`)."""
    opens = [from_port(OPEN, port) for port in (1, 2, 3)]
    synack = ["S. 0:1(0) ack 1 <mss 1460>"]
    assert acts(listening(0), *opens) == [synack, [], []]
    assert acts(listening(2), *opens) == [synack] * 3


def test_a_full_accept_queue_leaves_the_handshake_unfinished() -> None:
    """Backlog 0 holds one: the second SYN is dropped, and so is the last ACK of a request made before it was full."""
    full = (*listening(0), from_port(OPEN, 1), from_port(PURE, 1))
    assert acts(full, from_port(OPEN, 2), ACCEPT, from_port(OPEN, 2)) == [[], ["= 4"], ["S. 0:1(0) ack 1 <mss 1460>"]]
    three = [from_port(OPEN, port) for port in (1, 2, 3)]
    crowded = (*listening(1), *three[:2], from_port(PURE, 1), from_port(PURE, 2))
    assert acts(crowded, three[2], ACCEPT, ACCEPT.replace("c", "d", 1), three[2])[0] == []


def test_a_dropped_last_acknowledgement_is_made_good_by_data() -> None:
    """`tcp_check_req` with a full queue marks the request acknowledged; the next segment makes the child."""
    scene = (*listening(1), *(from_port(OPEN, port) for port in (1, 2)), *(from_port(PURE, port) for port in (1, 2)))
    refilled = (*listening(0), from_port(OPEN, 1), from_port(PURE, 1))
    assert play(refilled, from_port(DATA, 1), ACCEPT, "recv(c, &buf[9], 9, 0)") == [". 1:1(0) ack 6", "= 4", "= 5 b'hello'"]
    assert play(scene, ACCEPT, from_port(DATA, 2), ACCEPT.replace("c", "d", 1), "recv(d, &buf[9], 9, 0)") == [
        "= 4",
        ". 1:1(0) ack 6",
        "= 5",
        "= 5 b'hello'",
    ]


def test_closing_a_listener_resets_what_nobody_accepted() -> None:
    """`inet_csk_listen_stop`: requests vanish, connections are reset."""
    scene = (*listening(), OPEN, PURE, from_port(OPEN, 2))
    assert play(scene, "close(l)", from_port(PURE, 2)) == ["= 0", "R. 1:1(0) ack 1", "R 1:1(0)"]


def test_a_syn_unanswered_is_sent_again_and_given_up() -> None:
    """RFC 6298 2.1, 5.7; with tcp_syn_linear_timeouts 4 the first five intervals are a second each, then they double."""
    got = play(syn_sent(), "advance 200s", ERROR)
    seconds = [int(text.split("ms")[0]) // 1000 for text in got[:-1]]
    assert seconds == [1, 2, 3, 4, 5, 7, 11, 19, 35, 67]
    assert all(text.endswith(SYN_OUT) for text in got[:-1])
    assert got[-1] == "= ETIMEDOUT"


def test_the_first_syn_retransmission_takes_a_second() -> None:
    assert play(syn_sent(), "advance 2500ms") == [f"1004ms {SYN_OUT}", f"2008ms {SYN_OUT}"]


def test_tcp_syncnt_says_how_long() -> None:
    """One retransmission stands for 1 + 2 s whatever is sent in that time (`tcp_model_timeout`)."""
    got = play(syn_sent(setsockopt("SOL_TCP", "TCP_SYNCNT", 1)), "advance 4s", ERROR)
    assert got == [f"1004ms {SYN_OUT}", f"2008ms {SYN_OUT}", "= ETIMEDOUT"]


def test_a_syn_ack_unanswered_is_sent_again_and_forgotten() -> None:
    """`reqsk_timer_handler`: after 1, 3, 7, 15 and 31 s, a tick more each time; at 63 s the request is gone."""
    got = play(syn_recv(), "advance 62s", "advance 2s", PURE)
    assert [text.split()[0] for text in got[:-1]] == ["1004ms", "3008ms", "7012ms", "15016ms", "31020ms"]
    assert all(text.endswith("S. 0:1(0) ack 1 <mss 1460>") for text in got[:-1])
    assert got[-1] == "R 1:1(0)"


def test_the_first_syn_ack_retransmission_takes_a_second() -> None:
    assert play(syn_recv(), "advance 2s") == ["1004ms S. 0:1(0) ack 1 <mss 1460>"]


def test_an_accepted_connection_inherits_its_listeners_options() -> None:
    """`sk_clone`: what was set on the listener counts for the child."""
    scene = established(OPEN, PURE, setsockopt("SOL_TCP", "TCP_NODELAY", 1, on="l"))
    assert play(scene, "getsockopt(c, SOL_TCP, TCP_NODELAY, &buf[4], &[4])") == ["= 1"]
