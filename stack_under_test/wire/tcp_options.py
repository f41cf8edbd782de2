"""TCP options: every option in use as a value, everything else as `Other` or `Trailing`.

An option whose length is not its kind's is `Other`; from the first option without an end, octets are `Trailing`.
Both write back what was read. Padding is end-of-list, once per octet.

Each value carries its kind, so that an MSS of 7 does not equal a window scale of 7 (they are tuples), and so that a
value can be written under another kind. What an option means for a connection is left to stacks.
"""

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, TypeAlias

from stack_under_test.wire import tlv
from stack_under_test.wire.fields import Trailing, refuse

EXPERIMENTAL = 254
FAST_OPEN_MAGIC = b"\xf9\x89"


class EndOfList(NamedTuple):
    """RFC 9293 3.2."""

    kind: int = 0


class Nop(NamedTuple):
    """RFC 9293 3.2."""

    kind: int = 1


class Mss(NamedTuple):
    """Maximum segment size, RFC 9293 3.7.1."""

    value: int
    kind: int = 2


class WindowScale(NamedTuple):
    """RFC 7323 2."""

    shift: int
    kind: int = 3


class SackPermitted(NamedTuple):
    """RFC 2018 2."""

    kind: int = 4


class Sack(NamedTuple):
    """RFC 2018 3: pairs of left and right edge."""

    blocks: tuple[tuple[int, int], ...]
    kind: int = 5


class Timestamps(NamedTuple):
    """RFC 7323 3: TSval and TSecr."""

    value: int
    echo: int
    kind: int = 8


class Md5(NamedTuple):
    """RFC 2385: a digest of 16 octets."""

    digest: bytes
    kind: int = 19


class UserTimeout(NamedTuple):
    """RFC 5482: 15 bits of seconds, or of minutes when `minutes`."""

    timeout: int
    minutes: bool = False
    kind: int = 28


class TcpAo(NamedTuple):
    """The authentication option, RFC 5925 2.2."""

    key_id: int
    next_key_id: int
    mac: bytes
    kind: int = 29


class Mptcp(NamedTuple):
    """RFC 8684: subtype and all, uninterpreted."""

    data: bytes
    kind: int = 30


class FastOpen(NamedTuple):
    """RFC 7413 4.1.1; an empty cookie requests one."""

    cookie: bytes = b""
    kind: int = 34


class ExperimentalFastOpen(NamedTuple):
    """Fast Open as it was before RFC 7413: kind 254 with the magic number 0xF989."""

    cookie: bytes = b""
    kind: int = EXPERIMENTAL


class AccEcn(NamedTuple):
    """RFC 9768 3.2.3: up to three 24-bit counters in wire order, E0B CE E1B for kind 172, E1B CE E0B for 174."""

    counters: tuple[int, ...] = ()
    kind: int = 172


class Other(NamedTuple):
    """An unknown kind, or a known one with a length that is not its own."""

    kind: int
    data: bytes


# fmt: off
Option: TypeAlias = (
    EndOfList | Nop | Mss | WindowScale | SackPermitted | Sack | Timestamps | Md5 | UserTimeout | TcpAo | Mptcp
    | FastOpen | ExperimentalFastOpen | AccEcn | Other | Trailing
)
# fmt: on

NOP = Nop()
END_OF_LIST = EndOfList()
SACK_PERMITTED = SackPermitted()

_new = tuple.__new__
_timestamps = struct.Struct("!II").unpack_from
_write_aligned_timestamps = struct.Struct("!HBBII").pack
_ALIGNED_TIMESTAMPS = b"\x01\x01\x08\x0a"
_MSS = b"\x02\x04"
_SACK_PERMITTED_TIMESTAMPS = b"\x04\x02\x08\x0a"
_NOP_WINDOW_SCALE = b"\x01\x03\x03"
_WIDTHS = {
    "kind": 8,
    "value": 32,
    "echo": 32,
    "shift": 8,
    "timeout": 15,
    "key_id": 8,
    "next_key_id": 8,
}


def read(octets: bytes) -> tuple[Option, ...]:
    """The options in the octets between the fixed header and the data offset."""
    if octets[:4] == _ALIGNED_TIMESTAMPS and len(octets) == 12:
        return (NOP, NOP, _new(Timestamps, (*_timestamps(octets, 4), 8)))
    if (
        len(octets) == 20
        and octets[4:8] == _SACK_PERMITTED_TIMESTAMPS
        and octets[:2] == _MSS
        and octets[16:19] == _NOP_WINDOW_SCALE
    ):
        mss = Mss(octets[2] << 8 | octets[3])
        return (mss, SACK_PERMITTED, _new(Timestamps, (*_timestamps(octets, 8), 8)), NOP, WindowScale(octets[19]))
    # Longer lists hold timestamps or SACK blocks, which hardly ever come again.
    return _read_cached(octets) if len(octets) <= 12 else _read(octets)


def _read(octets: bytes) -> tuple[Option, ...]:
    return tuple(found if isinstance(found, Trailing) else _interpret(*found) for found in tlv.split(octets))


_read_cached = lru_cache(maxsize=1024)(_read)


def write(options: Sequence[Option]) -> bytes:
    """The octets of `options`, without padding; ValueError names the option that does not fit."""
    try:
        if len(options) == 3 and type(options[2]) is Timestamps and options[0] == NOP == options[1]:
            value, echo, kind = options[2]
            return _write_aligned_timestamps(0x0101, kind, 10, value, echo)
        return b"".join([_WRITERS[type(option)](option) for option in options])
    except (struct.error, ValueError, OverflowError):
        _refuse(options)


