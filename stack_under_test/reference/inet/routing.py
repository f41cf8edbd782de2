"""Where a packet goes: the two devices, the addresses on them, and the routes that follow (`net/ipv4/route.c`, `fib_*.c`).

The world is fixed: `lo` with 127.0.0.1/8, one link with `STACK_IP`/24 and a default route over it without a gateway.  So
the tables are a function, not a data structure, and a lookup's result can be kept for the life of the namespace.

A path MTU learned from ICMP (RFC 1191) is an exception per destination; everything else about a route never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from errno import EINVAL, ENETUNREACH, ENODEV
from typing import TYPE_CHECKING, NamedTuple

from ...contract.world import LINK_NAME, MTU, PREFIX, STACK_IP
from ..errors import Fail

if TYPE_CHECKING:
    from ..net import Net
    from ..sock import Sock

ANY = bytes(4)
LIMITED_BROADCAST = b"\xff\xff\xff\xff"
LOOPBACK_ADDRESS = bytes((127, 0, 0, 1))
ALL_HOSTS = bytes((224, 0, 0, 1))
IP_MAX_MTU = 0xFFFF
MIN_PMTU = 552
"""`ip_rt_min_pmtu`: a smaller path MTU is not believed; such a path is used at this size without DF."""
PMTU_EXPIRES = 600 * 1_000_000_000
"""`ip_rt_mtu_expires`."""
BLACKHOLE_MTU = 68
"""`blackhole_netdev`'s, which takes the place of a lost device (`dst_dev_put`)."""

_MASK = 0xFFFF_FFFF << (32 - PREFIX) & 0xFFFF_FFFF
_SUBNET = int.from_bytes(STACK_IP, "big") & _MASK
LINK_BROADCAST = (_SUBNET | ~_MASK & 0xFFFF_FFFF).to_bytes(4, "big")
_LOOPBACK_BROADCAST = bytes((127, 255, 255, 255))


class Kind(IntEnum):
    """`rtm_type`: what an address is to this host."""

    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    MULTICAST = 5


@dataclass(frozen=True, slots=True)
class Device:
    """A network device; `address` is its only one."""

    name: str
    index: int
    mtu: int
    address: bytes
    prefix: int
    broadcast: bytes
    flags: int


LO = Device("lo", 1, 65536, LOOPBACK_ADDRESS, 8, ANY, 0x49)
TUN = Device(LINK_NAME, 2, MTU, STACK_IP, PREFIX, ANY, 0x10D1)
DEVICES = (LO, TUN)


@dataclass(slots=True)
class PathMtu:
    """`fib_nh_exception`: `locked` means DF is no longer set (the path is narrower than `MIN_PMTU`).

    `flushed` once a lookup has found it expired: routes that were bound to it lose their device (`fnhe_flush_routes`).
    `doubted` while a neighbour's silence has set the route's own expiry to now (`ipv4_link_failure`)."""

    mtu: int
    locked: bool
    expires: int
    flushed: bool = False
    doubted: bool = False


class Route(NamedTuple):
    """`struct rtable` and the flow's resolved ends.

    `local`: the packet stays on this host (RTCF_LOCAL), and counts as having come in over `iif`.  `exception` is what was
    known of the path at the time of the lookup; a route of an older `generation` than the namespace's is looked up again.
    """

    destination: bytes
    source: bytes
    device: Device
    kind: Kind
    local: bool
    iif: int
    exception: PathMtu | None = None
    generation: int = 0


class Scope(IntEnum):
    """`rt_scope_t`: a lookup finds routes of this scope or narrower."""

    UNIVERSE = 0
    LINK = 253


DEFAULT_ROUTE_SCOPE = Scope.LINK
"""The default route has no gateway, so that its scope is the link's; MSG_DONTROUTE finds it too."""


def is_multicast(address: bytes) -> bool:
    return address[0] & 0xF0 == 0xE0


def is_local_multicast(address: bytes) -> bool:
    """224.0.0.0/24."""
    return address[:3] == b"\xe0\0\0"


def device(index: int) -> Device | None:
    """`dev_get_by_index`."""
    return DEVICES[index - 1] if 0 < index <= len(DEVICES) else None


def device_of(address: bytes) -> Device | None:
    """`__ip_dev_find`: the device a local address belongs to."""
    if address == STACK_IP:
        return TUN
    if address[0] == 127 and address != _LOOPBACK_BROADCAST:
        return LO
    return None


