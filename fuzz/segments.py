"""What the peer may send on a TCP connection: in order, out of order, old, wrong, hostile.

Every move takes the draft and the stack's endpoint, whose flow exists.  RFC 9293 3.10.7 (segment arrives), RFC 5961
(blind attacks), RFC 7323 (timestamps), RFC 2018 (SACK) give the situations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fuzz.arguments import ANY, BROADCAST, ELSEWHERE, GROUP, HEADER_OPTIONS, LOCALHOST
from fuzz.chooser import Weights
from fuzz.model import NXT, Draft, Endpoint, Flow
from stack_under_test.contract.frames import Frame, IcmpMessage, Rel, TcpOption, TcpSegment
from stack_under_test.contract.world import STACK_IP
from stack_under_test.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG

Move = Callable[[Draft, Endpoint], None]
SIZES = Weights((8, 5), (4, 1), (4, 12), (3, 100), (2, 536), (2, 1448), (1, 1460), (1, 4000))
WINDOWS = (0, 1, 10, 500, 1460, 3000, 65535)
AROUND = (0, 1, -1, 2, -2, 5, 1000, -1000, 65535, 70000, -70000, 1 << 30, 1 << 31)
UNREACHABLE = (0, 1, 2, 3, 4, 5, 9, 13, 15)


def flow_of(endpoint: Endpoint) -> Flow:
    assert endpoint.flow is not None
    return endpoint.flow


def data(draft: Draft, endpoint: Endpoint) -> None:
    """The next octets in order."""
    if flow_of(endpoint).fin_sent:
        return acknowledge(draft, endpoint)
    choose = draft.choose
    size = choose.weighted(SIZES)
    flags = ACK if choose.chance(20) else ACK | PSH
    return draft.deliver(endpoint, draft.peer_octets(flow_of(endpoint), size), flags)


def fin(draft: Draft, endpoint: Endpoint) -> None:
    """The peer closes, perhaps with its last octets."""
    flow = flow_of(endpoint)
    size = draft.choose.choice((0, 0, 0, 5))
    draft.deliver(endpoint, draft.peer_octets(flow, size) if size and not flow.fin_sent else b"", ACK | FIN)


def acknowledge(draft: Draft, endpoint: Endpoint) -> None:
    draft.acknowledge(flow_of(endpoint))


def window_update(draft: Draft, endpoint: Endpoint) -> None:
    flow = flow_of(endpoint)
    flow.window = draft.choose.choice(WINDOWS)
    draft.acknowledge(flow)


def gap(draft: Draft, endpoint: Endpoint) -> None:
    """Octets beyond a hole, sometimes the hole filled at once."""
    flow, choose = flow_of(endpoint), draft.choose
    hole, size = choose.choice((1, 5, 100)), choose.choice((5, 1, 100))
    last = FIN if choose.chance(15) else 0
    at = flow.sent + hole
    draft.inject(flow.segment(ACK | PSH | last, draft.peer_octets(flow, size, at), seq=Rel("peer", at)))
    if choose.chance(70) and not flow.fin_sent:
        if choose.chance(30):
            later = at + size + 2
            draft.inject(flow.segment(ACK | PSH, draft.peer_octets(flow, 3, later), seq=Rel("peer", later)))
        draft.deliver(endpoint, draft.peer_octets(flow, hole))
        flow.sent += size
        endpoint.unread += size
        if last:
            flow.sent += 1
            flow.fin_sent = endpoint.eof = True


def overlap(draft: Draft, endpoint: Endpoint) -> None:
    """Old octets and new ones in one segment."""
    flow, choose = flow_of(endpoint), draft.choose
    back = min(choose.choice((1, 5, 50)), flow.sent)
    size = back + choose.choice((0, 1, 7))
    at = flow.sent - back
    octets = bytes(size) if choose.chance(20) else draft.peer_octets(flow, size, at)
    draft.inject(flow.segment(ACK | PSH, octets, seq=Rel("peer", at)))
    if not flow.fin_sent:
        flow.sent += size - back
        endpoint.unread += size - back


def old(draft: Draft, endpoint: Endpoint) -> None:
    """A duplicate of what was taken long ago."""
    flow, choose = flow_of(endpoint), draft.choose
    at = choose.choice((1, flow.sent - 1, flow.sent - 10, -5, 0))
    draft.inject(flow.segment(ACK | PSH, draft.peer_octets(flow, choose.choice((1, 5, 0)), at), seq=Rel("peer", at)))


def keepalive(draft: Draft, endpoint: Endpoint) -> None:
    flow = flow_of(endpoint)
    draft.inject(flow.segment(ACK, draft.choose.choice((b"", b"\0")), seq=Rel("peer", flow.sent - 1)))


def odd_ack(draft: Draft, endpoint: Endpoint) -> None:
    """An acknowledgement too old, partial, or of what was never sent."""
    flow, choose = flow_of(endpoint), draft.choose
    ack = Rel(choose.choice(("nxt", "iss")), choose.choice(AROUND))
    payload = draft.peer_octets(flow, 4) if choose.chance(30) else b""
    draft.inject(flow.segment(ACK, payload, ack=ack))


def duplicate_acks(draft: Draft, endpoint: Endpoint) -> None:
    flow, choose = flow_of(endpoint), draft.choose
    back = choose.choice((1, 5, 1448))
    block = draft.profile.selective and choose.chance(50)
    for _ in range(choose.integer(1, 4)):
        options = flow.stamp()
        if block:
            options += (TcpOption("nop"), TcpOption("nop"), TcpOption("sack", (Rel("nxt", -1), NXT)))
        draft.inject(flow.segment(ACK, ack=Rel("nxt", -back), options=options))


def sack(draft: Draft, endpoint: Endpoint) -> None:
    """SACK blocks: sensible, reversed, duplicate, beyond what was sent."""
    if not draft.profile.selective:
        return duplicate_acks(draft, endpoint)
    flow, choose = flow_of(endpoint), draft.choose
    left = choose.choice((Rel("nxt", -5), Rel("nxt", 0), Rel("iss", 1), Rel("nxt", 100)))
    right = choose.choice((Rel("nxt", 0), Rel("nxt", -2), Rel("iss", 3), Rel("nxt", 200)))
    blocks = (left, right) * choose.choice((1, 1, 2, 4))
    options = (TcpOption("sack", blocks),)
    return draft.inject(flow.segment(ACK, ack=Rel("nxt", choose.choice((0, -5, -10))), options=options))


def reset(draft: Draft, endpoint: Endpoint) -> None:
    """RST: exact, within the window, outside it, with and without an acknowledgement (RFC 5961, 3.2)."""
    flow, choose = flow_of(endpoint), draft.choose
    offset = choose.choice(AROUND)
    draft.inject(flow.segment(choose.choice((RST, RST | ACK)), seq=Rel("peer", flow.sent + offset), options=()))
    if offset == 0:
        draft.woken(endpoint)
        endpoint.eof = True


def syn_again(draft: Draft, endpoint: Endpoint) -> None:
    """SYN on a synchronized connection (RFC 5961, 4.2), old, exact or new."""
    flow, choose = flow_of(endpoint), draft.choose
    seq = Rel("peer", choose.choice((0, flow.sent, flow.sent + 1, flow.sent + 1000, flow.sent + 100_000)))
    draft.inject(flow.segment(choose.choice((SYN, SYN | ACK, SYN | FIN, SYN | RST)), seq=seq))


def odd_flags(draft: Draft, endpoint: Endpoint) -> None:
    flow, choose = flow_of(endpoint), draft.choose
    flags = choose.choice((0, PSH, FIN, ACK | ECE | CWR, ACK | URG, 0xFF, 0x29, FIN | RST | ACK, ACK | PSH | ECE))
    payload = draft.peer_octets(flow, 4) if choose.chance(50) else b""
    draft.inject(flow.segment(flags, payload))
    if flags & ACK and not flags & (SYN | RST | FIN) and not flow.fin_sent:
        flow.sent += len(payload)
        endpoint.unread += len(payload)


def urgent(draft: Draft, endpoint: Endpoint) -> None:
    flow, choose = flow_of(endpoint), draft.choose
    payload = draft.peer_octets(flow, choose.choice((1, 5)))
    draft.inject(flow.segment(ACK | PSH | URG, payload, urgent=choose.choice((1, 0, 2, 5, 10, 65535))))
    flow.sent += len(payload)
    endpoint.unread += len(payload)


def damaged(draft: Draft, endpoint: Endpoint) -> None:
    """A good segment with a wrong checksum, length, offset, version, or options cut short."""
    flow, choose = flow_of(endpoint), draft.choose
    frame = flow.segment(ACK | PSH, draft.peer_octets(flow, 5))
    draft.inject(damage(draft, frame))
    if choose.chance(20):
        draft.inject(frame)
        flow.sent += 5
        endpoint.unread += 5


def damage(draft: Draft, frame: Frame) -> Frame:
    choose = draft.choose
    body, ip = frame.body, frame.ip
    match choose.integer(0, 8):
        case 0:
            return replace(frame, body=replace(body, checksum=choose.choice((1, 0))))  # type: ignore[arg-type]
        case 1:
            return replace(frame, ip=replace(ip, checksum=choose.choice((1, 0))))
        case 2:
            return replace(frame, ip=replace(ip, total_length=choose.choice((20, 0, 39, 40, 41, 1500, 65535))))
        case 3:
            return replace(frame, ip=replace(ip, ttl=choose.choice((0, 1, 255))))
        case 4:
            return replace(frame, ip=replace(ip, ihl=choose.choice((0, 4, 6, 15))))
        case 5:
            return replace(frame, ip=replace(ip, options=choose.choice(HEADER_OPTIONS)))
        case 6 if isinstance(body, TcpSegment):
            return replace(frame, body=_misplaced(body, choose.choice((0, 4, 5, 6, 15))))
        case 7 if isinstance(body, TcpSegment):
            return replace(frame, body=replace(body, options=(choose.choice(BROKEN_OPTIONS),)))
        case _:
            return replace(frame, ip=replace(ip, src=choose.choice(SOURCES)))


def _misplaced(body: TcpSegment, data_offset: int) -> TcpSegment:
    """Options become data or data options; an echo of the stack's own clock in them could not be compared."""
    options = tuple([TcpOption("TS", (option.values[0], 0)) if option.name == "TS" else option for option in body.options])
    return replace(body, options=options, data_offset=data_offset)


