"""Scripts of TCP connections: the peer opens, we open, both do, or nobody but us is there.

A connection is opened, then both sides make the moves that are drawn, then it ends in one of the ways of `ends.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from fuzz import bulk, calls, ends, options, segments
from fuzz.arguments import ANY, LOCALHOST
from fuzz.chooser import Weights
from fuzz.model import Draft, Endpoint, Flow, agree, syn, syn_options
from fuzz.openings import Script, bind, listener, settings, socket
from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, Rel, TcpSegment
from stack_under_test.contract.values import Inet, PortOf, Ref
from stack_under_test.contract.world import PEER_IP, STACK_IP
from stack_under_test.wire.tcp import ACK, FIN, PSH, RST, SYN

_SERVED = Weights((6, "handshake"), (1, "data with the handshake"), (1, "half open"), (1, "bad handshake"))


def passive(draft: Draft) -> Script:
    """The peer connects to a server of ours."""
    server = yield from listener(draft)
    if draft.choose.chance(6):
        yield from crowd(draft, server)
    for _ in range(draft.choose.weighted(_CONNECTIONS)):
        yield
        child = yield from incoming_connection(draft, server)
        if child is not None:
            yield from conversation(draft, child)
            yield from ends.end(draft, child)
    if draft.choose.chance(25):
        calls.close(draft, server)


_CONNECTIONS = Weights((14, 1), (2, 2))


def crowd(draft: Draft, server: Endpoint) -> Script:
    """More connections than the queue may hold, which nobody accepts for now."""
    draft.call("listen", server.fd, draft.choose.choice((0, 1)))
    for _ in range(draft.choose.integer(2, 4)):
        yield from arrival(draft, server)


def incoming_connection(draft: Draft, server: Endpoint) -> Generator[None, None, Endpoint | None]:
    """The peer connects and is accepted, perhaps by a call that has waited for it; None when it is not."""
    early = calls.accept(draft, server) if draft.choose.chance(12) else None
    flow = yield from arrival(draft, server)
    if flow is None:
        return None
    yield
    child = _accepted(draft, server, flow, early)
    if child is None and draft.choose.chance(50):
        draft.inject(flow.segment(ACK | PSH, draft.peer_octets(flow, 5)))
    return child


def arrival(draft: Draft, server: Endpoint) -> Generator[None, None, Flow | None]:
    """SYN and ACK of a new connection; returns its flow when the handshake should have succeeded."""
    choose = draft.choose
    assert server.port is not None
    flow = Flow(draft.peer_port(), server.port)
    offered = syn_options(choose)
    how = choose.weighted(_SERVED)
    flow.ecn = choose.chance(12)
    draft.inject(syn(flow, offered, window=choose.choice((65535, 65535, 1000, 0))))
    flow.sent = 1
    agree(flow, offered)
    yield
    if how == "half open":
        segments.LATE.at(choose.integer(0, segments.LATE.total - 1))(draft, Endpoint(server.fd, flow=flow))
        return None
    if how == "bad handshake":
        flags, offset = choose.choice(((ACK, 100), (ACK, -5), (RST, 1), (RST | ACK, 1), (ACK | FIN, 1), (SYN | ACK, 1)))
        draft.inject(flow.segment(flags, ack=Rel("iss", offset)))
        return None
    octets = draft.peer_octets(flow, 5) if how == "data with the handshake" else b""
    draft.inject(flow.segment(ACK | PSH if octets else ACK, octets, ack=Rel("iss", 1)))
    flow.sent += len(octets)
    flow.established = True
    return flow


def _accepted(draft: Draft, server: Endpoint, flow: Flow, early: Ref | None) -> Endpoint | None:
    """The endpoint of an accepted connection; None when it was left in the queue."""
    choose = draft.choose
    waited = draft.woken(server)
    if early is None or not waited:
        if choose.chance(8):
            return None
        server.ready.append(flow)
        early = calls.accept(draft, server)
        server.ready.clear()
    if early is None:
        return None
    step = draft.steps[early.step]
    nonblock = getattr(step, "sys", "") == "accept4" and bool(int(step.args[3]) & abi.SOCK_NONBLOCK)  # type: ignore[union-attr, arg-type]
    return draft.add(Endpoint(early, nonblock=nonblock, flow=flow, port=flow.stack_port, unread=flow.sent - 1))


def conversation(draft: Draft, endpoint: Endpoint) -> Script:
    """Moves of both sides, as many as the profile says."""
    choose = draft.choose
    for _ in range(choose.integer(*draft.profile.body)):
        yield
        choose.weighted(choose.weighted(_TURNS))(draft, endpoint)
        if endpoint.flow is not None and choose.chance(15):
            draft.acknowledge(endpoint.flow)


_TURNS: Weights[Weights[calls.Move]] = Weights((42, segments.ESTABLISHED), (50, calls.CONNECTED), (8, bulk.BULK))


def active(draft: Draft) -> Script:
    """A client of ours connects to the peer."""
    client = yield from outgoing(draft)
    if client.flow is not None:
        yield from conversation(draft, client)
        yield from ends.end(draft, client)


def outgoing(draft: Draft) -> Generator[None, None, Endpoint]:
    """A client and the peer's answer to it; it has a flow when it is connected."""
    choose = draft.choose
    client = socket(draft, abi.SOCK_STREAM)
    yield
    settings(draft, client)
    if choose.chance(30):
        bind(draft, client, STACK_IP)
    flow = Flow(draft.peer_port(), client.port or PortOf(client.fd))
    if not _connect(draft, client, flow):
        return client
    yield
    answer = choose.weighted(_ANSWERS)
    answer(draft, client, flow)
    draft.woken(client)
    if flow.established:
        client.flow = flow
        if client.nonblock and choose.chance(30):
            choose.choice((options.pending_error, calls.poll))(draft, client)
        return client
    yield
    choose.choice((options.pending_error, calls.poll, calls.names, calls.receive, calls.send))(draft, client)
    if choose.chance(40):
        calls.close(draft, client)
    return client