def address_type(address: bytes) -> Kind:
    """`inet_addr_type`: judged by the local table alone; whatever is not in it is UNICAST."""
    first = address[0]
    if address == STACK_IP or (first == 127 and address != _LOOPBACK_BROADCAST):
        return Kind.LOCAL
    if first & 0xF0 == 0xE0:
        return Kind.MULTICAST
    if address in (ANY, LIMITED_BROADCAST, LINK_BROADCAST, _LOOPBACK_BROADCAST):
        return Kind.BROADCAST
    return Kind.UNICAST


class Found(NamedTuple):
    """`fib_result`: the route's type, its device, its preferred source."""

    kind: Kind
    device: Device
    source: bytes


def fib_lookup(destination: bytes, oif: int = 0, scope: int = Scope.UNIVERSE) -> Found | None:
    """`fib_lookup`: the local table, then main; only routes over `oif` when one is given. None: ENETUNREACH."""
    if oif in (0, LO.index) and destination[0] == 127:
        broadcast = destination == _LOOPBACK_BROADCAST
        return Found(Kind.BROADCAST if broadcast else Kind.LOCAL, LO, LOOPBACK_ADDRESS)
    if oif not in (0, TUN.index):
        return None
    if destination == STACK_IP:
        return Found(Kind.LOCAL, TUN, STACK_IP)
    if destination == LINK_BROADCAST:
        return Found(Kind.BROADCAST, TUN, STACK_IP)
    if int.from_bytes(destination, "big") & _MASK == _SUBNET or scope <= DEFAULT_ROUTE_SCOPE:
        return Found(Kind.UNICAST, TUN, STACK_IP)
    return None


def route_output(
    net: Net, destination: bytes, source: bytes = ANY, oif: int = 0, scope: int = Scope.UNIVERSE, any_source: bool = False
) -> Route:
    """`ip_route_output_key`: the way out, and the source address the packet gets.

    Raises Fail(EINVAL) for a source or destination no packet may have, Fail(ENETUNREACH), Fail(ENODEV).
    """
    key = (destination, source, oif, scope, any_source)
    known = net.routes.get(key)
    if known is None or (known.exception is not None and net.now > known.exception.expires):
        known = _resolve(destination, source, oif, scope, any_source)
        known = known._replace(exception=_exception(net, known), generation=net.route_generation)
        net.routes[key] = known
    return known


def _resolve(destination: bytes, source: bytes, oif: int, scope: int, any_source: bool) -> Route:
    """`ip_route_output_key_hash_rcu`; a route's `iif` is what was asked for (orig_oif), else the device itself."""
    multicast = is_multicast(destination)
    if source != ANY:
        if is_multicast(source) or source == LIMITED_BROADCAST:
            raise Fail(EINVAL, "ip_route_output_key: source is no address of a host")
        owner = device_of(source)
        if oif == 0 and (multicast or destination == LIMITED_BROADCAST):
            if owner is None:
                raise Fail(ENETUNREACH, "ip_route_output_key: source is not local")
            return _make(destination, source, owner, Kind.UNICAST, oif)
        if owner is None and not any_source:
            raise Fail(ENETUNREACH, "ip_route_output_key: source is not local")
    out = None
    if oif:
        out = device(oif)
        if out is None:
            raise Fail(ENODEV, "ip_route_output_key: oif")
        if is_local_multicast(destination) or destination == LIMITED_BROADCAST:
            return _make(destination, source if source != ANY else _select(out), out, Kind.UNICAST, oif)
        if source == ANY and multicast:
            source = _select(out)
        elif source == ANY and destination == ANY:
            source = out.address
    if destination == ANY:
        destination = source if source != ANY else LOOPBACK_ADDRESS
        return _make(destination, destination if source == ANY else source, LO, Kind.LOCAL, oif)
    return _look_up(destination, source, oif, scope, out)


def _look_up(destination: bytes, source: bytes, oif: int, scope: int, out: Device | None) -> Route:
    found = fib_lookup(destination, oif, scope)
    if found is None:
        if out is None:
            raise Fail(ENETUNREACH, "fib_lookup")
        return _make(destination, source if source != ANY else _select(out), out, Kind.UNICAST, oif)
    if found.kind is Kind.LOCAL:
        return _make(destination, source if source != ANY else found.source, LO, Kind.LOCAL, found.device.index)
    return _make(destination, source if source != ANY else found.source, found.device, found.kind, oif)