SOURCES = (ELSEWHERE, LOCALHOST, STACK_IP, BROADCAST, GROUP, ANY)
BROKEN_OPTIONS = (
    TcpOption("raw", (2, b"")),
    TcpOption("raw", (2, b"\x05")),
    TcpOption("raw", (3, b"")),
    TcpOption("raw", (8, b"\0\0")),
    TcpOption("raw", (254, b"\xf9\x89")),
    TcpOption("raw", (34, b"")),
    TcpOption("fo", (b"\0" * 8,)),
    TcpOption("eol"),
    TcpOption("mss", (1,)),
)


def experienced(draft: Draft, endpoint: Endpoint) -> None:
    """From now on what arrives has met congestion or not, and the peer says what it has heard of it (RFC 3168)."""
    flow, choose = flow_of(endpoint), draft.choose
    flow.tos, flow.echo = choose.choice((2, 3, 3, 0, 1)), choose.choice((0, 0, ECE, CWR, ECE | CWR))
    choose.choice((data, data, acknowledge, gap))(draft, endpoint)


def old_timestamp(draft: Draft, endpoint: Endpoint) -> None:
    """PAWS (RFC 7323, 5): a timestamp from the past, from the future, or an echo of what was never sent."""
    flow, choose = flow_of(endpoint), draft.choose
    now = flow.clock or 1000
    value = choose.choice((1, now - 1, now, now + 1_000_000, now + (1 << 31)))
    echo = Rel("ts", choose.choice((0, 100_000, -100_000)))
    payload = draft.peer_octets(flow, 5) if choose.chance(70) else b""
    draft.inject(flow.segment(ACK | PSH, payload, options=(TcpOption("TS", (value, echo)),)))


