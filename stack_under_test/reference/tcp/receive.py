"""Segment text: the in-order queue, the out-of-order queue, FIN, urgent data, and when to acknowledge.

(`tcp_data_queue`, `tcp_data_queue_ofo`, `tcp_fin`, `tcp_urg`, `__tcp_ack_snd_check`; RFC 9293 3.10.7.4 sixth to eighth.)
"""

from __future__ import annotations

from ..inet.truesize import SK_BUFF
from ..sock import RCV_SHUTDOWN, State
from ..timers import PRECISE
from . import ecn, memory, sacks, timewait, window
from .ack import fast_path_check
from .output import send_ack, send_delayed_ack
from .segment import FIN, MAX_FRAGS, PSH, SYN, URG, RcvSkb, Segment
from .seq import MASK, after, before
from .sock import (
    ACK_NOMEM,
    ACK_NOW,
    ACK_PUSHED,
    ACK_PUSHED2,
    ATO_MIN,
    DELACK_MAX,
    MAX_QUICKACKS,
    URG_NOTYET,
    URG_VALID,
    TcpSock,
)
from .states import enter
from .xmit import check_space, push_pending_frames

COMPRESSED_ACK_SLACK = 100_000
"""`tcp_comp_sack_slack_ns`: the timer may be late by as much, and is when nothing else wakes the kernel."""


