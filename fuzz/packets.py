"""Packets that belong to no TCP connection: UDP, ICMP, fragments, segments from nowhere, octets and scapy's crafts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fuzz.arguments import BROADCAST, ELSEWHERE, EVERYONE, GROUP, HEADER_OPTIONS, LOCALHOST
from fuzz.chooser import Weights
from fuzz.model import Draft, Endpoint
from fuzz.segments import damage, icmp_error
from stack_under_test.contract.frames import (
    PEER_ISN,
    Body,
    Datagram,
    Frame,
    IcmpMessage,
    Ip,
    RawFrame,
    TcpOption,
    TcpSegment,
    UdpDatagram,
)
from stack_under_test.contract.values import Port
from stack_under_test.contract.world import PEER_IP, STACK_IP
from stack_under_test.wire import icmp, udp

Move = Callable[[Draft], None]
PAYLOADS = Weights((8, 5), (3, 0), (3, 100), (2, 1), (2, 1472), (1, 9))
_PORTS = (9, 8080, 7, 0, 65535, 40001)
_DESTINATIONS = (STACK_IP, STACK_IP, STACK_IP, BROADCAST, EVERYONE, GROUP, LOCALHOST, ELSEWHERE)


def _port(draft: Draft) -> Port:
    """A port of this program's sockets, else one that is closed."""
    ports = [endpoint.port for endpoint in draft.endpoints if endpoint.port]
    return draft.choose.choice(ports) if ports and draft.choose.chance(50) else draft.choose.choice(_PORTS)


def datagram(draft: Draft, endpoint: Endpoint, source: int = 40001) -> None:
    """A datagram for a socket; `unread` counts datagrams."""
    size = draft.choose.weighted(PAYLOADS)
    draft.inject(Frame(UdpDatagram(source, endpoint.port or 0, draft.octets(endpoint.fd, size).lower())))
    endpoint.unread += 1
    draft.woken(endpoint)


def stray_datagram(draft: Draft) -> None:
    """UDP to an open or closed port, whole or damaged, to this host or to all."""
    choose = draft.choose
    length = choose.choice((0, 7, 8, 12, 1000)) if choose.chance(15) else None
    body = UdpDatagram(choose.choice((40001, 0, 53)), _port(draft), bytes(choose.weighted(PAYLOADS)), length)
    frame = Frame(body, Ip(dst=choose.choice(_DESTINATIONS)) if choose.chance(30) else Ip())
    draft.inject(damage(draft, frame) if choose.chance(15) else frame)


def stray_segment(draft: Draft) -> None:
    """A segment no connection waits for: RST in answer, or silence (RFC 9293, 3.10.7.1)."""
    choose = draft.choose
    flags = choose.choice((0x02, 0x10, 0x04, 0x14, 0x12, 0x01, 0x11, 0, 0x18, 0x29))
    payload = b"stray" if choose.chance(30) else b""
    frame = Frame(
        TcpSegment(40001, _port(draft), flags, PEER_ISN, choose.choice((0, 1, 0xFFFF_FFFF)), 1000, (), payload),
        Ip(dst=choose.choice(_DESTINATIONS)) if choose.chance(15) else Ip(),
    )
    draft.inject(damage(draft, frame) if choose.chance(15) else frame)


def ping(draft: Draft) -> None:
    """ICMP requests, sound and unsound."""
    choose = draft.choose
    kind = choose.choice((8, 8, 8, 8, 13, 17, 0, 15, 10, 42))
    body = b"ping" * choose.choice((1, 0, 25, 360))
    if kind == 13:
        body = bytes(choose.choice((12, 11, 0)))
    checksum = choose.choice((0, 1)) if choose.chance(15) else None
    ip = Ip()
    if choose.chance(30):
        ip = Ip(dst=choose.choice(_DESTINATIONS), tos=choose.choice((0, 16, 3)), ttl=choose.choice((64, 1, 0)))
    elif choose.chance(10):
        ip = Ip(options=choose.choice(HEADER_OPTIONS))
    draft.inject(Frame(IcmpMessage(kind, choose.choice((0, 0, 0, 5)), b"\x12\x34\0\x01", body, checksum), ip))


