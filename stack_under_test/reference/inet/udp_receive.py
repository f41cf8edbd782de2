"""UDP's receive side: from IP to a socket's queue, and from the queue to the reader.

A datagram's checksum is verified on arrival only when it is short; a longer one's when somebody looks at it, so a bad one
can sit in the queue, take room and even announce itself (`udp4_csum_init`, `__udp_lib_checksum_complete`).

Room in the receive buffer is given back late: readers take the whole queue over at once, and what they have read is
returned when it makes a quarter of the buffer or nothing is left (`udp_rmem_release`).
"""

from __future__ import annotations

import contextlib
import struct
from errno import EAGAIN, EFAULT, EHOSTUNREACH, EMSGSIZE, EPROTO
from typing import TYPE_CHECKING

from ...contract import abi
from ...wire.checksum import verifies
from ..errors import Fail, NotModelled
from ..sock import RCV_SHUTDOWN, State, deadline, interrupted, wait_on
from ..wait import Wakeup
from . import control, icmp_send
from .errqueue import copy_datagram, icmp_error, receive_error
from .icmp import UNREACHABLE
from .routing import ANY, LO, Kind, route_output, sk_route, update_pmtu
from .sockaddr import sockaddr_in

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..net import Net
    from ..sock import Message
    from ..wait import MayBlock, Wait
    from .packet import Packet
    from .protocols import IcmpError
    from .udp import UdpSock

PROTOCOL = 17
CHECKSUM_BREAK = 76
"""Up to this length a checksum is verified on arrival."""
_unpack = struct.Struct("!HHHH").unpack_from


class Datagram:
    """One in a receive queue. `bad`: its checksum is wrong, which nobody has noticed yet."""

    __slots__ = ("bad", "dropped_before", "packet", "payload", "peeked", "pktinfo", "sport", "truesize")

    def __init__(self, packet: Packet, sport: int, payload: bytes, truesize: int, bad: bool) -> None:
        self.packet = packet
        self.sport = sport
        self.payload = payload
        self.truesize = truesize
        self.bad = bad
        self.peeked = False
        self.pktinfo = b""
        self.dropped_before = 0


def receive(net: Net, packet: Packet) -> None:
    """`__udp4_lib_rcv`."""
    octets, at = packet.octets, packet.offset
    size = len(octets) - at
    if size < 8:
        return
    sport, dport, length, check = _unpack(octets, at)
    if not 8 <= length <= size:
        return
    end = at + length
    bad = False
    if check and not packet.looped:
        pseudo = int.from_bytes(octets[12:20], "big") + PROTOCOL + length
        bad = not verifies(octets[at:end], pseudo)
        if bad and length <= CHECKSUM_BREAK:
            return
    datagram = Datagram(packet, sport, octets[at + 8 : end], packet.cost(net.buffers), bad)
    dif = packet.device.index
    ends = (packet.source, sport, packet.destination, dport, dif)
    if packet.kind is Kind.LOCAL:
        found = net.udp_ports.lookup(*ends)
    else:
        found = None if packet.looped else net.udp_ports.early(*ends)
        if found is None:
            for sk in net.udp_ports.listeners(*ends):
                copy = Datagram(packet, sport, datagram.payload, datagram.truesize, bad)
                enqueue(sk, copy)  # type: ignore[arg-type]
            return
    if found is not None:
        enqueue(found, datagram)  # type: ignore[arg-type]
    elif not bad:
        packet.octets = octets[:end]
        icmp_send.send(net, packet, 3, 3)


def enqueue(sk: UdpSock, datagram: Datagram) -> None:
    """`__udp_enqueue_schedule_skb`: an empty buffer takes a datagram of any size."""
    if sk.rmem_alloc and sk.rmem_alloc + datagram.truesize > sk.rcvbuf:
        sk.drops += 1
        return
    if sk.cmsg_flags & control.PKTINFO:
        datagram.pktinfo = _pktinfo(datagram.packet)
    datagram.dropped_before = sk.drops
    sk.rmem_alloc += datagram.truesize
    sk.receive_queue.append(datagram)
    sk.data_ready()


def _pktinfo(packet: Packet) -> bytes:
    """`ipv4_pktinfo_prepare`: interface, our address, the header's destination (`struct in_pktinfo`)."""
    own = packet.destination if packet.kind is Kind.LOCAL else packet.device.address
    return struct.pack("<i4s4s", packet.device.index, own, packet.destination)


def _no_pktinfo(packet: Packet) -> bytes:
    """What is known when nobody had asked for it yet as the datagram came."""
    return struct.pack("<i4s4s", 0, ANY, packet.destination)


