"""A program as text: canonical, so that equal programs print alike and `parse_program` gives back what was printed.

The world first (what differs from the default), then a line a step.  Calls whose result is a descriptor, or is used
later, are labelled ``r0``, ``r1``, ... in order.  Numbers print by the parameter's kind (`namespaces.py`).
Each value of `values.py` has one form, told apart by its shape alone, so that any value may stand in any place.

The printer trusts its program: one that `check.py` refuses for its shape (a reference forward, an address of three
octets) prints as text that does not parse, or raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from stack_under_test.wire.addresses import format_ip

from .check import references
from .frame_printer import frame_text
from .frames import AnyFrame
from .lexer import quote
from .namespaces import (
    CONTROL_TYPES,
    DECIMAL,
    EPOLL_EVENTS,
    FAMILY,
    LEVEL,
    MESSAGE_FLAGS,
    POLL_EVENTS,
    SIGNAL,
    namespace,
)
from .program import Advance, Call, Fork, Inject, Program, Signal, Step
from .syscalls import SYSCALLS
from .values import (
    Arg,
    Bad,
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
    Null,
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
from .world import World

Labels = Mapping[int, str]
"""Step index -> label."""

UNITS = (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000))
_SIMPLE_VALUE = re.compile(r'[^\s"#]+(?: [^\s"#]+)*')


def print_program(program: Program) -> str:
    """The canonical text; ends with a newline unless it is empty."""
    labels = label_steps(program)
    lines = [*_world(program.world), *(print_step(step, index, labels) for index, step in enumerate(program.steps))]
    return "".join(f"{line}\n" for line in lines)


def print_step(step: Step, index: int, labels: Labels) -> str:
    """One line without its newline; `labels` comes from `label_steps`, `index` is the step's place in the program."""
    match step:
        case Call():
            task = f"t{step.task}: " if step.task else ""
            label = f"{labels[index]} = " if index in labels else ""
            return f"{task}{label}{step.sys}({', '.join(_arguments(step, labels))})"
        case Inject(frame):
            return f"< {print_frame(frame, labels)}"
        case Advance(ns):
            return f"advance {print_duration(ns)}"
        case Signal(task, signo):
            return f"signal t{task} {SIGNAL.text(signo)}"
        case Fork(task):
            return f"fork t{task}"


def print_frame(frame: AnyFrame, labels: Labels = MappingProxyType({})) -> str:
    """A frame without its direction sign: ``tcp 1234 > 8080 S seq peer+0``."""
    return frame_text(frame, lambda port: _port(port, labels))


def print_value(value: Arg, labels: Labels = MappingProxyType({})) -> str:
    """An argument, as it prints where its parameter's kind gives a number no name."""
    return str(value) if isinstance(value, int) else _value(value, labels)


def print_duration(ns: int) -> str:
    """Nanoseconds in the largest unit that is exact: ``40ms``, ``1500us``."""
    for unit, size in UNITS:
        if ns and ns % size == 0:
            return f"{ns // size}{unit}"
    return f"{ns}ns"


def label_steps(program: Program) -> Labels:
    """The labels of a program's calls."""
    used = {ref.step for step in program.steps for ref in references(step)}
    labels: dict[int, str] = {}
    for index, step in enumerate(program.steps):
        if isinstance(step, Call) and (index in used or step.sys == "socketpair" or _gives_descriptor(step.sys)):
            labels[index] = f"r{len(labels)}"
    return labels


def _gives_descriptor(name: str) -> bool:
    return name in SYSCALLS and SYSCALLS[name].result == "fd"


def _world(world: World) -> list[str]:
    lines = [] if world.link == "tun" else [f"link {world.link}"]
    return lines + [f"sysctl {name} = {_sysctl_value(value)}" for name, value in world.sysctls]


def _sysctl_value(value: str) -> str:
    simple = value.isascii() and value.isprintable() and _SIMPLE_VALUE.fullmatch(value)
    return value if simple else quote(value.encode())


