"""The limit of speed: the simplest lockstep with this kernel that a loop in Python can do.

`bare_lockstep`: a TCP connection after another to one listener, each packet written from a template: SYN, ACK, accept,
data, recv, send, RST, close.  No program, no encoding, no trace: what a target does beyond this is its own cost.

`bare_programs` is like for like: what a program of 20 steps makes the kernel do, sockets of its own included.  CONVERSATION
is the same as a program, for a target to run.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Callable

from stack_under_test.contract import abi
from stack_under_test.contract.frames import PEER_ISN, Frame, Rel, TcpSegment
from stack_under_test.contract.program import Call, Inject, Program
from stack_under_test.contract.values import NULL, Buffer, Inet, InOut, Ints, Octets, Ref
from stack_under_test.contract.world import PEER_IP, STACK_IP, World
from stack_under_test.linux.availability import privileged
from stack_under_test.linux.worlds import Worlds
from stack_under_test.worker import kernel

STEPS = 8
"""Steps per connection."""
_SECOND = 1_000_000_000
_PORT = 8080
_PEER_PORT = 1234
_SYN, _ACK, _PUSH_ACK, _RST_ACK, _FIN_ACK = 2, 16, 24, 20, 17
_ISN = PEER_ISN


def bare_lockstep(connections: int = 5000) -> int:
    """Steps per second; raises OSError where no namespace can be had."""
    return connections * STEPS * _SECOND // _nanoseconds(_connections, connections)


def bare_programs(programs: int = 2000) -> int:
    """Programs per second; raises OSError where no namespace can be had."""
    return programs * _SECOND // _nanoseconds(_programs, programs)


def _nanoseconds(loop: Callable[[int, int], int], rounds: int) -> int:
    """What `loop` says of a fresh world.  It runs in a child process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if not privileged():
                kernel.unshare(kernel.CLONE_NEWUSER)
            made = Worlds().make(World())
            kernel.setns(made.namespace, kernel.CLONE_NEWNET)
            os.write(writer, struct.pack("<q", loop(made.tun, rounds)))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        octets = pipe.read()
    os.waitpid(child, 0)
    if len(octets) != 8:
        raise OSError("the bare loop did not finish")
    return int(struct.unpack("<q", octets)[0])


def _connections(tun: int, connections: int) -> int:
    """Nanoseconds for that many connections."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((socket.inet_ntoa(STACK_IP), _PORT))
    listener.listen(16)
    listener.setblocking(False)
    read, write = os.read, os.write
    began = time.monotonic_ns()
    for number in range(connections):
        port = 1024 + number % 30000
        write(tun, _segment(port, _ISN, 0, _SYN))
        (iss,) = struct.unpack_from("!I", read(tun, 2048), 24)
        write(tun, _segment(port, _ISN + 1, iss + 1, _ACK))
        connection, _ = listener.accept()
        write(tun, _segment(port, _ISN + 1, iss + 1, _PUSH_ACK, b"x"))
        read(tun, 2048)
        connection.recv(16)
        connection.send(b"y")
        read(tun, 2048)
        write(tun, _segment(port, _ISN + 2, iss + 2, _RST_ACK))
        connection.close()
    return time.monotonic_ns() - began


def _programs(tun: int, programs: int) -> int:
    """Nanoseconds for that many programs: CONVERSATION with its numbers filled in."""
    address = (socket.inet_ntoa(STACK_IP), _PORT)
    port, began = _PEER_PORT, time.monotonic_ns()
    for _ in range(programs):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(4)
        os.write(tun, _segment(port, _ISN, 0, _SYN))
        (iss,) = struct.unpack_from("!I", os.read(tun, 2048), 24)
        os.write(tun, _segment(port, _ISN + 1, iss + 1, _ACK))
        connection, _ = listener.accept()
        connection.getpeername()
        os.write(tun, _segment(port, _ISN + 1, iss + 1, _PUSH_ACK, b"x"))
        os.read(tun, 2048)
        connection.recv(16)
        connection.send(b"y")
        os.read(tun, 2048)
        os.write(tun, _segment(port, _ISN + 2, iss + 2, _ACK))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.send(b"z")
        os.read(tun, 2048)
        os.write(tun, _segment(port, _ISN + 2, iss + 3, _PUSH_ACK, b"x"))
        connection.recv(16)
        os.write(tun, _segment(port, _ISN + 3, iss + 3, _FIN_ACK))
        connection.close()
        os.read(tun, 2048)
        os.write(tun, _segment(port, _ISN + 4, iss + 4, _ACK))
        listener.close()
    return time.monotonic_ns() - began


def _injected(flags: int, seq: int, ack: int | None = None, payload: bytes = b"") -> Inject:
    acknowledged = 0 if ack is None else Rel("iss", ack)
    return Inject(Frame(TcpSegment(_PEER_PORT, _PORT, flags, Rel("peer", seq), acknowledged, payload=payload)))


CONVERSATION = Program(
    (
        Call("socket", (abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_NONBLOCK, 0)),
        Call("setsockopt", (Ref(0), abi.SOL_SOCKET, abi.SO_REUSEADDR, Ints((1,)), 4)),
        Call("bind", (Ref(0), Inet(STACK_IP, _PORT), 16)),
        Call("listen", (Ref(0), 4)),
        _injected(_SYN, 0),
        _injected(_ACK, 1, 1),
        Call("accept4", (Ref(0), NULL, NULL, abi.SOCK_NONBLOCK)),
        Call("getpeername", (Ref(6), Buffer(16, "addr"), InOut((16,)))),
        _injected(_PUSH_ACK, 1, 1, b"x"),
        Call("recv", (Ref(6), Buffer(16), 16, 0)),
        Call("send", (Ref(6), Octets(b"y"), 1, 0)),
        _injected(_ACK, 2, 2),
        Call("setsockopt", (Ref(6), abi.SOL_TCP, abi.TCP_NODELAY, Ints((1,)), 4)),
        Call("send", (Ref(6), Octets(b"z"), 1, 0)),
        _injected(_PUSH_ACK, 2, 3, b"x"),
        Call("recv", (Ref(6), Buffer(16), 16, 0)),
        _injected(_FIN_ACK, 3, 3),
        Call("close", (Ref(6),)),
        _injected(_ACK, 4, 4),
        Call("close", (Ref(0),)),
    )
)
"""What `bare_programs` does, step by step."""


_IP = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0x4000, 64, socket.IPPROTO_TCP, 0, PEER_IP, STACK_IP)
_PSEUDO = int.from_bytes(PEER_IP + STACK_IP, "big") + socket.IPPROTO_TCP


def _segment(port: int, seq: int, ack: int, flags: int, payload: bytes = b"") -> bytes:
    seq, ack = seq & 0xFFFF_FFFF, ack & 0xFFFF_FFFF
    size = 20 + len(payload)
    octets = int.from_bytes(payload + bytes(len(payload) & 1), "big")
    check = -(octets + _PSEUDO + size + port + _PORT + seq + ack + (0x5000 | flags) + 65535) % 65535
    total = 20 + size
    header = -(int.from_bytes(_IP, "big") + total - 40) % 65535
    ip = b"\x45\0" + total.to_bytes(2, "big") + _IP[4:10] + header.to_bytes(2, "big") + _IP[12:]
    return ip + struct.pack("!HHIIHHHH", port, _PORT, seq, ack, 0x5000 | flags, 65535, check, 0) + payload
