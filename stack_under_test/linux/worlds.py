"""Makes worlds on this machine: a namespace each, its link, addresses, routes and neighbours through pyroute2.

A template namespace lies between the host's and the worlds': worlds are made from within it, so that they inherit its
`tcp_child_ehash_entries`, a connection table of their own that is small enough to be searched after every program.  The
limits Linux derives from that table's size are put back to what they are on the host.
"""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from typing import Any

from stack_under_test.contract.world import (
    LINK_NAME,
    MTU,
    PEER_IP,
    PEER_IP6,
    PEER_MAC,
    PREFIX,
    PREFIX6,
    STACK_IP,
    STACK_IP6,
    STACK_MAC,
    World,
)
from stack_under_test.worker import kernel, setup
from stack_under_test.worker.setup import Obtained

_TABLE = "256"
_DERIVED = ("net/ipv4/tcp_max_tw_buckets",)
_IFA_F_NODAD = 2
_SCOPE_LINK = 253
_NUD_PERMANENT = 0x80


class Worlds:
    """The maker; `Worlds()` moves the calling process into the template namespace."""

    def __init__(self) -> None:
        derived = [(name, _read(name)) for name in _DERIVED]
        kernel.unshare(kernel.CLONE_NEWNET)
        self._template = _namespace()
        _write("net/ipv4/tcp_child_ehash_entries", _TABLE)
        self._derived = [(name, value) for name, value in derived if value]

    def make(self, world: World) -> Obtained:
        """A fresh world.  Raises OSError (pyroute2's errors included) when the kernel refuses a part of it."""
        kernel.unshare(kernel.CLONE_NEWNET)
        try:
            setup.quiet()
            for name, value in self._derived:
                _write(name, value)
            tun = setup.open_link(world.link)
            try:
                _configure(world.link == "tap")
            except Exception as error:
                os.close(tun)
                raise OSError(f"pyroute2: {error}") from error
            refused = setup.pin(world)
            return Obtained(_namespace(), tun, setup.found(world), refused)
        finally:
            kernel.setns(self._template, kernel.CLONE_NEWNET)


def _configure(tap: bool) -> None:
    from pyroute2 import IPRoute  # noqa: PLC0415 (takes 0.3 s, and the first worker is cloned before)

    with IPRoute() as route:
        index = socket.if_nametoindex(LINK_NAME)
        route.link("set", index=socket.if_nametoindex("lo"), state="up")
        _without_queue(route, index)
        for address, prefix in ((STACK_IP, PREFIX), (STACK_IP6, PREFIX6)):
            route.addr("add", index=index, address=str(ip_address(address)), prefixlen=prefix, flags=_IFA_F_NODAD)
        hardware = {"address": STACK_MAC.hex(":")} if tap else {}
        route.link("set", index=index, state="up", mtu=MTU, **hardware)
        for family in (socket.AF_INET, socket.AF_INET6):
            route.route("add", dst="default", oif=index, family=family, scope=_SCOPE_LINK)
        if tap:
            for address in (PEER_IP, PEER_IP6):
                route.neigh("add", dst=str(ip_address(address)), lladdr=PEER_MAC.hex(":"), ifindex=index, state=_NUD_PERMANENT)


def _without_queue(route: Any, index: int) -> None:
    """Packets go to the link at once, whatever the host's default queueing discipline; a kernel without it keeps
    that."""
    try:
        route.tc("replace", kind="noqueue", index=index, parent=0xFFFF_FFFF)
    except Exception:
        return


def _namespace() -> int:
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _read(name: str) -> str:
    try:
        with open(f"/proc/sys/{name}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _write(name: str, value: str) -> None:
    """Best effort: older kernels lack the sysctls written here, and need none of them."""
    try:
        with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        return
