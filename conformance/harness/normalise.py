"""A raw trace -> a view that compares by ``==``, by the one table in `rules.py`.

A `Normaliser` walks one side, a step at a time, so that a comparison can stop at the first difference.  A `StepView`
holds the outcome, then packets in order, completions by step, signals (rule order); the times of events are asked for
apart.  Views are tuples: cheap to make, since every program makes two, and written as text only when somebody reads
them (`view_text.py`).
"""

from __future__ import annotations

from typing import NamedTuple

from stack_under_test.contract import abi
from stack_under_test.contract.program import Call, Program, Step
from stack_under_test.contract.syscalls import SYSCALLS
from stack_under_test.contract.target import Traits
from stack_under_test.contract.trace import (
    Blocked,
    Busy,
    Completion,
    Done,
    FrameOut,
    Killed,
    Returned,
    Signalled,
    StepTrace,
    Trace,
    Unsupported,
)

from .facts import Facts
from .outs import Decoder, Out
from .packets import Packet, Reader, Window
from .rules import READING_NS


class Result(NamedTuple):
    """How a step ended. `kind`: ``returned`` (a number), ``fd`` (a descriptor, from the lowest), ``blocked``, ``busy``,
    ``done``, ``killed`` or ``unsupported``; `detail` is the signal or the reason."""

    kind: str
    value: int = 0
    errno: int = 0
    outs: tuple[Out, ...] = ()
    detail: str = ""


class Completed(NamedTuple):
    """The blocked call of an earlier step came back."""

    step: int
    result: Result


class StepView(NamedTuple):
    """One step, comparable."""

    result: Result
    packets: tuple[Packet, ...] = ()
    completions: tuple[Completed, ...] = ()
    signals: tuple[tuple[int, str], ...] = ()


class Times(NamedTuple):
    """When the packets left and the completions came, in nanoseconds since the step began."""

    packets: tuple[int, ...]
    completions: tuple[int, ...]


View = tuple[StepView, ...]

BLOCKED = Result("blocked")
BUSY = Result("busy")
_DONE = Result("done")


class Normaliser:
    """One side of one program; `step` is to be called for 0, 1, 2, ... in order, but for steps without events or outs."""

    def __init__(self, facts: Facts, trace: Trace, traits: Traits) -> None:
        self.program = facts.program
        self.trace = trace
        self.traits = traits
        self._reader = Reader(facts)
        self._decoder = Decoder(facts, self._reader.port, traits.fd_base)

    def step(self, index: int) -> StepView:
        """The view of a step that the trace has."""
        raw = self.trace.steps[index]
        result = self._result(self.program.steps[index], raw)
        return self._with_events(result, raw) if raw.events else StepView(result)

    def times(self, index: int) -> Times:
        """When the step's events happened."""
        raw = self.trace.steps[index]
        completions = sorted((event.step, event.at) for event in raw.events if isinstance(event, Completion))
        return Times(
            tuple([event.at - raw.started for event in raw.events if isinstance(event, FrameOut)]),
            tuple([at - raw.started for _, at in completions]),
        )

    def _result(self, step: Step, raw: StepTrace) -> Result:
        outcome = raw.outcome
        if isinstance(outcome, Returned):
            return self._returned(step, outcome)
        if isinstance(outcome, Done):
            return Result("done", 0, outcome.errno) if outcome.errno else _DONE
        if isinstance(outcome, Blocked):
            return BLOCKED
        if isinstance(outcome, Busy):
            return BUSY
        if isinstance(outcome, Killed):
            return Result("killed", detail=outcome.signal)
        assert isinstance(outcome, Unsupported)
        return Result("unsupported", detail=outcome.reason)

    def _returned(self, step: Step, outcome: Returned) -> Result:
        if not isinstance(step, Call):
            return Result("returned", outcome.value, outcome.errno)
        outs = self._decoder.outs(step, outcome.outs) if outcome.outs else ()
        if outcome.value >= 0 and _gives_descriptor(step):
            return Result("fd", outcome.value - self.traits.fd_base, outcome.errno, outs)
        return Result("returned", outcome.value, outcome.errno, outs)

    def _window(self, raw: StepTrace, at: int) -> Window:
        """When a packet left: in real time it may have waited to be read, but not from before the step."""
        if self.traits.virtual_time:
            return Window(at, at)
        return Window(max(raw.started, at - READING_NS), max(at, raw.started))

    def _with_events(self, result: Result, raw: StepTrace) -> StepView:
        packets: list[Packet] = []
        completions: list[Completed] = []
        signals: list[tuple[int, str]] = []
        for event in raw.events:
            if isinstance(event, FrameOut):
                packet = self._reader.read(event.octets, self._window(raw, event.at))
                if packet is not None:
                    packets.append(packet)
            elif isinstance(event, Completion):
                step = self.program.steps[event.step]
                completions.append(Completed(event.step, self._returned(step, event.outcome)))
            elif isinstance(event, Signalled):
                signals.append((event.task, event.signal))
        if len(completions) > 1:
            completions.sort(key=_by_step)
        return StepView(result, tuple(packets), tuple(completions), tuple(signals))


def normalise(program: Program, trace: Trace, traits: Traits, facts: Facts | None = None) -> View:
    """The whole trace."""
    normaliser = Normaliser(facts or Facts(program), trace, traits)
    return tuple([normaliser.step(index) for index in range(min(len(trace.steps), len(program.steps)))])


def _by_step(completed: Completed) -> int:
    return completed.step


def _gives_descriptor(call: Call) -> bool:
    """Whether the result counts from the lowest descriptor, or the program names it (rule descriptor)."""
    entry = SYSCALLS.get(call.sys)
    if entry is None:
        return False
    if entry.result == "fd":
        return call.sys not in ("dup2", "dup3") or not isinstance(call.args[1], int)
    if call.sys == "fcntl" and call.args[1] in (abi.F_DUPFD, abi.F_DUPFD_CLOEXEC):
        return call.args[2] == 0
    return False
