"""Fresh IPv4 routes in place of the ones there are.

Path MTUs and redirects are learnt by next hops (`struct fib_nh_exception`).  Flushing them only marks them stale: later
routes are bound to them, and hear of the next one that is learnt.  They go with their next hop alone, so addresses and
routes are taken away and given back as they were.
"""

from __future__ import annotations

import contextlib
import struct

from stack_under_test.worker.netlink import NLM_F_CREATE, Netlink

_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWNEIGH, _GETNEIGH = 28, 30
_AF_INET = 2
_RTPROT_KERNEL = 2
_NUD_PERMANENT = 0x80


def renew(route: Netlink) -> None:
    """Take every IPv4 address and route away, and give them back.  Raises OSError."""
    addresses = [body for _, body in route.dump(_GETADDR, struct.pack("=B7x", _AF_INET))]
    routes = [body for _, body in route.dump(_GETROUTE, struct.pack("=B11x", _AF_INET)) if body[5] != _RTPROT_KERNEL]
    neighbours = [body for _, body in route.dump(_GETNEIGH, struct.pack("=B11x", _AF_INET)) if _permanent(body)]
    for body in routes:
        route.ask(_DELROUTE, 0, body)
    for body in addresses:
        route.ask(_DELADDR, 0, body)
    for kind, bodies in ((_NEWADDR, addresses), (_NEWROUTE, routes), (_NEWNEIGH, neighbours)):
        for body in bodies:
            with contextlib.suppress(FileExistsError):
                route.ask(kind, NLM_F_CREATE, body)


def _permanent(neighbour: bytes) -> bool:
    state: int = struct.unpack_from("=H", neighbour, 8)[0]
    return bool(state & _NUD_PERMANENT)
