"""Packets that a stack sent, made comparable: octets -> small tuples that hold no number the stack drew by lot.

Two packets are alike exactly when their tuples are equal; the names of the tuples' fields name what differs.  Which
fields are not literal, and why, stands in `rules.py`.  Text is made on demand only, in the language of programs.

A reader follows one side of one program: it knows the flows and the ports that have appeared so far.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from stack_under_test.contract.frames import PEER_ISN
from stack_under_test.contract.world import PEER_MAC, STACK_MAC
from stack_under_test.wire import arp, ethernet, ipv4, ipv6, tcp, tcp_options
from stack_under_test.wire.checksum import verifies

from .facts import Facts
from .quotes import Quote, read_quote
from .rules import ICMP_TIMES, OWN_MULTICAST, TIMESTAMP_TOLERANCE_MS, zeroed

Number = int | str
"""A number relative to its base, or text for one that is not."""

_MASK = 0xFFFF_FFFF
_NEAR = 1 << 20
_ERRORS = frozenset({3, 4, 5, 11, 12})
_ERRORS6 = frozenset({1, 2, 3, 4})
_unpack_fast = struct.Struct("!BBHHHBBH4s4sHHIIBBHHH").unpack_from
_ports = struct.Struct("!HH").unpack_from


class Segment(NamedTuple):
    """A TCP segment: `seq` from the stack's initial number, `ack` from the peer's; `faults`: what is plainly wrong."""

    kind: str
    src: bytes
    dst: bytes
    sport: Number
    dport: Number
    flags: int
    seq: Number
    ack: Number
    window: int
    urgent: int
    options: tuple[Any, ...]
    payload: bytes
    ttl: int
    tos: int
    fragment: int
    ip_options: bytes
    faults: tuple[str, ...]


class Datagram(NamedTuple):
    """A UDP datagram."""

    kind: str
    src: bytes
    dst: bytes
    sport: Number
    dport: Number
    payload: bytes
    ttl: int
    tos: int
    fragment: int
    ip_options: bytes
    faults: tuple[str, ...]


class Message(NamedTuple):
    """An ICMP or ICMPv6 message; `rest` is octets 4 to 7."""

    kind: str
    src: bytes
    dst: bytes
    type: int
    code: int
    rest: bytes | str
    body: bytes | Quote
    ttl: int
    tos: int
    fragment: int
    ip_options: bytes
    faults: tuple[str, ...]


class Other(NamedTuple):
    """Another protocol, or a fragment of any: the payload by octets. `fragment` is the IPv4 flags-and-offset field."""

    kind: str
    src: bytes
    dst: bytes
    protocol: int
    sport: Number
    dport: Number
    payload: bytes
    ttl: int
    tos: int
    fragment: int
    ip_options: bytes
    faults: tuple[str, ...]


class Unreadable(NamedTuple):
    """No IP packet."""

    kind: str
    octets: bytes


class Ethernet(NamedTuple):
    """A frame on a tap link, around a packet."""

    kind: str
    dst_mac: str
    src_mac: str
    ethertype: int
    packet: Packet


class ArpMessage(NamedTuple):
    """An ARP message on a tap link."""

    kind: str
    operation: int
    sender_mac: str
    sender_ip: bytes
    target_mac: str
    target_ip: bytes
    form: tuple[int, ...]


class Timestamps(NamedTuple):
    """The timestamps option; `value` is ``ok``, ``zero`` or ``implausible``."""

    value: str
    echo: Number


Packet = Segment | Datagram | Message | Other | Unreadable | Ethernet | ArpMessage


class Header(NamedTuple):
    """What is compared of an IP header: `fragment` is IPv4's flags and offset, `options` are IPv6's extensions too."""

    src: bytes
    dst: bytes
    ttl: int
    tos: int
    fragment: int
    options: bytes


class Window(NamedTuple):
    """The time in which a packet left, nanoseconds."""

    earliest: int
    latest: int


class _Flow:
    __slots__ = ("isns", "iss", "ts", "ts_window")

    def __init__(self) -> None:
        self.iss = 0
        self.isns: list[int] = []
        self.ts: int | None = None
        self.ts_window = Window(0, 0)


class Reader:
    """Reads the packets of one trace, in order."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.tap = facts.program.world.link == "tap"
        self._flows: dict[tuple[bytes, int, bytes, int], _Flow] = {}
        self._symbols: dict[tuple[str, object], str] = {}

    def read(self, octets: bytes, window: Window) -> Packet | None:
        """The packet, or None when a rule drops it."""
        return self._ethernet(octets, window) if self.tap else self._ip(octets, window)

    def port(self, protocol: str, number: int) -> Number:
        """A port, symbolic when the stack chose it (rule ephemeral-port)."""
        if self.facts.low <= number <= self.facts.high and number not in self.facts.ports:
            return self._symbol("eph", protocol, number)
        return number

    def iss(self, key: tuple[bytes, int, bytes, int]) -> int:
        """The stack's initial number on a flow (peer address, peer port, stack address, stack port)."""
        flow = self._flows.get(key)
        return flow.iss if flow else 0

    def _symbol(self, kind: str, space: str, value: object) -> str:
        key = (kind + space, value)
        symbol = self._symbols.get(key)
        if symbol is None:
            count = sum(1 for name, _ in self._symbols if name == key[0])
            symbol = self._symbols[key] = f"{kind}#{count}"
        return symbol

    def _ip(self, octets: bytes, window: Window) -> Packet | None:
        version = octets[0] >> 4 if octets else 0
        if version == 4 and len(octets) >= 20:
            if len(octets) >= 40 and octets[0] == 0x45 and octets[9] == 6:
                fields = _unpack_fast(octets)
                if fields[2] == len(octets) and not fields[4] & 0x3FFF:
                    return self._segment(octets, fields, window)
            return self._ipv4(octets, window)
        if version == 6 and len(octets) >= 40:
            return self._ipv6(octets, window)
        return Unreadable("unreadable", octets)

    def _segment(self, octets: bytes, fields: tuple[Any, ...], window: Window) -> Segment:
        """A TCP segment right behind an IPv4 header of 20 octets: nearly every packet, so no detour."""
        src, dst, sport, dport, seq, ack, offset, flags, win, _, urgent = fields[8:]
        faults: tuple[str, ...] = ()
        if not verifies(octets[:20]):
            faults = ("IP checksum",)
        if not verifies(octets[20:], int.from_bytes(octets[12:20], "big") + 6 + len(octets) - 20):
            faults = (*faults, "checksum")
        if offset >> 4 < 5 or (offset >> 4) * 4 > len(octets) - 20:
            faults = (*faults, "data offset")
        end = 20 + max(offset >> 4, 5) * 4
        flags |= (offset & 1) << 8
        if offset & 0x0E:
            faults = (*faults, "reserved bits")
        header = Header(src, dst, fields[5], fields[1], fields[4], b"")
        numbers = (sport, dport, seq, ack, flags, win, urgent)
        return self._tcp(header, numbers, (octets[40:end], octets[end:]), faults, window)

    def _tcp(
        self,
        ip: Header,
        numbers: tuple[int, ...],
        body: tuple[bytes, bytes],
        faults: tuple[str, ...],
        window: Window,
    ) -> Segment:
        """`numbers`: ports, seq, ack, flags, window, urgent; `body`: options and payload."""
        sport, dport, seq, ack, flags, win, urgent = numbers
        options, payload = body
        key = (ip.dst, dport, ip.src, sport)
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = _Flow()
        relative: Number
        if flags & tcp.SYN:
            if seq not in flow.isns:
                flow.isns.append(seq)
                flow.ts = None
            flow.iss = seq
            relative = f"isn#{flow.isns.index(seq)}"
        elif flags & tcp.RST and seq in self.facts.acks:
            relative = f"={seq}"
        else:
            relative = (seq - flow.iss) & _MASK
        return Segment(
            "tcp",
            ip.src,
            ip.dst,
            sport if sport < self.facts.low else self.port("tcp", sport),
            dport if dport < self.facts.low else self.port("tcp", dport),
            flags,
            relative,
            self._peer_number(ack, flow) if flags & tcp.ACK or ack else 0,
            win,
            urgent,
            self._options(options, flow, window) if options else (),
            payload,
            ip.ttl,
            ip.tos,
            ip.fragment,
            ip.options,
            faults,
        )

    def _peer_number(self, number: int, flow: _Flow) -> Number:
        relative = (number - PEER_ISN) & _MASK
        if self.facts.crossed and _NEAR <= relative <= _MASK - _NEAR and (number - flow.iss + _NEAR) & _MASK < 2 * _NEAR:
            return f"iss{_signed(number - flow.iss):+d}"
        return relative

    def _options(self, octets: bytes, flow: _Flow, window: Window) -> tuple[Any, ...]:
        options: tuple[Any, ...] = tcp_options.read(octets)
        for place, option in enumerate(options):
            if option.kind == 8 and isinstance(option, tcp_options.Timestamps):
                echo: Number = option.echo
                if self.facts.timestamps_relative and echo not in self.facts.timestamps:
                    echo = "stack"
                return (
                    *options[:place],
                    Timestamps(_plausible(option.value, flow, window), echo),
                    *options[place + 1 :],
                )
            if option.kind == 5 and isinstance(option, tcp_options.Sack):
                edges = [tuple(self._peer_number(edge, flow) for edge in block) for block in option.blocks]
                options = (*options[:place], ("sack", *edges), *options[place + 1 :])
        return options

    def _ipv4(self, octets: bytes, window: Window) -> Packet:
        packet = ipv4.read(octets)
        assert packet is not None
        faults = [] if ipv4.checksum_ok(octets) else ["IP checksum"]
        if packet.ihl is None or packet.ihl < 5 or packet.total_length != len(octets):
            faults.append("IP length")
        fragment = packet.fragment_offset | packet.more_fragments << 13 | packet.dont_fragment << 14
        fragment |= packet.reserved_flag << 15
        header = Header(packet.src, packet.dst, packet.ttl, packet.tos, fragment, packet.options)
        return self._upper(header, packet.protocol, packet.payload, faults, window)

    def _ipv6(self, octets: bytes, window: Window) -> Packet | None:
        packet = ipv6.read(octets)
        assert packet is not None
        upper = ipv6.upper_layer(packet)
        faults = [] if packet.payload_length == len(packet.payload) and not packet.trailer else ["IP length"]
        if upper.protocol == 58 and upper.payload:
            kind = upper.payload[0]
            if kind in OWN_MULTICAST or (kind == 135 and not any(packet.src)):
                return None
        extensions = octets[40 : 40 + len(packet.payload) - len(upper.payload)]
        fragment = 0
        for extension in upper.extensions:
            if isinstance(extension, ipv6.Fragment):
                fragment = extension.offset | extension.more << 13
        header = Header(packet.src, packet.dst, packet.hop_limit, packet.traffic_class, fragment, extensions)
        return self._upper(header, upper.protocol, upper.payload, faults, window)

    def _upper(self, ip: Header, protocol: int, payload: bytes, faults: list[str], window: Window) -> Packet:
        src, dst, ttl, tos, fragment, options = ip
        if protocol == 6 and not fragment & 0x1FFF and (segment := tcp.read(payload)):
            # Of a first fragment the checksum is not known, but the numbers are the stack's all the same.
            if not fragment & 0x2000 and not tcp.checksum_ok(payload, src, dst):
                faults.append("checksum")
            numbers = (*segment[:6], segment.urgent)
            options_end = max(payload[12] >> 4, 5) * 4
            return self._tcp(ip, numbers, (payload[20:options_end], segment.payload), tuple(faults), window)
        if not fragment & 0x3FFF:
            if protocol == 17 and len(payload) >= 8:
                return self._datagram(ip, payload, faults)
            if protocol == (58 if len(src) == 16 else 1) and len(payload) >= 8:
                return self._message(ip, payload, faults)
        sport: Number = 0
        dport: Number = 0
        if protocol == 17 and not fragment & 0x1FFF and len(payload) >= 8:
            ports = _ports(payload)
            sport, dport = self.port("udp", ports[0]), self.port("udp", ports[1])
            payload = payload[4:6] + payload[8:]
        return Other("ip", src, dst, protocol, sport, dport, payload, ttl, tos, fragment, options, tuple(faults))

    def _datagram(self, ip: Header, payload: bytes, faults: list[str]) -> Datagram:
        src, dst, ttl, tos, fragment, options = ip
        ports = _ports(payload)
        if payload[6:8] == b"\0\0":
            faults.append("no checksum")
        elif not verifies(payload, int.from_bytes(src + dst, "big") + 17 + len(payload)):
            faults.append("checksum")
        if int.from_bytes(payload[4:6], "big") != len(payload):
            faults.append("length")
        sport, dport = self.port("udp", ports[0]), self.port("udp", ports[1])
        return Datagram("udp", src, dst, sport, dport, payload[8:], ttl, tos, fragment, options, tuple(faults))

    def _message(self, ip: Header, payload: bytes, faults: list[str]) -> Message:
        src, dst, ttl, tos, fragment, options = ip
        six = len(src) == 16
        initial = int.from_bytes(src + dst, "big") + 58 + len(payload) if six else 0
        if not verifies(payload, initial):
            faults.append("checksum")
        kind, code = payload[0], payload[1]
        rest: bytes | str = payload[4:8]
        body: bytes | Quote = payload[8:]
        if kind in (_ERRORS6 if six else _ERRORS):
            body = read_quote(payload[8:], self.facts, self.port, self.iss)
        elif kind == 14 and not six:
            body = zeroed(payload[8:], ICMP_TIMES)
        elif kind == (128 if six else 8):
            ident = int.from_bytes(payload[4:6], "big")
            if ident not in self.facts.idents:
                rest = f"id {self._symbol('ping', '', ident)} seq {int.from_bytes(payload[6:8], 'big')}"
        name = "icmp6" if six else "icmp"
        return Message(name, src, dst, kind, code, rest, body, ttl, tos, fragment, options, tuple(faults))

    def _ethernet(self, octets: bytes, window: Window) -> Packet | None:
        frame = ethernet.read(octets)
        if frame is None:
            return Unreadable("unreadable", octets)
        message = arp.read(frame.payload) if frame.ethertype == ethernet.ARP else None
        inner: Packet | None
        if message is not None:
            form = (message.hardware_type, message.protocol_type, message.hlen, message.plen, len(message.trailer))
            inner = ArpMessage(
                "arp", message.operation, self._mac(message.sender_mac), message.sender_ip,
                self._mac(message.target_mac), message.target_ip, form,
            )  # fmt: skip
        elif frame.ethertype in (ethernet.IPV4, ethernet.IPV6):
            inner = self._ip(frame.payload, window)
        else:
            inner = Unreadable("unreadable", frame.payload)
        if inner is None:
            return None
        return Ethernet("ethernet", self._mac(frame.dst), self._mac(frame.src), frame.ethertype, inner)

    def _mac(self, address: bytes) -> str:
        if address == STACK_MAC:
            return "stack"
        if address == PEER_MAC:
            return "peer"
        if len(address) != 6 or address[0] & 1 or not any(address) or address in self.facts.macs:
            return address.hex(":")
        return self._symbol("mac", "", address)


def _plausible(value: int, flow: _Flow, window: Window) -> str:
    """Whether a TSval fits the time since the flow's first one (rule timestamp)."""
    if flow.ts is None:
        flow.ts, flow.ts_window = value, window
        return "ok"
    passed = _signed(value - flow.ts)
    least = (window.earliest - flow.ts_window.latest) // 1_000_000 - TIMESTAMP_TOLERANCE_MS
    most = (window.latest - flow.ts_window.earliest) // 1_000_000 + TIMESTAMP_TOLERANCE_MS
    if least <= passed <= most:
        return "ok"
    return "implausible" if value else "zero"


def _signed(number: int) -> int:
    number &= _MASK
    return number - (1 << 32) if number >> 31 else number
