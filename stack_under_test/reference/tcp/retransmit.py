"""Sending again: what is marked lost, as far as the windows allow (`tcp_xmit_retransmit_queue`, `tcp_retransmit_skb`)."""

from __future__ import annotations

from ..errors import Fail
from ..inet.routing import sk_lookup
from . import congestion, ecn, rtt, small_queues
from .output import current_mss, transmit
from .segment import SYN, TxSkb
from .seq import MASK, after, before
from .sock import TcpSock
from .xmit import adjust_pcount, following, fragment_sent, set_pcount, shift, tso_segs, unlink, window_end


def retransmit_queue(sk: TcpSock) -> None:
    """`tcp_xmit_retransmit_queue`: what is marked lost goes again, as far as the window allows, a burst at a time."""
    if not sk.packets_out:
        return
    head = skb = sk.rtx_queue[0] if sk.rtx_queue else None
    most = tso_segs(sk, current_mss(sk))
    rearm = False
    while skb is not None:
        room = sk.cwnd - sk.packets_in_flight()
        if room <= 0 or sk.retrans_out >= sk.lost_out:
            break
        if skb.lost and not skb.sacked and not skb.retrans:
            small_queues.check(sk, skb, 1)
            if not retransmit(sk, skb, min(room, most)):
                break
            if congestion.in_reduction(sk):
                sk.prr_out += skb.pcount
            if skb is head and sk.pending != rtt.REO_TIMEOUT:
                rearm = True
        skb = following(sk, skb)
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
    length = mss * (1 if sk.urg_mode() and sk.net.release.resends_urgent_alone else segments)
    if length > avail:
        length = max(avail - avail % mss, 0) or avail
    if len(skb.data) > length:
        fragment_sent(sk, skb, length, mss)
    else:
        skb.let_go()
        old = skb.pcount
        adjust_pcount(sk, skb, old - set_pcount(skb, mss))
        if len(skb.data) < min(avail, mss):
            _collapse(sk, skb, min(avail, mss))
    ecn.withdraw_offer(skb)
    sk.total_retrans += skb.pcount
    sk.bytes_retrans += len(skb.data)
    error = transmit(sk, skb)
    skb.ever_retrans = True
    return not error


def _collapse(sk: TcpSock, skb: TxSkb, space: int) -> None:
    """`tcp_retrans_try_collapse`: where it does not fill `space`, small neighbours travel along."""
    if skb.flags & SYN:
        return
    while not skb.eor and (follower := following(sk, skb)) is not None:
        if (
            follower.pcount > 1
            or (follower.origin is not None and follower.origin.held)
            or follower.sacked
            or len(skb.data) + len(follower.data) > space
            or after(follower.end_seq, window_end(sk))
        ):
            break
        _join(sk, skb, follower)


def _join(sk: TcpSock, skb: TxSkb, follower: TxSkb) -> None:
    """`tcp_collapse_retrans`."""
    shift(skb, follower, len(follower.data))
    skb.end_seq = follower.end_seq
    skb.flags |= follower.flags
    skb.ever_retrans |= follower.ever_retrans
    skb.eor = follower.eor
    adjust_pcount(sk, follower, follower.pcount)
    unlink(sk, follower)


def _drop_acked_head(sk: TcpSock, skb: TxSkb) -> None:
    """`tcp_trim_head`."""
    gone = (sk.snd_una - skb.seq) & MASK
    skb.let_go()
    skb.data = skb.data[gone:]
    skb.seq = sk.snd_una
    skb.truesize -= gone
    sk.wmem_queued -= gone
