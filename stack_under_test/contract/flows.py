"""Turns symbolic frames into octets, by watching what the stack sends.

A flow is (peer address, peer port, stack address, stack port).  The initial sequence number is taken from the stack's
latest SYN on the flow; `nxt` is the highest sequence number sent since, in sequence-space order.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from stack_under_test.wire import arp, ethernet, icmp, icmpv6, ipv4, ipv6, tcp, tcp_options, udp

from .frames import (
    PEER_ISN,
    AnyFrame,
    ArpFrame,
    Body,
    Datagram,
    Frame,
    IcmpMessage,
    Ip,
    RawFrame,
    Seq,
    TcpOption,
    TcpSegment,
    UdpDatagram,
)
from .memory import Resolve
from .values import Port
from .world import PEER_IP, PEER_IP6, STACK_IP, STACK_IP6, STACK_MAC

Key = tuple[bytes, int, bytes, int]
_MASK = 0xFFFF_FFFF


class Flow(NamedTuple):
    """What the stack has shown of its own numbers on a flow."""

    iss: int
    nxt: int
    ts: int


_UNKNOWN = Flow(0, 0, 0)


class Flows:
    """The flows of one program's run."""

    def __init__(self) -> None:
        self._flows: dict[Key, Flow] = {}

    def get(self, key: Key) -> Flow | None:
        return self._flows.get(key)

    def saw(self, octets: bytes) -> None:
        """Note an IP packet that the stack sent; anything but a whole IPv4 or IPv6 TCP segment is passed over."""
        header = _tcp_at(octets)
        if header is None:
            return
        source, destination, at, end = header
        sport, dport, seq, _, offset, flags = struct.unpack_from("!HHIIBB", octets, at)
        key = (destination, dport, source, sport)
        length = max(0, end - at - (offset >> 4) * 4) + (flags & tcp.SYN and 1) + (flags & tcp.FIN and 1)
        if flags & tcp.RST:
            return
        old = self._flows.get(key)
        sent = (seq + length) & _MASK
        ts = _timestamp(octets[at + 20 : at + (offset >> 4) * 4])
        if flags & tcp.SYN or old is None:
            iss = seq if flags & tcp.SYN else 0
            self._flows[key] = Flow(iss, sent, ts if ts is not None else 0)
            return
        nxt = sent if (sent - old.nxt) & _MASK < 1 << 31 else old.nxt
        self._flows[key] = Flow(old.iss, nxt, old.ts if ts is None else ts)

    def octets(self, frame: AnyFrame, resolve: Resolve) -> bytes:
        """The packet to put on the link now."""
        if isinstance(frame, RawFrame):
            return frame.octets
        if isinstance(frame, ArpFrame):
            return _arp(frame)
        return _Writer(self, resolve, reverse=False).frame(frame)

    def number(self, key: Key, value: Seq) -> int:
        """The 32-bit number a symbol stands for on a flow."""
        if isinstance(value, int):
            return value & _MASK
        if value.base == "peer":
            return (PEER_ISN + value.offset) & _MASK
        flow = self._flows.get(key, _UNKNOWN)
        base = flow.iss if value.base == "iss" else flow.nxt if value.base == "nxt" else flow.ts
        return (base + value.offset) & _MASK


