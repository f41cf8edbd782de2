"""What happened: per step an outcome and, in order, the events up to the next step.

Traces are raw: real descriptors, ports and octets.  `conformance.harness.normalise` makes them comparable.
Times are integer nanoseconds since the program began.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Outs = tuple[tuple[str, bytes], ...]
"""What the call stored: (path of the buffer, octets up to the last one written); see `memory.Encoded.outs`."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The call came back: `value` >= 0 and errno 0, or -1 and the error. `rule` names the check, where a stack tells."""

    value: int
    errno: int = 0
    outs: Outs = ()
    rule: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Blocked:
    """The call has not come back at the end of the step; a `Completion` may follow in a later one."""


@dataclass(frozen=True, slots=True)
class Busy:
    """The call was not made: its task is inside an earlier call (or does not exist)."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step that is no call was carried out; `errno` when the link refused the packet."""

    errno: int = 0


@dataclass(frozen=True, slots=True)
class Killed:
    """The stack, or the task inside it, died or hung in this step: `signal` names it (``SIGSEGV``, ``hang``, ``exit 3``)."""

    signal: str
    detail: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The target does not model this; neither right nor wrong. Nothing after it is comparable."""

    reason: str


Outcome = Returned | Blocked | Busy | Done | Killed | Unsupported


@dataclass(frozen=True, slots=True)
class FrameOut:
    """A packet left on the link."""

    octets: bytes
    at: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """The blocked call of an earlier `step` came back."""

    step: int
    outcome: Returned
    at: int = 0


@dataclass(frozen=True, slots=True)
class Signalled:
    """The kernel raised a signal against a task (SIGPIPE), by name."""

    task: int
    signal: str
    at: int = 0


Event = FrameOut | Completion | Signalled


@dataclass(frozen=True, slots=True)
class StepTrace:
    """`started`/`ended` bound the step in time; `pending` is how long after it the next timer is due, where a stack tells."""

    outcome: Outcome
    events: tuple[Event, ...] = ()
    started: int = 0
    ended: int = 0
    pending: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Trace:
    """One program's run; it has as many steps as the program unless the stack died (then the last outcome is Killed)."""

    steps: tuple[StepTrace, ...]
    target: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
