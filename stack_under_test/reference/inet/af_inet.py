"""The AF_INET family (`net/ipv4/af_inet.c`): what socket() makes, and what every call does before the transport does.

`InetStream` and `InetDgram` are Linux's `inet_stream_ops` and `inet_dgram_ops`.  They own the BSD socket's state (SS_*)
and the rules that all transports share; the rest they hand to `sk.proto`.
"""

from __future__ import annotations

from errno import (
    EACCES,
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EAGAIN,
    EALREADY,
    ECONNABORTED,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENOTCONN,
    ENOTTY,
    EOPNOTSUPP,
    EPIPE,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
)
from typing import TYPE_CHECKING

from ...contract import abi
from ..errors import ENOIOCTLCMD, Fail, NotModelled
from ..sock import (
    RCV_SHUTDOWN,
    SHUTDOWN_MASK,
    SOCK_BINDADDR_LOCK,
    SOCK_BINDPORT_LOCK,
    Message,
    Sock,
    Socket,
    SocketState,
    State,
    deadline,
    interrupted,
    wait_on,
)
from ..wait import Wakeup, is_blocking
from .routing import ANY, Kind, address_type
from .sockaddr import SIZE, parse, sockaddr_in

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..net import Net
    from ..uaccess import UserMemory
    from ..wait import MayBlock, Wait

IPPROTO_MAX = 263
SOCKET_TYPES = (abi.SOCK_STREAM, abi.SOCK_DGRAM, abi.SOCK_RAW)
_NOT_MODELLED = {(abi.SOCK_STREAM, abi.IPPROTO_MPTCP): "MPTCP", (abi.SOCK_DGRAM, abi.IPPROTO_UDPLITE): "UDP-Lite"}
_BEFORE_CONNECTED = (State.SYN_SENT, State.SYN_RECV)
_ADDRESS_IOCTLS = frozenset((0x890B, 0x890C, 0x890D, 0x8953, 0x8954, 0x8955, 0x8916, 0x8918, 0x891A, 0x891C, 0x8934, 0x8914))
"""Routes, ARP, and setting addresses: what `inet_ioctl` itself serves and would change the world."""


def create(net: Net, sock: Socket, protocol: int, kind: int) -> None:
    """`inet_create`: the first row of `inetsw` that fits; protocol 0 takes the type's first."""
    if not 0 <= protocol < IPPROTO_MAX:
        raise Fail(EINVAL, "inet_create: protocol")
    if kind == abi.SOCK_PACKET:
        raise NotModelled("SOCK_PACKET")
    if kind not in SOCKET_TYPES:
        raise Fail(ESOCKTNOSUPPORT, "inet_create: type")
    if kind == abi.SOCK_RAW:
        if not protocol:
            raise Fail(EPROTONOSUPPORT, "inet_create: raw socket without protocol")
        raise NotModelled("raw sockets")
    if (kind, protocol) in _NOT_MODELLED:
        raise NotModelled(_NOT_MODELLED[kind, protocol])
    if kind == abi.SOCK_DGRAM and protocol == abi.IPPROTO_ICMP:
        raise Fail(EACCES, "ping_init_sock: ping_group_range is empty")
    for row in net.inetsw:
        if row.type == kind and protocol in (0, row.protocol):
            break
    else:
        raise Fail(EPROTONOSUPPORT, "inet_create: protocol")
    sock.ops = row.ops
    sock.state = SocketState.UNCONNECTED
    sk = row.new(net, abi.AF_INET, kind, row.protocol, row.proto)
    sk.socket = sock
    sock.sk = sk
    row.proto.init(sk)


def autobind(sk: Sock) -> None:
    """`inet_autobind`. Raises Fail(EAGAIN) when no port is free."""
    if not sk.num:
        if not sk.proto.get_port(sk, 0):
            raise Fail(EAGAIN, "inet_autobind")
        sk.sport = sk.num