def _take_over(sk: UdpSock) -> None:
    """`skb_queue_splice_tail_init`: what has come is the reader's."""
    if sk.receive_queue:
        sk.reader_queue.extend(sk.receive_queue)
        sk.receive_queue.clear()


def _release(sk: UdpSock, size: int) -> None:
    """`udp_rmem_release`, the partial one."""
    sk.forward_deficit += size
    if sk.forward_deficit < sk.rcvbuf >> 2 and sk.reader_queue:
        return
    sk.rmem_alloc -= sk.forward_deficit
    sk.forward_deficit = 0
    _take_over(sk)


def first_length(sk: UdpSock) -> int:
    """`first_packet_length`: -1 when there is none; bad ones at the front are dropped on the way."""
    total = 0
    for _ in range(2):
        while sk.reader_queue and sk.reader_queue[0].bad:
            total += sk.reader_queue.popleft().truesize
            sk.drops += 1
        if sk.reader_queue or not sk.receive_queue:
            break
        _take_over(sk)
    length = len(sk.reader_queue[0].payload) if sk.reader_queue else -1
    if total:
        _release(sk, total)
    return length


def _try(sk: UdpSock, flags: int, offset: int) -> tuple[Datagram, int] | None:
    """`__skb_try_recv_from_queue`, on the reader's queue and then with what has come since.

    The datagram, still queued when it is only peeked at, and where in it reading starts.
    """
    for _ in range(2):
        found = _peek(sk, offset) if flags & abi.MSG_PEEK else _pop(sk)
        if found is not None:
            return found
        if not sk.receive_queue:
            return None
        _take_over(sk)
    return None


def _pop(sk: UdpSock) -> tuple[Datagram, int] | None:
    if not sk.reader_queue:
        return None
    datagram = sk.reader_queue.popleft()
    _release(sk, datagram.truesize)
    return datagram, 0


def _peek(sk: UdpSock, offset: int) -> tuple[Datagram, int] | None:
    """SO_PEEK_OFF counts through the queue; an empty datagram is seen once."""
    left = max(offset, 0)
    for datagram in sk.reader_queue:
        size = len(datagram.payload)
        if offset >= 0 and left >= size and (left or datagram.peeked):
            left -= size
            continue
        if not size:
            datagram.peeked = True
        return datagram, left
    return None


def recvmsg(sk: UdpSock, message: Message, size: int) -> MayBlock[int]:
    """`udp_recvmsg`."""
    if message.flags & abi.MSG_ERRQUEUE:
        return receive_error(sk, message, size)
    if sk.timestamp_flags:
        raise NotModelled("receive timestamps")
    done = _attempt(sk, message, size)
    if done is not None:
        return done
    if message.flags & abi.MSG_DONTWAIT or sk.rcvtimeo == 0:
        raise Fail(EAGAIN, "__skb_recv_udp: empty")
    return _wait_and_receive(sk, message, size)


def _wait_and_receive(sk: UdpSock, message: Message, size: int) -> Generator[Wait, Wakeup, int]:
    """`__skb_recv_udp` with `__skb_wait_for_more_packets`."""
    until = deadline(sk.net, sk.rcvtimeo)
    while True:
        error = sk.take_error()
        if error:
            raise Fail(error, "__skb_wait_for_more_packets: sock_error")
        if sk.shutdown & RCV_SHUTDOWN:
            return 0
        reason = yield from wait_on(sk, until, True)
        done = _attempt(sk, message, size)
        if done is not None:
            return done
        if reason is Wakeup.SIGNAL:
            raise interrupted(until)
        if reason is Wakeup.TIMEOUT:
            raise Fail(EAGAIN, "__skb_recv_udp: timeout")


def _attempt(sk: UdpSock, message: Message, size: int) -> int | None:
    """Read one datagram whose checksum is right; None when there is none. A pending error comes first."""
    while True:
        error = sk.take_error()
        if error:
            raise Fail(error, "__skb_recv_udp: sock_error")
        found = _try(sk, message.flags, sk.peek_off)
        if found is None:
            return None
        done = _copy(sk, message, size, *found)
        if done is not None:
            return done


