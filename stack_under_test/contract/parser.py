"""Text -> program, or one clear line.

A line is blank, a comment, or a step; before the first step, lines of the world (``link``, ``sysctl``).  Any
lower-case name may label a call; the printer calls them ``r0``, ``r1``, ... .  A reference is a label, so one to a
later step, or to a step that is no call, cannot be written.

Each step is also handed to `check.py`, so that a program that was read can be run: its arguments can be laid out and
its frames have octets.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .check import check_step, check_world
from .frame_parser import FrameReader
from .frames import AnyFrame
from .lexer import ProgramError, Scanner
from .program import Advance, Call, Fork, Inject, Program, Signal, Step
from .syscalls import SYSCALLS
from .value_parser import LABEL, ValueReader
from .values import Arg
from .world import World

__all__ = ["ProgramError", "parse_frame", "parse_program"]

_TASK = re.compile(r"t([0-9]{1,9})(?!\w)")
_CALL = re.compile(r"([a-z_][a-z0-9_]*)\s*(?=\()")
_ASSIGNED = re.compile(r"([a-z_][a-z0-9_]*)\s*=")
_DURATION = re.compile(r"([+-]?[0-9]{1,4000})(ns|us|ms|s)(?!\w)")
_SYSCTL_NAME = re.compile(r"[\w.\-/]+")
_PLAIN_VALUE = re.compile(r'[^#"]*[^#"\s]')
_SIZES = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_RESERVED = frozenset({"port", "link", "sysctl", "advance", "signal", "fork", "fds", "iov", "pollfds", "control"})


def parse_program(text: str, check: bool = True) -> Program:
    """The program. Raises ProgramError at the first fault; `check` False reads what no stack could be given, too."""
    return _Reader(check).program(text)


def parse_frame(text: str) -> AnyFrame:
    """A frame without its direction sign. Raises ProgramError."""
    scanner = Scanner(text)
    frame = FrameReader(scanner, ValueReader(scanner, {})).frame()
    scanner.end()
    return frame


class _Reader:
    def __init__(self, check: bool) -> None:
        self.check = check
        self.labels: dict[str, int] = {}
        self.steps: list[Step] = []
        self.link: str | None = None
        self.sysctls: list[tuple[str, str]] = []

    def program(self, text: str) -> Program:
        for number, line in enumerate(text.split("\n"), 1):
            scanner = Scanner(line, number)
            scanner.skip()
            if scanner.at < len(line):
                start = scanner.at
                self.line(scanner, start)
        return Program(tuple(self.steps), World(self.link or "tun", tuple(self.sysctls)))

    def line(self, scanner: Scanner, start: int) -> None:
        if scanner.word("link", "sysctl"):
            if self.steps:
                scanner.refuse("the world is described before the first step", start)
            scanner.at = start
            self.world(scanner)
            self._checked(scanner, start, lambda: check_world(World(self.link or "tun", tuple(self.sysctls))))
            return
        step = self.step(scanner)
        scanner.end()
        self._checked(scanner, start, lambda: check_step(step))
        self.steps.append(step)

    def _checked(self, scanner: Scanner, start: int, check: Callable[[], None]) -> None:
        if self.check:
            try:
                check()
            except ValueError as error:
                scanner.refuse(str(error), start)

    def world(self, scanner: Scanner) -> None:
        if scanner.word("link"):
            link = scanner.word("tun", "tap")
            if link is None:
                scanner.fail("tun or tap")
            if self.link is not None:
                scanner.refuse("the link is named twice")
            self.link = link
            scanner.end()
            return
        scanner.word("sysctl")
        name = scanner.match(_SYSCTL_NAME)
        if not name:
            scanner.fail("the name of a sysctl")
        scanner.expect("=")
        scanner.skip()
        start = scanner.at
        if scanner.sees('"'):
            try:
                value = scanner.string().decode()
            except UnicodeDecodeError:
                scanner.refuse("the value of a sysctl is text", start)
        else:
            plain = scanner.match(_PLAIN_VALUE)
            if not plain:
                scanner.fail("a value")
            value = plain[0]
        scanner.end()
        self.sysctls.append((name[0], value))

    def step(self, scanner: Scanner) -> Step:
        if scanner.accept("<"):
            return Inject(FrameReader(scanner, ValueReader(scanner, self.labels)).frame())
        match scanner.word("advance", "signal", "fork"):
            case "advance":
                return Advance(_duration(scanner))
            case "signal":
                return Signal(_task(scanner), scanner.number("a signal, such as SIGUSR1"))
            case "fork":
                return Fork(_task(scanner))
        return self.call(scanner)

    def call(self, scanner: Scanner) -> Call:
        start = scanner.at
        task = scanner.match(_TASK)
        if task:
            if not scanner.accept(":"):
                scanner.at, task = start, None
            else:
                scanner.skip()
        label_at = scanner.at
        label = scanner.match(_ASSIGNED)
        if label:
            self._label_is_free(scanner, label[1], label_at)
        scanner.skip()
        start = scanner.at
        name = scanner.match(_CALL)
        if not name:
            scanner.fail("a system call" if label or task else "a step: a call, <, advance, signal or fork")
        if name[1] not in SYSCALLS:
            scanner.refuse(f'"{name[1]}" is no system call that a program may make', start)
        args = self._arguments(scanner)
        params = SYSCALLS[name[1]].params
        if len(args) != len(params):
            called = f"{name[1]}({', '.join(params)})"
            scanner.refuse(f"{called} takes {len(params)} argument{'s' * (len(params) != 1)}, found {len(args)}", start)
        if label:
            self.labels[label[1]] = len(self.steps)
        return Call(name[1], args, int(task[1]) if task else 0)

    def _label_is_free(self, scanner: Scanner, label: str, at: int) -> None:
        if label in self.labels:
            scanner.refuse(f'"{label}" is the result of an earlier call already', at)
        if label in _RESERVED or _TASK.fullmatch(label) or not LABEL.fullmatch(label):
            scanner.refuse(f'"{label}" cannot be a label', at)

    def _arguments(self, scanner: Scanner) -> tuple[Arg, ...]:
        scanner.expect("(")
        reader = ValueReader(scanner, self.labels)
        args: list[Arg] = []
        while not scanner.accept(")"):
            if args:
                scanner.expect(",", '"," or ")"')
            args.append(reader.value())
        return tuple(args)


def _duration(scanner: Scanner) -> int:
    found = scanner.match(_DURATION)
    if not found:
        scanner.fail("a whole number and ns, us, ms or s, such as 40ms")
    return int(found[1]) * _SIZES[found[2]]


def _task(scanner: Scanner) -> int:
    found = scanner.match(_TASK)
    if not found:
        scanner.fail("a task, such as t1")
    return int(found[1])
