"""Timers are values: an owner, a kind, a deadline.  A heap orders them by deadline, and as the kernel would run them.

Re-arming replaces; a cancelled entry stays in the heap and is passed over.  The kernel pops what is due and tells the
owner which kind expired.
"""

from __future__ import annotations

import heapq
from typing import Protocol

SEC = 1_000_000_000
MANY = 1 << 60
PRECISE, PINNED, GLOBAL = 0, 1, 2
"""`hrtimer`; the wheel of timers that stay on their CPU (TIMER_PINNED); the wheel of all others."""
LEVEL_BITS = 17
LEVEL_SHIFT = 3
INITIAL_SECONDS = -300
"""`INITIAL_JIFFIES`: what the count of ticks begins with; the coarser levels are counted from there."""


def wheel_expiry(now: int, delay: int, hz: int) -> int:
    """When a timer of the kernel's wheel fires that is set `delay` ns from `now` (`mod_timer`, `calc_wheel_index`).

    Both are counted in ticks, the delay rounded up; no timer may fire early, so one tick is added.  What lies further
    ahead than a level of the wheel reaches is kept eight times coarser, level by level.  Linux's levels have 64 buckets;
    here as in user-mode kernels they have 2^17, so that delays up to nine minutes are exact to the tick.
    """
    tick = SEC // hz
    current = now // tick + INITIAL_SECONDS * hz
    expires = current - (-delay // tick)
    shift = 0
    while expires - current >= ((1 << LEVEL_BITS) - 1) << shift:
        shift += LEVEL_SHIFT
    return (((expires >> shift) + 1 << shift) - INITIAL_SECONDS * hz) * tick


class Owner(Protocol):
    """Something with timers of its own, at most one of each kind."""

    armed: dict[str, tuple[int, int]]

    def expired(self, kind: str) -> None: ...


class Timers:
    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str, Owner]] = []
        self._order = 0

    def arm(self, owner: Owner, kind: str, deadline: int, base: int = GLOBAL) -> None:
        """(Re)arm `kind` of `owner` for `deadline` (ns).

        At one moment the bases follow each other.  A bucket of a wheel is emptied from the newest entry to the oldest,
        and a timer set again for the same bucket stays where it is.
        """
        there = owner.armed.get(kind)
        if base != PRECISE and there is not None and there[0] == deadline:
            return
        self._order += 1
        order = base * MANY + (self._order if base == PRECISE else -self._order)
        owner.armed[kind] = (deadline, order)
        heapq.heappush(self._heap, (deadline, order, kind, owner))

    def cancel(self, owner: Owner, kind: str) -> None:
        owner.armed.pop(kind, None)

    def next_deadline(self) -> int | None:
        while self._heap:
            deadline, order, kind, owner = self._heap[0]
            if owner.armed.get(kind) == (deadline, order):
                return deadline
            heapq.heappop(self._heap)
        return None

    def pop(self, now: int) -> tuple[Owner, str] | None:
        """The next timer due at `now`, disarmed; None when there is none."""
        deadline = self.next_deadline()
        if deadline is None or deadline > now:
            return None
        _, _, kind, owner = heapq.heappop(self._heap)
        del owner.armed[kind]
        return owner, kind
