"""An acknowledgement arrives (`tcp_ack`): what it covers, the peer's window, the round trip, what may be sent again.

Verdicts instead of sending from deep inside: the caller learns whether the ACK was new, old, or one to be refused.
"""

from __future__ import annotations

from enum import Enum

from . import congestion, loss, recovery, rtt, sack, window
from .output import send_challenge_ack, sync_mss
from .segment import CWR, SYN, Segment, TxSkb
from .seq import MASK, after, before, between
from .sock import ACK_NOW, CA_OPEN, TcpSock
from .xmit import probe0_when, set_pcount, unlink, window_end

SLOWPATH, UPDATE_TS, NO_CHALLENGE = 1, 2, 4


class Verdict(Enum):
    """NEW: process the segment on; OLD: an ACK from the past, still valid; BAD: refuse the segment."""

    NEW = 1
    OLD = 0
    BAD = -1


class AckInfo:
    """What one ACK brought: Linux's FLAG_ bits by name, and the samples taken."""

    __slots__ = (
        "data", "data_acked", "delivered", "dsack", "ece", "first_sack_us", "last_sack_us", "lost", "lost_retrans",
        "orig_acked", "prior_delivered", "prior_fack", "prior_una", "rate_end_seq", "rate_mstamp", "reneging", "reord",
        "retrans_acked", "sack_delivered", "sacked", "set_timer", "syn_acked", "tlp_dsack", "una_advanced", "win_update",
    )  # fmt: skip

    def __init__(self, sk: TcpSock) -> None:
        self.prior_una = sk.snd_una
        self.prior_fack = loss.highest_sack_seq(sk) if sk.sack_ok else sk.snd_una
        self.reord = sk.snd_nxt
        """The lowest of what SACKs say has arrived late."""
        self.reneging = False
        """SND.UNA stops at what the peer said it had (FLAG_SACK_RENEGING)."""
        self.data = False
        self.win_update = False
        self.una_advanced = False
        self.data_acked = False
        self.syn_acked = False
        self.sacked = False
        self.retrans_acked = False
        self.orig_acked = False
        self.dsack = False
        self.tlp_dsack = False
        """The D-SACK is the loss probe's (FLAG_DSACK_TLP)."""
        self.sack_delivered = 0
        self.ece = False
        self.lost_retrans = False
        self.set_timer = False
        self.first_sack_us: int | None = None
        self.last_sack_us: int | None = None
        self.delivered = sk.delivered
        self.lost = sk.lost
        self.prior_delivered = 0
        """`rate_sample`'s: `delivered` when the latest of what now arrived was sent, at `rate_mstamp`."""
        self.rate_mstamp = 0
        self.rate_end_seq = 0

    @property
    def not_dup(self) -> bool:
        """FLAG_NOT_DUP."""
        return self.data or self.win_update or self.data_acked or self.syn_acked

    @property
    def forward(self) -> bool:
        """FLAG_FORWARD_PROGRESS."""
        return self.data_acked or self.syn_acked or self.sacked


def acknowledge(sk: TcpSock, segment: Segment, flags: int, sack_octets: bytes = b"") -> Verdict:
    """`tcp_ack` (RFC 9293 3.10.7.4 fifth; RFC 5961 5.2 for what is too old or never sent)."""
    ack = segment.ack
    info = AckInfo(sk)
    if before(ack, sk.snd_una):
        return _old(sk, segment, flags, info, sack_octets)
    if after(ack, sk.snd_nxt):
        if sk.net.release.challenges_unsent and not flags & NO_CHALLENGE:
            send_challenge_ack(sk)
        return Verdict.BAD
    prior_packets = sk.packets_out
    if after(ack, sk.snd_una):
        info.una_advanced = True
        sk.retransmits = 0
    if flags & UPDATE_TS:
        replace_ts_recent(sk, segment.seq)
    if not flags & SLOWPATH and info.una_advanced:
        sk.snd_wl1 = segment.seq
        _advance_una(sk, ack)
        info.win_update = True
    else:
        info.data = segment.seq != segment.end_seq
        _update_window(sk, segment, info)
        if sack_octets:
            sack.tag(sk, sack_octets, segment, info)
        info.ece = bool(sk.ecn_ok and segment.flags & 64 and not segment.flags & SYN)
        loss.count_delivered(sk, info.sack_delivered, info.ece)
    if segment.flags & CWR and (sk.ecn_ok or not sk.net.release.cwr_needs_ecn):
        # `tcp_ecn_accept_cwr`: the sender's window may be very small now.
        sk.ecn_demand_cwr = False
        if segment.seq != segment.end_seq:
            sk.ack_pending |= ACK_NOW
    sk.err_soft = 0
    sk.probes_out = 0
    sk.rcv_tstamp = sk.net.now
    if not prior_packets:
        _nothing_out(sk, info, ack)
        return Verdict.NEW
    _clean_rtx_queue(sk, info)
    loss.rack_update_reo_wnd(sk, info)
    _finish(sk, segment, info)
    return Verdict.NEW