class _Writer:
    """`reverse`: the frame is one the stack sent (quoted in an ICMP error), so addresses and flow are the other way."""

    def __init__(self, flows: Flows, resolve: Resolve, reverse: bool) -> None:
        self.flows = flows
        self.resolve = resolve
        self.reverse = reverse

    def frame(self, frame: Frame) -> bytes:
        ip = frame.ip
        six = len(ip.src or ip.dst or b"") == 16 or (ip.version == 6 and ip.src is None and ip.dst is None)
        ends = (PEER_IP6, STACK_IP6) if six else (PEER_IP, STACK_IP)
        src, dst = reversed(ends) if self.reverse else ends
        src, dst = ip.src or src, ip.dst or dst
        protocol, payload = self.body(frame.body, src, dst)
        if ip.protocol is not None:
            protocol = ip.protocol
        return _ipv6(ip, src, dst, protocol, payload) if six else _ipv4(ip, src, dst, protocol, payload)

    def body(self, body: Body, src: bytes, dst: bytes) -> tuple[int, bytes]:
        if isinstance(body, TcpSegment):
            return 6, self.segment(body, src, dst)
        if isinstance(body, UdpDatagram):
            header = udp.Udp(self.port(body.sport), self.port(body.dport), body.payload, body.length, body.checksum)
            return 17, udp.write(header, src, dst)
        if isinstance(body, IcmpMessage):
            inner = body.body
            payload = inner if isinstance(inner, bytes) else _Writer(self.flows, self.resolve, not self.reverse).frame(inner)
            if len(src) == 16:
                return 58, icmpv6.write(icmpv6.Icmpv6(body.type, body.code, body.rest, payload, body.checksum), src, dst)
            return 1, icmp.write(icmp.Icmp(body.type, body.code, body.rest, payload, body.checksum))
        assert isinstance(body, Datagram)
        return 255, body.payload

    def segment(self, segment: TcpSegment, src: bytes, dst: bytes) -> bytes:
        sport, dport = self.port(segment.sport), self.port(segment.dport)
        key = (dst, dport, src, sport) if self.reverse else (src, sport, dst, dport)
        options = tuple(self.option(option, key) for option in segment.options)
        header = tcp.Tcp(
            sport,
            dport,
            self.flows.number(key, segment.seq),
            self.flows.number(key, segment.ack),
            segment.flags,
            segment.window,
            options,
            segment.payload,
            segment.urgent,
            segment.data_offset,
            segment.reserved,
            segment.checksum,
        )
        return tcp.write(header, src, dst)

    def option(self, option: TcpOption, key: Key) -> tcp_options.Option:
        numbers = [self.flows.number(key, value) for value in option.values if not isinstance(value, bytes)]
        octets = [value for value in option.values if isinstance(value, bytes)]
        match option.name:
            case "mss":
                return tcp_options.Mss(numbers[0] & 0xFFFF)
            case "wscale":
                return tcp_options.WindowScale(numbers[0] & 0xFF)
            case "sackOK":
                return tcp_options.SackPermitted()
            case "sack":
                return tcp_options.Sack(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
            case "TS":
                return tcp_options.Timestamps(numbers[0], numbers[1])
            case "nop":
                return tcp_options.Nop()
            case "eol":
                return tcp_options.EndOfList()
            case "fo":
                return tcp_options.FastOpen(octets[0])
            case "md5":
                return tcp_options.Md5(octets[0])
            case "raw":
                return tcp_options.Other(numbers[0] & 0xFF, octets[0])
        raise ValueError(f"unknown TCP option {option.name!r}")

    def port(self, port: Port) -> int:
        return (port if isinstance(port, int) else self.resolve(port)) & 0xFFFF


def _arp(frame: ArpFrame) -> bytes:
    if (len(frame.sender_ip), len(frame.target_ip), len(frame.target_mac)) != (4, 4, 6):
        raise ValueError("ARP's addresses are 4 octets, hardware addresses 6")
    everybody = frame.dst is None and frame.operation == arp.REQUEST
    dst = ethernet.BROADCAST if everybody else frame.dst or STACK_MAC
    message = arp.Arp(frame.operation, frame.sender_mac, frame.sender_ip, frame.target_mac, frame.target_ip)
    return ethernet.write(ethernet.Ethernet(dst, frame.sender_mac, ethernet.ARP, arp.write(message)))


def _ipv4(ip: Ip, src: bytes, dst: bytes, protocol: int, payload: bytes) -> bytes:
    header = ipv4.Ipv4(
        src,
        dst,
        protocol,
        payload,
        ttl=ip.ttl,
        tos=ip.tos,
        ident=ip.ident,
        dont_fragment=ip.dont_fragment,
        more_fragments=ip.more_fragments,
        fragment_offset=ip.fragment_offset,
        options=ip.options,
        version=4 if ip.version is None else ip.version,
        ihl=ip.ihl,
        total_length=ip.total_length,
        checksum=ip.checksum,
    )
    return ipv4.write(header)


def _ipv6(ip: Ip, src: bytes, dst: bytes, protocol: int, payload: bytes) -> bytes:
    header = ipv6.Ipv6(
        src,
        dst,
        protocol,
        payload,
        hop_limit=ip.ttl,
        traffic_class=ip.tos,
        payload_length=ip.total_length,
        version=6 if ip.version is None else ip.version,
    )
    return ipv6.write(header)


def _tcp_at(octets: bytes) -> tuple[bytes, bytes, int, int] | None:
    """(source, destination, offset of the TCP header, end of the packet) of an unfragmented packet, else None."""
    if len(octets) >= 40 and octets[0] >> 4 == 4 and octets[9] == 6 and not (octets[6] & 0x3F or octets[7]):
        return octets[12:16], octets[16:20], (octets[0] & 15) * 4, len(octets)
    if len(octets) >= 60 and octets[0] >> 4 == 6 and octets[6] == 6:
        return octets[8:24], octets[24:40], 40, len(octets)
    return None


def _timestamp(options: bytes) -> int | None:
    """TSval, found by walking the options (RFC 7323, 3.2)."""
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == 0:
            return None
        if kind == 1:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2:
            return None
        if kind == 8 and at + 10 <= len(options):
            return int.from_bytes(options[at + 2 : at + 6], "big")
        at += options[at + 1]
    return None
