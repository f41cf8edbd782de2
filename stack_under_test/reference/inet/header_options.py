"""IP header options (RFC 791, section 3.1; RFC 1122, section 3.2.1.8): check, record, answer (`net/ipv4/ip_options.c`).

`compile_received` walks a datagram's options as a host must: what is malformed earns a parameter problem that points at
the octet, and route and time records get this host's entry.  `compile_user` checks what an application wants to send.
`echo` makes the options of an answer out of a question's.  `build` puts the source address where a record leaves room.

Offsets (`rr`, `ts`, `srr`, `cipso`) count from the start of the IP header, as Linux has them; 0 means none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from .routing import Kind, address_type

END, NOP, RECORD_ROUTE, TIMESTAMP, CIPSO = 0, 1, 7, 68, 134
LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE, ROUTER_ALERT = 131, 137, 148
_SOURCE_ROUTES = (LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE)
_HEADER = 20
_COPIED = 0x80
TIME_ONLY, TIME_AND_ADDRESS, TIME_PRESPECIFIED = 0, 1, 3
MSEC_OF_DAY = 24 * 3600 * 1000


class HeaderOptions:
    """`struct ip_options`: the octets, padded to four, and where in the header the ones of interest stand."""

    __slots__ = ("cipso", "data", "faddr", "rr", "rr_needaddr", "srr", "strict", "ts", "ts_needaddr", "ts_needtime")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.rr = self.ts = self.srr = self.cipso = 0
        self.rr_needaddr = self.ts_needaddr = self.ts_needtime = self.strict = False
        self.faddr = b""

    def at(self, offset: int) -> int:
        """An option's length and pointer stand behind its offset; this is the index into `data`."""
        return offset - _HEADER


class Malformed(Exception):
    """`pointer` is the offending octet's offset from the start of the IP header (RFC 792, parameter problem).

    `options` holds what was understood before it: the parameter problem echoes that.
    """

    def __init__(self, pointer: int, options: HeaderOptions) -> None:
        super().__init__(pointer)
        self.pointer = pointer
        self.options = options


def compile_received(data: bytes, own_address: bytes, time: int) -> HeaderOptions:
    """`__ip_options_compile` of a datagram that came in: records get `own_address` and `time` (ms of the day).

    Raises Malformed.
    """
    return _Walk(data, own_address, time).run()


def compile_user(data: bytes) -> HeaderOptions:
    """`ip_options_get` of what an application set; `data` is padded with END. Raises Malformed."""
    return _Walk(data + bytes(-len(data) % 4), None, 0).run()


class _Walk:
    """One pass over the options; `own` is None for an application's."""

    def __init__(self, data: bytes, own: bytes | None, time: int) -> None:
        self.options = HeaderOptions(data)
        self.own = own
        self.time = (time % MSEC_OF_DAY).to_bytes(4, "big")

    def run(self) -> HeaderOptions:
        data = self.options.data
        at = 0
        while at < len(data):
            kind = data[at]
            if kind == END:
                data[at:] = bytes(len(data) - at)
                break
            if kind == NOP:
                at += 1
                continue
            left = len(data) - at
            if left < 2 or not 2 <= data[at + 1] <= left:
                self.bad(at)
            check = _CHECKS.get(kind)
            if check is not None:
                check(self, at, data[at + 1])
            at += data[at + 1]
        return self.options

    def bad(self, at: int) -> NoReturn:
        raise Malformed(at + _HEADER, self.options)

    def require(self, at: int, minimum: int, first: int) -> None:
        """The option is long enough for its pointer, and the pointer is past the fixed part."""
        data = self.options.data
        if data[at + 1] < minimum:
            self.bad(at + 1)
        if data[at + 2] < first:
            self.bad(at + 2)

    def source_route(self, at: int, length: int) -> None:
        options = self.options
        self.require(at, 3, 4)
        if options.srr:
            self.bad(at)
        if self.own is None:
            if options.data[at + 2] != 4 or length < 7 or (length - 3) & 3:
                self.bad(at + 1)
            options.faddr = bytes(options.data[at + 3 : at + 7])
        options.strict = options.data[at] == STRICT_SOURCE_ROUTE
        options.srr = at + _HEADER

    def record_route(self, at: int, length: int) -> None:
        options, data = self.options, self.options.data
        if options.rr:
            self.bad(at)
        self.require(at, 3, 4)
        pointer = data[at + 2]
        if pointer <= length:
            if pointer + 3 > length:
                self.bad(at + 2)
            if self.own is not None:
                data[at + pointer - 1 : at + pointer + 3] = self.own
            data[at + 2] = pointer + 4
            options.rr_needaddr = True
        options.rr = at + _HEADER

    def timestamp(self, at: int, length: int) -> None:
        options, data = self.options, self.options.data
        if options.ts:
            self.bad(at)
        self.require(at, 4, 5)
        pointer, mode = data[at + 2], data[at + 3] & 15
        if pointer <= length:
            self.stamp(at, length, pointer, mode)
        elif mode != TIME_PRESPECIFIED:
            overflow = data[at + 3] >> 4
            if overflow == 15:
                self.bad(at + 3)
            if self.own is not None:
                data[at + 3] = mode | (overflow + 1) << 4
        options.ts = at + _HEADER

    def stamp(self, at: int, length: int, pointer: int, mode: int) -> None:
        options, data = self.options, self.options.data
        if pointer + 3 > length:
            self.bad(at + 2)
        slot = at + pointer - 1
        if mode == TIME_ONLY:
            options.ts_needtime = True
            data[at + 2] = pointer + 4
            self.write_time(slot)
            return
        if mode not in (TIME_AND_ADDRESS, TIME_PRESPECIFIED):
            return
        if pointer + 7 > length:
            self.bad(at + 2)
        if mode == TIME_PRESPECIFIED and address_type(bytes(data[slot : slot + 4])) is Kind.UNICAST:
            return
        if mode == TIME_AND_ADDRESS:
            options.ts_needaddr = True
            if self.own is not None:
                data[slot : slot + 4] = self.own
        options.ts_needtime = True
        data[at + 2] = pointer + 8
        self.write_time(slot + 4)

    def write_time(self, slot: int) -> None:
        if self.own is not None:
            self.options.data[slot : slot + 4] = self.time

    def router_alert(self, at: int, length: int) -> None:
        if length < 4:
            self.bad(at + 1)

    def label(self, at: int, length: int) -> None:
        """CIPSO: no domain of interpretation is configured, so none is valid (`cipso_v4_validate`)."""
        if self.options.cipso:
            self.bad(at)
        self.options.cipso = at + _HEADER
        self.bad(at if self.own is None else at + 1 if length < 8 else at + 2)