class InetOps:
    """What both tables share."""

    def release(self, sock: Socket) -> MayBlock[None]:
        """`inet_release`: SO_LINGER bounds how long closing may wait."""
        sk: Sock | None = sock.sk
        if sk is None:
            return None
        closing = sk.proto.close(sk, sk.linger_time if sk.linger else 0)
        if is_blocking(closing):
            return self._release_later(sock, closing)  # type: ignore[arg-type]
        sock.sk = None
        return None

    @staticmethod
    def _release_later(sock: Socket, closing: Generator[Wait, Wakeup, None]) -> Generator[Wait, Wakeup, None]:
        yield from closing
        sock.sk = None

    def bind(self, sock: Socket, address: bytes) -> None:
        """`__inet_bind`."""
        sk: Sock = sock.sk
        if len(address) < SIZE:
            raise Fail(EINVAL, "inet_bind: addr_len")
        to = parse(address)
        if to.family != abi.AF_INET and (to.family != abi.AF_UNSPEC or to.address != ANY):
            raise Fail(EAFNOSUPPORT, "__inet_bind: family")
        kind = address_type(to.address)
        nonlocal_ok = sk.net.sysctl.ip_nonlocal_bind or sk.freebind or sk.transparent
        if kind is Kind.UNICAST and not nonlocal_ok:
            raise Fail(EADDRNOTAVAIL, "__inet_bind: address is not local")
        if sk.state != State.CLOSE or sk.num:
            raise Fail(EINVAL, "__inet_bind: already bound")
        sk.rcv_saddr = to.address
        sk.saddr = ANY if kind in (Kind.MULTICAST, Kind.BROADCAST) else to.address
        if (to.port or not sk.bind_address_no_port) and not sk.proto.get_port(sk, to.port):
            sk.saddr = sk.rcv_saddr = ANY
            raise Fail(EADDRINUSE, "__inet_bind: get_port")
        if sk.rcv_saddr != ANY:
            sk.userlocks |= SOCK_BINDADDR_LOCK
        if to.port:
            sk.userlocks |= SOCK_BINDPORT_LOCK
        sk.sport = sk.num
        sk.daddr = ANY
        sk.dport = 0
        sk.route = None

    def socketpair(self, one: Socket, other: Socket) -> None:
        raise Fail(EOPNOTSUPP, "sock_no_socketpair")

    def getname(self, sock: Socket, peer: int) -> bytes:
        """`inet_getname`."""
        sk: Sock = sock.sk
        if not peer:
            return sockaddr_in(sk.rcv_saddr if sk.rcv_saddr != ANY else sk.saddr, sk.sport)
        if not sk.dport or (peer == 1 and sk.state in (State.CLOSE, State.SYN_SENT)):
            raise Fail(ENOTCONN, "inet_getname")
        return sockaddr_in(sk.daddr, sk.dport)

    def poll(self, sock: Socket) -> int:
        sk: Sock = sock.sk
        return sk.proto.poll(sk, sock)

    def ioctl(self, sock: Socket, command: int, argument: int, memory: UserMemory) -> int:
        """`inet_ioctl`: the transport's answer is stored; Fail(ENOTTY) leaves the command to devices."""
        sk: Sock = sock.sk
        if command in _ADDRESS_IOCTLS:
            raise NotModelled(f"ioctl {command:#x}")
        try:
            answer = sk.proto.ioctl(sk, command)
        except Fail as fail:
            if fail.errno == ENOIOCTLCMD:
                raise Fail(ENOTTY, fail.rule) from None
            raise
        memory.write_int(argument, answer)
        return 0

    def shutdown(self, sock: Socket, how: int) -> None:
        """`inet_shutdown`; an unconnected socket is shut down all the same, but told ENOTCONN."""
        sk: Sock = sock.sk
        ways = how + 1
        if ways & ~SHUTDOWN_MASK or not ways:
            raise Fail(EINVAL, "inet_shutdown: how")
        if sock.state == SocketState.CONNECTING:
            early = sk.state in (*_BEFORE_CONNECTED, State.CLOSE)
            sock.state = SocketState.DISCONNECTING if early else SocketState.CONNECTED
        not_connected = sk.state == State.CLOSE
        if sk.state == State.SYN_SENT or (sk.state == State.LISTEN and ways & RCV_SHUTDOWN):
            sk.proto.disconnect(sk)
            sock.state = SocketState.UNCONNECTED
        elif sk.state != State.LISTEN:
            sk.shutdown |= ways
            sk.proto.shutdown(sk, ways)
        sk.state_change()
        if not_connected:
            raise Fail(ENOTCONN, "inet_shutdown")

    def setsockopt(self, sock: Socket, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
        sk: Sock = sock.sk
        sk.proto.setsockopt(sk, level, name, value, length, memory)

    def getsockopt(self, sock: Socket, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
        sk: Sock = sock.sk
        sk.proto.getsockopt(sk, level, name, value, length, memory)

    def recvmsg(self, sock: Socket, message: Message, size: int) -> MayBlock[int]:
        """`inet_recvmsg`: without a name from the transport the caller's namelen becomes 0."""
        sk: Sock = sock.sk
        result = sk.proto.recvmsg(sk, message, size)
        if is_blocking(result):
            return self._received_later(message, result)  # type: ignore[arg-type]
        if message.name is None:
            message.name = b""
        return result

    @staticmethod
    def _received_later(message: Message, call: Generator[Wait, Wakeup, int]) -> Generator[Wait, Wakeup, int]:
        result = yield from call
        if message.name is None:
            message.name = b""
        return result


class InetStream(InetOps):
    """`inet_stream_ops`."""

    def connect(self, sock: Socket, address: bytes, flags: int) -> MayBlock[int]:
        """`inet_stream_connect`; `flags` are the file's (O_NONBLOCK)."""
        sk: Sock = sock.sk
        if len(address) < 2:
            raise Fail(EINVAL, "__inet_stream_connect: addr_len")
        if address[:2] == b"\0\0":
            sk.disconnects += 1
            try:
                sk.proto.disconnect(sk)
            except Fail:
                sock.state = SocketState.DISCONNECTING
                raise
            sock.state = SocketState.UNCONNECTED
            return 0
        error = self._start(sock, sk, address)
        if sk.state in _BEFORE_CONNECTED:
            if flags & abi.O_NONBLOCK or sk.sndtimeo == 0:
                raise Fail(error, "__inet_stream_connect: would wait")
            return self._wait(sock, sk, error)
        return self._finish(sock, sk)

    @staticmethod
    def _start(sock: Socket, sk: Sock, address: bytes) -> int:
        """Leave SS_UNCONNECTED; returns the errno for a caller that does not wait."""
        if sock.state == SocketState.CONNECTED:
            raise Fail(EISCONN, "__inet_stream_connect: SS_CONNECTED")
        if sock.state == SocketState.CONNECTING:
            return EALREADY
        if sock.state != SocketState.UNCONNECTED:
            raise Fail(EINVAL, "__inet_stream_connect: state")
        if sk.state != State.CLOSE:
            raise Fail(EISCONN, "__inet_stream_connect: sk_state")
        sk.proto.connect(sk, address)
        sock.state = SocketState.CONNECTING
        return EINPROGRESS

    def _wait(self, sock: Socket, sk: Sock, error: int) -> Generator[Wait, Wakeup, int]:
        """`inet_wait_for_connect`."""
        until = deadline(sk.net, sk.sndtimeo)
        disconnects = sk.disconnects
        while sk.state in _BEFORE_CONNECTED:
            reason = yield from wait_on(sk, until)
            if reason is Wakeup.TIMEOUT:
                raise Fail(error, "inet_wait_for_connect: timeout")
            if reason is Wakeup.SIGNAL:
                raise interrupted(until)
        if disconnects != sk.disconnects:
            raise Fail(EPIPE, "__inet_stream_connect: disconnected meanwhile")
        return self._finish(sock, sk)

    @staticmethod
    def _finish(sock: Socket, sk: Sock) -> int:
        """Connected, or closed by RST, ICMP error or timeout: then the socket starts anew."""
        if sk.state != State.CLOSE:
            sock.state = SocketState.CONNECTED
            return 0
        error = sk.take_error() or ECONNABORTED
        sock.state = SocketState.UNCONNECTED
        sk.disconnects += 1
        sk.proto.disconnect(sk)
        raise Fail(error, "__inet_stream_connect: sock_error")

    def accept(self, sock: Socket, new: Socket, flags: int) -> MayBlock[None]:
        """`inet_accept`."""
        sk: Sock = sock.sk
        child = sk.proto.accept(sk, flags)
        if is_blocking(child):
            return self._accept_later(new, child)  # type: ignore[arg-type]
        self._graft(new, child)  # type: ignore[arg-type]
        return None

    def _accept_later(self, new: Socket, call: Generator[Wait, Wakeup, Sock]) -> Generator[Wait, Wakeup, None]:
        child = yield from call
        self._graft(new, child)

    @staticmethod
    def _graft(new: Socket, child: Sock) -> None:
        """`__inet_accept`, `sock_graft`."""
        new.sk = child
        child.socket = new
        new.state = SocketState.CONNECTED

    def listen(self, sock: Socket, backlog: int) -> None:
        """`inet_listen`: a listening socket only gets a new backlog."""
        sk: Sock = sock.sk
        if sock.state != SocketState.UNCONNECTED:
            raise Fail(EINVAL, "inet_listen: state")
        if sk.state not in (State.CLOSE, State.LISTEN):
            raise Fail(EINVAL, "__inet_listen_sk: sk_state")
        sk.max_ack_backlog = backlog
        if sk.state != State.LISTEN:
            sk.proto.listen(sk)

    def sendmsg(self, sock: Socket, message: Message) -> MayBlock[int]:
        """`inet_sendmsg`: TCP binds in connect(), never here."""
        sk: Sock = sock.sk
        return sk.proto.sendmsg(sk, message)


class InetDgram(InetOps):
    """`inet_dgram_ops`."""

    def connect(self, sock: Socket, address: bytes, flags: int) -> int:
        """`inet_dgram_connect`; AF_UNSPEC disconnects."""
        sk: Sock = sock.sk
        if len(address) < 2:
            raise Fail(EINVAL, "inet_dgram_connect: addr_len")
        if address[:2] == b"\0\0":
            sk.proto.disconnect(sk)
            return 0
        autobind(sk)
        sk.proto.connect(sk, address)
        return 0

    def accept(self, sock: Socket, new: Socket, flags: int) -> None:
        raise Fail(EOPNOTSUPP, "sock_no_accept")

    def listen(self, sock: Socket, backlog: int) -> None:
        raise Fail(EOPNOTSUPP, "sock_no_listen")

    def sendmsg(self, sock: Socket, message: Message) -> MayBlock[int]:
        """`inet_sendmsg`: the source port is chosen even when the send then fails."""
        sk: Sock = sock.sk
        if not sk.num:
            autobind(sk)
        return sk.proto.sendmsg(sk, message)
