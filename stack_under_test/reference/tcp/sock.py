"""`struct tcp_sock` with `inet_connection_sock`: a connection's variables, under Linux's names (RFC 9293's for the rest).

Sequence numbers are 32-bit; times are ns except `*_us` (microseconds, as Linux measures round trips).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ...contract import abi
from ..net import MSEC, SEC, Net
from ..sock import SOCK_RCVBUF_LOCK, Proto, Sock, State
from ..timers import PRECISE
from .minmax import RunningMin
from .ofo import OfoQueue
from .segment import PAGE, RcvSkb, TxSkb

if TYPE_CHECKING:
    from ..inet.routing import Route
    from .listen import Request

MSS_DEFAULT = 536
TCP_MIN_MSS = 88
INIT_CWND = 10
INFINITE_SSTHRESH = 0x7FFF_FFFF
TIMEOUT_INIT = SEC
TIMEOUT_FALLBACK = 3 * SEC
RTO_MIN = 200 * MSEC
RTO_MAX = 120 * SEC
ATO_MIN = 40 * MSEC
LONG_AGO = -(1 << 40)
DELACK_MIN = 40 * MSEC
DELACK_MAX = 200 * MSEC
TIMEWAIT_LEN = 60 * SEC
MAX_QUICKACKS = 16
ACK_SCHED, ACK_TIMER, ACK_PUSHED, ACK_PUSHED2, ACK_NOW, ACK_NOMEM = 1, 2, 4, 8, 16, 32
NAGLE_OFF, NAGLE_CORK, NAGLE_PUSH = 1, 2, 4
PINGPONG_THRESH = 1
URG_VALID, URG_NOTYET, URG_READ = 0x0100, 0x0200, 0x0400
SMALL_QUEUE = "small_queue"
"""The moment at which a connection goes on that waited for what had to leave this host first."""
CA_OPEN, CA_DISORDER, CA_CWR, CA_RECOVERY, CA_LOSS = 0, 1, 2, 3, 4


class TcpSock(Sock):
    """Defaults are `tcp_init_sock`'s."""

    def __init__(self, net: Net, family: int, kind: int, protocol: int, proto: Proto) -> None:
        self._rmem_alloc = 0
        self._wmem_queued = 0
        self.forward_alloc = 0
        super().__init__(net, family, kind, protocol, proto)
        self.rcvbuf = net.sysctl.tcp_rmem[1]
        self.sndbuf = net.sysctl.tcp_wmem[1]
        self.cleanup_defaults()
        self.nonagle = 0
        self.keepalive_time = 0
        self.keepalive_intvl = 0
        self.keepalive_probes = 0
        self.linger2 = 0
        self.user_timeout = 0
        self.syn_retries = 0
        self.defer_accept = 0
        self.notsent_lowat = 0
        self.recvmsg_inq = False
        self.save_syn = 0
        self.saved_syn: bytes | None = None
        self.thin_lto = False
        self.fastopen_connect = False
        self.fastopen_no_cookie = False
        self.fastopen_backlog = 0
        self.congestion = net.sysctl.tcp_congestion_control
        self.user_mss = 0
        self.write_seq = 0
        self.reordering = 3
        self.accept_queue: deque[TcpSock] = deque()
        self.syn_queue: list[Request] = []
        self.listener: TcpSock | None = None
        self.in_table: tuple[bytes, int, bytes, int] | None = None
        self.nospace = False
        self.pushed_seq = 0
        self.write_pending = 0
        self.backlog_len = 0
        self.clock = 0
        """`tcp_clock_cache`."""
        self.ack_deferred = False
        """TCP_ACK_DEFERRED: an acknowledgement is due when the lock is free."""
        self.mtu_deferred: int | None = None
        """TCP_MTU_REDUCED_DEFERRED, with `mtu_info`."""
        self.rcv_mss = 0

    def cleanup_defaults(self) -> None:
        """What both a new socket and `tcp_disconnect` start from."""
        self._sending_defaults()
        self._receiving_defaults()
        self._options_defaults()
        self._acking_defaults()
        self._timing_defaults()
        self._recovery_defaults()

    def _sending_defaults(self) -> None:
        self.write_queue: deque[TxSkb] = deque()
        self.rtx_queue: deque[TxSkb] = deque()
        self.sent_order: dict[TxSkb, None] = {}
        """`tsorted_sent_queue`: what may be in flight, by when it was last sent."""
        self.wmem_queued = 0
        self.receive_queue: deque[RcvSkb] = deque()
        self.ofo_queue = OfoQueue()
        self.rmem_alloc = 0
        self.snd_una = 0
        self.snd_nxt = 0
        self.snd_sml = 0
        self.snd_up = 0
        self.snd_wl1 = 0
        self.snd_wnd = 0
        self.max_window = 0

    def _receiving_defaults(self) -> None:
        self.rcv_nxt = 0
        self.rcv_wup = 0
        self.rcv_wnd = 0
        self.copied_seq = 0
        self.window_clamp = 0
        self.rcv_ssthresh = 0
        self.scaling_ratio = 128
        self.rcvq_space = 0
        self.rcvq_seq = 0
        self.rcvq_time = 0
        self.rcv_rtt_us = 0
        self.rcv_rtt_seq = 0
        self.rcv_rtt_time: int | None = None
        self.rcv_rtt_last_tsecr = 0

    def _options_defaults(self) -> None:
        self.snd_wscale = 0
        self.rcv_wscale = 0
        self.wscale_ok = False
        self.tstamp_ok = False
        self.sack_ok = False
        self.ecn_ok = False
        self.ecn_seen = False
        self.received_ce = 0
        self.received_ecn = [0, 0, 0, 0]
        """Octets by what their segments' ECN field said."""
        self.ecn_queue_cwr = False
        self.ecn_demand_cwr = False
        self.delivered_ce = 0
        self.ts_recent = 0
        self.ts_recent_stamp: int | None = None
        self.tsoffset = 0
        self.saw_tstamp = False
        self.rcv_tsval = 0
        self.rcv_tsecr = 0
        self.mss_clamp = MSS_DEFAULT
        self.mss_cache = MSS_DEFAULT
        self.advmss = 0
        self.fast_path: tuple[int, int] | None = None
        self.ack_timeout = 0
        self.pmtu = 0
        self.tcp_header_len = 20

    def _acking_defaults(self) -> None:
        self.rcv_mss = TCP_MIN_MSS
        self.last_seg_size = 0
        self.ack_pending = 0
        self.ack_quick = 0
        self.ack_ato = 0
        self.ack_retry = 0
        self.pingpong = 0
        self.lrcvtime = LONG_AGO
        self.lsndtime = 0
        self.rcv_tstamp = 0
        self.compressed_ack = 0
        self.compressed_ack_rcv_nxt = 0
        self.dup_ack_counter = 0
        self.selective_acks: list[tuple[int, int]] = []
        self.sack_cache: list[tuple[int, int]] = []
        """`recv_sack_cache`: the blocks of the last SACK option, lowest first."""
        self.dsack: tuple[int, int] | None = None
        self.urg_data = 0
        self.urg_seq = 0

    def _timing_defaults(self) -> None:
        self.srtt_us = 0
        self.mdev_us = TIMEOUT_INIT // 1000
        self.mdev_max_us = 0
        self.rttvar_us = 0
        self.rtt_seq = 0
        self.rtt_min = RunningMin(self.net.sysctl.tcp_min_rtt_wlen * SEC // self.tick)
        self.rto = TIMEOUT_INIT
        self.backoff = 0
        self.retransmits = 0
        self.probes_out = 0
        self.probes_tstamp = 0
        self.retrans_stamp = 0
        self.total_retrans = 0
        self.total_rto = 0
        self.total_rto_recoveries = 0
        self.timeout_rehash = 0

    def _recovery_defaults(self) -> None:
        self.packets_out = 0
        self.sacked_out = 0
        self.lost_out = 0
        self.lost = 0
        """All that was ever marked lost."""
        self.retrans_out = 0
        self.delivered = 0
        self.bytes_acked = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.bytes_retrans = 0
        self.segs_in = 0
        self.segs_out = 0
        self.data_segs_in = 0
        self.data_segs_out = 0
        self.rcv_ooopack = 0
        self.cwnd = INIT_CWND
        self.cwnd_cnt = 0
        self.cwnd_clamp = 0xFFFF_FFFF
        self.ssthresh = INFINITE_SSTHRESH
        self.prior_cwnd = 0
        self.prior_ssthresh = 0
        self.is_cwnd_limited = False
        self.max_packets_out = 0
        self.max_packets_seq = 0
        self.cwnd_usage_seq = 0
        self.cwnd_used = 0
        self.cwnd_stamp = 0
        self.ca_state = CA_OPEN
        self.high_seq = 0
        self.undo_marker = 0
        self.undo_retrans = 0
        self.prr_delivered = 0
        self.prr_out = 0
        self.tlp_high_seq = 0
        self.tlp_retrans = False
        self.frto = False
        self.pending = ""
        self.rack_mstamp = -1
        self.rack_end_seq = 0
        self.rack_rtt_us = 0
        self.rack_advanced = False
        self.reord_seen = 0
        self.dsack_dups = 0
        self.rack_dsack_seen = False
        self.reo_wnd_steps = 1
        self.reo_wnd_persist = 0
        self.rack_last_delivered = 0
        self.pacing_rate = (1 << 64) - 1
        self.throttled = False
        """TSQF_THROTTLED: it wants to go on when what waits on this host has left."""
        self.confirmed: Route | None = None
        """The route by which packets have arrived since the last was sent (`sk_dst_pending_confirm`)."""
        self.wstamp_ns = 0

    @property
    def rmem_alloc(self) -> int:
        """Receive memory in use; changing it charges or frees (`sk_mem_charge`, `sk_mem_uncharge`)."""
        return self._rmem_alloc

    @rmem_alloc.setter
    def rmem_alloc(self, value: int) -> None:
        self._charge(value - self._rmem_alloc)
        self._rmem_alloc = value

    @property
    def wmem_queued(self) -> int:
        """Send memory in use, charged likewise."""
        return self._wmem_queued

    @wmem_queued.setter
    def wmem_queued(self, value: int) -> None:
        self._charge(value - self._wmem_queued)
        self._wmem_queued = value

    def _charge(self, size: int) -> None:
        """Memory is reserved in whole pages; what is reserved and not used is `sk_forward_alloc`."""
        left = self.forward_alloc - size
        if size > 0 and left < 0:
            left += -(left // PAGE) * PAGE
        self.forward_alloc = left % PAGE if size < 0 else left

    @property
    def owned_by_user(self) -> bool:
        """`sock_owned_by_user`: the running call holds the lock."""
        return self.net.lock is not None and self.net.lock.sk is self

    def refresh(self) -> None:
        """`tcp_mstamp_refresh`: look at the clock.  Not everything does, and then goes by what it last was."""
        self.clock = self.net.now

    @property
    def now_us(self) -> int:
        """`tcp_mstamp`."""
        return self.clock // 1000

    @property
    def gso_max_size(self) -> int:
        """`sk_gso_max_size`: what a burst may hold."""
        return 65536 - self.net.buffers.max_tcp_header - 1

    def tsval(self) -> int:
        """The timestamp clock: milliseconds with the connection's offset (RFC 7323 5.4)."""
        return (self.clock // MSEC + self.tsoffset) & 0xFFFF_FFFF

    def ack_scheduled(self) -> bool:
        return bool(self.ack_pending & ACK_SCHED)

    def schedule_ack(self) -> None:
        self.ack_pending |= ACK_SCHED

    def in_pingpong(self) -> bool:
        return self.pingpong >= PINGPONG_THRESH

    def packets_in_flight(self) -> int:
        return self.packets_out - self.sacked_out - self.lost_out + self.retrans_out

    def urg_mode(self) -> bool:
        return self.snd_una != self.snd_up

    def is_open(self) -> bool:
        return self.state in (State.ESTABLISHED, State.CLOSE_WAIT)

    def arm(self, kind: str, delay: int) -> None:
        """(Re)arm a timer of the kernel's wheel `delay` ns from now."""
        self.net.timers.arm(self, kind, self.net.timer(delay))

    @property
    def tick(self) -> int:
        return SEC // self.net.release.hz

    def whole_ms(self, moment: int) -> int:
        """The last millisecond before a moment (ns), as timestamps count."""
        return moment - moment % MSEC

    def whole_ticks(self, moment: int) -> int:
        """The last tick before a moment (ns)."""
        return moment - moment % self.tick

    def disarm(self, kind: str) -> None:
        self.net.timers.cancel(self, kind)

    def set_rcvlowat(self, value: int) -> None:
        """`tcp_set_rcvlowat`: the buffer grows so that the mark can be reached."""
        locked = self.userlocks & SOCK_RCVBUF_LOCK
        most = self.rcvbuf >> 1 if locked else self.net.sysctl.tcp_rmem[2] >> 1
        value = min(value, most)
        self.rcvlowat = value or 1
        self.data_ready_again()
        if locked:
            return
        space = (value << 8) // self.scaling_ratio
        if space > self.rcvbuf:
            self.rcvbuf = space
            if self.window_clamp:
                self.window_clamp = max(self.window_clamp, value)

    def data_ready_again(self) -> None:
        """`tcp_data_ready` after the mark moved."""
        if (self.rcv_nxt - self.copied_seq) & 0xFFFF_FFFF >= self.rcvlowat and self.rcv_nxt != self.copied_seq:
            self.data_ready()

    def set_keepalive(self, on: bool) -> None:
        """`tcp_set_keepalive`."""
        if self.state not in (State.CLOSE, State.LISTEN):
            if on and not self.keepopen:
                self.arm("keepalive", self.keepalive_time or self.net.sysctl.tcp_keepalive_time * SEC)
            elif not on:
                self.disarm("keepalive")
        self.keepopen = on

    def holds(self, part: object, truesize: int) -> None:
        if isinstance(part, TxSkb):
            part.waiting += 1
        self.wmem_alloc += truesize

    def lets_go(self, part: object, truesize: int) -> None:
        """`tcp_wfree`: the connection goes on when what is being done now is done (`tcp_tsq_handler`)."""
        if isinstance(part, TxSkb):
            part.waiting -= 1
        self.wmem_alloc -= truesize
        if self.throttled:
            self.throttled = False
            self.net.timers.arm(self, SMALL_QUEUE, self.net.now, PRECISE)

    def confirm_route(self) -> None:
        """`sk_dst_confirm`."""
        self.confirmed = self.route

    def confirms_neighbour(self) -> bool:
        confirmed, self.confirmed = self.confirmed, None
        return confirmed is not None and confirmed is self.route

    def write_space(self) -> None:
        """`sk_stream_write_space`: wake writers once a third of the buffer is free."""
        if self.writeable():
            self.nospace = False
            self.wake(abi.POLLOUT | abi.POLLWRNORM | abi.POLLWRBAND)

    def writeable(self) -> bool:
        """`__sk_stream_is_writeable(sk, 1)`."""
        return self.sndbuf - self.wmem_queued >= self.wmem_queued >> 1 and self.memory_free(wake=True)

    def memory_free(self, wake: bool = False) -> bool:
        """`__sk_stream_memory_free` with `tcp_stream_memory_free` for TCP_NOTSENT_LOWAT."""
        if self.wmem_queued >= self.sndbuf:
            return False
        lowat = self.notsent_lowat or 0xFFFF_FFFF
        return (self.write_seq - self.snd_nxt & 0xFFFF_FFFF) << (1 if wake else 0) < lowat
