"""`tcp_prot`: what the family calls of TCP."""

from __future__ import annotations

from collections.abc import Generator
from errno import EADDRINUSE, EAGAIN, EINVAL

from ...contract import abi
from ..errors import Fail
from ..inet.protocols import Protosw, Transport, register
from ..net import Net
from ..sock import RCV_SHUTDOWN, SEND_SHUTDOWN, SHUTDOWN_MASK, Message, Sock, Socket, State, deadline, interrupted
from ..uaccess import UserMemory
from ..wait import MayBlock, Wait, Wakeup
from . import close, connect, errors, input, memory, sockopts, timers
from .backlog import hold
from .output import sync_mss
from .recvmsg import inq, recvmsg
from .sendmsg import sendmsg
from .seq import MASK
from .sock import URG_VALID, TcpSock
from .states import enter
from .tables import TcpTables
from .window import receive_window

ENOIOCTLCMD = 515


class TcpProto:
    """Stateless; `sk` is a TcpSock throughout."""

    name = "TCP"

    def init(self, sk: Sock) -> None:
        """`tcp_init_sock` is the TcpSock's defaults."""

    def close(self, sk: Sock, timeout: int | None) -> MayBlock[None]:
        return close.close(_locked(sk), timeout)

    def connect(self, sk: Sock, address: bytes) -> None:
        connect.connect(_locked(sk), address)

    def disconnect(self, sk: Sock) -> None:
        close.disconnect(_tcp(sk))

    def listen(self, sk: Sock) -> None:
        """`inet_csk_listen_start`."""
        tcp = _tcp(sk)
        tcp.ack_backlog = tcp.ack_pending = tcp.ack_quick = tcp.ack_ato = tcp.pingpong = tcp.last_seg_size = tcp.rcv_mss = 0
        enter(tcp, State.LISTEN)
        if not sk.net.tcp_ports.get(sk, sk.num):
            enter(tcp, State.CLOSE)
            raise Fail(EADDRINUSE, "inet_csk_listen_start: get_port")
        sk.sport = sk.num
        sk.route = None
        sk.net.tcp.listen(tcp)

    def accept(self, sk: Sock, flags: int) -> MayBlock[Sock]:
        """`inet_csk_accept`."""
        tcp = _tcp(sk)
        if tcp.state is not State.LISTEN:
            raise Fail(EINVAL, "inet_csk_accept: state")
        if tcp.accept_queue:
            return _take(tcp)
        if flags & abi.O_NONBLOCK or tcp.rcvtimeo == 0:
            raise Fail(EAGAIN, "inet_csk_accept: queue is empty")
        return _wait_for_connect(tcp)

    def get_port(self, sk: Sock, port: int) -> bool:
        return sk.net.tcp_ports.get(sk, port)

    def put_port(self, sk: Sock) -> None:
        sk.net.tcp_ports.put(sk)

    def hash(self, sk: Sock) -> None:
        """Entering the tables happens where the ends are known (`connect.claim`, `listen`)."""

    def unhash(self, sk: Sock) -> None:
        """`inet_unhash`."""
        tcp = _tcp(sk)
        sk.net.tcp.unlisten(tcp)
        if tcp.in_table is not None:
            sk.net.tcp.remove(tcp.in_table)
            tcp.in_table = None

    def options_changed(self, sk: Sock) -> None:
        """`icsk_sync_mss` after IP_OPTIONS: the segments must leave room for them."""
        tcp = _tcp(sk)
        sync_mss(tcp, tcp.pmtu)

    def shutdown(self, sk: Sock, how: int) -> None:
        close.shutdown(_locked(sk), how)

    def poll(self, sk: Sock, sock: Socket) -> int:
        return poll(_tcp(sk))

    def ioctl(self, sk: Sock, command: int) -> int:
        """`tcp_ioctl`."""
        tcp = _tcp(sk)
        early = tcp.state in (State.SYN_SENT, State.SYN_RECV)
        if command == abi.SIOCATMARK:
            return int(bool(tcp.urg_data) and tcp.urg_seq == tcp.copied_seq)
        if command not in (abi.FIONREAD, abi.TIOCOUTQ, abi.SIOCOUTQNSD):
            raise Fail(ENOIOCTLCMD, "tcp_ioctl")
        if tcp.state is State.LISTEN:
            raise Fail(EINVAL, "tcp_ioctl: TCP_LISTEN")
        if command == abi.FIONREAD:
            return inq(tcp)
        if early:
            return 0
        base = tcp.snd_una if command == abi.TIOCOUTQ else tcp.snd_nxt
        return (tcp.write_seq - base) & MASK

    def setsockopt(self, sk: Sock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
        sockopts.setsockopt(_locked(sk), level, name, value, length, memory)

    def getsockopt(self, sk: Sock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
        sockopts.getsockopt(_tcp(sk), level, name, value, length, memory)

    def sendmsg(self, sk: Sock, message: Message) -> MayBlock[int]:
        return sendmsg(_locked(sk), message)

    def recvmsg(self, sk: Sock, message: Message, size: int) -> MayBlock[int]:
        return recvmsg(_locked(sk), message, size)

    def expired(self, sk: Sock, kind: str) -> None:
        timers.expired(_tcp(sk), kind)


def _tcp(sk: Sock) -> TcpSock:
    assert isinstance(sk, TcpSock)
    return sk


def _locked(sk: Sock) -> TcpSock:
    tcp = _tcp(sk)
    hold(tcp)
    return tcp


def _take(tcp: TcpSock) -> TcpSock:
    child = tcp.accept_queue.popleft()
    tcp.ack_backlog = len(tcp.accept_queue)
    return child


def _wait_for_connect(tcp: TcpSock) -> Generator[Wait, Wakeup, Sock]:
    """`inet_csk_wait_for_connect`: waiters queue up, a connection wakes one."""
    until = deadline(tcp.net, tcp.rcvtimeo)
    while True:
        assert tcp.socket is not None
        reason = yield Wait((tcp.socket.wait,), until, exclusive=True)
        if tcp.accept_queue:
            return _take(tcp)
        if tcp.state is not State.LISTEN:
            raise Fail(EINVAL, "inet_csk_wait_for_connect: state")
        if reason is Wakeup.SIGNAL:
            raise interrupted(until)
        if reason is Wakeup.TIMEOUT:
            raise Fail(EAGAIN, "inet_csk_wait_for_connect: timeout")


def poll(sk: TcpSock) -> int:
    """`tcp_poll`."""
    state = sk.state
    if state is State.LISTEN:
        return abi.POLLIN | abi.POLLRDNORM if sk.accept_queue else 0
    mask = 0
    if sk.shutdown == SHUTDOWN_MASK or state is State.CLOSE:
        mask |= abi.POLLHUP
    if sk.shutdown & RCV_SHUTDOWN:
        mask |= abi.POLLIN | abi.POLLRDNORM | abi.POLLRDHUP
    if state not in (State.SYN_SENT, State.SYN_RECV):
        target = max(1, sk.rcvlowat)
        if sk.urg_data and sk.urg_seq == sk.copied_seq and not sk.urg_inline:
            target += 1
        if _readable(sk, target):
            mask |= abi.POLLIN | abi.POLLRDNORM
        if sk.shutdown & SEND_SHUTDOWN or sk.writeable():
            mask |= abi.POLLOUT | abi.POLLWRNORM
        else:
            sk.nospace = True
        if sk.urg_data & URG_VALID:
            mask |= abi.POLLPRI
    if sk.err or sk.error_queue:
        mask |= abi.POLLERR
    return mask


def _readable(sk: TcpSock, target: int) -> bool:
    """`tcp_epollin_ready`."""
    avail = (sk.rcv_nxt - sk.copied_seq) & MASK
    if avail >= 1 << 31 or avail == 0:
        return False
    return avail >= target or memory.pressed(sk) or receive_window(sk) <= sk.rcv_mss


def setup(net: Net, ops: object) -> None:
    """Put TCP into the namespace's tables."""
    net.tcp = TcpTables()
    row = Protosw(abi.SOCK_STREAM, abi.IPPROTO_TCP, TcpProto(), ops, TcpSock)  # type: ignore[arg-type]
    register(net, row, Transport(input.receive, errors.receive))
