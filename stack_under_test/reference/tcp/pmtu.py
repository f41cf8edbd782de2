"""The path to the peer proves narrower (RFC 1191): smaller segments from now on, and what was too large goes again."""

from __future__ import annotations

from errno import EMSGSIZE

from ...contract import abi
from ..errors import Fail
from ..inet.routing import mtu_locked, sk_route, sk_update_pmtu
from ..sock import State
from . import recovery
from .output import sync_mss
from .sock import TcpSock

ACCEPTED = (abi.IP_PMTUDISC_WANT, abi.IP_PMTUDISC_DO, abi.IP_PMTUDISC_PROBE)
"""Not IP_PMTUDISC_DONT, and `ip_sk_accept_pmtu`."""


def hear(sk: TcpSock, mtu: int) -> None:
    """`tcp_v4_err`, ICMP_FRAG_NEEDED: at once, or when the call that holds the socket lets go of it."""
    if sk.owned_by_user:
        sk.mtu_deferred = mtu
    else:
        reduced(sk, mtu)


def reduced(sk: TcpSock, mtu: int) -> None:
    """`tcp_v4_mtu_reduced`."""
    if sk.state in (State.LISTEN, State.CLOSE):
        return
    try:
        known = sk_update_pmtu(sk, mtu)
    except Fail:
        return
    route = sk_route(sk)
    locked = route is not None and mtu_locked(route)
    if mtu < known and (sk.pmtudisc == abi.IP_PMTUDISC_DO or (sk.pmtudisc == abi.IP_PMTUDISC_WANT and not locked)):
        sk.err_soft = EMSGSIZE
    if sk.pmtudisc in ACCEPTED and sk.pmtu > known:
        sync_mss(sk, known)
        recovery.simple_retransmit(sk)
