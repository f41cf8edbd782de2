"""ICMP errors about our segments (`tcp_v4_err`; RFC 1122 4.2.3.9, RFC 5927: only for what is in flight)."""

from __future__ import annotations

import struct
from errno import (
    ECONNREFUSED,
    EHOSTDOWN,
    EHOSTUNREACH,
    EMSGSIZE,
    ENETUNREACH,
    ENONET,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPROTO,
)

from ..inet import errqueue
from ..inet.protocols import IcmpError
from ..net import Net
from ..sock import State
from . import listen, pmtu, timers, timewait
from .seq import between
from .sock import TcpSock
from .timewait import TimeWait

UNREACHABLE, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 5, 11, 12
FRAG_NEEDED = 4
_UNREACH = (
    ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT, ECONNREFUSED, EMSGSIZE, EOPNOTSUPP, ENETUNREACH, EHOSTDOWN, ENONET,
    ENETUNREACH, EHOSTUNREACH, ENETUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH,
)  # fmt: skip
"""`icmp_err_convert`, by code."""


def receive(net: Net, error: IcmpError) -> None:
    quoted = error.quoted
    at = error.transport
    sport, dport, seq = struct.unpack_from("!HHI", quoted, at)
    entry = net.tcp.get((quoted[12:16], sport, quoted[16:20], dport))
    if entry is None or isinstance(entry, TimeWait):
        return
    if isinstance(entry, listen.Request):
        _request_error(entry, seq, error)
    else:
        _socket_error(entry, seq, error)


def _request_error(request: listen.Request, seq: int, error: IcmpError) -> None:
    """`tcp_req_err`: the peer of an open request cannot be reached."""
    if seq != request.snt_isn:
        return
    hopeless = error.type in (PARAMETER_PROBLEM, TIME_EXCEEDED) or (error.type == UNREACHABLE and error.code in (0, 1))
    if hopeless:
        request.drop()


def _socket_error(sk: TcpSock, seq: int, error: IcmpError) -> None:
    if sk.state is State.CLOSE or (sk.min_ttl and error.quoted[8] < sk.min_ttl):
        return
    if sk.state is not State.LISTEN and not between(seq, sk.snd_una, sk.snd_nxt):
        return
    errno = _errno(sk, error)
    if not errno:
        return
    if error.type == UNREACHABLE and error.code in (0, 1):
        timers.revert_backoff(sk, seq)
    if sk.state in (State.SYN_SENT, State.SYN_RECV):
        errqueue.icmp_error(sk, error, errno, sk.dport, error.transport)
        timewait.done_with_error(sk, errno)
    elif sk.recverr:
        sk.err = errno
        sk.error_report()
    else:
        sk.err_soft = errno


def _errno(sk: TcpSock, error: IcmpError) -> int:
    if error.type == PARAMETER_PROBLEM:
        return EPROTO
    if error.type == TIME_EXCEEDED:
        return EHOSTUNREACH
    if error.type != UNREACHABLE or error.code >= len(_UNREACH):
        return 0
    if error.code == FRAG_NEEDED:
        if sk.state is not State.LISTEN:
            pmtu.hear(sk, error.info)
        return 0
    return _UNREACH[error.code]
