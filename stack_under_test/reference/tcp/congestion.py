"""Congestion control: Reno's growth (RFC 5681), restart after idle, and when growth is allowed.

An algorithm is three functions: how the window grows on an ACK, the threshold after a loss, what undoing restores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from .seq import before
from .sock import CA_CWR, CA_DISORDER, CA_OPEN, CA_RECOVERY, INIT_CWND, TcpSock


class Algorithm(NamedTuple):
    """`struct tcp_congestion_ops`."""

    name: str
    cong_avoid: Callable[[TcpSock, int], None]
    ssthresh: Callable[[TcpSock], int]
    undo_cwnd: Callable[[TcpSock], int]


def slow_start(sk: TcpSock, acked: int) -> int:
    """`tcp_slow_start`: the ACKs left over once the threshold is reached."""
    cwnd = min(sk.cwnd + acked, sk.ssthresh)
    acked -= cwnd - sk.cwnd
    sk.cwnd = min(cwnd, sk.cwnd_clamp)
    return acked


def additive_increase(sk: TcpSock, per: int, acked: int) -> None:
    """`tcp_cong_avoid_ai`: one more segment per window."""
    if sk.cwnd_cnt >= per:
        sk.cwnd_cnt = 0
        sk.cwnd += 1
    sk.cwnd_cnt += acked
    if sk.cwnd_cnt >= per:
        delta = sk.cwnd_cnt // per
        sk.cwnd_cnt -= delta * per
        sk.cwnd += delta
    sk.cwnd = min(sk.cwnd, sk.cwnd_clamp)


def is_cwnd_limited(sk: TcpSock) -> bool:
    """`tcp_is_cwnd_limited`."""
    if sk.is_cwnd_limited:
        return True
    return sk.cwnd < sk.ssthresh and sk.cwnd < 2 * sk.max_packets_out


def reno_cong_avoid(sk: TcpSock, acked: int) -> None:
    """`tcp_reno_cong_avoid`."""
    if not is_cwnd_limited(sk):
        return
    if sk.cwnd < sk.ssthresh:
        acked = slow_start(sk, acked)
        if not acked:
            return
    additive_increase(sk, sk.cwnd, acked)


def reno_ssthresh(sk: TcpSock) -> int:
    return max(sk.cwnd >> 1, 2)


def reno_undo(sk: TcpSock) -> int:
    return max(sk.cwnd, sk.prior_cwnd)


RENO = Algorithm("reno", reno_cong_avoid, reno_ssthresh, reno_undo)
ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType({"reno": RENO})


def algorithm(sk: TcpSock) -> Algorithm:
    return ALGORITHMS[sk.congestion]


def may_raise_cwnd(sk: TcpSock, forward: bool, data_acked: bool) -> bool:
    """`tcp_may_raise_cwnd`."""
    if sk.reordering > 3:
        return forward
    return data_acked


def control(sk: TcpSock, delivered: int, raise_ok: bool) -> None:
    """`tcp_cong_control`'s growth, outside recovery, and the pacing rate that follows."""
    if sk.ca_state not in (CA_CWR, CA_RECOVERY) and raise_ok:
        algorithm(sk).cong_avoid(sk, delivered)
        sk.cwnd_stamp = sk.net.now
    update_pacing_rate(sk)


def update_pacing_rate(sk: TcpSock) -> None:
    """`tcp_update_pacing_rate`: it also bounds how large one burst is."""
    rate = sk.mss_cache * (1_000_000 << 3)
    rate *= 200 if sk.cwnd < sk.ssthresh // 2 else 120
    rate = rate * max(sk.cwnd, sk.packets_out) // 100
    if sk.srtt_us:
        rate //= sk.srtt_us
    sk.pacing_rate = rate


def current_ssthresh(sk: TcpSock) -> int:
    """`tcp_current_ssthresh`."""
    if in_reduction(sk):
        return sk.ssthresh
    return max(sk.ssthresh, (sk.cwnd >> 1) + (sk.cwnd >> 2))


def slow_start_after_idle_check(sk: TcpSock) -> None:
    """`tcp_slow_start_after_idle_check`: an idle sender starts again from the restart window (RFC 2861)."""
    if not sk.net.sysctl.tcp_slow_start_after_idle or sk.packets_out:
        return
    delta = sk.whole_ticks(sk.net.now) - sk.whole_ticks(sk.lsndtime)
    rto = sk.whole_ticks(sk.rto)
    if delta <= rto:
        return
    sk.ssthresh = current_ssthresh(sk)
    restart = min(INIT_CWND, sk.cwnd)
    cwnd = sk.cwnd
    delta -= rto
    while delta > 0 and cwnd > restart:
        cwnd >>= 1
        delta -= rto
    sk.cwnd = max(cwnd, restart)
    sk.cwnd_stamp = sk.net.now
    sk.cwnd_used = 0


def _idle(sk: TcpSock) -> int:
    """How long the window has been what it is, in whole ticks (ns)."""
    return sk.whole_ticks(sk.net.now) - sk.whole_ticks(sk.cwnd_stamp)


def application_limited(sk: TcpSock) -> None:
    """`tcp_cwnd_application_limited`: a window that was not used for a timeout shrinks towards what was (RFC 2861)."""
    if sk.ca_state == CA_OPEN and sk.socket is not None and not sk.nospace:
        used = max(sk.cwnd_used, INIT_CWND)
        if used < sk.cwnd:
            sk.ssthresh = current_ssthresh(sk)
            sk.cwnd = (sk.cwnd + used) >> 1
        sk.cwnd_used = 0
    sk.cwnd_stamp = sk.net.now


def cwnd_validate(sk: TcpSock, limited: bool) -> None:
    """`tcp_cwnd_validate`: remember whether the window was what held us back."""
    if not before(sk.snd_una, sk.cwnd_usage_seq) or limited or (not sk.is_cwnd_limited and sk.packets_out > sk.max_packets_out):
        sk.is_cwnd_limited = limited
        sk.max_packets_out = sk.packets_out
        sk.cwnd_usage_seq = sk.snd_nxt
    if is_cwnd_limited(sk):
        sk.cwnd_used = 0
        sk.cwnd_stamp = sk.net.now
        return
    sk.cwnd_used = max(sk.cwnd_used, sk.packets_out)
    if sk.net.sysctl.tcp_slow_start_after_idle and _idle(sk) >= sk.whole_ticks(sk.rto):
        application_limited(sk)


def in_reduction(sk: TcpSock) -> bool:
    return sk.ca_state in (CA_CWR, CA_RECOVERY)


def is_reducing_or_open(sk: TcpSock) -> bool:
    return sk.ca_state <= CA_DISORDER