def _connect(draft: Draft, client: Endpoint, flow: Flow) -> bool:
    """connect, waiting in a spare task when the socket blocks; False when nobody is left to wait."""
    where = Inet(PEER_IP, flow.peer_port)
    if client.nonblock:
        draft.call("connect", client.fd, where, 16)
        return True
    return draft.wait(client, "connect", client.fd, where, 16) is not None


def _established(draft: Draft, client: Endpoint, flow: Flow) -> None:
    offered = syn_options(draft.choose)
    flow.ecn = draft.choose.chance(12)
    draft.inject(syn(flow, offered, ack=Rel("iss", 1)))
    flow.sent = 1
    agree(flow, offered)
    flow.established = True


def _refused(draft: Draft, client: Endpoint, flow: Flow) -> None:
    flags = draft.choose.choice((RST | ACK, RST))
    draft.inject(flow.segment(flags, ack=Rel("iss", draft.choose.choice((1, 0, 2)))))


def _misanswered(draft: Draft, client: Endpoint, flow: Flow) -> None:
    """SYN-SENT gets what it should not (RFC 9293, 3.10.7.3); by chance the right answer follows."""
    choose = draft.choose
    flags = choose.choice((SYN | ACK, ACK, FIN | ACK, SYN | FIN, SYN | ACK | RST, 0))
    draft.inject(flow.segment(flags, seq=Rel("peer", 0), ack=Rel("iss", choose.choice((0, 2, 100, 1)))))
    if choose.chance(60):
        _established(draft, client, flow)


def _unreachable(draft: Draft, client: Endpoint, flow: Flow) -> None:
    quoted = Frame(TcpSegment(flow.stack_port, flow.peer_port, SYN, Rel("iss", draft.choose.choice((0, 0, 5)))))
    draft.inject(segments.icmp_error(draft, quoted))


def _silence(draft: Draft, client: Endpoint, flow: Flow) -> None:
    """No answer: the call is interrupted, or simply waits."""
    if client.waiter is not None and draft.choose.chance(60):
        draft.signal(client.waiter, draft.choose.choice((abi.SIGUSR1, abi.SIGUSR2)))


Answer = Callable[[Draft, Endpoint, Flow], None]
_ANSWERS: Weights[Answer] = Weights((16, _established), (2, _refused), (2, _misanswered), (1, _unreachable), (1, _silence))


def simultaneous(draft: Draft) -> Script:
    """Both ends open at once (RFC 9293, 3.5)."""
    choose = draft.choose
    client = socket(draft, abi.SOCK_STREAM)
    bind(draft, client, STACK_IP)
    yield
    assert client.port is not None
    flow = Flow(draft.peer_port(), client.port)
    if not _connect(draft, client, flow):
        return
    yield
    offered = syn_options(choose)
    flow.ecn = choose.chance(12)
    draft.inject(syn(flow, offered))
    agree(flow, offered)
    yield
    if choose.chance(50):
        draft.inject(syn(flow, offered, ack=Rel("iss", 1)))
        flow.sent = 1
    else:
        flow.sent = 1
        draft.inject(flow.segment(ACK, ack=Rel("iss", 1)))
    flow.established = True
    client.flow = flow
    draft.woken(client)
    yield from conversation(draft, client)
    yield from ends.end(draft, client)


def loopback(draft: Draft) -> Script:
    """Two sockets of the stack under test talk to each other."""
    choose = draft.choose
    address = choose.choice((LOCALHOST, STACK_IP))
    server = yield from listener(draft, choose.choice((address, ANY)))
    yield
    client = socket(draft, abi.SOCK_STREAM)
    settings(draft, client)
    assert server.port is not None
    if choose.chance(5):
        yield from with_itself(draft, client)
        return
    draft.call("connect", client.fd, Inet(address, server.port), 16)
    server.ready.append(client)
    yield
    fd = calls.accept(draft, server)
    server.ready.clear()
    if fd is None:
        return
    child = draft.add(Endpoint(fd, mate=client))
    client.mate = child
    for _ in range(choose.integer(*draft.profile.body)):
        yield
        endpoint = choose.choice((client, child))
        if not endpoint.closed:
            choose.weighted(calls.CONNECTED)(draft, endpoint)
    yield from ends.end_loopback(draft, client, child)


def with_itself(draft: Draft, client: Endpoint) -> Script:
    """A socket that connects to its own address: both ends at once (RFC 9293, 3.5)."""
    bind(draft, client, STACK_IP)
    assert client.port is not None
    draft.call("connect", client.fd, Inet(STACK_IP, client.port), 16)
    client.mate = client
    for _ in range(draft.choose.integer(1, 4)):
        yield
        draft.choose.weighted(calls.CONNECTED)(draft, client)
