"""TCP_INFO (`tcp_get_info`, `struct tcp_info`), times in the units Linux uses."""

from __future__ import annotations

import struct

from ..net import MSEC
from ..sock import State
from .seq import MASK
from .sock import TcpSock

OPT_TIMESTAMPS, OPT_SACK, OPT_WSCALE, OPT_ECN, OPT_ECN_SEEN = 1, 2, 4, 8, 16
MAX_PACING_RATE = (1 << 64) - 1

_INFO = struct.Struct("<8B 24I 4Q 6I 4Q 2I 2Q 6I 2H I")
"""Up to `tcpi_total_rto_time`."""
_ECN = struct.Struct("<7I")
"""What newer releases have behind it: segments and octets by ECN field."""


def tcp_info(sk: TcpSock) -> bytes:
    """`struct tcp_info`, as long as the release's; rates and times that are not measured here are zero."""
    if sk.state is State.LISTEN:
        rest = (sk.pacing_rate, MAX_PACING_RATE, *[0] * 25)
        head = (len(sk.accept_queue), sk.max_ack_backlog, *[0] * 12, sk.cwnd, 0, sk.reordering, 0, 0, 0)
        octets = _INFO.pack(int(sk.state), *[0] * 7, *[0] * 4, *head, *rest)
    else:
        octets = _INFO.pack(*_head(sk), *_path(sk), *_counts(sk), *_later_counts(sk))
    if sk.state is not State.LISTEN:
        octets += _ECN.pack(sk.received_ce & MASK, 0, 0, 0, *[count & MASK for count in sk.received_ecn[1:]])
    size = sk.net.release.tcp_info_size
    return octets[:size].ljust(size, b"\0")


def _head(sk: TcpSock) -> tuple[int, ...]:
    opts = (
        (OPT_TIMESTAMPS if sk.tstamp_ok else 0)
        | (OPT_SACK if sk.sack_ok else 0)
        | (OPT_WSCALE if sk.wscale_ok else 0)
        | (OPT_ECN if sk.ecn_ok else 0)
        | (OPT_ECN_SEEN if sk.ecn_seen else 0)
    )
    scales = sk.snd_wscale | sk.rcv_wscale << 4 if sk.wscale_ok else 0
    return (int(sk.state), sk.ca_state, sk.retransmits & 0xFF, sk.probes_out & 0xFF, sk.backoff & 0xFF, opts, scales, 0)


def _path(sk: TcpSock) -> tuple[int, ...]:
    """From `tcpi_rto` to `tcpi_total_retrans`."""
    now = sk.net.now
    return (
        sk.rto // 1000,
        sk.ack_ato // 1000,
        sk.mss_cache,
        sk.rcv_mss,
        sk.packets_out,
        sk.sacked_out,
        sk.lost_out,
        sk.retrans_out,
        0,
        (now - sk.lsndtime) // MSEC & MASK,
        0,
        max(0, (now - sk.lrcvtime) // MSEC) & MASK,
        (now - sk.rcv_tstamp) // MSEC & MASK,
        sk.pmtu,
        sk.rcv_ssthresh,
        sk.srtt_us >> 3,
        sk.mdev_us >> 2,
        sk.ssthresh,
        sk.cwnd,
        sk.advmss,
        sk.reordering,
        sk.rcv_rtt_us >> 3,
        sk.rcvq_space,
        sk.total_retrans,
    )


def _counts(sk: TcpSock) -> tuple[int, ...]:
    """From `tcpi_pacing_rate` to `tcpi_sndbuf_limited`."""
    unsent = (sk.write_seq - sk.snd_nxt) & MASK
    return (
        sk.pacing_rate,
        MAX_PACING_RATE,
        sk.bytes_acked,
        sk.bytes_received,
        sk.segs_out & MASK,
        sk.segs_in & MASK,
        unsent if unsent < 1 << 31 else 0,
        sk.rtt_min.value,
        sk.data_segs_in & MASK,
        sk.data_segs_out & MASK,
        *(0, 0, 0, 0),
    )


def _later_counts(sk: TcpSock) -> tuple[int, ...]:
    """From `tcpi_delivered` to `tcpi_total_rto_time`."""
    return (
        sk.delivered & MASK,
        sk.delivered_ce & MASK,
        sk.bytes_sent,
        sk.bytes_retrans,
        sk.dsack_dups & MASK,
        sk.reord_seen & MASK,
        sk.rcv_ooopack & MASK,
        sk.snd_wnd,
        sk.rcv_wnd,
        sk.timeout_rehash & MASK,
        sk.total_rto & 0xFFFF,
        sk.total_rto_recoveries & 0xFFFF,
        0,
    )
