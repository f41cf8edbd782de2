"""What becomes of what the link brings (`eth_type_trans`, `__netif_receive_skb`).

On a TUN that is an IP packet.  On a TAP it is a frame: one for another host is dropped, though both protocols on top would
see it first; IEEE 802.3 frames, and protocols other than these two, find nobody here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...contract.world import STACK_MAC
from ...wire import ethernet
from ..errors import NotModelled
from . import arp
from . import input as ip

if TYPE_CHECKING:
    from ..net import Net

_GROUP = 1
"""The bit of a hardware address's first octet that says it is many's."""


def receive(net: Net, octets: bytes) -> None:
    """What arrives on the link, and whatever follows from it inside this host. Raises NotModelled for IPv6 in a frame."""
    if net.neighbours is None:
        ip.receive(net, octets)
        return
    frame = ethernet.read(octets)
    if frame is None:
        return
    to_host = not frame.dst[0] & _GROUP
    if to_host and frame.dst != STACK_MAC:
        return
    if frame.ethertype == ethernet.IPV4:
        ip.receive(net, frame.payload, len(octets) + net.release.ip_align, to_host)
    elif frame.ethertype == ethernet.ARP:
        arp.receive(net, frame.payload, to_host)
        ip.drain(net)
    elif frame.ethertype == ethernet.IPV6:
        raise NotModelled("IPv6")
