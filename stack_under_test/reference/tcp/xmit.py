"""What of the write queue may leave now: window, congestion window, Nagle, and bursts as offload makes them.

A write-queue skb is up to a burst of segments; `pcount` is how many.  A burst carries PSH on its last segment.
"""

from __future__ import annotations

from ..net import MSEC
from ..sock import State
from . import congestion, rtt, small_queues
from .output import current_mss, send_probe, transmit
from .segment import ACK, FIN, PSH, TxSkb
from .seq import MASK, after, before, between
from .sock import CA_RECOVERY, NAGLE_CORK, NAGLE_OFF, NAGLE_PUSH, RTO_MAX, TcpSock
from .window import expand_sndbuf

GSO_MAX_SEGS = 65535


def push_pending_frames(sk: TcpSock) -> None:
    """`tcp_push_pending_frames`."""
    if sk.write_queue:
        push(sk, current_mss(sk), sk.nonagle)


def push(sk: TcpSock, mss: int, nonagle: int) -> None:
    """`__tcp_push_pending_frames`: send what may be sent, else make sure a probe timer runs."""
    if sk.state is not State.CLOSE and write_xmit(sk, mss, nonagle):
        check_probe_timer(sk)


def check_probe_timer(sk: TcpSock) -> None:
    """`tcp_check_probe_timer`."""
    if not sk.packets_out and not sk.pending:
        rtt.arm_retransmit(sk, probe0_base(sk), rtt.PROBE0)


def probe0_base(sk: TcpSock) -> int:
    """`tcp_probe0_base`."""
    return max(sk.rto, 200 * MSEC)


def probe0_when(sk: TcpSock) -> int:
    """`tcp_probe0_when`, no later than TCP_USER_TIMEOUT (`tcp_clamp_probe0_to_user_timeout`)."""
    when = min(probe0_base(sk) << sk.backoff, RTO_MAX)
    if not sk.user_timeout or not sk.probes_tstamp:
        return when
    return min(when, max(sk.user_timeout - (sk.whole_ticks(sk.net.now) - sk.probes_tstamp), rtt.TIMEOUT_MIN))


