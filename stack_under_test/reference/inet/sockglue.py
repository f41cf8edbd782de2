"""setsockopt at level SOL_IP (`do_ip_setsockopt`); other levels end here with ENOPROTOOPT.

Most options take an int or, shorter, a single octet; no octets at all mean 0 unless the option says otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from errno import EADDRNOTAVAIL, EINVAL, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ...contract import abi
from ..errors import Fail, NotModelled
from . import control, errqueue, multicast
from .routing import ANY, device, device_of

if TYPE_CHECKING:
    from ..sock import Sock
    from ..uaccess import UserMemory

MROUTE = range(200, 213)
"""`ip_mroute_opt`: multicast routing, for raw IGMP sockets alone."""
NETFILTER = frozenset((64, 65, 66, 67, 80, 83, 96, 97, 98, 99))
"""Options of iptables, connection tracking, sets and arptables."""
IP_RECVORIGDSTADDR = abi.IP_ORIGDSTADDR
_XFRM_POLICY = 168
_PRIORITIES = (0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4)
"""`ip_tos2prio`."""

CMSG_FLAGS: Mapping[int, int] = MappingProxyType(
    {
        abi.IP_PKTINFO: control.PKTINFO,
        abi.IP_RECVTTL: control.TTL,
        abi.IP_RECVTOS: control.TOS,
        abi.IP_RECVOPTS: control.RECVOPTS,
        abi.IP_RETOPTS: control.RETOPTS,
        abi.IP_PASSSEC: control.PASSSEC,
        IP_RECVORIGDSTADDR: control.ORIGDSTADDR,
        abi.IP_CHECKSUM: control.CHECKSUM,
        abi.IP_RECVFRAGSIZE: control.RECVFRAGSIZE,
    }
)
"""Options that are a bit of `Sock.cmsg_flags`."""


class Given(NamedTuple):
    """An option's value: the number read from it, and where and how long it is."""

    sk: Sock
    value: int
    address: int
    length: int
    memory: UserMemory

    def require(self, minimum: int, rule: str) -> None:
        if self.length < minimum:
            raise Fail(EINVAL, f"do_ip_setsockopt: {rule} length")

    def within(self, low: int, high: int, rule: str) -> int:
        if not low <= self.value <= high:
            raise Fail(EINVAL, f"do_ip_setsockopt: {rule} range")
        return self.value


def ip_setsockopt(sk: Sock, level: int, name: int, value: int, length: int, memory: UserMemory) -> None:
    """`ip_setsockopt`. Raises Fail(ENOPROTOOPT) for another level or an unknown option."""
    if level != abi.SOL_IP:
        raise Fail(ENOPROTOOPT, "ip_setsockopt: level")
    if name in multicast.OPTIONS:
        multicast.setsockopt(sk, name, value, length, memory)
        return
    if name in MROUTE:
        raise Fail(EOPNOTSUPP, "ip_mroute_setsockopt: not a raw IGMP socket")
    if name in NETFILTER:
        raise NotModelled(f"netfilter socket option {name}")
    setter = _SETTERS.get(name)
    if setter is None:
        raise Fail(ENOPROTOOPT, "do_ip_setsockopt")
    number = 0
    if name not in _WITHOUT_NUMBER:
        if length >= 4:
            number = memory.read_int(value)
        elif length >= 1:
            number = memory.read(value, 1)[0]
    setter(name, Given(sk, number, value, length, memory))


def _cmsg_flag(name: int, given: Given) -> None:
    sk, bit = given.sk, CMSG_FLAGS[name]
    if name == abi.IP_RECVFRAGSIZE and sk.type == abi.SOCK_STREAM:
        raise Fail(EINVAL, "do_ip_setsockopt: IP_RECVFRAGSIZE")
    sk.cmsg_flags = sk.cmsg_flags | bit if given.value else sk.cmsg_flags & ~bit


def _recverr(name: int, given: Given) -> None:
    given.sk.recverr = given.value != 0
    if not given.value:
        errqueue.purge(given.sk)


def _recverr_rfc4884(name: int, given: Given) -> None:
    given.sk.recverr_rfc4884 = given.within(0, 1, "IP_RECVERR_RFC4884") != 0


def _freebind(name: int, given: Given) -> None:
    given.require(1, "IP_FREEBIND")
    given.sk.freebind = given.value != 0


def _raw_only(name: int, given: Given) -> None:
    raise Fail(ENOPROTOOPT, "do_ip_setsockopt: not a raw socket")


def _router_alert(name: int, given: Given) -> None:
    raise Fail(EINVAL, "ip_ra_control: not a raw socket")


def _multicast_loop(name: int, given: Given) -> None:
    given.require(1, "IP_MULTICAST_LOOP")
    given.sk.mc_loop = given.value != 0


def _multicast_all(name: int, given: Given) -> None:
    given.require(1, "IP_MULTICAST_ALL")
    given.sk.mc_all = given.within(0, 1, "IP_MULTICAST_ALL") != 0


def _transparent(name: int, given: Given) -> None:
    given.require(1, "IP_TRANSPARENT")
    given.sk.transparent = given.value != 0


def _bind_address_no_port(name: int, given: Given) -> None:
    given.sk.bind_address_no_port = given.value != 0


def _ttl(name: int, given: Given) -> None:
    given.require(1, "IP_TTL")
    given.sk.uc_ttl = -1 if given.value == -1 else given.within(1, 255, "IP_TTL")


def _min_ttl(name: int, given: Given) -> None:
    given.require(1, "IP_MINTTL")
    given.sk.min_ttl = given.within(0, 255, "IP_MINTTL")


