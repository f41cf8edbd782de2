"""epoll: registration rules, triggering, the order of the ready list, nesting (`fs/eventpoll.c`)."""

from __future__ import annotations

import struct

import pytest

from stack_under_test.reference.tests.programs import outs, words

PAIR = """
    r0 = socket(AF_INET, SOCK_DGRAM|SOCK_NONBLOCK, 0)
    bind(r0, {AF_INET, 127.0.0.1, 1000}, 16)
    r1 = socket(AF_INET, SOCK_DGRAM|SOCK_NONBLOCK, 0)
    bind(r1, {AF_INET, 127.0.0.1, 2000}, 16)
    r2 = epoll_create1(0)
"""


def tail(program: str) -> str:
    """The words behind those of PAIR."""
    return " ".join(words(PAIR + program).split()[5:])


def events(program: str) -> list[tuple[int, int]]:
    """The (events, data) that the last call, an epoll_wait, has stored."""
    octets = outs(PAIR + program)["arg1"]
    return list(struct.iter_unpack("<IQ", octets + bytes(-len(octets) % 12)))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("epoll_create1(1)", "EINVAL"),
        ("epoll_ctl(r2, EPOLL_CTL_ADD, r0, BAD)", "EFAULT"),
        ("epoll_ctl(99, EPOLL_CTL_ADD, r0, BAD)", "EFAULT"),
        ("epoll_ctl(99, EPOLL_CTL_ADD, r0, {EPOLLIN, data=0})", "EBADF"),
        ("epoll_ctl(r2, EPOLL_CTL_ADD, 99, {EPOLLIN, data=0})", "EBADF"),
        ("epoll_ctl(r2, EPOLL_CTL_ADD, 0, {EPOLLIN, data=0})", "EPERM"),
        ("epoll_ctl(r2, EPOLL_CTL_ADD, r2, {EPOLLIN, data=0})", "EINVAL"),
        ("epoll_ctl(r0, EPOLL_CTL_ADD, r1, {EPOLLIN, data=0})", "EINVAL"),
        ("epoll_ctl(r2, EPOLL_CTL_MOD, r0, {EPOLLIN, data=0})", "ENOENT"),
        ("epoll_ctl(r2, EPOLL_CTL_DEL, r0, BAD)", "ENOENT"),
        ("epoll_ctl(r2, 9, r0, {EPOLLIN, data=0})", "EINVAL"),
        ("epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLIN|EPOLLEXCLUSIVE|EPOLLONESHOT, data=0})", "EINVAL"),
        ("epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLIN|EPOLLEXCLUSIVE, data=0})", "0"),
        ("epoll_wait(99, BAD, 0, 0)", "EBADF"),
        ("epoll_wait(r0, BAD, 0, 0)", "EINVAL"),
        ("epoll_wait(r0, &events[12], 1, 0)", "EINVAL"),
        ("epoll_wait(r2, &events[12], 0, 0)", "EINVAL"),
        ("epoll_wait(r2, &events[12], 178956971, 0)", "EINVAL"),
        ("epoll_wait(r2, -1, 1, 0)", "EFAULT"),
        ("epoll_wait(r2, BAD, 1, 0)", "0"),
        ("read(r2, &buf[1], 1)", "EINVAL"),
        ("ioctl(r2, FIONREAD, &[0])", "EINVAL"),
    ],
)
def test_the_error_that_wins(call: str, word: str) -> None:
    assert tail(call) == word


def test_adding_twice_and_modifying_an_exclusive_item() -> None:
    program = """
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLIN, data=0})
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLIN, data=0})
        r3 = dup(r0)
        epoll_ctl(r2, EPOLL_CTL_ADD, r3, {EPOLLIN|EPOLLEXCLUSIVE, data=0})
        epoll_ctl(r2, EPOLL_CTL_MOD, r3, {EPOLLIN, data=0})
        epoll_ctl(r2, EPOLL_CTL_MOD, r0, {EPOLLIN|EPOLLEXCLUSIVE, data=0})
    """
    assert tail(program) == "0 EEXIST 6 0 EINVAL EINVAL"


