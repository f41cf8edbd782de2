"""Socket options: what may be set, to what, and how much memory the answer takes.

Values are mostly in range, some at its edges, some beyond.  Options whose value differs from run to run on one kernel
(`TCP_TIMESTAMP`, `SO_COOKIE`) are kept apart: a profile must ask for them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from fuzz.arguments import GROUP, HEADER_OPTIONS
from fuzz.chooser import Chooser, Weights
from fuzz.model import Draft, Endpoint
from stack_under_test.contract import abi
from stack_under_test.contract.values import Buffer, InOut, Ints, Octets, Pointer, Ref
from stack_under_test.contract.world import PEER_IP, STACK_IP

FLAG = (1, 0, 2, -1)
TIMES = (0, 1, 10, 60, 7200, 32767, 32768, -1)


class Option(NamedTuple):
    """`values` are what setsockopt is given: ints, or octets for structures and strings; `size` of the answer."""

    level: int
    name: int
    values: tuple[int | bytes, ...]
    size: int = 4


def _linger(on: int, seconds: int) -> bytes:
    return struct.pack("<ii", on, seconds)


def _timeval(sec: int, usec: int) -> bytes:
    return struct.pack("<qq", sec, usec)


def _table(level: int, rows: tuple[tuple[int, tuple[int | bytes, ...]], ...]) -> tuple[Option, ...]:
    return tuple([Option(level, name, values) for name, values in rows])


SOCKET_OPTIONS = (
    Option(abi.SOL_SOCKET, abi.SO_LINGER, (_linger(1, 0), _linger(0, 0), _linger(1, 60), _linger(1, -1)), 8),
    Option(abi.SOL_SOCKET, abi.SO_RCVTIMEO, (_timeval(600, 0), _timeval(0, 0), _timeval(-1, 0), _timeval(0, 10**6)), 16),
    Option(abi.SOL_SOCKET, abi.SO_SNDTIMEO, (_timeval(600, 0), _timeval(0, 0), _timeval(0, -1)), 16),
    Option(abi.SOL_SOCKET, abi.SO_BINDTODEVICE, (b"tun0\0", b"lo\0", b"nosuch\0", b""), 16),
    *_table(
        abi.SOL_SOCKET,
        (
            (abi.SO_REUSEADDR, FLAG),
            (abi.SO_REUSEPORT, FLAG),
            (abi.SO_KEEPALIVE, FLAG),
            (abi.SO_OOBINLINE, FLAG),
            (abi.SO_BROADCAST, FLAG),
            (abi.SO_DONTROUTE, FLAG),
            (abi.SO_SNDBUF, (4096, 0, 1, 65536, 1 << 20, -1)),
            (abi.SO_RCVBUF, (4096, 0, 1, 65536, 1 << 20, -1)),
            (abi.SO_SNDBUFFORCE, (4096, 0, -1)),
            (abi.SO_RCVBUFFORCE, (4096, 0, -1)),
            (abi.SO_RCVLOWAT, (1, 0, 2, 10, 100000, -1)),
            (abi.SO_SNDLOWAT, (1, 0)),
            (abi.SO_PRIORITY, (0, 1, 6, 7, -1)),
            (abi.SO_MARK, (0, 1)),
            (abi.SO_NO_CHECK, FLAG),
            (abi.SO_TIMESTAMP, FLAG),
            (abi.SO_PEEK_OFF, (0, -1, 1, 3, 100)),
            (abi.SO_BUSY_POLL, (0, -1)),
            (abi.SO_PASSCRED, FLAG),
            (abi.SO_DEBUG, (0, 1)),
            (abi.SO_LOCK_FILTER, (0,)),
            (abi.SO_RXQ_OVFL, FLAG),
            (abi.SO_SELECT_ERR_QUEUE, FLAG),
            (abi.SO_ZEROCOPY, FLAG),
            (abi.SO_DETACH_FILTER, (0,)),
            (abi.SO_BINDTOIFINDEX, (0, 1, -1, 99)),
            (abi.SO_BUF_LOCK, (0, 1, 3, 4)),
            (abi.SO_TYPE, (1,)),
            (abi.SO_DOMAIN, (1,)),
            (abi.SO_PROTOCOL, (1,)),
            (abi.SO_ERROR, (1,)),
            (abi.SO_ACCEPTCONN, (1,)),
        ),
    ),
)
IP_OPTIONS = (
    Option(abi.SOL_IP, abi.IP_OPTIONS, (b"", *HEADER_OPTIONS), 40),
    Option(abi.SOL_IP, abi.IP_MULTICAST_IF, (STACK_IP, PEER_IP, bytes(4)), 4),
    *_table(
        abi.SOL_IP,
        (
            (abi.IP_TTL, (64, 1, 255, 0, 256, -1)),
            (abi.IP_TOS, (0, 16, 255, 3, 256, -1)),
            (abi.IP_MTU_DISCOVER, (0, 1, 2, 3, 4, 5, 6, -1)),
            (abi.IP_RECVERR, FLAG),
            (abi.IP_PKTINFO, FLAG),
            (abi.IP_RECVTTL, FLAG),
            (abi.IP_RECVTOS, FLAG),
            (abi.IP_RECVOPTS, FLAG),
            (abi.IP_RETOPTS, FLAG),
            (abi.IP_ORIGDSTADDR, FLAG),
            (abi.IP_FREEBIND, FLAG),
            (abi.IP_TRANSPARENT, FLAG),
            (abi.IP_MINTTL, (0, 1, 64, 65, 255, 256)),
            (abi.IP_NODEFRAG, FLAG),
            (abi.IP_CHECKSUM, FLAG),
            (abi.IP_BIND_ADDRESS_NO_PORT, FLAG),
            (abi.IP_RECVFRAGSIZE, FLAG),
            (abi.IP_MULTICAST_TTL, (1, 0, 255, 256, -1)),
            (abi.IP_MULTICAST_LOOP, FLAG),
            (abi.IP_MULTICAST_ALL, FLAG),
            (abi.IP_UNICAST_IF, (0, 1)),
            (abi.IP_LOCAL_PORT_RANGE, (0, 0x9C40_8000, 0x8000_9C40)),
            (abi.IP_MTU, (1500,)),
            (abi.IP_HDRINCL, FLAG),
            (abi.IP_ROUTER_ALERT, FLAG),
        ),
    ),
)
TCP_OPTIONS = (
    Option(abi.SOL_TCP, abi.TCP_CONGESTION, (b"reno", b"nosuch", b""), 16),
    Option(abi.SOL_TCP, abi.TCP_ULP, (b"nosuch", b""), 16),
    *_table(
        abi.SOL_TCP,
        (
            (abi.TCP_NODELAY, FLAG),
            (abi.TCP_CORK, FLAG),
            (abi.TCP_MAXSEG, (536, 0, 1, 87, 88, 1000, 1460, 32767, 32768, -1)),
            (abi.TCP_QUICKACK, (0, 1, 3)),
            (abi.TCP_DEFER_ACCEPT, (0, 1, 10, -1)),
            (abi.TCP_KEEPIDLE, TIMES),
            (abi.TCP_KEEPINTVL, TIMES),
            (abi.TCP_KEEPCNT, (1, 0, 5, 127, 128)),
            (abi.TCP_SYNCNT, (1, 0, 5, 127, 128)),
            (abi.TCP_LINGER2, TIMES),
            (abi.TCP_WINDOW_CLAMP, (0, 1, 1000, 65535, 1 << 20)),
            (abi.TCP_USER_TIMEOUT, (0, 1, 1000, 60000, -1)),
            (abi.TCP_NOTSENT_LOWAT, (0, 1, 1000, -1)),
            (abi.TCP_FASTOPEN, (0, 5, -1)),
            (abi.TCP_SAVE_SYN, (0, 1, 2, 3)),
            (abi.TCP_INQ, FLAG),
            (abi.TCP_THIN_LINEAR_TIMEOUTS, FLAG),
            (abi.TCP_THIN_DUPACK, FLAG),
            (abi.TCP_TX_DELAY, (0,)),
            (abi.TCP_REPAIR, (0,)),
        ),
    ),
)
UDP_OPTIONS = _table(
    abi.SOL_UDP,
    (
        (abi.UDP_CORK, FLAG),
        (abi.UDP_NO_CHECK6_TX, FLAG),
        (abi.UDP_NO_CHECK6_RX, FLAG),
        (abi.UDP_SEGMENT, (0, 100, 1472, 65536)),
        (abi.UDP_GRO, FLAG),
        (abi.UDP_ENCAP, (0, 99)),
    ),
)
LASTING = (
    Option(abi.SOL_IP, abi.IP_ADD_MEMBERSHIP, (GROUP + bytes(4), bytes(8), STACK_IP + STACK_IP), 8),
    Option(abi.SOL_IP, abi.IP_DROP_MEMBERSHIP, (GROUP + bytes(4), bytes(8)), 8),
    Option(abi.SOL_TCP, abi.TCP_FASTOPEN_CONNECT, (1, 0)),
)
"""These leave something in the namespace that only a new one is rid of, which costs as much as 20 programs."""

UNSTEADY = (
    Option(abi.SOL_TCP, abi.TCP_TIMESTAMP, (), 4),
    Option(abi.SOL_SOCKET, abi.SO_COOKIE, (), 8),
    Option(abi.SOL_SOCKET, abi.SO_NETNS_COOKIE, (), 8),
    Option(abi.SOL_SOCKET, abi.SO_INCOMING_CPU, (), 4),
    Option(abi.SOL_SOCKET, abi.SO_MEMINFO, (), 36),
)

_CHANGES_THE_WORLD = frozenset(
    {abi.TCP_FASTOPEN_CONNECT, abi.TCP_REPAIR, abi.TCP_CONGESTION, abi.IP_ADD_MEMBERSHIP, abi.IP_DROP_MEMBERSHIP}
)
_UNSTEADY_NAMES = frozenset({(option.level, option.name) for option in UNSTEADY})


def _every(level: int, prefix: str) -> tuple[Option, ...]:
    """Every option that `abi` has a name for, with any values: most are refused, and each in its own way."""
    numbers = sorted({value for name, value in vars(abi).items() if name.startswith(prefix)})
    return tuple(
        [
            Option(level, number, (1, 0, -1, 2, 1000, bytes(8), bytes(16)), 8)
            for number in numbers
            if number not in _CHANGES_THE_WORLD and (level, number) not in _UNSTEADY_NAMES
        ]
    )


EVERY = (*_every(abi.SOL_SOCKET, "SO_"), *_every(abi.SOL_IP, "IP_"), *_every(abi.SOL_TCP, "TCP_"))

STREAM: Weights[tuple[Option, ...]] = Weights(
    (40, SOCKET_OPTIONS), (50, TCP_OPTIONS), (20, IP_OPTIONS), (10, UDP_OPTIONS), (20, EVERY), (1, LASTING)
)
DATAGRAM: Weights[tuple[Option, ...]] = Weights(
    (40, SOCKET_OPTIONS), (40, IP_OPTIONS), (20, UDP_OPTIONS), (10, TCP_OPTIONS), (20, EVERY), (1, LASTING)
)
_ODD_SIZES = (0, 1, 2, 3, 5, 8, -1)


def option_for(draft: Draft, endpoint: Endpoint) -> Option:
    """An option of a level that suits the socket, mostly."""
    if draft.profile.unsteady and draft.choose.chance(10):
        return draft.choose.choice(UNSTEADY)
    rows = draft.choose.weighted(STREAM if endpoint.kind == abi.SOCK_STREAM else DATAGRAM)
    return draft.choose.choice(rows)


def value_of(choose: Chooser, option: Option) -> tuple[Pointer, int]:
    """Memory that holds one of the option's values, and its length."""
    if not option.values:
        return Ints((1,)), 4
    value = choose.choice(option.values)
    return (Octets(value), len(value)) if isinstance(value, bytes) else (Ints((value,)), 4)


