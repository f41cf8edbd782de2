"""The scoreboard: what the peer says it holds beyond the cumulative ACK (RFC 2018, RFC 2883; `tcp_sacktag_*`)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from . import loss
from .segment import Segment, TxSkb
from .seq import HALF, MASK, after, before
from .sock import CA_LOSS, TcpSock
from .xmit import fragment

if TYPE_CHECKING:
    from .ack import AckInfo


def tag(sk: TcpSock, octets: bytes, segment: Segment, info: AckInfo) -> None:
    """`tcp_sacktag_write_queue`: mark what the option's blocks cover, lowest first; the first block may be a D-SACK."""
    blocks = [struct.unpack_from("!II", octets, at) for at in range(0, len(octets) - 7, 8)]
    if not sk.sack_ok or not blocks:
        return
    duplicate = _is_dsack(blocks, segment.ack) and _dsack_seen(sk, blocks[0], info)
    valid = [
        (left, right, duplicate and index == 0)
        for index, (left, right) in enumerate(blocks)
        if _valid(sk, left, right, duplicate and index == 0)
    ]
    for left, right, dup in sorted(valid, key=lambda block: (block[0] - sk.snd_una + HALF) & MASK):
        _mark(sk, (left, right), info, dup)
    if sk.ca_state != CA_LOSS or sk.undo_marker:
        loss.check_sack_reordering(sk, info.reord)


def _is_dsack(blocks: list[tuple[int, ...]], ack: int) -> bool:
    """`tcp_check_dsack` (RFC 2883 4): below the ACK, or inside the second block."""
    left, right = blocks[0]
    if before(left, ack):
        return True
    if len(blocks) > 1:
        second_left, second_right = blocks[1]
        return not after(right, second_right) and not before(left, second_left)
    return False


def _dsack_seen(sk: TcpSock, block: tuple[int, ...], info: AckInfo) -> bool:
    """`tcp_dsack_seen`, and the end of `tcp_check_dsack`: False when it is not about a retransmission of ours."""
    left, right = block
    size = (right - left) & MASK
    if not before(left, right) or size > sk.max_window:
        return False
    count = 1
    if size > sk.mss_cache:
        count = -(-size // sk.mss_cache)
    elif sk.tlp_high_seq and sk.tlp_high_seq == right:
        info.tlp_dsack = True
    sk.dsack_dups += count
    if sk.dsack_dups > sk.total_retrans:
        return False
    if sk.reord_seen and not info.tlp_dsack:
        sk.rack_dsack_seen = True
    info.dsack = True
    info.sack_delivered += count
    if sk.undo_marker and sk.undo_retrans > 0 and not after(right, info.prior_una) and after(right, sk.undo_marker):
        sk.undo_retrans = max(0, sk.undo_retrans - count)
    return True


def _valid(sk: TcpSock, left: int, right: int, duplicate: bool) -> bool:
    """`tcp_is_sackblock_valid`: inside what is in flight, or a D-SACK about what was retransmitted."""
    if after(right, sk.snd_nxt) or not before(left, right) or not before(left, sk.snd_nxt):
        return False
    if after(left, sk.snd_una):
        return True
    if not duplicate or not sk.undo_marker or after(right, sk.snd_una):
        return False
    if not before(left, sk.undo_marker):
        return True
    return after(right, sk.undo_marker) and not before(left, (right - sk.max_window) & MASK)


def _mark(sk: TcpSock, block: tuple[int, int], info: AckInfo, duplicate: bool) -> None:
    """`tcp_sacktag_walk`."""
    left, right = block
    index = 0
    while index < len(sk.rtx_queue):
        skb = sk.rtx_queue[index]
        if not before(skb.seq, right):
            break
        if not after(skb.end_seq, left):
            index += 1
        elif before(skb.seq, left) or after(skb.end_seq, right):
            if skb.sacked or not _split(sk, index, left, right, skb.gso_size):
                index += 1
        else:
            _mark_one(sk, skb, info, duplicate)
            loss.rate_delivered(skb, info)
            index += 1


def _mark_one(sk: TcpSock, skb: TxSkb, info: AckInfo, duplicate: bool) -> None:
    """`tcp_sacktag_one`: a block covers it; `duplicate`, a D-SACK: it arrived twice."""
    if duplicate and skb.ever_retrans:
        if sk.undo_marker and sk.undo_retrans > 0 and after(skb.end_seq, sk.undo_marker):
            sk.undo_retrans = max(0, sk.undo_retrans - skb.pcount)
        if skb.sacked and before(skb.seq, info.reord):
            info.reord = skb.seq
    if not after(skb.end_seq, sk.snd_una):
        return
    if not skb.sacked:
        loss.rack_advance(sk, skb)
        if skb.lost:
            _clear(sk, skb, lost=True, retrans=skb.retrans)
        if not skb.ever_retrans:
            _arrived_as_sent(sk, skb, info)
        skb.sacked = True
        info.sacked = True
        sk.sacked_out += skb.pcount
        info.sack_delivered += skb.pcount
    if duplicate and skb.retrans:
        _clear(sk, skb, lost=False, retrans=True)


def _clear(sk: TcpSock, skb: TxSkb, lost: bool, retrans: bool) -> None:
    if lost:
        skb.lost = False
        sk.lost_out -= skb.pcount
    if retrans:
        skb.retrans = False
        sk.retrans_out -= skb.pcount


def _arrived_as_sent(sk: TcpSock, skb: TxSkb, info: AckInfo) -> None:
    """What was never retransmitted and fills a hole was reordered."""
    if before(skb.seq, loss.highest_sack(sk)) and before(skb.seq, info.reord):
        info.reord = skb.seq
    if info.first_sack_us is None:
        info.first_sack_us = skb.mstamp
    info.last_sack_us = skb.mstamp
    if not after(skb.end_seq, sk.high_seq):
        info.orig_acked = True


def _split(sk: TcpSock, index: int, left: int, right: int, mss: int) -> bool:
    """Cut a burst at the block's edges, at segment boundaries only (`tcp_match_skb_to_sack`)."""
    skb = sk.rtx_queue[index]
    if skb.pcount <= 1:
        return False
    at = (left - skb.seq) & MASK if before(skb.seq, left) else (right - skb.seq) & MASK
    at = -(-at // mss) * mss if before(skb.seq, left) else at // mss * mss
    if not 0 < at < len(skb.data):
        return False
    old = skb.pcount
    rest = fragment(sk, skb, at, mss)
    sk.rtx_queue.insert(index + 1, rest)
    sk.packets_out += skb.pcount + rest.pcount - old
    return True
