"""IP input: what the link brings, and what this host sent to itself, checked and handed to a transport (`ip_input.c`).

`receive` takes a packet from the link; `drain` takes what looped back, until nothing does.  A packet that is malformed,
comes from an impossible source or is for somebody else is dropped in silence, as a host must (RFC 1122, 3.2.1); only bad
options, reassembly that timed out, and a protocol nobody takes are answered.

A packet that looped back carries the route it was sent with in Linux, so its addresses are not judged again.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from . import icmp_send
from .header_options import Malformed, compile_received
from .packet import Packet
from .route_input import route_input
from .routing import LO, TUN, Kind

if TYPE_CHECKING:
    from ..net import Net

_unpack = Struct("!BBHHHBBH4s4s").unpack_from
MSEC = 1_000_000


def receive(net: Net, octets: bytes, frame: int = 0, to_host: bool = True) -> None:
    """`ip_rcv`: a packet from the link, and whatever follows from it inside this host.

    `frame` and `to_host` are as in `Packet`, where it came in a frame.
    """
    packet = _checked(net, octets, frame)
    if packet is not None:
        packet.to_host = to_host
        kind = route_input(net, packet.source, packet.destination, packet.protocol)
        if kind is not None:
            packet.kind = kind
            _finish(net, packet)
    if net.backlog:
        drain(net)


def drain(net: Net) -> None:
    """Receive what looped back, and what that sends to this host in turn, until there is nothing."""
    while net.backlog or _release(net):
        arrive(net)


def arrive(net: Net) -> None:
    """Receive what looped back; what is for a socket whose lock a call holds waits there."""
    backlog = net.backlog
    while backlog:
        octets, route, origin = backlog.popleft()
        packet = _checked(net, octets)
        if packet is not None and route.local:
            packet.looped = True
            packet.origin = origin
            packet.device = LO if route.iif == LO.index else TUN
            packet.kind = route.kind if route.kind in (Kind.BROADCAST, Kind.MULTICAST) else Kind.LOCAL
            _finish(net, packet)


def _release(net: Net) -> bool:
    """What waited for the lock of the call that sent: False, and the lock is free, when nothing did."""
    if net.lock is not None and net.lock.release():
        return True
    net.lock = None
    return False


def _checked(net: Net, octets: bytes, frame: int = 0) -> Packet | None:
    """`ip_rcv_core`: version, lengths and checksum (RFC 1122, 3.2.1.1 and 3.2.1.2); None when the packet is dropped."""
    size = len(octets)
    if size < 20:
        return None
    first, tos, total, _, _, ttl, protocol, _, source, destination = _unpack(octets)
    if first != 0x45:
        if first >> 4 != 4 or first & 15 < 5 or size < (first & 15) * 4:
            return None
        offset = (first & 15) * 4
    else:
        offset = 20
    if int.from_bytes(octets[:offset], "big") % 0xFFFF or size < total or total < offset:
        return None
    if size == total and not frame:
        return Packet(octets, offset, source, destination, protocol, tos, ttl, TUN, Kind.LOCAL)
    packet = Packet(octets[:total], offset, source, destination, protocol, tos, ttl, TUN, Kind.LOCAL)
    packet.frame = frame
    packet.truesize = net.buffers.link(size, frame)
    return packet


def _finish(net: Net, packet: Packet) -> None:
    """`ip_rcv_finish`, `ip_local_deliver`: options even of packets for others, then reassembly and the transport."""
    if packet.offset > 20 and not _options(net, packet):
        return
    if packet.kind is Kind.UNICAST:
        return
    octets = packet.octets
    if octets[6] & 0x3F or octets[7]:
        whole = net.fragments.add(packet)
        if whole is None:
            return
        packet = whole
    transport = net.protocols.get(packet.protocol)
    if transport is None:
        icmp_send.send(net, packet, 3, 2)
        return
    transport.receive(net, packet)


def _options(net: Net, packet: Packet) -> bool:
    """`ip_rcv_options`: False drops the packet. Source-routed ones are not taken (RFC 1122, 3.3.5; accept_source_route 0)."""
    own = spec_destination(packet)
    try:
        options = compile_received(packet.octets[20 : packet.offset], own, net.now // MSEC)
    except Malformed as malformed:
        packet.options = malformed.options
        _write_back(packet)
        icmp_send.send(net, packet, 12, 0, malformed.pointer << 24)
        return False
    packet.options = options
    _write_back(packet)
    return not options.srr


def _write_back(packet: Packet) -> None:
    """Records are entered in the datagram itself; the header's checksum is left as it came."""
    assert packet.options is not None
    packet.octets = packet.octets[:20] + packet.options.data + packet.octets[packet.offset :]


def spec_destination(packet: Packet) -> bytes:
    """`fib_compute_spec_dst`: the address of ours that an answer comes from."""
    if packet.kind is Kind.LOCAL:
        return packet.destination
    return packet.device.address
