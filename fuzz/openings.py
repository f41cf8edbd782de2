"""How sockets come about: made, bound, set up, listening."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from fuzz import options
from fuzz.arguments import ANY
from fuzz.chooser import Weights
from fuzz.model import Draft, Endpoint
from stack_under_test.contract import abi
from stack_under_test.contract.values import Inet, Ints, PortOf
from stack_under_test.contract.world import STACK_IP

Script = Iterator[None]


def socket(draft: Draft, kind: int, family: int = abi.AF_INET, protocol: int = 0) -> Endpoint:
    """A new socket, by chance with O_NONBLOCK or O_CLOEXEC."""
    flags = draft.choose.weighted(_SOCKET_FLAGS)
    fd = draft.call("socket", family, kind | flags, protocol)
    return draft.add(Endpoint(fd, kind, family, bool(flags & abi.SOCK_NONBLOCK)))


_SOCKET_FLAGS = Weights((12, 0), (5, abi.SOCK_NONBLOCK), (1, abi.SOCK_CLOEXEC))
_LOCAL = Weights((8, STACK_IP), (4, ANY))


def bind(draft: Draft, endpoint: Endpoint, address: bytes | None = None, port: int | None = None) -> None:
    """Bind to a port of its own; by chance first to one that another socket has."""
    taken = [other.port for other in draft.endpoints if other.port and other is not endpoint]
    if taken and draft.choose.chance(20):
        draft.call("bind", endpoint.fd, Inet(draft.choose.weighted(_LOCAL), draft.choose.choice(taken)), 16)
    port = draft.port() if port is None else port
    draft.call("bind", endpoint.fd, Inet(address or draft.choose.weighted(_LOCAL), port), 16)
    endpoint.port = port or PortOf(endpoint.fd)


def settings(draft: Draft, endpoint: Endpoint) -> None:
    if draft.choose.chance(18):
        options.set_option(draft, endpoint)


def listener(draft: Draft, address: bytes | None = None) -> Generator[None, None, Endpoint]:
    """A listening socket."""
    server = socket(draft, abi.SOCK_STREAM)
    yield
    if draft.choose.chance(20):
        draft.call("setsockopt", server.fd, abi.SOL_SOCKET, abi.SO_REUSEADDR, Ints((1,)), 4)
    settings(draft, server)
    bind(draft, server, address)
    yield
    draft.call("listen", server.fd, draft.choose.weighted(_BACKLOGS))
    server.listening = True
    return server


_BACKLOGS = Weights((5, 5), (3, 1), (1, 0), (2, 128), (1, -1))
