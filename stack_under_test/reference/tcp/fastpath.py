"""Header prediction (`tcp_rcv_established`, the fast path): the segment that was expected skips most checks.

It is no mere optimisation: what it skips can be seen (an old ACK does not stop the segment's data, pending data is not
pushed by a segment that acknowledges nothing new), so it is modelled where Linux takes it.
"""

from __future__ import annotations

from . import ack as acks
from . import ecn, receive, window
from .segment import ACK, PSH, RcvSkb, Segment
from .seq import MASK, after, before
from .sock import TcpSock

ECN_AND_REST = 0xFF & ~PSH


def predicted(sk: TcpSock, segment: Segment) -> bool:
    """Does the header equal `pred_flags`, in sequence, acknowledging nothing unsent?"""
    return (
        sk.fast_path == (segment.doff, segment.window)
        and segment.flags & ECN_AND_REST == ACK
        and segment.seq == sk.rcv_nxt
        and not after(segment.ack, sk.snd_nxt)
        and (sk.net.release.predicts_old_acks or not before(segment.ack, sk.snd_una))
        and _timestamp(sk, segment)
    )


def _timestamp(sk: TcpSock, segment: Segment) -> bool:
    """With timestamps agreed, exactly NOP NOP TS, and not older than the last one."""
    sk.saw_tstamp = False
    if sk.tcp_header_len == 20:
        return True
    if segment.options[:4] != b"\x01\x01\x08\x0a":
        return False
    value = int.from_bytes(segment.options[4:8], "big")
    if (value - sk.ts_recent) & MASK >= 0x8000_0000:
        return False
    echo = int.from_bytes(segment.options[8:12], "big")
    sk.saw_tstamp = True
    sk.rcv_tsval = value
    sk.rcv_tsecr = (echo - sk.tsoffset) & MASK if echo else 0
    return True


def take(sk: TcpSock, segment: Segment) -> bool | None:
    """True: the segment is dealt with. None: go on with the ACK step, checks done. False: all the checks."""
    if not segment.payload:
        _store_timestamp(sk)
        ecn.count(sk, segment)
        acks.acknowledge(sk, segment, 0)
        receive.data_snd_check(sk)
        sk.rcv_rtt_last_tsecr = sk.rcv_tsecr
        return True
    if sk.net.release.checks_end and after(segment.end_seq, (sk.rcv_nxt + window.receive_window(sk)) & MASK):
        return False
    skb = RcvSkb(segment, sk.net.buffers)
    if skb.truesize > sk.forward_alloc:
        return None
    _store_timestamp(sk)
    window.rtt_measure_ts(sk, len(segment.payload))
    ecn.count(sk, segment)
    receive.queue_rcv(sk, skb)
    receive.event_data_recv(sk, skb, segment.doff)
    if segment.ack != sk.snd_una:
        acks.acknowledge(sk, segment, 0)
        receive.data_snd_check(sk)
        if sk.ack_scheduled():
            receive.ack_now_or_later(sk, False)
    else:
        sk.snd_wl1 = segment.seq
        receive.ack_now_or_later(sk, False)
    receive.data_ready(sk)
    return True


def _store_timestamp(sk: TcpSock) -> None:
    if sk.saw_tstamp and sk.rcv_nxt == sk.rcv_wup:
        acks.store_ts_recent(sk)
