"""Setting SOL_SOCKET options: `sk_setsockopt` (`net/core/sock.c`).

The common checks stand first: room for an int, an int that can be read, then the option.  Options that change what the
stack does have a field of `Sock`; the others are kept in `Sock.options` to be read back.  What would change behaviour
that is not modelled (filters, transmit timestamps, pacing) says so.

A protocol takes part through `Sock.set_rcvlowat`, `Sock.set_keepalive` and `Sock.write_space`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from errno import EBADF, EDOM, EINVAL, ENODEV, ENOENT, ENOPROTOOPT, EOPNOTSUPP, EPERM
from types import MappingProxyType
from typing import NamedTuple

from ...contract import abi
from ..errors import Fail, NotModelled
from ..inet.routing import DEVICES
from ..net import SEC
from ..sock import SOCK_RCVBUF_LOCK, SOCK_SNDBUF_LOCK, Sock, State
from ..task import Task
from .registers import c_ulong

SO_CNX_ADVICE, SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF, SO_DETACH_REUSEPORT_BPF = 53, 51, 52, 68
SO_DEVMEM_DONTNEED = 80
SOCK_MIN_SNDBUF, SOCK_MIN_RCVBUF = 4608, 2304
SOCK_BUF_LOCK_MASK = SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK
INT_MAX = 0x7FFF_FFFF
ULONG_MAX = 0xFFFF_FFFF_FFFF_FFFF
MAX_SCHEDULE_TIMEOUT = (1 << 63) - 1
USEC_PER_SEC = 1_000_000
IFNAMSIZ = 16
BPF_MAXINSNS = 4096

RCVTSTAMP, RCVTSTAMPNS, TSTAMP_NEW = 1, 2, 4
"""Bits of `Sock.timestamp_flags`."""
SOF_OPT_ID, SOF_OPT_TSONLY, SOF_OPT_STATS, SOF_BIND_PHC, SOF_OPT_ID_TCP = 1 << 7, 1 << 11, 1 << 12, 1 << 15, 1 << 16
SOF_TIMESTAMPING_MASK = (1 << 19) - 1
SOF_TX_RECORDS = 1 << 0 | 1 << 1 | 1 << 8 | 1 << 9 | 1 << 18
SOF_TXTIME_FLAGS = 3
CLOCKS = (0, 1, 11)


class Given(NamedTuple):
    """The caller's option: `value` is its first int."""

    task: Task
    sk: Sock
    name: int
    value: int
    address: int
    length: int

    def octets(self, size: int) -> bytes:
        return self.task.memory.read(self.address, size)


def is_tcp(sk: Sock) -> bool:
    return sk.type == abi.SOCK_STREAM and sk.protocol == abi.IPPROTO_TCP


def sk_setsockopt(task: Task, sk: Sock, name: int, address: int, length: int) -> None:
    """`sk_setsockopt`. Raises Fail."""
    if name == abi.SO_BINDTODEVICE:
        _bind_to_device(task, sk, address, length)
        return
    if length < 4:
        raise Fail(EINVAL, "sk_setsockopt: optlen < sizeof(int)")
    value = task.memory.read_int(address)
    change = _CHANGES.get(name)
    if change is None or (abi.SOL_SOCKET, name) in sk.net.release.unknown_options:
        raise Fail(ENOPROTOOPT, "sk_setsockopt")
    change(Given(task, sk, name, value, address, length))


# --- devices


def _bind_to_device(task: Task, sk: Sock, address: int, length: int) -> None:
    """`sock_setbindtodevice`."""
    name = task.memory.read(address, min(length, IFNAMSIZ - 1)).split(b"\0")[0]
    index = 0
    if name:
        found = [device.index for device in DEVICES if device.name.encode() == name]
        if not found:
            raise Fail(ENODEV, "sock_setbindtodevice")
        index = found[0]
    _bind_to_index(sk, index)


def _bind_to_index(sk: Sock, index: int) -> None:
    """`sock_bindtoindex_locked`: the index need not exist."""
    if index < 0:
        raise Fail(EINVAL, "sock_bindtoindex_locked")
    sk.bound_dev_if = index
    sk.route = None


# --- plain values


def _flag(field: str) -> Callable[[Given], None]:
    """An option that is a boolean field of `Sock`."""

    def change(given: Given) -> None:
        setattr(given.sk, field, given.value != 0)

    return change


def _keep_flag(given: Given) -> None:
    given.sk.options[given.name] = int(given.value != 0)


def _keep_value(given: Given) -> None:
    given.sk.options[given.name] = given.value


def _keep_within(low: int, high: int) -> Callable[[Given], None]:
    def change(given: Given) -> None:
        if not low <= given.value <= high:
            raise Fail(EINVAL, "sk_setsockopt: value out of range")
        given.sk.options[given.name] = given.value

    return change


