"""The little netlink a worker speaks: messages with attributes, acknowledged requests, dumps."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE, NLM_F_REPLACE = 1, 4, 0x300, 0x200, 0x400, 0x100
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")


def attribute(kind: int, data: bytes) -> bytes:
    """`struct rtattr`, padded."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


class Netlink:
    """A netlink socket of the namespace it is opened in, wherever it is used from."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def ask(self, kind: int, flags: int, body: bytes) -> None:
        """A request that changes something.  Raises OSError with the kernel's error."""
        self._send(kind, flags | NLM_F_REQUEST | NLM_F_ACK, body)
        for _, payload in self._answers():
            error = struct.unpack_from("=i", payload)[0]
            if error:
                raise OSError(-error, os.strerror(-error))
            return

    def dump(self, kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """(type, payload) of each message of a dump.  Raises OSError."""
        self._send(kind, NLM_F_REQUEST | NLM_F_DUMP, body)
        for found, payload in self._answers():
            if found == _DONE:
                return
            if found == _ERROR:
                error = -struct.unpack_from("=i", payload)[0]
                raise OSError(error, os.strerror(error))
            yield found, payload

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._socket.send(_HEADER.pack(16 + len(body), kind, flags, self._sequence, 0) + body)

    def _answers(self) -> Iterator[tuple[int, bytes]]:
        while True:
            octets = self._socket.recv(1 << 17)
            at = 0
            while at + 16 <= len(octets):
                length, kind, _, sequence, _ = _HEADER.unpack_from(octets, at)
                if length < 16:
                    return
                if sequence == self._sequence:
                    yield kind, octets[at + 16 : at + length]
                at += (length + 3) & ~3
