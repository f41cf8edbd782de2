"""Openings, bodies and ends: the scripts a program is woven from.

A script is a generator that adds steps to the draft and yields wherever another script, noise or a pause may come in
between.  Each is an ordinary story (a server accepts, a client connects, two datagram sockets talk); what makes it a
test are the moves drawn in its body and the things bent on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from types import MappingProxyType

from fuzz import calls, ends, options, packets, segments
from fuzz.arguments import ADDRESSES, ANY, BROADCAST, FAMILIES, LOCALHOST, PROTOCOLS, TYPES, UNUSED
from fuzz.chooser import Weights
from fuzz.model import Draft, Endpoint, Flow, syn, syn_options
from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, IcmpMessage, Rel, TcpSegment, UdpDatagram
from stack_under_test.contract.values import Buffer, Inet, InOut, Ints, Octets, PortOf, Ref
from stack_under_test.contract.world import PEER_IP, STACK_IP
from stack_under_test.wire.tcp import ACK, FIN, PSH, RST, SYN

Script = Iterator[None]
Scenario = Callable[[Draft], Script]


def socket(draft: Draft, kind: int, family: int = abi.AF_INET, protocol: int = 0) -> Endpoint:
    """A new socket, by chance with O_NONBLOCK or O_CLOEXEC."""
    flags = draft.choose.weighted(_SOCKET_FLAGS)
    fd = draft.call("socket", family, kind | flags, protocol)
    return draft.add(Endpoint(fd, kind, family, bool(flags & abi.SOCK_NONBLOCK)))


_SOCKET_FLAGS = Weights((12, 0), (5, abi.SOCK_NONBLOCK), (1, abi.SOCK_CLOEXEC))
_LOCAL = Weights((8, STACK_IP), (4, ANY))
_SERVED = Weights((6, "handshake"), (1, "data with the handshake"), (1, "half open"), (1, "bad handshake"))


def bind(draft: Draft, endpoint: Endpoint, address: bytes | None = None, port: int | None = None) -> None:
    """Bind to a port of its own; by chance first to one that another socket has."""
    taken = [other.port for other in draft.endpoints if other.port and other is not endpoint]
    if taken and draft.choose.chance(20):
        draft.call("bind", endpoint.fd, Inet(draft.choose.weighted(_LOCAL), draft.choose.choice(taken)), 16)
    port = draft.port() if port is None else port
    draft.call("bind", endpoint.fd, Inet(address or draft.choose.weighted(_LOCAL), port), 16)
    endpoint.port = port or PortOf(endpoint.fd)


def _settings(draft: Draft, endpoint: Endpoint) -> None:
    if draft.choose.chance(18):
        options.set_option(draft, endpoint)


def listener(draft: Draft, address: bytes | None = None) -> Generator[None, None, Endpoint]:
    """A listening socket."""
    server = socket(draft, abi.SOCK_STREAM)
    yield
    if draft.choose.chance(20):
        draft.call("setsockopt", server.fd, abi.SOL_SOCKET, abi.SO_REUSEADDR, Ints((1,)), 4)
    _settings(draft, server)
    bind(draft, server, address)
    yield
    draft.call("listen", server.fd, draft.choose.weighted(_BACKLOGS))
    server.listening = True
    return server


_BACKLOGS = Weights((5, 5), (3, 1), (1, 0), (2, 128), (1, -1))


def passive(draft: Draft) -> Script:
    """The peer connects to a server of ours."""
    server = yield from listener(draft)
    for _ in range(draft.choose.weighted(_CONNECTIONS)):
        yield
        child = yield from incoming_connection(draft, server)
        if child is not None:
            yield from conversation(draft, child)
            yield from ends.end(draft, child)
    if draft.choose.chance(25):
        calls.close(draft, server)


_CONNECTIONS = Weights((14, 1), (2, 2))


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
    offered, stamped = syn_options(choose)
    how = choose.weighted(_SERVED)
    draft.inject(syn(flow, offered, window=choose.choice((65535, 65535, 1000, 0))))
    flow.sent = 1
    flow.clock = 1000 if stamped else None
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
        if choose.chance(45):
            choose.weighted(segments.ESTABLISHED)(draft, endpoint)
        else:
            choose.weighted(calls.CONNECTED)(draft, endpoint)
        if endpoint.flow is not None and choose.chance(15):
            draft.acknowledge(endpoint.flow)


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
    _settings(draft, client)
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
    offered, stamped = syn_options(draft.choose)
    draft.inject(syn(flow, offered, ack=Rel("iss", 1)))
    flow.sent = 1
    flow.clock = 1000 if stamped else None
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


_ANSWERS = Weights((16, _established), (2, _refused), (2, _misanswered), (1, _unreachable), (1, _silence))


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
    offered, stamped = syn_options(choose)
    draft.inject(syn(flow, offered))
    flow.clock = 1000 if stamped else None
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
    _settings(draft, client)
    assert server.port is not None
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


def udp(draft: Draft) -> Script:
    """A datagram socket, bound or connected, and a peer."""
    choose = draft.choose
    endpoint = socket(draft, abi.SOCK_DGRAM)
    yield
    _settings(draft, endpoint)
    if choose.chance(75):
        bind(draft, endpoint, choose.choice((STACK_IP, ANY, ANY, BROADCAST)), choose.choice((draft.port(), 0)))
        yield
    source = 40001
    if choose.chance(45):
        draft.call("connect", endpoint.fd, Inet(PEER_IP, source), 16)
        endpoint.port = endpoint.port or PortOf(endpoint.fd)
        yield
    for _ in range(choose.integer(1, max(1, draft.profile.body[1]))):
        choose.weighted(_DATAGRAM)(draft, endpoint)
        yield
    if choose.chance(40):
        calls.close(draft, endpoint)


def _incoming(draft: Draft, endpoint: Endpoint) -> None:
    if endpoint.port is None:
        return packets.stray_datagram(draft)
    return packets.datagram(draft, endpoint, 40001 if draft.choose.chance(85) else 40002)


def _sendto(draft: Draft, endpoint: Endpoint) -> None:
    choose = draft.choose
    size = choose.choice((5, 1, 0, 100, 1472, 1473, 3000, 65507, 65508))
    octets = Octets(draft.octets(endpoint.fd, size))
    where = Inet(choose.choice((PEER_IP, PEER_IP, PEER_IP, UNUSED, BROADCAST, LOCALHOST)), choose.choice((40001, 9, 0)))
    draft.call("sendto", endpoint.fd, octets, size, choose.weighted(calls.SEND_FLAGS), where, 16)
    endpoint.port = endpoint.port or PortOf(endpoint.fd)


def _answered_by_error(draft: Draft, endpoint: Endpoint) -> None:
    """An ICMP error about a datagram this socket sent."""
    if endpoint.port is not None:
        draft.inject(segments.icmp_error(draft, Frame(UdpDatagram(endpoint.port, 40001, b"ABCDE"))))
    if draft.choose.chance(40):
        options.pending_error(draft, endpoint)


def _read_errors(draft: Draft, endpoint: Endpoint) -> None:
    draft.call("setsockopt", endpoint.fd, abi.SOL_IP, abi.IP_RECVERR, Ints((1,)), 4)


_DATAGRAM: Weights[calls.Move] = Weights(
    (12, _incoming),
    (10, calls.receive),
    (8, _sendto),
    (5, calls.send),
    (4, _answered_by_error),
    (1, _read_errors),
    (6, lambda draft, endpoint: draft.choose.weighted(calls.UNCONNECTED)(draft, endpoint)),
)


def udp_loopback(draft: Draft) -> Script:
    """Two datagram sockets of the stack under test."""
    choose = draft.choose
    left, right = socket(draft, abi.SOCK_DGRAM), socket(draft, abi.SOCK_DGRAM)
    for endpoint in (left, right):
        bind(draft, endpoint, choose.choice((STACK_IP, LOCALHOST, ANY)))
        yield
    address = choose.choice((LOCALHOST, STACK_IP))
    if choose.chance(60):
        assert right.port is not None
        draft.call("connect", left.fd, Inet(address, right.port), 16)
        left.mate = right
    for _ in range(choose.integer(1, max(1, draft.profile.body[1]))):
        yield
        choose.weighted(_PAIR)(draft, left, right)
        left, right = (right, left) if choose.chance(20) else (left, right)


def _to_other(draft: Draft, left: Endpoint, right: Endpoint) -> None:
    size = draft.choose.choice((5, 1, 0, 100, 65507))
    address = draft.choose.choice((LOCALHOST, STACK_IP))
    assert right.port is not None
    draft.call("sendto", left.fd, Octets(draft.octets(left.fd, size)), size, 0, Inet(address, right.port), 16)
    right.unread += 1
    draft.woken(right)


_PAIR: Weights[Callable[[Draft, Endpoint, Endpoint], None]] = Weights(
    (5, _to_other),
    (4, lambda draft, _, right: calls.receive(draft, right)),
    (2, lambda draft, left, _: calls.send(draft, left)),
    (1, lambda draft, left, _: calls.close(draft, left)),
    (2, lambda draft, left, _: draft.choose.weighted(calls.UNCONNECTED)(draft, left)),
)


def plain_calls(draft: Draft) -> Script:
    """Calls on sockets in states where most of them fail: which errno wins is the question."""
    choose = draft.choose
    for _ in range(choose.integer(1, 4)):
        if choose.chance(20):
            draft.call("socket", choose.choice(FAMILIES[:7]), choose.choice(TYPES[:5]), choose.choice(PROTOCOLS))
        endpoint = socket(draft, choose.weighted(_KINDS))
        yield
        if choose.chance(60):
            draft.call("bind", endpoint.fd, choose.choice(ADDRESSES[:12]), choose.choice((16, 16, 16, 16, 15, 128)))
            if choose.chance(40) and endpoint.kind == abi.SOCK_STREAM:
                draft.call("listen", endpoint.fd, 1)
                endpoint.listening = True
    for _ in range(choose.integer(2, 4 + draft.profile.body[1])):
        yield
        choose.weighted(calls.UNCONNECTED)(draft, choose.choice(draft.endpoints))


_KINDS = Weights((3, abi.SOCK_STREAM), (2, abi.SOCK_DGRAM))


def incoming(draft: Draft) -> Script:
    """Packets nobody asked for."""
    if draft.choose.chance(40):
        bind(draft, socket(draft, abi.SOCK_DGRAM))
        yield
    if draft.choose.chance(30):
        yield from listener(draft)
    for _ in range(draft.choose.integer(2, 4 + draft.profile.body[1])):
        draft.choose.weighted(packets.INPUT)(draft)
        yield
    if draft.endpoints and draft.choose.chance(60):
        calls.receive(draft, draft.endpoints[0])


def foreign(draft: Draft) -> Script:
    """Families and types that not every target models."""
    choose = draft.choose
    family, kind, protocol = choose.choice(_FOREIGN)
    endpoint = socket(draft, kind, family, protocol)
    for _ in range(choose.integer(1, 5)):
        yield
        choose.weighted(calls.UNCONNECTED)(draft, endpoint)
    if choose.chance(30):
        draft.inject(Frame(IcmpMessage(8, 0, b"\0\1\0\1", b"raw")))
        draft.call("recv", endpoint.fd, Buffer(200), 200, abi.MSG_DONTWAIT)
    if choose.chance(20):
        draft.call("socketpair", abi.AF_UNIX, abi.SOCK_STREAM, 0, InOut((-1, -1)))


_FOREIGN = (
    (abi.AF_INET6, abi.SOCK_STREAM, 0),
    (abi.AF_INET6, abi.SOCK_DGRAM, 0),
    (abi.AF_UNIX, abi.SOCK_STREAM, 0),
    (abi.AF_UNIX, abi.SOCK_DGRAM, 0),
    (abi.AF_UNIX, abi.SOCK_SEQPACKET, 0),
    (abi.AF_INET, abi.SOCK_RAW, 1),
    (abi.AF_INET, abi.SOCK_RAW, 255),
    (abi.AF_INET, abi.SOCK_DGRAM, 1),
    (abi.AF_INET, abi.SOCK_STREAM, abi.IPPROTO_MPTCP),
    (abi.AF_NETLINK, abi.SOCK_RAW, 0),
    (abi.AF_PACKET, abi.SOCK_DGRAM, 0),
)

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "calls": plain_calls,
        "udp": udp,
        "passive": passive,
        "active": active,
        "loopback": loopback,
        "simultaneous": simultaneous,
        "udp_loopback": udp_loopback,
        "input": incoming,
        "foreign": foreign,
    }
)
"""Name in a profile -> script."""