def _finish(sk: TcpSock, segment: Segment, info: AckInfo) -> None:
    """The second half of `tcp_ack`: loss probe, recovery, timer, congestion window, retransmissions."""
    if sk.tlp_high_seq:
        recovery.process_tlp_ack(sk, segment.ack, info)
    rexmit = recovery.Rexmit.NONE
    if not info.not_dup or info.ece or info.sacked or info.dsack or sk.ca_state != CA_OPEN:
        dupacks = 0
        if not (info.una_advanced or info.not_dup or info.dsack):
            # Pure ACKs may have been put together on their way through the backlog.
            dupacks = segment.segs
        rexmit = recovery.alert(sk, info, dupacks)
    if info.set_timer:
        rtt.set_xmit_timer(sk)
    if info.forward or not info.not_dup:
        sk.confirm_route()
    delivered = sk.delivered - info.delivered
    if congestion.in_reduction(sk):
        recovery.reduce_cwnd(sk, delivered, info.una_advanced, sk.lost - info.lost)
    congestion.control(
        sk, delivered, congestion.may_raise_cwnd(sk, info.forward, info.data_acked or (info.sacked and sk.reordering > 3))
    )
    recovery.xmit(sk, rexmit)


def _old(sk: TcpSock, segment: Segment, flags: int, info: AckInfo, sack_octets: bytes) -> Verdict:
    """An ACK below SND.UNA: refused when too far below, else only its SACK blocks count."""
    largest = min(sk.max_window, sk.bytes_acked)
    if before(segment.ack, (sk.snd_una - largest) & MASK):
        if not flags & NO_CHALLENGE:
            send_challenge_ack(sk)
        return Verdict.BAD
    if flags & UPDATE_TS and not sk.net.release.old_ack_keeps_timestamp:
        replace_ts_recent(sk, segment.seq)
    if sack_octets:
        sack.tag(sk, sack_octets, segment, info)
        rexmit = recovery.alert(sk, info, 0)
        recovery.xmit(sk, rexmit)
    return Verdict.OLD


def _nothing_out(sk: TcpSock, info: AckInfo, ack: int) -> None:
    """`tcp_ack`'s no_queue: a zero window may have opened."""
    if info.dsack:
        recovery.alert(sk, info, 0)
    if sk.write_queue:
        if not after(sk.write_queue[0].end_seq, window_end(sk)):
            sk.backoff = 0
            sk.probes_tstamp = 0
            rtt.clear_retransmit(sk)
        else:
            rtt.arm_retransmit(sk, probe0_when(sk), rtt.PROBE0)
    if sk.tlp_high_seq:
        recovery.process_tlp_ack(sk, ack, info)


def fast_path_on(sk: TcpSock) -> None:
    """`tcp_fast_path_on`: what the next segment looks like if nothing unusual happens (header prediction)."""
    sk.fast_path = (sk.tcp_header_len, sk.snd_wnd >> sk.snd_wscale)


def fast_path_check(sk: TcpSock) -> None:
    """`tcp_fast_path_check`."""
    if not sk.ofo_queue and sk.rcv_wnd and sk.rmem_alloc < sk.rcvbuf and not sk.urg_data:
        fast_path_on(sk)


def _advance_una(sk: TcpSock, ack: int) -> None:
    """`tcp_snd_una_update`."""
    sk.bytes_acked += (ack - sk.snd_una) & MASK
    sk.snd_una = ack


def _update_window(sk: TcpSock, segment: Segment, info: AckInfo) -> None:
    """`tcp_ack_update_window`."""
    nwin = segment.window if segment.flags & SYN else segment.window << sk.snd_wscale
    if window.may_update(sk, segment.ack, segment.seq, nwin):
        info.win_update = True
        sk.snd_wl1 = segment.seq
        if sk.snd_wnd != nwin:
            sk.snd_wnd = nwin
            sk.fast_path = None
            fast_path_check(sk)
            if sk.write_queue:
                congestion.slow_start_after_idle_check(sk)
            if nwin > sk.max_window:
                sk.max_window = nwin
                sync_mss(sk, sk.pmtu)
    _advance_una(sk, segment.ack)


def replace_ts_recent(sk: TcpSock, seq: int) -> None:
    """`tcp_replace_ts_recent` (RFC 7323 4.3)."""
    if sk.saw_tstamp and not after(seq, sk.rcv_wup) and paws_check(sk, 0):
        store_ts_recent(sk)


def store_ts_recent(sk: TcpSock) -> None:
    sk.ts_recent = sk.rcv_tsval
    sk.ts_recent_stamp = sk.net.now


PAWS_WRAP = 2147 * 1_000_000_000
"""`TCP_PAWS_WRAP`: a clock that counts microseconds comes around in twice that."""


def paws_check(sk: TcpSock, paws_window: int) -> bool:
    """`tcp_paws_check`: is the timestamp new enough (RFC 7323 5)?"""
    return ts_acceptable(sk.ts_recent, sk.ts_recent_stamp, sk.rcv_tsval, sk.net.now, paws_window)


