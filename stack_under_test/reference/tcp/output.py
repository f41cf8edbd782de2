"""Sending one segment: header, options, window, checksum; and the segments that carry no data.

`transmit` is `__tcp_transmit_skb`.  What to send and when is decided in `xmit.py`, `recovery.py` and `timers.py`.
"""

from __future__ import annotations

import struct
from copy import copy

from ...wire.checksum import internet_checksum, pseudo_header
from ..inet import icmp_send
from ..inet import output as ip
from ..inet.packet import Packet
from ..net import SEC
from ..sock import State
from . import ecn, options, path, rtt, window
from .segment import ACK, CWR, FIN, PSH, RST, SYN, URG, Origin, TxSkb
from .seq import MASK, after, before, diff
from .sock import ACK_TIMER, ATO_MIN, DELACK_MAX, DELACK_MIN, RTO_MIN, TcpSock

_HEADER = struct.Struct("!HHIIBBHHH")
MAX_OPTIONS = 40
LOOPBACK_GSO_MAX_SIZE = 65536
"""`gso_max_size` of lo: a longer burst is cut up before it loops back."""
_LOOPED_HEADERS = 14 + 20 + 20


def header(
    ports: tuple[int, int], seq: int, ack: int, flags: int, win: int, opts: bytes, urgent: int = 0, data: bytes = b"",
    ends: tuple[bytes, bytes] = (b"", b""),
) -> bytes:  # fmt: skip
    """A whole TCP segment's octets with its checksum; `ends` are source and destination address."""
    offset = (20 + len(opts)) << 2
    body = _HEADER.pack(ports[0], ports[1], seq & MASK, ack & MASK, offset, flags, win, 0, urgent) + opts + data
    total = internet_checksum(body, pseudo_header(ends[0], ends[1], 6, len(body)))
    return body[:16] + total.to_bytes(2, "big") + body[18:]


def established_options(sk: TcpSock, fresh: bool = True) -> bytes:
    """`tcp_established_options`; `fresh` False only measures (a pending D-SACK stays pending)."""
    opts = options.timestamps(sk.tsval(), sk.ts_recent) if sk.tstamp_ok else b""
    if sk.dsack is not None or sk.selective_acks:
        blocks = [sk.dsack] if sk.dsack is not None else []
        blocks += sk.selective_acks
        room = (MAX_OPTIONS - len(opts) - 4) // 8
        if room > 0:
            opts += options.sacks(blocks[:room])
        if fresh:
            sk.dsack = None
    return opts


def syn_options(sk: TcpSock) -> bytes:
    """`tcp_syn_options`."""
    sysctl = sk.net.sysctl
    ts = (sk.tsval(), sk.ts_recent) if sysctl.tcp_timestamps else None
    wscale = sk.rcv_wscale if sysctl.tcp_window_scaling else None
    if sk.route is not None:
        sk.advmss = min(sk.advmss, path.advmss(sk.net, sk.route))
    return options.opening(sk.advmss, wscale, bool(sysctl.tcp_sack), ts)


def transmit(sk: TcpSock, skb: TxSkb, *, rcv_nxt: int | None = None) -> int:
    """`__tcp_transmit_skb`: one skb, cut into segments of the current MSS as segmentation offload would.  Returns 0, or the
    errno with which IP refused it."""
    marks = 0
    if skb.flags & SYN:
        opts = syn_options(sk)
        win = min(sk.rcv_wnd, 65535)
    else:
        opts = established_options(sk)
        win = window.select(sk)
        marks = ecn.mark(sk, skb)
    ack = sk.rcv_nxt if rcv_nxt is None else rcv_nxt
    skb.mstamp = sk.now_us
    sk.wstamp_ns = sk.clock
    size = len(skb.data)
    mss = skb.gso_size if skb.pcount > 1 else max(size, 1)
    origin = None
    if sk.route is not None and sk.route.local and size + len(opts) + _LOOPED_HEADERS < LOOPBACK_GSO_MAX_SIZE:
        origin = Origin(mss if skb.pcount > 1 else 0, max(1, skb.pcount))
        skb.let_go()
        skb.origin = origin
        mss = max(size, 1)
    urgent = _urgent_pointer(sk, skb.seq)
    if urgent:
        marks |= URG
    at = 0
    burst = PSH if skb.pcount > 1 else 0
    while True:
        last = at + mss >= size
        flags = (skb.flags | burst if last else skb.flags & ~(FIN | PSH)) | marks
        if at:
            flags &= ~CWR
        numbers = ((skb.seq + at) & MASK, ack if flags & ACK else 0, flags, win, opts, urgent)
        error = _send(sk, skb, numbers, skb.data[at : at + mss], origin)
        if last or error:
            break
        at += mss
    sk.segs_out += max(1, skb.pcount)
    if skb.flags & ACK:
        event_ack_sent(sk)
    if size:
        _event_data_sent(sk)
        sk.data_segs_out += skb.pcount
        sk.bytes_sent += size
    if not error and skb.seq != skb.end_seq:
        # `tcp_update_skb_after_send`, `tcp_rate_skb_sent`: it is the last that was sent.
        sk.sent_order.pop(skb, None)
        sk.sent_order[skb] = None
        skb.tx_delivered = sk.delivered
    return error