def _copy(sk: UdpSock, message: Message, size: int, datagram: Datagram, offset: int) -> int | None:
    """The middle of `udp_recvmsg`; None: it was bad, and is gone."""
    peeking = message.flags & abi.MSG_PEEK
    whole = len(datagram.payload)
    copied = min(size, whole - offset)
    truncated = size <= whole - offset and size < whole
    data = datagram.payload[offset : offset + copied]
    if datagram.bad:
        if copied == whole and not peeking and message.iter.count >= whole:
            # Copied and summed in one go: the octets do reach the caller's memory.
            done = message.iter.copy_to(data)
            message.iter.revert(done)
            if done < whole:
                raise Fail(EFAULT, "skb_copy_and_csum_datagram_msg")
        elif peeking:
            sk.reader_queue.remove(datagram)
            _release(sk, datagram.truesize)
        sk.drops += 1
        return None
    if truncated:
        message.flags_out |= abi.MSG_TRUNC
    try:
        copy_datagram(message, data)
    except Fail:
        if not peeking:
            sk.drops += 1
        raise
    _describe(sk, message, datagram)
    result = whole if message.flags & abi.MSG_TRUNC else copied
    if sk.peek_off >= 0:
        sk.peek_off = max(sk.peek_off + (result if peeking else -result), 0)
    return result


def _describe(sk: UdpSock, message: Message, datagram: Datagram) -> None:
    """`sock_recv_cmsgs`, the source address, `ip_cmsg_recv_offset`."""
    if datagram.dropped_before and sk.options.get(abi.SO_RXQ_OVFL):
        drops = struct.pack("<I", datagram.dropped_before)
        message.control_out.append((abi.SOL_SOCKET, abi.SO_RXQ_OVFL, drops))
    if sk.options.get(abi.SO_RCVMARK):
        message.control_out.append((abi.SOL_SOCKET, abi.SO_MARK, bytes(4)))
    if sk.options.get(abi.SO_RCVPRIORITY):
        message.control_out.append((abi.SOL_SOCKET, abi.SO_PRIORITY, bytes(4)))
    if message.wants_name:
        message.name = sockaddr_in(datagram.packet.source, datagram.sport)
    if sk.cmsg_flags:
        packet = datagram.packet
        ports = packet.octets[packet.offset : packet.offset + 4]
        control.received(sk, message, packet, datagram.pktinfo or _no_pktinfo(packet), ports)


def receive_icmp(net: Net, error: IcmpError) -> None:
    """`udp_err`: an ICMP error about something UDP sent (RFC 1122, 4.1.3.3)."""
    quoted, at = error.quoted, error.transport
    sport, dport = struct.unpack_from("!HH", quoted, at)
    source, destination = quoted[12:16], quoted[16:20]
    if net.release.pmtu_without_socket and (error.type, error.code) == (3, 4):
        _learn_path(net, source, destination, error.info)
    dif = LO.index if error.packet.looped else error.packet.device.index
    sk: UdpSock | None = net.udp_ports.lookup(destination, dport, source, sport, dif)  # type: ignore[assignment]
    if sk is None:
        return
    if error.type == 3 and error.code == 4:
        _learn_pmtu(sk, source, destination, error.info)
    meaning = _meaning(sk, error)
    if meaning is None:
        return
    errno, hard = meaning
    if sk.recverr:
        icmp_error(sk, error, errno, dport, at + 8)
    elif not hard or sk.state != State.ESTABLISHED:
        return
    sk.err = errno
    sk.error_report()


def _meaning(sk: UdpSock, error: IcmpError) -> tuple[int, bool] | None:
    """The errno an error stands for, and whether it is hard; None when it means nothing to a socket."""
    if error.type in (4, 5):
        return None
    if error.type == 12:
        return EPROTO, True
    if error.type != 3:
        return EHOSTUNREACH, False
    if error.code == 4:
        return (EMSGSIZE, True) if sk.pmtudisc != abi.IP_PMTUDISC_DONT else None
    return UNREACHABLE[error.code]


def _learn_path(net: Net, source: bytes, destination: bytes, mtu: int) -> None:
    """`ipv4_update_pmtu`: whoever sent the quoted packet, and whether anybody here did."""
    with contextlib.suppress(Fail):
        update_pmtu(net, route_output(net, destination, source), mtu)


def _learn_pmtu(sk: UdpSock, source: bytes, destination: bytes, mtu: int) -> None:
    """`ipv4_sk_update_pmtu`: about the path the quoted packet took, which may differ from the socket's."""
    if sk.pmtudisc in (abi.IP_PMTUDISC_INTERFACE, abi.IP_PMTUDISC_OMIT):
        return
    had_route = sk.route is not None
    try:
        route = route_output(sk.net, destination, source, sk.bound_dev_if, any_source=sk.transparent)
        update_pmtu(sk.net, sk_route(sk) or route, mtu)
        if had_route and sk_route(sk) is None:
            sk.route = route_output(sk.net, destination, source, sk.bound_dev_if, any_source=sk.transparent)
    except Fail:
        return