def incr_quickack(sk: TcpSock, most: int) -> None:
    """`tcp_incr_quickack`."""
    quick = min(sk.rcv_wnd // (2 * sk.rcv_mss) or 2, most)
    sk.ack_quick = max(sk.ack_quick, quick)


def enter_quickack_mode(sk: TcpSock, most: int = MAX_QUICKACKS) -> None:
    """`tcp_enter_quickack_mode`."""
    incr_quickack(sk, most)
    sk.pingpong = 0
    sk.ack_ato = ATO_MIN


def in_quickack_mode(sk: TcpSock) -> bool:
    return sk.ack_quick > 0 and not sk.in_pingpong()


def measure_rcv_mss(sk: TcpSock, skb: RcvSkb, doff: int) -> None:
    """`tcp_measure_rcv_mss`: the segment size the peer seems to use."""
    last = sk.last_seg_size
    sk.last_seg_size = 0
    length = (skb.origin and skb.origin.gso_size) or len(skb.data)
    if length >= sk.rcv_mss:
        if length != sk.rcv_mss:
            _rescale(sk, skb)
        sk.rcv_mss = min(length, sk.advmss)
        if skb.flags & PSH:
            sk.ack_pending |= ACK_PUSHED
        return
    length += doff
    if length >= 536 + 20 or (length >= 88 + 20 and not skb.flags & (URG | PSH | SYN | FIN)):
        length -= sk.tcp_header_len
        sk.last_seg_size = length
        if length == last:
            sk.rcv_mss = length
            return
    if sk.ack_pending & ACK_PUSHED:
        sk.ack_pending |= ACK_PUSHED2
    sk.ack_pending |= ACK_PUSHED


def _rescale(sk: TcpSock, skb: RcvSkb) -> None:
    old = sk.scaling_ratio
    sk.scaling_ratio = (len(skb.data) << window.RMEM_TO_WIN_SCALE) // skb.truesize or 1
    if old != sk.scaling_ratio:
        clamp = window.win_from_space(sk, sk.rcvbuf)
        if sk.net.release.clamp_moves_threshold:
            window.set_clamp(sk, clamp)
        else:
            sk.window_clamp = clamp
        sk.rcvq_space = min(sk.rcvq_space, sk.window_clamp)


def event_data_recv(sk: TcpSock, skb: RcvSkb, doff: int) -> None:
    """`tcp_event_data_recv`: the delayed-ACK engine's clockwork."""
    sk.schedule_ack()
    measure_rcv_mss(sk, skb, doff)
    window.rtt_measure(sk)
    now = sk.net.now
    if not sk.ack_ato:
        incr_quickack(sk, MAX_QUICKACKS)
        sk.ack_ato = ATO_MIN
    else:
        gap = sk.whole_ticks(now) - sk.whole_ticks(sk.lrcvtime)
        half = sk.whole_ticks(sk.ack_ato >> 1)
        if gap <= ATO_MIN // 2:
            sk.ack_ato = half + ATO_MIN // 2
        elif gap < sk.ack_ato:
            sk.ack_ato = min(half + gap, sk.rto, DELACK_MAX)
        elif gap > sk.rto:
            incr_quickack(sk, MAX_QUICKACKS)
    sk.lrcvtime = now
    _check_ecn(sk, skb)
    if len(skb.data) >= 128:
        window.grow(sk, skb, adjust=True)


def _check_ecn(sk: TcpSock, skb: RcvSkb) -> None:
    if ecn.experienced(sk, skb.tos):
        enter_quickack_mode(sk, 2)


def data_queue(sk: TcpSock, segment: Segment) -> None:
    """`tcp_data_queue`."""
    if segment.seq == segment.end_seq:
        return
    sk.dsack = None
    skb = RcvSkb(segment, sk.net.buffers)
    if segment.seq == sk.rcv_nxt:
        bare_fin = not skb.data and skb.flags & FIN
        if window.receive_window(sk) == 0 and not bare_fin:
            _out_of_window(sk)
            return
        _in_sequence(sk, skb, segment.doff)
        return
    if not after(segment.end_seq, sk.rcv_nxt):
        sacks.set_dsack(sk, segment.seq, segment.end_seq)
        _out_of_window(sk)
        return
    if not before(segment.seq, (sk.rcv_nxt + window.receive_window(sk)) & MASK):
        _out_of_window(sk)
        return
    if before(segment.seq, sk.rcv_nxt):
        sacks.set_dsack(sk, segment.seq, sk.rcv_nxt)
        if not window.receive_window(sk):
            _out_of_window(sk)
            return
        _in_sequence(sk, skb, segment.doff)
        return
    _queue_ofo(sk, skb, segment.doff)


def _out_of_window(sk: TcpSock) -> None:
    enter_quickack_mode(sk)
    sk.schedule_ack()


def _in_sequence(sk: TcpSock, skb: RcvSkb, doff: int) -> None:
    """`queue_and_out`: at RCV.NXT, or starting before it."""
    if not memory.schedule(sk, skb):
        sk.ack_pending |= ACK_NOMEM | ACK_NOW
        sk.schedule_ack()
        sk.data_ready()
        if sk.receive_queue and skb.data:
            return
    queue_rcv(sk, skb)
    if skb.data:
        event_data_recv(sk, skb, doff)
    if skb.flags & FIN:
        fin(sk)
    if sk.ofo_queue:
        _drain_ofo(sk)
        if not sk.ofo_queue:
            sk.ack_pending |= ACK_NOW
    if sk.selective_acks:
        sacks.remove(sk)
    fast_path_check(sk)
    if not sk.dead:
        data_ready(sk)


def data_ready(sk: TcpSock) -> None:
    """`tcp_data_ready`: the reader hears once SO_RCVLOWAT is met (`tcp_epollin_ready`)."""
    avail = (sk.rcv_nxt - sk.copied_seq) & MASK
    if (avail > 0 and (avail >= sk.rcvlowat or memory.pressed(sk) or window.receive_window(sk) <= sk.rcv_mss)) or sk.done:
        sk.data_ready()


def queue_rcv(sk: TcpSock, skb: RcvSkb) -> None:
    """`tcp_queue_rcv`: onto the tail's spare room when it fits (`tcp_try_coalesce`), else as a buffer of its own."""
    sk.bytes_received += (skb.end_seq - sk.rcv_nxt) & MASK
    sk.rcv_nxt = skb.end_seq
    if not _coalesce(sk, sk.receive_queue[-1] if sk.receive_queue else None, skb):
        sk.receive_queue.append(skb)
        sk.rmem_alloc += skb.truesize


def _coalesce(sk: TcpSock, tail: RcvSkb | None, skb: RcvSkb) -> bool:
    """`skb_try_coalesce`: copied into spare room, or taken over page by page."""
    if tail is None or skb.seq != tail.end_seq or (tail.origin is not None and tail.origin.held):
        return False
    if len(skb.data) <= tail.room:
        tail.room -= len(skb.data)
    elif skb.head_frag and tail.frags + skb.frags < MAX_FRAGS:
        _take_over(sk, tail, skb.frags + 1, skb.truesize - SK_BUFF)
    elif skb.frags and not skb.head_frag and tail.frags + skb.frags <= MAX_FRAGS:
        _take_over(sk, tail, skb.frags, skb.truesize - sk.net.buffers.empty)
    else:
        return False
    tail.data += skb.data
    tail.end_seq = skb.end_seq
    tail.flags |= skb.flags
    return True


def _take_over(sk: TcpSock, tail: RcvSkb, frags: int, truesize: int) -> None:
    tail.frags += frags
    tail.room = 0
    tail.truesize += truesize
    sk.rmem_alloc += truesize


def _queue_ofo(sk: TcpSock, skb: RcvSkb, doff: int) -> None:
    """`tcp_data_queue_ofo`."""
    _check_ecn(sk, skb)
    if not memory.schedule(sk, skb):
        sk.data_ready()
        return
    measure_rcv_mss(sk, skb, doff)
    sk.fast_path = None
    sk.schedule_ack()
    sk.rcv_ooopack += 1
    seq, end_seq = skb.seq, skb.end_seq
    grows, kept = _insert_ofo(sk, skb)
    if sk.sack_ok:
        if len(sk.ofo_queue) == 1 and kept and not sk.selective_acks:
            sk.selective_acks = [(seq, end_seq)]
        else:
            sacks.new_ofo(sk, seq, end_seq)
        if grows:
            window.grow(sk, skb, adjust=not kept)
    if kept:
        sk.rmem_alloc += skb.truesize
    if sk.socket is not None and sk.net.release.grows_while_reordered:
        window.rcvbuf_grow(sk, sk.rcvq_space)


def _insert_ofo(sk: TcpSock, skb: RcvSkb) -> tuple[bool, bool]:
    """Put it in order, cutting what it covers: (may the window grow, does it stand as a buffer of its own)."""
    queue = sk.ofo_queue
    if queue and _coalesce(sk, queue[-1], skb):
        return True, False
    node, parent, side = queue.root, None, 0
    if queue and not before(skb.seq, queue[-1].end_seq):
        node, parent, side = None, queue.node(queue[-1]), 1
    while node is not None:
        other = node.item
        if not before(skb.seq, other.seq):
            if before(skb.seq, other.end_seq):
                if not after(skb.end_seq, other.end_seq):
                    sacks.set_dsack(sk, skb.seq, skb.end_seq)
                    return False, False
                if skb.seq == other.seq:
                    sacks.extend_dsack(sk, other.seq, other.end_seq)
                    sk.rmem_alloc -= other.truesize
                    queue.replace(other, skb)
                    _merge_right(sk, skb)
                    return True, True
                sacks.set_dsack(sk, skb.seq, other.end_seq)
            elif _coalesce(sk, other, skb):
                return True, False
        parent, side = node, 0 if before(skb.seq, other.seq) else 1
        node = node.below[side]
    queue.insert(skb, parent, side)
    _merge_right(sk, skb)
    return True, True


def _merge_right(sk: TcpSock, skb: RcvSkb) -> None:
    """What `skb` covers goes."""
    while (following := sk.ofo_queue.after(skb)) is not None and after(skb.end_seq, following.seq):
        if before(skb.end_seq, following.end_seq):
            sacks.extend_dsack(sk, following.seq, skb.end_seq)
            break
        sacks.extend_dsack(sk, following.seq, following.end_seq)
        sk.rmem_alloc -= following.truesize
        sk.ofo_queue.remove(following)


def _drain_ofo(sk: TcpSock) -> None:
    """`tcp_ofo_queue`: what has become contiguous moves to the receive queue."""
    dsack_high = sk.rcv_nxt
    while sk.ofo_queue:
        skb = sk.ofo_queue[0]
        if after(skb.seq, sk.rcv_nxt):
            break
        if before(skb.seq, dsack_high):
            end = skb.end_seq if before(skb.end_seq, dsack_high) else dsack_high
            sacks.extend_dsack(sk, skb.seq, end)
        sk.ofo_queue.remove(skb)
        sk.rmem_alloc -= skb.truesize
        if not after(skb.end_seq, sk.rcv_nxt):
            continue
        flags = skb.flags
        queue_rcv(sk, skb)
        if flags & FIN:
            fin(sk)
            break


def fin(sk: TcpSock) -> None:
    """`tcp_fin`: the peer will send no more (RFC 9293 3.10.7.4 eighth)."""
    sk.schedule_ack()
    sk.shutdown |= RCV_SHUTDOWN
    sk.done = True
    if sk.state in (State.SYN_RECV, State.ESTABLISHED):
        enter(sk, State.CLOSE_WAIT)
        sk.pingpong = max(sk.pingpong, 1)
    elif sk.state is State.FIN_WAIT1:
        send_ack(sk)
        enter(sk, State.CLOSING)
    elif sk.state is State.FIN_WAIT2:
        send_ack(sk)
        timewait.enter_time_wait(sk, State.TIME_WAIT, 0)
    for skb in sk.ofo_queue:
        sk.rmem_alloc -= skb.truesize
    sk.ofo_queue.clear()
    sk.selective_acks = []
    sk.dsack = None
    if not sk.dead:
        sk.state_change()


def urgent(sk: TcpSock, segment: Segment) -> None:
    """`tcp_urg`: note the pointer, and take the octet when it is in this segment."""
    if segment.flags & URG:
        _check_urgent(sk, segment)
    if sk.urg_data == URG_NOTYET:
        at = (sk.urg_seq - segment.seq + segment.doff - (1 if segment.flags & SYN else 0)) & MASK
        if at < segment.doff + len(segment.payload):
            # A pointer behind us leads into the header: Linux reads what is there.
            octet = segment.payload[at - segment.doff] if at >= segment.doff else segment.header[at]
            sk.urg_data = URG_VALID | octet
            if not sk.dead:
                sk.data_ready()


def _check_urgent(sk: TcpSock, segment: Segment) -> None:
    """`tcp_check_urg` (BSD's reading of the pointer unless tcp_stdurg)."""
    pointer = segment.urgent
    if pointer and not sk.net.sysctl.tcp_stdurg:
        pointer -= 1
    pointer = (pointer + segment.seq) & MASK
    if after(sk.copied_seq, pointer) or before(pointer, sk.rcv_nxt):
        return
    if sk.urg_data and not after(pointer, sk.urg_seq):
        return
    if sk.urg_seq == sk.copied_seq and sk.urg_data and not sk.urg_inline and sk.copied_seq != sk.rcv_nxt:
        sk.copied_seq = (sk.copied_seq + 1) & MASK
        head = sk.receive_queue[0] if sk.receive_queue else None
        if head is not None and not before(sk.copied_seq, head.end_seq):
            sk.receive_queue.popleft()
            sk.rmem_alloc -= head.truesize
    sk.urg_data = URG_NOTYET
    sk.urg_seq = pointer
    sk.fast_path = None


def ack_snd_check(sk: TcpSock) -> None:
    """`tcp_ack_snd_check`: acknowledge now, later, or (SACK compression) a little later."""
    if sk.ack_scheduled():
        ack_now_or_later(sk, True)


def ack_now_or_later(sk: TcpSock, ofo_possible: bool) -> None:
    """`__tcp_ack_snd_check`."""
    unread = (sk.rcv_nxt - sk.copied_seq) & MASK
    if (
        ((sk.rcv_nxt - sk.rcv_wup) & MASK > sk.rcv_mss and (unread < sk.rcvlowat or window.choose(sk) >= sk.rcv_wnd))
        or in_quickack_mode(sk)
        or sk.ack_pending & ACK_NOW
    ):
        if sk.owned_by_user:
            sk.ack_deferred = True
        else:
            send_ack(sk)
        return
    if not ofo_possible or not sk.ofo_queue:
        send_delayed_ack(sk)
        return
    if not sk.sack_ok or sk.compressed_ack >= 44:
        send_ack(sk)
        return
    if sk.compressed_ack_rcv_nxt != sk.rcv_nxt:
        sk.compressed_ack_rcv_nxt = sk.rcv_nxt
        sk.dup_ack_counter = 0
    if sk.dup_ack_counter < 3:
        sk.dup_ack_counter += 1
        send_ack(sk)
        return
    sk.compressed_ack += 1
    if "compressed_ack" in sk.armed:
        return
    rtt = sk.rcv_rtt_us
    if sk.srtt_us and sk.srtt_us < rtt:
        rtt = sk.srtt_us
    delay = min(rtt * 125 * sk.net.release.compressed_ack_percent // 100, 1_000_000)
    sk.net.timers.arm(sk, "compressed_ack", sk.net.now + delay + COMPRESSED_ACK_SLACK, PRECISE)


def data_snd_check(sk: TcpSock) -> None:
    """`tcp_data_snd_check`."""
    push_pending_frames(sk)
    check_space(sk)
