"""Group membership (`net/ipv4/igmp.c`): every way to get it wrong is answered; getting it right is not modelled.

A membership makes the host send IGMP reports at random times, so no two stacks could be compared over it.  A socket here
therefore never is a member, and what needs an earlier membership fails accordingly.
"""

from __future__ import annotations

import struct
from errno import EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV, EPROTO
from typing import TYPE_CHECKING, NamedTuple

from ...contract import abi
from ..errors import Fail, NotModelled
from .routing import ANY, Device, device, device_of, is_multicast, route_output

if TYPE_CHECKING:
    from ..sock import Sock
    from ..uaccess import UserMemory

IP_UNBLOCK_SOURCE, IP_BLOCK_SOURCE, IP_ADD_SOURCE_MEMBERSHIP, IP_DROP_SOURCE_MEMBERSHIP, IP_MSFILTER = 37, 38, 39, 40, 41
MCAST_JOIN_GROUP, MCAST_BLOCK_SOURCE, MCAST_UNBLOCK_SOURCE, MCAST_LEAVE_GROUP = 42, 43, 44, 45
MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_SOURCE_GROUP, MCAST_MSFILTER = 46, 47, 48
OPTIONS = frozenset((abi.IP_ADD_MEMBERSHIP, abi.IP_DROP_MEMBERSHIP, *range(IP_UNBLOCK_SOURCE, MCAST_MSFILTER + 1)))
_INCLUDE, _EXCLUDE = 1, 0
_MAX_SOURCES = 10
"""`igmp_max_msf`."""
_GROUP_REQ, _GROUP_SOURCE_REQ, _GROUP_FILTER, _IP_FILTER = 136, 264, 144, 16


class Wanted(NamedTuple):
    """`struct ip_mreqn`."""

    group: bytes
    address: bytes = ANY
    ifindex: int = 0


def setsockopt(sk: Sock, name: int, value: int, length: int, memory: UserMemory) -> None:
    """The membership options of `do_ip_setsockopt`."""
    if name in (abi.IP_ADD_MEMBERSHIP, abi.IP_DROP_MEMBERSHIP):
        _membership(sk, name, value, length, memory)
    elif name in (MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP):
        _group(sk, name, value, length, memory)
    elif name == IP_MSFILTER:
        _ip_filter(sk, value, length, memory)
    elif name == MCAST_MSFILTER:
        _group_filter(sk, value, length, memory)
    elif name >= MCAST_JOIN_GROUP:
        _group_source(sk, name, value, length, memory)
    else:
        if length != 12:
            raise Fail(EINVAL, "do_ip_setsockopt: ip_mreq_source")
        group, interface = struct.unpack("<4s4s4x", memory.read(value, 12))
        _source(sk, Wanted(group, interface), name == IP_ADD_SOURCE_MEMBERSHIP)


def getsockopt(sk: Sock, name: int, value: int, length: int, memory: UserMemory) -> None:
    """IP_MSFILTER and MCAST_MSFILTER: without a membership there is no filter to tell."""
    size = memory.read_int(length)
    if name == IP_MSFILTER:
        if size < _IP_FILTER:
            raise Fail(EINVAL, "do_ip_getsockopt: IP_MSFILTER")
        group, interface = struct.unpack("<4s4s8x", memory.read(value, _IP_FILTER))
        _require_multicast(group)
        _require_device(sk, Wanted(group, interface))
    else:
        if size < _GROUP_FILTER:
            raise Fail(EINVAL, "ip_get_mcast_msfilter")
        _require_multicast(_address(memory.read(value, _GROUP_FILTER), 8, EINVAL))
    raise Fail(EADDRNOTAVAIL, "ip_mc_msfget: no membership")


def _membership(sk: Sock, name: int, value: int, length: int, memory: UserMemory) -> None:
    if sk.type == abi.SOCK_STREAM:
        raise Fail(EPROTO, "do_ip_setsockopt: membership of a connection")
    if length < 8:
        raise Fail(EINVAL, "do_ip_setsockopt: ip_mreq")
    if length >= 12:
        wanted = Wanted(*struct.unpack("<4s4si", memory.read(value, 12)))
    else:
        wanted = Wanted(*struct.unpack("<4s4s", memory.read(value, 8)))
    if name == abi.IP_ADD_MEMBERSHIP:
        _join(sk, wanted)
    else:
        _leave(sk, wanted)


def _group(sk: Sock, name: int, value: int, length: int, memory: UserMemory) -> None:
    """`ip_mcast_join_leave`."""
    if length < _GROUP_REQ:
        raise Fail(EINVAL, "ip_mcast_join_leave: group_req")
    raw = memory.read(value, _GROUP_REQ)
    wanted = Wanted(_address(raw, 8, EINVAL), ANY, struct.unpack_from("<i", raw)[0])
    if name == MCAST_JOIN_GROUP:
        _join(sk, wanted)
    else:
        _leave(sk, wanted)