def _urgent_pointer(sk: TcpSock, seq: int) -> int:
    """The urgent pointer of what begins at `seq`, 0 for none; all segments of a burst have the first's."""
    if sk.snd_up == sk.snd_una or not before(seq, sk.snd_up):
        return 0
    if before(sk.snd_up, (seq + 0x10000) & MASK):
        return (sk.snd_up - seq) & MASK
    return 0xFFFF if after((seq + 0xFFFF) & MASK, sk.snd_nxt) else 0


def _send(sk: TcpSock, skb: TxSkb, numbers: tuple[int, int, int, int, bytes, int], data: bytes, origin: Origin | None) -> int:
    """`numbers`: seq, ack, flags, window, options, urgent pointer."""
    octets = header((sk.sport, sk.dport), *numbers, data, (sk.saddr, sk.daddr))
    try:
        return ip.queue_xmit(sk, octets, origin, skb)
    except ip.TooLong as too_long:
        return _too_long(sk, too_long)


def _too_long(sk: TcpSock, too_long: ip.TooLong) -> int:
    """`ip_fragment`: the path has become narrower than the segments; the socket hears of it as from a router, by ICMP."""
    assert sk.route is not None
    about = Packet.of_own(too_long.octets, sk.route.device, sk.route.kind)
    icmp_send.send(sk.net, about, 3, 4, too_long.mtu)
    return too_long.errno


def event_ack_sent(sk: TcpSock) -> None:
    """`tcp_event_ack_sent`: one quick ACK fewer, and nothing is owed."""
    sk.compressed_ack = 0
    sk.disarm("compressed_ack")
    if sk.ack_quick and sk.ack_scheduled():
        sk.ack_quick -= 1
        if not sk.ack_quick:
            sk.ack_ato = ATO_MIN
    sk.ack_pending = 0
    sk.ack_retry = 0


def _event_data_sent(sk: TcpSock) -> None:
    """`tcp_event_data_sent`: an answer soon after data makes the connection interactive."""
    now = sk.net.now
    sk.lsndtime = now
    if sk.whole_ticks(now) - sk.whole_ticks(sk.lrcvtime) < sk.ack_ato and sk.pingpong < 255:
        sk.pingpong += 1


def acceptable_seq(sk: TcpSock) -> int:
    """`tcp_acceptable_seq`: SND.NXT, or the peer's right edge when the window shrank under it."""
    edge = (sk.snd_una + sk.snd_wnd) & MASK
    if not before(edge, sk.snd_nxt) or (sk.wscale_ok and diff(sk.snd_nxt, edge) < 1 << sk.rcv_wscale):
        return sk.snd_nxt
    return edge


def _empty(sk: TcpSock, seq: int, flags: int) -> TxSkb:
    skb = TxSkb(seq, flags, sk.net.buffers)
    skb.pcount = 1
    return skb


def send_ack(sk: TcpSock) -> None:
    """`tcp_send_ack`."""
    if sk.state is not State.CLOSE:
        transmit(sk, _empty(sk, acceptable_seq(sk), ACK))


def send_challenge_ack(sk: TcpSock) -> None:
    """`tcp_send_challenge_ack` (RFC 5961 7); the rate limits are pinned off."""
    send_ack(sk)


def send_active_reset(sk: TcpSock) -> None:
    """`tcp_send_active_reset`."""
    sk.refresh()
    transmit(sk, _empty(sk, acceptable_seq(sk), ACK | RST))


def send_probe(sk: TcpSock, urgent: bool) -> None:
    """`tcp_xmit_probe_skb`: an old octet's sequence number, so that the peer must answer."""
    transmit(sk, _empty(sk, (sk.snd_una - (0 if urgent else 1)) & MASK, ACK))


