"""Round-trip times and the retransmission timer (RFC 6298, with Linux's estimator; `tcp_rtt_estimator`, `tcp_set_rto`).

One timer stands for retransmission, loss probe, reordering and zero-window probe; `sk.pending` says which, as
`icsk_pending` does.
"""

from __future__ import annotations

from ..net import MSEC, SEC
from .seq import MASK, after, before
from .sock import RTO_MAX, RTO_MIN, TcpSock

RETRANS, LOSS_PROBE, REO_TIMEOUT, PROBE0 = "retrans", "loss_probe", "reo_timeout", "probe0"
TIMEOUT_MIN = 8 * MSEC
"""`TCP_TIMEOUT_MIN`: two ticks."""
TIMEOUT_MIN_US = 2 * MSEC
"""`TCP_TIMEOUT_MIN_US`, in ns."""


def estimate(sk: TcpSock, sample_us: int) -> None:
    """`tcp_rtt_estimator`: srtt in eighths, mdev in quarters of a microsecond."""
    m = sample_us
    srtt = sk.srtt_us
    rto_min_us = RTO_MIN // 1000
    if srtt:
        m -= srtt >> 3
        srtt += m
        if m < 0:
            m = -m - (sk.mdev_us >> 2)
            if m > 0:
                m >>= 3
        else:
            m -= sk.mdev_us >> 2
        sk.mdev_us += m
        if sk.mdev_us > sk.mdev_max_us:
            sk.mdev_max_us = sk.mdev_us
            sk.rttvar_us = max(sk.rttvar_us, sk.mdev_max_us)
        if after(sk.snd_una, sk.rtt_seq):
            if sk.mdev_max_us < sk.rttvar_us:
                sk.rttvar_us -= (sk.rttvar_us - sk.mdev_max_us) >> 2
            sk.rtt_seq = sk.snd_nxt
            sk.mdev_max_us = rto_min_us
    else:
        srtt = m << 3
        sk.mdev_us = m << 1
        sk.rttvar_us = max(sk.mdev_us, rto_min_us)
        sk.mdev_max_us = sk.rttvar_us
        sk.rtt_seq = sk.snd_nxt
    sk.srtt_us = max(1, srtt)


def update(sk: TcpSock, seq_rtt_us: int, sack_rtt_us: int, ca_rtt_us: int, acked: bool, delayed: bool) -> bool:
    """`tcp_ack_update_rtt`: -1 where no sample was taken; a timestamp echo stands in when new data was acked."""
    if seq_rtt_us < 0:
        seq_rtt_us = sack_rtt_us
    if seq_rtt_us < 0 and sk.saw_tstamp and sk.rcv_tsecr and acked:
        delta = (sk.tsval() - sk.tsoffset - sk.rcv_tsecr) & MASK
        if delta < 0x7FFF_FFFF // 1000:
            seq_rtt_us = ca_rtt_us = max(delta, 1) * 1000
    if seq_rtt_us < 0:
        return False
    if not (delayed and ca_rtt_us > sk.rtt_min.value):
        sk.rtt_min.add(sk.net.now // sk.tick, ca_rtt_us or sk.tick // 1000)
    estimate(sk, seq_rtt_us)
    set_rto(sk)
    sk.backoff = 0
    return True


def ecr_before(sk: TcpSock, when_ms: int) -> bool:
    """`tcp_tsopt_ecr_before`: the echoed timestamp is from before then."""
    return bool(sk.saw_tstamp and sk.rcv_tsecr and before(sk.rcv_tsecr, when_ms & MASK))


def set_rto(sk: TcpSock) -> None:
    """`tcp_set_rto`, in whole kernel ticks."""
    tick = SEC // sk.net.release.hz
    rto = -(-((sk.srtt_us >> 3) + sk.rttvar_us) * 1000 // tick) * tick
    sk.rto = min(max(rto, RTO_MIN), RTO_MAX)


def arm_retransmit(sk: TcpSock, delay: int, kind: str = RETRANS) -> None:
    """`tcp_reset_xmit_timer`."""
    sk.pending = kind
    sk.arm("xmit", min(delay, RTO_MAX))


def clear_retransmit(sk: TcpSock) -> None:
    """`inet_csk_clear_xmit_timer`: nothing is to be done; the timer itself stays in the wheel, at its place."""
    sk.pending = ""


def rto_left(sk: TcpSock) -> int:
    """`tcp_rto_delta_us` in ns: how far the head's retransmission timeout lies ahead."""
    if not sk.rtx_queue:
        return sk.rto
    return (sk.rtx_queue[0].mstamp - sk.now_us) * 1000 + sk.rto


def rearm_rto(sk: TcpSock) -> None:
    """`tcp_rearm_rto`."""
    if not sk.packets_out:
        if sk.pending == RETRANS or sk.pending in (LOSS_PROBE, REO_TIMEOUT):
            clear_retransmit(sk)
        return
    rto = sk.rto
    if sk.pending in (REO_TIMEOUT, LOSS_PROBE):
        rto = max(rto_left(sk), MSEC)
    arm_retransmit(sk, rto)


def schedule_loss_probe(sk: TcpSock, advancing_rto: bool) -> bool:
    """`tcp_schedule_loss_probe` (RFC 8985 7.2)."""
    if not sk.sack_ok or sk.ca_state not in (0, 2):
        return False
    if sk.srtt_us:
        timeout = (sk.srtt_us >> 2) * 1000 + (RTO_MIN if sk.packets_out == 1 else TIMEOUT_MIN_US)
    else:
        timeout = 1000 * MSEC
    left = sk.rto if advancing_rto else rto_left(sk)
    if left > 0:
        timeout = min(timeout, left)
    arm_retransmit(sk, timeout, LOSS_PROBE)
    return True


def set_xmit_timer(sk: TcpSock) -> None:
    """`tcp_set_xmit_timer`."""
    if not sk.packets_out or not schedule_loss_probe(sk, True):
        rearm_rto(sk)