def set_option(draft: Draft, endpoint: Endpoint) -> None:
    option = option_for(draft, endpoint)
    pointer, size = value_of(draft.choose, option)
    if draft.choose.chance(8):
        size = draft.choose.choice(_ODD_SIZES)
    draft.call("setsockopt", endpoint.fd, option.level, option.name, pointer, size)


def get_option(draft: Draft, endpoint: Endpoint) -> None:
    option = option_for(draft, endpoint)
    size = option.size
    if draft.choose.chance(10):
        size = draft.choose.choice(_ODD_SIZES)
    ask(draft, endpoint.fd, option.level, option.name, size)


def set_and_get(draft: Draft, endpoint: Endpoint) -> None:
    """What was set can be read back, or not."""
    option = option_for(draft, endpoint)
    pointer, size = value_of(draft.choose, option)
    draft.call("setsockopt", endpoint.fd, option.level, option.name, pointer, size)
    ask(draft, endpoint.fd, option.level, option.name, option.size)


def ask(draft: Draft, fd: Ref, level: int, name: int, size: int = 4) -> None:
    draft.call("getsockopt", fd, level, name, Buffer(max(size, 4), "ints" if size == 4 else "buf"), InOut((size,)))


def connection_state(draft: Draft, endpoint: Endpoint) -> None:
    """TCP_INFO: what a stack believes about a connection, long before it shows on the wire."""
    ask(draft, endpoint.fd, abi.SOL_TCP, abi.TCP_INFO, draft.choose.choice(_INFO_SIZES))


_INFO_SIZES = (248, 248, 248, 280, 192, 7)
"""`struct tcp_info` has grown over the releases."""


def pending_error(draft: Draft, endpoint: Endpoint) -> None:
    ask(draft, endpoint.fd, abi.SOL_SOCKET, abi.SO_ERROR)
