"""Loss recovery: its states, slowing down (PRR, RFC 6937), and undoing what turns out to have been needless.

The states are Linux's `tcp_ca_state`: Open, Disorder, CWR, Recovery, Loss.  This module decides; `ack.py` calls it per
ACK and `timers.py` when time has passed.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from ..net import MSEC
from ..sock import State
from . import congestion, ecn
from .loss import (
    RACK_RECOVERY_THRESH,
    add_reno_sack,
    check_sack_reordering,
    identify_loss,
    limit_reno_sacked,
    mark_lost,
    rack_timeout,
)
from .output import current_mss
from .retransmit import retransmit_queue
from .rtt import arm_retransmit, ecr_before
from .seq import after, before
from .sock import CA_CWR, CA_DISORDER, CA_LOSS, CA_OPEN, CA_RECOVERY, INFINITE_SSTHRESH, NAGLE_OFF, TcpSock
from .xmit import push, window_end

if TYPE_CHECKING:
    from .ack import AckInfo

RENEGING_DELAY = 10 * MSEC


class Rexmit(Enum):
    """What recovery wants sent once the congestion window is settled."""

    NONE = 0
    LOST = 1
    NEW = 2


def alert(sk: TcpSock, info: AckInfo, dupacks: int) -> Rexmit:
    """`tcp_fastretrans_alert`: the state machine of loss recovery."""
    if not sk.packets_out and sk.sacked_out:
        sk.sacked_out = 0
    if info.ece:
        sk.prior_ssthresh = 0
    if info.reneging and info.una_advanced:
        # `tcp_check_sack_reneging`: time for an acknowledgement of the rest, then all of it is sent again.
        arm_retransmit(sk, max((sk.srtt_us >> 4) * 1000, RENEGING_DELAY))
        info.set_timer = False
        return Rexmit.NONE
    if sk.ca_state == CA_OPEN:
        sk.retrans_stamp = 0
    elif not before(sk.snd_una, sk.high_seq) and _state_over(sk):
        return Rexmit.NONE
    if sk.ca_state == CA_RECOVERY:
        return _in_recovery(sk, info, dupacks)
    if sk.ca_state == CA_LOSS:
        rexmit = _process_loss(sk, info, dupacks)
        identify_loss(sk, info)
        if not (sk.ca_state == CA_OPEN or info.lost_retrans):
            return rexmit
    return _look_for_loss(sk, info, dupacks)


def _state_over(sk: TcpSock) -> bool:
    """What was outstanding when the state was entered is acknowledged."""
    if sk.ca_state == CA_CWR and sk.snd_una != sk.high_seq:
        end_reduction(sk)
        sk.ca_state = CA_OPEN
    elif sk.ca_state == CA_RECOVERY:
        if not sk.sack_ok:
            sk.sacked_out = 0
        if _try_undo_recovery(sk):
            return True
        end_reduction(sk)
    return False


def _in_recovery(sk: TcpSock, info: AckInfo, dupacks: int) -> Rexmit:
    if not info.una_advanced:
        if not sk.sack_ok:
            add_reno_sack(sk, dupacks, info.ece)
    elif _try_undo_partial(sk, info.prior_una):
        return Rexmit.NONE
    if _try_undo_dsack(sk):
        try_to_open(sk, info)
    identify_loss(sk, info)
    if sk.ca_state != CA_RECOVERY:
        if not sk.lost_out:
            return Rexmit.NONE
        enter_recovery(sk, info.ece)
    return Rexmit.LOST


def _look_for_loss(sk: TcpSock, info: AckInfo, dupacks: int) -> Rexmit:
    if not sk.sack_ok:
        if info.una_advanced:
            sk.sacked_out = 0
        add_reno_sack(sk, dupacks, info.ece)
    if sk.ca_state <= CA_DISORDER:
        _try_undo_dsack(sk)
    identify_loss(sk, info)
    if not sk.lost_out:
        try_to_open(sk, info)
        return Rexmit.NONE
    enter_recovery(sk, info.ece)
    return Rexmit.LOST


def _any_retrans_done(sk: TcpSock) -> bool:
    """`tcp_any_retrans_done`."""
    return bool(sk.retrans_out or (sk.rtx_queue and sk.rtx_queue[0].ever_retrans))


def try_to_open(sk: TcpSock, info: AckInfo) -> None:
    """`tcp_try_to_open`."""
    if not _any_retrans_done(sk):
        sk.retrans_stamp = 0
    if info.ece:
        enter_cwr(sk)
    if sk.ca_state != CA_CWR:
        try_keep_open(sk)


def try_keep_open(sk: TcpSock) -> None:
    """`tcp_try_keep_open`."""
    state = CA_DISORDER if sk.sacked_out + sk.lost_out or _any_retrans_done(sk) else CA_OPEN
    if sk.ca_state != state:
        sk.ca_state = state
        sk.high_seq = sk.snd_nxt


def enter_cwr(sk: TcpSock) -> None:
    """`tcp_enter_cwr`."""
    sk.prior_ssthresh = 0
    if sk.ca_state < CA_CWR:
        sk.undo_marker = 0
        init_reduction(sk)
        sk.ca_state = CA_CWR


def init_reduction(sk: TcpSock) -> None:
    """`tcp_init_cwnd_reduction`."""
    sk.high_seq = sk.snd_nxt
    sk.tlp_high_seq = 0
    sk.cwnd_cnt = 0
    sk.prior_cwnd = sk.cwnd
    sk.prr_delivered = sk.prr_out = 0
    sk.ssthresh = congestion.algorithm(sk).ssthresh(sk)
    ecn.queue_cwr(sk)


def reduce_cwnd(sk: TcpSock, delivered: int, advanced: bool, lost: int) -> None:
    """`tcp_cwnd_reduction` (PRR); `lost`: how much has newly been marked so."""
    if delivered <= 0 or not sk.prior_cwnd:
        return
    delta = sk.ssthresh - sk.packets_in_flight()
    sk.prr_delivered += delivered
    if delta < 0:
        count = (sk.ssthresh * sk.prr_delivered + sk.prior_cwnd - 1) // sk.prior_cwnd - sk.prr_out
    else:
        count = max(sk.prr_delivered - sk.prr_out, delivered)
        if advanced and not lost:
            count += 1
        count = min(delta, count)
    count = max(count, 0 if sk.prr_out else 1)
    sk.cwnd = sk.packets_in_flight() + count


def end_reduction(sk: TcpSock) -> None:
    """`tcp_end_cwnd_reduction`."""
    if sk.ssthresh < INFINITE_SSTHRESH and (sk.ca_state == CA_CWR or sk.undo_marker):
        sk.cwnd = sk.ssthresh
        sk.cwnd_stamp = sk.net.now


def _init_undo(sk: TcpSock) -> None:
    sk.undo_marker = sk.snd_una
    sk.undo_retrans = sk.retrans_out + (1 if sk.tlp_high_seq and sk.tlp_retrans else 0) or -1


def enter_recovery(sk: TcpSock, ece: bool) -> None:
    """`tcp_enter_recovery`."""
    if not _any_retrans_done(sk):
        sk.retrans_stamp = 0
    sk.prior_ssthresh = 0
    _init_undo(sk)
    if not congestion.in_reduction(sk):
        if not ece:
            sk.prior_ssthresh = congestion.current_ssthresh(sk)
        init_reduction(sk)
    sk.ca_state = CA_RECOVERY


def enter_loss(sk: TcpSock) -> None:
    """`tcp_enter_loss`: the retransmission timer expired."""
    fresh = sk.ca_state < CA_RECOVERY
    _mark_all_lost(sk)
    if sk.ca_state <= CA_DISORDER or not after(sk.high_seq, sk.snd_una) or (sk.ca_state == CA_LOSS and not sk.retransmits):
        sk.prior_ssthresh = congestion.current_ssthresh(sk)
        sk.prior_cwnd = sk.cwnd
        sk.ssthresh = congestion.algorithm(sk).ssthresh(sk)
        _init_undo(sk)
    sk.cwnd = sk.packets_in_flight() + 1
    sk.cwnd_cnt = 0
    sk.cwnd_stamp = sk.net.now
    if sk.ca_state <= CA_DISORDER and sk.sacked_out >= sk.net.sysctl.tcp_reordering:
        # A timeout after so many duplicate ACKs: there is less reordering than was thought.
        sk.reordering = min(sk.reordering, sk.net.sysctl.tcp_reordering)
    sk.ca_state = CA_LOSS
    sk.high_seq = sk.snd_nxt
    sk.tlp_high_seq = 0
    ecn.queue_cwr(sk)
    sk.frto = fresh or bool(sk.retransmits)


def _mark_all_lost(sk: TcpSock) -> None:
    """`tcp_timeout_mark_lost`: all that was sent long enough ago; if even the first was SACKed, the SACKs mean nothing."""
    head = sk.rtx_queue[0] if sk.rtx_queue else None
    reneging = head is not None and head.sacked
    if reneging or not sk.sack_ok:
        sk.sacked_out = 0
    for skb in sk.rtx_queue:
        if reneging or not sk.sack_ok:
            skb.sacked = False
        if reneging or skb is head or rack_timeout(sk, skb, 0) <= 0:
            mark_lost(sk, skb)


def _packet_delayed(sk: TcpSock) -> bool:
    """`tcp_packet_delayed`: the ACK answers what was sent before the retransmission."""
    if sk.retrans_stamp:
        return ecr_before(sk, sk.retrans_stamp // 1_000_000)
    if sk.state is State.SYN_SENT:
        # The SYN's acknowledgement has just cleared the stamp.
        return False
    return sk.sack_ok or before(sk.snd_una, sk.high_seq)


def _may_undo(sk: TcpSock) -> bool:
    return bool(sk.undo_marker and (not sk.undo_retrans or _packet_delayed(sk)))


def undo_reduction(sk: TcpSock, unmark: bool) -> None:
    """`tcp_undo_cwnd_reduction`."""
    if unmark:
        for skb in sk.rtx_queue:
            skb.lost = False
        sk.lost_out = 0
    if sk.prior_ssthresh:
        sk.cwnd = congestion.algorithm(sk).undo_cwnd(sk)
        if sk.prior_ssthresh > sk.ssthresh:
            sk.ssthresh = sk.prior_ssthresh
            sk.ecn_queue_cwr = False
    sk.cwnd_stamp = sk.net.now
    sk.undo_marker = 0
    sk.rack_advanced = True


def _held_open(sk: TcpSock) -> bool:
    """`tcp_is_non_sack_preventing_reopen`."""
    if sk.snd_una == sk.high_seq and not sk.sack_ok:
        if not _any_retrans_done(sk):
            sk.retrans_stamp = 0
        return True
    return False


def _try_undo_dsack(sk: TcpSock) -> bool:
    """All that was retransmitted had arrived."""
    if not sk.undo_marker or sk.undo_retrans:
        return False
    sk.reo_wnd_persist = min(RACK_RECOVERY_THRESH, sk.reo_wnd_persist + 1)
    undo_reduction(sk, False)
    return True


def _try_undo_recovery(sk: TcpSock) -> bool:
    if _may_undo(sk):
        undo_reduction(sk, False)
    elif sk.reo_wnd_persist:
        sk.reo_wnd_persist -= 1
    if _held_open(sk):
        return True
    sk.ca_state = CA_OPEN
    return False


def _try_undo_partial(sk: TcpSock, prior_una: int) -> bool:
    """A hole was filled by a packet that came late, not by its retransmission."""
    if sk.undo_marker and _packet_delayed(sk):
        check_sack_reordering(sk, prior_una)
        if sk.retrans_out:
            return True
        if not _any_retrans_done(sk):
            sk.retrans_stamp = 0
        undo_reduction(sk, True)
        try_keep_open(sk)
    return False


def _try_undo_loss(sk: TcpSock, frto: bool) -> bool:
    if not (frto or _may_undo(sk)):
        return False
    undo_reduction(sk, True)
    sk.retransmits = 0
    if not _held_open(sk) and (frto or sk.sack_ok):
        sk.ca_state = CA_OPEN
    return True


def _process_loss(sk: TcpSock, info: AckInfo, dupacks: int) -> Rexmit:
    """`tcp_process_loss`, with F-RTO (RFC 5682)."""
    recovered = not before(sk.snd_una, sk.high_seq)
    if info.una_advanced and _try_undo_loss(sk, False):
        return Rexmit.NONE
    if sk.frto:
        if info.orig_acked and _try_undo_loss(sk, True):
            return Rexmit.NONE
        if after(sk.snd_nxt, sk.high_seq):
            if info.sacked or dupacks:
                sk.frto = False
        elif info.una_advanced and not recovered:
            sk.high_seq = sk.snd_nxt
            if sk.write_queue and after(window_end(sk), sk.snd_nxt):
                return Rexmit.NEW
            sk.frto = False
    if recovered:
        _try_undo_recovery(sk)
        return Rexmit.NONE
    if not sk.sack_ok:
        if after(sk.snd_nxt, sk.high_seq) and dupacks:
            add_reno_sack(sk, dupacks, info.ece)
        elif info.una_advanced:
            sk.sacked_out = 0
    return Rexmit.LOST


def process_tlp_ack(sk: TcpSock, ack: int, info: AckInfo) -> None:
    """`tcp_process_tlp_ack` (RFC 8985 7.4)."""
    if before(ack, sk.tlp_high_seq):
        return
    if not sk.tlp_retrans or info.tlp_dsack:
        sk.tlp_high_seq = 0
    elif after(ack, sk.tlp_high_seq):
        init_reduction(sk)
        sk.ca_state = CA_CWR
        end_reduction(sk)
        try_keep_open(sk)
    elif not (info.una_advanced or info.not_dup or info.sacked):
        sk.tlp_high_seq = 0


def xmit(sk: TcpSock, rexmit: Rexmit) -> None:
    """`tcp_xmit_recovery`."""
    if rexmit is Rexmit.NONE:
        return
    if rexmit is Rexmit.NEW:
        push(sk, current_mss(sk), NAGLE_OFF)
        if after(sk.snd_nxt, sk.high_seq):
            return
        sk.frto = False
    retransmit_queue(sk)


def simple_retransmit(sk: TcpSock) -> None:
    """`tcp_simple_retransmit`: what is larger than the path now takes goes again, without slowing down."""
    mss = current_mss(sk)
    for skb in sk.rtx_queue:
        if (len(skb.data) if skb.pcount == 1 else skb.gso_size) > mss:
            mark_lost(sk, skb)
    if not sk.lost_out:
        return
    if not sk.sack_ok:
        limit_reno_sacked(sk)
    if sk.ca_state != CA_LOSS:
        sk.high_seq = sk.snd_nxt
        sk.ssthresh = congestion.current_ssthresh(sk)
        sk.prior_ssthresh = 0
        sk.undo_marker = 0
        sk.ca_state = CA_LOSS
    retransmit_queue(sk)
