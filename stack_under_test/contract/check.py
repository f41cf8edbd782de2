"""Whether a program can be handed to a stack at all.

Absurd arguments are what the suite is for; this refuses only what has no octets or no meaning before any stack sees it:
a field that does not fit its width, arguments larger than a task's memory, a reference to a step that is not an earlier
call.  `parse_program` checks what it reads; whoever builds or shrinks programs otherwise asks `check_program`.
"""

from __future__ import annotations

import re
import struct

from .flows import Flows
from .frame_printer import option_text
from .frames import BASES, AnyFrame, Frame, IcmpMessage, RawFrame, Rel, TcpSegment
from .memory import ARENA_SIZE, MAX_TASKS, arena, encode
from .program import Advance, Call, Fork, Inject, Program, Signal, Step
from .syscalls import SYSCALLS
from .values import Buffer, Ref
from .world import World

MAX_FRAME = 65535
"""Octets."""

MAX_ADVANCE = 10**18
"""Nanoseconds: 31 years."""

_SYSCTL_NAME = re.compile(r"[\w.\-/]+")


def check_program(program: Program) -> None:
    """Raise ValueError, with the step's index, for a program that cannot be run."""
    check_world(program.world)
    for index, step in enumerate(program.steps):
        try:
            check_step(step)
            for ref in references(step):
                if not 0 <= ref.step < index or not isinstance(program.steps[ref.step], Call):
                    raise ValueError(f"step {ref.step} is not an earlier call")
        except ValueError as error:
            raise ValueError(f"step {index}: {error}") from None


def check_world(world: World) -> None:
    """Raise ValueError for a link or a sysctl that is none."""
    if world.link not in ("tun", "tap"):
        raise ValueError(f"link {world.link!r} is neither tun nor tap")
    for name, _ in world.sysctls:
        if not _SYSCTL_NAME.fullmatch(name) or ".." in name or name.startswith(("/", ".")):
            raise ValueError(f"{name!r} is no name of a sysctl")


def check_step(step: Step) -> None:
    """Raise ValueError for a step that cannot be carried out, whatever came before it."""
    match step:
        case Call():
            _check_call(step)
        case Inject(frame):
            _check_frame(frame)
        case Advance(ns):
            if not 0 <= ns <= MAX_ADVANCE:
                raise ValueError(f"time cannot advance by {ns} ns")
        case Signal(task, signo):
            _check_task(task)
            if not 1 <= signo <= 64:
                raise ValueError(f"{signo} is no signal")
        case Fork(task):
            _check_task(task)
            if task == 0:
                raise ValueError("task 0 is there from the start")


def references(value: object) -> tuple[Ref, ...]:
    """Every reference in a step, or in any part of one, in order."""
    if isinstance(value, Ref):
        return (value,)
    if isinstance(value, tuple):
        return tuple(ref for item in value for ref in references(item))
    if hasattr(value, "__dataclass_fields__"):
        return tuple(ref for name in value.__dataclass_fields__ for ref in references(getattr(value, name)))
    return ()


def _check_task(task: int) -> None:
    if not 0 <= task < MAX_TASKS:
        raise ValueError(f"there is no task {task}, only 0 to {MAX_TASKS - 1}")


def _check_call(call: Call) -> None:
    _check_task(call.task)
    if call.sys not in SYSCALLS:
        raise ValueError(f"{call.sys!r} is no system call that a program may make")
    expected = len(SYSCALLS[call.sys].params)
    if len(call.args) != expected:
        raise ValueError(f"{call.sys} takes {expected} arguments, found {len(call.args)}")
    _check_sizes(call.args)
    encode(call.args, arena(call.task), lambda ref: 0)


def _check_sizes(value: object) -> None:
    """Before anything is laid out, since that takes as much memory as the program says."""
    if isinstance(value, Buffer) and not 0 <= value.size <= ARENA_SIZE:
        raise ValueError(f"a buffer of {value.size} octets; a task has {ARENA_SIZE}")
    if isinstance(value, tuple):
        for item in value:
            _check_sizes(item)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            _check_sizes(getattr(value, name))


def _check_frame(frame: AnyFrame) -> None:
    if isinstance(frame, RawFrame):
        size = len(frame.octets)
    else:
        if isinstance(frame, Frame):
            _check_symbols(frame)
        try:
            size = len(Flows().octets(frame, lambda ref: 0))
        except (struct.error, OverflowError, IndexError) as error:
            raise ValueError(f"a field does not fit: {error}") from None
    if size > MAX_FRAME:
        raise ValueError(f"a frame of {size} octets; at most {MAX_FRAME} go on a link")


def _check_symbols(frame: Frame) -> None:
    body = frame.body
    if isinstance(body, IcmpMessage) and isinstance(body.body, Frame):
        _check_symbols(body.body)
    if isinstance(body, TcpSegment):
        for option in body.options:
            option_text(option)
        numbers = [body.seq, body.ack, *(value for option in body.options for value in option.values)]
        for number in numbers:
            if isinstance(number, Rel) and number.base not in BASES:
                raise ValueError(f"{number.base!r} is no base of a sequence number")
