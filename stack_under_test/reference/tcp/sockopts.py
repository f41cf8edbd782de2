"""SOL_TCP options (`do_tcp_setsockopt`, `do_tcp_getsockopt`); what is not SOL_TCP goes to IP.

An option's number maps to a function that checks and keeps it; what would need machinery that is not modelled (repair,
MD5, Fast Open, upper-layer protocols) is refused as `NotModelled` where Linux would accept it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from errno import EFAULT, EINVAL, ENOENT, ENOPROTOOPT, EPERM
from types import MappingProxyType

from ...contract import abi
from ..errors import Fail, NotModelled
from ..inet.sockglue import ip_setsockopt
from ..inet.sockglue_get import ip_getsockopt
from ..net import MSEC, SEC
from ..sock import State
from ..uaccess import UserMemory
from . import info, window
from .established import keepalive_time
from .output import send_probe
from .recvmsg import cleanup_rbuf
from .sock import ACK_PUSHED, DELACK_MAX, NAGLE_CORK, NAGLE_OFF, NAGLE_PUSH, RTO_MAX, RTO_MIN, TIMEOUT_INIT, TcpSock
from .xmit import push_pending_frames

MAX_KEEPIDLE = 32767
MAX_KEEPINTVL = 32767
MAX_KEEPCNT = 127
MAX_SYNCNT = 127
FIN_TIMEOUT_MAX = 120
MAX_TX_DELAY = 1 << 28
USEC = 1000
CA_NAME_MAX = 16
AVAILABLE_CONGESTION = ("reno", "bbr", "cubic")

Set = Callable[[TcpSock, int], None]
Get = Callable[[TcpSock], int]


def setsockopt(sk: TcpSock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
    """`tcp_setsockopt`."""
    if level != abi.SOL_TCP:
        ip_setsockopt(sk, level, name, value, length, memory)
        return
    if name == abi.TCP_CONGESTION:
        _set_congestion(sk, value, length, memory)
        return
    if name == abi.TCP_ULP:
        _set_ulp(value, length, memory)
        return
    if name == abi.TCP_FASTOPEN_KEY:
        if length not in (16, 32):
            raise Fail(EINVAL, "do_tcp_setsockopt: TCP_FASTOPEN_KEY length")
        memory.read(value, length)
        raise NotModelled("TCP_FASTOPEN_KEY")
    if length < 4:
        raise Fail(EINVAL, "do_tcp_setsockopt: optlen")
    number = memory.read_int(value)
    if name in (abi.TCP_MD5SIG, abi.TCP_MD5SIG_EXT):
        if length < 216:
            raise Fail(EINVAL, "tcp_v4_parse_md5_keys: optlen")
        raise NotModelled("TCP_MD5SIG")
    setter = SETTERS.get(name)
    if setter is None or (level, name) in sk.net.release.unknown_options:
        raise Fail(ENOPROTOOPT, "do_tcp_setsockopt")
    setter(sk, number)


def getsockopt(sk: TcpSock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
    """`tcp_getsockopt`; `length` is the address of the length."""
    if level != abi.SOL_TCP:
        ip_getsockopt(sk, level, name, value, length, memory)
        return
    given = memory.read_int(length)
    if given < 0:
        raise Fail(EINVAL, "do_tcp_getsockopt: optlen")
    if name in STRUCTURES:
        STRUCTURES[name](sk, value, length, given, memory)
        return
    getter = GETTERS.get(name)
    if getter is None or (level, name) in sk.net.release.unknown_options:
        raise Fail(ENOPROTOOPT, "do_tcp_getsockopt")
    answer = getter(sk)
    size = min(given, 4)
    memory.write_int(length, size)
    memory.write(value, struct.pack("<I", answer & 0xFFFF_FFFF)[:size])


def _store(value: int, length: int, given: int, octets: bytes, memory: UserMemory) -> None:
    size = min(given, len(octets))
    memory.write_int(length, size)
    memory.write(value, octets[:size])


def _name(value: int, length: int, most: int, memory: UserMemory) -> str:
    """`strncpy_from_sockptr`: up to a NUL or the length."""
    if length < 1:
        raise Fail(EINVAL, "do_tcp_setsockopt: optlen")
    wanted = min(most - 1, length)
    there = memory.span(value, wanted)
    octets = memory.read(value, there)
    if b"\0" not in octets and there < wanted:
        raise Fail(EFAULT, "strncpy_from_sockptr")
    return octets.split(b"\0")[0].decode("latin-1")


def _set_congestion(sk: TcpSock, value: int, length: int, memory: UserMemory) -> None:
    """`tcp_set_congestion_control`."""
    name = _name(value, length, CA_NAME_MAX, memory)
    if name == sk.congestion:
        return
    if name not in AVAILABLE_CONGESTION:
        raise Fail(ENOENT, "tcp_set_congestion_control: not found")
    raise NotModelled(f"congestion control {name}")


def _set_ulp(value: int, length: int, memory: UserMemory) -> None:
    """`tcp_set_ulp`."""
    name = _name(value, length, CA_NAME_MAX, memory)
    if name in ("tls", "mptcp", "espintcp", "smc"):
        raise NotModelled(f"TCP_ULP {name}")
    raise Fail(ENOENT, "tcp_set_ulp: not found")


def _range(low: int, high: int, what: str) -> Callable[[int], None]:
    def check(number: int) -> None:
        if not low <= number <= high:
            raise Fail(EINVAL, f"do_tcp_setsockopt: {what}")

    return check


def _plain(attribute: str, low: int, high: int, scale: int = 1) -> Set:
    """Keep a number in range, times `scale`."""
    check = _range(low, high, attribute)

    def setter(sk: TcpSock, number: int) -> None:
        check(number)
        setattr(sk, attribute, number * scale)

    return setter


def _flag(attribute: str) -> Set:
    check = _range(0, 1, attribute)

    def setter(sk: TcpSock, number: int) -> None:
        check(number)
        setattr(sk, attribute, bool(number))

    return setter


def _maxseg(sk: TcpSock, number: int) -> None:
    if number and not 88 <= number <= 32767:
        raise Fail(EINVAL, "do_tcp_setsockopt: TCP_MAXSEG")
    sk.user_mss = number


def _nodelay(sk: TcpSock, number: int) -> None:
    """`__tcp_sock_set_nodelay`."""
    if number:
        sk.nonagle |= NAGLE_OFF | NAGLE_PUSH
        push_pending_frames(sk)
        sk.nonagle &= ~NAGLE_PUSH
    else:
        sk.nonagle &= ~NAGLE_OFF


def _cork(sk: TcpSock, number: int) -> None:
    """`__tcp_sock_set_cork`."""
    if number:
        sk.nonagle |= NAGLE_CORK
        return
    sk.nonagle &= ~NAGLE_CORK
    if sk.nonagle & NAGLE_OFF:
        sk.nonagle |= NAGLE_PUSH
    push_pending_frames(sk)
    sk.nonagle &= ~NAGLE_PUSH


def _keepidle(sk: TcpSock, number: int) -> None:
    """`tcp_sock_set_keepidle_locked`."""
    if not 1 <= number <= MAX_KEEPIDLE:
        raise Fail(EINVAL, "do_tcp_setsockopt: TCP_KEEPIDLE")
    sk.keepalive_time = number * SEC
    if sk.keepopen and sk.state not in (State.CLOSE, State.LISTEN):
        idle = sk.whole_ticks(sk.net.now) - sk.whole_ticks(max(sk.lrcvtime, sk.rcv_tstamp))
        sk.arm("keepalive", max(sk.keepalive_time - idle, 0))


def _linger2(sk: TcpSock, number: int) -> None:
    sk.linger2 = -1 if number < 0 else min(number, FIN_TIMEOUT_MAX) * SEC


def _defer_accept(sk: TcpSock, number: int) -> None:
    """`secs_to_retrans`: as many retransmissions as take that long."""
    result = 0
    if number > 0:
        period, timeout = TIMEOUT_INIT // SEC, TIMEOUT_INIT // SEC
        result = 1
        while number > period and result < 255:
            result += 1
            timeout = min(timeout << 1, 120)
            period += timeout
    sk.defer_accept = result


def _deferred_seconds(sk: TcpSock) -> int:
    """`retrans_to_secs`."""
    retrans = sk.defer_accept
    period = 0
    if retrans > 0:
        timeout = TIMEOUT_INIT // SEC
        period = timeout
        while retrans > 1:
            retrans -= 1
            timeout = min(timeout << 1, 120)
            period += timeout
    return period


def _user_timeout(sk: TcpSock, number: int) -> None:
    if number < 0:
        raise Fail(EINVAL, "tcp_sock_set_user_timeout")
    sk.user_timeout = number * MSEC


def _window_clamp(sk: TcpSock, number: int) -> None:
    """`tcp_set_window_clamp`."""
    if not number:
        if sk.state is not State.CLOSE:
            raise Fail(EINVAL, "tcp_set_window_clamp: not closed")
        sk.window_clamp = 0
        return
    window.set_clamp(sk, number & 0xFFFF_FFFF if sk.net.release.unsigned_window_clamp else number)


def _quickack(sk: TcpSock, number: int) -> None:
    """`__tcp_sock_set_quickack`."""
    if not number:
        sk.pingpong = 1
        return
    sk.pingpong = 0
    if sk.state in (State.ESTABLISHED, State.CLOSE_WAIT) and sk.ack_scheduled():
        sk.ack_pending |= ACK_PUSHED
        cleanup_rbuf(sk, 1)
        if not number & 1:
            sk.pingpong = 1


def _repair(sk: TcpSock, number: int) -> None:
    if sk.state is State.LISTEN:
        raise Fail(EPERM, "tcp_can_repair_sock")
    if number not in (0, 1, -1):
        raise Fail(EINVAL, "do_tcp_setsockopt: TCP_REPAIR")
    if number == 1:
        raise NotModelled("TCP_REPAIR")
    sk.reuse = 0
    if number == 0 and sk.state is State.ESTABLISHED:
        sk.snd_wl1 = (sk.rcv_nxt - 1) & 0xFFFF_FFFF
        sk.refresh()
        send_probe(sk, False)


def _not_repairing(errno: int) -> Set:
    def setter(sk: TcpSock, number: int) -> None:
        raise Fail(errno, "do_tcp_setsockopt: not in repair mode")

    return setter


def _queue_seq(sk: TcpSock, number: int) -> None:
    raise Fail(EPERM if sk.state is not State.CLOSE else EINVAL, "do_tcp_setsockopt: TCP_QUEUE_SEQ")


def _fastopen(sk: TcpSock, number: int) -> None:
    if number < 0 or sk.state not in (State.CLOSE, State.LISTEN):
        raise Fail(EINVAL, "do_tcp_setsockopt: TCP_FASTOPEN")
    sk.fastopen_backlog = min(number, sk.net.sysctl.somaxconn)


def _fastopen_connect(sk: TcpSock, number: int) -> None:
    if number not in (0, 1) or sk.state is not State.CLOSE:
        raise Fail(EINVAL, "do_tcp_setsockopt: TCP_FASTOPEN_CONNECT")
    if number:
        raise NotModelled("TCP_FASTOPEN_CONNECT")


def _fastopen_no_cookie(sk: TcpSock, number: int) -> None:
    if number not in (0, 1) or sk.state not in (State.CLOSE, State.LISTEN):
        raise Fail(EINVAL, "do_tcp_setsockopt: TCP_FASTOPEN_NO_COOKIE")
    sk.fastopen_no_cookie = bool(number)


def _notsent_lowat(sk: TcpSock, number: int) -> None:
    sk.notsent_lowat = number & 0xFFFF_FFFF
    sk.write_space()


def _thin_dupack(sk: TcpSock, number: int) -> None:
    if number not in (0, 1):
        raise Fail(EINVAL, "do_tcp_setsockopt: TCP_THIN_DUPACK")


def _tx_delay(sk: TcpSock, number: int) -> None:
    if sk.net.release.bounds_tx_delay and not 0 <= number < MAX_TX_DELAY:
        raise Fail(EINVAL, "do_tcp_setsockopt: TCP_TX_DELAY")
    if number:
        raise NotModelled("TCP_TX_DELAY")


def _rto_max(sk: TcpSock, number: int) -> None:
    if not 1000 <= number <= RTO_MAX // MSEC:
        raise Fail(EINVAL, "do_tcp_setsockopt: TCP_RTO_MAX_MS")
    if number * MSEC != RTO_MAX:
        raise NotModelled("TCP_RTO_MAX_MS")


def _at_most(usual: int, what: str) -> Set:
    """A time in microseconds, counted in ticks: from two of them to what is usual, and nothing else is modelled."""

    def setter(sk: TcpSock, number: int) -> None:
        tick = SEC // sk.net.release.hz
        time = -(-(number & 0xFFFF_FFFF) * USEC // tick) * tick
        if not 2 * tick <= time <= usual:
            raise Fail(EINVAL, f"do_tcp_setsockopt: {what}")
        if time != usual:
            raise NotModelled(what)

    return setter


TCP_AO_REPAIR = 42


def _ao_repair(sk: TcpSock) -> int:
    """Without TCP-AO in the kernel, only the permission is looked at."""
    raise Fail(EPERM if sk.state is State.LISTEN else ENOPROTOOPT, "tcp_ao_set_repair")


def _set_ao_repair(sk: TcpSock, number: int) -> None:
    _ao_repair(sk)


SETTERS: Mapping[int, Set] = MappingProxyType(
    {
        abi.TCP_SYNCNT: _plain("syn_retries", 1, MAX_SYNCNT),
        abi.TCP_USER_TIMEOUT: _user_timeout,
        abi.TCP_KEEPINTVL: _plain("keepalive_intvl", 1, MAX_KEEPINTVL, SEC),
        abi.TCP_KEEPCNT: _plain("keepalive_probes", 1, MAX_KEEPCNT),
        abi.TCP_LINGER2: _linger2,
        abi.TCP_DEFER_ACCEPT: _defer_accept,
        abi.TCP_MAXSEG: _maxseg,
        abi.TCP_NODELAY: _nodelay,
        abi.TCP_THIN_LINEAR_TIMEOUTS: _flag("thin_lto"),
        abi.TCP_THIN_DUPACK: _thin_dupack,
        abi.TCP_REPAIR: _repair,
        abi.TCP_REPAIR_QUEUE: _not_repairing(EPERM),
        abi.TCP_QUEUE_SEQ: _queue_seq,
        abi.TCP_REPAIR_OPTIONS: _not_repairing(EINVAL),
        abi.TCP_TIMESTAMP: _not_repairing(EPERM),
        abi.TCP_REPAIR_WINDOW: _not_repairing(EPERM),
        abi.TCP_CORK: _cork,
        abi.TCP_KEEPIDLE: _keepidle,
        abi.TCP_SAVE_SYN: _plain("save_syn", 0, 2),
        abi.TCP_WINDOW_CLAMP: _window_clamp,
        abi.TCP_QUICKACK: _quickack,
        abi.TCP_FASTOPEN: _fastopen,
        abi.TCP_FASTOPEN_CONNECT: _fastopen_connect,
        abi.TCP_FASTOPEN_NO_COOKIE: _fastopen_no_cookie,
        abi.TCP_NOTSENT_LOWAT: _notsent_lowat,
        abi.TCP_INQ: _flag("recvmsg_inq"),
        abi.TCP_TX_DELAY: _tx_delay,
        abi.TCP_RTO_MAX_MS: _rto_max,
        abi.TCP_RTO_MIN_US: _at_most(RTO_MIN, "TCP_RTO_MIN_US"),
        abi.TCP_DELACK_MAX_US: _at_most(DELACK_MAX, "TCP_DELACK_MAX_US"),
        TCP_AO_REPAIR: _set_ao_repair,
    }
)


def _get_maxseg(sk: TcpSock) -> int:
    if sk.user_mss and sk.state in (State.CLOSE, State.LISTEN):
        return sk.user_mss
    return sk.mss_cache


def _get_linger2(sk: TcpSock) -> int:
    return -1 if sk.linger2 < 0 else sk.linger2 // SEC or sk.net.sysctl.tcp_fin_timeout


def _get_invalid(sk: TcpSock) -> int:
    raise Fail(EINVAL, "do_tcp_getsockopt: not in repair mode")


GETTERS: Mapping[int, Get] = MappingProxyType(
    {
        abi.TCP_MAXSEG: _get_maxseg,
        abi.TCP_NODELAY: lambda sk: int(bool(sk.nonagle & NAGLE_OFF)),
        abi.TCP_CORK: lambda sk: int(bool(sk.nonagle & NAGLE_CORK)),
        abi.TCP_KEEPIDLE: lambda sk: keepalive_time(sk) // SEC,
        abi.TCP_KEEPINTVL: lambda sk: sk.keepalive_intvl // SEC or sk.net.sysctl.tcp_keepalive_intvl,
        abi.TCP_KEEPCNT: lambda sk: sk.keepalive_probes or sk.net.sysctl.tcp_keepalive_probes,
        abi.TCP_SYNCNT: lambda sk: sk.syn_retries or sk.net.sysctl.tcp_syn_retries,
        abi.TCP_LINGER2: _get_linger2,
        abi.TCP_DEFER_ACCEPT: _deferred_seconds,
        abi.TCP_WINDOW_CLAMP: lambda sk: sk.window_clamp,
        abi.TCP_QUICKACK: lambda sk: int(not sk.in_pingpong()),
        abi.TCP_THIN_LINEAR_TIMEOUTS: lambda sk: int(sk.thin_lto),
        abi.TCP_THIN_DUPACK: lambda sk: 0,
        abi.TCP_REPAIR: lambda sk: 0,
        abi.TCP_REPAIR_QUEUE: _get_invalid,
        abi.TCP_QUEUE_SEQ: _get_invalid,
        abi.TCP_USER_TIMEOUT: lambda sk: sk.user_timeout // MSEC,
        abi.TCP_FASTOPEN: lambda sk: sk.fastopen_backlog,
        abi.TCP_FASTOPEN_CONNECT: lambda sk: 0,
        abi.TCP_FASTOPEN_NO_COOKIE: lambda sk: int(sk.fastopen_no_cookie),
        abi.TCP_TX_DELAY: lambda sk: 0,
        abi.TCP_TIMESTAMP: lambda sk: (sk.net.now // MSEC + sk.tsoffset) & 0xFFFF_FFFE,
        abi.TCP_NOTSENT_LOWAT: lambda sk: sk.notsent_lowat,
        abi.TCP_INQ: lambda sk: int(sk.recvmsg_inq),
        abi.TCP_SAVE_SYN: lambda sk: sk.save_syn,
        abi.TCP_IS_MPTCP: lambda sk: 0,
        abi.TCP_RTO_MAX_MS: lambda sk: RTO_MAX // MSEC,
        abi.TCP_RTO_MIN_US: lambda sk: RTO_MIN // USEC,
        abi.TCP_DELACK_MAX_US: lambda sk: DELACK_MAX // USEC,
        TCP_AO_REPAIR: _ao_repair,
    }
)

Structure = Callable[[TcpSock, int, int, int, UserMemory], None]


def _get_info(sk: TcpSock, value: int, length: int, given: int, memory: UserMemory) -> None:
    _store(value, length, given, info.tcp_info(sk), memory)


def _get_cc_info(sk: TcpSock, value: int, length: int, given: int, memory: UserMemory) -> None:
    _store(value, length, given, b"", memory)


def _get_congestion(sk: TcpSock, value: int, length: int, given: int, memory: UserMemory) -> None:
    _store(value, length, given, sk.congestion.encode().ljust(CA_NAME_MAX, b"\0"), memory)


def _get_saved_syn(sk: TcpSock, value: int, length: int, given: int, memory: UserMemory) -> None:
    memory.write_int(length, 0)


def _get_repair_window(sk: TcpSock, value: int, length: int, given: int, memory: UserMemory) -> None:
    raise Fail(EPERM if given == 20 else EINVAL, "do_tcp_getsockopt: TCP_REPAIR_WINDOW")


def _get_not_modelled(sk: TcpSock, value: int, length: int, given: int, memory: UserMemory) -> None:
    raise NotModelled("this TCP option")


STRUCTURES: Mapping[int, Structure] = MappingProxyType(
    {
        abi.TCP_INFO: _get_info,
        abi.TCP_CC_INFO: _get_cc_info,
        abi.TCP_CONGESTION: _get_congestion,
        abi.TCP_ULP: _get_cc_info,
        abi.TCP_FASTOPEN_KEY: _get_cc_info,
        abi.TCP_SAVED_SYN: _get_saved_syn,
        abi.TCP_REPAIR_WINDOW: _get_repair_window,
        abi.TCP_ZEROCOPY_RECEIVE: _get_not_modelled,
    }
)
