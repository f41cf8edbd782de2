"""The socket lock's backlog: segments that loop back to a socket while a call holds its lock (`tcp_add_backlog`).

They are processed as the call lets go (`release_sock`, also before it sleeps), or looks after them (`flush`).  Until then
acknowledgements with the same options merge into the first, so that of several windows only the last is heard.
"""

from __future__ import annotations

from collections import deque

from ..inet import input as inet_input
from . import pmtu, reply, steps
from .output import send_ack
from .segment import ACK, CWR, ECE, RST, SYN, URG, Segment
from .seq import before
from .sock import TcpSock


def hold(sk: TcpSock) -> None:
    """`lock_sock`, by the running call or one that goes on."""
    sk.net.lock = Backlog(sk)


def flush(sk: TcpSock) -> bool:
    """`sk_flush_backlog`, in the middle of a call: whether anything was waiting."""
    net = sk.net
    inet_input.arrive(net)
    if not isinstance(net.lock, Backlog) or not net.lock.waiting:
        return False
    net.lock.goes_on = True
    inet_input.drain(net)
    hold(sk)
    return True


def receive(sk: TcpSock, segment: Segment) -> None:
    """A segment for `sk`: now, or when its lock is free."""
    lock = sk.net.lock
    if isinstance(lock, Backlog) and lock.sk is sk:
        lock.add(segment)
    else:
        _deliver(sk, segment)


def _deliver(sk: TcpSock, segment: Segment) -> None:
    """`tcp_v4_do_rcv`."""
    if steps.process(sk, segment):
        reply.reset(sk.net, segment, sk.bound_dev_if)


class Backlog:
    """The lock that the running call holds on `sk`."""

    __slots__ = ("_arriving", "_released", "goes_on", "sk")

    def __init__(self, sk: TcpSock) -> None:
        self.sk = sk
        self.goes_on = False
        """The call will hold the lock again at once: what is put off until it lets go stays so."""
        self._arriving: deque[Segment] = deque()
        self._released: deque[Segment] = deque()

    @property
    def waiting(self) -> bool:
        return bool(self._arriving or self._released)

    def add(self, segment: Segment) -> None:
        """`tcp_add_backlog`."""
        tail = self._arriving[-1] if self._arriving else None
        if tail is not None and _merge(tail, segment):
            self.sk.backlog_len += len(segment.payload)
        else:
            self.sk.backlog_len += self.sk.net.buffers.empty + len(segment.payload)
            self._arriving.append(segment)

    def release(self) -> bool:
        """`__release_sock`, one segment of it: False: none is left. What arrives meanwhile comes after them."""
        if not self._released:
            self._released, self._arriving = self._arriving, self._released
            if not self._released:
                # Only now does their memory no longer count (`tcp_space`).
                self.sk.backlog_len = 0
                if not self.goes_on:
                    _deferred(self.sk)
                return False
        _deliver(self.sk, self._released.popleft())
        return True


def _deferred(sk: TcpSock) -> None:
    """`tcp_release_cb`."""
    mtu, sk.mtu_deferred = sk.mtu_deferred, None
    ack, sk.ack_deferred = sk.ack_deferred, False
    if mtu is not None:
        pmtu.reduced(sk, mtu)
    if ack and sk.ack_scheduled():
        send_ack(sk)


def _merge(tail: Segment, segment: Segment) -> bool:
    """Only onto a bare acknowledgement: data of ours still belongs to its sender too, and so cannot grow (`skb_cloned`)."""
    if (
        tail.payload
        or tail.end_seq != segment.seq
        or tail.tos != segment.tos
        or (tail.flags | segment.flags) & (SYN | RST | URG)
        or not tail.flags & segment.flags & ACK
        or (tail.flags ^ segment.flags) & (ECE | CWR)
        or tail.options != segment.options
    ):
        return False
    tail.payload = segment.payload
    tail.origin = segment.origin
    tail.end_seq = segment.end_seq
    tail.flags |= segment.flags
    tail.segs += segment.segs
    if not before(segment.ack, tail.ack):
        tail.ack = segment.ack
        tail.window = segment.window
    return True
