"""Programs and traces as octets, between a worker and whoever drives it.

Both cross as marshalled tuples; both ends run this file.  (Pickling costs the reader three times as much, and steps
could not be recognised before they are built.)  A trace crosses step by step, as *records*, so that what happened
before a worker died is known.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from stack_under_test.contract import frames, program, values, world
from stack_under_test.contract.program import Program
from stack_under_test.contract.trace import (
    Blocked,
    Busy,
    Completion,
    Done,
    Event,
    FrameOut,
    Killed,
    Outcome,
    Returned,
    Signalled,
    StepTrace,
    Unsupported,
)
from stack_under_test.contract.world import World

FlatStep = tuple[Any, ...]
"""A step as `flatten` gives it."""

OutcomeRecord = tuple[Any, ...]
"""("r", value, errno, outs), ("b",), ("y",) busy, ("d", errno), ("k", signal, detail) or ("u", reason)."""
EventRecord = tuple[Any, ...]
"""("f", octets, at), ("c", step, value, errno, outs, at) or ("s", task, signal, at)."""
StepRecord = tuple[OutcomeRecord, tuple[EventRecord, ...], int, int]
"""(outcome, events, started, ended)."""

BLOCKED: OutcomeRecord = ("b",)
BUSY: OutcomeRecord = ("y",)
DONE: OutcomeRecord = ("d", 0)
_MARSHAL_VERSION = 4

_CLASSES: tuple[type, ...] = tuple(
    value
    for module in (values, frames, program, world)
    for value in vars(module).values()
    if isinstance(value, type) and hasattr(value, "__dataclass_fields__")
)


_LEAVES = frozenset({int, str, bytes, bool, type(None)})
_PLAIN = frozenset({"int", "str", "bytes", "bool", "int | None", "bytes | None"})
_TUPLE = 0


class _Shape(NamedTuple):
    """`get` gives all fields as a tuple; `inner` are the positions, behind the tag, of those that may hold more
    values."""

    tag: int
    get: Callable[[Any], tuple[Any, ...]]
    inner: tuple[int, ...]


def _shape(tag: int, cls: type) -> _Shape:
    names = [field.name for field in fields(cls)]
    inner = tuple(at for at, field in enumerate(fields(cls), 1) if field.type not in _PLAIN)
    if len(names) == 1:
        get = attrgetter(names[0])
        return _Shape(tag, lambda value: (get(value),), inner)
    return _Shape(tag, attrgetter(*names) if names else lambda value: (), inner)


_SHAPES: Mapping[type, _Shape] = MappingProxyType({cls: _shape(tag, cls) for tag, cls in enumerate(_CLASSES, 1)})


def flatten(value: Any) -> Any:
    """A contract value as plain tuples: (tag of its class, its fields); a tuple has tag 0."""
    cls = type(value)
    if cls in _LEAVES:
        return value
    if cls is tuple:
        return (_TUPLE, *[item if type(item) in _LEAVES else flatten(item) for item in value])
    shape = _SHAPES.get(cls)
    if shape is None:
        return _leaf(value)
    tag, get, inner = shape
    if not inner:
        return (tag, *get(value))
    flat = [tag, *get(value)]
    for at in inner:
        if type(flat[at]) not in _LEAVES:
            flat[at] = flatten(flat[at])
    return tuple(flat)


def _leaf(value: Any) -> int | str | bytes:
    """A member of an enumeration or the like, as the plain value it stands for."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"no part of a program: {value!r}")


def _plain(flat: Any) -> Any:
    """The same tuples with plain leaves: `flatten` does not look at fields declared as such."""
    if type(flat) is tuple:
        return tuple([_plain(item) for item in flat])
    return flat if type(flat) in _LEAVES else _leaf(flat)


def build(flat: Any) -> Any:
    """The inverse of `flatten`."""
    if type(flat) is not tuple:
        return flat
    values = [item if type(item) is not tuple else build(item) for item in flat[1:]]
    return tuple(values) if flat[0] == _TUPLE else _CLASSES[flat[0] - 1](*values)


def pack_programs(programs: Sequence[Program]) -> bytes:
    flat = [(flatten(program.world), [flatten(step) for step in program.steps]) for program in programs]
    try:
        return marshal.dumps(flat, _MARSHAL_VERSION)
    except ValueError:
        return marshal.dumps([(_plain(world), [_plain(step) for step in steps]) for world, steps in flat], _MARSHAL_VERSION)


def unpack_programs(octets: bytes) -> Iterator[tuple[World, list[FlatStep]]]:
    """The worlds, and the steps still flat: equal steps are equal tuples, so what is worked out for one can be kept."""
    for flat, steps in marshal.loads(octets):
        yield build(flat), steps


def pack_step(record: StepRecord) -> bytes:
    return marshal.dumps(record, _MARSHAL_VERSION)


def unpack_step(octets: bytes | memoryview) -> StepTrace:
    outcome, events, started, ended = marshal.loads(octets)
    kind = outcome[0]
    if kind == "r":
        _, value, errno, outs = outcome
        result: Outcome = Returned(value, errno, outs)
    elif kind == "d":
        result = Done(outcome[1])
    else:
        result = _OTHERS[kind](*outcome[1:])
    return StepTrace(result, tuple([_event(event) for event in events]) if events else (), started, ended)


_OTHERS: Mapping[str, Callable[..., Outcome]] = MappingProxyType({"b": Blocked, "y": Busy, "k": Killed, "u": Unsupported})


def _event(record: EventRecord) -> Event:
    kind = record[0]
    if kind == "f":
        return FrameOut(record[1], record[2])
    if kind == "c":
        return Completion(record[1], Returned(record[2], record[3], record[4]), record[5])
    return Signalled(record[1], record[2], record[3])