def set_pcount(skb: TxSkb, mss: int) -> int:
    """`tcp_set_skb_tso_segs`."""
    size = len(skb.data)
    skb.gso_size, skb.pcount = (0, 1) if size <= mss else (mss, -(-size // mss))
    return skb.pcount


def tso_segs(sk: TcpSock, mss: int) -> int:
    """`tcp_tso_autosize`: about a millisecond at the pacing rate, more on short paths, at least two."""
    size = sk.pacing_rate >> 10
    shift = sk.rtt_min.value >> 9
    if shift < 32:
        size += sk.gso_max_size >> shift
    size = min(size, sk.gso_max_size)
    return max(size // mss, sk.net.sysctl.tcp_min_tso_segs)


def nagle_check(sk: TcpSock, partial: bool, nonagle: int) -> bool:
    """`tcp_nagle_check` with Minshall's modification: True holds the segment back."""
    if not partial:
        return False
    if nonagle & NAGLE_CORK:
        return True
    return not nonagle and sk.packets_out > 0 and after(sk.snd_sml, sk.snd_una) and not after(sk.snd_sml, sk.snd_nxt)


def nagle_test(sk: TcpSock, skb: TxSkb, mss: int, nonagle: int) -> bool:
    """`tcp_nagle_test`: may it go?"""
    if nonagle & NAGLE_PUSH or sk.urg_mode() or skb.flags & FIN:
        return True
    return not nagle_check(sk, len(skb.data) < mss, nonagle)


def window_end(sk: TcpSock) -> int:
    return (sk.snd_una + sk.snd_wnd) & MASK


def snd_wnd_test(sk: TcpSock, skb: TxSkb, mss: int) -> bool:
    """`tcp_snd_wnd_test`: does its first segment fit the peer's window?"""
    end = (skb.seq + mss) & MASK if len(skb.data) > mss else skb.end_seq
    return not after(end, window_end(sk))


def cwnd_test(sk: TcpSock) -> int:
    """`tcp_cwnd_test`: how many segments the congestion window lets out, half of it at a time."""
    flight = sk.packets_in_flight()
    if flight >= sk.cwnd:
        return 0
    return min(max(sk.cwnd >> 1, 1), sk.cwnd - flight)


def split_point(sk: TcpSock, skb: TxSkb, mss: int, max_segs: int, nonagle: int) -> int:
    """`tcp_mss_split_point`."""
    room = (window_end(sk) - skb.seq) & MASK
    longest = mss * max_segs
    if longest <= room and skb is not sk.write_queue[-1]:
        return longest
    needed = min(len(skb.data), room)
    if longest <= needed:
        return longest
    partial = needed % mss
    if nagle_check(sk, partial != 0, nonagle):
        return needed - partial
    return needed


def fragment(sk: TcpSock, skb: TxSkb, length: int, mss: int) -> TxSkb:
    """`tso_fragment`: cut an unsent `skb` after `length` octets; FIN and PSH go with the second part."""
    rest = TxSkb((skb.seq + length) & MASK, skb.flags, sk.net.buffers)
    rest.end_seq = skb.end_seq
    rest.data = skb.data[length:]
    rest.eor, skb.eor = skb.eor, False
    rest.sacked, rest.lost, rest.retrans, rest.ever_retrans = skb.sacked, skb.lost, skb.retrans, skb.ever_retrans
    rest.mstamp = skb.mstamp
    rest.tx_delivered = skb.tx_delivered
    skb.flags &= ~(FIN | PSH)
    skb.data = skb.data[:length]
    skb.end_seq = rest.seq
    overhead = rest.truesize
    rest.truesize = overhead + len(rest.data)
    skb.truesize -= len(rest.data)
    sk.wmem_queued += overhead
    set_pcount(skb, mss)
    set_pcount(rest, mss)
    return rest


def fragment_sent(sk: TcpSock, skb: TxSkb, length: int, mss: int) -> TxSkb:
    """`tcp_fragment` in the retransmission queue: the rest comes next in it and in the order of sending."""
    old = skb.pcount
    skb.let_go()
    rest = fragment(sk, skb, length, mss)
    adjust_pcount(sk, skb, old - skb.pcount - rest.pcount)
    sk.rtx_queue.insert(sk.rtx_queue.index(skb) + 1, rest)
    if skb in sk.sent_order:
        order: dict[TxSkb, None] = {}
        for sent in sk.sent_order:
            order[sent] = None
            if sent is skb:
                order[rest] = None
        sk.sent_order = order
    return rest


def following(sk: TcpSock, skb: TxSkb) -> TxSkb | None:
    """`skb_rb_next`: the next in the retransmission queue."""
    at = sk.rtx_queue.index(skb) + 1
    return sk.rtx_queue[at] if at < len(sk.rtx_queue) else None


def shift(into: TxSkb, skb: TxSkb, size: int) -> None:
    """`skb_shift`: the first octets move to the buffer before, with the memory they stand in."""
    into.let_go()
    skb.let_go()
    into.data += skb.data[:size]
    into.truesize += size
    skb.data = skb.data[size:]
    skb.truesize -= size


def unlink(sk: TcpSock, skb: TxSkb) -> None:
    """`tcp_rtx_queue_unlink_and_free`."""
    sk.rtx_queue.remove(skb)
    sk.sent_order.pop(skb, None)
    sk.wmem_queued -= skb.truesize
    skb.let_go()


def adjust_pcount(sk: TcpSock, skb: TxSkb, fewer: int) -> None:
    """`tcp_adjust_pcount`: what is sent is cut into `fewer` segments fewer, or more; without SACK it is not known which of
    them the duplicate ACKs stood for."""
    sk.packets_out -= fewer
    sk.sacked_out -= fewer if skb.sacked else 0
    sk.retrans_out -= fewer if skb.retrans else 0
    sk.lost_out -= fewer if skb.lost else 0
    if not sk.sack_ok and fewer > 0:
        sk.sacked_out -= min(sk.sacked_out, fewer)


def grow_skb(sk: TcpSock, skb: TxSkb, amount: int) -> None:
    """`tcp_grow_skb`: fill a burst up from the next skb in the queue."""
    if amount <= 0 or len(sk.write_queue) < 2 or skb.eor:
        return
    follower = sk.write_queue[1]
    moved = min(amount, len(follower.data))
    if not moved:
        return
    skb.data += follower.data[:moved]
    skb.truesize += moved
    skb.end_seq = (skb.end_seq + moved) & MASK
    follower.data = follower.data[moved:]
    follower.truesize -= moved
    follower.seq = (follower.seq + moved) & MASK
    if not follower.data:
        skb.end_seq = follower.end_seq
        skb.flags |= follower.flags
        skb.eor = follower.eor
        sk.wmem_queued -= follower.truesize
        del sk.write_queue[1]


def should_defer(sk: TcpSock, skb: TxSkb, max_segs: int) -> tuple[bool, bool]:
    """`tcp_tso_should_defer`: (wait for more, because of the congestion window)."""
    if sk.ca_state >= CA_RECOVERY or sk.clock - sk.wstamp_ns - MSEC > 0:
        return False, False
    send_win = (window_end(sk) - skb.seq) & MASK
    cong_win = (sk.cwnd - sk.packets_in_flight()) * sk.mss_cache
    limit = min(send_win, cong_win)
    if limit >= max_segs * sk.mss_cache or (skb is not sk.write_queue[-1] and limit >= len(skb.data)):
        return False, False
    chunk = min(sk.snd_wnd, sk.cwnd * sk.mss_cache) // (sk.net.sysctl.tcp_tso_win_divisor or 1)
    if limit >= chunk or not sk.rtx_queue:
        return False, False
    srtt_ns = sk.srtt_us * 125
    expected = sk.rtx_queue[0].mstamp * 1000 + srtt_ns
    if expected - sk.clock - min(srtt_ns >> 1, MSEC) > 0:
        return False, False
    if cong_win < send_win:
        if cong_win <= len(skb.data):
            return True, True
    elif send_win <= len(skb.data):
        return True, False
    if skb.flags & FIN or skb.eor:
        return False, False
    return True, False


def write_xmit(sk: TcpSock, mss: int, nonagle: int, push_one: int = 0) -> bool:
    """`tcp_write_xmit`: True when nothing is in flight and data waits all the same (a probe timer is due)."""
    sk.refresh()
    sent = 0
    cwnd_limited = defer = False
    max_segs = tso_segs(sk, mss)
    while sk.write_queue:
        skb = sk.write_queue[0]
        quota = cwnd_test(sk)
        if not quota:
            if push_one != 2:
                break
            quota = 1
        quota = min(quota, max_segs)
        grow_skb(sk, skb, quota * mss - len(skb.data))
        segs = set_pcount(skb, mss)
        if not snd_wnd_test(sk, skb, mss):
            break
        if segs == 1:
            if not nagle_test(sk, skb, mss, nonagle if len(sk.write_queue) == 1 else NAGLE_PUSH):
                break
        elif not push_one:
            defer, cwnd_limited = should_defer(sk, skb, max_segs)
        if defer or not _send_head(sk, mss, segs, quota, nonagle):
            break
        sent += skb.pcount
        if push_one:
            break
    cwnd_limited = cwnd_limited or sk.packets_in_flight() >= sk.cwnd
    if sent or cwnd_limited:
        congestion.cwnd_validate(sk, cwnd_limited)
    if sent:
        if congestion.in_reduction(sk):
            sk.prr_out += sent
        if push_one != 2:
            rtt.schedule_loss_probe(sk, False)
        return False
    return not sk.packets_out and bool(sk.write_queue)


def _send_head(sk: TcpSock, mss: int, segs: int, quota: int, nonagle: int) -> bool:
    """Cut the head to what may go and send it; False when it does not go."""
    skb = sk.write_queue[0]
    limit = mss
    if segs > 1 and not sk.urg_mode():
        limit = split_point(sk, skb, mss, quota, nonagle)
    if len(skb.data) > limit:
        sk.write_queue.insert(1, fragment(sk, skb, limit, mss))
    small_queues.check(sk, skb)
    if skb.seq == skb.end_seq:
        return False
    if transmit(sk, skb):
        return False
    event_new_data_sent(sk, skb)
    if len(skb.data) < skb.pcount * mss:
        sk.snd_sml = skb.end_seq
    return True


def event_new_data_sent(sk: TcpSock, skb: TxSkb) -> None:
    """`tcp_event_new_data_sent`."""
    prior = sk.packets_out
    sk.snd_nxt = skb.end_seq
    sk.write_queue.popleft()
    sk.rtx_queue.append(skb)
    sk.packets_out += skb.pcount
    if not prior or sk.pending == rtt.LOSS_PROBE:
        rtt.rearm_rto(sk)
    check_space(sk)


def check_space(sk: TcpSock) -> None:
    """`tcp_check_space`: after sending or being acknowledged, writers may go on."""
    if sk.socket is not None and sk.nospace:
        new_space(sk)


def new_space(sk: TcpSock) -> None:
    """`tcp_new_space`."""
    if not sk.userlocks & 1 and sk.packets_in_flight() < sk.cwnd:
        expand_sndbuf(sk)
        sk.cwnd_stamp = sk.net.now
    sk.write_space()


def queue_skb(sk: TcpSock, skb: TxSkb) -> None:
    """`tcp_queue_skb`."""
    sk.write_seq = skb.end_seq
    sk.wmem_queued += skb.truesize
    sk.write_queue.append(skb)


def send_fin(sk: TcpSock) -> None:
    """`tcp_send_fin`: on the last unsent skb, or as one of its own."""
    if sk.write_queue:
        tail = sk.write_queue[-1]
        tail.flags |= FIN
        tail.end_seq = (tail.end_seq + 1) & MASK
        sk.write_seq = (sk.write_seq + 1) & MASK
    else:
        queue_skb(sk, TxSkb(sk.write_seq, ACK | FIN, sk.net.buffers))
    push(sk, current_mss(sk), NAGLE_OFF)


def write_wakeup(sk: TcpSock) -> None:
    """`tcp_write_wakeup`: a zero-window probe with data when some fits, without otherwise."""
    if sk.state is State.CLOSE:
        return
    if sk.write_queue and before(sk.write_queue[0].seq, window_end(sk)):
        skb = sk.write_queue[0]
        mss = current_mss(sk)
        size = (window_end(sk) - skb.seq) & MASK
        if after(skb.end_seq, sk.pushed_seq):
            sk.pushed_seq = skb.end_seq
        if size < (skb.end_seq - skb.seq) & MASK or len(skb.data) > mss:
            skb.flags |= PSH
            sk.write_queue.insert(1, fragment(sk, skb, min(size, mss), mss))
        elif not skb.pcount:
            set_pcount(skb, mss)
        skb.flags |= PSH
        if not transmit(sk, skb):
            event_new_data_sent(sk, skb)
        return
    if between(sk.snd_up, (sk.snd_una + 1) & MASK, (sk.snd_una + 0xFFFF) & MASK):
        send_probe(sk, True)
    send_probe(sk, False)