def _refuse(options: Sequence[Option]) -> NoReturn:
    for option in options:
        try:
            _WRITERS[type(option)](option)
        except (struct.error, ValueError, OverflowError) as error:
            widths = {name: bits for name, bits in _WIDTHS.items() if hasattr(option, name)}
            if isinstance(option, Mss):
                widths["value"] = 16
            if isinstance(option, Sack | AccEcn | Other | FastOpen | ExperimentalFastOpen | Mptcp | Md5):
                raise ValueError(f"{option!r}: {error}") from None
            refuse(option, widths)
    raise ValueError(f"TCP options do not fit: {options!r}")


def _interpret(kind: int, data: bytes) -> Option:
    known = _READERS.get(kind)
    if known is not None:
        option = known(data)
        if option is not None:
            return option
    return Other(kind, data)


def _read_user_timeout(data: bytes) -> Option | None:
    if len(data) != 2:
        return None
    number = int.from_bytes(data, "big")
    return UserTimeout(number & 0x7FFF, number >> 15 != 0)


def _write_user_timeout(option: UserTimeout) -> bytes:
    if option.timeout >> 15:
        raise ValueError(f"timeout {option.timeout} does not fit in 15 bits")
    return struct.pack("!BBH", option.kind, 4, bool(option.minutes) << 15 | option.timeout)


def _read_sack(data: bytes) -> Option | None:
    if len(data) % 8:
        return None
    return Sack(tuple(struct.iter_unpack("!II", data)))


def _read_accecn(kind: int) -> Callable[[bytes], Option | None]:
    def read_counters(data: bytes) -> Option | None:
        if len(data) not in (0, 3, 6, 9):
            return None
        return AccEcn(tuple(int.from_bytes(data[at : at + 3], "big") for at in range(0, len(data), 3)), kind)

    return read_counters


# fmt: off
_READERS: dict[int, Callable[[bytes], Option | None]] = {
    0: lambda data: END_OF_LIST,
    1: lambda data: NOP,
    2: lambda data: Mss(int.from_bytes(data, "big")) if len(data) == 2 else None,
    3: lambda data: WindowScale(data[0]) if len(data) == 1 else None,
    4: lambda data: SACK_PERMITTED if not data else None,
    5: _read_sack,
    8: lambda data: Timestamps(*_timestamps(data)) if len(data) == 8 else None,
    19: lambda data: Md5(data) if len(data) == 16 else None,
    28: _read_user_timeout,
    29: lambda data: TcpAo(data[0], data[1], data[2:]) if len(data) >= 2 else None,
    30: Mptcp,
    34: FastOpen,
    172: _read_accecn(172),
    174: _read_accecn(174),
    EXPERIMENTAL: lambda data: ExperimentalFastOpen(data[2:]) if data[:2] == FAST_OPEN_MAGIC else None,
}
_WRITERS: dict[type, Callable[[Any], bytes]] = {
    EndOfList: lambda option: option.kind.to_bytes(1, "big"),
    Nop: lambda option: option.kind.to_bytes(1, "big"),
    Mss: lambda option: struct.pack("!BBH", option.kind, 4, option.value),
    WindowScale: lambda option: struct.pack("!BBB", option.kind, 3, option.shift),
    SackPermitted: lambda option: struct.pack("!BB", option.kind, 2),
    Sack: lambda option: tlv.join(
        option.kind, b"".join([struct.pack("!II", left, right) for left, right in option.blocks])
    ),
    Timestamps: lambda option: struct.pack("!BBII", option.kind, 10, option.value, option.echo),
    Md5: lambda option: tlv.join(option.kind, option.digest),
    UserTimeout: _write_user_timeout,
    TcpAo: lambda option: tlv.join(option.kind, struct.pack("!BB", option.key_id, option.next_key_id) + option.mac),
    Mptcp: lambda option: tlv.join(option.kind, option.data),
    FastOpen: lambda option: tlv.join(option.kind, option.cookie),
    ExperimentalFastOpen: lambda option: tlv.join(option.kind, FAST_OPEN_MAGIC + option.cookie),
    AccEcn: lambda option: tlv.join(
        option.kind, b"".join([counter.to_bytes(3, "big") for counter in option.counters])
    ),
    Other: lambda option: tlv.join(option.kind, option.data),
    Trailing: lambda option: option.octets,
}
# fmt: on


def describe(options: Sequence[Option]) -> str:
    """The options as packetdrill writes them, without brackets: `mss 1460,sackOK,TS val 7 ecr 0,nop,wscale 7`."""
    return ",".join(map(_describe, options))


def _describe(option: Option) -> str:
    match option:
        case Mss(value):
            return f"mss {value}"
        case WindowScale(shift):
            return f"wscale {shift}"
        case Sack(blocks):
            return " ".join(["sack", *(f"{left}:{right}" for left, right in blocks)])
        case Timestamps(value, echo):
            return f"TS val {value} ecr {echo}"
        case Md5(digest):
            return f"md5 {digest.hex()}"
        case UserTimeout(timeout, minutes):
            return f"uto {timeout}{'m' if minutes else 's'}"
        case TcpAo(key_id, next_key_id, mac):
            return f"tcp-ao {key_id} {next_key_id} {mac.hex()}"
        case Mptcp(data):
            return f"mptcp {data.hex()}"
        case FastOpen(cookie):
            return f"FO {cookie.hex()}".rstrip()
        case ExperimentalFastOpen(cookie):
            return f"FOEXP {cookie.hex()}".rstrip()
        case AccEcn(counters, kind):
            return " ".join([f"accecn{kind - 172 >> 1}", *map(str, counters)])
        case Other(kind, data):
            return f"opt {kind} {data.hex()}".rstrip()
        case Trailing(octets):
            return f"trailing {octets.hex()}"
        case _:
            return {EndOfList: "eol", Nop: "nop", SackPermitted: "sackOK"}[type(option)]
