"""The network namespace: what a step may reach besides its socket.

`now` (ns), `rng`, `sysctl`, `timers`, `emit` for the device, and the protocols' tables.  Nothing here decides anything.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from .inet.truesize import Buffers
from .release import LINUX_6_18, Release
from .rng import Rng
from .sysctl import Sysctls
from .timers import Timers, wheel_expiry

if TYPE_CHECKING:
    from .inet.defrag import Fragments
    from .inet.neighbour import Neighbours
    from .inet.ports import PortTable
    from .inet.protocols import Protosw, Transport
    from .inet.routing import PathMtu, Route
    from .inet.udp_table import UdpTable
    from .tcp.tables import TcpTables

MSEC = 1_000_000
SEC = 1_000_000_000
UPTIME = 8**8 * 4 * MSEC
"""How long the machine has run when a program begins: a clock at 0 would read as "never" in many places of TCP, where Linux
means it so.  A step of every level of the timer wheel (`timers.wheel_expiry`) begins then, at 250 and at 1,000 Hz.
"""
LOOPBACK = "lo"
LINK = "tun0"


class Lock(Protocol):
    """A socket's lock with what waits for it; `release` processes one packet of that, False: none is left."""

    @property
    def sk(self) -> object: ...

    def release(self) -> bool: ...


class Net:
    """One namespace with a loopback and one link.

    `outbox` holds packets that left on the link, in order; `backlog` packets looped back (or accepted from the link) and
    not yet received.  `inet/input.py` drains the backlog until the stack is quiet.
    """

    def __init__(self, sysctl: Sysctls, seed: int = 0, release: Release = LINUX_6_18) -> None:
        self.now = UPTIME
        self.rng = Rng(seed)
        self.sysctl = sysctl
        self.release = release
        self.buffers = Buffers(release.small_head)
        self.timers = Timers()
        self.outbox: list[bytes] = []
        self.backlog: deque[tuple[bytes, Route, object]] = deque()
        self.lock: Lock | None = None
        """Held by the running call on its socket; `inet/input.py` lets go of it when the backlog is empty."""
        self.signals: list[str] = []
        self.tcp: TcpTables
        self.udp_ports: UdpTable
        self.tcp_ports: PortTable
        self.inetsw: list[Protosw] = []
        """What socket() may create, in the order it is tried."""
        self.protocols: dict[int, Transport] = {}
        """Who takes which IP protocol (`inet_protos`)."""
        self.fragments: Fragments
        self.neighbours: Neighbours | None = None
        """Where the link is Ethernet (TAP); None on TUN, which carries IP packets as they are."""
        self.routes: dict[tuple[bytes, bytes, int, int, bool], Route] = {}
        self.route_generation = 0
        """Counts path MTUs learned: a socket's route of an earlier generation has to be looked up again."""
        self.path_mtus: dict[bytes, PathMtu] = {}
        self.ident = 0

    @property
    def elapsed(self) -> int:
        """Since the program began, as traces count."""
        return self.now - UPTIME

    def timer(self, delay: int) -> int:
        """The moment at which a kernel timer fires that is set for `delay` ns from now."""
        return wheel_expiry(self.now, delay, self.release.hz)

    def emit(self, octets: bytes) -> None:
        """A packet, or a frame, leaves on the link."""
        self.outbox.append(octets)

    def loop(self, octets: bytes, route: Route) -> None:
        """A packet addressed to this host enters the loopback device, with the route it was sent by."""
        self.backlog.append((octets, route, None))