def stray_error(draft: Draft) -> None:
    """An ICMP error about something this stack never sent, or sent from one of its ports."""
    port = _port(draft)
    bodies: tuple[Body, ...] = (UdpDatagram(port, 40001, b""), TcpSegment(port, 40001, 2, 1), Datagram(b"short"))
    draft.inject(icmp_error(draft, Frame(draft.choose.choice(bodies))))


def fragments(draft: Draft) -> None:
    """A ping or a datagram in fragments: in order, reversed, overlapping, one missing (RFC 791, RFC 5722)."""
    choose = draft.choose
    size = choose.choice((64, 200, 1600))
    if choose.chance(50):
        protocol, octets = 1, icmp.write(icmp.Icmp(8, 0, b"\x12\x35\0\x02", _blocks(size)))
    else:
        port = _port(draft)
        number = port if isinstance(port, int) else 9
        protocol, octets = 17, udp.write(udp.Udp(40001, number, _blocks(size)), PEER_IP, STACK_IP)
    cut = choose.choice((8, 32, 24)) if size < 1600 else 1400
    ident = choose.integer(1, 200)
    parts = [
        Frame(Datagram(octets[:cut]), Ip(protocol=protocol, ident=ident, dont_fragment=False, more_fragments=True)),
        Frame(Datagram(octets[cut:]), Ip(protocol=protocol, ident=ident, dont_fragment=False, fragment_offset=cut // 8)),
    ]
    match choose.integer(0, 6):
        case 0:
            parts.reverse()
        case 1:
            parts[1] = Frame(Datagram(octets[cut - 8 :]), replace(parts[1].ip, fragment_offset=cut // 8 - 1))
        case 2:
            parts.insert(1, parts[0])
        case 3:
            parts.pop(choose.integer(0, 1))
        case 4:
            parts[0] = Frame(Datagram(octets[: cut - 3]), parts[0].ip)
        case _:
            pass
    for part in parts:
        draft.inject(part)


def _blocks(size: int) -> bytes:
    """Runs of letters, so that a fragment out of place shows and the text stays short."""
    run = max(16, size // 10)
    return b"".join([bytes((65 + at // run,)) * min(run, size - at) for at in range(0, size, run)])


_PROTOCOLS = Weights((8, 132), (8, 47), (8, 255), (8, 41), (8, 136), (1, 2))


def other_protocol(draft: Draft) -> None:
    """An upper protocol nobody listens for: protocol unreachable."""
    protocol = draft.choose.weighted(_PROTOCOLS)
    draft.inject(Frame(Datagram(bytes(draft.choose.choice((8, 0, 28, 100)))), Ip(protocol=protocol)))


def noise_octets(draft: Draft) -> None:
    """Octets that are hardly a packet."""
    choose = draft.choose
    head = bytes.fromhex(choose.choice(("45", "45000014", "4f00003c", "46000018", "4500ffff", "44000014")))
    rest = bytes([choose.integer(0, 255) for _ in range(choose.choice((0, 4, 16, 36)))])
    draft.inject(RawFrame(head + rest))


def crafted(draft: Draft) -> None:
    """Crafted by scapy, as people do; it is loaded when the first is asked for."""
    from fuzz import scapy_packets  # noqa: PLC0415

    port = _port(draft)
    draft.inject(RawFrame(scapy_packets.craft(draft.choose, port if isinstance(port, int) else 9)))


def two_syns(draft: Draft) -> None:
    """A SYN for a closed port, with every option there is."""
    options = (TcpOption("mss", (1460,)), TcpOption("sackOK"), TcpOption("nop"), TcpOption("wscale", (7,)))
    draft.inject(Frame(TcpSegment(40003, _port(draft), 2, PEER_ISN, 0, 65535, options)))


INPUT: Weights[Move] = Weights(
    (6, ping),
    (6, stray_segment),
    (6, stray_datagram),
    (3, fragments),
    (2, stray_error),
    (2, two_syns),
    (2, other_protocol),
    (1, noise_octets),
)
"""What arrives at a host that no program asked for."""
