"""Makes the world: its sysctls, its link, its addresses and routes.

`quiet`, `pin` and `open_link` are for every maker of worlds.  `LocalSource` makes whole ones with nothing but the
standard library and raw rtnetlink, for kernels into which only a Python can be brought; the `linux` target has its
own, with pyroute2.  Everything here is done in the namespace the caller is in.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from stack_under_test.contract.world import (
    LINK_NAME,
    MTU,
    PEER_IP,
    PEER_IP6,
    PEER_MAC,
    PINNED,
    PREFIX,
    PREFIX6,
    STACK_IP,
    STACK_IP6,
    STACK_MAC,
    World,
)
from stack_under_test.worker import kernel
from stack_under_test.worker.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Netlink, attribute

_TUNSETIFF, _TUNSETPERSIST, _IFF_TUN, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x400454CB, 1, 2, 0x1000
_LINKS = {"tun": _IFF_TUN, "tap": _IFF_TAP}
_SIOCSIFTXQLEN = 0x8943
_QUEUE = 8192
_RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWROUTE, _RTM_NEWNEIGH, _RTM_NEWQDISC = 16, 20, 24, 28, 36
_IFLA_ADDRESS, _IFLA_MTU, _IFF_UP = 1, 4, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_F_NODAD = 1, 2, 2
_RTA_OIF, _RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_LINK, _RTN_UNICAST = 4, 254, 4, 253, 1
_NDA_DST, _NDA_LLADDR, _NUD_PERMANENT = 1, 2, 0x80
_TCA_KIND, _TC_H_ROOT = 1, 0xFFFF_FFFF

_QUIET: tuple[tuple[str, str], ...] = (
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
    ("net.ipv6.conf.default.addr_gen_mode", "1"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.dad_transmits", "0"),
    ("net.ipv6.conf.default.mldv1_unsolicited_report_interval", "1"),
    ("net.ipv6.conf.default.mldv2_unsolicited_report_interval", "1"),
    ("net.ipv6.mld_qrv", "1"),
)
"""So that nothing is sent unasked: no router solicitations, duplicate address detection or repeated MLD reports."""

_DEVICE_DEFAULTS: tuple[tuple[str, str], ...] = (
    ("rp_filter", "0"),
    ("accept_redirects", "1"),
    ("secure_redirects", "1"),
    ("send_redirects", "1"),
    ("log_martians", "0"),
    ("arp_notify", "0"),
    ("arp_ignore", "0"),
    ("arp_announce", "0"),
    ("arp_filter", "0"),
)
"""IPv4's per-device sysctls are inherited from the host's first namespace; these are the kernel's own defaults."""


_BEFORE_LINK: tuple[tuple[str, str], ...] = (
    *_QUIET,
    *[(f"net.ipv4.conf.{device}.{name}", value) for device in ("all", "default") for name, value in _DEVICE_DEFAULTS],
)


class Obtained(NamedTuple):
    """A fresh world: descriptors of its namespace and its link, sysctls as found, and those that could not be set."""

    namespace: int
    tun: int
    metadata: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]


class Source(Protocol):
    """Where a worker gets fresh worlds from.  Raises OSError."""

    def obtain(self, world: World) -> Obtained: ...


def quiet() -> None:
    """Before the link exists: settings it will inherit."""
    _write(_BEFORE_LINK)


def pin(world: World) -> tuple[tuple[str, str], ...]:
    """Set the sysctls outcomes depend on; (name, reason) of those that the kernel refused or does not have."""
    return tuple(_write([*PINNED.items(), *world.sysctls]))


def found(world: World) -> tuple[tuple[str, str], ...]:
    """The values as they are now, for the record."""
    result = [("kernel", os.uname().release)]
    for name in dict.fromkeys([*PINNED, *(name for name, _ in world.sysctls)]):
        result.append((name, _read(name)))
    return tuple(result)


