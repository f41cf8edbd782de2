"""Wait queues: who wants to know that something about a socket changed.

A blocking call is a generator that yields `Wait`; the kernel parks its task on the queues and resumes it with the reason.
Everything below the wait loop only attempts.  `wake` follows `__wake_up_common`: non-exclusive waiters all hear of it,
of the exclusive ones the first that takes it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
ALL = 0xFFFF_FFFF


class Wakeup(Enum):
    EVENT = "event"
    TIMEOUT = "timeout"
    SIGNAL = "signal"


class Waiter(Protocol):
    """`notify(events)` hears of poll events (ALL: anything may have changed); True when it took the wake-up."""

    exclusive: bool

    def notify(self, events: int) -> bool: ...


class WaitQueue:
    """`wait_queue_head_t`.

    Exclusive waiters queue at the end, others at the front (`add_wait_queue`, `add_wait_queue_exclusive`); with
    `newest_first` all at the front (`__add_wait_queue_exclusive`).
    """

    __slots__ = ("newest_first", "waiters")

    def __init__(self, newest_first: bool = False) -> None:
        self.newest_first = newest_first
        self.waiters: list[Waiter] = []

    def add(self, waiter: Waiter) -> None:
        if waiter.exclusive and not self.newest_first:
            self.waiters.append(waiter)
        else:
            self.waiters.insert(0, waiter)

    def remove(self, waiter: Waiter) -> None:
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def wake(self, events: int = ALL, everyone: bool = False) -> None:
        """`everyone`: exclusive waiters too (`wake_up_interruptible_all`)."""
        if not self.waiters:
            return
        for waiter in tuple(self.waiters):
            if waiter.notify(events) and waiter.exclusive and not everyone:
                return


@dataclass(slots=True)
class Wait:
    """What a blocking call yields: wake me when one of `queues` is woken, at `deadline` (ns, None: never), or by a signal.

    `keys`: per queue the poll events that count (`pollwake`'s key); empty: any does.
    """

    queues: tuple[WaitQueue, ...]
    deadline: int | None = None
    exclusive: bool = False
    keys: tuple[int, ...] = ()


Blocking = Generator[Wait, Wakeup, T]
"""A call that may block: yields waits, is resumed with the reason, returns T."""

MayBlock: TypeAlias = T | Generator[Wait, Wakeup, T]
"""A call that blocks only sometimes may return its result plainly instead of a generator."""


def is_blocking(result: Any) -> bool:
    return isinstance(result, Generator)
