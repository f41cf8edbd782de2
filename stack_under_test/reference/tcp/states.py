"""The connection's states and the one door between them.

`MOVES` is the table of legal transitions (RFC 9293 figure 5, with Linux's own: any state may be closed by a reset, and
SYN_RECV exists for crossed SYNs and for the moment between a request and its child).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..sock import State

if TYPE_CHECKING:
    from .sock import TcpSock

MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.CLOSE: frozenset({State.SYN_SENT, State.LISTEN}),
        State.LISTEN: frozenset({State.CLOSE}),
        State.SYN_SENT: frozenset({State.SYN_RECV, State.ESTABLISHED, State.CLOSE}),
        State.SYN_RECV: frozenset({State.ESTABLISHED, State.FIN_WAIT1, State.CLOSE_WAIT, State.CLOSE}),
        State.ESTABLISHED: frozenset({State.FIN_WAIT1, State.CLOSE_WAIT, State.CLOSE}),
        State.FIN_WAIT1: frozenset({State.FIN_WAIT2, State.CLOSING, State.TIME_WAIT, State.CLOSE}),
        State.FIN_WAIT2: frozenset({State.TIME_WAIT, State.CLOSE}),
        State.CLOSING: frozenset({State.TIME_WAIT, State.CLOSE}),
        State.TIME_WAIT: frozenset({State.CLOSE}),
        State.CLOSE_WAIT: frozenset({State.LAST_ACK, State.CLOSE}),
        State.LAST_ACK: frozenset({State.CLOSE}),
    }
)

CLOSING_BY_US: Mapping[State, tuple[State, bool]] = MappingProxyType(
    {
        State.ESTABLISHED: (State.FIN_WAIT1, True),
        State.SYN_SENT: (State.CLOSE, False),
        State.SYN_RECV: (State.FIN_WAIT1, True),
        State.CLOSE_WAIT: (State.LAST_ACK, True),
        State.LISTEN: (State.CLOSE, False),
    }
)
"""`new_state`: where closing our side leads, and whether a FIN goes out. States not listed stay."""


def enter(sk: TcpSock, state: State) -> None:
    """`tcp_set_state`: the only place that changes a TCP socket's state. Closing takes it out of the tables."""
    if state is sk.state:
        return
    assert state in MOVES[sk.state], f"{sk.state.name} -> {state.name}"
    sk.state = state
    if state is State.CLOSE:
        sk.proto.unhash(sk)
        if not sk.userlocks & 8:
            sk.proto.put_port(sk)
