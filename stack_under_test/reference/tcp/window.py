"""The receive window: how much memory stands for how many octets, and what is announced.

Linux keeps a ratio of payload to memory (`scaling_ratio`, in 1/256), a threshold that grows as full segments arrive
(`rcv_ssthresh`), and never takes back what it announced.
"""

from __future__ import annotations

from ..sock import SOCK_RCVBUF_LOCK, SOCK_SNDBUF_LOCK
from .segment import RcvSkb
from .seq import MASK, after, before, diff
from .sock import ACK_NOMEM, INIT_CWND, TcpSock

RMEM_TO_WIN_SCALE = 8
SOCK_MIN_RCVBUF = 2304


def win_from_space(sk: TcpSock, space: int) -> int:
    """`tcp_win_from_space`."""
    return space * sk.scaling_ratio >> RMEM_TO_WIN_SCALE


def space_from_win(sk: TcpSock, window: int) -> int:
    """`tcp_space_from_win`."""
    return (window << RMEM_TO_WIN_SCALE) // sk.scaling_ratio


def space(sk: TcpSock) -> int:
    """`tcp_space`: window worth of the free receive memory."""
    return win_from_space(sk, sk.rcvbuf - sk.backlog_len - sk.rmem_alloc)


def full_space(sk: TcpSock) -> int:
    """`tcp_full_space`."""
    return win_from_space(sk, sk.rcvbuf)


def receive_window(sk: TcpSock) -> int:
    """`tcp_receive_window`: what is left of the announced window."""
    return max(0, diff((sk.rcv_wup + sk.rcv_wnd) & MASK, sk.rcv_nxt))


def initial(sk: TcpSock, mss: int, clamp: int, wscale_ok: bool) -> tuple[int, int, int]:
    """`tcp_select_initial_window` over the full space: (window, clamp, window scale)."""
    clamp = clamp or 65535 << 14
    room = min(clamp, max(0, full_space(sk)))
    if room > mss:
        room -= room % mss
    window = room
    wscale = 0
    if wscale_ok:
        largest = min(max(room, sk.net.sysctl.tcp_rmem[2], sk.net.sysctl.rmem_max), clamp)
        wscale = min(max(largest.bit_length() - 1 - 15, 0), 14)
    return window, min(65535 << wscale, clamp), wscale


def _int(value: int) -> int:
    """An unsigned number as `min_t(int, ...)` reads it."""
    return value - (1 << 32) if value >= 1 << 31 else value


def choose(sk: TcpSock) -> int:
    """`__tcp_select_window`: the window we would like to have, not yet what may be announced."""
    mss = sk.rcv_mss
    free = space(sk)
    allowed = full_space(sk)
    full = min(_int(sk.window_clamp), allowed)
    if mss > full:
        mss = full
        if mss <= 0:
            return 0
    if free < full >> 1:
        sk.ack_quick = 0
        free -= free % (1 << sk.rcv_wscale)
        if free < allowed >> 4 or free < mss:
            return 0
    free = min(free, sk.rcv_ssthresh)
    if sk.rcv_wscale:
        unit = 1 << sk.rcv_wscale
        return (free + unit - 1) & -unit
    window = sk.rcv_wnd
    if window <= free - mss or window > free:
        return free - free % mss
    if mss == full and free > window + (full >> 1):
        return free
    return window


def select(sk: TcpSock) -> int:
    """`tcp_select_window`: the window field of a segment that leaves now; the right edge never moves left."""
    if sk.ack_pending & ACK_NOMEM:
        sk.fast_path = None
        sk.rcv_wnd = 0
        sk.rcv_wup = sk.rcv_nxt
        return 0
    current = receive_window(sk)
    window = choose(sk)
    if window < current:
        unit = 1 << sk.rcv_wscale
        window = (current + unit - 1) & -unit
    sk.rcv_wnd = window
    sk.rcv_wup = sk.rcv_nxt
    window = min(window, 65535 << sk.rcv_wscale) >> sk.rcv_wscale
    if not window:
        sk.fast_path = None
    return window


