"""Explicit congestion notification (RFC 3168; `tcp_ecn_*`), once both ends have agreed on it (`TcpSock.ecn_ok`)."""

from __future__ import annotations

from .segment import ACK, CWR, ECE, SYN, Segment, TxSkb
from .seq import before
from .sock import TcpSock

MASK, NOT_ECT, ECT_0, CE = 3, 0, 2, 3
"""The two bits of the TOS octet."""


def offer(sk: TcpSock, skb: TxSkb) -> None:
    """`tcp_ecn_send_syn`."""
    sk.ecn_ok = sk.net.sysctl.tcp_ecn == 1
    sk.ecn_seen = sk.ecn_queue_cwr = sk.ecn_demand_cwr = False
    if sk.ecn_ok:
        skb.flags |= ECE | CWR


def withdraw_offer(skb: TxSkb) -> None:
    """`tcp_ecn_clear_syn`: a SYN that got no answer is tried without."""
    if skb.flags & SYN and skb.flags & (ECE | CWR) == ECE | CWR:
        skb.flags &= ~(ECE | CWR)


def answered(sk: TcpSock, flags: int) -> None:
    """`tcp_ecn_rcv_synack`, or `tcp_ecn_rcv_syn` of a SYN that crossed ours."""
    wanted = ECE if flags & ACK else ECE | CWR
    if flags & (ECE | CWR) != wanted:
        sk.ecn_ok = False


def answer(sk: TcpSock, skb: TxSkb) -> None:
    """`tcp_ecn_send_synack`."""
    skb.flags &= ~CWR
    if not sk.ecn_ok:
        skb.flags &= ~ECE


def mark(sk: TcpSock, skb: TxSkb) -> int:
    """`tcp_ecn_send`: sets the TOS for what is about to be sent, and returns the flags it gets besides its own."""
    if not sk.ecn_ok:
        return 0
    flags = ECE if sk.ecn_demand_cwr else 0
    if skb.data and not before(skb.seq, sk.snd_nxt):
        sk.tos |= ECT_0
        if sk.ecn_queue_cwr:
            sk.ecn_queue_cwr = False
            flags |= CWR
    else:
        sk.tos &= ~MASK
    return flags


def count(sk: TcpSock, segment: Segment) -> None:
    """`tcp_ecn_received_counters`, which only TCP_INFO shows; with or without agreement on ECN."""
    code = segment.tos & MASK
    if code:
        sk.ecn_seen = sk.ecn_seen or (sk.net.release.sees_ecn_unasked and not sk.ecn_ok)
        sk.received_ecn[code] += len(segment.payload)
        sk.received_ce += segment.segs if code == CE else 0


def queue_cwr(sk: TcpSock) -> None:
    """`tcp_ecn_queue_cwr`: the peer is to hear that we slowed down."""
    sk.ecn_queue_cwr = sk.ecn_ok


def experienced(sk: TcpSock, tos: int) -> bool:
    """`__tcp_ecn_check_ce`: note what a data segment has met on its way; True when that is to be acknowledged quickly."""
    if not sk.ecn_ok:
        return False
    if tos & MASK == NOT_ECT:
        return sk.ecn_seen
    sk.ecn_seen = True
    if tos & MASK != CE or sk.ecn_demand_cwr:
        return False
    sk.ecn_demand_cwr = True
    return True
