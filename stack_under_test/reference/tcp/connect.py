"""Opening actively: `tcp_v4_connect`, and the four ends' uniqueness (`__inet_check_established`)."""

from __future__ import annotations

from errno import EAFNOSUPPORT, EINVAL, ENETUNREACH

from ...contract import abi
from ..errors import Fail
from ..inet.routing import Kind, route_connect
from ..inet.sockaddr import SIZE, parse
from ..net import SEC
from ..sock import Sock, State
from . import output
from .seq import MASK
from .sock import MSS_DEFAULT, TcpSock
from .states import enter
from .timewait import TimeWait

ANY = bytes(4)


def connect(sk: TcpSock, address: bytes) -> None:
    """`tcp_v4_connect`. Raises Fail with the route's errno, EADDRNOTAVAIL when no port is free."""
    if len(address) < SIZE:
        raise Fail(EINVAL, "tcp_v4_connect: addr_len")
    to = parse(address)
    if to.family != abi.AF_INET:
        raise Fail(EAFNOSUPPORT, "tcp_v4_connect: family")
    route = route_connect(sk.net, sk, to.address, sk.saddr, sk.bound_dev_if)
    if route.kind in (Kind.BROADCAST, Kind.MULTICAST):
        raise Fail(ENETUNREACH, "tcp_v4_connect: broadcast or multicast")
    if sk.saddr == ANY:
        sk.saddr = sk.rcv_saddr = route.source
    else:
        sk.rcv_saddr = sk.saddr
    if sk.ts_recent_stamp is not None and sk.daddr != route.destination:
        sk.ts_recent = 0
        sk.ts_recent_stamp = None
        sk.write_seq = 0
    sk.dport = to.port
    sk.daddr = route.destination
    sk.mss_clamp = MSS_DEFAULT
    enter(sk, State.SYN_SENT)
    try:
        sk.net.tcp_ports.connect(sk, claim)
    except Fail:
        enter(sk, State.CLOSE)
        if not sk.userlocks & 4:
            sk.rcv_saddr = sk.saddr = ANY
        sk.dport = 0
        raise
    sk.sport = sk.num
    sk.route = route
    if not sk.write_seq:
        sk.write_seq = sk.net.rng.u32() or 1
    sk.tsoffset = sk.net.rng.u32()
    output.connect(sk)


def claim(sk: Sock, port: int) -> bool:
    """`__inet_check_established`: nobody has these four ends, or a TIME-WAIT that timestamps allow to take over."""
    assert isinstance(sk, TcpSock)
    key = (sk.saddr, port, sk.daddr, sk.dport)
    tables = sk.net.tcp
    there = tables.get(key)
    if there is not None:
        if not isinstance(there, TimeWait) or not _reusable(sk, there):
            return False
        sk.write_seq = (there.snd_nxt + 65535 + 2) & MASK or 1
        sk.ts_recent = there.ts_recent
        sk.ts_recent_stamp = there.ts_recent_stamp
        there.kill()
    tables.add(key, sk)
    sk.in_table = key
    return True


def _reusable(sk: TcpSock, left: TimeWait) -> bool:
    """`tcp_twsk_unique` (RFC 6191): with timestamps, a second later; only loopback unless tcp_tw_reuse is 1."""
    reuse = sk.net.sysctl.tcp_tw_reuse
    if reuse == 2:
        reuse = int(sk.saddr[0] == 127 or sk.daddr[0] == 127)
    stamp = left.ts_recent_stamp
    return bool(reuse and stamp is not None and sk.net.now // SEC > stamp // SEC)
