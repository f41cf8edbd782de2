"""getsockopt at level SOL_IP (`do_ip_getsockopt`).

A value that fits an octet is stored as one when the caller gives room for less than an int.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from errno import EINVAL, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...contract import abi
from ..errors import Fail, NotModelled
from . import control, multicast
from .header_options import undo
from .routing import dst_mtu
from .sockglue import CMSG_FLAGS, MROUTE, NETFILTER

if TYPE_CHECKING:
    from ..sock import Sock
    from ..uaccess import UserMemory

_CMSG_HEADER = 16


def ip_getsockopt(sk: Sock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
    """`ip_getsockopt`; `length` is the address of the length. Raises Fail(EOPNOTSUPP) for another level."""
    if level != abi.SOL_IP:
        raise Fail(EOPNOTSUPP, "do_ip_getsockopt: level")
    if name in MROUTE:
        raise Fail(EOPNOTSUPP, "ip_mroute_getsockopt: not a raw IGMP socket")
    size = memory.read_int(length)
    if size < 0:
        raise Fail(EINVAL, "do_ip_getsockopt: negative length")
    if name in (multicast.IP_MSFILTER, multicast.MCAST_MSFILTER):
        multicast.getsockopt(sk, name, value, length, memory)
    elif name == abi.IP_PKTOPTIONS:
        _packet_options(sk, value, length, size, memory)
    elif name == abi.IP_OPTIONS:
        octets = undo(sk.header_options) if sk.header_options is not None else b""
        _store(octets[:size], value, length, memory)
    elif name == abi.IP_MULTICAST_IF:
        _store(sk.mc_addr[:size], value, length, memory)
    elif name in NETFILTER:
        raise NotModelled(f"netfilter socket option {name}")
    else:
        getter = _GETTERS.get(name)
        if getter is None:
            raise Fail(ENOPROTOOPT, "do_ip_getsockopt")
        _store_number(getter(sk), size, value, length, memory)


def _store(octets: bytes, value: int, length: int, memory: UserMemory) -> None:
    """The length first, as Linux does it: a bad buffer leaves it changed."""
    memory.write_int(length, len(octets))
    memory.write(value, octets)


def _store_number(number: int, size: int, value: int, length: int, memory: UserMemory) -> None:
    if 0 < size < 4 and 0 <= number <= 255:
        _store(bytes((number,)), value, length, memory)
    else:
        _store(struct.pack("<I", number & 0xFFFF_FFFF)[:size], value, length, memory)


def _packet_options(sk: Sock, value: int, length: int, size: int, memory: UserMemory) -> None:
    """IP_PKTOPTIONS: ancillary data of the packet that opened a connection."""
    if sk.type != abi.SOCK_STREAM:
        raise Fail(ENOPROTOOPT, "do_ip_getsockopt: IP_PKTOPTIONS")
    messages = []
    if sk.cmsg_flags & control.PKTINFO:
        messages.append((abi.IP_PKTINFO, struct.pack("<i4s4s", sk.mc_index, sk.rcv_saddr, sk.rcv_saddr)))
    if sk.cmsg_flags & control.TTL:
        messages.append((abi.IP_TTL, struct.pack("<i", sk.mc_ttl)))
    if sk.cmsg_flags & control.TOS:
        messages.append((abi.IP_TOS, struct.pack("<i", sk.rcv_tos)))
    room = size
    for kind, data in messages:
        if not value or room < _CMSG_HEADER:
            continue
        octets = struct.pack("<QII", min(_CMSG_HEADER + len(data), room), abi.SOL_IP, kind) + data
        memory.write(value, octets[:room])
        space = min(_CMSG_HEADER + (len(data) + 7 & ~7), room)
        value += space
        room -= space
    memory.write_int(length, size - room)


def _mtu(sk: Sock) -> int:
    if sk.route is None:
        raise Fail(ENOTCONN, "do_ip_getsockopt: IP_MTU")
    return dst_mtu(sk.net, sk.route)


def _flag(bit: int) -> Callable[[Sock], int]:
    return lambda sk: int(sk.cmsg_flags & bit != 0)


def _ttl(sk: Sock) -> int:
    return sk.uc_ttl if sk.uc_ttl >= 0 else sk.net.sysctl.ip_default_ttl


def _network_order(number: int) -> int:
    return int.from_bytes(struct.pack(">I", number & 0xFFFF_FFFF), "little", signed=True)


_GETTERS: Mapping[int, Callable[[Sock], int]] = MappingProxyType(
    {
        **{name: _flag(bit) for name, bit in CMSG_FLAGS.items()},
        abi.IP_TOS: lambda sk: sk.tos,
        abi.IP_TTL: _ttl,
        abi.IP_HDRINCL: lambda sk: int(sk.hdrincl),
        abi.IP_ROUTER_ALERT: lambda sk: 0,
        abi.IP_MTU_DISCOVER: lambda sk: sk.pmtudisc,
        abi.IP_RECVERR: lambda sk: int(sk.recverr),
        abi.IP_MTU: _mtu,
        abi.IP_FREEBIND: lambda sk: int(sk.freebind),
        abi.IP_TRANSPARENT: lambda sk: int(sk.transparent),
        abi.IP_MINTTL: lambda sk: sk.min_ttl,
        abi.IP_NODEFRAG: lambda sk: 0,
        abi.IP_BIND_ADDRESS_NO_PORT: lambda sk: int(sk.bind_address_no_port),
        abi.IP_RECVERR_RFC4884: lambda sk: int(sk.recverr_rfc4884),
        abi.IP_MULTICAST_TTL: lambda sk: sk.mc_ttl,
        abi.IP_MULTICAST_LOOP: lambda sk: int(sk.mc_loop),
        abi.IP_MULTICAST_ALL: lambda sk: int(sk.mc_all),
        abi.IP_UNICAST_IF: lambda sk: _network_order(sk.uc_index),
        abi.IP_LOCAL_PORT_RANGE: lambda sk: sk.local_port_range[1] << 16 | sk.local_port_range[0],
        abi.IP_PROTOCOL: lambda sk: sk.num,
    }
)
