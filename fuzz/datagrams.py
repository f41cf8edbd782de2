"""Scripts of datagram sockets: one that talks to the peer, two that talk to each other."""

from __future__ import annotations

from collections.abc import Callable

from fuzz import ancillary, calls, options, packets, segments
from fuzz.arguments import ANY, BROADCAST, GROUP, LOCALHOST, UNUSED
from fuzz.chooser import Weights
from fuzz.model import Draft, Endpoint
from fuzz.openings import Script, bind, settings, socket
from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, UdpDatagram
from stack_under_test.contract.values import Inet, Ints, Octets, PortOf
from stack_under_test.contract.world import PEER_IP, STACK_IP

_SIZES = (5, 1, 0, 100, 1472, 1473, 3000, 65507, 65508)
_PLACES = (PEER_IP, PEER_IP, PEER_IP, UNUSED, BROADCAST, LOCALHOST, GROUP)


def udp(draft: Draft) -> Script:
    """A datagram socket, bound or connected, and a peer."""
    choose = draft.choose
    endpoint = socket(draft, abi.SOCK_DGRAM)
    yield
    settings(draft, endpoint)
    if choose.chance(75):
        bind(draft, endpoint, choose.choice((STACK_IP, ANY, ANY, BROADCAST)), choose.choice((draft.port(), 0)))
        yield
    if choose.chance(45):
        draft.call("connect", endpoint.fd, Inet(PEER_IP, 40001), 16)
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
    size = choose.choice(_SIZES)
    octets = Octets(draft.octets(endpoint.fd, size))
    where = Inet(choose.choice(_PLACES), choose.choice((40001, 9, 0)))
    draft.call("sendto", endpoint.fd, octets, size, choose.weighted(calls.SEND_FLAGS), where, 16)
    endpoint.port = endpoint.port or PortOf(endpoint.fd)


def _answered_by_error(draft: Draft, endpoint: Endpoint) -> None:
    """An ICMP error about a datagram this socket sent, and by chance somebody who asks for it."""
    choose = draft.choose
    if choose.chance(30):
        draft.call("setsockopt", endpoint.fd, abi.SOL_IP, abi.IP_RECVERR, Ints((1,)), 4)
    if endpoint.port is not None:
        draft.inject(segments.icmp_error(draft, Frame(UdpDatagram(endpoint.port, 40001, b"ABCDE"))))
    if choose.chance(70):
        choose.choice((options.pending_error, ancillary.read_error_queue, calls.poll, calls.receive))(draft, endpoint)


def _corked(draft: Draft, endpoint: Endpoint) -> None:
    """Several sends, one datagram."""
    choose = draft.choose
    by_option = choose.chance(50)
    if by_option:
        draft.call("setsockopt", endpoint.fd, abi.SOL_UDP, abi.UDP_CORK, Ints((1,)), 4)
    for _ in range(choose.integer(1, 3)):
        size = choose.choice((5, 100, 1400))
        octets = Octets(draft.octets(endpoint.fd, size))
        draft.call("send", endpoint.fd, octets, size, 0 if by_option else abi.MSG_MORE)
    if by_option:
        draft.call("setsockopt", endpoint.fd, abi.SOL_UDP, abi.UDP_CORK, Ints((0,)), 4)
    else:
        draft.call("send", endpoint.fd, Octets(b"."), 1, 0)


def _segmented(draft: Draft, endpoint: Endpoint) -> None:
    """UDP_SEGMENT: one send, several datagrams."""
    size = draft.choose.choice((100, 1472, 1, 1473))
    draft.call("setsockopt", endpoint.fd, abi.SOL_UDP, abi.UDP_SEGMENT, Ints((size,)), 4)
    length = size * draft.choose.choice((2, 3, 65)) + draft.choose.choice((0, 1))
    octets = Octets(draft.octets(endpoint.fd, length))
    draft.call("sendto", endpoint.fd, octets, length, 0, Inet(PEER_IP, 40001), 16)


def _other(draft: Draft, endpoint: Endpoint) -> None:
    draft.choose.weighted(calls.UNCONNECTED)(draft, endpoint)


_DATAGRAM: Weights[calls.Move] = Weights(
    (12, _incoming),
    (10, calls.receive),
    (8, _sendto),
    (5, calls.send),
    (4, _answered_by_error),
    (3, ancillary.receive_adorned),
    (3, ancillary.send_with),
    (1, _corked),
    (1, _segmented),
    (6, _other),
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
    (1, lambda draft, left, _: ancillary.send_with(draft, left)),
    (1, lambda draft, _, right: ancillary.receive_adorned(draft, right)),
    (2, lambda draft, left, _: _other(draft, left)),
)
