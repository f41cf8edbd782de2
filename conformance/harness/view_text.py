"""Views as text: what a person reads side by side, in the words of the program language.

Every difference between two views shows in the text, so that equal lines mean equal values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from stack_under_test.contract.errnos import errno_name
from stack_under_test.contract.frame_printer import operation_text
from stack_under_test.contract.lexer import quote
from stack_under_test.contract.world import PEER_IP, PEER_IP6, STACK_IP, STACK_IP6
from stack_under_test.wire import tcp_options
from stack_under_test.wire.addresses import format_ip
from stack_under_test.wire.tcp import format_flags

from .normalise import Result, StepView, View
from .outs import text as out_text
from .packets import ArpMessage, Datagram, Ethernet, Message, Number, Other, Packet, Segment, Timestamps, Unreadable
from .quotes import Quote

_USUAL = (STACK_IP, PEER_IP, STACK_IP6, PEER_IP6)
_DONT_FRAGMENT = 0x4000


def view_lines(view: View) -> tuple[tuple[str, ...], ...]:
    """Per step its lines."""
    return tuple(step_lines(step) for step in view)


def step_lines(step: StepView) -> tuple[str, ...]:
    """The outcome, a line for each value stored, then a line for each event."""
    return (
        *result_lines(step.result),
        *[f"> {packet_text(packet)}" for packet in step.packets],
        *[line for done in step.completions for line in _completion(done.step, done.result)],
        *[f"{signal} to t{task}" for task, signal in step.signals],
    )


def result_text(result: Result) -> str:
    """One line: ``= 3``, ``= -1 EAGAIN``, ``blocked``."""
    match result.kind:
        case "fd":
            return f"= fd#{result.value}"
        case "returned":
            return f"= {result.value} {errno_name(result.errno)}" if result.errno else f"= {result.value}"
        case "done":
            return f"refused by the link: {errno_name(result.errno)}" if result.errno else "done"
        case "killed" | "unsupported":
            return f"{result.kind}: {result.detail}"
        case "busy":
            return "not made: its task is inside an earlier call"
    return result.kind


def result_lines(result: Result) -> list[str]:
    return [result_text(result), *[f"  {out.path}: {out_text(out)}" for out in result.outs]]


def _completion(step: int, result: Result) -> list[str]:
    first, *rest = result_lines(result)
    return [f"step {step} completes {first}", *rest]


def packet_text(packet: Packet) -> str:
    """One packet, without its direction sign."""
    return _WRITERS[type(packet)](packet)


def field_text(packet: Packet, name: str) -> str:
    """One field of a packet, as it is written in the packet's text."""
    value: Any = getattr(packet, name)
    write = _FIELDS.get(name)
    return write(value) if write else _quote(value) if isinstance(value, Quote) else _plain(value)


def _plain(value: Any) -> str:
    return quote(value) if isinstance(value, bytes) else str(value)


def _end(address: bytes, port: Number) -> str:
    if address in _USUAL:
        return str(port)
    text = format_ip(address)
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"


def _relative(base: str, number: Number) -> str:
    if isinstance(number, str):
        return number.removeprefix("=")
    return f"{base}{number - (1 << 32) if number >> 31 else number:+d}"


def _segment(packet: Segment) -> str:
    words = [
        f"tcp {_end(packet.src, packet.sport)} > {_end(packet.dst, packet.dport)} {format_flags(packet.flags)}",
        f"seq {_relative('iss', packet.seq)}",
    ]
    if packet.flags & 0x10 or packet.ack:
        words.append(f"ack {_relative('peer', packet.ack)}")
    words.append(f"win {packet.window}")
    if packet.urgent:
        words.append(f"urg {packet.urgent}")
    if packet.options:
        words.append(_options(packet.options))
    if packet.payload:
        words.append(quote(packet.payload))
    return " ".join(words + _braces(packet))


def _options(options: tuple[Any, ...]) -> str:
    return f"<{', '.join(map(_option, options))}>" if options else "no options"


def _option(option: Any) -> str:
    if isinstance(option, Timestamps):
        return f"TS val {option.value} ecr {option.echo}"
    if option[0] == "sack":
        return " ".join(["sack", *[":".join(_relative("peer", edge) for edge in block) for block in option[1:]]])
    return tcp_options.describe((option,))