def _group_source(sk: Sock, name: int, value: int, length: int, memory: UserMemory) -> None:
    """`do_mcast_group_source`."""
    if length != _GROUP_SOURCE_REQ:
        raise Fail(EINVAL, "copy_group_source_from_sockptr")
    raw = memory.read(value, _GROUP_SOURCE_REQ)
    group = _address(raw, 8, EADDRNOTAVAIL)
    _address(raw, 136, EADDRNOTAVAIL)
    _source(sk, Wanted(group, ANY, struct.unpack_from("<i", raw)[0]), name == MCAST_JOIN_SOURCE_GROUP)


def _ip_filter(sk: Sock, value: int, length: int, memory: UserMemory) -> None:
    if length < _IP_FILTER:
        raise Fail(EINVAL, "do_ip_setsockopt: ip_msfilter")
    if length > sk.net.sysctl.optmem_max:
        raise Fail(ENOBUFS, "do_ip_setsockopt: ip_msfilter")
    group, interface, mode, count = struct.unpack_from("<4s4sII", memory.read(value, length))
    if count > _MAX_SOURCES:
        raise Fail(ENOBUFS, "do_ip_setsockopt: imsf_numsrc")
    if _IP_FILTER + 4 * count > length:
        raise Fail(EINVAL, "do_ip_setsockopt: IP_MSFILTER_SIZE")
    _filter(sk, Wanted(group, interface), mode, count)


def _group_filter(sk: Sock, value: int, length: int, memory: UserMemory) -> None:
    """`ip_set_mcast_msfilter`."""
    if length < _GROUP_FILTER:
        raise Fail(EINVAL, "ip_set_mcast_msfilter")
    if length > sk.net.sysctl.optmem_max:
        raise Fail(ENOBUFS, "ip_set_mcast_msfilter")
    raw = memory.read(value, length)
    index = struct.unpack_from("<i", raw)[0]
    mode, count = struct.unpack_from("<II", raw, 136)
    if count > _MAX_SOURCES:
        raise Fail(ENOBUFS, "ip_set_mcast_msfilter: gf_numsrc")
    if _GROUP_FILTER + 128 * count > length:
        raise Fail(EINVAL, "ip_set_mcast_msfilter: GROUP_FILTER_SIZE")
    group = _address(raw, 8, EADDRNOTAVAIL)
    for source in range(count):
        _address(raw, _GROUP_FILTER + 128 * source, EADDRNOTAVAIL)
    _filter(sk, Wanted(group, ANY, index), mode, count)


def _address(raw: bytes, at: int, errno: int) -> bytes:
    """The address in a sockaddr_storage, which must be AF_INET's."""
    family = int.from_bytes(raw[at : at + 2], "little")
    if family != abi.AF_INET:
        raise Fail(errno, "multicast option: family")
    return raw[at + 4 : at + 8]


def _find_device(sk: Sock, wanted: Wanted) -> Device | None:
    """`ip_mc_find_dev`: by index, by address, else where the route to the group leads."""
    if wanted.ifindex:
        return device(wanted.ifindex)
    if wanted.address != ANY:
        return device_of(wanted.address)
    try:
        return route_output(sk.net, wanted.group).device
    except Fail:
        return None


def _require_multicast(group: bytes) -> None:
    if not is_multicast(group):
        raise Fail(EINVAL, "ip_mc: not a multicast address")


def _require_device(sk: Sock, wanted: Wanted) -> None:
    if _find_device(sk, wanted) is None:
        raise Fail(ENODEV, "ip_mc_find_dev")


def _join(sk: Sock, wanted: Wanted) -> None:
    """`__ip_mc_join_group`."""
    _require_multicast(wanted.group)
    _require_device(sk, wanted)
    raise NotModelled("multicast group membership")


def _leave(sk: Sock, wanted: Wanted) -> None:
    """`ip_mc_leave_group`."""
    if not wanted.ifindex and wanted.address == ANY:
        _require_device(sk, wanted)
    raise Fail(EADDRNOTAVAIL, "ip_mc_leave_group: no membership")


def _source(sk: Sock, wanted: Wanted, join: bool) -> None:
    """`ip_mc_source`."""
    if join:
        _join(sk, wanted)
    _require_multicast(wanted.group)
    _require_device(sk, wanted)
    raise Fail(EINVAL, "ip_mc_source: no membership")


def _filter(sk: Sock, wanted: Wanted, mode: int, count: int) -> None:
    """`ip_mc_msfilter`."""
    _require_multicast(wanted.group)
    if mode not in (_INCLUDE, _EXCLUDE):
        raise Fail(EINVAL, "ip_mc_msfilter: fmode")
    _require_device(sk, wanted)
    if mode == _INCLUDE and not count:
        raise Fail(EADDRNOTAVAIL, "ip_mc_leave_group: no membership")
    raise Fail(EINVAL, "ip_mc_msfilter: no membership")
