"""TCP's door from IP: parse, look up, hand to a connection, a request, TIME-WAIT, a listener, or answer with RST.

(`tcp_v4_rcv`, `tcp_v4_do_rcv`, `tcp_child_process`.)  Wire input never raises.
"""

from __future__ import annotations

from ..inet.packet import Packet
from ..inet.routing import Kind
from ..net import Net
from ..sock import State
from . import backlog, listen, reply, steps, timewait
from .segment import ACK, FIN, RST, SYN, Origin, Segment, parse
from .sock import TcpSock
from .timewait import Answer, TimeWait


def receive(net: Net, packet: Packet) -> None:
    """A packet with protocol 6 that is for us."""
    if packet.kind is not Kind.LOCAL or not packet.to_host:
        return
    octets = packet.octets
    segment = parse(octets[packet.offset :], packet.source, packet.destination, packet.tos, packet.ttl, len(octets))
    if segment is None:
        return
    segment.frame = packet.frame
    segment.looped = packet.looped
    segment.dif = packet.device.index
    if isinstance(packet.origin, Origin):
        segment.origin = packet.origin
        segment.segs = packet.origin.segs
    segment.ip_options = packet.options
    _dispatch(net, segment)


def _dispatch(net: Net, segment: Segment) -> None:
    """`__inet_lookup_skb`: to the connection, the request, what is left of a connection, or the listener."""
    entry = net.tcp.lookup((segment.daddr, segment.dport, segment.saddr, segment.sport), segment.dif)
    if isinstance(entry, TcpSock):
        if not entry.min_ttl or segment.ttl >= entry.min_ttl:
            backlog.receive(entry, segment)
    elif isinstance(entry, listen.Request):
        _to_request(entry, segment)
    elif isinstance(entry, TimeWait):
        _to_timewait(net, entry, segment)
    else:
        listener = net.tcp.listener(segment.daddr, segment.dport, segment.dif)
        if listener is None:
            reply.reset(net, segment)
        else:
            _to_listener(listener, segment)


def _to_request(request: listen.Request, segment: Segment) -> None:
    listener = request.listener
    if listener.state is not State.LISTEN:
        request.drop()
        _dispatch(listener.net, segment)
        return
    child = listen.check_req(request, segment)
    if child is listener:
        _to_listener(listener, segment)
    elif child is not None:
        prior = child.state
        wants_reset = steps.process(child, segment)
        if prior is State.SYN_RECV and child.state is not prior:
            listener.data_ready()
        if wants_reset:
            reply.reset(listener.net, segment, child.bound_dev_if)


def _to_listener(sk: TcpSock, segment: Segment, isn: int = 0) -> None:
    """`tcp_rcv_state_process`, TCP_LISTEN: an ACK is answered with RST, a SYN opens a request."""
    if sk.min_ttl and segment.ttl < sk.min_ttl:
        return
    if segment.flags & ACK:
        reply.reset(sk.net, segment, sk.bound_dev_if)
    elif segment.flags & SYN and not segment.flags & (RST | FIN):
        listen.conn_request(sk, segment, isn)


def _to_timewait(net: Net, left: TimeWait, segment: Segment) -> None:
    answer, isn = timewait.receive(left, segment)
    if answer is Answer.SYN:
        listener = net.tcp.listener(segment.daddr, segment.dport, segment.dif)
        if listener is not None:
            left.kill()
            _to_listener(listener, segment, isn)
            return
        answer = Answer.ACK
    if answer in (Answer.ACK, Answer.ACK_OOW):
        win = left.rcv_wnd >> left.rcv_wscale
        stamps = (timewait.tsval(left), left.ts_recent)
        kept = answer is Answer.ACK and net.release.timewait_keeps_ecn
        reply.ack(net, segment, left.snd_nxt, left.rcv_nxt, win, stamps, left.tos if kept else left.tos & ~3, left.bound_dev_if)
    elif answer is Answer.RST:
        reply.reset(net, segment, left.bound_dev_if)
        left.kill()
