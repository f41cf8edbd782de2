"""Reading SOL_SOCKET options: `sk_getsockopt` (`net/core/sock.c`).

Most options are a fixed number of octets, cut to the caller's length.  A few have rules of their own for the length.
Numbers that say nothing about the program (cookies) or that depend on the machine's memory accounting are not modelled.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from errno import EINVAL, ENODATA, ENODEV, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP
from types import MappingProxyType

from ...contract import abi
from ..errors import Fail, NotModelled
from ..inet.routing import device
from ..net import SEC
from ..sock import Sock, State
from ..task import Task
from .sol_socket_set import (
    MAX_SCHEDULE_TIMEOUT,
    RCVTSTAMP,
    RCVTSTAMPNS,
    SOCK_BUF_LOCK_MASK,
    TSTAMP_NEW,
    ULONG_MAX,
    is_tcp,
)

SO_PEERPIDFD = 77
SO_GET_FILTER = abi.SO_ATTACH_FILTER
SKF_AD_MAX = 64


def sk_getsockopt(task: Task, sk: Sock, name: int, address: int, length_address: int) -> None:
    """`sk_getsockopt`. Raises Fail."""
    memory = task.memory
    length = memory.read_int(length_address)
    if length < 0:
        raise Fail(EINVAL, "sk_getsockopt: negative length")
    if (abi.SOL_SOCKET, name) in sk.net.release.unknown_options:
        raise Fail(ENOPROTOOPT, "sk_getsockopt")
    value = _INTEGERS.get(name)
    if value is not None:
        octets = struct.pack("<I", value(sk) & 0xFFFF_FFFF)[:length]
    else:
        answer = _ANSWERS.get(name)
        if answer is None:
            raise Fail(ENOPROTOOPT, "sk_getsockopt")
        octets = answer(sk, length)[:length]
    memory.write(address, octets)
    memory.write_int(length_address, len(octets))


def _kept(name: int, default: int = 0) -> Callable[[Sock], int]:
    return lambda sk: sk.options.get(name, default)


def _error(sk: Sock) -> int:
    """Reading it clears it; a soft error shows when there is no hard one."""
    error = sk.take_error()
    if not error:
        error, sk.err_soft = sk.err_soft, 0
    return error


def _timestamp_is(wanted: int) -> Callable[[Sock], int]:
    """Which of the four timestamp options is on; the oldest only when no other is."""

    def value(sk: Sock) -> int:
        flags = sk.timestamp_flags
        if wanted == RCVTSTAMP:
            return int(flags == RCVTSTAMP)
        if wanted == RCVTSTAMPNS:
            return int(flags & (RCVTSTAMPNS | TSTAMP_NEW) == RCVTSTAMPNS)
        return int(flags & wanted == wanted)

    return value


def _incoming_cpu(sk: Sock) -> int:
    """The processor that last brought a packet; only before the first can it be known."""
    if sk.num:
        raise NotModelled("SO_INCOMING_CPU")
    return sk.options.get(abi.SO_INCOMING_CPU, -1)


def _peek_offset(sk: Sock) -> int:
    if sk.type == abi.SOCK_RAW:
        raise Fail(EOPNOTSUPP, "sk_getsockopt: SO_PEEK_OFF")
    return sk.peek_off


def _txrehash(sk: Sock) -> int:
    if not (is_tcp(sk) or sk.net.release.txrehash_everywhere):
        raise Fail(EOPNOTSUPP, "sk_getsockopt: SO_TXREHASH")
    return sk.options.get(abi.SO_TXREHASH, 1)


def _unix_only(name: int) -> Callable[[Sock], int]:
    def value(sk: Sock) -> int:
        if sk.net.release.scm_options_everywhere:
            return sk.options.get(name, 0)
        raise Fail(EOPNOTSUPP, "sk_getsockopt: sk_may_scm_recv")

    return value


_INTEGERS: Mapping[int, Callable[[Sock], int]] = MappingProxyType(
    {
        abi.SO_DEBUG: lambda sk: sk.debug,
        abi.SO_DONTROUTE: lambda sk: sk.dontroute,
        abi.SO_BROADCAST: lambda sk: sk.broadcast,
        abi.SO_SNDBUF: lambda sk: sk.sndbuf,
        abi.SO_RCVBUF: lambda sk: sk.rcvbuf,
        abi.SO_REUSEADDR: lambda sk: sk.reuse,
        abi.SO_REUSEPORT: lambda sk: sk.reuseport,
        abi.SO_KEEPALIVE: lambda sk: sk.keepopen,
        abi.SO_TYPE: lambda sk: sk.type,
        abi.SO_PROTOCOL: lambda sk: sk.protocol,
        abi.SO_DOMAIN: lambda sk: sk.family,
        abi.SO_ERROR: _error,
        abi.SO_OOBINLINE: lambda sk: sk.urg_inline,
        abi.SO_NO_CHECK: lambda sk: sk.no_check,
        abi.SO_PRIORITY: lambda sk: sk.priority,
        abi.SO_BSDCOMPAT: lambda sk: 0,
        abi.SO_TIMESTAMP: _timestamp_is(RCVTSTAMP),
        abi.SO_TIMESTAMPNS: _timestamp_is(RCVTSTAMPNS),
        abi.SO_TIMESTAMP_NEW: _timestamp_is(RCVTSTAMP | TSTAMP_NEW),
        abi.SO_TIMESTAMPNS_NEW: _timestamp_is(RCVTSTAMPNS | TSTAMP_NEW),
        abi.SO_RCVLOWAT: lambda sk: sk.rcvlowat,
        abi.SO_SNDLOWAT: lambda sk: 1,
        abi.SO_ACCEPTCONN: lambda sk: sk.state == State.LISTEN,
        abi.SO_MARK: lambda sk: sk.mark,
        abi.SO_PEEK_OFF: _peek_offset,
        abi.SO_BPF_EXTENSIONS: lambda sk: SKF_AD_MAX,
        abi.SO_INCOMING_CPU: _incoming_cpu,
        abi.SO_INCOMING_NAPI_ID: lambda sk: 0,
        abi.SO_BINDTOIFINDEX: lambda sk: sk.bound_dev_if,
        abi.SO_BUF_LOCK: lambda sk: sk.userlocks & SOCK_BUF_LOCK_MASK,
        abi.SO_RESERVE_MEM: lambda sk: 0,
        abi.SO_TXREHASH: _txrehash,
        **{
            name: _kept(name)
            for name in (
                *(abi.SO_RXQ_OVFL, abi.SO_WIFI_STATUS, abi.SO_NOFCS, abi.SO_LOCK_FILTER, abi.SO_SELECT_ERR_QUEUE),
                *(abi.SO_BUSY_POLL, abi.SO_PREFER_BUSY_POLL, abi.SO_RCVMARK, abi.SO_RCVPRIORITY, abi.SO_ZEROCOPY),
            )
        },
        **{name: _unix_only(name) for name in (abi.SO_PASSCRED, abi.SO_PASSSEC, abi.SO_PASSPIDFD, abi.SO_PASSRIGHTS)},
    }
)


def _linger(sk: Sock, length: int) -> bytes:
    time = MAX_SCHEDULE_TIMEOUT // sk.net.release.hz if sk.linger_time is None else sk.linger_time // SEC
    return struct.pack("<II", sk.linger, time & 0xFFFF_FFFF)


def _timeout(timeout: int | None) -> bytes:
    """`sock_get_timeout`: for ever reads as zero."""
    timeout = timeout or 0
    return struct.pack("<qq", timeout // SEC, timeout % SEC // 1000)


def _timestamping(sk: Sock, length: int) -> bytes:
    return struct.pack("<II", sk.options.get(abi.SO_TIMESTAMPING, 0), 0)


def _timestamping_new(sk: Sock, length: int) -> bytes:
    """Only what was set through the same option."""
    return _timestamping(sk, length) if sk.timestamp_flags & TSTAMP_NEW else bytes(8)


def _peer_credentials(sk: Sock, length: int) -> bytes:
    return struct.pack("<iii", 0, -1, -1)


def _no_peer_data(sk: Sock, length: int) -> bytes:
    raise Fail(ENODATA, "sk_getsockopt: no peer credentials")


def _peer_name(sk: Sock, length: int) -> bytes:
    """Unlike elsewhere a length beyond the name is refused."""
    assert sk.socket is not None
    try:
        name = sk.socket.ops.getname(sk.socket, 2)
    except Fail:
        raise Fail(ENOTCONN, "sk_getsockopt: SO_PEERNAME") from None
    if len(name) < length:
        raise Fail(EINVAL, "sk_getsockopt: SO_PEERNAME")
    return name


def _bound_device(sk: Sock, length: int) -> bytes:
    """`sock_getbindtodevice`: nothing at all when not bound, else the caller needs room for any name."""
    if not sk.bound_dev_if:
        return b""
    if length < 16:
        raise Fail(EINVAL, "sock_getbindtodevice")
    found = device(sk.bound_dev_if)
    if found is None:
        raise Fail(ENODEV, "netdev_get_name")
    return found.name.encode() + b"\0"


def _pacing_rate(sk: Sock, length: int) -> bytes:
    rate = sk.options.get(abi.SO_MAX_PACING_RATE, ULONG_MAX)
    return struct.pack("<Q", rate) if length >= 8 else struct.pack("<I", min(rate, 0xFFFF_FFFF))


def _memory_info(sk: Sock, length: int) -> bytes:
    """SO_MEMINFO: known only while the socket cannot have carried anything."""
    if sk.num or sk.rmem_alloc:
        raise NotModelled("SO_MEMINFO")
    return struct.pack("<9I", 0, sk.rcvbuf, 0, sk.sndbuf, 0, 0, 0, 0, 0)


def _cookie(sk: Sock, length: int) -> bytes:
    if length < 8:
        raise Fail(EINVAL, "sk_getsockopt: SO_COOKIE")
    raise NotModelled("SO_COOKIE")


def _namespace_cookie(sk: Sock, length: int) -> bytes:
    if length != 8:
        raise Fail(EINVAL, "sk_getsockopt: SO_NETNS_COOKIE")
    raise NotModelled("SO_NETNS_COOKIE")


def _transmit_time(sk: Sock, length: int) -> bytes:
    return struct.pack("<Q", sk.options.get(abi.SO_TXTIME, 0))


_ANSWERS: Mapping[int, Callable[[Sock, int], bytes]] = MappingProxyType(
    {
        abi.SO_LINGER: _linger,
        abi.SO_RCVTIMEO: lambda sk, length: _timeout(sk.rcvtimeo),
        abi.SO_RCVTIMEO_NEW: lambda sk, length: _timeout(sk.rcvtimeo),
        abi.SO_SNDTIMEO: lambda sk, length: _timeout(sk.sndtimeo),
        abi.SO_SNDTIMEO_NEW: lambda sk, length: _timeout(sk.sndtimeo),
        abi.SO_TIMESTAMPING: _timestamping,
        abi.SO_TIMESTAMPING_NEW: _timestamping_new,
        abi.SO_PEERCRED: _peer_credentials,
        abi.SO_PEERGROUPS: _no_peer_data,
        SO_PEERPIDFD: _no_peer_data,
        abi.SO_PEERNAME: _peer_name,
        abi.SO_BINDTODEVICE: _bound_device,
        SO_GET_FILTER: lambda sk, length: b"",
        abi.SO_MAX_PACING_RATE: _pacing_rate,
        abi.SO_MEMINFO: _memory_info,
        abi.SO_COOKIE: _cookie,
        abi.SO_NETNS_COOKIE: _namespace_cookie,
        abi.SO_TXTIME: _transmit_time,
    }
)
