"""Whose packet it is that the link brings, by its addresses (`ip_route_input_noref`).

One from an impossible source, or for an impossible destination, is a martian (RFC 1812, 5.3.7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .routing import ALL_HOSTS, ANY, LIMITED_BROADCAST, LO, TUN, Kind, address_type, fib_lookup, is_local_multicast

if TYPE_CHECKING:
    from ..net import Net

IGMP = 2


def route_input(net: Net, source: bytes, destination: bytes, protocol: int = 0) -> Kind | None:
    """`ip_route_input_noref`; UNICAST is for somebody else, None for nobody."""
    first = destination[0]
    if first & 0xF0 == 0xE0:
        return Kind.MULTICAST if _multicast_is_ours(net, source, destination, protocol) else None
    if source[0] & 0xF0 == 0xE0 or source == LIMITED_BROADCAST:
        return None
    if destination == LIMITED_BROADCAST or (source == ANY and destination == ANY):
        return Kind.BROADCAST if source == ANY or _source_fits(net, source) else None
    if ANY in (source, destination) or first == 127 or source[0] == 127:
        return None
    kind = address_type(destination)
    if kind is Kind.UNICAST:
        return kind
    return kind if _source_fits(net, source) else None


def _multicast_is_ours(net: Net, source: bytes, destination: bytes, protocol: int) -> bool:
    """`ip_check_mc_rcu`, `ip_mc_validate_source`: the host is a member of all-hosts alone."""
    if destination != ALL_HOSTS or source[0] & 0xF0 == 0xE0 or source == LIMITED_BROADCAST or source[0] == 127:
        return False
    if source == ANY:
        return is_local_multicast(destination) or protocol == IGMP
    return _source_fits(net, source)


def _source_fits(net: Net, source: bytes) -> bool:
    """`fib_validate_source`: not one of our own addresses; with rp_filter also one that a route leads to."""
    if source in (LO.address, TUN.address):
        return False
    if not net.sysctl.rp_filter:
        return True
    found = fib_lookup(source)
    return found is not None and found.kind is Kind.UNICAST
