"""`struct sock` and `struct socket`: what every protocol's socket has, and the two interfaces around it.

`Socket` is the file's side (BSD socket: type, SS_ state, operations of the family), `Sock` the protocol's.
`ProtoOps` is what system calls call (`struct proto_ops`), `Proto` what the family calls (`struct proto`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from errno import EINTR
from typing import TYPE_CHECKING, Any, Protocol

from ..contract import abi
from .errors import ERESTARTSYS, Fail
from .net import Net
from .uaccess import IovIter, UserMemory
from .wait import ALL, Blocking, MayBlock, Wait, WaitQueue, Wakeup

if TYPE_CHECKING:
    from .file import SocketFile
    from .inet.header_options import HeaderOptions
    from .inet.routing import Route

RCV_SHUTDOWN = 1
SEND_SHUTDOWN = 2
SHUTDOWN_MASK = 3
SOCK_SNDBUF_LOCK = 1
SOCK_RCVBUF_LOCK = 2
SOCK_BINDADDR_LOCK = 4
SOCK_BINDPORT_LOCK = 8
WAKE_READ = abi.POLLIN | abi.POLLPRI | abi.POLLRDNORM | abi.POLLRDBAND
WAKE_WRITE = abi.POLLOUT | abi.POLLWRNORM | abi.POLLWRBAND


class SocketState(IntEnum):
    """`socket_state` (include/uapi/linux/net.h)."""

    FREE = 0
    UNCONNECTED = 1
    CONNECTING = 2
    CONNECTED = 3
    DISCONNECTING = 4


class State(IntEnum):
    """`sk_state`: the TCP states, used by every protocol (include/net/tcp_states.h)."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12


@dataclass(slots=True)
class Message:
    """`struct msghdr` inside the kernel.

    Sending: `name` is the destination as given (None: no address), `control` the ancillary octets.
    Receiving: the protocol fills `name` (sockaddr octets; None: leave namelen alone), `control_out` and `flags_out`.
    `flags` are the call's MSG_ flags, with MSG_DONTWAIT added for O_NONBLOCK.
    """

    iter: IovIter
    flags: int = 0
    name: bytes | None = None
    control: bytes = b""
    wants_name: bool = False
    control_out: list[tuple[int, int, bytes]] = field(default_factory=list)
    flags_out: int = 0


class ProtoOps(Protocol):
    """`struct proto_ops`: one object per (family, type); sockaddrs are octets as `move_addr_to_kernel` got them.

    Every method raises Fail; those returning MayBlock may be generators (see `wait.Blocking`).
    `getname`'s `peer`: 0 the own name, 1 the peer's, 2 the peer's even after the connection ended (accept,
    SO_PEERNAME).
    """

    def release(self, sock: Socket) -> MayBlock[None]: ...
    def bind(self, sock: Socket, address: bytes) -> None: ...
    def connect(self, sock: Socket, address: bytes, flags: int) -> MayBlock[int]: ...
    def socketpair(self, one: Socket, other: Socket) -> None: ...
    def accept(self, sock: Socket, new: Socket, flags: int) -> MayBlock[None]: ...
    def getname(self, sock: Socket, peer: int) -> bytes: ...
    def poll(self, sock: Socket) -> int: ...
    def ioctl(self, sock: Socket, command: int, argument: int, memory: UserMemory) -> int: ...
    def listen(self, sock: Socket, backlog: int) -> None: ...
    def shutdown(self, sock: Socket, how: int) -> None: ...
    def setsockopt(self, sock: Socket, level: int, name: int, value: int, length: int, memory: UserMemory) -> None: ...
    def getsockopt(self, sock: Socket, level: int, name: int, value: int, length: int, memory: UserMemory) -> None: ...
    def sendmsg(self, sock: Socket, message: Message) -> MayBlock[int]: ...
    def recvmsg(self, sock: Socket, message: Message, size: int) -> MayBlock[int]: ...


