"""Receive memory: does a segment fit, and what gives way when it does not (`tcp_try_rmem_schedule`, `tcp_prune_queue`)."""

from __future__ import annotations

from . import window
from .segment import PAGE, SHARED_INFO, SKB_SIZE, RcvSkb
from .seq import after
from .sock import TcpSock


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
    """`tcp_collapse` of the receive queue: copy into buffers of a page, skipping what is already well filled."""
    merged: list[RcvSkb] = []
    for skb in sk.receive_queue:
        tail = merged[-1] if merged else None
        if tail is not None and skb.seq == tail.end_seq and len(tail.data) + len(skb.data) <= PAGE - SHARED_INFO:
            sk.rmem_alloc -= tail.truesize + skb.truesize
            tail.data += skb.data
            tail.end_seq = skb.end_seq
            tail.flags |= skb.flags
            tail.truesize = SKB_SIZE + PAGE
            tail.room = PAGE - SHARED_INFO - len(tail.data)
            sk.rmem_alloc += tail.truesize
        else:
            merged.append(skb)
    sk.receive_queue.clear()
    sk.receive_queue.extend(merged)


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
