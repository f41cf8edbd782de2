"""Tasks: sleeping calls, signals, threads, forks, files that outlive their descriptors."""

from __future__ import annotations

from stack_under_test.contract.trace import Completion
from stack_under_test.reference.tests.programs import run, words

LISTENER = """
    r0 = socket(AF_INET, SOCK_STREAM, 0)
    bind(r0, {AF_INET, 127.0.0.1, 8080}, 16)
    listen(r0, 5)
"""
PAIR = """
    r0 = socket(AF_INET, SOCK_DGRAM, 0)
    bind(r0, {AF_INET, 127.0.0.1, 1000}, 16)
    r1 = socket(AF_INET, SOCK_DGRAM, 0)
    connect(r1, {AF_INET, 127.0.0.1, 1000}, 16)
"""


def tail(prologue: str, program: str) -> str:
    skipped = len([line for line in prologue.splitlines() if line.strip()])
    return " ".join(words(prologue + program).split()[skipped:])


def test_a_task_inside_a_call_makes_no_other() -> None:
    program = """
        t1: recv(r0, &buf[4], 4, 0)
        t1: getsockname(r0, NULL, NULL)
        send(r1, "ab", 2, 0)
        t1: recv(r0, &buf[4], 4, MSG_DONTWAIT)
    """
    assert tail(PAIR, program) == "blocked busy 2@4=2 EAGAIN"


def test_a_signal_interrupts_or_restarts() -> None:
    program = """
        t1: recv(r0, &buf[4], 4, 0)
        signal t1 SIGUSR2
        signal t1 SIGUSR1
        signal t1 SIGUSR1
        t1: recv(r0, &buf[4], 4, 0)
        signal t1 SIGUSR2
        send(r1, "ab", 2, 0)
    """
    assert tail(PAIR, program) == "blocked done done@4=EINTR done blocked done 2@8=2"


def test_a_sleep_with_a_limit_is_never_restarted() -> None:
    program = """
        setsockopt(r0, SOL_SOCKET, SO_RCVTIMEO, {sec=1, usec=0}, 16)
        t1: recv(r0, &buf[4], 4, 0)
        signal t1 SIGUSR2
        t1: recv(r0, &buf[4], 4, 0)
        advance 2s
    """
    assert tail(PAIR, program) == "0 blocked done@5=EINTR blocked done@7=EAGAIN"


def test_waiting_for_readiness_is_never_restarted() -> None:
    program = """
        r2 = epoll_create1(0)
        t1: poll([{r0, POLLIN}], 1, -1)
        signal t1 SIGUSR2
        t1: select(64, fds[r0], NULL, NULL, NULL)
        signal t1 SIGUSR2
        t1: epoll_wait(r2, &events[12], 1, -1)
        signal t1 SIGUSR2
    """
    assert tail(PAIR, program) == "5 blocked done@5=EINTR blocked done@7=EINTR blocked done@9=EINTR"


def test_a_restarted_call_looks_its_descriptor_up_again() -> None:
    program = """
        t1: recv(r0, &buf[4], 4, 0)
        close(r0)
        signal t1 SIGUSR2
    """
    assert tail(PAIR, program) == "blocked 0 done@4=EBADF"


def test_a_socket_lives_until_the_last_call_on_it_returns() -> None:
    program = """
        t1: recv(r0, &buf[4], 4, 0)
        close(r0)
        send(r1, "ab", 2, 0)
        send(r1, "ab", 2, 0)
        send(r1, "ab", 2, 0)
    """
    assert tail(PAIR, program) == "blocked 0 2@4=2 2 ECONNREFUSED"


def test_a_sleeping_accept_has_taken_its_descriptor() -> None:
    program = """
        t1: accept(r0, NULL, NULL)
        r1 = socket(AF_INET, SOCK_STREAM, 0)
        close(4)
        dup2(0, 4)
        fcntl(4, F_GETFD, 0)
        select(8, fds[4], NULL, NULL, NULL)
        connect(r1, {AF_INET, 127.0.0.1, 8080}, 16)
        send(r1, "x", 1, 0)
        recv(4, &buf[1], 1, 0)
    """
    assert tail(LISTENER, program) == "blocked 5 EBADF EBUSY EBADF 1 0@3=4 1 1"


def test_an_interrupted_accept_gives_its_descriptor_back() -> None:
    assert tail(LISTENER, "t1: accept(r0, NULL, NULL)\nsignal t1 SIGUSR1\nr1 = dup(0)") == "blocked done@3=EINTR 4"


def test_a_fork_has_descriptors_of_its_own_and_shares_what_they_name() -> None:
    program = """
        t1: recv(r0, &buf[1], 1, 0)
        fork t2
        fork t2
        fork t1
        close(r0)
        t2: fcntl(r0, F_SETFL, O_NONBLOCK)
        t2: recv(r0, &buf[1], 1, 0)
        t2: r2 = dup(0)
        r3 = dup(0)
        send(r1, "ab", 2, 0)
        send(r1, "ab", 2, 0)
        t2: recv(r0, &buf[2], 2, 0)
        getsockname(r0, NULL, NULL)
    """
    expected = "blocked done busy busy 0 0 EAGAIN 5 3 2@4=1 2 2 ENOTSOCK"
    assert tail(PAIR, program) == expected


def test_a_reserved_descriptor_is_free_in_the_fork() -> None:
    program = """
        t1: accept(r0, NULL, NULL)
        fork t2
        t2: r1 = dup(0)
        r2 = dup(0)
    """
    assert tail(LISTENER, program) == "blocked done 4 5"


def test_a_call_answered_by_its_own_packets_never_slept() -> None:
    assert tail(LISTENER, "r1 = socket(AF_INET, SOCK_STREAM, 0)\nconnect(r1, {AF_INET, 127.0.0.1, 8080}, 16)") == "4 0"


def test_of_several_woken_tasks_the_lowest_number_runs_first() -> None:
    program = """
        t2: poll([{r0, POLLIN}], 1, -1)
        t1: recv(r0, &buf[1], 1, 0)
        send(r1, "ab", 2, 0)
    """
    assert tail(PAIR, program) == "blocked blocked 2@5=1"


def test_completions_carry_the_time_they_happened() -> None:
    steps = run(f"{PAIR}t2: poll([], 0, 30)\nt1: poll([], 0, 20)\nadvance 1s".replace("[]", "pollfds[]"))
    events = [(event.step, event.at) for event in steps[-1].events if isinstance(event, Completion)]
    assert events == [(5, steps[5].ended + 20_000_000), (4, steps[4].ended + 30_000_000)]
    assert steps[-1].ended - steps[-1].started == 1_000_000_000


def test_closing_with_a_linger_time_sleeps_in_the_call_that_drops_the_last_reference() -> None:
    program = """
        r1 = socket(AF_INET, SOCK_STREAM, 0)
        t1: connect(r1, {AF_INET, 192.0.2.2, 7}, 16)
        < tcp 7 > port(r1) S. seq peer+0 ack iss+1
        setsockopt(r1, SOL_SOCKET, SO_LINGER, [1, 2], 8)
        send(r1, "x", 1, 0)
        close(r1)
        advance 3s
    """
    assert tail("", program) == "3 blocked done@1=0 0 1 blocked done@5=0"
