"""Interface ioctls on any socket: reading what a device is (`net/core/dev_ioctl.c`, `devinet_ioctl`).

The namespace's devices never change, so what would change one is not modelled.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from errno import EADDRNOTAVAIL, EINVAL, ENODEV, ENOTTY
from types import MappingProxyType

from ...contract import abi
from ...contract.world import STACK_MAC
from ..errors import Fail, NotModelled
from ..inet.routing import DEVICES, LO, Device, device
from ..uaccess import UserMemory

IFREQ_SIZE = 40
IFNAMSIZ = 16
SIOCGIFNAME, SIOCGIFMETRIC, SIOCGIFHWADDR, SIOCGIFSLAVE, SIOCGIFTXQLEN = 0x8910, 0x891D, 0x8927, 0x8929, 0x8942
SIOCGIFDSTADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK, SIOCGIFPFLAGS = 0x8917, 0x8919, 0x891B, 0x8935
LINK_QUEUE = 8192
"""The transmit queue that makers of worlds give the link."""
ARPHRD_ETHER, ARPHRD_LOOPBACK, ARPHRD_NONE = 1, 772, 0xFFFE
ETHERNET_FLAGS = 0x1043
"""Up, running, multicast, and broadcast instead of point-to-point without ARP."""
_OF_ADDRESSES = frozenset((abi.SIOCGIFADDR, SIOCGIFDSTADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK))
NOT_MODELLED = frozenset(
    (
        *(0x8914, 0x8916, 0x8918, 0x891A, 0x891C, 0x891E, 0x8922, 0x8923, 0x8924, 0x8925, 0x8930, 0x8931, 0x8932),
        *(0x8934, 0x8935, 0x8936, 0x8937, 0x8943, 0x8946, 0x8947, 0x8948, 0x8949, 0x894A, 0x8970, 0x8971),
        *(0x8990, 0x8991, 0x8992, 0x8993, 0x8994, 0x8995, 0x89B0, 0x89B1, 0x891F, 0x8920, 0x8911, 0x8926),
        *range(0x89F0, 0x8A00),
    )
)


def interface_list() -> list[bytes]:
    """An ifreq with the address of each device that has one (`inet_gifconf`)."""
    return [_name(entry) + _sockaddr(entry.address) for entry in DEVICES]


def device_ioctl(command: int, argument: int, memory: UserMemory, ethernet: bool = False) -> None:
    """`dev_ioctl`; `ethernet`: the link is a TAP. Raises Fail(EFAULT), Fail(ENODEV), Fail(ENOTTY) for what no device knows."""
    request = memory.read(argument, IFREQ_SIZE)
    if command in NOT_MODELLED:
        raise NotModelled(f"ioctl {command:#x}")
    if command == SIOCGIFNAME:
        found = device(struct.unpack_from("<i", request, IFNAMSIZ)[0])
        if found is None:
            raise Fail(ENODEV, "dev_ifname")
        memory.write(argument, found.name.encode() + b"\0")
        return
    answer = (_ETHERNET_ANSWERS if ethernet else {}).get(command) or _ANSWERS.get(command)
    if answer is None:
        raise Fail(ENOTTY, "dev_ioctl: unknown command")
    memory.write(argument + IFNAMSIZ, answer(_find(request, command in _OF_ADDRESSES)))


def _find(request: bytes, labelled: bool) -> Device:
    """The device named, up to a colon; behind it stands an address's label, and no address here has one."""
    name, colon, _ = request[: IFNAMSIZ - 1].split(b"\0")[0].partition(b":")
    for entry in DEVICES:
        if entry.name.encode() == name:
            if colon and labelled:
                raise Fail(EADDRNOTAVAIL, "devinet_ioctl: label")
            return entry
    raise Fail(ENODEV, "dev_ifsioc")


def _name(entry: Device) -> bytes:
    return entry.name.encode().ljust(IFNAMSIZ, b"\0")


def _sockaddr(address: bytes) -> bytes:
    return struct.pack("<HH", abi.AF_INET, 0) + address + bytes(16)


def _hardware(entry: Device) -> bytes:
    return struct.pack("<H14s", ARPHRD_LOOPBACK if entry is LO else ARPHRD_NONE, b"")


def _slave(entry: Device) -> bytes:
    raise Fail(EINVAL, "dev_ifsioc_locked: SIOCGIFSLAVE")


def _netmask(entry: Device) -> bytes:
    return _sockaddr((0xFFFF_FFFF << (32 - entry.prefix) & 0xFFFF_FFFF).to_bytes(4, "big"))


_ANSWERS: Mapping[int, Callable[[Device], bytes]] = MappingProxyType(
    {
        abi.SIOCGIFFLAGS: lambda entry: struct.pack("<H", entry.flags),
        abi.SIOCGIFMTU: lambda entry: struct.pack("<i", entry.mtu),
        abi.SIOCGIFINDEX: lambda entry: struct.pack("<i", entry.index),
        abi.SIOCGIFADDR: lambda entry: _sockaddr(entry.address)[:16],
        SIOCGIFMETRIC: lambda entry: struct.pack("<i", 0),
        SIOCGIFHWADDR: _hardware,
        SIOCGIFSLAVE: _slave,
        SIOCGIFTXQLEN: lambda entry: struct.pack("<i", 1000 if entry is LO else LINK_QUEUE),
        SIOCGIFDSTADDR: lambda entry: _sockaddr(entry.address)[:16],
        SIOCGIFBRDADDR: lambda entry: _sockaddr(entry.broadcast)[:16],
        SIOCGIFNETMASK: lambda entry: _netmask(entry)[:16],
    }
)
_ETHERNET_ANSWERS: Mapping[int, Callable[[Device], bytes]] = MappingProxyType(
    {
        abi.SIOCGIFFLAGS: lambda entry: struct.pack("<H", entry.flags if entry is LO else ETHERNET_FLAGS),
        SIOCGIFHWADDR: lambda entry: _hardware(entry) if entry is LO else struct.pack("<H14s", ARPHRD_ETHER, STACK_MAC),
    }
)