def _arguments(call: Call, labels: Labels) -> list[str]:
    kinds = SYSCALLS[call.sys].params if call.sys in SYSCALLS else ()
    texts = []
    for place, arg in enumerate(call.args):
        if isinstance(arg, int):
            kind = kinds[place] if place < len(kinds) else "int"
            texts.append(namespace(kind, call.args[place - 1] if place else None).text(arg))
        else:
            texts.append(_value(arg, labels))
    return texts


def _value(value: Ref | Pointer, labels: Labels) -> str:
    return _WRITERS[type(value)](value, labels)


def _ref(ref: Ref, labels: Labels) -> str:
    part = "" if ref.part is None else f"[{ref.part}]"
    return labels.get(ref.step, f"step{ref.step}") + part


def _number(number: Number, labels: Labels) -> str:
    return _ref(number, labels) if isinstance(number, Ref) else str(number)


def _port(port: Port, labels: Labels) -> str:
    return f"port({_ref(port.ref, labels)})" if isinstance(port, PortOf) else str(port)


def _list(items: list[str], empty: str) -> str:
    """Lists of structures look alike when they are empty, so then the kind is named."""
    return f"[{', '.join(items)}]" if items else f"{empty}[]"


def _numbers(values: tuple[Number, ...], labels: Labels) -> str:
    return "[" + ", ".join([_number(value, labels) for value in values]) + "]"


def _inet6(value: Inet6, labels: Labels) -> str:
    extra = f", flowinfo={value.flowinfo}" if value.flowinfo else ""
    extra += f", scope={value.scope_id}" if value.scope_id else ""
    return f"{{{FAMILY.text(value.family)}, {format_ip(value.addr)}, {_port(value.port, labels)}{extra}}}"


def _msghdr(value: MsgHdr, labels: Labels) -> str:
    fields = [
        f"name={_value(value.name, labels)}",
        f"namelen={value.namelen}",
        f"iov={_value(value.iov, labels)}",
        *([] if value.iovlen is None else [f"iovlen={value.iovlen}"]),
        f"control={_value(value.control, labels)}",
        f"controllen={value.controllen}",
        f"flags={MESSAGE_FLAGS.text(value.flags)}",
    ]
    return f"{{{', '.join(fields)}}}"


def _control_message(message: ControlMessage) -> str:
    kind = CONTROL_TYPES.get(message.level, DECIMAL).text(message.type)
    return f"{{{LEVEL.text(message.level)}, {kind}, {quote(message.data)}}}"


def _iovec(value: IoVec, labels: Labels) -> str:
    return _list([f"{{{_value(item, labels)}, {length}}}" for item, length in value.items], "iov")


def _poll_fds(value: PollFds, labels: Labels) -> str:
    return _list([f"{{{_number(fd, labels)}, {POLL_EVENTS.text(events)}}}" for fd, events in value.items], "pollfds")


_WRITERS: Mapping[type, Callable[[Any, Labels], str]] = MappingProxyType(
    {
        Ref: _ref,
        Null: lambda value, labels: "NULL",
        Bad: lambda value, labels: "BAD",
        Octets: lambda value, labels: quote(value.data),
        Buffer: lambda value, labels: f"&{value.kind}[{value.size}]",
        Ints: lambda value, labels: _numbers(value.values, labels),
        InOut: lambda value, labels: "&" + _numbers(value.values, labels),
        Inet: lambda value, labels: f"{{{FAMILY.text(value.family)}, {format_ip(value.addr)}, {_port(value.port, labels)}}}",
        Inet6: _inet6,
        Unix: lambda value, labels: f"{{{FAMILY.text(value.family)}, {quote(value.path)}}}",
        Timeval: lambda value, labels: f"{{sec={value.sec}, usec={value.usec}}}",
        IoVec: _iovec,
        Control: lambda value, labels: _list([_control_message(message) for message in value.messages], "control"),
        MsgHdr: _msghdr,
        PollFds: _poll_fds,
        EpollEvent: lambda value, labels: f"{{{EPOLL_EVENTS.text(value.events)}, data={value.data}}}",
        FdSet: lambda value, labels: "fds" + _numbers(value.fds, labels),
    }
)
