"""The scoreboard: what the peer says it holds beyond the cumulative ACK (RFC 2018, RFC 2883; `tcp_sacktag_*`).

A block is looked for only where the last option did not already say so (`sack_cache`), and what becomes SACKed joins the
SACKed buffer before it: both can be seen, when the peer goes back on its word or answers in odd pieces.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from . import loss
from .output import current_mss
from .segment import FIN, Segment, TxSkb
from .seq import HALF, MASK, after, before
from .sock import CA_LOSS, TcpSock
from .xmit import following, fragment_sent, shift, unlink

if TYPE_CHECKING:
    from .ack import AckInfo

Block = tuple[int, int]


def tag(sk: TcpSock, octets: bytes, segment: Segment, info: AckInfo) -> None:
    """`tcp_sacktag_write_queue`: mark what the option's blocks cover, lowest first; the first block may be a D-SACK."""
    blocks = [struct.unpack_from("!II", octets, at) for at in range(0, len(octets) - 7, 8)]
    if not sk.sack_ok or not blocks:
        return
    duplicate = _is_dsack(blocks, segment.ack) and _dsack_seen(sk, blocks[0], info)
    if not sk.packets_out:
        return
    used = [
        ((left, right), duplicate and index == 0)
        for index, (left, right) in enumerate(blocks)
        if _valid(sk, left, right, duplicate and index == 0) and after(right, info.prior_una)
    ]
    used.sort(key=lambda item: (item[0][0] - sk.snd_una + HALF) & MASK)
    current_mss(sk)
    _Scan(sk, info, [block for block, _ in used], next((at for at, (_, dup) in enumerate(used) if dup), -1)).run()
    sk.sack_cache = [block for block, _ in used]
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


class _Scan:
    """One option's blocks against the retransmission queue; `at` is how far in it the search has come."""

    def __init__(self, sk: TcpSock, info: AckInfo, blocks: list[Block], duplicate: int) -> None:
        self.sk = sk
        self.info = info
        self.blocks = blocks
        self.duplicate = duplicate
        """Which of the blocks is a D-SACK; -1: none."""
        self.known = list(sk.sack_cache) if sk.sacked_out else []
        self.at: TxSkb | None = None

    def run(self) -> None:
        """The loop of `tcp_sacktag_write_queue`."""
        for index, (start, end) in enumerate(self.blocks):
            twice = self.blocks[index + 1] if index + 1 == self.duplicate else None
            if not self._block(start, end, index == self.duplicate, twice):
                return

    def _block(self, start: int, end: int, dup: bool, twice: Block | None) -> bool:
        """One block, where the last option had nothing to say of it. False: nothing is left to be searched."""
        known = self.known
        while True:
            while known and not before(start, known[0][1]):
                known.pop(0)
            if not known or dup or not after(end, known[0][0]):
                break
            left, right = known[0]
            if before(start, left):
                self._skip(start)
                self._walk((start, left), dup, twice)
            if not after(end, right):
                return True
            if twice is not None and before(twice[0], right):
                self._skip(twice[0])
                self._walk(twice, True, None)
            known.pop(0)
            if loss.highest_sack_seq(self.sk) == right:
                self.at = loss.highest_sack(self.sk)
                if self.at is None:
                    return False
                self._walk((start, end), dup, twice)
                return True
            self._skip(right)
        if not before(start, loss.highest_sack_seq(self.sk)):
            self.at = loss.highest_sack(self.sk)
            if self.at is None:
                return False
        self._skip(start)
        self._walk((start, end), dup, twice)
        return True

    def _skip(self, to: int) -> None:
        """`tcp_sacktag_skip`: on to the buffer that holds `to`, never back."""
        if self.at is None or not after(self.at.seq, to):
            self.at = next((skb for skb in self.sk.rtx_queue if not before(to, skb.seq) and before(to, skb.end_seq)), None)

    def _walk(self, block: Block, dup: bool, twice: Block | None) -> None:
        """`tcp_sacktag_walk`; `twice` is a D-SACK that may lie inside the block."""
        sk, skb = self.sk, self.at
        while skb is not None and before(skb.seq, block[1]):
            inside: bool | None = False
            marked_twice = dup
            if twice is not None and before(skb.seq, twice[1]):
                inside = _match(sk, skb, twice)
                marked_twice = dup or bool(inside)
            if not inside:
                taken = _shift(sk, skb, self.info, block, marked_twice)
                if taken is not None and taken is not skb:
                    skb = following(sk, taken)
                    continue
                inside = False if taken is skb else _match(sk, skb, block)
            if inside is None:
                break
            if inside:
                _mark(sk, skb, self.info, marked_twice)
            skb = following(sk, skb)
        self.at = skb


def _match(sk: TcpSock, skb: TxSkb, block: Block) -> bool | None:
    """`tcp_match_skb_to_sack`: is it inside, once it is cut at the block's edges, at segment boundaries only?  None: the
    block ends within its first segment."""
    start, end = block
    inside = not after(start, skb.seq) and not before(end, skb.end_seq)
    if skb.pcount <= 1 or inside or not after(skb.end_seq, start):
        return inside
    mss = skb.gso_size
    inside = not after(start, skb.seq)
    size = (end - skb.seq) & MASK if inside else max((start - skb.seq) & MASK, mss)
    if size < mss:
        return None
    size = size // mss * mss if inside else -(-size // mss) * mss
    if size >= len(skb.data) and not inside:
        return False
    fragment_sent(sk, skb, size, mss)
    return inside


