"""Who gets a segment: established connections (and requests, and TIME-WAIT) by their four ends, listeners by port.

(`inet_ehashfn`'s table and `lhash2`; `__inet_lookup`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from ..inet.routing import ANY

if TYPE_CHECKING:
    from .listen import Request
    from .sock import TcpSock
    from .timewait import TimeWait

Key = tuple[bytes, int, bytes, int]
"""(local address, local port, peer address, peer port)."""
Entry = Union["TcpSock", "Request", "TimeWait"]


class TcpTables:
    def __init__(self) -> None:
        self.established: dict[Key, Entry] = {}
        self.listeners: dict[int, list[TcpSock]] = {}

    def get(self, key: Key) -> Entry | None:
        return self.established.get(key)

    def lookup(self, key: Key, device: int) -> Entry | None:
        """`__inet_lookup_established`: a connection bound to a device hears only what came in over it."""
        entry = self.established.get(key)
        if entry is not None and entry.bound_dev_if not in (0, device):
            return None
        return entry

    def add(self, key: Key, entry: Entry) -> None:
        self.established[key] = entry

    def remove(self, key: Key) -> None:
        self.established.pop(key, None)

    def replace(self, key: Key, entry: Entry) -> None:
        self.established[key] = entry

    def listen(self, sk: TcpSock) -> None:
        """`__inet_hash`: the newest listener stands first."""
        self.listeners.setdefault(sk.num, []).insert(0, sk)

    def unlisten(self, sk: TcpSock) -> None:
        there = self.listeners.get(sk.num, [])
        if sk in there:
            there.remove(sk)

    def listener(self, daddr: bytes, port: int, device: int) -> TcpSock | None:
        """`__inet_lookup_listener`: a bound address beats the wildcard, a bound device adds to the score."""
        best = None
        best_score = 0
        for sk in self.listeners.get(port, ()):
            if sk.rcv_saddr not in (ANY, daddr) or sk.bound_dev_if not in (0, device):
                continue
            score = 1 + (2 if sk.rcv_saddr != ANY else 0) + (1 if sk.bound_dev_if else 0)
            if score > best_score:
                best, best_score = sk, score
        return best