def _nothing(given: Given) -> None:
    """Accepted without effect."""


def _fixed(given: Given) -> None:
    raise Fail(ENOPROTOOPT, "sk_setsockopt: read-only")


def _unix_only(given: Given) -> None:
    if given.sk.net.release.scm_options_everywhere:
        _keep_flag(given)
        return
    raise Fail(EOPNOTSUPP, "sk_setsockopt: sk_may_scm_recv")


def _reuse_address(given: Given) -> None:
    given.sk.reuse = int(given.value != 0)


def _dont_route(given: Given) -> None:
    given.sk.dontroute = given.value != 0
    given.sk.route = None


def _priority(given: Given) -> None:
    given.sk.priority = given.value


def _mark(given: Given) -> None:
    given.sk.mark = given.value


def _zerocopy(given: Given) -> None:
    sk = given.sk
    if not (is_tcp(sk) or (sk.type == abi.SOCK_DGRAM and sk.protocol == abi.IPPROTO_UDP)):
        raise Fail(EOPNOTSUPP, "sk_setsockopt: SO_ZEROCOPY")
    if given.value not in (0, 1):
        raise Fail(EINVAL, "sk_setsockopt: SO_ZEROCOPY")
    sk.options[given.name] = given.value


def _txrehash(given: Given) -> None:
    if not (is_tcp(given.sk) or given.sk.net.release.txrehash_everywhere):
        raise Fail(EOPNOTSUPP, "sk_setsockopt: SO_TXREHASH")
    if not -1 <= given.value <= 1:
        raise Fail(EINVAL, "sk_setsockopt: SO_TXREHASH")
    given.sk.options[given.name] = 1 if given.value == -1 else given.value


def _reserve_memory(given: Given) -> None:
    if given.value < 0:
        raise Fail(EINVAL, "sk_setsockopt: SO_RESERVE_MEM")
    raise Fail(EOPNOTSUPP, "sock_reserve_memory: no memory control group")


def _peek_offset(given: Given) -> None:
    """`sk_set_peek_off`; raw sockets have none."""
    if given.sk.type == abi.SOCK_RAW:
        raise Fail(EOPNOTSUPP, "sk_setsockopt: SO_PEEK_OFF")
    given.sk.peek_off = given.value


def _pacing_rate(given: Given) -> None:
    """An int of all ones means no limit, as an unsigned long of all ones does."""
    rate = ULONG_MAX if given.value == -1 else given.value & 0xFFFF_FFFF
    if given.length >= 8:
        rate = struct.unpack("<Q", given.octets(8))[0]
    if rate != ULONG_MAX and is_tcp(given.sk):
        raise NotModelled("SO_MAX_PACING_RATE on TCP")
    given.sk.options[given.name] = rate


# --- buffers


def _send_buffer(given: Given) -> None:
    """Twice what was asked for, since it also pays for bookkeeping; a negative size is a huge one."""
    _set_send_buffer(given.sk, min(given.value & 0xFFFF_FFFF, given.sk.net.sysctl.wmem_max))


def _send_buffer_force(given: Given) -> None:
    _set_send_buffer(given.sk, max(given.value, 0))


