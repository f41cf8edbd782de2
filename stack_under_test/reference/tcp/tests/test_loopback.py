"""A connection from this host to this host, end to end: nothing leaves on the link (RFC 9293 as both peers)."""

from __future__ import annotations

import pytest

from stack_under_test.reference.tcp.tests.build import Scene, play

LOCAL = "{AF_INET, 127.0.0.1, 8080}"
READ_S = "recv(s, &buf[50], 50, 0)"
READ_C = "recv(c, &buf[50], 50, 0)"


def state(name: str) -> str:
    return f"getsockopt({name}, SOL_TCP, TCP_INFO, &buf[1], &[1])"


def listening(backlog: int = 4) -> Scene:
    return ("l = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)", f"bind(l, {LOCAL}, 16)", f"listen(l, {backlog})")


def connected() -> Scene:
    """`c` is the client's end, `s` the server's."""
    return (
        *listening(),
        "c = socket(AF_INET, SOCK_STREAM, 0)",
        f"connect(c, {LOCAL}, 16)",
        "fcntl(c, F_SETFL, O_NONBLOCK)",
        "s = accept4(l, NULL, NULL, SOCK_NONBLOCK)",
    )


def test_a_blocking_connect_comes_back_at_once() -> None:
    assert play(listening(), "c = socket(AF_INET, SOCK_STREAM, 0)", f"connect(c, {LOCAL}, 16)", state("c")) == [
        "= 4",
        "= 0",
        "ESTABLISHED",
    ]


def test_where_nobody_listens_it_is_refused() -> None:
    assert play(("c = socket(AF_INET, SOCK_STREAM, 0)",), f"connect(c, {LOCAL}, 16)") == ["= ECONNREFUSED"]


def test_data_both_ways() -> None:
    assert play(connected(), 'send(c, "ping", 4, 0)', READ_S, 'send(s, "pong!", 5, 0)', READ_C, READ_C) == [
        "= 4",
        "= 4 b'ping'",
        "= 5",
        "= 5 b'pong!'",
        "= EAGAIN",
    ]


def test_nagle_and_delayed_acknowledgements_hold_one_write_each() -> None:
    """RFC 896 against RFC 9293 3.8.6.3: the second small write may wait for the first one's ACK, but arrives."""
    scene = (*connected(), *('send(c, "x", 1, 0)' for _ in range(30)))
    assert play(scene, "advance 100ms", READ_S) == [f"= 30 {b'x' * 30!r}"]


def test_a_large_transfer_arrives_whole() -> None:
    half = 30_000
    scene = (*connected(), f'send(c, "{"a" * half}", {half}, 0)', f'send(c, "{"b" * half}", {half}, 0)')
    take = f"recv(s, &buf[{2 * half}], {2 * half}, MSG_TRUNC)"
    assert play(scene, "advance 300ms", take) == [f"= {2 * half}"]


def test_an_orderly_end_from_either_side() -> None:
    """Figure 12 of RFC 9293: FIN, data still the other way, FIN; TIME-WAIT stays with whoever closed first."""
    assert play(
        connected(),
        "shutdown(c, SHUT_WR)",
        state("c"),
        state("s"),
        READ_S,
        'send(s, "rest", 4, 0)',
        "close(s)",
        READ_C,
        READ_C,
        state("c"),
    ) == ["= 0", "FIN_WAIT1", "CLOSE_WAIT", "= 0", "= 4", "= 0", "= 4 b'rest'", "= 0", "CLOSE"]


def test_closing_with_unread_data_resets_the_other_end() -> None:
    """`tcp_close`: ECONNRESET, once."""
    assert play((*connected(), 'send(c, "lost", 4, 0)'), "close(s)", READ_C, READ_C, 'send(c, "x", 1, MSG_NOSIGNAL)') == [
        "= 0",
        "= ECONNRESET",
        "= 0",
        "= EPIPE",
    ]


def test_a_reader_asleep_is_woken() -> None:
    scene = (*connected(), "fcntl(s, F_SETFL, 0)")
    assert play(scene, "t1: recv(s, &buf[9], 9, 0)", 'send(c, "wake", 4, 0)') == ["= blocked", "= 4", "recv = 4 b'wake'"]
    assert play(scene, "t1: recv(s, &buf[9], 9, 0)", "close(c)") == ["= blocked", "= 0", "recv = 0"]


def test_a_writer_asleep_is_woken_by_the_reader() -> None:
    """Flow control end to end: the window shuts, the writer sleeps, reading opens it again."""
    size = 200_000
    scene = (
        *listening(),
        "setsockopt(l, SOL_SOCKET, SO_RCVBUF, [4096], 4)",
        "c = socket(AF_INET, SOCK_STREAM, 0)",
        "setsockopt(c, SOL_SOCKET, SO_SNDBUF, [4096], 4)",
        f"connect(c, {LOCAL}, 16)",
        "s = accept4(l, NULL, NULL, SOCK_NONBLOCK)",
    )
    drain = f"recv(s, &buf[{size}], {size}, MSG_TRUNC)"
    rounds = [line for _ in range(12) for line in (drain, "advance 210ms")]
    got = play(scene, f't1: send(c, "{"w" * 30_000}", 30000, 0)', *rounds)
    assert got[0] == "= blocked"
    assert any(text.endswith("send = 30000") for text in got)
    assert sum(int(text[2:]) for text in got[1:] if text.startswith("= ") and text[2:].isdigit()) == 30_000


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "192.0.2.1"])
def test_every_address_of_ours_is_this_host(address: str) -> None:
    server = f"{{AF_INET, {address}, 8080}}"
    scene = ("l = socket(AF_INET, SOCK_STREAM, 0)", f"bind(l, {server}, 16)", "listen(l, 1)")
    assert play(scene, "c = socket(AF_INET, SOCK_STREAM, 0)", f"connect(c, {server}, 16)") == ["= 4", "= 0"]


def test_a_socket_may_connect_to_itself() -> None:
    """Crossed SYNs of one socket with itself (RFC 9293 3.5): what it sends, it reads."""
    scene = ("c = socket(AF_INET, SOCK_STREAM, 0)", f"bind(c, {LOCAL}, 16)", f"connect(c, {LOCAL}, 16)")
    assert play(scene, state("c"), 'send(c, "me", 2, 0)', READ_C) == ["ESTABLISHED", "= 2", "= 2 b'me'"]


def test_windows_announced_while_the_sender_is_busy_merge() -> None:
    """`tcp_add_backlog`: of several acknowledgements in one call only the last window is heard, so the MSS does not grow."""
    scene = (*connected(), 'write(s, "A", 1)', 'send(s, "P"*100, 131072, 0)')
    assert play(scene, "ioctl(c, FIONREAD, &[0])", "getsockopt(s, SOL_TCP, TCP_MAXSEG, &ints[4], &[4])") == [
        "= 128385",
        "= 32768",
    ]
