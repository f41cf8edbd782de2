"""Address families (`net_families`): which the stack has, which Linux has beside them, and how big the table is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..contract import abi
from .inet.af_inet import create as inet_create
from .net import Net
from .sock import Socket

AF_MAX = 46
AF_XDP, AF_VSOCK = 44, 40

Create = Callable[[Net, Socket, int, int], None]
"""`create(net, sock, protocol, type)` gives the socket its operations and its protocol part. Raises Fail."""

FAMILIES: Mapping[int, Create] = MappingProxyType({abi.AF_INET: inet_create})

NOT_MODELLED = frozenset((abi.AF_UNIX, abi.AF_INET6, abi.AF_NETLINK, abi.AF_PACKET, AF_VSOCK, AF_XDP))
"""Families that the kernels compared with have registered; any other number is EAFNOSUPPORT there too."""
