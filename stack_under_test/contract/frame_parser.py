"""Frames: text -> the values of `frames.py`; the inverse of `frame_printer.py`, whose field names it shares.

After the ends (or, for ``icmp`` and ``ip``, the addresses) the parts come in any order, each at most once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stack_under_test.wire.addresses import parse_mac
from stack_under_test.wire.tcp import parse_flags

from .frame_printer import ARP_OPERATIONS, ICMP_FIELDS, IP_FIELDS, STATIONS, TCP_FIELDS, UDP_FIELDS
from .frames import (
    AnyFrame,
    ArpFrame,
    Datagram,
    Frame,
    IcmpMessage,
    Ip,
    RawFrame,
    Rel,
    Seq,
    TcpOption,
    TcpSegment,
    UdpDatagram,
)
from .lexer import Scanner
from .value_parser import MAX_DEPTH, ValueReader, read_address
from .values import Port

_FLAGS = re.compile(r"[FSRP.UEWA]+(?![\w])|-(?![\w])")
_RELATIVE = re.compile(r"(peer|iss|nxt|ts)(?!\w)(?:\s*([+-][0-9]{1,4000}))?(?!\w)")
_ADDRESSES = re.compile(r"[*]|[0-9]+\.|[0-9a-fA-F]*:")
_MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![\w:])")
_NOTHING: Mapping[str, str] = {}


class FrameReader:
    """Reads one frame; ports come from `values`, which knows the labels."""

    def __init__(self, scanner: Scanner, values: ValueReader) -> None:
        self.scanner = scanner
        self.values = values
        self.depth = 0

    def frame(self) -> AnyFrame:
        """What stands after ``<``: ``tcp``, ``udp``, ``icmp``, ``ip``, ``arp`` or ``raw``."""
        if self.scanner.word("raw"):
            return RawFrame(self.scanner.string())
        if self.scanner.word("arp"):
            return self._arp()
        return self.packet()

    def packet(self) -> Frame:
        """A frame by fields."""
        match self.scanner.word("tcp", "udp", "icmp", "ip"):
            case "tcp":
                return self._tcp()
            case "udp":
                return self._udp()
            case "icmp":
                return self._icmp()
            case "ip":
                return self._ip()
        return self.scanner.fail("tcp, udp, icmp, ip, arp or raw")

    def _tcp(self) -> Frame:
        ip, sport, dport = self._ends()
        flags = self._flags()
        parts = _Parts(self.scanner)
        while True:
            if parts.takes("seq"):
                parts.body["seq"] = self.sequence()
            elif parts.takes("ack"):
                parts.body["ack"] = self.sequence()
            elif parts.takes("win"):
                parts.body["window"] = self.scanner.number()
            elif parts.takes("urg"):
                parts.body["urgent"] = self.scanner.number()
            elif parts.takes_sign("<", "options"):
                parts.body["options"] = self._options()
            elif parts.takes_string():
                parts.body["payload"] = self.scanner.string()
            elif not parts.takes_braces(TCP_FIELDS):
                break
        return Frame(TcpSegment(sport, dport, flags, **parts.body), Ip(**ip, **parts.ip))

    def _udp(self) -> Frame:
        ip, sport, dport = self._ends()
        parts = _Parts(self.scanner)
        while True:
            if parts.takes_string():
                parts.body["payload"] = self.scanner.string()
            elif not parts.takes_braces(UDP_FIELDS):
                break
        return Frame(UdpDatagram(sport, dport, **parts.body), Ip(**ip, **parts.ip))

    def _icmp(self) -> Frame:
        ip = self._addresses()
        kind = self.scanner.number("the ICMP type")
        code = self.scanner.number("the ICMP code")
        parts = _Parts(self.scanner)
        while True:
            if parts.takes("rest") or parts.takes("mtu", "rest"):
                parts.body["rest"] = self._octets(4)
            elif parts.takes("id", "rest"):
                ident = self._octets(2)
                self.scanner.expect("seq")
                parts.body["rest"] = ident + self._octets(2)
            elif parts.takes("quoting", "payload"):
                parts.body["body"] = self._quoted()
            elif parts.takes_string():
                parts.body["body"] = self.scanner.string()
            elif not parts.takes_braces(ICMP_FIELDS):
                break
        return Frame(IcmpMessage(kind, code, **parts.body), Ip(**ip, **parts.ip))

    def _quoted(self) -> Frame:
        self.scanner.expect("(")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.scanner.refuse(f"frames quote frames {MAX_DEPTH} deep at most")
        frame = self.packet()
        self.depth -= 1
        self.scanner.expect(")")
        return frame

    def _ip(self) -> Frame:
        ip = self._addresses()
        parts = _Parts(self.scanner)
        while True:
            if parts.takes_string():
                parts.body["payload"] = self.scanner.string()
            elif not parts.takes_braces(_NOTHING):
                break
        return Frame(Datagram(**parts.body), Ip(**ip, **parts.ip))

    def _arp(self) -> ArpFrame:
        """``reply 192.0.2.9 (02:00:00:00:bb:09) > 192.0.2.1 (stack) {to stack}``; the last two may be left out."""
        scanner = self.scanner
        operation = scanner.word(*ARP_OPERATIONS)
        number = ARP_OPERATIONS[operation] if operation else scanner.number("request, reply or a number")
        sender_ip, sender_mac = self._ipv4(), self._station_in_parentheses()
        scanner.expect(">", '">" and the address asked about')
        target_ip = self._ipv4()
        target_mac = self._station_in_parentheses() if scanner.sees("(") else bytes(6)
        to = None
        if scanner.accept("{"):
            scanner.expect("to")
            to = self._station()
            scanner.expect("}")
        return ArpFrame(number, sender_ip, sender_mac, target_ip, target_mac, to)

    def _ipv4(self) -> bytes:
        start = self.scanner.at
        address = read_address(self.scanner)
        if address is None or len(address) != 4:
            self.scanner.at = start
            self.scanner.fail("an IPv4 address")
        return address

    def _station_in_parentheses(self) -> bytes:
        self.scanner.expect("(", "a hardware address in parentheses")
        station = self._station()
        self.scanner.expect(")")
        return station

    def _station(self) -> bytes:
        name = self.scanner.word(*STATIONS)
        if name is not None:
            return STATIONS[name]
        found = self.scanner.match(_MAC)
        return parse_mac(found[0]) if found else self.scanner.fail("stack, peer or a hardware address")

    def _octets(self, size: int) -> bytes:
        self.scanner.skip()
        start = self.scanner.at
        number = self.scanner.number()
        if number < 0 or number >> size * 8:
            self.scanner.refuse(f"{number} does not fit in {size * 8} bits", start)
        return number.to_bytes(size, "big")

    def _ends(self) -> tuple[dict[str, Any], Port, Port]:
        ip: dict[str, Any] = {}
        sport = self._end(ip, "src")
        self.scanner.expect(">", '">" and the destination port')
        return ip, sport, self._end(ip, "dst")

    def _end(self, ip: dict[str, Any], name: str) -> Port:
        """``8080``, ``192.0.2.1:8080`` or ``[2001:db8::1]:8080``."""
        scanner = self.scanner
        if scanner.accept("["):
            address = read_address(scanner)
            if address is None:
                scanner.fail("an IPv6 address")
            scanner.expect("]")
        else:
            scanner.skip()
            address = read_address(scanner) if _IPV4_END.match(scanner.text, scanner.at) else None
        if address is not None:
            ip[name] = address
            scanner.expect(":", '":" and the port')
        return self.values.port()

    def _addresses(self) -> dict[str, Any]:
        """``192.0.2.9 > 192.0.2.1``, where ``*`` leaves the default; or nothing."""
        scanner = self.scanner
        scanner.skip()
        ip: dict[str, Any] = {}
        if not _ADDRESSES.match(scanner.text, scanner.at):
            return ip
        for name in ("src", "dst"):
            if name == "dst":
                scanner.expect(">", '">" and the destination address')
            if not scanner.accept("*"):
                address = read_address(scanner)
                if address is None:
                    scanner.fail("an address or *")
                ip[name] = address
        return ip

    def _flags(self) -> int:
        if self.scanner.word("flags"):
            self.scanner.expect("=")
            return self.scanner.number()
        found = self.scanner.match(_FLAGS)
        if not found:
            self.scanner.fail('TCP flags, such as S, P. or "-"')
        return parse_flags(found[0])

    def sequence(self) -> Seq:
        """``peer+1`` or a number."""
        found = self.scanner.match(_RELATIVE)
        return Rel(found[1], int(found[2] or 0)) if found else self.scanner.number("a number, or peer, iss, nxt or ts")

    def _options(self) -> tuple[TcpOption, ...]:
        options: list[TcpOption] = []
        while not self.scanner.accept(">"):
            if options:
                self.scanner.expect(",", '"," or ">"')
            options.append(self._option())
        return tuple(options)

    def _option(self) -> TcpOption:
        scanner = self.scanner
        name = scanner.word("mss", "wscale", "sackOK", "sack", "TS", "nop", "eol", "fo", "md5", "raw")
        match name:
            case None:
                scanner.fail("a TCP option: mss, wscale, sackOK, sack, TS, nop, eol, fo, md5 or raw")
            case "sackOK" | "nop" | "eol":
                return TcpOption(name)
            case "fo" | "md5":
                return TcpOption(name, (scanner.string(),))
            case "raw":
                return TcpOption(name, (self.sequence(), scanner.string()))
            case "TS":
                scanner.expect("val")
                value = self.sequence()
                scanner.expect("ecr")
                return TcpOption(name, (value, self.sequence()))
            case "sack":
                edges: list[Seq | bytes] = []
                while not (scanner.sees(",") or scanner.sees(">")):
                    edges.append(self.sequence())
                    scanner.expect(":")
                    edges.append(self.sequence())
                return TcpOption(name, tuple(edges))
        return TcpOption(name, (self.sequence(),))


class _Parts:
    """The parts of a frame seen so far: keyword arguments for the body and for the IP header."""

    def __init__(self, scanner: Scanner) -> None:
        self.scanner = scanner
        self.body: dict[str, Any] = {}
        self.ip: dict[str, Any] = {}
        self.seen: set[str] = set()

    def takes(self, word: str, part: str = "") -> bool:
        start = self.scanner.at
        return self.scanner.word(word) is not None and self._once(part or word, start)

    def takes_sign(self, sign: str, part: str) -> bool:
        start = self.scanner.at
        return self.scanner.accept(sign) and self._once(part, start)

    def takes_string(self) -> bool:
        start = self.scanner.at
        return self.scanner.sees('"') and self._once("payload", start)

    def _once(self, part: str, start: int) -> bool:
        if part in self.seen:
            self.scanner.refuse(f"{part} stands twice", start)
        self.seen.add(part)
        return True

    def takes_braces(self, fields: Mapping[str, str]) -> bool:
        """``{ttl 3, nodf, csum 0xbeef}``: the IP header's fields and the body's own."""
        scanner = self.scanner
        if not self.takes_sign("{", "{}"):
            return False
        while not scanner.accept("}"):
            if len(self.seen & _BRACED):
                scanner.expect(",", '"," or "}"')
            start = scanner.at
            name = scanner.word("nodf", "mf", "ipopts", *IP_FIELDS, *fields)
            if name is None:
                scanner.fail(f"a field: {', '.join([*fields, *IP_FIELDS, 'nodf', 'mf', 'ipopts'])}")
            self._once(name, start)
            if name == "nodf":
                self.ip["dont_fragment"] = False
            elif name == "mf":
                self.ip["more_fragments"] = True
            elif name == "ipopts":
                self.ip["options"] = scanner.string()
            elif name in IP_FIELDS:
                self.ip[IP_FIELDS[name]] = scanner.number()
            else:
                self.body[fields[name]] = scanner.number()
        return True


_IPV4_END = re.compile(r"[0-9]+\.")
_BRACED = frozenset({*IP_FIELDS, *TCP_FIELDS, *UDP_FIELDS, *ICMP_FIELDS, "nodf", "mf", "ipopts"})
