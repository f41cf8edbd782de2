"""UDP sockets: sending, receiving, what errors do to them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from errno import EACCES, EAFNOSUPPORT, EAGAIN, ECONNREFUSED, EDESTADDRREQ, EINVAL, EMSGSIZE, EOPNOTSUPP, EPIPE

import pytest

from ....contract import abi
from ....contract.world import PEER_IP, STACK_IP
from ....wire import ipv4, udp
from ...errors import Fail
from ..sockaddr import sockaddr_in
from .build import ANY, BASE, LOCALHOST, Host, datagram, error, sk_of

PEER = sockaddr_in(PEER_IP, 7)


def fails(errno: int, call: Callable[[], object]) -> None:
    with pytest.raises(Fail) as caught:
        call()
    assert caught.value.errno == errno


def out(octets: bytes) -> udp.Udp:
    header = ipv4.read(octets)
    assert header is not None
    assert ipv4.checksum_ok(octets)
    found = udp.read(header.payload)
    assert found is not None
    return found


def test_a_datagram_there_and_back() -> None:
    host = Host()
    sock = host.bound(99)
    host.deliver(datagram(7, 99, b"hello"))
    data, message, _ = host.receive(sock)
    assert (data, message.name) == (b"hello", PEER)
    assert host.send(sock, b"world", message.name) == 5
    (answer,) = host.sent()
    assert out(answer)[:3] == (99, 7, b"world")
    assert answer[6] & 0x40
    assert udp.checksum_ok(answer[20:], STACK_IP, PEER_IP)


@pytest.mark.parametrize(
    ("data", "to", "flags", "errno"),
    [
        (bytes(65536), PEER, 0, EMSGSIZE),
        (bytes(65508), PEER, 0, EMSGSIZE),
        (b"", PEER, abi.MSG_OOB, EOPNOTSUPP),
        (b"", None, 0, EDESTADDRREQ),
        (b"", PEER[:15], 0, EINVAL),
        (b"", sockaddr_in(PEER_IP, 0), 0, EINVAL),
        (b"", b"\x0a\0" + PEER[2:], 0, EAFNOSUPPORT),
        (b"", sockaddr_in(bytes((192, 0, 2, 255)), 7), 0, EACCES),
    ],
)
def test_send_errors(data: bytes, to: bytes | None, flags: int, errno: int) -> None:
    host = Host()
    fails(errno, lambda: host.send(host.bound(99), data, to, flags))


def test_recv_truncates_and_says_so() -> None:
    host = Host()
    sock = host.bound(99)
    host.deliver(datagram(7, 99, b"hello"), datagram(7, 99, b""))
    data, message, result = host.receive(sock, 3, abi.MSG_TRUNC | abi.MSG_PEEK)
    assert (data, message.flags_out, result) == (b"hel", abi.MSG_TRUNC, 5)
    assert host.receive(sock, 3)[2] == 3
    assert host.receive(sock)[2] == 0
    fails(EAGAIN, lambda: host.receive(sock))


def test_a_wrong_checksum_shows_early_or_late() -> None:
    host = Host()
    sock = host.bound(99)
    host.deliver(datagram(7, 99, bytes(68), udp_checksum=1))
    assert not sk_of(sock).receive_queue
    host.deliver(datagram(7, 99, bytes(69), udp_checksum=1))
    assert sk_of(sock).receive_queue
    assert not sock.ops.poll(sock) & abi.POLLIN
    assert not sk_of(sock).receive_queue


@pytest.mark.parametrize(
    ("rcvbuf", "size", "count", "after"),
    [
        (2304, 1000, 1, [0]),
        (4000, 0, 4, [3328, 1664, 1664, 0]),
        (8192, 0, 9, [7488, 7488, 4992, 4992, 4992, 2496, 2496, 2496, 0]),
        (20000, 1000, 8, [18432, 18432, 11520, 11520, 11520, 4608, 4608, 0]),
    ],
)
def test_the_receive_buffer_as_measured(rcvbuf: int, size: int, count: int, after: list[int]) -> None:
    host = Host()
    sock = host.bound(99)
    sk = sk_of(sock)
    sk.rcvbuf = rcvbuf
    host.deliver(*[datagram(7, 99, bytes(size))] * 20)
    seen = []
    for _ in range(count):
        host.receive(sock)
        seen.append(sk.rmem_alloc)
    assert seen == after
    assert sk.drops == 20 - count
    fails(EAGAIN, lambda: host.receive(sock))


def test_the_best_match_gets_the_datagram() -> None:
    host = Host()
    socks = [host.socket() for _ in range(3)]
    for sock, address in zip(socks, (ANY, STACK_IP, STACK_IP), strict=True):
        sk_of(sock).reuse = 1
        sock.ops.bind(sock, sockaddr_in(address, 99))
    socks[1].ops.connect(socks[1], PEER, 0)
    host.deliver(datagram(7, 99, b"a"), datagram(8, 99, b"b"))
    assert host.receive(socks[1])[0] == b"a"
    assert host.receive(socks[2])[0] == b"b"
    assert not sk_of(socks[0]).receive_queue


def test_a_broadcast_reaches_all() -> None:
    host = Host()
    socks = [host.socket() for _ in range(2)]
    for sock in socks:
        sk_of(sock).reuse = 1
        sock.ops.bind(sock, sockaddr_in(ANY, 99))
    host.deliver(datagram(7, 99, b"all", destination=bytes((192, 0, 2, 255))))
    assert [host.receive(sock)[0] for sock in socks] == [b"all", b"all"]


def test_only_a_connected_socket_hears_of_a_closed_port() -> None:
    host = Host()
    sock = host.connected(99, 7)
    other = host.bound(100)
    host.deliver(error(3, 3, datagram(99, 7, source=STACK_IP, destination=PEER_IP)))
    host.deliver(error(3, 3, datagram(100, 7, source=STACK_IP, destination=PEER_IP)))
    fails(ECONNREFUSED, lambda: host.receive(sock))
    fails(EAGAIN, lambda: host.receive(sock))
    fails(EAGAIN, lambda: host.receive(other))


def test_the_error_queue_tells_more() -> None:
    host = Host()
    sock = host.bound(99)
    sk_of(sock).recverr = True
    host.deliver(error(11, 0, datagram(99, 7, b"lost", source=STACK_IP, destination=PEER_IP)))
    assert sock.ops.poll(sock) & abi.POLLERR
    data, message, _ = host.receive(sock, flags=abi.MSG_ERRQUEUE)
    assert (data, message.name, message.flags_out) == (b"lost", PEER, abi.MSG_ERRQUEUE)
    ((level, kind, octets),) = message.control_out
    assert (level, kind) == (abi.SOL_IP, abi.IP_RECVERR)
    assert struct.unpack_from("<IBBB", octets) == (113, 2, 11, 0)
    assert not sock.ops.poll(sock) & abi.POLLERR


def test_corked_octets_leave_as_one_datagram() -> None:
    host = Host()
    sock = host.connected(99, 7)
    assert host.send(sock, b"one ", flags=abi.MSG_MORE) == 4
    assert host.sent() == []
    assert host.send(sock, b"two", sockaddr_in(STACK_IP, 5)) == 3
    (datagram_out,) = host.sent()
    assert out(datagram_out)[:3] == (99, 7, b"one two")


def test_a_send_without_address_goes_where_the_last_cork_went() -> None:
    host = Host()
    sock = host.connected(99, 7)
    host.send(sock, b"x", sockaddr_in(bytes((192, 0, 2, 9)), 8), abi.MSG_MORE)
    sk_of(sock).pending = None
    host.send(sock, b"y")
    (packet_out,) = host.sent()
    assert (packet_out[16:20], out(packet_out).dport) == (bytes((192, 0, 2, 9)), 8)


def test_large_datagrams_are_fragmented_without_df() -> None:
    host = Host()
    sock = host.bound(99)
    host.send(sock, bytes(3000), PEER)
    first, second, third = host.sent()
    assert [len(packet) for packet in (first, second, third)] == [1500, 1500, 68]
    assert [packet[6] >> 5 for packet in (first, second, third)] == [1, 1, 0]
    sk_of(sock).pmtudisc = abi.IP_PMTUDISC_DO
    fails(EMSGSIZE, lambda: host.send(sock, bytes(3000), PEER))


def test_loopback_reaches_a_socket_or_its_sender() -> None:
    host = Host()
    sock = host.bound(99)
    client = host.connected(100, 99, LOCALHOST)
    host.send(client, b"near")
    assert host.receive(sock)[0] == b"near"
    sock.ops.release(sock)
    host.send(client, b"gone")
    fails(ECONNREFUSED, lambda: host.send(client, b"again"))


def test_after_shutdown_nothing_is_sent() -> None:
    host = Host()
    sock = host.connected(99, 7)
    sock.ops.shutdown(sock, 1)
    fails(EPIPE, lambda: host.send(sock, b"x"))
    assert sock.ops.poll(sock) & abi.POLLOUT


def test_disconnecting_keeps_what_bind_fixed() -> None:
    host = Host()
    sock = host.connected(99, 7)
    sock.ops.connect(sock, bytes(16), 0)
    assert sock.ops.getname(sock, 0) == sockaddr_in(ANY, 99)
    loose = host.socket()
    loose.ops.connect(loose, PEER, 0)
    loose.ops.connect(loose, bytes(16), 0)
    assert loose.ops.getname(loose, 0) == sockaddr_in(ANY, 0)


def test_segments_leave_one_by_one() -> None:
    host = Host()
    sock = host.connected(99, 7)
    sk_of(sock).gso_size = 100
    assert host.send(sock, bytes(250)) == 250
    assert [len(out(packet).payload) for packet in host.sent()] == [100, 100, 50]


def test_ioctl_tells_the_next_length() -> None:
    host = Host()
    sock = host.bound(99)
    host.deliver(datagram(7, 99, bytes(12)), datagram(7, 99, bytes(5)))
    sock.ops.ioctl(sock, abi.FIONREAD, BASE, host.memory)
    assert host.memory.read_int(BASE) == 12
