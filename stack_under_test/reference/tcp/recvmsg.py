"""Giving the reader its data: `tcp_recvmsg_locked`, urgent data, and the ACKs that reading causes."""

from __future__ import annotations

import struct
from collections.abc import Generator
from errno import EAGAIN, EFAULT, EINVAL, ENOTCONN, EPIPE

from ...contract import abi
from ..errors import Fail
from ..inet import errqueue
from ..sock import RCV_SHUTDOWN, Message, State, deadline, interrupted
from ..wait import MayBlock, Wait, Wakeup
from . import window
from .ack import fast_path_check
from .output import send_ack
from .segment import FIN, RcvSkb
from .seq import MASK, after, before, diff
from .sock import ACK_PUSHED, ACK_PUSHED2, URG_READ, URG_VALID, TcpSock

TCP_CM_INQ = 36


def recvmsg(sk: TcpSock, message: Message, size: int) -> MayBlock[int]:
    """`tcp_recvmsg`."""
    flags = message.flags
    if flags & abi.MSG_ERRQUEUE:
        return errqueue.receive_error(sk, message, size)
    if sk.state is State.LISTEN:
        raise Fail(ENOTCONN, "tcp_recvmsg: TCP_LISTEN")
    if flags & abi.MSG_OOB:
        return _urgent(sk, message, size)
    reader = _Reader(sk, message, size)
    if reader.take():
        return reader.finish()
    if flags & abi.MSG_DONTWAIT or sk.rcvtimeo == 0:
        return reader.finish(EAGAIN)
    return _blocking(reader)


def _blocking(reader: _Reader) -> Generator[Wait, Wakeup, int]:
    sk = reader.sk
    until = deadline(sk.net, sk.rcvtimeo)
    disconnects = sk.disconnects
    while True:
        cleanup_rbuf(sk, reader.copied)
        assert sk.socket is not None
        reason = yield Wait((sk.socket.wait,), until)
        if disconnects != sk.disconnects:
            return reader.finish(EPIPE)
        if not reader.size:
            return 0
        reader.resume()
        if reason is Wakeup.SIGNAL and not sk.receive_queue and not reader.copied:
            raise interrupted(until)
        if reader.take():
            return reader.finish()
        if reason is Wakeup.TIMEOUT:
            return reader.finish(EAGAIN)
        if reason is Wakeup.SIGNAL:
            if reader.copied:
                return reader.finish()
            raise interrupted(until)


def _urgent(sk: TcpSock, message: Message, size: int) -> int:
    """`tcp_recv_urg`."""
    if sk.urg_inline or not sk.urg_data or sk.urg_data == URG_READ:
        raise Fail(EINVAL, "tcp_recv_urg: no urgent data")
    if sk.state is State.CLOSE and not sk.done:
        raise Fail(ENOTCONN, "tcp_recv_urg: TCP_CLOSE")
    if sk.urg_data & URG_VALID:
        octet = bytes((sk.urg_data & 0xFF,))
        if not message.flags & abi.MSG_PEEK:
            sk.urg_data = URG_READ
        message.flags_out |= abi.MSG_OOB
        if size > 0:
            if not message.flags & abi.MSG_TRUNC and message.iter.copy_to(octet) < 1:
                raise Fail(EFAULT, "tcp_recv_urg: memcpy_to_msg")
            return 1
        message.flags_out |= abi.MSG_TRUNC
        return 0
    if sk.state is State.CLOSE or sk.shutdown & RCV_SHUTDOWN:
        return 0
    raise Fail(EAGAIN, "tcp_recv_urg: not yet here")


