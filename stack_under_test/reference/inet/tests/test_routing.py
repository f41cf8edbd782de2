"""Routes and source addresses, as measured on Linux 6.18 with the same addresses and a default route without gateway."""

from __future__ import annotations

from errno import EINVAL, ENETUNREACH, ENODEV

import pytest

from ...errors import Fail
from ..routing import ANY, LO, TUN, Kind, address_type, dst_mtu, route_output, sk_update_pmtu, update_pmtu
from .build import Host, namespace


def address(text: str) -> bytes:
    return bytes(map(int, text.split(".")))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0.0.0.0", Kind.BROADCAST),
        ("0.0.0.1", Kind.UNICAST),
        ("127.0.0.0", Kind.LOCAL),
        ("127.255.255.255", Kind.BROADCAST),
        ("192.0.2.0", Kind.UNICAST),
        ("192.0.2.1", Kind.LOCAL),
        ("192.0.2.255", Kind.BROADCAST),
        ("224.0.0.1", Kind.MULTICAST),
        ("240.0.0.1", Kind.UNICAST),
        ("255.255.255.255", Kind.BROADCAST),
    ],
)
def test_address_type(text: str, kind: Kind) -> None:
    assert address_type(address(text)) is kind


@pytest.mark.parametrize(
    ("destination", "source", "oif", "expected"),
    [
        ("0.0.0.0", "0.0.0.0", 0, ("127.0.0.1", "127.0.0.1", "lo")),
        ("0.0.0.0", "0.0.0.0", 2, ("192.0.2.1", "192.0.2.1", "lo")),
        ("0.0.0.0", "192.0.2.1", 0, ("192.0.2.1", "192.0.2.1", "lo")),
        ("127.1.2.3", "0.0.0.0", 0, ("127.0.0.1", "127.1.2.3", "lo")),
        ("127.0.0.1", "0.0.0.0", 2, ("192.0.2.1", "127.0.0.1", "tun0")),
        ("192.0.2.1", "0.0.0.0", 0, ("192.0.2.1", "192.0.2.1", "lo")),
        ("192.0.2.2", "0.0.0.0", 0, ("192.0.2.1", "192.0.2.2", "tun0")),
        ("192.0.2.2", "0.0.0.0", 1, ("192.0.2.1", "192.0.2.2", "lo")),
        ("8.8.8.8", "0.0.0.0", 0, ("192.0.2.1", "8.8.8.8", "tun0")),
        ("0.0.0.1", "0.0.0.0", 0, ("192.0.2.1", "0.0.0.1", "tun0")),
        ("255.255.255.255", "127.0.0.1", 0, ("127.0.0.1", "255.255.255.255", "lo")),
        ("224.0.0.1", "0.0.0.0", 0, ("192.0.2.1", "224.0.0.1", "tun0")),
    ],
)
def test_route_output(destination: str, source: str, oif: int, expected: tuple[str, str, str]) -> None:
    route = route_output(namespace(), address(destination), address(source), oif)
    assert (route.source, route.destination, route.device.name) == (address(expected[0]), address(expected[1]), expected[2])


@pytest.mark.parametrize(
    ("destination", "source", "oif", "errno"),
    [
        ("192.0.2.2", "127.0.0.1", 0, EINVAL),
        ("192.0.2.2", "224.0.0.1", 0, EINVAL),
        ("192.0.2.2", "192.0.2.9", 0, ENETUNREACH),
        ("192.0.2.2", "0.0.0.0", 3, ENODEV),
    ],
)
def test_no_route(destination: str, source: str, oif: int, errno: int) -> None:
    with pytest.raises(Fail) as caught:
        route_output(namespace(), address(destination), address(source), oif)
    assert caught.value.errno == errno


@pytest.mark.parametrize(
    ("told", "mtu", "locked"), [(0, 552, True), (551, 552, True), (553, 553, False), (1400, 1400, False), (1501, 1500, None)]
)
def test_path_mtu_is_learned_per_destination_and_expires(told: int, mtu: int, locked: bool | None) -> None:
    net = namespace()
    peer, other = address("192.0.2.2"), address("192.0.2.3")
    update_pmtu(net, route_output(net, peer), told)
    route = route_output(net, peer)
    assert dst_mtu(net, route) == mtu
    assert (route.exception.locked if route.exception else None) is locked
    assert dst_mtu(net, route_output(net, other)) == TUN.mtu
    net.now += 601 * 1_000_000_000
    assert dst_mtu(net, route_output(net, peer)) == TUN.mtu


def test_a_kept_route_is_looked_up_again_after_a_path_mtu() -> None:
    host = Host()
    sk = host.connected(99, 7).sk
    kept = sk.route
    assert sk_update_pmtu(sk, 1000) == 1000
    assert sk.route is not kept


def test_loopback_has_the_largest_mtu_a_header_can_say() -> None:
    net = namespace()
    route = route_output(net, address("127.0.0.1"))
    assert route.device is LO
    assert dst_mtu(net, route) == 0xFFFF
    assert route_output(net, ANY).local
