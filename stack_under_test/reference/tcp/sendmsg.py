"""Taking the caller's data: `tcp_sendmsg_locked`, cut into bursts, pushed, and waiting for room."""

from __future__ import annotations

from collections.abc import Generator
from errno import EAGAIN, EPIPE

from ...contract import abi
from ..errors import Fail, NotModelled
from ..inet.control import each, socket_level
from ..net import MSEC
from ..release import Release
from ..sock import SEND_SHUTDOWN, Message, State, deadline, interrupted
from ..wait import MayBlock, Wait, Wakeup
from . import congestion
from .backlog import flush, hold
from .output import bound_to_half_window, current_mss
from .segment import ACK, PAGE_FRAGMENT, PSH, TxSkb
from .seq import MASK, after
from .sock import NAGLE_CORK, NAGLE_PUSH, TcpSock
from .xmit import push, queue_skb, write_xmit

FLUSH_AFTER = 16
"""Segments begun by one call until it looks after what has come meanwhile."""


def sendmsg(sk: TcpSock, message: Message) -> MayBlock[int]:
    """`tcp_sendmsg`: plain when it need not wait, a generator from the first wait on."""
    flags = message.flags
    if flags & abi.MSG_FASTOPEN:
        raise NotModelled("MSG_FASTOPEN")
    if flags & abi.MSG_ZEROCOPY and sk.options.get(abi.SO_ZEROCOPY) and message.iter.count:
        raise NotModelled("MSG_ZEROCOPY")
    sender = _Sender(sk, message)
    opened = sk.is_open() and not message.control
    if opened:
        try:
            if sender.fill():
                return sender.finish()
        except Fail as fail:
            return sender.failed(fail)
        if flags & abi.MSG_DONTWAIT:
            sk.nospace = True
            return sender.failed(Fail(EAGAIN, "sk_stream_wait_memory"))
    return _blocking(sender, full=opened)


def _blocking(sender: _Sender, full: bool) -> Generator[Wait, Wakeup, int]:
    sk, message = sender.sk, sender.message
    timeout = 0 if message.flags & abi.MSG_DONTWAIT else sk.sndtimeo
    until = deadline(sk.net, timeout)
    try:
        if not sk.is_open():
            yield from _wait_connect(sk, timeout, until)
        if message.control:
            check_control(message.control, sk.net.release)
        while full or not sender.fill():
            full = False
            yield from _wait_memory(sk, timeout, until)
            hold(sk)
    except Fail as fail:
        return sender.failed(fail)
    return sender.finish()


def check_control(control: bytes, release: Release) -> None:
    """`sock_cmsg_send`: only SOL_SOCKET messages are looked at."""
    for level, kind, data in each(control):
        if level == abi.SOL_SOCKET:
            socket_level(kind, data, release)


def _wait_connect(sk: TcpSock, timeout: int | None, until: int | None) -> Generator[Wait, Wakeup, None]:
    """`sk_stream_wait_connect`."""
    while True:
        error = sk.take_error()
        if error:
            raise Fail(error, "sk_stream_wait_connect: sock_error")
        if sk.is_open():
            return
        if sk.state not in (State.SYN_SENT, State.SYN_RECV):
            raise Fail(EPIPE, "sk_stream_wait_connect: state")
        if timeout == 0:
            raise Fail(EAGAIN, "sk_stream_wait_connect: would wait")
        assert sk.socket is not None
        sk.write_pending += 1
        reason = yield Wait((sk.socket.wait,), until)
        sk.write_pending -= 1
        if reason is Wakeup.SIGNAL:
            raise interrupted(timeout)
        if reason is Wakeup.TIMEOUT:
            timeout = 0