def open_link(link: str) -> int:
    """A non-blocking descriptor of a new TUN or TAP named LINK_NAME.  The device goes with its namespace: if it went with
    the descriptor, closing that would take 25 ms."""
    if link not in _LINKS:
        raise OSError(f"no such link: {link!r}")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", LINK_NAME.encode(), _LINKS[link] | _IFF_NO_PI))
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)
    except OSError:
        os.close(fd)
        raise
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFTXQLEN, struct.pack("16si20x", LINK_NAME.encode(), _QUEUE))
    return fd


class LocalSource:
    """Makes worlds in this process, each in a namespace of its own.  What a namespace has by itself is looked up in the
    first one, and not set in those that follow."""

    def __init__(self) -> None:
        self._inherent: dict[str, str] = {}

    def obtain(self, world: World) -> Obtained:
        return self.make(world)._replace(metadata=found(world))

    def make(self, world: World) -> Obtained:
        """A world whose sysctls are not read back, which takes half the time."""
        kernel.unshare(kernel.CLONE_NEWNET)
        if not self._inherent:
            self._inherent.update((name, _read(name)) for name, _ in (*_BEFORE_LINK, *PINNED.items()))
        _write(self._lacking(_BEFORE_LINK))
        tun = open_link(world.link)
        _configure(world.link == "tap")
        refused = tuple(_write([*self._lacking(PINNED.items()), *world.sysctls]))
        namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return Obtained(namespace, tun, (), refused)

    def _lacking(self, settings: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(name, value) for name, value in settings if self._inherent[name] != value]


def _configure(tap: bool) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        route = Netlink(sock)
        index = socket.if_nametoindex(LINK_NAME)
        hardware = attribute(_IFLA_ADDRESS, STACK_MAC) if tap else b""
        new = NLM_F_CREATE | NLM_F_EXCL
        _up(route, 1, b"")
        with contextlib.suppress(OSError):
            tc = struct.pack("=BxxxiIII", 0, index, 0, _TC_H_ROOT, 0)
            route.ask(_RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, tc + attribute(_TCA_KIND, b"noqueue\0"))
        for family, address, prefix in ((socket.AF_INET, STACK_IP, PREFIX), (socket.AF_INET6, STACK_IP6, PREFIX6)):
            head = struct.pack("=BBBBI", family, prefix, _IFA_F_NODAD, 0, index)
            route.ask(_RTM_NEWADDR, new, head + attribute(_IFA_LOCAL, address) + attribute(_IFA_ADDRESS, address))
        _up(route, index, hardware + attribute(_IFLA_MTU, struct.pack("=I", MTU)))
        for family in (socket.AF_INET, socket.AF_INET6):
            head = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_LINK, _RTN_UNICAST, 0)
            route.ask(_RTM_NEWROUTE, new, head + attribute(_RTA_OIF, struct.pack("=I", index)))
        if tap:
            for family, address in ((socket.AF_INET, PEER_IP), (socket.AF_INET6, PEER_IP6)):
                head = struct.pack("=BxxxiHBB", family, index, _NUD_PERMANENT, 0, 0)
                body = attribute(_NDA_DST, address) + attribute(_NDA_LLADDR, PEER_MAC)
                route.ask(_RTM_NEWNEIGH, new, head + body)


def _up(route: Netlink, index: int, attributes: bytes) -> None:
    route.ask(_RTM_NEWLINK, 0, struct.pack("=BxHiII", 0, 0, index, _IFF_UP, _IFF_UP) + attributes)


def _read(name: str) -> str:
    """The value, or why it cannot be read, in parentheses."""
    try:
        with open(_path(name), encoding="ascii") as file:
            return " ".join(file.read().split())
    except OSError as error:
        return f"({error.strerror})"


def _path(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


def _write(settings: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    refused = []
    for name, value in settings:
        if not name.startswith("net.") or "/" in name:
            # Whatever is not the network's would be the whole host's.
            refused.append((name, "not a sysctl of the network"))
            continue
        try:
            fd = os.open(_path(name), os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            refused.append((name, os.strerror(error.errno or 0)))
    return refused
