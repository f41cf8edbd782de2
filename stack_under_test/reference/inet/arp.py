"""The Address Resolution Protocol (`net/ipv4/arp.c`; RFC 826): questions asked, answered and overheard.

Which addresses are known and for how long is `neighbour.py`'s to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...contract.world import STACK_MAC
from ...wire import arp as wire
from ...wire.ethernet import ARP, IPV4
from . import ethernet
from .route_input import route_input
from .routing import ANY, Kind, address_type, is_multicast

if TYPE_CHECKING:
    from ..net import Net

_HARDWARE = (1, 6)
"""Ethernet and IEEE 802.2 are one."""
_SIZE = 28


def request(net: Net, to: bytes, source: bytes, target: bytes) -> None:
    """Ask `to`, a hardware address, for the one of `target`."""
    _send(net, to, wire.Arp(wire.REQUEST, STACK_MAC, source, bytes(6), target))


def _reply(net: Net, source: bytes, to: bytes, target: bytes) -> None:
    _send(net, to, wire.Arp(wire.REPLY, STACK_MAC, source, to, target))


def _send(net: Net, to: bytes, message: wire.Arp) -> None:
    net.emit(ethernet.frame(to, STACK_MAC, ARP, wire.write(message)))


def receive(net: Net, octets: bytes, to_host: bool) -> None:
    """`arp_rcv`, `arp_process`; `to_host`: it came to this host's hardware address, not to many."""
    message = wire.read(octets)
    if message is None or len(octets) < _SIZE or (message.hlen, message.plen) != (6, 4):
        return
    if message.hardware_type not in _HARDWARE or message.protocol_type != IPV4:
        return
    if message.operation not in (wire.REQUEST, wire.REPLY):
        return
    source, target = message.sender_ip, message.target_ip
    if is_multicast(target) or target[0] == 127:
        return
    asks = message.operation == wire.REQUEST
    if source == ANY:
        # Duplicate address detection (RFC 5227, 1.1): answered without learning anything.
        if asks and address_type(target) is Kind.LOCAL:
            _reply(net, target, message.sender_mac, source)
        return
    assert net.neighbours is not None
    if asks and route_input(net, source, target) is Kind.LOCAL:
        net.neighbours.learn(source, message.sender_mac)
        _reply(net, target, message.sender_mac, source)
        return
    _update(net, message, to_host)


def _update(net: Net, message: wire.Arp, to_host: bool) -> None:
    """What others say is believed of neighbours that are known already; only an answer to this host proves one reachable."""
    assert net.neighbours is not None
    entry = net.neighbours.lookup(message.sender_ip)
    if entry is None:
        return
    override = not net.neighbours.locked(entry) or _is_gratuitous(message)
    net.neighbours.update(entry, message.sender_mac, override, reachable=message.operation == wire.REPLY and to_host)


def _is_gratuitous(message: wire.Arp) -> bool:
    """`arp_is_garp` (RFC 5227, 3)."""
    if message.target_ip != message.sender_ip:
        return False
    if message.operation == wire.REPLY and message.target_mac != message.sender_mac:
        return False
    return address_type(message.sender_ip) is Kind.UNICAST
