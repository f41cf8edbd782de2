"""Local ports of connection-oriented protocols (`inet_csk_get_port`, `inet_hashtables.c`).

A port in use has a bucket; the bucket's owners are the sockets on it, TIME-WAIT ones too.  Whether one more may join is
asked in two steps, as Linux does: the bucket's fast marks may already say yes for all; else each owner whose address
overlaps is asked (SO_REUSEADDR on both and the other not listening, or SO_REUSEPORT on both).

A bucket that only connect() made (`fastreuse` and `fastreuseport` -1) is shared by connections, as long as their four
ends differ; what knows that is the table of established connections, so `connect` asks the caller's `claim`.

All sockets belong to one user, so Linux's uid comparisons are always equal and not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from errno import EADDRNOTAVAIL
from typing import TYPE_CHECKING, Protocol

from ..errors import Fail
from ..sock import State
from .routing import ANY

if TYPE_CHECKING:
    from ..net import Net
    from ..sock import Sock

_CONNECTS_ONLY = -1
_STRICT, _ANY_REUSEPORT = 1, 2
"""`fastreuseport`: FASTREUSEPORT_ANY for any address, FASTREUSEPORT_STRICT for the bucket's `fast_address` alone."""


class Owner(Protocol):
    """Who holds a port: a socket, or what is left of one in TIME-WAIT (`sock_common`)."""

    num: int
    rcv_saddr: bytes
    reuse: int
    reuseport: bool
    bound_dev_if: int

    @property
    def state(self) -> int: ...


class Bucket:
    """`inet_bind_bucket`; `by_connect` are the owners that connect() gave the port (SOCK_CONNECT_BIND)."""

    __slots__ = ("by_connect", "fast_address", "fastreuse", "fastreuseport", "owners")

    def __init__(self, fast: int = 0) -> None:
        self.owners: list[Owner] = []
        self.by_connect: set[int] = set()
        self.fastreuse = fast
        self.fastreuseport = fast
        self.fast_address = ANY


class PortTable:
    """One protocol's buckets, by port."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self._buckets: dict[int, Bucket] = {}

    def get(self, sk: Sock, port: int) -> bool:
        """`inet_csk_get_port`: take `port`, or for 0 any free one; sets `sk.num`. False: EADDRINUSE.

        A socket that already holds the port (it is about to listen) is only checked again.
        """
        if not port:
            port = self._find_open_port(sk)
            if not port:
                return False
            bucket = self._buckets.setdefault(port, Bucket())
        else:
            bucket = self._buckets.get(port) or Bucket()
            if not self._may_join(bucket, sk):
                return False
            self._buckets[port] = bucket
        _update_fastreuse(bucket, sk)
        self._add(bucket, sk, port)
        return True

    def put(self, owner: Owner) -> None:
        """`inet_put_port`: give the port back; `owner.num` becomes 0."""
        bucket = self._buckets.get(owner.num)
        if bucket is not None and owner in bucket.owners:
            bucket.owners.remove(owner)
            bucket.by_connect.discard(id(owner))
            if not bucket.owners:
                del self._buckets[owner.num]
            elif len(bucket.by_connect) == len(bucket.owners):
                bucket.fastreuse = bucket.fastreuseport = _CONNECTS_ONLY
        owner.num = 0

    def share(self, child: Owner, listener: Owner) -> None:
        """`__inet_inherit_port`: a connection that was accepted shares its listener's port."""
        self._add(self._buckets[listener.num], child, listener.num)

    def replace(self, owner: Owner, by: Owner) -> None:
        """`inet_twsk_hashdance`, the bind table's part: TIME-WAIT takes the socket's place; the socket keeps `num`."""
        bucket = self._buckets.get(owner.num)
        if bucket is None or owner not in bucket.owners:
            return
        bucket.owners[bucket.owners.index(owner)] = by
        by.num = owner.num
        if id(owner) in bucket.by_connect:
            bucket.by_connect.remove(id(owner))
            bucket.by_connect.add(id(by))

    def connect(self, sk: Sock, claim: Callable[[Sock, int], bool]) -> None:
        """`__inet_hash_connect`: a port for a connection whose other three ends are set in `sk`.

        `claim(sk, port)` is `__inet_check_established`: True when no connection has these four ends (or one in TIME-WAIT
        that may be taken over), and then the connection is in the caller's table.  Raises Fail(EADDRNOTAVAIL).
        """
        if sk.num:
            if not claim(sk, sk.num):
                raise Fail(EADDRNOTAVAIL, "__inet_check_established: not unique")
            return
        for port in self._connect_order(sk):
            bucket = self._buckets.get(port)
            if bucket is None:
                bucket = Bucket(_CONNECTS_ONLY)
            elif bucket.fastreuse >= 0 or bucket.fastreuseport >= 0:
                continue
            if claim(sk, port):
                self._buckets[port] = bucket
                bucket.by_connect.add(id(sk))
                self._add(bucket, sk, port)
                return
        raise Fail(EADDRNOTAVAIL, "__inet_hash_connect: ports exhausted")

    def owners(self, port: int) -> tuple[Owner, ...]:
        """Who holds a port, for tests and diagnosis."""
        bucket = self._buckets.get(port)
        return tuple(bucket.owners) if bucket else ()

    def _add(self, bucket: Bucket, owner: Owner, port: int) -> None:
        """`inet_bind_hash`."""
        owner.num = port
        if not any(other is owner for other in bucket.owners):
            bucket.owners.insert(0, owner)

    def _may_join(self, bucket: Bucket, sk: Sock) -> bool:
        if not bucket.owners:
            return True
        reuse = sk.reuse and sk.state != State.LISTEN
        if (bucket.fastreuse > 0 and reuse) or _reuseport_match(bucket, sk):
            return True
        return not _bucket_conflict(bucket, sk, True, True)

    def _find_open_port(self, sk: Sock) -> int:
        """`inet_csk_find_open_port`: odd distances from the range's start first, to leave the others to connect()."""
        halves = (1, 2) if sk.reuse else (0,)
        for half in halves:
            low, high = port_range(sk)
            high += 1
            if high - low >= 4 and half:
                middle = low + (high - low >> 2 << 1)
                low, high = (low, middle) if half == 1 else (middle, high)
            remaining = high - low
            if remaining > 1:
                remaining &= ~1
            offset = self.net.rng.below(remaining) | 1
            for start in (offset, offset - 1):
                for step in range(0, remaining, 2):
                    port = low + (start + step) % remaining if remaining > 1 else low
                    bucket = self._buckets.get(port)
                    if bucket is None or not _bucket_conflict(bucket, sk, False, False):
                        return port
        return 0

    def _connect_order(self, sk: Sock) -> Iterator[int]:
        """Even distances from the range's start first, then odd; a socket's own range is taken as it comes."""
        low, high = port_range(sk)
        remaining = high - low + 1
        if sk.local_port_range != (0, 0):
            start = self.net.rng.below(remaining)
            yield from (low + (start + step) % remaining for step in range(remaining))
            return
        if remaining > 1:
            remaining &= ~1
        start = self.net.rng.below(remaining) & ~1
        first = self.net.rng.below(8) * 2
        for odd in (0, 1) if remaining > 1 else (0,):
            yield from (low + (start + first + step) % remaining + odd for step in range(0, remaining, 2))


