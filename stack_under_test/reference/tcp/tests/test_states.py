"""The table of legal transitions and its one door (RFC 9293 3.3.2, figure 5; `tcp_set_state`)."""

from __future__ import annotations

import pytest

from stack_under_test.reference.sock import State
from stack_under_test.reference.tcp.states import CLOSING_BY_US, MOVES, enter
from stack_under_test.reference.tcp.steps import STEPS
from stack_under_test.reference.tcp.tests.sockets import fresh

STATES = tuple(state for state in State if state is not State.NEW_SYN_RECV)


def test_there_are_eleven_states() -> None:
    assert set(MOVES) == set(STATES)
    assert len(STATES) == 11


def test_every_state_is_reachable_from_closed() -> None:
    reached, frontier = {State.CLOSE}, [State.CLOSE]
    while frontier:
        for state in MOVES[frontier.pop()] - reached:
            reached.add(state)
            frontier.append(state)
    assert reached == set(STATES)


def test_every_state_may_be_closed() -> None:
    assert all(State.CLOSE in MOVES[state] for state in STATES if state is not State.CLOSE)


@pytest.mark.parametrize("old", STATES)
def test_the_door_opens_for_what_the_table_allows_and_for_nothing_else(old: State) -> None:
    for new in STATES:
        sk = fresh(old)
        if new in MOVES[old] or new is old:
            enter(sk, new)
            assert sk.state is new
        else:
            with pytest.raises(AssertionError, match=f"{old.name} -> {new.name}"):
                enter(sk, new)
            assert sk.state is old


def test_closing_by_us_moves_as_the_table_allows() -> None:
    """`new_state`: a FIN goes out exactly where the connection has been synchronized."""
    for old, (new, needs_fin) in CLOSING_BY_US.items():
        assert new in MOVES[old]
        assert needs_fin == (new is not State.CLOSE)


def test_every_state_that_owns_a_socket_has_its_steps() -> None:
    """LISTEN answers by making requests, TIME-WAIT is a value of its own; the others take segments step by step."""
    assert set(STEPS) == set(STATES) - {State.LISTEN, State.TIME_WAIT}