def _mark(sk: TcpSock, skb: TxSkb, info: AckInfo, duplicate: bool) -> None:
    """A block covers all of it."""
    skb.sacked, skb.lost, skb.retrans = _count(sk, skb, info, (skb.seq, skb.end_seq), skb.pcount, duplicate)
    loss.rate_delivered(skb, info)
    if skb.sacked:
        sk.sent_order.pop(skb, None)


def _count(sk: TcpSock, skb: TxSkb, info: AckInfo, part: Block, pcount: int, duplicate: bool) -> tuple[bool, bool, bool]:
    """`tcp_sacktag_one`: `pcount` segments of it have arrived; `duplicate`, a D-SACK: twice.  What they now are: SACKed,
    lost, retransmitted."""
    seq, end_seq = part
    lost, retrans = skb.lost, skb.retrans
    if duplicate and skb.ever_retrans:
        if sk.undo_marker and sk.undo_retrans > 0 and after(end_seq, sk.undo_marker):
            sk.undo_retrans = max(0, sk.undo_retrans - pcount)
        if skb.sacked and before(seq, info.reord):
            info.reord = seq
    if not after(end_seq, sk.snd_una):
        return skb.sacked, lost, retrans
    if not skb.sacked:
        loss.rack_advance(sk, skb, end_seq)
        if lost:
            lost = False
            sk.lost_out -= pcount
            if retrans:
                retrans = False
                sk.retrans_out -= pcount
        if not skb.ever_retrans:
            _arrived_as_sent(sk, skb, info, part)
        info.sacked = True
        sk.sacked_out += pcount
        info.sack_delivered += pcount
    if duplicate and retrans:
        retrans = False
        sk.retrans_out -= pcount
    return True, lost, retrans


def _arrived_as_sent(sk: TcpSock, skb: TxSkb, info: AckInfo, part: Block) -> None:
    """What was never retransmitted and fills a hole was reordered."""
    if before(part[0], loss.highest_sack_seq(sk)) and before(part[0], info.reord):
        info.reord = part[0]
    if not after(part[1], sk.high_seq):
        info.orig_acked = True
    if info.first_sack_us is None:
        info.first_sack_us = skb.mstamp
    info.last_sack_us = skb.mstamp


def _seglen(skb: TxSkb) -> int:
    """`tcp_skb_seglen`."""
    return len(skb.data) if skb.pcount == 1 else skb.gso_size


def _is_whole(skb: TxSkb) -> bool:
    """Plainly SACKed: the original arrived, and nothing else of it is under way."""
    return skb.sacked and not skb.lost and not skb.retrans


def _shift(sk: TcpSock, skb: TxSkb, info: AckInfo, block: Block, dup: bool) -> TxSkb | None:
    """`tcp_shift_skb_data`: what a block covers joins the SACKed buffer before it, which is the answer.  `skb` itself when
    there is nothing to do with it, None when it has to be marked where it is."""
    start, end = block
    if (not dup and skb.retrans and not skb.lost) or not skb.data or not after(skb.end_seq, sk.snd_una):
        return None
    index = sk.rtx_queue.index(skb)
    prev = sk.rtx_queue[index - 1] if index else None
    if prev is None or not _is_whole(prev) or prev.eor:
        return None
    if not after(start, skb.seq) and not before(end, skb.end_seq):
        mss, size, pcount = _seglen(skb), len(skb.data), skb.pcount
    elif not after(skb.end_seq, start) or skb.pcount <= 1:
        return skb
    elif after(start, skb.seq):
        return None
    else:
        mss = skb.gso_size
        pcount = ((end - skb.seq) & MASK) // mss
        size = pcount * mss
    if mss != _seglen(prev):
        return None
    if not size:
        return skb
    if not after((skb.seq + size) & MASK, sk.snd_una):
        return None
    if _shifted(sk, prev, skb, info, (size, pcount, mss), dup):
        beyond = following(sk, prev)
        if beyond is not None and beyond.data and _is_whole(beyond) and _seglen(beyond) == mss and not prev.eor:
            _shifted(sk, prev, beyond, info, (len(beyond.data), beyond.pcount, mss), False)
    return prev


def _shifted(sk: TcpSock, prev: TxSkb, skb: TxSkb, info: AckInfo, moved: tuple[int, int, int], dup: bool) -> bool:
    """`tcp_shifted_skb`: `moved` are octets, segments and their size.  True: nothing of `skb` is left."""
    size, pcount, mss = moved
    end = (skb.seq + size) & MASK
    _count(sk, skb, info, (skb.seq, end), pcount, dup)
    loss.rate_delivered(skb, info)
    shift(prev, skb, size)
    prev.end_seq = (prev.end_seq + size) & MASK
    skb.seq = end
    prev.pcount += pcount
    skb.pcount -= pcount
    prev.gso_size = prev.gso_size or mss
    if skb.pcount <= 1:
        skb.gso_size = 0
    prev.ever_retrans |= skb.ever_retrans
    if skb.data:
        return False
    prev.flags |= skb.flags
    prev.eor = skb.eor
    if skb.flags & FIN:
        prev.end_seq = (prev.end_seq + 1) & MASK
    prev.tx_delivered = None
    unlink(sk, skb)
    return True
