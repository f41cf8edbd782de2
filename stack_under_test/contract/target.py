"""The seam: a stack that can be driven.

A whole program crosses a process boundary, never a step.  In-process stacks also offer the stepwise form; `run_steps`
is `run` written once on top of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from .program import Program, Step
from .trace import Killed, StepTrace, Trace, Unsupported
from .world import World


class Unavailable(Exception):
    """The target cannot be used on this machine; the message is one line that says what is missing."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a target is.  `fd_base` is the lowest descriptor a program gets; `observes_blocking` is False where blocking
    is concluded from a bounded wait."""

    name: str
    release: str
    virtual_time: bool
    families: frozenset[int] = frozenset({2})
    links: frozenset[str] = frozenset({"tun"})
    fd_base: int = 3
    observes_blocking: bool = True
    facts: tuple[tuple[str, str], ...] = field(default=())


class Target(Protocol):
    """`run` never raises for what a program does; a dead stack is an outcome, and the next run gets a fresh world."""

    @property
    def traits(self) -> Traits: ...

    def run(self, program: Program) -> Trace: ...

    def close(self) -> None: ...


@runtime_checkable
class Stepwise(Protocol):
    """In-process targets: `begin` makes a fresh world, `step` carries one step out and settles."""

    def begin(self, world: World) -> None: ...

    def step(self, step: Step) -> StepTrace: ...


@runtime_checkable
class Adopts(Protocol):
    """Stacks that can take over facts of the machine they are compared with (`world.HOST_OWNED`)."""

    def adopt(self, facts: tuple[tuple[str, str], ...]) -> None: ...


def run_steps(target: Stepwise, program: Program, name: str = "") -> Trace:
    """Run a whole program through the stepwise form; stops after a step at which nothing more can be known."""
    target.begin(program.world)
    steps = []
    for step in program.steps:
        result = target.step(step)
        steps.append(result)
        if isinstance(result.outcome, Killed | Unsupported):
            break
    return Trace(tuple(steps), name)