def _datagram(packet: Datagram) -> str:
    words = [f"udp {_end(packet.src, packet.sport)} > {_end(packet.dst, packet.dport)}"]
    if packet.payload:
        words.append(quote(packet.payload))
    return " ".join(words + _braces(packet))


def _message(packet: Message) -> str:
    words = [packet.kind, *_addresses(packet.src, packet.dst), str(packet.type), str(packet.code)]
    if isinstance(packet.rest, str):
        words.append(packet.rest)
    elif packet.type in (0, 8, 128, 129):
        words.append(f"id {int.from_bytes(packet.rest[:2], 'big')} seq {int.from_bytes(packet.rest[2:], 'big')}")
    elif any(packet.rest):
        words.append(f"rest 0x{packet.rest.hex()}")
    if isinstance(packet.body, Quote):
        words.append(f"quoting ({_quote(packet.body)})")
    elif packet.body:
        words.append(quote(packet.body))
    return " ".join(words + _braces(packet))


def _quote(body: Quote) -> str:
    ack = "" if body.ack is None else f" ack {_relative('iss', body.ack)}"
    return f"{body.sport} > {body.dport}{ack} checksum {body.checksum} {quote(body.octets)}"


def _other(packet: Other) -> str:
    words = ["ip", *_addresses(packet.src, packet.dst), f"proto {packet.protocol}"]
    if packet.sport or packet.dport:
        words.append(f"{packet.sport} > {packet.dport}")
    return " ".join([*words, quote(packet.payload), *_braces(packet)])


def _ethernet(packet: Ethernet) -> str:
    kind = "" if packet.ethertype in (0x0800, 0x0806, 0x86DD) else f" type {packet.ethertype:#x}"
    return f"{packet.src_mac} > {packet.dst_mac}{kind}: {packet_text(packet.packet)}"


def _arp(packet: ArpMessage) -> str:
    form = "" if packet.form == (1, 0x0800, 6, 4, 0) else f" {packet.form}"
    target = _protocol_address(packet.target_ip) + (f" ({packet.target_mac})" if packet.target_mac.strip("0:") else "")
    sender = f"{_protocol_address(packet.sender_ip)} ({packet.sender_mac})"
    return f"arp {operation_text(packet.operation)} {sender} > {target}{form}"


def _protocol_address(octets: bytes) -> str:
    return format_ip(octets) if len(octets) == 4 else octets.hex(".")


def _unreadable(packet: Unreadable) -> str:
    return f"raw {quote(packet.octets)}"


def _addresses(src: bytes, dst: bytes) -> list[str]:
    usual = (src, dst) in ((STACK_IP, PEER_IP), (STACK_IP6, PEER_IP6))
    return [] if usual else [format_ip(src), ">", format_ip(dst)]


def _braces(packet: Segment | Datagram | Message | Other) -> list[str]:
    """What the IP header has beside the usual, and what is wrong with the packet."""
    fields = [] if packet.ttl == 64 else [f"ttl {packet.ttl}"]
    if packet.tos:
        fields.append(f"tos {packet.tos:#x}")
    if len(packet.src) == 4 and not packet.fragment & _DONT_FRAGMENT:
        fields.append("nodf")
    if packet.fragment & 0x2000:
        fields.append("mf")
    if packet.fragment & 0x1FFF:
        fields.append(f"frag {packet.fragment & 0x1FFF}")
    if packet.fragment & 0x8000:
        fields.append("reserved flag")
    if packet.ip_options:
        fields.append(f"ipopts {quote(packet.ip_options)}")
    fields += [f"wrong: {fault}" if fault != "no checksum" else fault for fault in packet.faults]
    return [f"{{{', '.join(fields)}}}"] if fields else []


_FIELDS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "src": format_ip,
        "dst": format_ip,
        "flags": format_flags,
        "seq": lambda value: _relative("iss", value),
        "ack": lambda value: _relative("peer", value),
        "options": _options,
        "tos": hex,
        "fragment": hex,
        "faults": lambda value: ", ".join(value) or "none",
    }
)

_WRITERS: Mapping[type, Callable[[Any], str]] = MappingProxyType(
    {
        Segment: _segment,
        Datagram: _datagram,
        Message: _message,
        Other: _other,
        Ethernet: _ethernet,
        ArpMessage: _arp,
        Unreadable: _unreadable,
    }
)
