"""Finding loss: by time (RACK, RFC 8985), or by duplicate ACKs for a peer without SACK (RFC 6582).

Marks only; what follows from a mark is `recovery.py`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import rtt
from .segment import TxSkb
from .seq import MASK, after, before
from .sock import CA_RECOVERY, TcpSock
from .xmit import fragment_sent

if TYPE_CHECKING:
    from .ack import AckInfo

MAX_REORDERING = 300
"""`tcp_max_reordering`."""
RACK_RECOVERY_THRESH = 16
"""How many recoveries a longer wait outlives."""


def rack_advance(sk: TcpSock, skb: TxSkb, end_seq: int) -> None:
    """`tcp_rack_advance`: the most recently sent packet that was delivered, up to `end_seq`."""
    sample = sk.now_us - skb.mstamp
    if skb.ever_retrans and sample < sk.rtt_min.value:
        return
    if skb.mstamp > sk.rack_mstamp or (skb.mstamp == sk.rack_mstamp and after(end_seq, sk.rack_end_seq)):
        sk.rack_mstamp = skb.mstamp
        sk.rack_end_seq = end_seq
    sk.rack_rtt_us = sample
    sk.rack_advanced = True


def rack_detect_loss(sk: TcpSock) -> int:
    """`tcp_rack_detect_loss`: mark what was sent before something delivered long enough ago; us to wait for the rest."""
    if sk.reord_seen or (sk.ca_state < CA_RECOVERY and sk.sacked_out < sk.reordering):
        reo_wnd = min((sk.rtt_min.value >> 2) * sk.reo_wnd_steps & MASK, sk.srtt_us >> 3)
    else:
        reo_wnd = 0
    wait = 0
    for skb in tuple(sk.sent_order):
        if skb.lost and not skb.retrans:
            continue
        sent_after = sk.rack_mstamp > skb.mstamp or (sk.rack_mstamp == skb.mstamp and after(sk.rack_end_seq, skb.end_seq))
        if not sent_after:
            break
        remaining = rack_timeout(sk, skb, reo_wnd)
        if remaining <= 0:
            mark_lost(sk, skb)
            del sk.sent_order[skb]
        else:
            wait = max(wait, remaining)
    return wait


def rate_delivered(skb: TxSkb, info: AckInfo) -> None:
    """`tcp_rate_skb_delivered`, as far as RACK needs it."""
    if skb.tx_delivered is None:
        return
    later = skb.mstamp > info.rate_mstamp or (skb.mstamp == info.rate_mstamp and after(skb.end_seq, info.rate_end_seq))
    if not info.prior_delivered or later:
        info.prior_delivered = skb.tx_delivered
        info.rate_mstamp, info.rate_end_seq = skb.mstamp, skb.end_seq
    if skb.sacked:
        skb.tx_delivered = None


def rack_update_reo_wnd(sk: TcpSock, info: AckInfo) -> None:
    """`tcp_rack_update_reo_wnd` (RFC 8985 6.2 step 4): needless retransmissions make RACK wait longer, a round at a time."""
    if not info.prior_delivered:
        return
    if info.prior_delivered < sk.rack_last_delivered:
        sk.rack_dsack_seen = False
    if sk.rack_dsack_seen:
        sk.reo_wnd_steps = min(255, sk.reo_wnd_steps + 1)
        sk.rack_dsack_seen = False
        sk.rack_last_delivered = sk.delivered
        sk.reo_wnd_persist = RACK_RECOVERY_THRESH
    elif not sk.reo_wnd_persist:
        sk.reo_wnd_steps = 1


def highest_sack(sk: TcpSock) -> TxSkb | None:
    """`tcp_highest_sack`: what comes after the highest that was SACKed; the first when none was."""
    above = None
    for skb in reversed(sk.rtx_queue):
        if skb.sacked and sk.sacked_out:
            return above
        above = skb
    return above


def highest_sack_seq(sk: TcpSock) -> int:
    """`tcp_highest_sack_seq`."""
    if not sk.sacked_out:
        return sk.snd_una
    above = highest_sack(sk)
    return sk.snd_nxt if above is None else above.seq


def check_sack_reordering(sk: TcpSock, low: int) -> None:
    """`tcp_check_sack_reordering`: `low` arrived after what was sent later."""
    highest = highest_sack_seq(sk)
    if before(low, highest):
        distance = (highest - low) & MASK
        if distance > sk.reordering * sk.mss_cache:
            sk.reordering = min(-(-distance // sk.mss_cache), MAX_REORDERING)
        sk.reord_seen += 1


def rack_timeout(sk: TcpSock, skb: TxSkb, reo_wnd: int) -> int:
    """`tcp_rack_skb_timeout`: us until it counts as lost."""
    return sk.rack_rtt_us + reo_wnd - (sk.now_us - skb.mstamp)


def mark_lost(sk: TcpSock, skb: TxSkb) -> None:
    """`tcp_mark_skb_lost`."""
    if skb.sacked:
        return
    if skb.lost:
        if skb.retrans:
            skb.retrans = False
            sk.retrans_out -= skb.pcount
            sk.lost += skb.pcount
        return
    skb.lost = True
    sk.lost_out += skb.pcount
    sk.lost += skb.pcount


def identify_loss(sk: TcpSock, info: AckInfo) -> None:
    """`tcp_identify_packet_loss`."""
    if not sk.rtx_queue:
        return
    if not sk.sack_ok:
        newreno_mark_lost(sk, info.una_advanced)
        return
    prior = sk.retrans_out
    if sk.rack_advanced:
        sk.rack_advanced = False
        wait = rack_detect_loss(sk)
        if wait:
            rtt.arm_retransmit(sk, min(wait * 1000 + rtt.TIMEOUT_MIN_US, sk.rto), rtt.REO_TIMEOUT)
            info.set_timer = False
    if prior > sk.retrans_out:
        info.lost_retrans = True


def newreno_mark_lost(sk: TcpSock, advanced: bool) -> None:
    """`tcp_newreno_mark_lost` (RFC 6582)."""
    if (sk.ca_state < CA_RECOVERY and sk.sacked_out >= sk.reordering) or (sk.ca_state == CA_RECOVERY and advanced):
        skb = sk.rtx_queue[0]
        if skb.lost:
            return
        if skb.pcount > 1 and len(skb.data) > skb.gso_size:
            fragment_sent(sk, skb, skb.gso_size, skb.gso_size)
        mark_lost(sk, skb)


def count_delivered(sk: TcpSock, count: int, ece: bool) -> None:
    """`tcp_count_delivered`; `ece`: of an acknowledgement that says congestion was experienced."""
    sk.delivered += count
    if ece:
        sk.delivered_ce += count


def add_reno_sack(sk: TcpSock, dupacks: int, ece: bool) -> None:
    """`tcp_add_reno_sack`: without SACK, a duplicate ACK stands for one segment delivered."""
    if not dupacks:
        return
    prior = sk.sacked_out
    sk.sacked_out += dupacks
    limit_reno(sk, 0)
    if sk.sacked_out > prior:
        count_delivered(sk, sk.sacked_out - prior, ece)


def limit_reno_sacked(sk: TcpSock) -> bool:
    """`tcp_limit_reno_sacked`: duplicate ACKs stand for no more than was sent. True: they had to be cut down."""
    holes = min(max(sk.lost_out, 1), sk.packets_out)
    if sk.sacked_out + holes <= sk.packets_out:
        return False
    sk.sacked_out = sk.packets_out - holes
    return True


def limit_reno(sk: TcpSock, addend: int) -> None:
    """`tcp_check_reno_reordering`."""
    if limit_reno_sacked(sk):
        sk.reordering = min(sk.packets_out + addend, MAX_REORDERING)
        sk.reord_seen += 1


def remove_reno_sacks(sk: TcpSock, acked: int, ece: bool) -> None:
    """`tcp_remove_reno_sacks`."""
    if acked > 0:
        count_delivered(sk, max(acked - sk.sacked_out, 1), ece)
        sk.sacked_out = 0 if acked - 1 >= sk.sacked_out else sk.sacked_out - (acked - 1)
    limit_reno(sk, acked)
