"""What a call stored, made comparable and readable, by the kind of the parameter it was stored through.

An out value becomes `(path, kind, value)` with a value that compares by ``==``; `text` writes it as people write it.
Rules that apply (`rules.py`): descriptor, ephemeral-port, identity, measured, quoted-numbers, raw-read, select-remaining.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from stack_under_test.contract import abi
from stack_under_test.contract.errnos import errno_name
from stack_under_test.contract.lexer import quote
from stack_under_test.contract.memory import FILL
from stack_under_test.contract.namespaces import (
    CONTROL_TYPES,
    DECIMAL,
    EPOLL_EVENTS,
    FAMILY,
    LEVEL,
    MESSAGE_FLAGS,
    POLL_EVENTS,
)
from stack_under_test.contract.program import Call
from stack_under_test.contract.syscalls import SYSCALLS
from stack_under_test.contract.trace import Outs
from stack_under_test.contract.values import Buffer, MsgHdr
from stack_under_test.wire.addresses import format_ip

from . import tcp_info
from .facts import Facts
from .reads import ipv4_packet, rewrite, tcp_header
from .rules import (
    IDENTITY_OPTIONS,
    IP_PROTOCOL,
    PEERCRED,
    PEERNAME,
    RECEIVED_SUM,
    STAT_IDENTITY,
    TCP_INFO,
    TCP_TIMESTAMP,
    TIMESTAMP_MESSAGES,
    zeroed,
)

PortSymbol = Callable[[str, int], int | str]


class Out(NamedTuple):
    """`kind` names the form of `value`: sockaddr, ints, fds, pollfds, fdset, events, control, octets, ..."""

    path: str
    kind: str
    value: Any


_RECEIVING = frozenset({"recv", "recvfrom", "recvmsg"})
_SOME_PORT = b"\1\0\0\0"
_READING = _RECEIVING | {"read", "readv"}


class Decoder:
    """Decodes the outs of one side: `port` makes ports symbolic, `fd_base` is the target's."""

    def __init__(self, facts: Facts, port: PortSymbol, fd_base: int) -> None:
        self.facts = facts
        self.port = port
        self.fd_base = fd_base

    def outs(self, call: Call, outs: Outs) -> tuple[Out, ...]:
        """All outs of a call, in order of appearance."""
        if outs and call.sys in _RECEIVING and self._reads_tcp_errors(call):
            outs = rewrite(outs, tcp_header)
        elif outs and call.sys in _READING and self.facts.protocol(call.args[0]) == "raw":
            outs = rewrite(outs, lambda octets: ipv4_packet(octets, self.facts.idents))
        return tuple([self._out(call, path, octets) for path, octets in outs])

    def _reads_tcp_errors(self, call: Call) -> bool:
        """Does it take a TCP header that an ICMP error quoted from the error queue (rule quoted-numbers)?"""
        at = 2 if call.sys == "recvmsg" else 3
        flags = call.args[at] if len(call.args) > at else 0
        wants = isinstance(flags, int) and flags & abi.MSG_ERRQUEUE
        return bool(wants) and self.facts.protocol(call.args[0]) == "tcp"

    def _out(self, call: Call, path: str, octets: bytes) -> Out:
        place, _, part = path.removeprefix("arg").partition(".")
        index = int(place)
        params = SYSCALLS[call.sys].params if call.sys in SYSCALLS else ()
        kind = params[index] if index < len(params) else ""
        if part and kind != "iovec":
            return self._part(call, index, path, part, octets)
        decode = _BY_KIND.get(kind)
        return self._data(path, octets) if decode is None or part else decode(self, call, index, path, octets)

    def _data(self, path: str, octets: bytes) -> Out:
        """What was read (rule misplaced-echo)."""
        if self.facts.odd_offsets:
            whole = [value.to_bytes(4, "big") for value in sorted(self.facts.timestamps) if value]
            values = [re.escape(value[start:]) for start in range(4) for value in whole]
            if values:
                octets = re.sub(rb"(%s)(.{1,4})" % b"|".join(values), _without_echo, octets, flags=re.DOTALL)
        return Out(path, "octets", octets)

    def _part(self, call: Call, index: int, path: str, part: str, octets: bytes) -> Out:
        """A field of a msghdr."""
        if part == "name":
            header = call.args[index]
            return self._sockaddr(call, path, octets, header.name if isinstance(header, MsgHdr) else None)
        if part == "control":
            return Out(path, "control", self._control(octets))
        if part in ("namelen", "controllen", "flags"):
            return Out(path, "flags" if part == "flags" else "number", int.from_bytes(octets, "little"))
        return self._data(path, octets)

    def addr(self, call: Call, index: int, path: str, octets: bytes) -> Out:
        return self._sockaddr(call, path, octets, call.args[index])

    def _sockaddr(self, call: Call, path: str, octets: bytes, buffer: object) -> Out:
        """A trimmed address gets its octets back first: a random port may end in the fill octet."""
        if isinstance(buffer, Buffer) and len(octets) < buffer.size <= 128 and octets:
            octets = octets.ljust(buffer.size, bytes((FILL,)))
        family = int.from_bytes(octets[:2], "little")
        if family == abi.AF_NETLINK and any(octets[4:8]):
            octets = octets[:4] + _SOME_PORT[: len(octets) - 4] + octets[8:]
        if len(octets) < 4 or family not in (abi.AF_INET, abi.AF_INET6):
            return Out(path, "sockaddr", (family, 0, octets[2:] if family != abi.AF_INET else b"") if octets else ())
        protocol = self.facts.protocol(call.args[0])
        port = int.from_bytes(octets[2:4], "big")
        return Out(path, "sockaddr", (family, self.port(protocol, port), octets[4:].rstrip(bytes((FILL,)))))

    def size(self, call: Call, index: int, path: str, octets: bytes) -> Out:
        """A length; or the beginning of the address, where the caller left no memory for that before it."""
        if octets[:2] == b"\2\0" and len(octets) >= 4:
            port = self.port(self.facts.protocol(call.args[0]), int.from_bytes(octets[2:4], "big"))
            if isinstance(port, str):
                return Out(path, "sockaddr", (abi.AF_INET, port, octets[4:]))
        return Out(path, "ints", _ints(octets))

    def inout(self, call: Call, index: int, path: str, octets: bytes) -> Out:
        if call.sys == "socketpair":
            return Out(path, "fds", tuple([self._fd(number) for number in _ints(octets)]))
        if call.sys == "ioctl" and call.args[1] == abi.SIOCGSTAMP:
            return Out(path, "octets", bytes(len(octets)))
        return Out(path, "ints", _ints(octets))

    def option(self, call: Call, index: int, path: str, octets: bytes) -> Out:
        """What getsockopt, read, recv and fstat fill."""
        if call.sys == "fstat":
            return Out(path, "octets", zeroed(octets, STAT_IDENTITY))
        if call.sys != "getsockopt":
            return self._data(path, octets)
        option = (call.args[1], call.args[2])
        if option in IDENTITY_OPTIONS or option == TCP_TIMESTAMP:
            return Out(path, "octets", bytes(len(octets)))
        if option == IP_PROTOCOL:
            port = self.port(self.facts.protocol(call.args[0]), int.from_bytes(octets[:2], "little"))
            whole = len(octets) > 1 and not isinstance(port, str)
            return (
                Out(path, "ints", (port,)) if len(octets) == 4 else Out(path, "octets", octets if whole else bytes(len(octets)))
            )
        if option == PEERCRED:
            return Out(path, "octets", octets if octets[:4] == b"\0\0\0\0" else zeroed(octets, ((0, 4),)))
        if option == TCP_INFO:
            return Out(path, "tcp_info", tcp_info.decode(octets))
        if option == PEERNAME:
            return self._sockaddr(call, path, octets, call.args[index])
        if option == (abi.SOL_SOCKET, abi.SO_ERROR):
            return Out(path, "errno", _ints(octets))
        return Out(path, "ints", _ints(octets)) if len(octets) <= 8 else Out(path, "octets", octets)

    def pollfds(self, call: Call, index: int, path: str, octets: bytes) -> Out:
        """revents only: the kernel writes nothing else, and the descriptors are the target's numbers."""
        return Out(path, "pollfds", tuple([item[2] for item in struct.iter_unpack("<IHH", octets[: len(octets) & ~7])]))

    def fdset(self, call: Call, index: int, path: str, octets: bytes) -> Out:
        bits = int.from_bytes(octets, "little")
        return Out(path, "fdset", tuple([self._fd(bit) for bit in range(bits.bit_length()) if bits >> bit & 1]))

    def timeval(self, call: Call, index: int, path: str, octets: bytes) -> Out:
        return Out(path, "timeval", any(octets))

    def events(self, call: Call, index: int, path: str, octets: bytes) -> Out:
        whole = len(octets) // 12 * 12
        found: tuple[Any, ...] = tuple(struct.iter_unpack("<IQ", octets[:whole]))
        if len(octets) > whole:
            # Trimmed at the end: data whose high octets are the fill octet.
            found += tuple(struct.iter_unpack("<IQ", octets[whole:].ljust(12, bytes((FILL,)))))
        return Out(path, "events", found)

    def _fd(self, number: int) -> int:
        return number - self.fd_base if number >= self.fd_base else number

    def _control(self, octets: bytes) -> tuple[Any, ...]:
        """(level, type, data) per message; then what is left over, if anything."""
        messages: list[Any] = []
        at = 0
        while at + 16 <= len(octets):
            length, level, kind = struct.unpack_from("<QII", octets, at)
            if length < 16 or at + length > len(octets) + 8:
                break
            data = octets[at + 16 : at + length]
            if (level, kind) in TIMESTAMP_MESSAGES or (level, kind) == RECEIVED_SUM:
                data = bytes(len(data))
            elif (level, kind) == (1, 1):
                data = struct.pack(f"<{len(data) // 4}i", *[self._fd(number) for number in _ints(data)[: len(data) // 4]])
            elif (level, kind) == (abi.SOL_IP, abi.IP_ORIGDSTADDR) and len(data) >= 4:
                port = self.port("udp", int.from_bytes(data[2:4], "big"))
                data = data[:2] + str(port).encode() + data[4:]
            messages.append((level, kind, data))
            at += (length + 7) & ~7
        return (*messages, octets[at:]) if at < len(octets) else tuple(messages)


_BY_KIND: Mapping[str, Callable[[Decoder, Call, int, str, bytes], Out]] = MappingProxyType(
    {
        "addr": Decoder.addr,
        "sockaddr": Decoder.addr,
        "sizeptr": Decoder.size,
        "inout": Decoder.inout,
        "out": Decoder.option,
        "pollfds": Decoder.pollfds,
        "fdset": Decoder.fdset,
        "timeval": Decoder.timeval,
        "events": Decoder.events,
    }
)


def _without_echo(option: re.Match[bytes]) -> bytes:
    return option[1] + bytes(len(option[2]))


def _ints(octets: bytes) -> tuple[int, ...]:
    """Little-endian C ints; an incomplete last one as if it were followed by zeros."""
    whole = octets if len(octets) % 4 == 0 else octets + bytes(-len(octets) % 4)
    return struct.unpack(f"<{len(whole) // 4}i", whole)


def text(out: Out) -> str:
    """The value as people write it."""
    write = _TEXTS.get(out.kind)
    return quote(out.value) if write is None else write(out.value)


def _sockaddr_text(value: tuple[Any, ...]) -> str:
    if not value:
        return "nothing"
    family, port, rest = value
    size = 4 if family == abi.AF_INET else 20
    if family == abi.AF_INET and len(rest) >= 4 and not any(rest[4:]):
        return f"{{AF_INET, {format_ip(rest[:4])}, {port}}}" + ("" if len(rest) == 12 else f" {len(rest) + 4} octets")
    if family == abi.AF_INET6 and len(rest) >= size:
        scope = int.from_bytes(rest[20:24], "little")
        return f"{{AF_INET6, {format_ip(rest[4:20])}, {port}, scope={scope}}}"
    return f"{{{FAMILY.text(family)}, {port}, {quote(rest)}}}"


def _control_text(value: tuple[Any, ...]) -> str:
    items = [
        quote(item)
        if isinstance(item, bytes)
        else f"{{{LEVEL.text(item[0])}, {CONTROL_TYPES.get(item[0], DECIMAL).text(item[1])}, {quote(item[2])}}}"
        for item in value
    ]
    return f"[{', '.join(items)}]"


def _list_text(value: tuple[Any, ...]) -> str:
    return f"[{', '.join(map(str, value))}]"


_TEXTS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "sockaddr": _sockaddr_text,
        "control": _control_text,
        "ints": _list_text,
        "fds": lambda value: _list_text(tuple(f"fd#{number}" for number in value)),
        "fdset": lambda value: "fds" + _list_text(tuple(f"fd#{number}" for number in value)),
        "errno": lambda value: _list_text(tuple(errno_name(number) if number else "0" for number in value)),
        "pollfds": lambda value: _list_text(tuple(POLL_EVENTS.text(events) for events in value)),
        "events": lambda value: _list_text(tuple(f"{{{EPOLL_EVENTS.text(events)}, data={data}}}" for events, data in value)),
        "timeval": lambda value: "some time left" if value else "no time left",
        "tcp_info": tcp_info.text,
        "number": str,
        "flags": MESSAGE_FLAGS.text,
    }
)