def grow(sk: TcpSock, skb: RcvSkb, adjust: bool) -> None:
    """`tcp_grow_window`: open up when segments use their memory well.

    `adjust` (`truesize_adjust`): a buffer of pages alone, or of nothing, is counted without its head.
    """
    room = min(_int(sk.window_clamp), space(sk)) - sk.rcv_ssthresh
    if room <= 0:
        return
    length = len(skb.data)
    headless = not length or (skb.frags and not skb.head_frag)
    truesize = length if adjust and headless else skb.truesize
    if win_from_space(sk, truesize) <= length:
        increment = 2 * sk.advmss
    else:
        increment = _cautious_growth(sk, truesize, length)
    if increment:
        sk.rcv_ssthresh += min(room, max(increment, 2 * length))
        sk.ack_quick |= 1


def _cautious_growth(sk: TcpSock, truesize: int, length: int) -> int:
    """`__tcp_grow_window`: may overhead like this still fill the largest buffer?"""
    true = win_from_space(sk, truesize) >> 1
    window = win_from_space(sk, sk.net.sysctl.tcp_rmem[2]) >> 1
    while sk.rcv_ssthresh <= window:
        if true <= length:
            return 2 * sk.rcv_mss
        true >>= 1
        window >>= 1
    return 0


def init_buffer_space(sk: TcpSock) -> None:
    """`tcp_init_buffer_space`: sizes when the connection is established."""
    if not sk.userlocks & SOCK_SNDBUF_LOCK:
        expand_sndbuf(sk)
    sk.refresh()
    sk.rcvq_time = sk.now_us
    sk.rcvq_seq = sk.copied_seq
    app_win = sk.net.sysctl.tcp_app_win
    largest = full_space(sk)
    if sk.window_clamp >= largest:
        sk.window_clamp = largest
        if app_win and largest > 4 * sk.advmss:
            sk.window_clamp = max(largest - (largest >> app_win), 4 * sk.advmss)
    if app_win and sk.window_clamp > 2 * sk.advmss and sk.window_clamp + sk.advmss > largest:
        sk.window_clamp = max(2 * sk.advmss, largest - sk.advmss)
    sk.rcv_ssthresh = min(sk.rcv_ssthresh, sk.window_clamp)
    sk.rcvq_space = min(sk.rcv_ssthresh, sk.rcv_wnd, INIT_CWND * sk.advmss)


def expand_sndbuf(sk: TcpSock) -> None:
    """`tcp_sndbuf_expand`: room for twice the window in full segments with their overhead."""
    needed = max(sk.mss_clamp, sk.mss_cache) + sk.net.buffers.max_tcp_header + 320
    per_mss = (1 << (needed - 1).bit_length()) + 256
    segments = max(INIT_CWND, sk.cwnd, sk.reordering + 1)
    wanted = 2 * segments * per_mss
    if sk.sndbuf < wanted:
        sk.sndbuf = min(wanted, sk.net.sysctl.tcp_wmem[2])


def clamp(sk: TcpSock) -> None:
    """`tcp_clamp_window`: the receive memory is used up."""
    sk.ack_quick = 0
    limit = sk.net.sysctl.tcp_rmem[2]
    if sk.rcvbuf < limit and not sk.userlocks & SOCK_RCVBUF_LOCK:
        sk.rcvbuf = min(sk.rmem_alloc, limit)
    if sk.rmem_alloc > sk.rcvbuf:
        sk.rcv_ssthresh = min(sk.window_clamp, 2 * sk.advmss)


