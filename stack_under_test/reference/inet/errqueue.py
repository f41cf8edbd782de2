"""The error queue: errors about what a socket sent, kept for MSG_ERRQUEUE (IP_RECVERR; `net/ipv4/ip_sockglue.c`).

An entry holds the `struct sock_extended_err` and the payload that the error quotes.  As long as the next entry is an ICMP
error its errno is the socket's pending error.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from errno import EAGAIN, EFAULT
from typing import TYPE_CHECKING

from ...contract import abi
from ...wire.checksum import verifies
from ..errors import Fail
from .control import received
from .routing import ANY, LO
from .sockaddr import sockaddr_in

if TYPE_CHECKING:
    from ..sock import Message, Sock
    from .packet import Packet
    from .protocols import IcmpError

ORIGIN_LOCAL, ORIGIN_ICMP = 1, 2
_MIN_ORIGINAL = 128
_DAMAGED = 1 << 16
"""SO_EE_RFC4884_FLAG_INVALID, where it stands in `ee_data`."""


@dataclass(slots=True)
class ErrorEntry:
    """`sock_exterr_skb`. `address` and `port` are where the offending packet went; `packet` is the ICMP error itself."""

    errno: int
    origin: int
    type: int
    code: int
    info: int
    address: bytes
    port: int
    payload: bytes
    truesize: int
    packet: Packet | None = None
    data: int = 0


def icmp_error(sk: Sock, error: IcmpError, errno: int, port: int, payload_at: int) -> None:
    """`ip_icmp_error`: queue an ICMP error; the payload begins at `payload_at` of the quotation."""
    quoted = error.quoted
    payload = quoted[payload_at:]
    if payload_at > len(quoted):
        return
    size = error.packet.cost(sk.net.buffers)
    entry = ErrorEntry(errno, ORIGIN_ICMP, error.type, error.code, error.info, quoted[16:20], port, payload, size, error.packet)
    if sk.recverr_rfc4884:
        entry.data = _extensions(error, payload_at, payload)
    _queue(sk, entry)


def _extensions(error: IcmpError, payload_at: int, payload: bytes) -> int:
    """`ip_icmp_error_rfc4884`: where in the payload ICMP extensions begin, and whether they are damaged."""
    if error.type not in (3, 11, 12) or error.original < max(_MIN_ORIGINAL, payload_at):
        return 0
    at = error.original - payload_at
    if at + 4 > len(payload):
        return 0
    return at | (0 if _extensions_fit(payload[at:]) else _DAMAGED)


def _extensions_fit(octets: bytes) -> bool:
    """`ip_icmp_error_rfc4884_validate`: RFC 4884, section 7."""
    if octets[0] >> 4 != 2:
        return True
    if octets[2:4] != b"\0\0" and not verifies(octets):
        return False
    at = 4
    while at < len(octets):
        size = int.from_bytes(octets[at : at + 2], "big")
        if at + 4 > len(octets) or size < 4:
            return False
        at += size
    return at <= len(octets)


def local_error(sk: Sock, errno: int, address: bytes, port: int, info: int) -> None:
    """`ip_local_error`: an error this host found itself, before the packet left."""
    if sk.recverr:
        _queue(sk, ErrorEntry(errno, ORIGIN_LOCAL, 0, 0, info, address, port, b"", sk.net.buffers.head(20)))


def _queue(sk: Sock, entry: ErrorEntry) -> None:
    """`sock_queue_err_skb`: charged to the receive buffer, dropped when that is full."""
    if sk.rmem_alloc + entry.truesize >= sk.rcvbuf:
        return
    sk.rmem_alloc += entry.truesize
    sk.error_queue.append(entry)
    if not sk.dead:
        sk.error_report()


def _dequeue(sk: Sock) -> ErrorEntry:
    """`sock_dequeue_err_skb`."""
    if not sk.error_queue:
        raise Fail(EAGAIN, "ip_recv_error: empty")
    entry: ErrorEntry = sk.error_queue.popleft()
    sk.rmem_alloc -= entry.truesize
    following = sk.error_queue[0] if sk.error_queue else None
    if following is not None and following.origin == ORIGIN_ICMP:
        sk.err = following.errno
    elif entry.origin == ORIGIN_ICMP:
        sk.err = 0
    if following is not None:
        sk.error_report()
    return entry


def receive_error(sk: Sock, message: Message, size: int) -> int:
    """`ip_recv_error`: the payload, the address it had gone to, and the error as ancillary data."""
    entry = _dequeue(sk)
    copied = len(entry.payload)
    if copied > size:
        message.flags_out |= abi.MSG_TRUNC
        copied = size
    copy_datagram(message, entry.payload[:copied])
    if message.wants_name:
        message.name = sockaddr_in(entry.address, entry.port)
    extended = struct.pack("<IBBBBII", entry.errno, entry.origin, entry.type, entry.code, 0, entry.info, entry.data)
    offender = bytes(16)
    if entry.packet is not None:
        offender = sockaddr_in(entry.packet.source, 0)
        if sk.cmsg_flags:
            # Nobody computed an address of ours, and what looped came in over lo.
            index = LO.index if entry.packet.looped else entry.packet.device.index
            pktinfo = struct.pack("<i4s4s", index, ANY, entry.packet.destination)
            received(sk, message, entry.packet, pktinfo, entry.payload)
    message.control_out.append((abi.SOL_IP, abi.IP_RECVERR, extended + offender))
    message.flags_out |= abi.MSG_ERRQUEUE
    return copied


def copy_datagram(message: Message, octets: bytes) -> None:
    """`skb_copy_datagram_msg`: all or nothing. Raises Fail(EFAULT)."""
    done = message.iter.copy_to(octets)
    if done < len(octets):
        message.iter.revert(done)
        raise Fail(EFAULT, "skb_copy_datagram_iter")


def purge(sk: Sock) -> None:
    """`skb_errqueue_purge`: IP_RECVERR was switched off."""
    for entry in sk.error_queue:
        sk.rmem_alloc -= entry.truesize
    sk.error_queue.clear()
