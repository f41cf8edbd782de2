"""ICMP errors about our segments (RFC 1122 4.2.3.9, RFC 5927, RFC 1191; `tcp_v4_err`)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stack_under_test.reference.tcp.tests.build import (
    ERROR,
    LAST,
    PURE,
    READ,
    STATE,
    THERE,
    Scene,
    close_wait,
    crossed,
    established,
    fin_wait1,
    iss,
    listening,
    play,
    setsockopt,
    syn_recv,
    syn_sent,
    time_wait,
    write,
)

PARAMETER_PROBLEM, TIME_EXCEEDED, UNREACHABLE, SOURCE_QUENCH = 12, 11, 3, 4
NET, HOST, PROTOCOL, PORT, FRAG_NEEDED = 0, 1, 2, 3, 4


def error(kind: int, code: int, seq: str = "iss+0", extra: str = "") -> str:
    """About the segment we sent with that number."""
    return f"< icmp {kind} {code} {extra} quoting (tcp 8080 > 1234 . seq {seq} ack peer+1)"


@pytest.mark.parametrize(
    ("kind", "code", "errno"),
    [
        (UNREACHABLE, NET, "ENETUNREACH"),
        (UNREACHABLE, HOST, "EHOSTUNREACH"),
        (UNREACHABLE, PROTOCOL, "ENOPROTOOPT"),
        (UNREACHABLE, PORT, "ECONNREFUSED"),
        (UNREACHABLE, 5, "EOPNOTSUPP"),
        (UNREACHABLE, 7, "EHOSTDOWN"),
        (UNREACHABLE, 8, "ENONET"),
        (UNREACHABLE, 9, "ENETUNREACH"),
        (UNREACHABLE, 10, "EHOSTUNREACH"),
        (UNREACHABLE, 13, "EHOSTUNREACH"),
        (TIME_EXCEEDED, 0, "EHOSTUNREACH"),
        (PARAMETER_PROBLEM, 0, "EPROTO"),
    ],
)
def test_an_error_ends_an_opening(kind: int, code: int, errno: str) -> None:
    """RFC 5927 4: what has not been established is given up (`icmp_err_convert`)."""
    assert play(syn_sent(), error(kind, code), STATE, ERROR) == ["CLOSE", f"= {errno}"]


def test_a_sleeping_connect_hears_of_it() -> None:
    scene = ("c = socket(AF_INET, SOCK_STREAM, 0)", "bind(c, {AF_INET, 192.0.2.1, 8080}, 16)")
    assert play(scene, f"t1: connect(c, {THERE}, 16)", error(UNREACHABLE, HOST))[-1] == "connect = EHOSTUNREACH"


@pytest.mark.parametrize(("kind", "code"), [(SOURCE_QUENCH, 0), (5, 1), (UNREACHABLE, 16), (UNREACHABLE, FRAG_NEEDED)])
def test_what_is_no_error_ends_nothing(kind: int, code: int) -> None:
    """RFC 6633 for source quench; an unknown code; a size that is none (0 becomes the minimum)."""
    assert play(syn_sent(), error(kind, code), STATE)[-1] == "SYN_SENT"


@pytest.mark.parametrize("scene", [established(), close_wait(), fin_wait1()])
def test_an_error_is_soft_once_the_connection_stands(scene: Scene) -> None:
    """RFC 1122 4.2.3.9: noted for SO_ERROR (`sk_err_soft`), but calls go on, and an acknowledgement makes it forgotten."""
    state = play(scene, STATE)
    noted = error(UNREACHABLE, PORT, "iss+1")
    assert play(scene, noted, STATE, READ, ERROR, ERROR)[0::2] == [*state, "= ECONNREFUSED"]
    assert play(established(), noted, write(1), replace(PURE, ack=iss(2)), ERROR) == ["= 1", "P. 1:2(1) ack 1", "= 0"]


def test_the_soft_error_is_what_a_timeout_reports() -> None:
    """`tcp_write_err`: sk_err_soft instead of ETIMEDOUT."""
    scene = (*established(), setsockopt("SOL_TCP", "TCP_USER_TIMEOUT", 300), write(5))
    assert play(scene, error(UNREACHABLE, HOST, "iss+1"), "advance 1s", ERROR)[-1] == "= EHOSTUNREACH"
    assert play(scene, "advance 1s", ERROR)[-1] == "= ETIMEDOUT"


def test_with_ip_recverr_an_error_is_told_at_once() -> None:
    """ip(7)."""
    scene = (*established(), setsockopt("SOL_IP", "IP_RECVERR", 1))
    assert play(scene, error(UNREACHABLE, HOST, "iss+1"), STATE, ERROR, ERROR) == ["ESTABLISHED", "= EHOSTUNREACH", "= 0"]


@pytest.mark.parametrize("seq", ["iss-1", "iss+2", "iss+100000", "0"])
def test_an_error_about_what_is_not_in_flight_is_forged(seq: str) -> None:
    """RFC 5927 4.1."""
    assert play(syn_sent(), error(UNREACHABLE, PORT, seq), STATE) == ["SYN_SENT"]
    scene = (*established(), setsockopt("SOL_IP", "IP_RECVERR", 1))
    assert play(scene, error(UNREACHABLE, PORT, seq), ERROR) == ["= 0"]


def test_an_error_about_crossed_syns_ends_them() -> None:
    assert play(crossed(), error(UNREACHABLE, PORT), STATE, ERROR) == ["CLOSE", "= ECONNREFUSED"]


def test_an_unreachable_peers_request_is_forgotten() -> None:
    """`tcp_req_err`: for codes that say nobody is there; a port error does not count."""
    assert play(syn_recv(), error(UNREACHABLE, HOST), PURE) == ["R 1:1(0)"]
    assert play(syn_recv(), error(UNREACHABLE, PORT), PURE) == []


@pytest.mark.parametrize("scene", [listening(), time_wait()])
def test_nobody_hears_of_errors_for_listeners_and_time_wait(scene: Scene) -> None:
    fin = replace(LAST, ack=iss(2))
    assert play(scene, error(UNREACHABLE, PORT, "iss+1"), fin)[-1] in {". 2:2(0) ack 2", "R 2:2(0)"}


def test_a_smaller_path_makes_smaller_segments_of_what_was_lost() -> None:
    """RFC 1191 6.4; `tcp_v4_mtu_reduced`, `tcp_simple_retransmit`."""
    scene = (*established(), write(1460))
    assert play(scene, error(UNREACHABLE, FRAG_NEEDED, "iss+1", "mtu 1000")) == [
        ". 1:961(960) ack 1",
        "P. 961:1461(500) ack 1",
    ]


def test_segments_stay_smaller() -> None:
    scene = (*established(), write(5), error(UNREACHABLE, FRAG_NEEDED, "iss+1", "mtu 576"), replace(PURE, ack=iss(6)))
    assert play(scene, write(600)) == ["= 600", ". 6:542(536) ack 1", "P. 542:606(64) ack 1"]


def test_a_path_below_552_is_not_believed() -> None:
    """`ip_rt_min_pmtu`: the MTU is locked there, and DF comes off."""
    scene = (*established(), write(5), error(UNREACHABLE, FRAG_NEEDED, "iss+1", "mtu 100"), replace(PURE, ack=iss(6)))
    assert play(scene, write(600)) == ["= 600", ". 6:518(512) ack 1", "P. 518:606(88) ack 1"]


def test_a_larger_path_is_no_news() -> None:
    scene = (*established(), write(5), error(UNREACHABLE, FRAG_NEEDED, "iss+1", "mtu 9000"), replace(PURE, ack=iss(6)))
    assert play(scene, write(1460)) == ["= 1460", "P. 6:1466(1460) ack 1"]
