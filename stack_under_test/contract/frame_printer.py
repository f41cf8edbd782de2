"""A frame as text, close to packetdrill's: ``tcp 1234 > 8080 P. seq peer+1 ack nxt+0 "hello" {ttl 3}``.

What a frame leaves to be computed, or has at its default, is not written.  In braces stand the fields of the IP header
and the lengths and checksums; each has one name (`IP_FIELDS`, `TCP_FIELDS`, `UDP_FIELDS`), which the parser shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from stack_under_test.wire.addresses import format_ip, format_mac
from stack_under_test.wire.tcp import ACK, format_flags

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
from .lexer import quote
from .values import Port
from .world import PEER_MAC, STACK_MAC

PortText = Callable[[Port], str]

IP_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "ttl": "ttl",
        "tos": "tos",
        "id": "ident",
        "frag": "fragment_offset",
        "proto": "protocol",
        "version": "version",
        "ihl": "ihl",
        "len": "total_length",
        "ipcsum": "checksum",
    }
)
"""Text name -> attribute of `Ip`, for numbers. Beside them: ``nodf``, ``mf``, ``ipopts "octets"``."""

TCP_FIELDS: Mapping[str, str] = MappingProxyType({"csum": "checksum", "doff": "data_offset", "reserved": "reserved"})
UDP_FIELDS: Mapping[str, str] = MappingProxyType({"csum": "checksum", "ulen": "length"})
ICMP_FIELDS: Mapping[str, str] = MappingProxyType({"csum": "checksum"})

ARP_OPERATIONS: Mapping[str, int] = MappingProxyType({"request": 1, "reply": 2})
STATIONS: Mapping[str, bytes] = MappingProxyType({"stack": STACK_MAC, "peer": PEER_MAC})
"""Hardware addresses by name."""

ECHO_TYPES = frozenset({0, 8, 128, 129})
_NO_REST = bytes(4)
_DEFAULT_IP = Ip()


def frame_text(frame: AnyFrame, port: PortText) -> str:
    """`port` writes a port. Raises ValueError for a shape that has no text: see `check.py`."""
    if isinstance(frame, RawFrame):
        return f"raw {quote(frame.octets)}"
    if isinstance(frame, ArpFrame):
        return _arp(frame)
    body, ip = frame.body, frame.ip
    match body:
        case TcpSegment():
            words = ["tcp", *_ends(ip, port(body.sport), port(body.dport)), *_segment(body)]
            fields = _numbers(body, TCP_FIELDS, TcpSegment(0, 0))
        case UdpDatagram():
            words = ["udp", *_ends(ip, port(body.sport), port(body.dport))]
            words += [quote(body.payload)] if body.payload else []
            fields = _numbers(body, UDP_FIELDS, UdpDatagram(0, 0))
        case IcmpMessage():
            words = ["icmp", *_addresses(ip), *_icmp(body, port)]
            fields = _numbers(body, ICMP_FIELDS, IcmpMessage(0))
        case Datagram():
            braces = [f"{{{', '.join(_ip(ip))}}}"] if ip != Ip(ip.src, ip.dst) else []
            return " ".join(["ip", *_addresses(ip), *braces, quote(body.payload)])
    fields = _ip(ip) + fields
    return " ".join(words + ([f"{{{', '.join(fields)}}}"] if fields else []))


def seq_text(value: Seq) -> str:
    """``peer+1`` or a plain number."""
    return f"{value.base}{value.offset:+d}" if isinstance(value, Rel) else str(value)


def flags_text(flags: int) -> str:
    """``S.`` as packetdrill writes it; ``flags=`` and a number for what has bits no letter stands for."""
    return format_flags(flags) if 0 <= flags <= 0x1FF else f"flags={flags}"


def option_text(option: TcpOption) -> str:
    """A TCP option. Raises ValueError when the values are not those of its name."""
    texts = [quote(value) if isinstance(value, bytes) else seq_text(value) for value in option.values]
    match option.name, len(texts):
        case (("mss" | "wscale" | "fo" | "md5"), 1):
            return f"{option.name} {texts[0]}"
        case (("sackOK" | "nop" | "eol"), 0):
            return option.name
        case "TS", 2:
            return f"TS val {texts[0]} ecr {texts[1]}"
        case "raw", 2:
            return f"raw {texts[0]} {texts[1]}"
        case "sack", count if count % 2 == 0:
            blocks = [f"{left}:{right}" for left, right in zip(texts[::2], texts[1::2], strict=True)]
            return " ".join(["sack", *blocks])
    raise ValueError(f"TCP option {option.name!r} with {len(texts)} values")


def operation_text(operation: int) -> str:
    """What an ARP message is: `request`, `reply`, or its number."""
    return next((name for name, number in ARP_OPERATIONS.items() if number == operation), str(operation))


def _arp(frame: ArpFrame) -> str:
    words = ["arp", operation_text(frame.operation), f"{format_ip(frame.sender_ip)} ({_station(frame.sender_mac)})"]
    words += [">", format_ip(frame.target_ip)]
    if any(frame.target_mac):
        words.append(f"({_station(frame.target_mac)})")
    return " ".join(words + ([f"{{to {_station(frame.dst)}}}"] if frame.dst is not None else []))


def _station(mac: bytes) -> str:
    return next((name for name, address in STATIONS.items() if address == mac), format_mac(mac))


def _segment(segment: TcpSegment) -> list[str]:
    words = [flags_text(segment.flags), f"seq {seq_text(segment.seq)}"]
    if segment.flags & ACK or segment.ack != 0:
        words.append(f"ack {seq_text(segment.ack)}")
    if segment.window != 65535:
        words.append(f"win {segment.window}")
    if segment.urgent:
        words.append(f"urg {segment.urgent}")
    if segment.options:
        words.append(f"<{', '.join(map(option_text, segment.options))}>")
    return words + ([quote(segment.payload)] if segment.payload else [])


def _icmp(message: IcmpMessage, port: PortText) -> list[str]:
    words = [str(message.type), str(message.code)]
    rest = message.rest
    if rest != _NO_REST:
        words.append(_rest(message))
    if isinstance(message.body, Frame):
        words.append(f"quoting ({frame_text(message.body, port)})")
    elif message.body:
        words.append(quote(message.body))
    return words


def _rest(message: IcmpMessage) -> str:
    rest = message.rest
    if len(rest) != 4:
        raise ValueError(f"IcmpMessage.rest: {len(rest)} octets where exactly 4 stand")
    if message.type in ECHO_TYPES:
        return f"id {int.from_bytes(rest[:2], 'big')} seq {int.from_bytes(rest[2:], 'big')}"
    if (message.type, message.code) == (3, 4) and rest[:2] == b"\0\0":
        return f"mtu {int.from_bytes(rest, 'big')}"
    return f"rest 0x{rest.hex()}"


def _ends(ip: Ip, sport: str, dport: str) -> list[str]:
    return [_end(ip.src, sport), ">", _end(ip.dst, dport)]


def _end(address: bytes | None, port: str) -> str:
    if address is None:
        return port
    text = format_ip(address)
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"


def _addresses(ip: Ip) -> list[str]:
    if ip.src is None and ip.dst is None:
        return []
    return ["*" if ip.src is None else format_ip(ip.src), ">", "*" if ip.dst is None else format_ip(ip.dst)]


def _ip(ip: Ip) -> list[str]:
    fields = _numbers(ip, IP_FIELDS, _DEFAULT_IP)
    if not ip.dont_fragment:
        fields.append("nodf")
    if ip.more_fragments:
        fields.append("mf")
    if ip.options:
        fields.append(f"ipopts {quote(ip.options)}")
    return fields


def _numbers(value: object, names: Mapping[str, str], default: object) -> list[str]:
    """The fields that differ from the default, checksums in hexadecimal."""
    fields = []
    for name, attribute in names.items():
        number = getattr(value, attribute)
        if number != getattr(default, attribute):
            fields.append(f"{name} {hex(number) if name.endswith('csum') else number}")
    return fields
