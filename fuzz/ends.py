"""How connections end: in order from either side or both, aborted, or not at all (RFC 9293, 3.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fuzz import calls, segments
from fuzz.chooser import Weights
from fuzz.model import Draft, Endpoint
from stack_under_test.contract import abi
from stack_under_test.contract.frames import Rel
from stack_under_test.contract.values import Buffer, Octets, PortOf
from stack_under_test.wire.tcp import ACK, FIN, RST

Script = Iterator[None]


def _drain(draft: Draft, endpoint: Endpoint) -> None:
    """Read what is there, since closing with unread octets resets the connection (RFC 2525, 2.17)."""
    if endpoint.unread and not endpoint.closed:
        draft.call("recv", endpoint.fd, Buffer(65536), 65536, abi.MSG_DONTWAIT)
        endpoint.unread = 0


def _finish(draft: Draft, endpoint: Endpoint) -> None:
    """The stack's side sends its FIN; a port that only the descriptor tells must stay known."""
    if endpoint.closed or endpoint.shut:
        return
    named = endpoint.flow is not None and isinstance(endpoint.flow.stack_port, PortOf)
    if draft.choose.chance(80 if named else 40):
        draft.call("shutdown", endpoint.fd, abi.SHUT_WR)
        endpoint.shut = True
    else:
        calls.close(draft, endpoint)


def _peer_fin(draft: Draft, endpoint: Endpoint) -> None:
    flow = segments.flow_of(endpoint)
    if not flow.fin_sent:
        draft.deliver(endpoint, b"", ACK | FIN)


def ours_first(draft: Draft, endpoint: Endpoint) -> Script:
    """FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT."""
    flow = segments.flow_of(endpoint)
    _drain(draft, endpoint)
    _finish(draft, endpoint)
    yield
    if draft.choose.chance(60):
        draft.acknowledge(flow)
        yield
        if draft.choose.chance(20) and not flow.fin_sent:
            draft.deliver(endpoint, draft.peer_octets(flow, 5))
            _drain(draft, endpoint)
    _peer_fin(draft, endpoint)


def theirs_first(draft: Draft, endpoint: Endpoint) -> Script:
    """CLOSE-WAIT, LAST-ACK."""
    flow = segments.flow_of(endpoint)
    _peer_fin(draft, endpoint)
    yield
    _drain(draft, endpoint)
    if draft.choose.chance(40) and not endpoint.closed:
        draft.call("recv", endpoint.fd, Buffer(10), 10, abi.MSG_DONTWAIT)
    if draft.choose.chance(25) and not endpoint.closed and not endpoint.shut:
        draft.call("send", endpoint.fd, Octets(draft.octets(endpoint.fd, 5)), 5, 0)
        draft.acknowledge(flow)
        yield
    _finish(draft, endpoint)
    yield
    draft.acknowledge(flow)


def at_once(draft: Draft, endpoint: Endpoint) -> Script:
    """CLOSING: the two FINs cross."""
    flow = segments.flow_of(endpoint)
    _drain(draft, endpoint)
    _finish(draft, endpoint)
    yield
    if not flow.fin_sent:
        draft.inject(flow.segment(ACK | FIN, ack=Rel("nxt", -1)))
        flow.sent += 1
        flow.fin_sent = True
    yield
    draft.acknowledge(flow)


def abort(draft: Draft, endpoint: Endpoint) -> Script:
    """RST, ours (linger 0, unread octets) or theirs."""
    flow = segments.flow_of(endpoint)
    match draft.choose.integer(0, 3):
        case 0:
            draft.inject(flow.segment(draft.choose.choice((RST, RST | ACK))))
            calls.receive(draft, endpoint)
            yield
            calls.send(draft, endpoint)
        case 1:
            draft.call("setsockopt", endpoint.fd, abi.SOL_SOCKET, abi.SO_LINGER, Octets(b"\1\0\0\0\0\0\0\0"), 8)
            calls.close(draft, endpoint)
        case 2:
            if not flow.fin_sent:
                draft.deliver(endpoint, draft.peer_octets(flow, 5))
            calls.close(draft, endpoint)
        case _:
            _peer_fin(draft, endpoint)
            draft.inject(flow.segment(RST))
            yield
            calls.send(draft, endpoint)
    yield


def left_open(draft: Draft, endpoint: Endpoint) -> Script:
    return iter(())


ENDS: Weights[Callable[[Draft, Endpoint], Script]] = Weights(
    (1, left_open),
    (4, ours_first),
    (5, theirs_first),
    (2, at_once),
    (2, abort),
)


def end(draft: Draft, endpoint: Endpoint) -> Script:
    """One of the ends, and by chance something that comes too late."""
    yield
    yield from draft.choose.weighted(ENDS)(draft, endpoint)
    if draft.choose.chance(15):
        yield
        draft.choose.weighted(segments.LATE)(draft, endpoint)
    if not endpoint.closed and draft.choose.chance(40):
        calls.close(draft, endpoint)


def end_loopback(draft: Draft, client: Endpoint, child: Endpoint) -> Script:
    """Both ends are ours: one shuts or closes, the other sees it."""
    first, second = (client, child) if draft.choose.chance(50) else (child, client)
    if draft.choose.chance(80):
        yield
        _drain(draft, first)
        _finish(draft, first)
        second.eof = True
        yield
        if not second.closed:
            calls.receive(draft, second)
        if draft.choose.chance(70):
            _drain(draft, second)
            _finish(draft, second)
