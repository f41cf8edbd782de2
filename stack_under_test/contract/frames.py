"""Frames a program injects, with symbolic numbers.

A frame is fields (most often) or raw octets (anything scapy or a capture file gave).  Numbers that depend on what the
stack chose are symbols: `Rel("iss", 1)` is one past the initial sequence number the stack used on this flow.
`flows.py` turns a frame into octets at the moment it is injected.

A field that is None is computed: addresses default to the peer's and the stack's, lengths and checksums to correct ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from .values import Port

PEER_ISN = 0xFFFF_FF00
"""The peer's initial sequence number, the base of `peer`: close to the wrap, so that ordinary programs cross it."""


@dataclass(frozen=True, slots=True)
class Rel:
    """A 32-bit number relative to a base of the flow, modulo 2**32.

    peer  PEER_ISN, the peer's own initial sequence number
    iss   the stack's initial sequence number on this flow (0 before it sent a SYN)
    nxt   one past the highest sequence number the stack has sent on this flow
    ts    the latest timestamp value the stack has sent on this flow
    """

    base: str
    offset: int = 0


BASES = ("peer", "iss", "nxt", "ts")
Seq = int | Rel


@dataclass(frozen=True, slots=True)
class TcpOption:
    """A TCP option by its packetdrill name and its values.

    mss (value), wscale (shift), sackOK (), sack (left, right, left, right, ...), TS (val, ecr), nop (), eol (),
    fo (cookie octets), md5 (digest octets), raw (kind, octets after the length octet).
    """

    name: str
    values: tuple[Seq | bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Ip:
    """The IP header, version by the length of the addresses (4 when both are None)."""

    src: bytes | None = None
    dst: bytes | None = None
    ttl: int = 64
    tos: int = 0
    ident: int = 0
    dont_fragment: bool = True
    more_fragments: bool = False
    fragment_offset: int = 0
    options: bytes = b""
    protocol: int | None = None
    version: int | None = None
    ihl: int | None = None
    total_length: int | None = None
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class TcpSegment:
    """A TCP segment; `flags` are the low octet's bits (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128)."""

    sport: Port
    dport: Port
    flags: int = 0
    seq: Seq = 0
    ack: Seq = 0
    window: int = 65535
    options: tuple[TcpOption, ...] = ()
    payload: bytes = b""
    urgent: int = 0
    reserved: int = 0
    data_offset: int | None = None
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class UdpDatagram:
    sport: Port
    dport: Port
    payload: bytes = b""
    length: int | None = None
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class IcmpMessage:
    """ICMP (or ICMPv6 when the addresses are IPv6). `body` may quote a frame *as the stack sent it*: `rest` is octets 4-7."""

    type: int
    code: int = 0
    rest: bytes = b"\0\0\0\0"
    body: bytes | Frame = b""
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class Datagram:
    """Any other upper-layer octets; the protocol stands in the IP header."""

    payload: bytes = b""


Body = TcpSegment | UdpDatagram | IcmpMessage | Datagram


@dataclass(frozen=True, slots=True)
class Frame:
    """An IP packet by fields."""

    body: Body
    ip: Ip = Ip()


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A packet (tun) or an Ethernet frame (tap) by octets, sent as they are."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class ArpFrame:
    """An ARP message (RFC 826) in an Ethernet frame from its sender; hardware addresses are 6 octets, the others 4.

    `operation` is 1 for a request, 2 for a reply.  `dst` is where the frame goes: None is everybody for a request, the stack
    for anything else.  On a TUN it is no packet.
    """

    operation: int
    sender_ip: bytes
    sender_mac: bytes
    target_ip: bytes
    target_mac: bytes = bytes(6)
    dst: bytes | None = None


LinkFrame = RawFrame | ArpFrame
"""What is put on the link as it is."""
AnyFrame = Frame | LinkFrame
