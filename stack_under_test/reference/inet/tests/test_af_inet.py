"""The family's rules: what socket() makes, and the order of bind's checks."""

from __future__ import annotations

from errno import (
    EACCES,
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EINVAL,
    ENOTCONN,
    EOPNOTSUPP,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
)

import pytest

from ....contract.world import PEER_IP, STACK_IP
from ...errors import Fail, NotModelled
from ..sockaddr import sockaddr_in
from .build import ANY, LOCALHOST, Host, sk_of


@pytest.mark.parametrize(
    ("kind", "protocol", "errno"),
    [
        (2, -1, EINVAL),
        (2, 263, EINVAL),
        (0, 0, ESOCKTNOSUPPORT),
        (5, 0, ESOCKTNOSUPPORT),
        (2, 6, EPROTONOSUPPORT),
        (2, 1, EACCES),
        (3, 0, EPROTONOSUPPORT),
    ],
)
def test_create_refuses_as_measured(kind: int, protocol: int, errno: int) -> None:
    with pytest.raises(Fail) as caught:
        Host().socket(kind, protocol)
    assert caught.value.errno == errno


@pytest.mark.parametrize(("kind", "protocol"), [(3, 1), (3, 255), (2, 136), (1, 262)])
def test_create_says_what_is_not_modelled(kind: int, protocol: int) -> None:
    with pytest.raises(NotModelled):
        Host().socket(kind, protocol)


@pytest.mark.parametrize(
    ("address", "errno"),
    [
        (b"", EINVAL),
        (sockaddr_in(ANY, 9)[:15], EINVAL),
        (b"\x0a" + sockaddr_in(ANY, 9)[1:], EAFNOSUPPORT),
        (b"\0\0" + sockaddr_in(STACK_IP, 9)[2:], EAFNOSUPPORT),
        (sockaddr_in(PEER_IP, 9), EADDRNOTAVAIL),
        (sockaddr_in(bytes((240, 0, 0, 1)), 9), EADDRNOTAVAIL),
        (sockaddr_in(ANY, 99), EADDRINUSE),
    ],
)
def test_bind_errors(address: bytes, errno: int) -> None:
    host = Host()
    host.bound(99)
    sock = host.socket()
    with pytest.raises(Fail) as caught:
        sock.ops.bind(sock, address)
    assert caught.value.errno == errno
    assert sk_of(sock).rcv_saddr == ANY


@pytest.mark.parametrize(
    "address", [LOCALHOST, bytes((127, 1, 2, 3)), STACK_IP, bytes((224, 0, 0, 1)), bytes((192, 0, 2, 255))]
)
def test_bind_takes_local_broadcast_and_multicast(address: bytes) -> None:
    host = Host()
    sock = host.bound(99, address)
    assert sock.ops.getname(sock, 0) == sockaddr_in(address, 99)
    with pytest.raises(Fail) as caught:
        sock.ops.bind(sock, sockaddr_in(ANY, 100))
    assert caught.value.errno == EINVAL


def test_unspecified_family_binds_any() -> None:
    host = Host()
    sock = host.socket()
    sock.ops.bind(sock, b"\0\0" + sockaddr_in(ANY, 99)[2:])
    assert sock.ops.getname(sock, 0) == sockaddr_in(ANY, 99)


def test_datagram_sockets_neither_listen_nor_accept() -> None:
    host = Host()
    sock = host.socket()
    with pytest.raises(Fail) as caught:
        sock.ops.listen(sock, 1)
    assert caught.value.errno == EOPNOTSUPP
    with pytest.raises(Fail) as caught:
        sock.ops.accept(sock, sock, 0)
    assert caught.value.errno == EOPNOTSUPP


def test_shutdown_of_an_unconnected_socket_happens_and_fails() -> None:
    host = Host()
    sock = host.socket()
    for how, errno in ((-1, EINVAL), (3, EINVAL), (1, ENOTCONN)):
        with pytest.raises(Fail) as caught:
            sock.ops.shutdown(sock, how)
        assert caught.value.errno == errno
    assert sk_of(sock).shutdown == 2
