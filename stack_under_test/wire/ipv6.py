"""The IPv6 header and the extension headers a Linux host walks (RFC 8200, RFC 4302).

`payload` is what lies within the payload length, as far as there are octets, extension headers included; `trailer`
is what lies beyond. A jumbogram (RFC 2675) therefore reads as an empty payload with a trailer.

`upper_layer` splits a payload into extension headers and the rest. It knows hop-by-hop options, routing, fragment,
authentication and destination options; every other protocol ends the walk, as does a header without an end.
The options inside an extension header, and whether its place in the chain is legal, are left to others.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stack_under_test.wire.fields import padded, refuse

HEADER_LENGTH = 40

HOP_BY_HOP = 0
ROUTING = 43
FRAGMENT = 44
ESP = 50
AUTHENTICATION = 51
NO_NEXT_HEADER = 59
DESTINATION_OPTIONS = 60

_HEADER = struct.Struct("!IHBB16s16s")
_unpack = _HEADER.unpack_from
_new = tuple.__new__
_WIDTHS = {
    "version": 4,
    "traffic_class": 8,
    "flow_label": 20,
    "payload_length": 16,
    "next_header": 8,
    "hop_limit": 8,
    "src": 128,
    "dst": 128,
}
_FRAGMENT = struct.Struct("!BBHI")
_FRAGMENT_WIDTHS = {"next_header": 8, "reserved": 8, "offset": 13, "reserved_bits": 2, "ident": 32}


class Ipv6(NamedTuple):
    """`payload_length` in octets; None computes it from `payload`."""

    src: bytes
    dst: bytes
    next_header: int
    payload: bytes = b""
    hop_limit: int = 64
    traffic_class: int = 0
    flow_label: int = 0
    payload_length: int | None = None
    version: int = 6
    trailer: bytes = b""


class Extension(NamedTuple):
    """An extension header known by its length; `kind` is the protocol number by which the header before announces it.

    `data` excludes the first two octets. `length` is the length octet; None computes it and pads `data` with zero
    octets, which among options are Pad1.
    """

    next_header: int
    data: bytes
    kind: int = DESTINATION_OPTIONS
    length: int | None = None


class Fragment(NamedTuple):
    """The fragment header; `offset` counts 8 octets, `reserved` is its second octet."""

    next_header: int
    offset: int = 0
    more: bool = False
    ident: int = 0
    reserved: int = 0
    reserved_bits: int = 0

    @property
    def kind(self) -> int:
        """The protocol number by which the header before announces it."""
        return FRAGMENT


class UpperLayer(NamedTuple):
    """Where the walk ended: the protocol of `payload`, and what came before it."""

    protocol: int
    extensions: tuple[Extension | Fragment, ...]
    payload: bytes

    @property
    def is_later_fragment(self) -> bool:
        """Whether `payload` is the middle of something, not its beginning."""
        return any(isinstance(extension, Fragment) and extension.offset for extension in self.extensions)


def read(octets: bytes) -> Ipv6 | None:
    """The packet, whatever its version field says, or None below 40 octets."""
    if len(octets) < HEADER_LENGTH:
        return None
    first, payload_length, next_header, hop_limit, src, dst = _unpack(octets)
    end = 40 + payload_length
    payload, trailer = octets[40:end], octets[end:]
    traffic_class, flow_label = first >> 20 & 0xFF, first & 0xFFFFF
    # fmt: off
    return _new(Ipv6, (
        src, dst, next_header, payload, hop_limit, traffic_class, flow_label, payload_length, first >> 28, trailer,
    ))
    # fmt: on


def write(header: Ipv6) -> bytes:
    """The octets of the packet, trailer included."""
    src, dst, next_header, payload, hop_limit, traffic_class, flow_label, payload_length, version, trailer = header
    if payload_length is None:
        payload_length = len(payload)
    try:
        if (version >> 4) | (traffic_class >> 8) | (flow_label >> 20) or len(src) != 16 or len(dst) != 16:
            refuse(header._replace(payload_length=payload_length), _WIDTHS)
        first = version << 28 | traffic_class << 20 | flow_label
        return _HEADER.pack(first, payload_length, next_header, hop_limit, src, dst) + payload + trailer
    except struct.error:
        refuse(header._replace(payload_length=payload_length), _WIDTHS)


def recompute(header: Ipv6) -> Ipv6:
    """The same packet with the payload length left to `write`."""
    return header._replace(payload_length=None)


def upper_layer(packet: Ipv6) -> UpperLayer:
    """Walk the extension headers. `write_extensions(extensions) + payload` is again the packet's payload."""
    protocol, octets = packet.next_header, packet.payload
    if protocol not in _EXTENSIONS:
        return UpperLayer(protocol, (), octets)
    extensions: list[Extension | Fragment] = []
    at, end = 0, len(octets)
    while protocol in _EXTENSIONS and at + 8 <= end:
        if protocol == FRAGMENT:
            next_header, reserved, offset, ident = _FRAGMENT.unpack_from(octets, at)
            extensions.append(Fragment(next_header, offset >> 3, offset & 1 != 0, ident, reserved, offset >> 1 & 3))
            protocol, at = next_header, at + 8
            if offset >> 3:
                break
            continue
        next_header, length = octets[at], octets[at + 1]
        after = at + ((length + 2) << 2 if protocol == AUTHENTICATION else (length + 1) << 3)
        if after > end:
            break
        extensions.append(Extension(next_header, octets[at + 2 : after], protocol, length))
        protocol, at = next_header, after
    return UpperLayer(protocol, tuple(extensions), octets[at:])


def write_extensions(extensions: Iterable[Extension | Fragment]) -> bytes:
    """The octets of a chain of extension headers, each with the next header it states."""
    return b"".join(
        _write_fragment(extension) if isinstance(extension, Fragment) else _write_extension(extension)
        for extension in extensions
    )


def linked(extensions: Sequence[Extension | Fragment], protocol: int) -> tuple[Extension | Fragment, ...]:
    """The same headers, each announcing the one after it, the last announcing `protocol`."""
    following = [extension.kind for extension in extensions[1:]] + [protocol]
    return tuple(
        extension._replace(next_header=next_header) for extension, next_header in zip(extensions, following, strict=False)
    )


def _write_fragment(header: Fragment) -> bytes:
    next_header, offset, more, ident, reserved, reserved_bits = header
    try:
        if (offset >> 13) | (reserved_bits >> 2):
            refuse(header, _FRAGMENT_WIDTHS)
        return _FRAGMENT.pack(next_header, reserved, offset << 3 | reserved_bits << 1 | bool(more), ident)
    except struct.error:
        refuse(header, _FRAGMENT_WIDTHS)


def _write_extension(header: Extension) -> bytes:
    next_header, data, kind, length = header
    if length is None:
        authentication = kind == AUTHENTICATION
        # No length octet can state fewer than the 8 octets every extension header has.
        data = padded(b"\0\0" + data.ljust(6, b"\0"), 4 if authentication else 8)[2:]
        length = (len(data) + 2 >> 2) - 2 if authentication else (len(data) + 2 >> 3) - 1
    if (next_header | length) >> 8:
        refuse(header._replace(length=length), {"next_header": 8, "length": 8})
    return bytes((next_header, length)) + data


_EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS))