def send_delayed_ack(sk: TcpSock) -> None:
    """`tcp_send_delayed_ack`: within the interval data has been arriving at, at most DELACK_MAX."""
    ato = sk.ack_ato
    if ato > DELACK_MIN:
        limit = SEC // 2
        if sk.in_pingpong() or sk.ack_pending & 4:
            limit = DELACK_MAX
        if sk.srtt_us:
            ticks = -(-(sk.srtt_us >> 3) * 1000 // sk.tick)
            limit = min(limit, max(ticks * sk.tick, DELACK_MIN))
        ato = min(ato, limit)
    # `tcp_delack_max`: the peer's shortest timeout must not come first.
    ato = min(ato, DELACK_MAX, RTO_MIN - sk.tick)
    now = sk.whole_ticks(sk.net.now)
    timeout = now + ato
    if sk.ack_pending & ACK_TIMER:
        if sk.ack_timeout <= now + sk.whole_ticks(ato >> 2):
            send_ack(sk)
            return
        timeout = min(timeout, sk.ack_timeout)
    sk.ack_pending |= ACK_TIMER | 1
    sk.ack_timeout = timeout
    sk.arm("delack", timeout - now)


def send_synack(sk: TcpSock) -> None:
    """`tcp_send_synack`: the SYN is acknowledged by repeating ours with an ACK (crossed SYNs)."""
    skb = sk.rtx_queue[0] if sk.rtx_queue else None
    if skb is None or not skb.flags & SYN:
        return
    if not skb.flags & ACK:
        if skb.waiting:
            skb = sk.rtx_queue[0] = copy(skb)
            skb.copied, skb.waiting = True, 0
        skb.flags |= ACK
        ecn.answer(sk, skb)
    transmit(sk, skb)


def connect(sk: TcpSock) -> None:
    """`tcp_connect`: queue and send the SYN, start its timer."""
    connect_init(sk)
    sk.refresh()
    skb = TxSkb(sk.write_seq, SYN, sk.net.buffers)
    skb.pcount = 1
    ecn.offer(sk, skb)
    sk.write_seq = (sk.write_seq + 1) & MASK
    sk.retrans_stamp = sk.net.now
    sk.rtx_queue.append(skb)
    sk.wmem_queued += skb.truesize
    sk.packets_out += 1
    transmit(sk, skb)
    sk.snd_nxt = sk.write_seq
    sk.pushed_seq = sk.write_seq
    rtt.arm_retransmit(sk, sk.rto)


def connect_init(sk: TcpSock) -> None:
    """`tcp_connect_init`."""
    sk.tcp_header_len = 20 + (options.TIMESTAMP_ALIGNED if sk.net.sysctl.tcp_timestamps else 0)
    if sk.user_mss:
        sk.mss_clamp = sk.user_mss
    sk.max_window = 0
    sync_mss(sk, path.mtu(sk))
    device_mss = path.advmss(sk.net, sk.route)
    sk.advmss = min(sk.user_mss, device_mss) if sk.user_mss else device_mss
    initialize_rcv_mss(sk)
    if sk.userlocks & 2 and (sk.window_clamp > window.full_space(sk) or sk.window_clamp == 0):
        sk.window_clamp = window.full_space(sk)
    mss = sk.advmss - (sk.tcp_header_len - 20 if sk.ts_recent_stamp is not None else 0)
    sk.rcv_wnd, sk.window_clamp, sk.rcv_wscale = window.initial(
        sk, mss, sk.window_clamp, bool(sk.net.sysctl.tcp_window_scaling)
    )
    sk.rcv_ssthresh = sk.rcv_wnd
    sk.err = 0
    sk.done = False
    sk.snd_wnd = 0
    sk.snd_wl1 = 0
    sk.snd_una = sk.snd_sml = sk.snd_up = sk.snd_nxt = sk.write_seq
    sk.rcv_nxt = sk.rcv_wup = sk.copied_seq = 0
    sk.rto = SEC
    sk.retransmits = 0


def initialize_rcv_mss(sk: TcpSock) -> None:
    """`tcp_initialize_rcv_mss`: a low guess of the peer's segment size."""
    hint = min(sk.advmss, sk.mss_cache, sk.rcv_wnd // 2, 536)
    sk.rcv_mss = max(hint, 88)


def sync_mss(sk: TcpSock, mtu: int) -> int:
    """`tcp_sync_mss`: what fits the path, the peer's MSS and half its largest window."""
    sk.pmtu = mtu
    mss = min(mtu - 40, sk.mss_clamp)
    mss -= len(sk.header_options.data) if sk.header_options is not None else 0
    mss = max(mss, sk.net.sysctl.tcp_min_snd_mss) - (sk.tcp_header_len - 20)
    mss = bound_to_half_window(sk, mss)
    sk.mss_cache = mss
    return mss


def bound_to_half_window(sk: TcpSock, size: int) -> int:
    """`tcp_bound_to_half_wnd`: never fill a small window with one segment."""
    cutoff = sk.max_window if sk.max_window <= 536 else sk.max_window >> 1
    if cutoff and size > cutoff:
        return max(cutoff, 68 - sk.tcp_header_len)
    return size


def current_mss(sk: TcpSock) -> int:
    """`tcp_current_mss`: the cached MSS, less what this moment's options take beyond the usual."""
    mtu = path.mtu(sk)
    mss = sync_mss(sk, mtu) if mtu != sk.pmtu else sk.mss_cache
    length = 20 + len(established_options(sk, fresh=False))
    if length != sk.tcp_header_len:
        mss -= length - sk.tcp_header_len
    return mss
