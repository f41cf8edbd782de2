"""A namespace's AF_INET tables, and the transports that are in them (`inet_init`).

Protocols that this kernel takes but that stay silent here: IGMP and PIM, since there are no groups and no routers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...contract import abi
from . import icmp, udp_lite, udp_receive
from .af_inet import InetDgram
from .defrag import Fragments
from .neighbour import Neighbours
from .ports import PortTable
from .protocols import Protosw, Transport, register
from .udp import UdpProto, UdpSock
from .udp_table import UdpTable

if TYPE_CHECKING:
    from ..net import Net

IPPROTO_PIM = 103


def setup(net: Net, ethernet: bool = False) -> None:
    """Make the tables and register UDP and ICMP; TCP registers itself (`protocols.register`)."""
    net.udp_ports = UdpTable(net)
    net.tcp_ports = PortTable(net)
    net.fragments = Fragments(net)
    net.neighbours = Neighbours(net) if ethernet else None
    net.protocols[abi.IPPROTO_ICMP] = Transport(icmp.receive)
    net.protocols[abi.IPPROTO_IGMP] = Transport(icmp.ignore)
    net.protocols[IPPROTO_PIM] = Transport(icmp.ignore)
    net.protocols[abi.IPPROTO_UDPLITE] = Transport(udp_lite.receive)
    row = Protosw(abi.SOCK_DGRAM, abi.IPPROTO_UDP, UdpProto(), InetDgram(), UdpSock)
    register(net, row, Transport(udp_receive.receive, udp_receive.receive_icmp))
