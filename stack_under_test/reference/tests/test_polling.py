"""poll and select: what is ready, what is copied back, how long they sleep (`fs/select.c`)."""

from __future__ import annotations

import struct

import pytest

from stack_under_test.contract.trace import Completion
from stack_under_test.reference.tests.programs import outs, run, words

PAIR = """
    r0 = socket(AF_INET, SOCK_DGRAM, 0)
    bind(r0, {AF_INET, 127.0.0.1, 1000}, 16)
    r1 = socket(AF_INET, SOCK_DGRAM, 0)
    connect(r1, {AF_INET, 127.0.0.1, 1000}, 16)
"""


def fd_set(*fds: int) -> bytes:
    return sum(1 << fd for fd in fds).to_bytes(128, "little")


def test_poll_reports_what_was_asked_for() -> None:
    program = f"{PAIR}\npoll([{{r0, POLLIN|POLLOUT}}, {{r0, POLLIN}}, {{-1, POLLIN}}, {{99, 0}}, {{0, 0}}], 5, 0)"
    assert words(program).split()[-1] == "2"
    revents = [value for _, _, value in struct.iter_unpack("<iHH", outs(program)["arg0"])]
    assert revents == [0x4, 0, 0, 0x20, 0]


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("poll(BAD, 1025, 0)", "EINVAL"),
        ("poll(BAD, 1, 0)", "EFAULT"),
        ("poll(NULL, 0, 0)", "0"),
        ("poll(NULL, -1, 0)", "EINVAL"),
        ("select(-1, BAD, BAD, BAD, NULL)", "EINVAL"),
        ("select(-1, BAD, BAD, BAD, {sec=-1, usec=0})", "EINVAL"),
        ("select(0, BAD, BAD, BAD, {sec=0, usec=0})", "0"),
        ("select(64, BAD, NULL, NULL, {sec=0, usec=0})", "EFAULT"),
        ("select(64, fds[9], NULL, NULL, {sec=0, usec=0})", "EBADF"),
        ("select(9, fds[9], NULL, NULL, {sec=0, usec=0})", "0"),
        ("select(1, NULL, NULL, NULL, BAD)", "EFAULT"),
        ("select(1, NULL, NULL, NULL, {sec=0, usec=-1})", "EINVAL"),
        ("select(1, NULL, NULL, NULL, {sec=-1, usec=1000000})", "0"),
        ("select(1, fds[0], fds[0], fds[0], NULL)", "2"),
    ],
)
def test_the_error_that_wins(call: str, word: str) -> None:
    assert words(call) == word


def test_select_copies_back_what_it_looked_at() -> None:
    stored = outs(f"{PAIR}\nselect(64, fds[r0, 70], fds[r0], fds[r0], {{sec=5, usec=7}})")
    assert stored["arg1"] == fd_set(70)
    assert stored["arg2"] == fd_set(3)
    assert stored["arg3"] == fd_set()
    assert stored["arg4"] == struct.pack("<qq", 5, 7)


def test_select_leaves_the_sets_alone_when_it_fails() -> None:
    assert outs(f"{PAIR}\nselect(64, fds[r0, 9], NULL, NULL, {{sec=0, usec=0}})")["arg1"] == fd_set(3, 9)


def test_poll_sleeps_to_the_millisecond() -> None:
    steps = run(f"{PAIR}\npoll([{{r0, POLLIN}}], 1, 20)\nadvance 30ms")
    (event,) = steps[-1].events
    assert isinstance(event, Completion)
    assert (event.step, event.outcome.value, event.at) == (4, 0, steps[4].ended + 20_000_000)


def test_select_writes_back_the_time_left() -> None:
    steps = run(f'{PAIR}\nt1: select(64, fds[r0], NULL, NULL, {{sec=1, usec=0}})\nadvance 300ms\nsend(r1, "x", 1, 0)')
    left = 1_000_000_000 - (steps[-1].ended - steps[4].ended)
    (event,) = steps[-1].events
    assert isinstance(event, Completion)
    assert dict(event.outcome.outs)["arg4"] == struct.pack("<qq", 0, left // 1000)
    assert dict(event.outcome.outs)["arg1"] == fd_set(3)


def test_a_sleeping_poll_ignores_events_it_did_not_ask_for() -> None:
    program = f"""{PAIR}
        t1: poll([{{r0, POLLPRI}}], 1, -1)
        send(r1, "x", 1, 0)
        t2: poll([{{r0, POLLIN}}], 1, -1)
        signal t1 SIGUSR2
    """
    assert words(program).split()[4:] == ["blocked", "1", "1", "done@4=EINTR"]


def test_a_sleeping_poll_looks_its_descriptors_up_again() -> None:
    program = f"""{PAIR}
        t1: poll([{{r0, POLLIN}}], 1, -1)
        close(r0)
        signal t1 SIGUSR1
    """
    assert words(program).split()[4:] == ["blocked", "0", "done@4=1"]


def test_a_time_beyond_counting_never_comes() -> None:
    program = f"t1: select(0, NULL, NULL, NULL, {{sec={1 << 62}, usec=0}})\nadvance 1000s\nsignal t1 SIGUSR1"
    assert words(program) == "blocked done done@0=EINTR"
