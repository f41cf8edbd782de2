"""The limit of speed: the simplest lockstep with this kernel that a loop in Python can do.

A TCP connection after another, each packet written from a template: SYN, ACK, accept, data, recv, send, RST, close.  No
program, no encoding, no trace: what a target does beyond this is its own cost.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time

from stack_under_test.contract.world import PEER_IP, STACK_IP, World
from stack_under_test.linux.availability import privileged
from stack_under_test.linux.worlds import Worlds
from stack_under_test.worker import kernel

STEPS = 8
"""Steps per connection."""
_PORT = 8080
_SYN, _ACK, _PUSH_ACK, _RST_ACK = 2, 16, 24, 20
_ISN = 1000


def bare_lockstep(connections: int = 5000) -> int:
    """Steps per second; raises OSError where no namespace can be had.  Runs in a child process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if not privileged():
                kernel.unshare(kernel.CLONE_NEWUSER)
            made = Worlds().make(World())
            kernel.setns(made.namespace, kernel.CLONE_NEWNET)
            os.write(writer, struct.pack("<q", _loop(made.tun, connections)))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        octets = pipe.read()
    os.waitpid(child, 0)
    if len(octets) != 8:
        raise OSError("the bare loop did not finish")
    return connections * STEPS * 1_000_000_000 // int(struct.unpack("<q", octets)[0])


def _loop(tun: int, connections: int) -> int:
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