_CHECKS: dict[int, Callable[[_Walk, int, int], None]] = {
    LOOSE_SOURCE_ROUTE: _Walk.source_route,
    STRICT_SOURCE_ROUTE: _Walk.source_route,
    RECORD_ROUTE: _Walk.record_route,
    TIMESTAMP: _Walk.timestamp,
    ROUTER_ALERT: _Walk.router_alert,
    CIPSO: _Walk.label,
}


def echo(received: HeaderOptions | None) -> HeaderOptions | None:
    """`__ip_options_echo`: route and time records go back with room for this host's entry; other options do not.

    None: the answer carries no options.  A source route never gets here, input drops it.  Raises ValueError where
    Linux gives the answer up.
    """
    if received is None or not received.data:
        return None
    answer = HeaderOptions()
    if received.rr:
        at = received.at(received.rr)
        length, pointer = received.data[at + 1], received.data[at + 2]
        answer.rr = len(answer.data) + _HEADER
        answer.data += received.data[at : at + length]
        if received.rr_needaddr and pointer <= length:
            if pointer + 3 > length:
                raise ValueError("record route has no room for an address")
            answer.data[answer.at(answer.rr) + 2] = pointer + 4
            answer.rr_needaddr = True
    if received.ts:
        _echo_timestamp(received, answer)
    if received.cipso:
        at = received.at(received.cipso)
        answer.cipso = len(answer.data) + _HEADER
        answer.data += received.data[at : at + received.data[at + 1]]
    answer.data += bytes(-len(answer.data) % 4)
    return answer if answer.data else None


def _echo_timestamp(received: HeaderOptions, answer: HeaderOptions) -> None:
    at = received.at(received.ts)
    length, pointer = received.data[at + 1], received.data[at + 2]
    answer.ts = len(answer.data) + _HEADER
    answer.data += received.data[at : at + length]
    to = answer.at(answer.ts)
    if pointer <= length:
        if received.ts_needaddr:
            if pointer + 3 > length:
                raise ValueError("timestamp has no room for an address")
            answer.ts_needaddr = True
            pointer += 4
        if received.ts_needtime:
            if pointer + 3 > length:
                raise ValueError("timestamp has no room for a time")
            if answer.data[to + 3] & 15 != TIME_PRESPECIFIED:
                answer.ts_needtime = True
                pointer += 4
            elif pointer + 7 <= length:
                slot = to + pointer - 1
                if address_type(bytes(answer.data[slot : slot + 4])) is not Kind.UNICAST:
                    answer.ts_needtime = True
                    pointer += 8
    answer.data[to + 2] = pointer


def build(options: HeaderOptions, source: bytes, time: int) -> bytes:
    """`ip_options_build`: the octets for a header that leaves with `source` at `time` (ms of the day)."""
    data = bytearray(options.data)
    if options.rr_needaddr:
        slot = options.at(options.rr)
        slot += data[slot + 2] - 5
        data[slot : slot + 4] = source
    if options.ts_needaddr:
        slot = options.at(options.ts)
        slot += data[slot + 2] - 9
        data[slot : slot + 4] = source
    if options.ts_needtime:
        slot = options.at(options.ts)
        slot += data[slot + 2] - 5
        data[slot : slot + 4] = (time % MSEC_OF_DAY).to_bytes(4, "big")
    return bytes(data)


def undo(options: HeaderOptions) -> bytes:
    """`ip_options_undo`: the octets as the application set them, for getsockopt."""
    data = bytearray(options.data)
    if options.rr_needaddr:
        at = options.at(options.rr)
        data[at + 2] -= 4
        data[at + data[at + 2] - 1 : at + data[at + 2] + 3] = bytes(4)
    if options.ts:
        at = options.at(options.ts)
        if options.ts_needtime:
            data[at + 2] -= 4
            data[at + data[at + 2] - 1 : at + data[at + 2] + 3] = bytes(4)
            if data[at + 3] & 15 == TIME_PRESPECIFIED:
                data[at + 2] -= 4
        if options.ts_needaddr:
            data[at + 2] -= 4
            data[at + data[at + 2] - 1 : at + data[at + 2] + 3] = bytes(4)
    return bytes(data)


def for_later_fragments(data: bytes) -> bytes:
    """`ip_options_fragment`: options without the copied flag become NOPs in all fragments but the first."""
    result = bytearray(data)
    at = 0
    while at < len(result) and result[at] != END:
        if result[at] == NOP:
            at += 1
            continue
        length = result[at + 1] if at + 1 < len(result) else 0
        if not 2 <= length <= len(result) - at:
            break
        if not result[at] & _COPIED:
            result[at : at + length] = bytes((NOP,)) * length
        at += length
    return bytes(result)
