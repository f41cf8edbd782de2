"""A program: the world it runs in and a list of steps, as data.

Programs are what the corpus, the reports and the bug tracker hold; they print as text and parse back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .frames import AnyFrame
from .values import Arg
from .world import World


@dataclass(frozen=True, slots=True)
class Call:
    """A system call by `task` (0 is the main thread; an unforked task n is a further thread of it)."""

    sys: str
    args: tuple[Arg, ...] = ()
    task: int = 0


@dataclass(frozen=True, slots=True)
class Inject:
    """A packet arrives on the link."""

    frame: AnyFrame


@dataclass(frozen=True, slots=True)
class Advance:
    """Time passes: integer nanoseconds."""

    ns: int


@dataclass(frozen=True, slots=True)
class Signal:
    """A caught signal (handler installed, no SA_RESTART for SIGUSR1, SA_RESTART for SIGUSR2) reaches a task."""

    task: int
    signo: int


@dataclass(frozen=True, slots=True)
class Fork:
    """`task` comes to life as a forked process: it shares the open descriptions, not the descriptor table."""

    task: int


Step = Call | Inject | Advance | Signal | Fork


@dataclass(frozen=True, slots=True)
class Program:
    steps: tuple[Step, ...]
    world: World = field(default_factory=World)
