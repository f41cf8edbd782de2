"""Receive memory: does a segment fit, and what gives way when it does not (`tcp_try_rmem_schedule`, `tcp_prune_queue`)."""

from __future__ import annotations

from ..inet.truesize import SHARED_INFO
from . import window
from .segment import FIN, PAGE, RcvSkb
from .seq import MASK, after, before
from .sock import TcpSock

MAX_COPY = PAGE - SHARED_INFO
"""`SKB_MAX_ORDER(0, 0)`: what fits a page beside the shared info."""


def schedule(sk: TcpSock, skb: RcvSkb) -> bool:
    """`tcp_try_rmem_schedule`: True when the segment may be queued; pages are reserved for it, even if it joins another."""
    if sk.rmem_alloc > sk.rcvbuf and not _prune(sk, skb):
        return False
    sk.forward_alloc += -(min(0, sk.forward_alloc - skb.truesize) // PAGE) * PAGE
    return True


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
    _collapse_ofo(sk)
    kept = _collapse(sk, list(sk.receive_queue), sk.copied_seq, sk.rcv_nxt)
    sk.receive_queue.clear()
    sk.receive_queue.extend(kept)
    if sk.rmem_alloc <= sk.rcvbuf:
        return True
    _prune_ofo(sk, skb)
    if sk.rmem_alloc <= sk.rcvbuf:
        return True
    sk.fast_path = None
    return False


def _collapse_ofo(sk: TcpSock) -> None:
    """`tcp_collapse_ofo_queue`: each contiguous range by itself; single buffers that are small stay."""
    left, tiny = list(sk.ofo_queue), 0
    while left:
        size = 1
        end = left[0].end_seq
        while size < len(left) and not after(left[size].seq, end):
            end = end if after(end, left[size].end_seq) else left[size].end_seq
            size += 1
        together, left = left[:size], left[size:]
        start = together[0].seq
        if size > 1 or (end - start) & MASK >= MAX_COPY:
            _replace(sk, together, _collapse(sk, together, start, end))
        else:
            tiny += together[0].truesize
        if tiny > sk.rcvbuf >> 3:
            break


def _replace(sk: TcpSock, old: list[RcvSkb], new: list[RcvSkb]) -> None:
    for skb in old:
        if skb not in new:
            sk.ofo_queue.remove(skb)
    for skb in new:
        if skb not in old:
            sk.ofo_queue.add(skb)


def _collapse(sk: TcpSock, buffers: list[RcvSkb], start: int, end: int) -> list[RcvSkb]:
    """`tcp_collapse`: from the first buffer that wastes memory on, copy into full ones; those that replace them.

    A buffer with FIN is left alone and ends the copying.
    """
    queue = [skb for skb in buffers if before(start, skb.end_seq)]
    sk.rmem_alloc -= sum(skb.truesize for skb in buffers) - sum(skb.truesize for skb in queue)
    first = next((index for index in range(len(queue)) if _wasteful(sk, queue, index, start)), len(queue))
    last = next((index for index in range(first, len(queue)) if queue[index].flags & FIN), len(queue))
    if first == last:
        return queue
    start = queue[first - 1].end_seq if first else start
    octets, at = b"", start
    for skb in queue[first:last]:
        if before(at, skb.end_seq):
            octets += skb.data[(at - skb.seq) & MASK :]
            at = skb.end_seq
    copies = [
        RcvSkb.of(
            (start + done) & MASK, octets[done : done + MAX_COPY], min(MAX_COPY, (end - start - done) & MASK), sk.net.buffers
        )
        for done in range(0, len(octets), MAX_COPY)
    ]
    sk.rmem_alloc += sum(skb.truesize for skb in copies) - sum(skb.truesize for skb in queue[first:last])
    return [*queue[:first], *copies, *queue[last:]]


def _wasteful(sk: TcpSock, queue: list[RcvSkb], index: int, start: int) -> bool:
    """Does copying gain anything: more memory than the octets are worth as window, octets read, an overlap with the next?"""
    skb, following = queue[index], queue[index + 1 : index + 2]
    start = queue[index - 1].end_seq if index else start
    bloated = window.win_from_space(sk, skb.truesize) > len(skb.data)
    if not skb.flags & FIN and (bloated or before(skb.seq, start)):
        return True
    return bool(following) and skb.end_seq != following[0].seq


def _prune_ofo(sk: TcpSock, skb: RcvSkb) -> None:
    """`tcp_prune_ofo_queue`: the highest go first, never what lies below the newcomer."""
    pruned = False
    goal = sk.rcvbuf >> 3
    while sk.ofo_queue:
        last = sk.ofo_queue[-1]
        if after(skb.seq, last.seq):
            break
        pruned = True
        sk.ofo_queue.remove(last)
        sk.rmem_alloc -= last.truesize
        goal -= last.truesize
        if not sk.ofo_queue or goal <= 0:
            if sk.rmem_alloc <= sk.rcvbuf:
                break
            goal = sk.rcvbuf >> 3
    if pruned and sk.sack_ok:
        sk.selective_acks = []
        sk.dsack = None
