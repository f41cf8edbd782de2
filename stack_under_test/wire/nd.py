"""Neighbour discovery (RFC 4861): the bodies of five ICMPv6 messages and their options.

A body is everything behind code and checksum; `read` takes it out of a message and `write` puts it into one with
code 0 and a checksum to compute. Options are (kind, data) in units of 8 octets; a kind's meaning is left to others,
as is whether a message is valid (RFC 4861 6.1, 7.1, 8.1).
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from stack_under_test.wire import icmpv6
from stack_under_test.wire.fields import Trailing, padded, refuse
from stack_under_test.wire.icmpv6 import Icmpv6

SOURCE_LINK_LAYER_ADDRESS = 1
TARGET_LINK_LAYER_ADDRESS = 2
PREFIX_INFORMATION = 3
REDIRECTED_HEADER = 4
MTU = 5

MANAGED = 0x80
OTHER_CONFIGURATION = 0x40

_ADVERTISEMENT = struct.Struct("!BBH")
_TIMERS = struct.Struct("!II")
_ADVERTISEMENT_WIDTHS = {
    "hop_limit": 8,
    "flags": 8,
    "lifetime": 16,
    "reachable_time": 32,
    "retransmit_timer": 32,
}


class NdOption(NamedTuple):
    """`data` excludes kind and length; `length` counts 8 octets, None computes it and pads `data` with zero octets."""

    kind: int
    data: bytes = b""
    length: int | None = None


class RouterSolicitation(NamedTuple):
    """RFC 4861 4.1."""

    options: tuple[NdOption | Trailing, ...] = ()
    reserved: int = 0


class RouterAdvertisement(NamedTuple):
    """RFC 4861 4.2; the lifetime is in seconds, the two timers in milliseconds."""

    hop_limit: int = 64
    flags: int = 0
    lifetime: int = 0
    reachable_time: int = 0
    retransmit_timer: int = 0
    options: tuple[NdOption | Trailing, ...] = ()


class NeighborSolicitation(NamedTuple):
    """RFC 4861 4.3; the target is 16 octets."""

    target: bytes
    options: tuple[NdOption | Trailing, ...] = ()
    reserved: int = 0


class NeighborAdvertisement(NamedTuple):
    """RFC 4861 4.4; `reserved` is the 29 bits after the three flags."""

    target: bytes
    router: bool = False
    solicited: bool = False
    override: bool = False
    options: tuple[NdOption | Trailing, ...] = ()
    reserved: int = 0


class Redirect(NamedTuple):
    """RFC 4861 4.5; both addresses are 16 octets."""

    target: bytes
    destination: bytes
    options: tuple[NdOption | Trailing, ...] = ()
    reserved: int = 0


Body: TypeAlias = RouterSolicitation | RouterAdvertisement | NeighborSolicitation | NeighborAdvertisement | Redirect


def read(message: Icmpv6) -> Body | None:
    """The body of a neighbour discovery message, or None for another type or a payload shorter than the fixed body."""
    kind, payload = message.type, message.payload
    rest = int.from_bytes(message.rest, "big")
    if kind == icmpv6.ROUTER_SOLICITATION:
        return RouterSolicitation(read_options(payload), rest)
    if kind == icmpv6.ROUTER_ADVERTISEMENT and len(payload) >= 8:
        hop_limit, flags, lifetime = _ADVERTISEMENT.unpack(message.rest)
        reachable_time, retransmit_timer = _TIMERS.unpack_from(payload)
        options = read_options(payload[8:])
        return RouterAdvertisement(hop_limit, flags, lifetime, reachable_time, retransmit_timer, options)
    if kind == icmpv6.NEIGHBOR_SOLICITATION and len(payload) >= 16:
        return NeighborSolicitation(payload[:16], read_options(payload[16:]), rest)
    if kind == icmpv6.NEIGHBOR_ADVERTISEMENT and len(payload) >= 16:
        router, solicited, override = (rest >> bit & 1 != 0 for bit in (31, 30, 29))
        options = read_options(payload[16:])
        return NeighborAdvertisement(payload[:16], router, solicited, override, options, rest & 0x1FFFFFFF)
    if kind == icmpv6.REDIRECT and len(payload) >= 32:
        return Redirect(payload[:16], payload[16:32], read_options(payload[32:]), rest)
    return None


def write(body: Body) -> Icmpv6:
    """The message that carries `body`, with code 0 and its checksum left to compute."""
    options = write_options(body.options)
    match body:
        case RouterSolicitation():
            return Icmpv6(icmpv6.ROUTER_SOLICITATION, 0, _reserved(body), options)
        case RouterAdvertisement():
            try:
                rest = _ADVERTISEMENT.pack(body.hop_limit, body.flags, body.lifetime)
                timers = _TIMERS.pack(body.reachable_time, body.retransmit_timer)
            except struct.error:
                refuse(body, _ADVERTISEMENT_WIDTHS)
            return Icmpv6(icmpv6.ROUTER_ADVERTISEMENT, 0, rest, timers + options)
        case NeighborSolicitation():
            return Icmpv6(icmpv6.NEIGHBOR_SOLICITATION, 0, _reserved(body), _target(body) + options)
        case NeighborAdvertisement():
            if body.reserved >> 29:
                refuse(body, {"reserved": 29})
            flags = bool(body.router) << 31 | bool(body.solicited) << 30 | bool(body.override) << 29
            rest = (flags | body.reserved).to_bytes(4, "big")
            return Icmpv6(icmpv6.NEIGHBOR_ADVERTISEMENT, 0, rest, _target(body) + options)
        case Redirect():
            if len(body.destination) != 16:
                refuse(body, {"destination": 128})
            return Icmpv6(icmpv6.REDIRECT, 0, _reserved(body), _target(body) + body.destination + options)


def read_options(octets: bytes) -> tuple[NdOption | Trailing, ...]:
    """The options in order; octets that cannot be parsed come last, as they are."""
    found: list[NdOption | Trailing] = []
    at, end = 0, len(octets)
    while at < end:
        length = octets[at + 1] if at + 1 < end else 0
        after = at + (length << 3)
        if length == 0 or after > end:
            found.append(Trailing(octets[at:]))
            break
        found.append(NdOption(octets[at], octets[at + 2 : after], length))
        at = after
    return tuple(found)


def write_options(options: Iterable[NdOption | Trailing]) -> bytes:
    """The octets of `options`."""
    return b"".join(option.octets if isinstance(option, Trailing) else _write_option(option) for option in options)


def _write_option(option: NdOption) -> bytes:
    kind, data, length = option
    if length is None:
        data = padded(b"\0\0" + data, 8)[2:]
        length = len(data) + 2 >> 3
    if (kind | length) >> 8:
        refuse(option._replace(length=length), {"kind": 8, "length": 8})
    return bytes((kind, length)) + data


def _reserved(body: RouterSolicitation | NeighborSolicitation | Redirect) -> bytes:
    if body.reserved >> 32:
        refuse(body, {"reserved": 32})
    return body.reserved.to_bytes(4, "big")


def _target(body: NeighborSolicitation | NeighborAdvertisement | Redirect) -> bytes:
    if len(body.target) != 16:
        refuse(body, {"target": 128})
    return body.target