def no_timestamp(draft: Draft, endpoint: Endpoint) -> None:
    flow = flow_of(endpoint)
    draft.inject(flow.segment(ACK | PSH, draft.peer_octets(flow, 5), options=()))
    flow.sent += 5
    endpoint.unread += 5


def beyond_window(draft: Draft, endpoint: Endpoint) -> None:
    flow, choose = flow_of(endpoint), draft.choose
    at = flow.sent + choose.choice((64240, 65535, 65536, 100_000, 131072, 10_000_000))
    draft.inject(flow.segment(ACK | PSH, draft.peer_octets(flow, choose.choice((5, 0, 1)), at), seq=Rel("peer", at)))


def quoting(draft: Draft, endpoint: Endpoint) -> None:
    """An ICMP error about a segment the stack sent (RFC 5927: quotes out of the window are ignored)."""
    flow, choose = flow_of(endpoint), draft.choose
    seq = choose.choice((Rel("nxt", -1), NXT, Rel("iss", 0), Rel("nxt", 100_000)))
    quoted = Frame(TcpSegment(flow.stack_port, flow.peer_port, ACK, seq, Rel("peer", flow.sent)))
    draft.inject(icmp_error(draft, quoted))


def icmp_error(draft: Draft, quoted: Frame) -> Frame:
    choose = draft.choose
    kind, code = choose.choice(ERRORS)
    if kind == 3 and code is None:
        code = choose.choice(UNREACHABLE)
    mtu = choose.choice((1400, 0, 68, 552, 1500, 40)) if (kind, code) == (3, 4) else 0
    return Frame(IcmpMessage(kind, code or 0, mtu.to_bytes(4, "big"), quoted))


