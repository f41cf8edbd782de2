"""Who may have a port (`inet_csk_get_port`, `__inet_hash_connect`, `tcp_twsk_unique`)."""

from __future__ import annotations

import pytest

from stack_under_test.reference.tcp.tests.build import (
    HERE,
    OPEN,
    THERE,
    close_wait,
    established,
    fin_wait2,
    last_ack,
    listening,
    play,
    time_wait,
)

SECOND = "d = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)"
THIRD = "e = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)"
BIND = f"bind(d, {HERE}, 16)"
SYN_OPTIONS = "<mss 1460,sackOK,TS ecr 0,wscale 7>"


def reuse(name: str, option: str = "SO_REUSEADDR") -> str:
    return f"setsockopt({name}, SOL_SOCKET, {option}, [1], 4)"


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ((), (), "= EADDRINUSE"),
        ((reuse("l"),), (), "= EADDRINUSE"),
        ((), (reuse("d"),), "= EADDRINUSE"),
        ((reuse("l"),), (reuse("d"),), "= 0"),
        ((reuse("l", "SO_REUSEPORT"),), (reuse("d"),), "= EADDRINUSE"),
        ((reuse("l", "SO_REUSEPORT"),), (reuse("d", "SO_REUSEPORT"),), "= 0"),
    ],
)
def test_two_sockets_share_a_port_when_both_allow_it(first: tuple[str, ...], second: tuple[str, ...], result: str) -> None:
    scene = ("l = socket(AF_INET, SOCK_STREAM, 0)", *first, f"bind(l, {HERE}, 16)", SECOND, *second)
    assert play(scene, BIND) == [result]


def test_a_listeners_port_is_shared_by_reuseport_only() -> None:
    both = ("l = socket(AF_INET, SOCK_STREAM, 0)", reuse("l"), f"bind(l, {HERE}, 16)", SECOND, reuse("d"), BIND)
    assert play(both, "listen(l, 1)", "listen(d, 1)") == ["= 0", "= EADDRINUSE"]


def test_another_address_is_another_port_but_the_wildcard_is_all_of_them() -> None:
    assert play((*listening(), SECOND), "bind(d, {AF_INET, 127.0.0.1, 8080}, 16)") == ["= 0"]
    assert play((*listening(), SECOND), "bind(d, {AF_INET, 0.0.0.0, 8080}, 16)") == ["= EADDRINUSE"]


@pytest.mark.parametrize("scene", [established(), fin_wait2(), close_wait(), last_ack(), time_wait()])
def test_connections_keep_their_port_from_being_bound_anew(scene: tuple[str, ...]) -> None:
    """Until TIME-WAIT is over, unless both sockets have SO_REUSEADDR."""
    closed = (*scene, "close(l)", "close(c)", SECOND)
    assert play(closed, BIND) == ["= EADDRINUSE"]
    assert play((*closed, reuse("d")), BIND) == ["= EADDRINUSE"]


def test_time_wait_gives_way_to_a_listener_when_both_allow_it() -> None:
    """SO_REUSEADDR set before the first bind() is what the child, and its TIME-WAIT, inherit."""
    bound = time_wait().index(f"bind(l, {HERE}, 16)")
    scene = (*time_wait()[:bound], reuse("l"), *time_wait()[bound:], "close(l)", "close(c)", SECOND, reuse("d"))
    assert play(scene, BIND, "listen(d, 1)") == ["= 0", "= 0"]


def test_one_connection_for_four_ends() -> None:
    """`__inet_check_established`."""
    bound = ("c = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)", reuse("c"), f"bind(c, {HERE}, 16)")
    twin = (*bound, f"connect(c, {THERE}, 16)", SECOND, reuse("d"), BIND)
    assert play(twin, f"connect(d, {THERE}, 16)") == ["= EADDRNOTAVAIL"]
    other = "connect(d, {AF_INET, 192.0.2.2, 1235}, 16)"
    assert play(twin, other) == ["= EINPROGRESS", f"S 0:1(0) {SYN_OPTIONS}"]


def test_a_connections_port_is_its_own_until_it_is_closed() -> None:
    """A bare bind() keeps the port; closing gives it back at once when there was no connection."""
    scene = (SECOND, BIND, THIRD)
    assert play(scene, f"bind(e, {HERE}, 16)", "close(d)", f"bind(e, {HERE}, 16)") == ["= EADDRINUSE", "= 0", "= 0"]


def test_a_child_shares_its_listeners_port() -> None:
    """`__inet_inherit_port`: closing the listener leaves the connection its number, and the port taken."""
    scene = (*established(), "close(l)", SECOND)
    named = "getsockname(c, &addr[16], &[16])"
    assert play(scene, named, BIND, OPEN)[:2] == ["= 0", "= EADDRINUSE"]