def _set_send_buffer(sk: Sock, value: int) -> None:
    sk.userlocks |= SOCK_SNDBUF_LOCK
    sk.sndbuf = max(min(value, INT_MAX // 2) * 2, SOCK_MIN_SNDBUF)
    sk.write_space()


def _receive_buffer(given: Given) -> None:
    _set_receive_buffer(given.sk, min(given.value & 0xFFFF_FFFF, given.sk.net.sysctl.rmem_max))


def _receive_buffer_force(given: Given) -> None:
    _set_receive_buffer(given.sk, max(given.value, 0))


def _set_receive_buffer(sk: Sock, value: int) -> None:
    """`__sock_set_rcvbuf`."""
    sk.userlocks |= SOCK_RCVBUF_LOCK
    sk.rcvbuf = max(min(value, INT_MAX // 2) * 2, SOCK_MIN_RCVBUF)


def _buffer_lock(given: Given) -> None:
    if given.value & ~SOCK_BUF_LOCK_MASK:
        raise Fail(EINVAL, "sk_setsockopt: SO_BUF_LOCK")
    given.sk.userlocks = given.sk.userlocks & ~SOCK_BUF_LOCK_MASK | given.value


def _receive_low_water(given: Given) -> None:
    given.sk.set_rcvlowat(INT_MAX if given.value < 0 else given.value)


# --- time


def _keepalive(given: Given) -> None:
    given.sk.set_keepalive(given.value != 0)


def _linger(given: Given) -> None:
    """A time that cannot be counted in ticks is for ever; switching it off keeps the time."""
    if given.length < 8:
        raise Fail(EINVAL, "sk_setsockopt: SO_LINGER")
    on, seconds = struct.unpack("<ii", given.octets(8))
    given.sk.linger = on != 0
    if on:
        given.sk.linger_time = seconds * SEC if seconds >= 0 else None


def _timeout(field: str) -> Callable[[Given], None]:
    """`sock_set_timeout`: in ticks, rounded up; zero is for ever, and a negative one does not wait at all."""

    def change(given: Given) -> None:
        if given.length < 16:
            raise Fail(EINVAL, "sock_copy_user_timeval")
        seconds, micros = struct.unpack("<qq", given.octets(16))
        if not 0 <= micros < USEC_PER_SEC:
            raise Fail(EDOM, "sock_set_timeout")
        hz = given.sk.net.release.hz
        timeout: int | None = None
        if seconds < 0:
            timeout = 0
        elif (seconds or micros) and seconds < MAX_SCHEDULE_TIMEOUT // hz - 1:
            ticks = seconds * hz - (-micros // (USEC_PER_SEC // hz))
            timeout = ticks * (SEC // hz)
        setattr(given.sk, field, timeout)

    return change


def _timestamp(given: Given) -> None:
    """`sock_set_timestamp`: switching any of the four off switches all off."""
    if not given.value:
        given.sk.timestamp_flags &= ~(RCVTSTAMP | RCVTSTAMPNS)
        return
    new = TSTAMP_NEW if given.name in (abi.SO_TIMESTAMP_NEW, abi.SO_TIMESTAMPNS_NEW) else 0
    nanoseconds = RCVTSTAMPNS if given.name in (abi.SO_TIMESTAMPNS, abi.SO_TIMESTAMPNS_NEW) else 0
    given.sk.timestamp_flags = RCVTSTAMP | nanoseconds | new


def _timestamping(given: Given) -> None:
    """`sock_set_timestamping`."""
    flags = given.value & 0xFFFF_FFFF
    sk = given.sk
    if flags & ~SOF_TIMESTAMPING_MASK or (flags & SOF_OPT_ID_TCP and not flags & SOF_OPT_ID):
        raise Fail(EINVAL, "sock_set_timestamping: flags")
    old = sk.options.get(abi.SO_TIMESTAMPING, 0)
    if flags & SOF_OPT_ID and not old & SOF_OPT_ID and is_tcp(sk) and sk.state in (State.CLOSE, State.LISTEN):
        raise Fail(EINVAL, "sock_set_timestamping: OPT_ID")
    if flags & SOF_OPT_STATS and not flags & SOF_OPT_TSONLY:
        raise Fail(EINVAL, "sock_set_timestamping: OPT_STATS")
    if flags & SOF_BIND_PHC:
        known = any(device.index == sk.bound_dev_if for device in DEVICES)
        raise Fail(EINVAL if known else EOPNOTSUPP, "sock_timestamping_bind_phc")
    if flags & SOF_TX_RECORDS:
        raise NotModelled("transmit timestamps")
    sk.options[abi.SO_TIMESTAMPING] = flags
    new = TSTAMP_NEW if given.name == abi.SO_TIMESTAMPING_NEW else 0
    sk.timestamp_flags = sk.timestamp_flags & ~TSTAMP_NEW | new


def _transmit_time(given: Given) -> None:
    """SO_TXTIME: no queueing discipline here heeds it."""
    if given.length != 8:
        raise Fail(EINVAL, "sk_setsockopt: SO_TXTIME")
    clock, flags = struct.unpack("<iI", given.octets(8))
    if flags & ~SOF_TXTIME_FLAGS or clock not in CLOCKS:
        raise Fail(EINVAL, "sk_setsockopt: SO_TXTIME")
    given.sk.options[given.name] = clock | flags << 32


# --- filters


def _check_unlocked(sk: Sock) -> None:
    if sk.options.get(abi.SO_LOCK_FILTER):
        raise Fail(EPERM, "SOCK_FILTER_LOCKED")


def _attach_filter(given: Given) -> None:
    """`copy_bpf_fprog_from_user`, `__get_filter`."""
    if given.length != 16:
        raise Fail(EINVAL, "copy_bpf_fprog_from_user")
    count, address = struct.unpack("<H6xQ", given.octets(16))
    _check_unlocked(given.sk)
    if not address or not 0 < count <= BPF_MAXINSNS:
        raise Fail(EINVAL, "bpf_check_basics_ok")
    given.task.memory.read(address, count * 8)
    raise NotModelled("socket filters")


def _attach_bpf(given: Given) -> None:
    """`sk_attach_bpf`: no descriptor here is a BPF program."""
    if given.length != 4:
        raise Fail(EINVAL, "sk_setsockopt: SO_ATTACH_BPF")
    _check_unlocked(given.sk)
    if given.task.files.files.get(c_ulong(given.value)) is None:
        raise Fail(EBADF, "bpf_prog_get_type")
    raise Fail(EINVAL, "bpf_prog_get_type")


def _detach_filter(given: Given) -> None:
    _check_unlocked(given.sk)
    raise Fail(ENOENT, "sk_detach_filter")


def _detach_reuseport(given: Given) -> None:
    raise Fail(ENOENT if given.sk.reuseport else EINVAL, "reuseport_detach_prog")


def _lock_filter(given: Given) -> None:
    if not given.value:
        _check_unlocked(given.sk)
    _keep_flag(given)


def _device_memory(given: Given) -> None:
    """`sock_devmem_dontneed`: gives back tokens the socket never had."""
    if not is_tcp(given.sk):
        raise Fail(EBADF, "sock_devmem_dontneed")
    if given.length % 8 or given.length > 8 * 128:
        raise Fail(EINVAL, "sock_devmem_dontneed")
    given.octets(given.length)


_CHANGES: Mapping[int, Callable[[Given], None]] = MappingProxyType(
    {
        abi.SO_DEBUG: _flag("debug"),
        abi.SO_REUSEADDR: _reuse_address,
        abi.SO_REUSEPORT: _flag("reuseport"),
        abi.SO_DONTROUTE: _dont_route,
        abi.SO_BROADCAST: _flag("broadcast"),
        abi.SO_OOBINLINE: _flag("urg_inline"),
        abi.SO_NO_CHECK: _flag("no_check"),
        abi.SO_SNDBUF: _send_buffer,
        abi.SO_SNDBUFFORCE: _send_buffer_force,
        abi.SO_RCVBUF: _receive_buffer,
        abi.SO_RCVBUFFORCE: _receive_buffer_force,
        abi.SO_BUF_LOCK: _buffer_lock,
        abi.SO_RESERVE_MEM: _reserve_memory,
        abi.SO_KEEPALIVE: _keepalive,
        abi.SO_PRIORITY: _priority,
        abi.SO_LINGER: _linger,
        abi.SO_BSDCOMPAT: _nothing,
        abi.SO_RCVLOWAT: _receive_low_water,
        abi.SO_RCVTIMEO: _timeout("rcvtimeo"),
        abi.SO_RCVTIMEO_NEW: _timeout("rcvtimeo"),
        abi.SO_SNDTIMEO: _timeout("sndtimeo"),
        abi.SO_SNDTIMEO_NEW: _timeout("sndtimeo"),
        abi.SO_TIMESTAMP: _timestamp,
        abi.SO_TIMESTAMPNS: _timestamp,
        abi.SO_TIMESTAMP_NEW: _timestamp,
        abi.SO_TIMESTAMPNS_NEW: _timestamp,
        abi.SO_TIMESTAMPING: _timestamping,
        abi.SO_TIMESTAMPING_NEW: _timestamping,
        abi.SO_ATTACH_FILTER: _attach_filter,
        abi.SO_ATTACH_BPF: _attach_bpf,
        SO_ATTACH_REUSEPORT_CBPF: _attach_filter,
        SO_ATTACH_REUSEPORT_EBPF: _attach_bpf,
        SO_DETACH_REUSEPORT_BPF: _detach_reuseport,
        abi.SO_DETACH_FILTER: _detach_filter,
        abi.SO_LOCK_FILTER: _lock_filter,
        abi.SO_MARK: _mark,
        abi.SO_PEEK_OFF: _peek_offset,
        abi.SO_ZEROCOPY: _zerocopy,
        abi.SO_TXTIME: _transmit_time,
        abi.SO_BINDTOIFINDEX: lambda given: _bind_to_index(given.sk, given.value),
        abi.SO_MAX_PACING_RATE: _pacing_rate,
        abi.SO_TXREHASH: _txrehash,
        abi.SO_BUSY_POLL: _keep_within(0, INT_MAX),
        abi.SO_BUSY_POLL_BUDGET: _keep_within(0, 0xFFFF),
        abi.SO_INCOMING_CPU: _keep_value,
        SO_CNX_ADVICE: _nothing,
        SO_DEVMEM_DONTNEED: _device_memory,
        **dict.fromkeys((abi.SO_PASSCRED, abi.SO_PASSSEC, abi.SO_PASSPIDFD, abi.SO_PASSRIGHTS), _unix_only),
        **dict.fromkeys((abi.SO_TYPE, abi.SO_PROTOCOL, abi.SO_DOMAIN, abi.SO_ERROR), _fixed),
        **dict.fromkeys((abi.SO_RXQ_OVFL, abi.SO_WIFI_STATUS, abi.SO_NOFCS, abi.SO_SELECT_ERR_QUEUE), _keep_flag),
        **dict.fromkeys((abi.SO_PREFER_BUSY_POLL, abi.SO_RCVMARK, abi.SO_RCVPRIORITY), _keep_flag),
    }
)