ERRORS = ((3, None), (3, 3), (11, 0), (11, 1), (12, 0), (4, 0), (5, 1), (3, 4))


def reopen(draft: Draft, endpoint: Endpoint) -> None:
    """A new SYN on an old connection's ports: above or below its numbers (RFC 6191, RFC 1337), perhaps answered."""
    flow, choose = flow_of(endpoint), draft.choose
    start = flow.sent + choose.choice((100_000, 1, 0, -10, 1 << 30))
    flags = choose.choice((SYN, SYN, SYN, SYN | ACK))
    options = (TcpOption("mss", (1460,)), *flow.stamp()) if choose.chance(50) else ()
    draft.inject(flow.segment(flags, seq=Rel("peer", start), options=options))
    if choose.chance(40):
        draft.inject(flow.segment(ACK, seq=Rel("peer", start + 1), ack=Rel("iss", 1)))


ESTABLISHED: Weights[Move] = Weights(
    (16, data),
    (7, acknowledge),
    (4, window_update),
    (4, gap),
    (3, overlap),
    (3, old),
    (2, keepalive),
    (4, odd_ack),
    (3, duplicate_acks),
    (2, sack),
    (2, reset),
    (2, syn_again),
    (2, odd_flags),
    (2, urgent),
    (3, damaged),
    (2, experienced),
    (2, old_timestamp),
    (1, no_timestamp),
    (2, beyond_window),
    (2, quoting),
    (2, fin),
)
"""After the handshake: mostly what a peer does, then what a network or an attacker does."""

LATE: Weights[Move] = Weights(
    (4, acknowledge),
    (3, old),
    (3, reset),
    (3, syn_again),
    (3, reopen),
    (2, data),
    (2, odd_flags),
    (2, odd_ack),
    (1, keepalive),
    (1, fin),
)
"""After the connection has ended."""