def port_range(sk: Sock) -> tuple[int, int]:
    """`inet_sk_get_local_port_range`: the namespace's, narrowed by IP_LOCAL_PORT_RANGE where that lies inside."""
    low, high = sk.net.sysctl.ip_local_port_range
    own_low, own_high = sk.local_port_range
    return (own_low if low <= own_low <= high else low), (own_high if low <= own_high <= high else high)


def addresses_overlap(one: bytes, other: bytes) -> bool:
    """`inet_rcv_saddr_equal` with wildcards: 0.0.0.0 equals any address."""
    return one in (other, ANY) or other == ANY


def _bucket_conflict(bucket: Bucket, sk: Sock, relax: bool, reuseport_ok: bool) -> bool:
    """`inet_csk_bind_conflict` and `inet_bhash2_addr_any_conflict`."""
    return any(
        addresses_overlap(sk.rcv_saddr, other.rcv_saddr) and _conflict(sk, other, relax, reuseport_ok)
        for other in bucket.owners
        if other is not sk
    )


def _conflict(sk: Sock, other: Owner, relax: bool, reuseport_ok: bool) -> bool:
    """`inet_bind_conflict`."""
    if sk.bound_dev_if and other.bound_dev_if and sk.bound_dev_if != other.bound_dev_if:
        return False
    both_reuseport = sk.reuseport and other.reuseport
    if sk.reuse and other.reuse and other.state != State.LISTEN:
        return not relax or (not reuseport_ok and both_reuseport)
    return not reuseport_ok or not both_reuseport


def _reuseport_match(bucket: Bucket, sk: Sock) -> bool:
    """`sk_reuseport_match`."""
    if bucket.fastreuseport <= 0 or not sk.reuseport:
        return False
    return bucket.fastreuseport == _ANY_REUSEPORT or bucket.fast_address in (ANY, sk.rcv_saddr)


def _update_fastreuse(bucket: Bucket, sk: Sock) -> None:
    """`inet_csk_update_fastreuse`."""
    reuse = bool(sk.reuse) and sk.state != State.LISTEN
    if not bucket.owners:
        bucket.fastreuse = int(reuse)
        bucket.fastreuseport = _ANY_REUSEPORT if sk.reuseport else 0
        bucket.fast_address = sk.rcv_saddr
        return
    if not reuse:
        bucket.fastreuse = 0
    if not sk.reuseport:
        bucket.fastreuseport = 0
    elif not _reuseport_match(bucket, sk):
        bucket.fastreuseport = _STRICT
        bucket.fast_address = sk.rcv_saddr
