"""Sending again: what is marked lost, as far as the windows allow (`tcp_xmit_retransmit_queue`, `tcp_retransmit_skb`)."""

from __future__ import annotations

from ..errors import Fail
from ..inet.routing import sk_lookup
from . import congestion, ecn, rtt, small_queues
from .output import current_mss, transmit
from .segment import FIN, SYN, TxSkb
from .seq import MASK, after, before
from .sock import TcpSock
from .xmit import fragment, set_pcount, window_end


def retransmit_queue(sk: TcpSock) -> None:
    """`tcp_xmit_retransmit_queue`: what is marked lost goes again, as far as the window allows."""
    if not sk.packets_out:
        return
    rearm = False
    for skb in list(sk.rtx_queue):
        if not skb.lost or skb.sacked or skb.retrans:
            continue
        room = sk.cwnd - sk.packets_in_flight()
        if room <= 0:
            break
        small_queues.check(sk, skb, 1)
        if not retransmit(sk, skb, room):
            break
        if congestion.in_reduction(sk):
            sk.prr_out += skb.pcount
        if skb is sk.rtx_queue[0] and sk.pending != rtt.REO_TIMEOUT:
            rearm = True
    if rearm:
        rtt.arm_retransmit(sk, sk.rto)


def retransmit(sk: TcpSock, skb: TxSkb, segments: int) -> bool:
    """`tcp_retransmit_skb`: send it again for recovery, which counts it."""
    sent = send_again(sk, skb, segments)
    if sent:
        skb.retrans = True
        sk.retrans_out += skb.pcount
    if not sk.retrans_stamp:
        sk.retrans_stamp = max(skb.mstamp * 1000, 1)
    sk.undo_retrans = max(sk.undo_retrans, 0) + skb.pcount
    return sent


def send_again(sk: TcpSock, skb: TxSkb, segments: int) -> bool:
    """`__tcp_retransmit_skb`: up to `segments` of it; False when it has not left yet, the peer's
    window is shut to it, or there is no way there."""
    if small_queues.still_in_host_queue(sk, skb):
        return False
    if before(skb.seq, sk.snd_una):
        _drop_acked_head(sk, skb)
    try:
        sk_lookup(sk)
    except Fail as failure:
        sk.err_soft = failure.errno
        return False
    mss = current_mss(sk)
    end = window_end(sk)
    avail = (end - skb.seq) & MASK if before(skb.seq, end) else 0
    if not avail:
        if skb.seq != sk.snd_una:
            return False
        avail = mss
    length = mss * segments
    if length > avail:
        length = max(avail - avail % mss, 0) or avail
    if len(skb.data) > length:
        old = skb.pcount
        rest = fragment(sk, skb, length, mss)
        sk.rtx_queue.insert(sk.rtx_queue.index(skb) + 1, rest)
        _fewer(sk, skb, old - skb.pcount - rest.pcount)
    else:
        _collapse_and_count(sk, skb, mss, min(avail, mss))
    ecn.withdraw_offer(skb)
    error = transmit(sk, skb)
    skb.ever_retrans = True
    sk.total_retrans += skb.pcount
    sk.bytes_retrans += len(skb.data)
    return not error


def _collapse_and_count(sk: TcpSock, skb: TxSkb, mss: int, space: int) -> None:
    """`tcp_retrans_try_collapse`: where it does not fill `space`, small neighbours travel along."""
    index = sk.rtx_queue.index(skb)
    smaller = len(skb.data) < space
    while smaller and skb.pcount == 1 and not skb.flags & (SYN | FIN) and index + 1 < len(sk.rtx_queue):
        follower = sk.rtx_queue[index + 1]
        if (
            follower.sacked
            or follower.flags & SYN
            or follower.pcount > 1
            or len(skb.data) + len(follower.data) > space
            or after(follower.end_seq, window_end(sk))
            or skb.eor
        ):
            break
        skb.data += follower.data
        skb.end_seq = follower.end_seq
        skb.flags |= follower.flags
        skb.eor = follower.eor
        skb.truesize += follower.truesize
        del sk.rtx_queue[index + 1]
        _fewer(sk, follower, follower.pcount)
    old = skb.pcount
    _fewer(sk, skb, old - set_pcount(skb, mss))


def _fewer(sk: TcpSock, skb: TxSkb, count: int) -> None:
    """`tcp_adjust_pcount`: what is sent is cut into `count` segments fewer, or more; without SACK it is not known which of them
    the duplicate ACKs stood for."""
    sk.packets_out -= count
    sk.sacked_out -= count if skb.sacked else 0
    sk.retrans_out -= count if skb.retrans else 0
    sk.lost_out -= count if skb.lost else 0
    if not sk.sack_ok and count > 0:
        sk.sacked_out -= min(sk.sacked_out, count)


def _drop_acked_head(sk: TcpSock, skb: TxSkb) -> None:
    """`tcp_trim_head`."""
    gone = (sk.snd_una - skb.seq) & MASK
    skb.let_go()
    skb.data = skb.data[gone:]
    skb.seq = sk.snd_una
    skb.truesize -= gone
    sk.wmem_queued -= gone
