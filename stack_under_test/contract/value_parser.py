"""Arguments: text -> the values of `values.py`.

Every value has a shape of its own (`printer.py`), so no parameter kind is needed to read one, and any value can stand
in any place.  Inside braces the second field tells which structure it is: an address, a path or ``data=``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from stack_under_test.wire.addresses import parse_ip

from .lexer import Scanner
from .values import (
    BAD,
    NULL,
    Arg,
    Buffer,
    Control,
    ControlMessage,
    EpollEvent,
    FdSet,
    Inet,
    Inet6,
    InOut,
    Ints,
    IoVec,
    MsgHdr,
    Number,
    Octets,
    Pointer,
    PollFds,
    Port,
    PortOf,
    Ref,
    Timeval,
    Unix,
)

BUFFER_KINDS = ("buf", "addr", "events", "ints", "timeval", "stat", "control")
MAX_DEPTH = 16
"""How deep values, or quoted frames, stand in one another at most."""

LABEL = re.compile(r"[a-z_][a-z0-9_]*(?!\w)")

_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}(?![\w.])")
_IPV6 = re.compile(r"(?:[0-9a-fA-F]*:){2,}[0-9a-fA-F:.]*(?!\w)")
_FIELD = re.compile(r"([a-z]+)\s*=(?!=)")
_MSGHDR_NUMBERS = ("namelen", "iovlen", "controllen", "flags")
_MSGHDR_POINTERS = ("name", "iov", "control")


def read_address(scanner: Scanner) -> bytes | None:
    """An IPv4 or IPv6 address, packed, or None when none stands here."""
    scanner.skip()
    start = scanner.at
    found = scanner.match(_IPV4) or scanner.match(_IPV6)
    if not found:
        return None
    try:
        return parse_ip(found[0])
    except ValueError:
        scanner.refuse(f'"{found[0]}" is no address', start)


class ValueReader:
    """Reads from `scanner`; `labels` maps the labels of the calls so far to their steps."""

    def __init__(self, scanner: Scanner, labels: Mapping[str, int]) -> None:
        self.scanner = scanner
        self.labels = labels
        self.depth = 0

    def value(self) -> Arg:
        """An argument."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.scanner.refuse(f"values stand in one another {MAX_DEPTH} deep at most")
        value = self._value()
        self.depth -= 1
        return value

    def _value(self) -> Arg:
        scanner = self.scanner
        if scanner.sees('"'):
            return Octets(scanner.string())
        if scanner.accept("&"):
            return self._written_to()
        if scanner.sees("["):
            return self._list()
        if scanner.accept("{"):
            return self._structure()
        if scanner.sees("NULL") or scanner.sees("BAD"):
            found = scanner.match(_POINTER_NAME)
            if found:
                return NULL if found[0] == "NULL" else BAD
        prefixed = scanner.match(_PREFIXED_LIST)
        if prefixed:
            return self._list(prefixed[1])
        return self._label() if self._sees_label() else scanner.number("an argument")

    def pointer(self) -> Pointer:
        """An argument that is no number."""
        self.scanner.skip()
        start = self.scanner.at
        value = self.value()
        if isinstance(value, int | Ref):
            self.scanner.refuse("a pointer has to stand here, not a number", start)
        return value

    def number(self, what: str = "a number or the label of a call") -> Number:
        """A number or an earlier result."""
        return self._label() if self._sees_label() else self.scanner.number(what)

    def port(self) -> Port:
        """A port: a number, or ``port(r0)``."""
        if not self.scanner.word("port"):
            return self.scanner.number("a port")
        self.scanner.expect("(")
        ref = self._label()
        self.scanner.expect(")")
        return PortOf(ref)

    def _sees_label(self) -> bool:
        self.scanner.skip()
        return LABEL.match(self.scanner.text, self.scanner.at) is not None

    def _label(self) -> Ref:
        self.scanner.skip()
        start = self.scanner.at
        name = self.scanner.match(LABEL)
        if not name:
            self.scanner.fail("the label of a call, such as r0")
        if name[0] not in self.labels:
            self.scanner.refuse(f'"{name[0]}" is not the result of an earlier call', start)
        part = None
        if self.scanner.accept("["):
            part = self.scanner.number()
            self.scanner.expect("]")
        return Ref(self.labels[name[0]], part)

    def _written_to(self) -> Pointer:
        scanner = self.scanner
        if scanner.sees("["):
            return InOut(self._numbers())
        kind = scanner.word(*BUFFER_KINDS)
        if kind is None:
            scanner.fail(f'"[" or one of {", ".join(BUFFER_KINDS)}')
        scanner.expect("[")
        scanner.skip()
        start = scanner.at
        size = scanner.number("the size in octets")
        if size < 0:
            scanner.refuse("a buffer cannot have less than 0 octets", start)
        scanner.expect("]")
        return Buffer(size, kind)

    def _numbers(self) -> tuple[Number, ...]:
        self.scanner.expect("[")
        numbers: list[Number] = []
        while not self.scanner.accept("]"):
            if numbers:
                self.scanner.expect(",", '"," or "]"')
            numbers.append(self.number())
        return tuple(numbers)

    def _list(self, prefix: str = "") -> Pointer:
        """``[1, r0]`` or ``[{...}, ...]``; the first structure, or the prefix, tells what it is a list of."""
        scanner = self.scanner
        if prefix == "fds":
            return FdSet(self._numbers())
        if not prefix and not _STRUCTURES.match(scanner.text, scanner.at):
            return Ints(self._numbers())
        scanner.expect("[")
        vectors: list[tuple[Pointer, int]] = []
        polled: list[tuple[Number, int]] = []
        messages: list[ControlMessage] = []
        while not scanner.accept("]"):
            if vectors or polled or messages:
                scanner.expect(",", '"," or "]"')
            start = scanner.at
            item = self._item()
            if isinstance(item, ControlMessage):
                messages.append(item)
            elif isinstance(item[0], int | Ref):
                polled.append((item[0], item[1]))
            else:
                vectors.append((item[0], item[1]))
            if sum(map(bool, (vectors, polled, messages))) > 1:
                scanner.refuse("a list holds structures of one kind", start)
        if vectors or prefix == "iov":
            return IoVec(tuple(vectors))
        return PollFds(tuple(polled)) if polled or prefix == "pollfds" else Control(tuple(messages))

    def _item(self) -> tuple[Arg, int] | ControlMessage:
        """``{pointer, length}``, ``{fd, events}`` or ``{level, type, data}``."""
        scanner = self.scanner
        scanner.expect("{")
        first = self.value()
        scanner.expect(",")
        second = scanner.number()
        if isinstance(first, int) and scanner.accept(","):
            data = scanner.string()
            scanner.expect("}")
            return ControlMessage(first, second, data)
        scanner.expect("}")
        return first, second

    def _structure(self) -> Pointer:
        scanner = self.scanner
        scanner.skip()
        named = _FIELD.match(scanner.text, scanner.at)
        if named:
            return self._timeval() if named[1] == "sec" else self._msghdr()
        first = scanner.number("an address family, events or a named field")
        scanner.expect(",")
        if scanner.sees('"'):
            value: Pointer = Unix(scanner.string(), first)
        elif scanner.word("data"):
            scanner.expect("=")
            value = EpollEvent(first, scanner.number())
        else:
            address = read_address(scanner)
            if address is None:
                scanner.fail("an IPv4 or IPv6 address, a path in quotes, or data=")
            scanner.expect(",", '"," and the port')
            port = self.port()
            value = Inet(address, port, first) if len(address) == 4 else self._inet6(address, port, first)
        scanner.expect("}")
        return value

    def _inet6(self, address: bytes, port: Port, family: int) -> Inet6:
        fields = {"flowinfo": 0, "scope": 0}
        while self.scanner.accept(","):
            name = self._field(tuple(fields))
            fields[name] = self.scanner.number()
        return Inet6(address, port, fields["flowinfo"], fields["scope"], family)

    def _timeval(self) -> Timeval:
        self._field(("sec",))
        seconds = self.scanner.number()
        self.scanner.expect(",")
        self._field(("usec",))
        micro = self.scanner.number()
        self.scanner.expect("}")
        return Timeval(seconds, micro)

    def _msghdr(self) -> MsgHdr:
        pointers: dict[str, Pointer] = {}
        numbers: dict[str, int] = {}
        while not self.scanner.accept("}"):
            if pointers or numbers:
                self.scanner.expect(",", '"," or "}"')
            name = self._field(_MSGHDR_POINTERS + _MSGHDR_NUMBERS)
            if name in pointers or name in numbers:
                self.scanner.refuse(f'"{name}" stands twice')
            if name in _MSGHDR_POINTERS:
                pointers[name] = self.pointer()
            else:
                numbers[name] = self.scanner.number()
        return MsgHdr(
            pointers.get("name", NULL),
            numbers.get("namelen", 0),
            pointers.get("iov", NULL),
            numbers.get("iovlen"),
            pointers.get("control", NULL),
            numbers.get("controllen", 0),
            numbers.get("flags", 0),
        )

    def _field(self, names: tuple[str, ...]) -> str:
        name = self.scanner.word(*names)
        if name is None:
            self.scanner.fail(f"one of the fields {', '.join(names)}" if len(names) > 1 else f"{names[0]}=")
        self.scanner.expect("=")
        return name


_POINTER_NAME = re.compile(r"(?:NULL|BAD)(?!\w)")
_PREFIXED_LIST = re.compile(r"(fds|iov|pollfds|control)\s*(?=\[)")
_STRUCTURES = re.compile(r"\[\s*\{")
