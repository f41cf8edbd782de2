"""UDP's sockets by port: who may bind, who gets a datagram (`udp_lib_get_port`, `__udp4_lib_lookup`).

A unicast datagram goes to the socket whose address, peer and device say most about it; of equals the one that came last
to its hash chain, so chains are kept newest first.  Connected sockets have a table of their own by all four ends.
Broadcasts and multicasts go to every socket that does not exclude them.

Sockets with SO_REUSEPORT on one address form a group, of which Linux picks a member by a secret hash; here the first
takes all, so programs that depend on the pick are not comparable with any other stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..sock import State
from .ports import addresses_overlap, port_range
from .routing import ANY

if TYPE_CHECKING:
    from ..net import Net
    from ..sock import Sock

K = TypeVar("K")
Ends = tuple[bytes, int, bytes, int]


class UdpTable:
    """`udp_table`: `_ports` is the primary hash, `_addresses` the secondary (`hash2`), `_ends` the third (`hash4`)."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self._ports: dict[int, list[Sock]] = {}
        self._addresses: dict[tuple[bytes, int], list[Sock]] = {}
        self._ends: dict[Ends, list[Sock]] = {}
        self._place: dict[int, tuple[bytes, int]] = {}
        self._end_place: dict[int, Ends] = {}

    def get(self, sk: Sock, port: int) -> bool:
        """`udp_lib_get_port`: take `port`, or for 0 any free one; sets `sk.num`. False: EADDRINUSE."""
        if port:
            if self._in_use(sk, port):
                return False
        else:
            port = self._find_open_port(sk)
            if not port:
                return False
        sk.num = port
        if id(sk) not in self._place:
            self._ports.setdefault(port, []).insert(0, sk)
            self._insert(sk)
        return True

    def put(self, sk: Sock) -> None:
        """`udp_lib_unhash`."""
        place = self._place.pop(id(sk), None)
        if place is None:
            return
        self._disconnect(sk)
        _drop(self._addresses, place, sk)
        _drop(self._ports, place[1], sk)
        sk.num = 0

    def rehash(self, sk: Sock) -> None:
        """`udp_lib_rehash`: the socket's own address has changed."""
        place = self._place.get(id(sk))
        if place is not None and place[0] != sk.rcv_saddr:
            _drop(self._addresses, place, sk)
            self._insert(sk)

    def connected(self, sk: Sock) -> None:
        """`udp4_hash4`: the socket has both ends now (or no longer)."""
        self._disconnect(sk)
        if sk.state == State.ESTABLISHED and sk.rcv_saddr != ANY and id(sk) in self._place:
            ends = (sk.rcv_saddr, sk.num, sk.daddr, sk.dport)
            self._ends.setdefault(ends, []).insert(0, sk)
            self._end_place[id(sk)] = ends

    def early(self, saddr: bytes, sport: int, daddr: bytes, dport: int, dif: int) -> Sock | None:
        """`udp_v4_early_demux`: the first of the chain, if it has just these four ends, whatever `daddr` is to us."""
        chain = self._addresses.get((daddr, dport))
        if chain is not None:
            first = chain[0]
            if first.daddr == saddr and first.dport == sport and _device_fits(first, dif):
                return first
        return None

    def lookup(self, saddr: bytes, sport: int, daddr: bytes, dport: int, dif: int) -> Sock | None:
        """`__udp4_lib_lookup`, behind early demultiplexing."""
        chain = self._addresses.get((daddr, dport))
        if chain is not None:
            found = self.early(saddr, sport, daddr, dport, dif)
            if found is not None:
                return found
            for sk in self._ends.get((daddr, dport, saddr, sport), ()):
                if _device_fits(sk, dif):
                    return sk
            best = _best(chain, saddr, sport, dif)
            if best is not None:
                return best
        chain = self._addresses.get((ANY, dport))
        return None if chain is None else _best(chain, saddr, sport, dif)

    def listeners(self, saddr: bytes, sport: int, daddr: bytes, dport: int, dif: int) -> list[Sock]:
        """`__udp4_lib_mcast_deliver`: who hears a broadcast or multicast, in order of delivery (the first last)."""
        found = [sk for sk in self._ports.get(dport, ()) if _hears(sk, saddr, sport, daddr, dif)]
        return found[1:] + found[:1]

    def _insert(self, sk: Sock) -> None:
        place = (sk.rcv_saddr, sk.num)
        self._addresses.setdefault(place, []).insert(0, sk)
        self._place[id(sk)] = place

    def _disconnect(self, sk: Sock) -> None:
        ends = self._end_place.pop(id(sk), None)
        if ends is not None:
            _drop(self._ends, ends, sk)

    def _in_use(self, sk: Sock, port: int) -> bool:
        """`udp_lib_lport_inuse`: SO_REUSEADDR on both allows; else the first in the way decides, by SO_REUSEPORT."""
        for other in self._ports.get(port, ()):
            if _conflict(sk, other):
                return not _both_reuseport(sk, other)
        return False

    def _find_open_port(self, sk: Sock) -> int:
        low, high = port_range(sk)
        count = high - low + 1
        start = self.net.rng.below(count)
        for step in range(count):
            port = low + (start + step) % count
            if not any(_conflict(sk, other) and not _both_reuseport(sk, other) for other in self._ports.get(port, ())):
                return port
        return 0


def _drop(table: dict[K, list[Sock]], key: K, sk: Sock) -> None:
    chain = table[key]
    chain.remove(sk)
    if not chain:
        del table[key]


def _conflict(sk: Sock, other: Sock) -> bool:
    return (
        other is not sk
        and not (sk.reuse and other.reuse)
        and (not sk.bound_dev_if or not other.bound_dev_if or sk.bound_dev_if == other.bound_dev_if)
        and addresses_overlap(sk.rcv_saddr, other.rcv_saddr)
    )


def _both_reuseport(sk: Sock, other: Sock) -> bool:
    return sk.reuseport and other.reuseport


def _device_fits(sk: Sock, dif: int) -> bool:
    return sk.bound_dev_if in (0, dif)


def _best(chain: list[Sock], saddr: bytes, sport: int, dif: int) -> Sock | None:
    """`udp4_lib_lookup2` with `compute_score`."""
    best, best_score = None, 0
    for sk in chain:
        score = 2
        if sk.daddr != ANY:
            if sk.daddr != saddr:
                continue
            score += 4
        if sk.dport:
            if sk.dport != sport:
                continue
            score += 4
        if sk.bound_dev_if:
            if sk.bound_dev_if != dif:
                continue
            score += 4
        if score > best_score:
            best, best_score = sk, score
    return best


def _hears(sk: Sock, saddr: bytes, sport: int, daddr: bytes, dif: int) -> bool:
    """`__udp_is_mcast_sock`."""
    return (
        sk.daddr in (ANY, saddr)
        and sk.dport in (0, sport)
        and sk.rcv_saddr in (ANY, daddr)
        and _device_fits(sk, dif)
        and _wants_group(sk, daddr)
    )


def _wants_group(sk: Sock, daddr: bytes) -> bool:
    """`ip_mc_sf_allow`: no socket here is a member of a group, so IP_MULTICAST_ALL decides."""
    return daddr[0] & 0xF0 != 0xE0 or sk.mc_all