class _Reader:
    """One call's progress; MSG_PEEK reads at a position of its own."""

    def __init__(self, sk: TcpSock, message: Message, size: int) -> None:
        self.sk = sk
        self.message = message
        self.left = self.size = size
        self.copied = 0
        self.peek = bool(message.flags & abi.MSG_PEEK)
        self.offset = max(sk.peek_off, 0) if self.peek else 0
        self.peek_seq = (sk.copied_seq + self.offset) & MASK
        self.urg_hole = 0
        self.target = (size if message.flags & abi.MSG_WAITALL else min(sk.rcvlowat, size)) or 1
        self.error = 0
        self.ended = False

    @property
    def seq(self) -> int:
        return self.peek_seq if self.peek else self.sk.copied_seq

    def _move(self, octets: int) -> None:
        if self.peek:
            self.peek_seq = (self.peek_seq + octets) & MASK
        else:
            self.sk.copied_seq = (self.sk.copied_seq + octets) & MASK

    def resume(self) -> None:
        """After a sleep: somebody else may have read, or the connection been made, so a peek starts where reading does."""
        start = (self.peek_seq - self.offset - self.copied - self.urg_hole) & MASK
        if self.peek and start != self.sk.copied_seq:
            self.peek_seq = (self.sk.copied_seq + self.offset) & MASK

    def should_stop(self) -> bool:
        """`tcp_recv_should_stop`."""
        sk = self.sk
        return bool(sk.err or sk.state is State.CLOSE or sk.shutdown & RCV_SHUTDOWN)

    def take(self) -> bool:
        """Copy what is there. True: the call is over; False: wait for more."""
        sk = self.sk
        while True:
            if sk.urg_data and sk.urg_seq == self.seq and self.copied:
                return True
            skb = self._next()
            if skb is None:
                return self._nothing()
            if not self._copy(skb):
                return True
            if self.ended or self.left <= 0:
                return True

    def _next(self) -> RcvSkb | None:
        """The buffer the position lies in, or one whose FIN is next."""
        seq = self.seq
        for skb in self.sk.receive_queue:
            offset = (seq - skb.seq) & MASK
            if offset < len(skb.data) or (skb.flags & FIN and not after(seq, skb.end_seq)):
                return skb
        return None

    def _nothing(self) -> bool:
        sk = self.sk
        if self.copied >= self.target:
            return True
        if self.copied:
            return self.should_stop()
        if sk.done:
            return True
        if sk.err:
            self.error = sk.take_error()
            return True
        if sk.shutdown & RCV_SHUTDOWN:
            return True
        if sk.state is State.CLOSE:
            self.error = ENOTCONN
            return True
        return False

    def _copy(self, skb: RcvSkb) -> bool:
        """Copy from one buffer; False ends the call (a fault)."""
        sk = self.sk
        offset = (self.seq - skb.seq) & MASK
        used = min(len(skb.data) - offset, self.left)
        if used > 0:
            if sk.urg_data:
                at = (sk.urg_seq - self.seq) & MASK
                if at < used:
                    if at:
                        used = at
                    elif not sk.urg_inline:
                        self._move(1)
                        self.urg_hole += 1
                        offset += 1
                        used -= 1
                        if not used:
                            self._after_urgent()
                            self._eat(skb, offset)
                            return True
            if not self._give(skb, offset, used):
                return False
            offset += used
        self._after_urgent()
        if offset < len(skb.data):
            return True
        self._eat(skb, offset)
        return True

    def _give(self, skb: RcvSkb, offset: int, used: int) -> bool:
        sk = self.sk
        if not self.message.flags & abi.MSG_TRUNC:
            done = self.message.iter.copy_to(skb.data[offset : offset + used])
            if done < used:
                self.message.iter.revert(done)
                if not self.copied:
                    self.error = EFAULT
                return False
        self._move(used)
        self.copied += used
        self.left -= used
        if sk.peek_off >= 0:
            sk.peek_off = sk.peek_off + used if self.peek else max(sk.peek_off - used, 0)
        window.space_adjust(sk)
        return True

    def _after_urgent(self) -> None:
        sk = self.sk
        if sk.urg_data and after(sk.copied_seq, sk.urg_seq):
            sk.urg_data = 0
            fast_path_check(sk)

    def _eat(self, skb: RcvSkb, offset: int) -> None:
        """The buffer is used up; its FIN counts as read."""
        if offset < len(skb.data):
            return
        if skb.flags & FIN:
            self._move(1)
            self.ended = True
        if not self.peek and skb in self.sk.receive_queue:
            self.sk.receive_queue.remove(skb)
            self.sk.rmem_alloc -= skb.truesize

    def finish(self, error: int = 0) -> int:
        sk = self.sk
        if not self.copied and not self.ended:
            error = self.error or error
        else:
            error = self.error if not self.copied else 0
        cleanup_rbuf(sk, self.copied if not error else -error)
        if error:
            raise Fail(error, "tcp_recvmsg")
        if sk.recvmsg_inq:
            left = inq_hint(sk)
            self.message.control_out.append((abi.SOL_TCP, TCP_CM_INQ, struct.pack("<i", left)))
        return self.copied


def inq(sk: TcpSock) -> int:
    """`tcp_inq`: what SIOCINQ says."""
    if sk.state in (State.SYN_SENT, State.SYN_RECV):
        return 0
    if sk.urg_inline or not sk.urg_data or before(sk.urg_seq, sk.copied_seq) or not before(sk.urg_seq, sk.rcv_nxt):
        answer = diff(sk.rcv_nxt, sk.copied_seq)
        if answer and sk.done:
            answer -= 1
        return answer
    return diff(sk.urg_seq, sk.copied_seq)


def inq_hint(sk: TcpSock) -> int:
    """`tcp_inq_hint`: one when only the FIN is left."""
    left = diff(sk.rcv_nxt, sk.copied_seq)
    return 1 if left == 0 and sk.done else left


def cleanup_rbuf(sk: TcpSock, copied: int) -> None:
    """`__tcp_cleanup_rbuf`: reading may be reason to acknowledge, or to announce a larger window."""
    ack = False
    if sk.ack_scheduled():
        ack = (sk.rcv_nxt - sk.rcv_wup) & MASK > sk.rcv_mss or (
            copied > 0
            and bool(sk.ack_pending & ACK_PUSHED2 or (sk.ack_pending & ACK_PUSHED and not sk.in_pingpong()))
            and not sk.rmem_alloc
        )
    if copied > 0 and not ack and not sk.shutdown & RCV_SHUTDOWN:
        now = window.receive_window(sk)
        if 2 * now <= sk.window_clamp:
            new = window.choose(sk)
            ack = bool(new) and new >= 2 * now
    if ack:
        send_ack(sk)
