"""Who may share a port."""

from __future__ import annotations

from errno import EADDRNOTAVAIL

import pytest

from ...errors import Fail
from ...net import Net
from ...sock import Sock, State
from ..ports import PortTable
from ..udp import UdpProto
from .build import ANY, LOCALHOST, namespace

OTHER = bytes((192, 0, 2, 1))


def sock(net: Net, address: bytes = ANY, reuse: int = 0, reuseport: bool = False, device: int = 0) -> Sock:
    sk = Sock(net, 2, 1, 6, UdpProto())
    sk.rcv_saddr, sk.reuse, sk.reuseport, sk.bound_dev_if = address, reuse, reuseport, device
    return sk


@pytest.mark.parametrize(
    ("first", "second", "allowed"),
    [
        ({}, {}, False),
        ({"address": LOCALHOST}, {"address": OTHER}, True),
        ({"address": LOCALHOST}, {}, False),
        ({"reuse": 1}, {"reuse": 1}, True),
        ({"reuse": 1}, {}, False),
        ({"reuseport": True}, {"reuseport": True}, True),
        ({"reuseport": True}, {"reuse": 1}, False),
        ({"device": 1}, {"device": 2}, True),
        ({"device": 1}, {}, False),
    ],
)
def test_second_bind(first: dict[str, object], second: dict[str, object], allowed: bool) -> None:
    net = namespace()
    table = PortTable(net)
    assert table.get(sock(net, **first), 80)  # type: ignore[arg-type]
    assert table.get(sock(net, **second), 80) is allowed  # type: ignore[arg-type]


def test_a_listener_does_not_share_by_reuseaddr() -> None:
    net = namespace()
    table = PortTable(net)
    listener, late = sock(net, reuse=1), sock(net, reuse=1)
    assert table.get(listener, 80)
    assert table.get(late, 80)
    listener.state = State.LISTEN
    assert table.get(listener, 80)
    assert not table.get(sock(net, reuse=1), 80)
    late.state = State.LISTEN
    assert not table.get(late, 80)


def test_a_port_comes_back_with_its_last_owner() -> None:
    net = namespace()
    table = PortTable(net)
    listener, child = sock(net), sock(net, OTHER)
    assert table.get(listener, 80)
    table.share(child, listener)
    table.put(listener)
    assert listener.num == 0
    assert not table.get(sock(net), 80)
    table.put(child)
    assert table.get(sock(net), 80)


def test_port_zero_finds_a_free_one_until_there_is_none() -> None:
    net = namespace()
    table = PortTable(net)
    socks = [sock(net) for _ in range(6)]
    for sk in socks:
        sk.local_port_range = (40000, 40003)
    assert [table.get(sk, 0) for sk in socks] == [True] * 4 + [False] * 2
    assert {sk.num for sk in socks[:4]} == {40000, 40001, 40002, 40003}


def test_connections_share_a_port_while_their_ends_differ() -> None:
    net = namespace()
    table = PortTable(net)
    taken: set[tuple[int, bytes]] = set()

    def claim(sk: Sock, port: int) -> bool:
        if (port, sk.daddr) in taken:
            return False
        taken.add((port, sk.daddr))
        return True

    socks = [sock(net) for _ in range(3)]
    for sk, last in zip(socks, (2, 3, 3), strict=True):
        sk.local_port_range = (40000, 40000)
        sk.daddr = bytes((192, 0, 2, last))
    table.connect(socks[0], claim)
    table.connect(socks[1], claim)
    assert socks[0].num == socks[1].num == 40000
    with pytest.raises(Fail) as caught:
        table.connect(socks[2], claim)
    assert caught.value.errno == EADDRNOTAVAIL
    bound = sock(net)
    assert not table.get(bound, 40000)


def test_time_wait_takes_the_place_of_its_socket() -> None:
    net = namespace()
    table = PortTable(net)
    sk, left = sock(net), sock(net)
    assert table.get(sk, 80)
    table.replace(sk, left)
    assert table.owners(80) == (left,)
    assert left.num == 80
