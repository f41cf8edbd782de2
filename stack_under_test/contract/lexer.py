"""The tokens of program text: strings of octets, numbers, names; and the one error that reading text raises.

The grammar is read with one line in hand and no token list: what a character means depends on where it stands (``.`` is
a TCP flag, part of an address, nothing else), so the reader asks for what may come next.  A ``#`` outside a string ends
the line.

A string is octets.  Printable ASCII stands for itself, the rest as ``\\xHH``; ``"a"*1000`` repeats, strings side by
side join: ``"GET " "/"*8``.
"""

from __future__ import annotations

import re
from typing import NoReturn

from .memory import ARENA_SIZE
from .namespaces import NUMBERS

MAX_STRING = ARENA_SIZE
"""Octets; more fits no argument and no packet."""

_RUN = 16
_PERIOD = 64
_RUNS = re.compile(rb"(.)\1{%d,}" % (_RUN - 1), re.DOTALL)
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("0"): 0, ord("\\"): 92, ord('"'): 34}
_PLAIN = {code: chr(code) for code in range(32, 127)} | {34: '\\"', 92: "\\\\", 10: "\\n", 13: "\\r", 9: "\\t"}
_SPACE = re.compile(r"\s*")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:0x[0-9a-fA-F]+|0o[0-7]+|[0-9]+)(?![\w.])")
_NAME = re.compile(r"[A-Z][A-Z0-9_]*(?!\w)")
_FOUND = re.compile(r'"(?:[^"\\]|\\.)*"?|[\w.]+|.')
_MAX_DIGITS = 4000


class ProgramError(ValueError):
    """A text that is not a program, or a program that cannot be run; `str()` is one line that says where and why."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column
        self.message = message


def quote(octets: bytes) -> str:
    """Octets as a string, repetitions folded; `Scanner.string` is the inverse."""
    if len(octets) > _PERIOD:
        period = (octets + octets).find(octets, 1)
        if period <= _PERIOD and period < len(octets):
            return f"{_literal(octets[:period])}*{len(octets) // period}"
    parts = []
    at = 0
    for run in _RUNS.finditer(octets):
        if run.start() > at:
            parts.append(_literal(octets[at : run.start()]))
        parts.append(f"{_literal(run[1])}*{run.end() - run.start()}")
        at = run.end()
    if at < len(octets) or not parts:
        parts.append(_literal(octets[at:]))
    return " ".join(parts)


def _literal(octets: bytes) -> str:
    return '"' + "".join([_PLAIN.get(code) or f"\\x{code:02x}" for code in octets]) + '"'


class Scanner:
    """A place in one line of text.  Every reader skips white space first; `fail` and `expect` raise ProgramError."""

    def __init__(self, text: str, line: int = 1) -> None:
        self.text = text
        self.line = line
        self.at = 0

    def fail(self, expected: str) -> NoReturn:
        """Raise: `expected` should stand here."""
        self.skip()
        found = _FOUND.match(self.text, self.at)
        shown = f'"{found[0][:40]}"' if found else "the end of the line"
        raise ProgramError(self.line, self.at + 1, f"expected {expected}, found {shown}")

    def refuse(self, message: str, at: int | None = None) -> NoReturn:
        """Raise with a message of its own, about the place `at` (an offset; None: here)."""
        raise ProgramError(self.line, (self.at if at is None else at) + 1, message)

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        if self.text.startswith("#", self.at):
            self.at = len(self.text)

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Take what matches here, if anything does."""
        self.skip()
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def sees(self, literal: str) -> bool:
        self.skip()
        return self.text.startswith(literal, self.at)

    def accept(self, literal: str) -> bool:
        """Take punctuation, if it stands here."""
        if not self.sees(literal):
            return False
        self.at += len(literal)
        return True

    def expect(self, literal: str, what: str = "") -> None:
        if not self.accept(literal):
            self.fail(what or f'"{literal}"')

    def word(self, *words: str) -> str | None:
        """Take one of these lower-case words, if it stands here whole."""
        self.skip()
        for word in words:
            end = self.at + len(word)
            if self.text.startswith(word, self.at) and not re.match(r"[\w]", self.text[end : end + 1]):
                self.at = end
                return word
        return None

    def end(self) -> None:
        """Nothing but white space or a comment is left."""
        self.skip()
        if self.at < len(self.text):
            self.fail("the end of the line")

    def number(self, what: str = "a number") -> int:
        """A number, a name of one, or several joined by ``|``."""
        value = self._term(what)
        while self.accept("|"):
            value |= self._term(what)
        return value

    def _term(self, what: str) -> int:
        self.skip()
        start = self.at
        name = self.match(_NAME)
        if name:
            if name[0] not in NUMBERS:
                self.refuse(f'"{name[0]}" is no name of a number', start)
            return NUMBERS[name[0]]
        found = self.match(_NUMBER)
        if not found:
            self.fail(what)
        if len(found[0]) > _MAX_DIGITS:
            self.refuse(f"a number of {len(found[0])} digits", start)
        digits = found[0]
        return int(digits, 0 if "x" in digits or "o" in digits else 10)

    def string(self, what: str = "a string") -> bytes:
        """A string expression: literals, repeated or side by side."""
        if not self.sees('"'):
            self.fail(what)
        parts = bytearray()
        while self.sees('"'):
            parts += self._repeated(len(parts))
        return bytes(parts)

    def _repeated(self, before: int) -> bytes:
        start = self.at
        found = self.match(_STRING)
        if not found:
            self.refuse("this string has no end", start)
        octets = self._unescaped(found[1], start + 1)
        times = 1
        if self.accept("*"):
            times = self.number("how often to repeat")
            if times < 0:
                self.refuse("a string cannot be repeated less than 0 times", start)
        if before + len(octets) * times > MAX_STRING:
            self.refuse(f"a string of more than {MAX_STRING} octets", start)
        return octets * times

    def _unescaped(self, text: str, start: int) -> bytes:
        octets = bytearray()
        at = 0
        for escape in _ESCAPE.finditer(text):
            octets += self._ascii(text[at : escape.start()], start + at)
            at = escape.end()
            code = escape[1]
            if len(code) == 3:
                octets.append(int(code[1:], 16))
            elif ord(code) in _ESCAPES:
                octets.append(_ESCAPES[ord(code)])
            else:
                self.refuse(f'"\\{code}" is no escape; write \\xHH', start + escape.start())
        return bytes(octets + self._ascii(text[at:], start + at))

    def _ascii(self, text: str, start: int) -> bytes:
        if not text.isascii():
            self.refuse("a string holds octets: write what is not ASCII as \\xHH", start)
        return text.encode("ascii")