@pytest.mark.parametrize(
    ("flags", "results"),
    [
        ("EPOLLIN", "1 1 0 1"),
        ("EPOLLIN|EPOLLET", "1 0 1 0"),
        ("EPOLLIN|EPOLLONESHOT", "1 0 0 0"),
        ("EPOLLOUT|EPOLLET", "1 0 1 0"),
    ],
)
def test_level_edge_and_one_shot(flags: str, results: str) -> None:
    """Twice after one datagram, once after it was read, once after a second: UDP reports room to write at each wake-up."""
    program = f"""
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {{{flags}, data=7}})
        sendto(r1, "a", 1, 0, {{AF_INET, 127.0.0.1, 1000}}, 16)
        epoll_wait(r2, &events[12], 1, 0)
        epoll_wait(r2, &events[12], 1, 0)
        recv(r0, &buf[1], 1, 0)
        sendto(r0, "a", 1, 0, {{AF_INET, 127.0.0.1, 9}}, 16)
        sendto(r1, "a", 1, 0, {{AF_INET, 127.0.0.1, 1000}}, 16)
        epoll_wait(r2, &events[12], 1, 0)
        epoll_wait(r2, &events[12], 1, 0)
    """
    got = tail(program).split()
    assert (got[2], got[3]) == tuple(results.split()[:2])


def test_one_shot_is_armed_again_by_modifying() -> None:
    program = """
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLOUT|EPOLLONESHOT, data=7})
        epoll_wait(r2, &events[12], 1, 0)
        epoll_wait(r2, &events[12], 1, 0)
        epoll_ctl(r2, EPOLL_CTL_MOD, r0, {EPOLLOUT|EPOLLONESHOT, data=8})
        epoll_wait(r2, &events[12], 1, 0)
    """
    assert tail(program) == "0 1 0 0 1"
    assert events(program) == [(4, 8)]


def test_ready_items_take_turns() -> None:
    program = """
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLOUT, data=1})
        epoll_ctl(r2, EPOLL_CTL_ADD, r1, {EPOLLOUT, data=2})
        epoll_wait(r2, &events[12], 1, 0)
    """
    assert events(program) == [(4, 1)]
    again = f"{program}epoll_wait(r2, &events[24], 2, 0)"
    assert events(again) == [(4, 2), (4, 1)]


def test_a_fault_keeps_the_events_that_were_not_delivered() -> None:
    program = """
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLOUT|EPOLLET, data=1})
        epoll_wait(r2, BAD, 1, 0)
        epoll_wait(r2, &events[12], 1, 0)
        epoll_wait(r2, &events[12], 1, 0)
    """
    assert tail(program) == "0 EFAULT 1 0"


def test_an_item_goes_with_the_last_descriptor_of_its_file() -> None:
    program = """
        r3 = dup(r0)
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLOUT, data=1})
        close(r0)
        epoll_wait(r2, &events[12], 1, 0)
        epoll_ctl(r2, EPOLL_CTL_DEL, r0, NULL)
        close(r3)
        epoll_wait(r2, &events[12], 1, 0)
    """
    assert tail(program) == "6 0 0 1 EBADF 0 0"


def test_an_epoll_can_be_watched() -> None:
    program = """
        r3 = epoll_create1(0)
        epoll_ctl(r3, EPOLL_CTL_ADD, r2, {EPOLLIN, data=9})
        epoll_wait(r3, &events[12], 1, 0)
        t1: epoll_wait(r3, &events[12], 1, -1)
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLOUT, data=1})
        poll([{r2, POLLIN}], 1, 0)
        epoll_ctl(r2, EPOLL_CTL_ADD, r3, {EPOLLIN, data=1})
    """
    assert tail(program) == "6 0 0 blocked 0@8=1 1 ELOOP"


def test_chains_of_epolls_end_at_five() -> None:
    links = "".join(
        f"r{n} = epoll_create1(0)\nepoll_ctl(r{n}, EPOLL_CTL_ADD, r{n - 1}, {{EPOLLIN, data=0}})\n" for n in range(3, 8)
    )
    assert tail(links) == "6 0 7 0 8 0 9 0 10 ELOOP"


def test_of_two_sleepers_the_later_one_is_woken_first() -> None:
    program = """
        t1: epoll_wait(r2, &events[12], 1, -1)
        t2: epoll_wait(r2, &events[12], 1, -1)
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLOUT|EPOLLET, data=1})
        epoll_ctl(r2, EPOLL_CTL_ADD, r1, {EPOLLOUT|EPOLLET, data=2})
    """
    assert tail(program) == "blocked blocked 0@6=1 0@5=1"


def test_level_triggered_readiness_wakes_every_sleeper() -> None:
    program = """
        t1: epoll_wait(r2, &events[12], 1, -1)
        t2: epoll_wait(r2, &events[12], 1, -1)
        epoll_ctl(r2, EPOLL_CTL_ADD, r0, {EPOLLOUT, data=1})
    """
    assert tail(program) == "blocked blocked 0@5=1@6=1"