class Proto(Protocol):
    """`struct proto`: one object per transport protocol. `MayBlock` as above; `rcv` takes what IP delivers."""

    name: str

    def init(self, sk: Sock) -> None: ...
    def close(self, sk: Sock, timeout: int | None) -> MayBlock[None]: ...
    def connect(self, sk: Sock, address: bytes) -> None: ...
    def disconnect(self, sk: Sock) -> None: ...
    def accept(self, sk: Sock, flags: int) -> MayBlock[Sock]: ...
    def listen(self, sk: Sock) -> None: ...
    def get_port(self, sk: Sock, port: int) -> bool: ...
    def put_port(self, sk: Sock) -> None: ...
    def hash(self, sk: Sock) -> None: ...
    def unhash(self, sk: Sock) -> None: ...
    def shutdown(self, sk: Sock, how: int) -> None: ...
    def poll(self, sk: Sock, sock: Socket) -> int: ...
    def ioctl(self, sk: Sock, command: int) -> int: ...
    def setsockopt(self, sk: Sock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None: ...
    def getsockopt(self, sk: Sock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None: ...
    def sendmsg(self, sk: Sock, message: Message) -> MayBlock[int]: ...
    def recvmsg(self, sk: Sock, message: Message, size: int) -> MayBlock[int]: ...
    def expired(self, sk: Sock, kind: str) -> None: ...
    def options_changed(self, sk: Sock) -> None: ...


class Socket:
    """`struct socket`."""

    __slots__ = ("file", "ops", "passcred", "sk", "state", "type", "wait")

    def __init__(self, kind: int, ops: ProtoOps) -> None:
        self.type = kind
        self.ops = ops
        self.state = SocketState.UNCONNECTED
        self.wait = WaitQueue()
        self.sk: Any = None
        self.file: SocketFile | None = None


class Sock:
    """`struct sock` with `struct inet_sock`. Addresses are 4 octets; ports host order; times ns (None: for ever).

    Defaults are `sock_init_data` and `inet_create`'s.
    """

    def __init__(self, net: Net, family: int, kind: int, protocol: int, proto: Proto) -> None:
        self.net = net
        self.family = family
        self.type = kind
        self.protocol = protocol
        self.proto = proto
        self.socket: Socket | None = None
        self.armed: dict[str, tuple[int, int]] = {}
        self.state = State.CLOSE
        self.err = 0
        self.err_soft = 0
        self.shutdown = 0
        self.dead = False
        self.done = False
        self.urg_inline = False
        self.keepopen = False
        self.linger = False
        self.linger_time: int | None = 0
        self.broadcast = False
        self.debug = False
        self.dontroute = False
        self.timestamp_flags = 0
        self.reuse = 0
        self.reuseport = False
        self.no_check = False
        self.priority = 0
        self.mark = 0
        self.bound_dev_if = 0
        self.rcvbuf = net.sysctl.rmem_default
        self.sndbuf = net.sysctl.wmem_default
        self.userlocks = 0
        self.rcvlowat = 1
        self.rcvtimeo: int | None = None
        self.sndtimeo: int | None = None
        self.peek_off = -1
        self.options: dict[int, int] = {}
        self.rmem_alloc = 0
        self.wmem_alloc = 1
        self.receive_queue: deque[Any] = deque()
        self.error_queue: deque[Any] = deque()
        self.ack_backlog = 0
        self.max_ack_backlog = 0
        self._inet_defaults()

    def _inet_defaults(self) -> None:
        """`inet_create`'s part: addresses, ports, and what IP_ options set."""
        any_address = bytes(4)
        self.rcv_saddr = any_address
        self.saddr = any_address
        self.daddr = any_address
        self.route: Route | None = None
        """The route in use (`sk_dst_cache`)."""
        self.disconnects = 0
        """Counts disconnects, so that a call that slept can tell (`sk_disconnects`)."""
        self.num = 0
        self.sport = 0
        self.dport = 0
        self.uc_ttl = -1
        self.tos = 0
        self.min_ttl = 0
        self.pmtudisc = abi.IP_PMTUDISC_DONT if self.net.sysctl.ip_no_pmtu_disc else abi.IP_PMTUDISC_WANT
        self.recverr = False
        self.hdrincl = False
        self.freebind = False
        self.transparent = False
        self.bind_address_no_port = False
        self.mc_ttl = 1
        self.mc_loop = True
        self.mc_all = True
        self.mc_index = 0
        self.mc_addr = any_address
        self.uc_index = 0
        self.rcv_tos = 0
        self.recverr_rfc4884 = False
        self.cmsg_flags = 0
        self.header_options: HeaderOptions | None = None
        """IP options for what is sent, None: no such octets."""
        self.local_port_range = (0, 0)

    @property
    def ip_options(self) -> bytes:
        """The IP options' octets; their length counts against the MSS."""
        return bytes(self.header_options.data) if self.header_options is not None else b""

    def expired(self, kind: str) -> None:
        self.proto.expired(self, kind)

    def wake(self, events: int = ALL) -> None:
        """Wake whoever sleeps on the socket; nobody can once it is orphaned."""
        if self.socket is not None:
            self.socket.wait.wake(events)

    def data_ready(self) -> None:
        """`sock_def_readable`."""
        self.wake(WAKE_READ)

    def state_change(self) -> None:
        """`sock_def_wakeup`: everybody, exclusive or not."""
        if self.socket is not None:
            self.socket.wait.wake(ALL, everyone=True)

    def error_report(self) -> None:
        """`sk_error_report`."""
        self.wake(abi.POLLERR)

    def write_space(self) -> None:
        """`sk_write_space`: there may be room to send."""
        self.wake(WAKE_WRITE)

    def holds(self, part: object, truesize: int) -> None:
        """`skb_set_owner_w`: `part` of what it sends waits on this host for a neighbour."""
        self.wmem_alloc += truesize

    def lets_go(self, part: object, truesize: int) -> None:
        """`sock_wfree`, `sock_def_write_space`: it has left, or is given up."""
        self.wmem_alloc -= truesize
        if self.wmem_alloc * 2 <= self.sndbuf:
            self.write_space()

    def confirms_neighbour(self) -> bool:
        """Whether what is sent now says that packets have arrived there (`sk_dst_pending_confirm`); said once."""
        return False

    def set_rcvlowat(self, value: int) -> None:
        """SO_RCVLOWAT; `value` is not negative."""
        self.rcvlowat = value or 1

    def set_keepalive(self, on: bool) -> None:
        """SO_KEEPALIVE."""
        self.keepopen = on

    def take_error(self) -> int:
        """`sock_error` as a positive errno: reading it clears it."""
        error, self.err = self.err, 0
        return error


def wait_on(sk: Sock, timeout_at: int | None, exclusive: bool = False) -> Blocking[Wakeup]:
    """One sleep on a socket's queue until woken; the caller loops.

    `exclusive` is a datagram receiver's (`receiver_wake_function`): room to send does not wake it.
    """
    assert sk.socket is not None
    reason = yield Wait((sk.socket.wait,), timeout_at, exclusive, (abi.POLLIN | abi.POLLERR,) if exclusive else ())
    return reason


def deadline(net: Net, timeout: int | None) -> int | None:
    """When a sleep of `timeout` ns ends (`schedule_timeout`), absolute; None stays None (for ever)."""
    return None if timeout is None else net.timer(timeout)


def interrupted(until: int | None) -> Fail:
    """`sock_intr_errno`: a sleep that had no limit (None) when it began can be restarted, one with a limit cannot."""
    return Fail(ERESTARTSYS if until is None else EINTR, "sock_intr_errno")
