"""Timers are values: an owner, a kind, a deadline.  A heap orders them by (deadline, arming order).

Re-arming replaces; a cancelled entry stays in the heap and is passed over.  The kernel pops what is due and tells the
owner which kind expired.
"""

from __future__ import annotations

import heapq
from typing import Protocol


class Owner(Protocol):
    """Something with timers of its own, at most one of each kind."""

    armed: dict[str, tuple[int, int]]

    def expired(self, kind: str) -> None: ...


class Timers:
    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str, Owner]] = []
        self._order = 0

    def arm(self, owner: Owner, kind: str, deadline: int) -> None:
        """(Re)arm `kind` of `owner` for `deadline` (ns)."""
        self._order += 1
        owner.armed[kind] = (deadline, self._order)
        heapq.heappush(self._heap, (deadline, self._order, kind, owner))

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