def _multicast_ttl(name: int, given: Given) -> None:
    if given.sk.type == abi.SOCK_STREAM:
        raise Fail(EINVAL, "do_ip_setsockopt: IP_MULTICAST_TTL of a connection")
    given.require(1, "IP_MULTICAST_TTL")
    given.sk.mc_ttl = 1 if given.value == -1 else given.within(0, 255, "IP_MULTICAST_TTL")


def _mtu_discover(name: int, given: Given) -> None:
    given.sk.pmtudisc = given.within(abi.IP_PMTUDISC_DONT, abi.IP_PMTUDISC_OMIT, "IP_MTU_DISCOVER")


def _tos(name: int, given: Given) -> None:
    """`__ip_sock_set_tos`: a connection's ECN bits are its own (RFC 3168); the priority follows."""
    sk, value = given.sk, given.value
    if sk.type == abi.SOCK_STREAM:
        value = value & ~3 | sk.tos & 3
    if value != sk.tos:
        sk.tos = value & 0xFF
        sk.priority = _PRIORITIES[(value & 0x1E) >> 1]
        sk.route = None


def _local_port_range(name: int, given: Given) -> None:
    low, high = given.value & 0xFFFF, given.value >> 16 & 0xFFFF
    if given.length != 4 or (low and high and low > high):
        raise Fail(EINVAL, "do_ip_setsockopt: IP_LOCAL_PORT_RANGE")
    given.sk.local_port_range = (low, high)


def _options(name: int, given: Given) -> None:
    """IP_OPTIONS: what goes into every header from now on."""
    if given.length > 40:
        raise Fail(EINVAL, "do_ip_setsockopt: IP_OPTIONS length")
    given.sk.header_options = control.user_options(given.memory.read(given.address, given.length))
    given.sk.proto.options_changed(given.sk)


def _unicast_if(name: int, given: Given) -> None:
    sk = given.sk
    if given.length != 4:
        raise Fail(EINVAL, "do_ip_setsockopt: IP_UNICAST_IF length")
    index = int.from_bytes(struct.pack("<i", given.value), "big", signed=True)
    if index:
        if device(index) is None:
            raise Fail(EADDRNOTAVAIL, "do_ip_setsockopt: IP_UNICAST_IF")
        if sk.bound_dev_if:
            raise Fail(EINVAL, "do_ip_setsockopt: IP_UNICAST_IF of a bound socket")
    sk.uc_index = index


def _multicast_if(name: int, given: Given) -> None:
    sk = given.sk
    if sk.type == abi.SOCK_STREAM:
        raise Fail(EINVAL, "do_ip_setsockopt: IP_MULTICAST_IF of a connection")
    given.require(4, "IP_MULTICAST_IF")
    address, index = ANY, 0
    if given.length >= 12:
        address, index = struct.unpack("<4x4si", given.memory.read(given.address, 12))
    elif given.length >= 8:
        address = given.memory.read(given.address, 8)[4:]
    else:
        address = given.memory.read(given.address, 4)
    if not index and address == ANY:
        sk.mc_index, sk.mc_addr = 0, ANY
        return
    found = device(index) if index else device_of(address)
    if found is None:
        raise Fail(EADDRNOTAVAIL, "do_ip_setsockopt: IP_MULTICAST_IF")
    if sk.bound_dev_if not in (0, found.index):
        raise Fail(EINVAL, "do_ip_setsockopt: IP_MULTICAST_IF of a bound socket")
    sk.mc_index, sk.mc_addr = found.index, address


def _policy(name: int, given: Given) -> None:
    """`xfrm_user_policy`."""
    if not given.address and not given.length:
        return
    if not 0 < given.length <= 4096:
        raise Fail(EMSGSIZE, "xfrm_user_policy: optlen")
    given.memory.read(given.address, given.length)
    if name == abi.IP_IPSEC_POLICY:
        raise Fail(EOPNOTSUPP, "xfrm_compile_policy")
    if given.length < _XFRM_POLICY:
        raise Fail(EINVAL, "xfrm_compile_policy: length")
    raise NotModelled("IPsec policies")


Setter = Callable[[int, Given], None]
_WITHOUT_NUMBER = frozenset((abi.IP_OPTIONS, abi.IP_MULTICAST_IF, abi.IP_IPSEC_POLICY, abi.IP_XFRM_POLICY))
_SETTERS: Mapping[int, Setter] = MappingProxyType(
    {
        **dict.fromkeys(CMSG_FLAGS, _cmsg_flag),
        abi.IP_TOS: _tos,
        abi.IP_TTL: _ttl,
        abi.IP_HDRINCL: _raw_only,
        abi.IP_OPTIONS: _options,
        abi.IP_ROUTER_ALERT: _router_alert,
        abi.IP_MTU_DISCOVER: _mtu_discover,
        abi.IP_RECVERR: _recverr,
        abi.IP_FREEBIND: _freebind,
        abi.IP_IPSEC_POLICY: _policy,
        abi.IP_XFRM_POLICY: _policy,
        abi.IP_TRANSPARENT: _transparent,
        abi.IP_MINTTL: _min_ttl,
        abi.IP_NODEFRAG: _raw_only,
        abi.IP_BIND_ADDRESS_NO_PORT: _bind_address_no_port,
        abi.IP_RECVERR_RFC4884: _recverr_rfc4884,
        abi.IP_MULTICAST_IF: _multicast_if,
        abi.IP_MULTICAST_TTL: _multicast_ttl,
        abi.IP_MULTICAST_LOOP: _multicast_loop,
        abi.IP_MULTICAST_ALL: _multicast_all,
        abi.IP_UNICAST_IF: _unicast_if,
        abi.IP_LOCAL_PORT_RANGE: _local_port_range,
    }
)
