"""More than one segment at a time: full windows, losses, holes, small buffers.

Losses are what the peer pretends: it acknowledges less than it could, selectively or not (RFC 5681, RFC 2018, RFC 6675).
Where the stack's unacknowledged octets begin is known from what the application gave; `Flow.acked` counts them.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz.chooser import Weights
from fuzz.model import Draft, Endpoint, Flow
from fuzz.segments import flow_of
from stack_under_test.contract import abi
from stack_under_test.contract.frames import Rel, TcpOption
from stack_under_test.contract.values import Buffer, InOut, Ints, Octets, PollFds
from stack_under_test.wire.tcp import ACK, FIN, PSH, URG

Move = Callable[[Draft, Endpoint], None]
_NOP = TcpOption("nop")
_AMOUNTS = (3, 5, 2, 10, 20)


def fill(draft: Draft, endpoint: Endpoint) -> None:
    """The application gives several segments' worth at once, without waiting for room."""
    flow = flow_of(endpoint)
    size = min(draft.choose.choice(_AMOUNTS) * flow.mss + draft.choose.choice((0, 0, 1, 100)), 60_000)
    draft.call("send", endpoint.fd, Octets(draft.octets(endpoint.fd, size)), size, abi.MSG_DONTWAIT)
    flow.given += size


def wait_for_room(draft: Draft, endpoint: Endpoint) -> None:
    """A send larger than the buffer, in a task that can wait; acknowledgements let it go on."""
    flow, size = flow_of(endpoint), draft.choose.choice((100_000, 300_000))
    if endpoint.nonblock or draft.wait(endpoint, "send", endpoint.fd, Octets(b"W" * size), size, 0) is None:
        return fill(draft, endpoint)
    flow.given += size
    for _ in range(draft.choose.integer(1, 4)):
        draft.acknowledge(flow)
    return None


def partial(draft: Draft, endpoint: Endpoint) -> None:
    """Some of what is outstanding is acknowledged."""
    flow = flow_of(endpoint)
    outstanding = flow.given - flow.acked
    flow.acked += min(outstanding, draft.choose.choice((1, flow.mss, 2 * flow.mss, outstanding // 2)))
    draft.inject(flow.segment(ACK, ack=_una(flow)))


def lose(draft: Draft, endpoint: Endpoint) -> None:
    """Duplicate acknowledgements, with SACK if the profile says so, and what follows a loss."""
    flow, choose = flow_of(endpoint), draft.choose
    if flow.given - flow.acked < 2 * flow.mss:
        fill(draft, endpoint)
    selective = draft.profile.selective and choose.chance(60)
    for count in range(choose.integer(1, 4)):
        blocks = ((flow.acked + flow.mss, flow.acked + (2 + count) * flow.mss),)
        draft.inject(flow.segment(ACK, ack=_una(flow), options=_with_sack(flow, blocks if selective else ())))
    if choose.chance(60):
        flow.acked += flow.mss
        draft.inject(flow.segment(ACK, ack=_una(flow)))
    if choose.chance(70):
        flow.acked = flow.given
        draft.acknowledge(flow)


def _una(flow: Flow) -> Rel:
    return Rel("iss", 1 + flow.acked)


def _with_sack(flow: Flow, blocks: tuple[tuple[int, int], ...]) -> tuple[TcpOption, ...]:
    edges = [Rel("iss", 1 + edge) for block in blocks for edge in block]
    return (*flow.stamp(), _NOP, _NOP, TcpOption("sack", tuple(edges))) if edges else flow.stamp()


def flood(draft: Draft, endpoint: Endpoint) -> None:
    """Several full segments in a row, with or without somebody who reads."""
    flow, choose = flow_of(endpoint), draft.choose
    if flow.fin_sent:
        return
    size = choose.choice((1448, 1000, 536, 100))
    for _ in range(choose.integer(2, 7)):
        draft.deliver(endpoint, draft.peer_octets(flow, size), ACK | (PSH if choose.chance(30) else 0))
    if choose.chance(60) and not endpoint.closed:
        room = choose.choice((65536, 1000, 1))
        draft.call("recv", endpoint.fd, Buffer(room), room, abi.MSG_DONTWAIT)
        endpoint.unread = max(0, endpoint.unread - room)


def scattered(draft: Draft, endpoint: Endpoint) -> None:
    """Pieces out of order that touch, overlap or repeat; by chance everything that is missing comes last."""
    flow, choose = flow_of(endpoint), draft.choose
    if flow.fin_sent:
        return
    end = flow.sent
    for _ in range(choose.integer(2, 3)):
        at = flow.sent + choose.choice((5, 1, 10, 20, 30))
        size = choose.choice((5, 10, 1, 20))
        end = max(end, at + size)
        draft.inject(flow.segment(ACK | PSH, draft.peer_octets(flow, size, at), seq=Rel("peer", at)))
    if choose.chance(70):
        size = end - flow.sent
        draft.deliver(endpoint, draft.peer_octets(flow, size), ACK | PSH | (FIN if choose.chance(10) else 0))


def small_buffers(draft: Draft, endpoint: Endpoint) -> None:
    """Buffers so small that windows close and calls find no room."""
    name = draft.choose.choice((abi.SO_RCVBUF, abi.SO_SNDBUF))
    draft.call("setsockopt", endpoint.fd, abi.SOL_SOCKET, name, Ints((draft.choose.choice((0, 4096, 10_000)),)), 4)


def close_window(draft: Draft, endpoint: Endpoint) -> None:
    """No room at the peer while there is something to send; by chance room again."""
    flow, choose = flow_of(endpoint), draft.choose
    draft.acknowledge(flow, window=choose.choice((0, 0, 1, 10)))
    fill(draft, endpoint)
    if choose.chance(70):
        draft.acknowledge(flow, window=choose.choice((65535, 2, 1000)))


def urgent_and_read(draft: Draft, endpoint: Endpoint) -> None:
    """Urgent data comes and is asked for: by MSG_OOB, by the mark, in line (RFC 6093)."""
    flow, choose = flow_of(endpoint), draft.choose
    if flow.fin_sent or endpoint.closed:
        return
    if choose.chance(30):
        draft.call("setsockopt", endpoint.fd, abi.SOL_SOCKET, abi.SO_OOBINLINE, Ints((1,)), 4)
    octets = draft.peer_octets(flow, choose.choice((1, 3)))
    draft.inject(flow.segment(ACK | PSH | URG, octets, urgent=choose.choice((len(octets), 1, len(octets) + 1))))
    flow.sent += len(octets)
    endpoint.unread += len(octets)
    for _ in range(choose.integer(1, 3)):
        match choose.integer(0, 3):
            case 0:
                flags = abi.MSG_OOB | choose.choice((0, abi.MSG_PEEK, abi.MSG_TRUNC))
                draft.call("recv", endpoint.fd, Buffer(4), choose.choice((4, 1, 0)), flags)
            case 1:
                draft.call("ioctl", endpoint.fd, abi.SIOCATMARK, InOut((-1,)))
            case 2:
                draft.call("recv", endpoint.fd, Buffer(100), 100, abi.MSG_DONTWAIT)
            case _:
                draft.call("poll", PollFds(((endpoint.fd, abi.POLLPRI | abi.POLLIN),)), 1, 0)


BULK: Weights[Move] = Weights(
    (4, flood),
    (4, scattered),
    (4, fill),
    (3, partial),
    (3, lose),
    (2, close_window),
    (2, small_buffers),
    (2, urgent_and_read),
    (1, wait_for_room),
)
