"""SOL_IP options: what may be set, what reads back."""

from __future__ import annotations

import struct
from errno import EFAULT, EINVAL, ENODEV, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP

import pytest

from ....contract import abi
from ...errors import Fail, NotModelled
from .build import BASE, Host

LENGTH = BASE + 256


def attempt(host: Host, name: int, octets: bytes, length: int | None = None, level: int = 0) -> int:
    """0 or the errno of setting the option on a new datagram socket."""
    sock = host.socket()
    host.memory.load(octets)
    try:
        sock.ops.setsockopt(sock, level, name, BASE, len(octets) if length is None else length, host.memory)
    except Fail as fail:
        return fail.errno
    return 0


@pytest.mark.parametrize(
    ("name", "value", "errno"),
    [
        (abi.IP_TTL, 0, EINVAL),
        (abi.IP_TTL, -1, 0),
        (abi.IP_TTL, 256, EINVAL),
        (abi.IP_TOS, 0x1FF, 0),
        (abi.IP_MINTTL, 256, EINVAL),
        (abi.IP_MTU_DISCOVER, 6, EINVAL),
        (abi.IP_MULTICAST_ALL, 2, EINVAL),
        (abi.IP_HDRINCL, 1, ENOPROTOOPT),
        (abi.IP_ROUTER_ALERT, 1, EINVAL),
        (abi.IP_LOCAL_PORT_RANGE, 0x00010002, EINVAL),
        (abi.IP_RECVERR_RFC4884, 2, EINVAL),
        (200, 1, EOPNOTSUPP),
        (63, 1, ENOPROTOOPT),
    ],
)
def test_ranges(name: int, value: int, errno: int) -> None:
    assert attempt(Host(), name, struct.pack("<i", value)) == errno


def test_lengths() -> None:
    host = Host()
    assert attempt(host, abi.IP_TTL, b"\x40") == 0
    assert attempt(host, abi.IP_TTL, b"") == EINVAL
    assert attempt(host, abi.IP_RECVTTL, b"") == 0
    assert attempt(host, abi.IP_OPTIONS, bytes(41)) == EINVAL
    assert attempt(host, abi.IP_ADD_MEMBERSHIP, bytes(7)) == EINVAL
    assert attempt(host, abi.IP_ADD_MEMBERSHIP, bytes((224, 0, 0, 5, 10, 0, 0, 1))) == ENODEV
    assert attempt(host, abi.IP_TTL, b"\1\0\0\0", level=1234) == ENOPROTOOPT


def test_joining_a_group_is_not_modelled() -> None:
    with pytest.raises(NotModelled):
        attempt(Host(), abi.IP_ADD_MEMBERSHIP, bytes((224, 0, 0, 5, 0, 0, 0, 0)))


def get(host: Host, name: int, room: int, address: int = BASE) -> bytes:
    sock = host.connected(99, 7)
    host.memory.write_int(LENGTH, room)
    sock.ops.getsockopt(sock, abi.SOL_IP, name, address, LENGTH, host.memory)
    return host.memory.read(BASE, host.memory.read_int(LENGTH))


def test_small_values_fit_a_single_octet() -> None:
    assert get(Host(), abi.IP_TTL, 4) == b"\x40\0\0\0"
    assert get(Host(), abi.IP_TTL, 3) == b"\x40"
    assert get(Host(), abi.IP_MTU, 3) == b"\xdc\x05\0"
    assert get(Host(), abi.IP_TTL, 0) == b""


def test_the_length_is_stored_before_the_value_faults() -> None:
    host = Host()
    with pytest.raises(Fail) as caught:
        get(host, abi.IP_TTL, 64, 1)
    assert caught.value.errno == EFAULT
    assert host.memory.read_int(LENGTH) == 4


def test_mtu_needs_a_route() -> None:
    host = Host()
    sock = host.socket()
    host.memory.write_int(LENGTH, 4)
    with pytest.raises(Fail) as caught:
        sock.ops.getsockopt(sock, abi.SOL_IP, abi.IP_MTU, BASE, LENGTH, host.memory)
    assert caught.value.errno == ENOTCONN