def _wait_memory(sk: TcpSock, timeout: int | None, until: int | None) -> Generator[Wait, Wakeup, None]:
    """`sk_stream_wait_memory`. Free memory at the start means that the host had none: Linux then sleeps at random."""
    short = sk.net.rng.below(sk.net.release.hz // 5) + 2 if sk.memory_free() else 0
    disconnects = sk.disconnects
    while True:
        if sk.err or sk.shutdown & SEND_SHUTDOWN:
            raise Fail(EPIPE, "sk_stream_wait_memory: error or shutdown")
        if timeout == 0:
            sk.nospace = True
            raise Fail(EAGAIN, "sk_stream_wait_memory: would wait")
        if sk.memory_free() and not short:
            return
        sk.nospace = True
        assert sk.socket is not None
        sk.write_pending += 1
        reason = yield Wait((sk.socket.wait,), sk.net.timer(short * (1000 * MSEC // sk.net.release.hz)) if short else until)
        sk.write_pending -= 1
        if disconnects != sk.disconnects:
            raise Fail(EPIPE, "sk_wait_event: sk_disconnects")
        if reason is Wakeup.SIGNAL:
            raise interrupted(timeout)
        if until is not None and sk.net.now >= until:
            timeout = 0
        short = 0


class _Sender:
    """One call's progress; `copied` octets are the connection's."""

    def __init__(self, sk: TcpSock, message: Message) -> None:
        self.sk = sk
        self.message = message
        self.copied = 0
        self.mss = 0
        self.goal = 0
        self.segments = 0
        """Begun since the backlog was last looked after."""

    def _measure(self) -> None:
        """`tcp_send_mss`: the MSS now, and how large a burst may get; no more when the connection has failed."""
        sk = self.sk
        self.mss = current_mss(sk)
        goal = bound_to_half_window(sk, sk.gso_max_size)
        self.goal = self.mss if self.message.flags & abi.MSG_OOB else max(goal // self.mss * self.mss, self.mss)
        if sk.err or sk.shutdown & SEND_SHUTDOWN:
            raise Fail(EPIPE, "tcp_sendmsg: error or shutdown")

    def fill(self) -> bool:
        """Copy as much as there is room for. True: everything; False: wait for room."""
        sk, message = self.sk, self.message
        self._measure()
        while message.iter.count:
            skb = sk.write_queue[-1] if sk.write_queue else None
            room = self.goal - len(skb.data) if skb is not None else 0
            if skb is None or room <= 0 or skb.eor:
                if not sk.memory_free():
                    return self._wait_for_space()
                if self.segments >= FLUSH_AFTER:
                    self.segments = 0
                    if flush(sk):
                        self._measure()
                        continue
                self.segments += 1
                skb = TxSkb(sk.write_seq, ACK, sk.net.buffers)
                queue_skb(sk, skb)
                sk.nonagle &= ~NAGLE_PUSH
                congestion.slow_start_after_idle_check(sk)
                room = self.goal
            self._append(skb, min(room, message.iter.count))
            if not message.iter.count:
                if message.flags & abi.MSG_EOR:
                    skb.eor = True
                break
            if len(skb.data) < self.goal or message.flags & abi.MSG_OOB:
                continue
            if after(sk.write_seq, (sk.pushed_seq + (sk.max_window >> 1)) & MASK):
                self._mark_push(skb)
                push(sk, self.mss, NAGLE_PUSH)
            elif skb is sk.write_queue[0]:
                write_xmit(sk, self.mss, NAGLE_PUSH, 1)
        return True

    def _append(self, skb: TxSkb, size: int) -> None:
        """Copy in pages, as `tcp_sendmsg` does: what was copied before a fault stays."""
        sk = self.sk
        while size:
            chunk = min(size, PAGE_FRAGMENT)
            data = self.message.iter.copy_from(chunk)
            if not self.copied:
                skb.flags &= ~PSH
            skb.data += data
            skb.truesize += chunk
            sk.wmem_queued += chunk
            skb.end_seq = (skb.end_seq + chunk) & MASK
            sk.write_seq = (sk.write_seq + chunk) & MASK
            skb.pcount = 0
            self.copied += chunk
            size -= chunk

    def _wait_for_space(self) -> bool:
        self.sk.nospace = True
        self._remove_empty()
        if self.copied:
            self._push(self.message.flags & ~abi.MSG_MORE, NAGLE_PUSH)
        return False

    def _mark_push(self, skb: TxSkb) -> None:
        skb.flags |= PSH
        self.sk.pushed_seq = self.sk.write_seq

    def _push(self, flags: int, nonagle: int) -> None:
        """`tcp_push`."""
        sk = self.sk
        if not sk.write_queue:
            return
        tail = sk.write_queue[-1]
        if not flags & abi.MSG_MORE or after(sk.write_seq, (sk.pushed_seq + (sk.max_window >> 1)) & MASK):
            self._mark_push(tail)
        if flags & abi.MSG_OOB:
            sk.snd_up = sk.write_seq
        if flags & abi.MSG_MORE:
            nonagle = NAGLE_CORK
        push(sk, self.mss, nonagle)

    def _remove_empty(self) -> None:
        """`tcp_remove_empty_skb`."""
        sk = self.sk
        if sk.write_queue and not sk.write_queue[-1].data and sk.write_queue[-1].seq == sk.write_queue[-1].end_seq:
            skb = sk.write_queue.pop()
            sk.wmem_queued -= skb.truesize

    def finish(self) -> int:
        if self.copied:
            self._push(self.message.flags, self.sk.nonagle)
        return self.copied

    def failed(self, fail: Fail) -> int:
        """What was copied counts; else `sk_stream_error`: EPIPE also raises SIGPIPE."""
        sk = self.sk
        self._remove_empty()
        if self.copied:
            return self.finish()
        errno = fail.errno
        if errno == EPIPE:
            errno = sk.take_error() or EPIPE
            if errno == EPIPE and not self.message.flags & abi.MSG_NOSIGNAL:
                sk.net.signals.append("SIGPIPE")
        if errno == EAGAIN and not sk.write_queue and not sk.rtx_queue:
            sk.write_space()
        raise Fail(errno, fail.rule)