def set_clamp(sk: TcpSock, clamp: int) -> None:
    """`tcp_set_window_clamp`: a lower clamp takes the threshold down, a higher one up to what is announced."""
    old = sk.window_clamp
    new = max(SOCK_MIN_RCVBUF // 2, clamp)
    if new == old:
        return
    sk.window_clamp = new
    if new < old:
        sk.rcv_ssthresh = min(sk.rcv_ssthresh, new)
    else:
        sk.rcv_ssthresh = max(min(sk.rcv_wnd, new), sk.rcv_ssthresh)


def space_adjust(sk: TcpSock) -> None:
    """`tcp_rcv_space_adjust`: dynamic right-sizing, as the reader takes data."""
    sk.refresh()
    elapsed = sk.now_us - sk.rcvq_time
    if not sk.rcv_rtt_us or elapsed < sk.rcv_rtt_us >> 3:
        return
    copied = diff(sk.copied_seq, sk.rcvq_seq) - diff(sk.rcv_nxt, sk.copied_seq)
    if copied > sk.rcvq_space:
        (rcvbuf_grow if sk.net.release.grows_while_reordered else _grow_ahead)(sk, copied)
    sk.rcvq_seq = sk.copied_seq
    sk.rcvq_time = sk.now_us


def _grow_ahead(sk: TcpSock, copied: int) -> None:
    """Dynamic right-sizing until 2025: twice what was read in a round trip, and sixteen segments."""
    if sk.net.sysctl.tcp_moderate_rcvbuf and not sk.userlocks & SOCK_RCVBUF_LOCK:
        window = (copied << 1) + 16 * sk.advmss
        window += window * (copied - sk.rcvq_space) // sk.rcvq_space << 1
        _set_rcvbuf(sk, window)
    sk.rcvq_space = copied


def rcvbuf_grow(sk: TcpSock, newval: int) -> None:
    """`tcp_rcvbuf_grow`."""
    oldval = sk.rcvq_space
    sk.rcvq_space = newval
    if not sk.net.sysctl.tcp_moderate_rcvbuf or sk.userlocks & SOCK_RCVBUF_LOCK or not oldval:
        return
    window = newval << 1
    window += ((window << 1) * (newval - oldval)) // oldval
    if sk.ofo_queue:
        window += diff(sk.ofo_queue[-1].end_seq, sk.rcv_nxt)
    _set_rcvbuf(sk, window)


def _set_rcvbuf(sk: TcpSock, window: int) -> None:
    """A receive buffer that is worth so much window, unless it is larger; the clamp follows."""
    rcvbuf = min(space_from_win(sk, window), sk.net.sysctl.tcp_rmem[2])
    if rcvbuf > sk.rcvbuf:
        sk.rcvbuf = rcvbuf
        sk.window_clamp = win_from_space(sk, rcvbuf)


def rtt_measure(sk: TcpSock) -> None:
    """`tcp_rcv_rtt_measure`: a window's worth takes a round trip, when there are no timestamps to tell."""
    if sk.rcv_rtt_time is not None:
        if before(sk.rcv_nxt, sk.rcv_rtt_seq):
            return
        _rtt_update(sk, (sk.now_us - sk.rcv_rtt_time) & MASK or 1, True)
    sk.rcv_rtt_seq = (sk.rcv_nxt + sk.rcv_wnd) & MASK
    sk.rcv_rtt_time = sk.now_us


def rtt_measure_ts(sk: TcpSock, length: int) -> None:
    """`tcp_rcv_rtt_measure_ts`."""
    if sk.rcv_tsecr == sk.rcv_rtt_last_tsecr:
        return
    sk.rcv_rtt_last_tsecr = sk.rcv_tsecr
    if length >= sk.rcv_mss and sk.rcv_tsecr:
        delta = (sk.tsval() - sk.tsoffset - sk.rcv_tsecr) & MASK
        if 0 < delta < 0x7FFF_FFFF // 1000:
            _rtt_update(sk, delta * 1000, False)


def _rtt_update(sk: TcpSock, sample: int, win_dep: bool) -> None:
    """`tcp_rcv_rtt_update` (in eighths of microseconds, 32 bits: an hour comes around nearly seven times)."""
    old = sk.rcv_rtt_us
    scaled = sample << 3 & MASK
    if old == 0 or scaled < old:
        sk.rcv_rtt_us = scaled
    elif not win_dep and (sk.rcv_nxt == sk.copied_seq or not sk.net.release.grows_while_reordered):
        sk.rcv_rtt_us = old - (old >> 3) + sample & MASK


def may_update(sk: TcpSock, ack: int, seq: int, window: int) -> bool:
    """`tcp_may_update_window` (RFC 9293 3.10.7.4, with Linux's larger-window rule)."""
    return after(ack, sk.snd_una) or after(seq, sk.snd_wl1) or (seq == sk.snd_wl1 and (window > sk.snd_wnd or not window))
