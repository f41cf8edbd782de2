"""TCP small queues: what of a connection still waits on this host, on a TAP for a neighbour's address, is not sent once more,
and not joined by much.  When it leaves the connection goes on (`TcpSock.lets_go`, `timers.small_queue_left`).
"""

from __future__ import annotations

from ..errors import NotModelled
from .segment import TxSkb
from .sock import TcpSock


def still_in_host_queue(sk: TcpSock, skb: TxSkb) -> bool:
    """`skb_still_in_host_queue`: nothing is lost yet; on a connection with itself that is so until the data is read."""
    waits = skb.waiting > 0 and not skb.copied
    if waits:
        sk.throttled = True
    return waits or (skb.origin is not None and any(held.origin is skb.origin for held in (*sk.receive_queue, *sk.ofo_queue)))


def check(sk: TcpSock, skb: TxSkb, factor: int = 0) -> None:
    """`tcp_small_queue_check`: twice the packet may always wait, more than that as fast as the connection is held to be."""
    if sk.wmem_alloc > 2 * skb.truesize << factor and len(sk.rtx_queue) > 1:
        raise NotModelled("how much of a connection may wait on this host hangs on its round-trip time")
