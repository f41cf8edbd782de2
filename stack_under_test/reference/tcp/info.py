"""TCP_INFO (`tcp_get_info`, `struct tcp_info`): 280 octets on this release, times in the units Linux uses."""

from __future__ import annotations

import struct

from ..net import MSEC
from ..sock import State
from .seq import MASK
from .sock import TcpSock

OPT_TIMESTAMPS, OPT_SACK, OPT_WSCALE, OPT_ECN = 1, 2, 4, 8
SIZE = 280


def tcp_info(sk: TcpSock) -> bytes:
    """`struct tcp_info` with the fields a connection here has; those of measurements not taken are zero."""
    if sk.state is State.LISTEN:
        head = struct.pack("<8B4I5I", 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, len(sk.accept_queue), sk.max_ack_backlog, 0, 0, 0)
        return head.ljust(SIZE, b"\0")
    opts = (
        (OPT_TIMESTAMPS if sk.tstamp_ok else 0)
        | (OPT_SACK if sk.sack_ok else 0)
        | (OPT_WSCALE if sk.wscale_ok else 0)
        | (OPT_ECN if sk.ecn_ok else 0)
    )
    now = sk.net.now
    head = struct.pack(
        "<8B",
        int(sk.state),
        sk.ca_state,
        sk.retransmits & 0xFF,
        sk.probes_out & 0xFF,
        sk.backoff & 0xFF,
        opts,
        (sk.snd_wscale if sk.wscale_ok else 0) | (sk.rcv_wscale if sk.wscale_ok else 0) << 4,
        0,
    )
    words = struct.pack(
        "<24I",
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
    longs = struct.pack(
        "<4Q2I", sk.pacing_rate, (1 << 64) - 1, sk.bytes_acked, sk.bytes_received, sk.segs_out & MASK, sk.segs_in & MASK
    )
    return (head + words + longs).ljust(SIZE, b"\0")
