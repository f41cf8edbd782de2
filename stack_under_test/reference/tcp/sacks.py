"""The SACK blocks we report: what we hold beyond RCV.NXT, most recent first (RFC 2018 4), and D-SACK (RFC 2883)."""

from __future__ import annotations

from .output import send_ack
from .seq import after, before
from .sock import TcpSock

NUM_SACKS = 4
BLOCKS_EXPECTED = 2
Block = tuple[int, int]


def _extend(block: Block, seq: int, end_seq: int) -> Block | None:
    """`tcp_sack_extend`: the union when the two touch."""
    start, end = block
    if after(seq, end) or after(start, end_seq):
        return None
    return (seq if before(seq, start) else start, end_seq if after(end_seq, end) else end)


def set_dsack(sk: TcpSock, seq: int, end_seq: int) -> None:
    """`tcp_dsack_set`."""
    if sk.sack_ok:
        sk.dsack = (seq, end_seq)


def extend_dsack(sk: TcpSock, seq: int, end_seq: int) -> None:
    """`tcp_dsack_extend`."""
    if sk.dsack is None:
        set_dsack(sk, seq, end_seq)
    else:
        sk.dsack = _extend(sk.dsack, seq, end_seq) or sk.dsack


def new_ofo(sk: TcpSock, seq: int, end_seq: int) -> None:
    """`tcp_sack_new_ofo_skb`: extend a block and move it first, or open a new one."""
    blocks = sk.selective_acks
    for index, block in enumerate(blocks):
        union = _extend(block, seq, end_seq)
        if union is None:
            continue
        blocks[index] = union
        if index >= BLOCKS_EXPECTED:
            flush_compressed(sk)
        blocks.insert(0, blocks.pop(index))
        _coalesce(blocks)
        return
    if len(blocks) >= BLOCKS_EXPECTED:
        flush_compressed(sk)
    if len(blocks) >= NUM_SACKS:
        blocks.pop()
    blocks.insert(0, (seq, end_seq))


def _coalesce(blocks: list[Block]) -> None:
    """`tcp_sack_maybe_coalesce`: the first block may have reached others."""
    index = 1
    while index < len(blocks):
        union = _extend(blocks[0], *blocks[index])
        if union is None:
            index += 1
        else:
            blocks[0] = union
            del blocks[index]


def flush_compressed(sk: TcpSock) -> None:
    """`tcp_sack_compress_send_ack`."""
    if sk.compressed_ack:
        sk.disarm("compressed_ack")
        sk.compressed_ack = 0
        send_ack(sk)


def remove(sk: TcpSock) -> None:
    """`tcp_sack_remove`: RCV.NXT moved; blocks below it are gone."""
    if not sk.ofo_queue:
        sk.selective_acks = []
        return
    sk.selective_acks = [block for block in sk.selective_acks if before(sk.rcv_nxt, block[0])]
