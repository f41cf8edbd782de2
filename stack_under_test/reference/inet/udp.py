"""UDP (RFC 768; RFC 1122, section 4.1; `net/ipv4/udp.c`): the protocol behind datagram sockets.

Sending is in `udp_send`, receiving in `udp_receive`; here is a socket's life: bind, connect (which only fixes the other
end, and lets ICMP errors reach the socket), disconnect, close, its options and its readiness.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from errno import EACCES, EAFNOSUPPORT, EINVAL, ENOPROTOOPT, EOPNOTSUPP
from typing import TYPE_CHECKING

from ...contract import abi
from ..errors import ENOIOCTLCMD, Fail, NotModelled
from ..sock import RCV_SHUTDOWN, SHUTDOWN_MASK, SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK, Message, Sock, Socket, State
from . import udp_receive, udp_send
from .routing import ANY, Kind, is_multicast, route_connect
from .sockaddr import SIZE, parse
from .sockglue import ip_setsockopt
from .sockglue_get import ip_getsockopt
from .udp_send import Flow

if TYPE_CHECKING:
    from ..net import Net
    from ..sock import Proto
    from ..uaccess import UserMemory
    from ..wait import MayBlock
    from .udp_receive import Datagram
    from .udp_send import Pending

SOL_UDPLITE = 136
UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV = 10, 11
ENCAP_ESPINUDP, ENCAP_L2TPINUDP = 2, 3
POLLIN = abi.POLLIN | abi.POLLRDNORM
POLLOUT = abi.POLLOUT | abi.POLLWRNORM | abi.POLLWRBAND


class UdpSock(Sock):
    """`struct udp_sock`."""

    def __init__(self, net: Net, family: int, kind: int, protocol: int, proto: Proto) -> None:
        super().__init__(net, family, kind, protocol, proto)
        self.reader_queue: deque[Datagram] = deque()
        """What a reader has taken over from `receive_queue`, to be read without its lock."""
        self.forward_deficit = 0
        """Octets read but not yet given back to the receive buffer (`udp_rmem_release`)."""
        self.drops = 0
        self.pending: Pending | None = None
        self.flow: Flow | None = None
        """The ends last connected to or corked for (`inet->cork.fl`): where a corked datagram goes in the end."""
        self.cork = False
        self.gso_size = 0
        self.gro = False
        self.no_check6_tx = False
        self.no_check6_rx = False


class UdpProto:
    """`udp_prot`."""

    name = "UDP"

    def init(self, sk: Sock) -> None:
        """`udp_init_sock`: `UdpSock` is all of it."""

    def close(self, sk: Sock, timeout: int | None) -> None:
        """`udp_lib_close`: pending data is thrown away, queued datagrams too."""
        assert isinstance(sk, UdpSock)
        sk.dead = True
        udp_send.discard(sk)
        self.unhash(sk)
        sk.socket = None

    def connect(self, sk: Sock, address: bytes) -> None:
        """`__ip4_datagram_connect`: choose the route and with it the source address; nothing is sent."""
        if len(address) < SIZE:
            raise Fail(EINVAL, "ip4_datagram_connect: addr_len")
        to = parse(address)
        if to.family != abi.AF_INET:
            raise Fail(EAFNOSUPPORT, "ip4_datagram_connect: family")
        assert isinstance(sk, UdpSock)
        sk.route = None
        oif, source = sk.bound_dev_if, sk.saddr
        if is_multicast(to.address):
            oif = oif or sk.mc_index
            source = sk.mc_addr if source == ANY else source
        else:
            oif = oif or sk.uc_index
        sk.flow = Flow(source, to.address, to.port)
        route = route_connect(sk.net, sk, to.address, source, oif)
        sk.flow = Flow(route.source, route.destination, to.port)
        if route.kind is Kind.BROADCAST and not sk.broadcast:
            raise Fail(EACCES, "ip4_datagram_connect: broadcast")
        if sk.saddr == ANY:
            sk.saddr = route.source
        if sk.rcv_saddr == ANY:
            sk.rcv_saddr = route.source
            sk.net.udp_ports.rehash(sk)
        sk.daddr = route.destination
        sk.dport = to.port
        sk.state = State.ESTABLISHED
        sk.route = route
        sk.net.udp_ports.connected(sk)

    def disconnect(self, sk: Sock) -> None:
        """`__udp_disconnect`: forget the other end, and of the own what bind() did not fix."""
        sk.state = State.CLOSE
        sk.daddr = ANY
        sk.dport = 0
        sk.bound_dev_if = 0
        if not sk.userlocks & SOCK_BINDADDR_LOCK:
            sk.rcv_saddr = sk.saddr = ANY
            if sk.userlocks & SOCK_BINDPORT_LOCK:
                sk.net.udp_ports.rehash(sk)
        sk.net.udp_ports.connected(sk)
        if not sk.userlocks & SOCK_BINDPORT_LOCK:
            self.unhash(sk)
            sk.sport = 0
        sk.route = None

    def accept(self, sk: Sock, flags: int) -> Sock:
        raise Fail(EOPNOTSUPP, "sock_no_accept")

    def listen(self, sk: Sock) -> None:
        raise Fail(EOPNOTSUPP, "sock_no_listen")

    def get_port(self, sk: Sock, port: int) -> bool:
        return sk.net.udp_ports.get(sk, port)

    def put_port(self, sk: Sock) -> None:
        sk.net.udp_ports.put(sk)

    def hash(self, sk: Sock) -> None:
        """Binding hashes; there is nothing more to do."""

    def unhash(self, sk: Sock) -> None:
        sk.net.udp_ports.put(sk)

    def shutdown(self, sk: Sock, how: int) -> None:
        """UDP has no way to tell the other end."""

    def poll(self, sk: Sock, sock: Socket) -> int:
        """`udp_poll`, `datagram_poll`."""
        assert isinstance(sk, UdpSock)
        mask = 0
        if sk.err or sk.error_queue:
            mask |= abi.POLLERR | (abi.POLLPRI if sk.options.get(abi.SO_SELECT_ERR_QUEUE) else 0)
        if sk.shutdown & RCV_SHUTDOWN:
            mask |= abi.POLLRDHUP | POLLIN
        if sk.shutdown == SHUTDOWN_MASK:
            mask |= abi.POLLHUP
        if sk.receive_queue or sk.reader_queue:
            mask |= POLLIN
        if sk.wmem_alloc < sk.sndbuf >> 1:
            mask |= POLLOUT
        blocking = sock.file is None or not sock.file.flags & abi.O_NONBLOCK
        # A reader that would block must not be told of a datagram whose checksum then proves wrong.
        if mask & abi.POLLRDNORM and blocking and not sk.shutdown & RCV_SHUTDOWN and udp_receive.first_length(sk) < 0:
            mask &= ~POLLIN
        return mask

    def ioctl(self, sk: Sock, command: int) -> int:
        """`udp_ioctl`: SIOCOUTQ, SIOCINQ (the next datagram's length)."""
        assert isinstance(sk, UdpSock)
        if command == abi.TIOCOUTQ:
            return sk.wmem_alloc - 1
        if command == abi.FIONREAD:
            return max(0, udp_receive.first_length(sk))
        raise Fail(ENOIOCTLCMD, "udp_ioctl")

    def setsockopt(self, sk: Sock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
        """`udp_setsockopt`."""
        assert isinstance(sk, UdpSock)
        if level not in (abi.SOL_UDP, SOL_UDPLITE):
            ip_setsockopt(sk, level, name, value, length, memory)
            return
        if length < 4:
            raise Fail(EINVAL, "udp_lib_setsockopt: optlen")
        _set_option(sk, name, memory.read_int(value))

    def getsockopt(self, sk: Sock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
        """`udp_getsockopt`."""
        assert isinstance(sk, UdpSock)
        if level not in (abi.SOL_UDP, SOL_UDPLITE):
            ip_getsockopt(sk, level, name, value, length, memory)
            return
        size = memory.read_int(length)
        if size < 0:
            raise Fail(EINVAL, "udp_lib_getsockopt: negative length")
        found = _get_option(sk, name)
        size = min(size, 4)
        memory.write_int(length, size)
        memory.write(value, found.to_bytes(4, "little")[:size])

    def sendmsg(self, sk: Sock, message: Message) -> MayBlock[int]:
        assert isinstance(sk, UdpSock)
        return udp_send.sendmsg(sk, message)

    def recvmsg(self, sk: Sock, message: Message, size: int) -> MayBlock[int]:
        assert isinstance(sk, UdpSock)
        return udp_receive.recvmsg(sk, message, size)

    def expired(self, sk: Sock, kind: str) -> None:
        """UDP has no timers."""

    def options_changed(self, sk: Sock) -> None:
        """Each datagram asks for the options anew."""


def _set_option(sk: UdpSock, name: int, value: int) -> None:
    """`udp_lib_setsockopt`."""
    if name == abi.UDP_CORK:
        sk.cork = value != 0
        if not value:
            # What the push comes to is nobody's concern here.
            with suppress(Fail):
                udp_send.push_pending(sk)
    elif name == abi.UDP_ENCAP:
        if value not in (0, ENCAP_ESPINUDP, ENCAP_L2TPINUDP):
            raise Fail(ENOPROTOOPT, "udp_lib_setsockopt: UDP_ENCAP")
        if value:
            raise NotModelled("UDP_ENCAP")
    elif name == abi.UDP_NO_CHECK6_TX:
        sk.no_check6_tx = value != 0
    elif name == abi.UDP_NO_CHECK6_RX:
        sk.no_check6_rx = value != 0
    elif name == abi.UDP_SEGMENT:
        if not 0 <= value <= 0xFFFF:
            raise Fail(EINVAL, "udp_lib_setsockopt: UDP_SEGMENT")
        sk.gso_size = value
    elif name == abi.UDP_GRO:
        sk.gro = value != 0
    else:
        raise Fail(ENOPROTOOPT, "udp_lib_setsockopt")


def _get_option(sk: UdpSock, name: int) -> int:
    """`udp_lib_getsockopt`."""
    if name == abi.UDP_CORK:
        return int(sk.cork)
    if name == abi.UDP_NO_CHECK6_TX:
        return int(sk.no_check6_tx)
    if name == abi.UDP_NO_CHECK6_RX:
        return int(sk.no_check6_rx)
    if name == abi.UDP_SEGMENT:
        return sk.gso_size
    if name == abi.UDP_GRO:
        return int(sk.gro)
    if name in (abi.UDP_ENCAP, UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV):
        return 0
    raise Fail(ENOPROTOOPT, "udp_lib_getsockopt")
