"""Receive memory: does a segment fit, and what gives way when it does not (`tcp_try_rmem_schedule`, `tcp_prune_queue`)."""

from __future__ import annotations

from . import window
from .segment import FIN, PAGE, SHARED_INFO, RcvSkb
from .seq import MASK, after
from .sock import TcpSock

MAX_COPY = PAGE - SHARED_INFO
"""`SKB_MAX_ORDER(0, 0)`: what fits a page beside the shared info."""


def schedule(sk: TcpSock, skb: RcvSkb) -> bool:
    """`tcp_try_rmem_schedule`: True when the segment may be queued."""
    return sk.rmem_alloc <= sk.rcvbuf or _prune(sk, skb)


def pressed(sk: TcpSock) -> bool:
    """`tcp_rmem_pressure`: over seven eighths used."""
    return sk.rmem_alloc > sk.rcvbuf - (sk.rcvbuf >> 3)


def _prune(sk: TcpSock, skb: RcvSkb) -> bool:
    """`tcp_prune_queue`: grow the buffer, then merge small buffers, then give up out-of-order data."""
    if not sk.rmem_alloc:
        return False
    window.clamp(sk)
    if sk.rmem_alloc <= sk.rcvbuf:
        return True
    _collapse(sk)
    if sk.rmem_alloc <= sk.rcvbuf:
        return True
    _prune_ofo(sk, skb)
    return sk.rmem_alloc <= sk.rcvbuf


def _collapse(sk: TcpSock) -> None:
    """`tcp_collapse` of the receive queue: from the first buffer that wastes memory on, copy into full ones.

    A buffer with FIN is left alone and ends the copying.
    """
    queue = list(sk.receive_queue)
    first = next((index for index, skb in enumerate(queue) if _wasteful(sk, skb, queue[index + 1 : index + 2])), len(queue))
    last = next((index for index in range(first, len(queue)) if queue[index].flags & FIN), len(queue))
    if first == last:
        return
    start = sk.copied_seq if first == 0 else queue[first].seq
    start = start if after(start, queue[first].seq) else queue[first].seq
    octets = b"".join(_beyond(skb, queue[first : index + first]) for index, skb in enumerate(queue[first:last]))
    octets = octets[(start - queue[first].seq) & MASK :]
    copies = [_buffer(start, octets, at) for at in range(0, len(octets), MAX_COPY)]
    sk.rmem_alloc -= sum(skb.truesize for skb in queue[first:last])
    sk.receive_queue.clear()
    sk.receive_queue.extend([*queue[:first], *copies, *queue[last:]])
    sk.rmem_alloc += sum(skb.truesize for skb in copies)


def _wasteful(sk: TcpSock, skb: RcvSkb, following: list[RcvSkb]) -> bool:
    """Does copying it gain anything: more memory than its octets are worth as window, or an overlap with the next?"""
    if not skb.flags & FIN and window.win_from_space(sk, skb.truesize) > len(skb.data):
        return True
    return bool(following) and skb.end_seq != following[0].seq


def _beyond(skb: RcvSkb, earlier: list[RcvSkb]) -> bytes:
    """The octets of a buffer that those before it do not hold."""
    if not earlier:
        return skb.data
    known = (earlier[-1].end_seq - skb.seq) & MASK
    return skb.data[known:] if known <= len(skb.data) else b""


def _buffer(start: int, octets: bytes, at: int) -> RcvSkb:
    """A buffer of its own size for up to MAX_COPY octets."""
    data = octets[at : at + MAX_COPY]
    return RcvSkb.of((start + at) & MASK, data)


def _prune_ofo(sk: TcpSock, skb: RcvSkb) -> None:
    """`tcp_prune_ofo_queue`: the highest go first, never what lies below the newcomer."""
    pruned = False
    goal = sk.rcvbuf >> 3
    while sk.ofo_queue:
        last = sk.ofo_queue[-1]
        if after(skb.seq, last.seq):
            break
        pruned = True
        sk.ofo_queue.pop()
        sk.rmem_alloc -= last.truesize
        goal -= last.truesize
        if not sk.ofo_queue or goal <= 0:
            if sk.rmem_alloc <= sk.rcvbuf:
                break
            goal = sk.rcvbuf >> 3
    if pruned and sk.sack_ok:
        sk.selective_acks = []
        sk.dsack = None
