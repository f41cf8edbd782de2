"""Ancillary data of IP: what a datagram is received with, and what one is sent with (`ip_cmsg_recv`, `ip_cmsg_send`)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EINVAL
from typing import TYPE_CHECKING

from ...contract import abi
from ..errors import Fail, NotModelled
from ..release import Release
from .header_options import HeaderOptions, Malformed, compile_user, echo, undo
from .sockaddr import sockaddr_in

if TYPE_CHECKING:
    from ..sock import Message, Sock
    from .packet import Packet

PKTINFO, TTL, TOS, RECVOPTS, RETOPTS, PASSSEC, ORIGDSTADDR, CHECKSUM, RECVFRAGSIZE = (1 << bit for bit in range(9))
"""`IP_CMSG_*`: bits of `Sock.cmsg_flags`."""
_HEADER = 16
SCM_RIGHTS, SCM_CREDENTIALS = 1, 2
SCM_TIMESTAMPING_OLD, SCM_TIMESTAMPING_NEW, SCM_TXTIME, SCM_TS_OPT_ID, SCM_DEVMEM_DMABUF = 37, 65, 61, 81, 79


def received(sk: Sock, message: Message, packet: Packet, pktinfo: bytes, ports: bytes) -> None:
    """`ip_cmsg_recv_offset`: `pktinfo` is what was noted when `packet` was queued.

    `ports` is what the transport header is taken to begin with; in the error queue that is the quoted payload.
    """
    flags, out = sk.cmsg_flags, message.control_out
    if flags & PKTINFO:
        out.append((abi.SOL_IP, abi.IP_PKTINFO, pktinfo))
    if flags & TTL:
        out.append((abi.SOL_IP, abi.IP_TTL, struct.pack("<i", packet.ttl)))
    if flags & TOS:
        out.append((abi.SOL_IP, abi.IP_TOS, bytes((packet.tos,))))
    if packet.options is not None and packet.options.data:
        if flags & RECVOPTS:
            out.append((abi.SOL_IP, abi.IP_RECVOPTS, bytes(packet.options.data)))
        if flags & RETOPTS:
            _return_options(message, packet.options)
    if flags & ORIGDSTADDR and len(ports) >= 4:
        port = int.from_bytes(ports[2:4], "big")
        out.append((abi.SOL_IP, abi.IP_ORIGDSTADDR, sockaddr_in(packet.destination, port)))
    if flags & CHECKSUM:
        raise NotModelled("IP_CHECKSUM: the sum of the octets received")
    if flags & RECVFRAGSIZE and packet.fragment_size:
        out.append((abi.SOL_IP, abi.IP_RECVFRAGSIZE, struct.pack("<i", packet.fragment_size)))


def _return_options(message: Message, options: HeaderOptions) -> None:
    """`ip_cmsg_recv_retopts`: the options an answer would carry."""
    try:
        answer = echo(options)
    except ValueError:
        message.flags_out |= abi.MSG_CTRUNC
        return
    message.control_out.append((abi.SOL_IP, abi.IP_RETOPTS, undo(answer) if answer is not None else b""))


@dataclass(slots=True)
class Cookie:
    """`struct ipcm_cookie`: choices for one datagram, as the socket has them when it is begun; a `ttl` of 0 and a
    `tos` of None are left open until it is sent."""

    address: bytes
    oif: int
    tos: int | None = None
    ttl: int = 0
    options: HeaderOptions | None = None
    segment: int = 0


def each(control: bytes) -> Iterator[tuple[int, int, bytes]]:
    """`for_each_cmsghdr` with CMSG_OK: (level, type, data). Raises Fail(EINVAL) for a length that cannot be."""
    at = 0
    while at + _HEADER <= len(control):
        length, level, kind = struct.unpack_from("<Qii", control, at)
        if not _HEADER <= length <= len(control) - at:
            raise Fail(EINVAL, "CMSG_OK")
        yield level, kind, control[at + _HEADER : at + length]
        at += length + 7 & ~7


def socket_level(kind: int, data: bytes, release: Release) -> None:
    """`__sock_cmsg_send`: SOL_SOCKET's own. Marks and priorities change no packet here."""
    if kind in (SCM_RIGHTS, SCM_CREDENTIALS):
        return
    if kind == abi.SO_MARK or (kind == abi.SO_PRIORITY and release.priority_message):
        if len(data) != 4:
            raise Fail(EINVAL, "__sock_cmsg_send: length")
        return
    if kind in (SCM_TIMESTAMPING_OLD, SCM_TIMESTAMPING_NEW, SCM_TS_OPT_ID, SCM_DEVMEM_DMABUF):
        raise NotModelled(f"SOL_SOCKET control message {kind} on sending")
    # SCM_TXTIME needs SO_TXTIME first, which is not modelled; without it the answer is the default's.
    raise Fail(EINVAL, "__sock_cmsg_send: type")


def sent(control: bytes, cookie: Cookie, release: Release) -> None:
    """`ip_cmsg_send`. Raises Fail(EINVAL)."""
    for level, kind, data in each(control):
        if level == abi.SOL_SOCKET:
            socket_level(kind, data, release)
        elif level == abi.SOL_IP:
            _ip_level(kind, data, cookie)


def _ip_level(kind: int, data: bytes, cookie: Cookie) -> None:
    if kind == abi.IP_RETOPTS:
        cookie.options = user_options(data[:40]) or HeaderOptions()
    elif kind == abi.IP_PKTINFO:
        if len(data) != 12:
            raise Fail(EINVAL, "ip_cmsg_send: IP_PKTINFO length")
        index, cookie.address = struct.unpack("<i4s4x", data)
        cookie.oif = index or cookie.oif
    elif kind == abi.IP_TTL:
        cookie.ttl = _number(data, 1, "IP_TTL")
    elif kind == abi.IP_TOS:
        cookie.tos = data[0] if len(data) == 1 else _number(data, 0, "IP_TOS")
    elif kind == abi.IP_PROTOCOL:
        _number(data, 1, "IP_PROTOCOL")
    else:
        raise Fail(EINVAL, "ip_cmsg_send: type")


def _number(data: bytes, low: int, name: str) -> int:
    if len(data) != 4:
        raise Fail(EINVAL, f"ip_cmsg_send: {name} length")
    value = int.from_bytes(data, "little", signed=True)
    if not low <= value <= 255:
        raise Fail(EINVAL, f"ip_cmsg_send: {name} range")
    return value


def user_options(data: bytes) -> HeaderOptions | None:
    """`ip_options_get`. Raises Fail(EINVAL); a source route is not modelled."""
    try:
        options = compile_user(data)
    except Malformed as malformed:
        raise Fail(EINVAL, f"ip_options_compile: octet {malformed.pointer}") from None
    if options.srr:
        raise NotModelled("source routes")
    if options.ts_needtime:
        raise NotModelled("the time of day in IP timestamp options")
    return options if options.data else None