def ts_acceptable(recent: int, stamp: int | None, value: int, now: int, paws_window: int) -> bool:
    delta = ((recent - value + 0x8000_0000) & MASK) - 0x8000_0000
    if delta <= paws_window:
        return True
    if stamp is not None and now >= stamp + PAWS_WRAP:
        return True
    return not recent


def _clean_rtx_queue(sk: TcpSock, info: AckInfo) -> None:
    """`tcp_clean_rtx_queue`: drop what is acknowledged, take round-trip samples."""
    prior_sacked = sk.sacked_out
    pkts_acked = 0
    fully = True
    first_us: int | None = None
    last_us = 0
    late = sk.snd_nxt
    while sk.rtx_queue:
        skb = sk.rtx_queue[0]
        start = skb.seq
        if after(skb.end_seq, sk.snd_una):
            count = _trim_head(sk, skb)
            if not count:
                break
            fully = False
        else:
            count = skb.pcount
        if not skb.ever_retrans and not skb.sacked:
            last_us = skb.mstamp
            first_us = last_us if first_us is None else first_us
            late = start if before(start, late) else late
        _count_acked(sk, skb, count, info)
        pkts_acked += count
        if not fully:
            break
        unlink(sk, skb)
    info.reneging = bool(sk.rtx_queue and sk.rtx_queue[0].sacked)
    if between(sk.snd_up, info.prior_una, sk.snd_una):
        sk.snd_up = sk.snd_una
    sampled = _take_samples(sk, info, (first_us, last_us), pkts_acked, fully and not prior_sacked)
    if info.data_acked or info.syn_acked:
        info.set_timer = True
        if not sk.sack_ok:
            loss.remove_reno_sacks(sk, pkts_acked, info.ece)
            if info.retrans_acked:
                info.orig_acked = False
        elif before(late, info.prior_fack):
            loss.check_sack_reordering(sk, late)
    elif sampled and sk.rtx_queue and info.first_sack_us is not None and info.first_sack_us < sk.rtx_queue[0].mstamp:
        # Not when what was SACKed was sent after the head: in recovery the timeout would be put off again and again.
        info.set_timer = True
    if not sk.packets_out and sk.sack_ok:
        # What has leaked into the counters, as by a second retransmission of what was not marked lost, ends here.
        sk.lost_out = sk.sacked_out = sk.retrans_out = 0


def _count_acked(sk: TcpSock, skb: TxSkb, count: int, info: AckInfo) -> None:
    """`count` segments of an skb are acknowledged: take them out of the counters they were in."""
    if skb.ever_retrans:
        if skb.retrans:
            sk.retrans_out -= count
        info.retrans_acked = True
    elif not skb.sacked and not after(skb.end_seq, sk.high_seq):
        info.orig_acked = True
    if skb.sacked:
        sk.sacked_out -= count
    elif sk.sack_ok:
        loss.count_delivered(sk, count, info.ece)
        if not (skb.ever_retrans and rtt.ecr_before(sk, skb.mstamp // 1000)):
            loss.rack_advance(sk, skb, skb.end_seq)
    if skb.lost:
        sk.lost_out -= count
    sk.packets_out -= count
    loss.rate_delivered(skb, info)
    if skb.flags & SYN:
        info.syn_acked = True
        sk.retrans_stamp = 0
    else:
        info.data_acked = True


def _take_samples(sk: TcpSock, info: AckInfo, stamps: tuple[int | None, int], pkts_acked: int, whole: bool) -> bool:
    """True: the round trip was measured."""
    seq_rtt = ca_rtt = sack_rtt = -1
    delayed = False
    first_us, last_us = stamps
    if first_us is not None and not info.retrans_acked:
        seq_rtt = sk.now_us - first_us
        ca_rtt = sk.now_us - last_us
        small = (sk.snd_una - info.prior_una) & MASK < sk.mss_cache
        alone = info.prior_delivered + 1 == sk.delivered
        delayed = pkts_acked == 1 and whole and small and alone and not info.syn_acked
    if info.first_sack_us is not None and info.last_sack_us is not None:
        sack_rtt = sk.now_us - info.first_sack_us
        ca_rtt = sk.now_us - info.last_sack_us
    return rtt.update(sk, seq_rtt, sack_rtt, ca_rtt, info.data_acked or info.syn_acked, delayed)


def _trim_head(sk: TcpSock, skb: TxSkb) -> int:
    """`tcp_tso_acked`: a burst acknowledged in part keeps its unacknowledged segments' octets."""
    if skb.pcount == 1 or not after(sk.snd_una, skb.seq):
        return 0
    gone = (sk.snd_una - skb.seq) & MASK
    before_count = skb.pcount
    skb.let_go()
    skb.data = skb.data[gone:]
    skb.seq = sk.snd_una
    skb.truesize -= gone
    sk.wmem_queued -= gone
    return before_count - set_pcount(skb, skb.gso_size)