def _select(out: Device) -> bytes:
    """`inet_select_addr` for scopes up to link: lo's own address has host scope, so another device's is taken."""
    return STACK_IP


def _make(destination: bytes, source: bytes, out: Device, kind: Kind, oif: int) -> Route:
    """`__mkroute_output`."""
    if source[0] == 127 and out is not LO:
        raise Fail(EINVAL, "__mkroute_output: loopback source on a link")
    local = out is LO
    if destination == LIMITED_BROADCAST:
        kind = Kind.BROADCAST
    elif is_multicast(destination):
        kind = Kind.MULTICAST
        local = destination == ALL_HOSTS
    elif destination == ANY:
        raise Fail(EINVAL, "__mkroute_output: no destination")
    if kind is Kind.BROADCAST:
        local = True
    return Route(destination, source, out, kind, local, oif or out.index)


def route_connect(net: Net, sk: Sock, destination: bytes, source: bytes, oif: int) -> Route:
    """`ip_route_connect`: an unset end is found by a first lookup, and the pair is looked up as such."""
    scope = Scope.LINK if sk.dontroute else Scope.UNIVERSE
    if ANY in (destination, source):
        first = route_output(net, destination, source, oif, scope, sk.transparent)
        destination, source = first.destination, first.source
    return route_output(net, destination, source, oif, scope, sk.transparent)


def _exception(net: Net, route: Route) -> PathMtu | None:
    """`find_exception`: what ICMP taught about a destination, unless it has expired."""
    known = net.path_mtus.get(route.destination)
    if known is not None and net.now > known.expires:
        net.path_mtus.pop(route.destination).flushed = True
        return None
    return known if route.device is not LO else None


def dst_mtu(net: Net, route: Route) -> int:
    """`dst_mtu`: the path's, else the device's."""
    known = route.exception
    if known is not None:
        if net.now < known.expires and not known.doubted:
            return known.mtu
        if known.flushed:
            return BLACKHOLE_MTU
    return min(route.device.mtu, IP_MAX_MTU)


def mtu_locked(route: Route) -> bool:
    """`ip_mtu_locked`."""
    return route.exception is not None and route.exception.locked


def update_pmtu(net: Net, route: Route, mtu: int) -> None:
    """`__ip_rt_update_pmtu`: learn a smaller path MTU (RFC 1191, section 3); never a larger one."""
    old = dst_mtu(net, route)
    if mtu_locked(route) or old < mtu:
        return
    locked = mtu < MIN_PMTU
    if locked:
        mtu = min(old, MIN_PMTU)
    known = net.path_mtus.get(route.destination)
    if known is not None:
        known.mtu, known.locked, known.expires = mtu, locked, net.now + PMTU_EXPIRES
        known.doubted = False
        return
    net.path_mtus[route.destination] = PathMtu(mtu, locked, net.now + PMTU_EXPIRES)
    net.route_generation += 1
    net.routes.clear()


def sk_route(sk: Sock) -> Route | None:
    """`sk_dst_check`: the socket's route, if it still holds; else the socket has none any more."""
    route = sk.route
    if route is not None and (route.generation != sk.net.route_generation or flushed(route)):
        route = sk.route = None
    return route


def flushed(route: Route) -> bool:
    """Whether the route has lost its device."""
    return route.exception is not None and route.exception.flushed


def sk_lookup(sk: Sock) -> Route:
    """`sk_route`, or a new one to where the socket is connected (`inet_csk_rebuild_route`). Raises Fail."""
    route = sk_route(sk)
    if route is None:
        scope = Scope.LINK if sk.dontroute else Scope.UNIVERSE
        route = sk.route = route_output(sk.net, sk.daddr, sk.saddr, sk.bound_dev_if, scope, sk.transparent)
    return route


def sk_update_pmtu(sk: Sock, mtu: int) -> int:
    """`inet_csk_update_pmtu`: the path to the socket's peer takes `mtu`; what it comes to. Raises Fail."""
    update_pmtu(sk.net, sk_lookup(sk), mtu)
    return dst_mtu(sk.net, sk_lookup(sk))
