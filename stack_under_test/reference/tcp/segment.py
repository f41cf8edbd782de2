"""Segments: what arrives (`Segment`), what waits to be read (`RcvSkb`), what is sent and kept (`TxSkb`).

`truesize` is what Linux charges for a packet's memory (`inet/truesize.py`); receive windows depend on it.
"""

from __future__ import annotations

import struct

from ...wire.checksum import pseudo_header, verifies
from ..inet.header_options import HeaderOptions
from ..inet.routing import TUN
from ..inet.truesize import SHARED_INFO, SK_BUFF, Buffers, built
from .seq import MASK

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
PAGE = 4096
PAGE_FRAGMENT = 32768
"""`SKB_FRAG_PAGE_ORDER`: data to send is copied into pieces of this size."""
MAX_FRAGS = 17
"""`MAX_SKB_FRAGS`."""

_unpack = struct.Struct("!HHIIBBHHH").unpack_from


class Origin:
    """What a looped segment shares with the buffer it was sent from.

    `gso_size` and `segs`: a burst loops back in one piece.  `held`: the sender keeps its buffer (`skb_cloned`), so that
    the receiver's may not grow.
    """

    __slots__ = ("gso_size", "held", "segs")

    def __init__(self, gso_size: int, segs: int) -> None:
        self.gso_size = gso_size
        self.segs = segs
        self.held = True


class Segment:
    """A received TCP segment; ports and numbers in host order, addresses 4 octets.

    `header` is the raw header, `options` its option octets, `length` the packet's length on the link and `frame` that
    of what it came in (for truesize, as in `Packet`);
    `dif` is the device it came in over (`inet_iif`).
    """

    __slots__ = (
        "ack", "daddr", "dif", "doff", "dport", "end_seq", "flags", "frame", "header", "ip_options", "length", "looped",
        "options", "origin", "payload", "reserved", "saddr", "segs", "seq", "sport", "tos", "ttl", "urgent", "window",
    )  # fmt: skip

    sport: int
    dport: int
    seq: int
    end_seq: int
    ack: int
    flags: int
    reserved: int
    window: int
    urgent: int
    doff: int
    header: bytes
    options: bytes
    payload: bytes
    saddr: bytes
    daddr: bytes
    tos: int
    ttl: int
    length: int
    frame: int
    dif: int
    looped: bool
    origin: Origin | None
    segs: int
    ip_options: HeaderOptions | None


def parse(octets: bytes, saddr: bytes, daddr: bytes, tos: int, ttl: int, length: int) -> Segment | None:
    """The segment in an IP payload; None where `tcp_v4_rcv` drops it (too short, bad offset, bad checksum)."""
    size = len(octets)
    if size < 20:
        return None
    sport, dport, seq, ack, offset, flags, window, _, urgent = _unpack(octets)
    doff = (offset >> 4) * 4
    if doff < 20 or size < doff or not verifies(octets, pseudo_header(saddr, daddr, 6, size)):
        return None
    segment = Segment()
    segment.sport = sport
    segment.dport = dport
    segment.seq = seq
    segment.ack = ack
    segment.flags = flags
    segment.reserved = offset & 15
    segment.window = window
    segment.urgent = urgent
    segment.doff = doff
    segment.header = octets[:doff]
    segment.options = octets[20:doff]
    segment.payload = octets[doff:]
    segment.end_seq = (seq + size - doff + (flags >> 1 & 1) + (flags & 1)) & MASK
    segment.saddr = saddr
    segment.daddr = daddr
    segment.tos = tos
    segment.ttl = ttl
    segment.length = length
    segment.frame = 0
    segment.dif = TUN.index
    segment.looped = False
    segment.origin = None
    segment.segs = 1
    segment.ip_options = None
    return segment


class RcvSkb:
    """Received data waiting for the reader.

    `room` is what the buffer's tail can still take (`skb_tailroom`); looped data is in `frags` page fragments instead.
    `head_frag`: its own octets are part of a page, which another buffer may take over.
    """

    __slots__ = ("data", "end_seq", "flags", "frags", "head_frag", "origin", "room", "seq", "tos", "truesize")

    def __init__(self, segment: Segment, buffers: Buffers) -> None:
        self.seq = segment.seq
        self.end_seq = segment.end_seq
        self.flags = segment.flags
        self.tos = segment.tos
        self.data = segment.payload
        self.origin = segment.origin
        self.frags = 0
        self.head_frag = built(segment.frame)
        if segment.looped:
            self.frags = -(-len(segment.payload) // PAGE_FRAGMENT)
            self.truesize = buffers.empty + len(segment.payload)
            self.room = 0
        else:
            self.truesize = buffers.link(segment.length, segment.frame)
            self.room = buffers.tailroom(segment.length, segment.frame)

    @classmethod
    def of(cls, seq: int, data: bytes, size: int, buffers: Buffers) -> RcvSkb:
        """A buffer made for `size` octets (`alloc_skb`), without headroom."""
        skb = cls.__new__(cls)
        skb.seq = seq
        skb.end_seq = (seq + len(data)) & MASK
        skb.flags = ACK
        skb.tos = 0
        skb.data = data
        skb.origin = None
        skb.frags = 0
        skb.head_frag = False
        skb.truesize = buffers.head(size)
        skb.room = skb.truesize - SK_BUFF - SHARED_INFO - len(data)
        return skb


class TxSkb:
    """Data of ours, unsent in the write queue or sent and unacknowledged in the retransmit queue."""

    __slots__ = (
        "copied", "data", "end_seq", "eor", "ever_retrans", "flags", "gso_size", "lost", "mstamp", "origin", "pcount",
        "retrans", "sacked", "seq", "truesize", "tx_delivered", "waiting",
    )  # fmt: skip

    def __init__(self, seq: int, flags: int, buffers: Buffers) -> None:
        self.seq = seq
        self.end_seq = (seq + (1 if flags & (SYN | FIN) else 0)) & MASK
        self.flags = flags
        self.data = b""
        self.eor = False
        self.pcount = 0
        self.gso_size = 0
        self.mstamp = 0
        self.sacked = False
        self.lost = False
        self.retrans = False
        self.ever_retrans = False
        self.tx_delivered: int | None = None
        """`tx.delivered`: how much the peer had when this was sent; None when that has been looked at."""
        self.truesize = buffers.empty
        self.waiting = 0
        """How many segments of it wait on this host (`skb_fclone_busy`)."""
        self.copied = False
        """Made by `skb_copy`, so that nobody can tell whether its clones have left."""
        self.origin: Origin | None = None
        """Shared with what looped back from this."""

    def let_go(self) -> None:
        """The memory is freed, or no longer shared (`skb_unclone`)."""
        if self.origin is not None:
            self.origin.held = False
            self.origin = None
