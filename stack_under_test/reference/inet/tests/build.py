"""A namespace, sockets in it, and packets for it: what the tests of this folder start from."""

from __future__ import annotations

from typing import Any, cast

from ....contract.world import PEER_IP, STACK_IP
from ....wire import icmp, ipv4, udp
from ...net import Net
from ...sock import Message, Socket
from ...sysctl import configure
from ...uaccess import UserMemory, import_ubuf
from .. import input as ip_input
from ..af_inet import InetDgram, create
from ..setup import setup
from ..sockaddr import sockaddr_in
from ..udp import UdpSock

BASE = 1 << 40
DONTWAIT = 0x40
ANY = bytes(4)
LOCALHOST = bytes((127, 0, 0, 1))


def namespace() -> Net:
    net = Net(configure(()))
    setup(net)
    return net


class Host:
    """A namespace with its caller's memory; calls that would sleep are made with MSG_DONTWAIT."""

    def __init__(self) -> None:
        self.net = namespace()
        self.memory = UserMemory(BASE)

    def socket(self, kind: int = 2, protocol: int = 0) -> Socket:
        sock = Socket(kind, InetDgram())
        create(self.net, sock, protocol, kind)
        return sock

    def bound(self, port: int, address: bytes = ANY) -> Socket:
        sock = self.socket()
        sock.ops.bind(sock, sockaddr_in(address, port))
        return sock

    def connected(self, port: int, peer_port: int, peer: bytes = PEER_IP) -> Socket:
        sock = self.bound(port)
        sock.ops.connect(sock, sockaddr_in(peer, peer_port), 0)
        return sock

    def send(self, sock: Socket, data: bytes, to: bytes | None = None, flags: int = 0, control: bytes = b"") -> int:
        self.memory.load(data)
        message = Message(import_ubuf(self.memory, BASE, len(data)), flags, to, control)
        sent = cast(int, sock.ops.sendmsg(sock, message))
        ip_input.drain(self.net)
        return sent

    def receive(self, sock: Socket, size: int = 4096, flags: int = 0) -> tuple[bytes, Message, int]:
        """(octets stored, the message, the call's result)."""
        message = Message(import_ubuf(self.memory, BASE, size), flags | DONTWAIT, wants_name=True)
        result = cast(int, sock.ops.recvmsg(sock, message, size))
        return self.memory.read(BASE, min(result, size)), message, result

    def deliver(self, *packets: bytes) -> list[bytes]:
        """What leaves on the link because these packets came in."""
        for packet in packets:
            ip_input.receive(self.net, packet)
        return self.sent()

    def sent(self) -> list[bytes]:
        sent = list(self.net.outbox)
        self.net.outbox.clear()
        return sent

    def advance(self, ns: int) -> list[bytes]:
        self.net.now += ns
        while (due := self.net.timers.pop(self.net.now)) is not None:
            owner, kind = due
            owner.expired(kind)
        return self.sent()


def sk_of(sock: Socket) -> UdpSock:
    assert isinstance(sock.sk, UdpSock)
    return sock.sk


def packet(protocol: int, payload: bytes, source: bytes = PEER_IP, destination: bytes = STACK_IP, **fields: Any) -> bytes:
    return ipv4.write(ipv4.Ipv4(source, destination, protocol, payload, **fields))


def datagram(
    sport: int, dport: int, data: bytes = b"", source: bytes = PEER_IP, destination: bytes = STACK_IP, **fields: Any
) -> bytes:
    header = udp.Udp(sport, dport, data, fields.pop("length", None), fields.pop("udp_checksum", None))
    return packet(17, udp.write(header, source, destination), source, destination, **fields)


def echo(data: bytes = b"ping", **fields: Any) -> bytes:
    return packet(1, icmp.write(icmp.echo_request(1, 2, data)), **fields)


def error(kind: int, code: int, about: bytes, info: int = 0) -> bytes:
    """An ICMP error from the peer; `about` is the packet it quotes."""
    return packet(1, icmp.write(icmp.Icmp(kind, code, info.to_bytes(4, "big"), about)))
