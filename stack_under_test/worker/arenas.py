"""The memory that a program's pointers lead into.

Real mappings at the addresses of `contract.memory`: an arena per task, shared with every lane, and inaccessible holes
between them.  Outside the image of the current call an arena holds zeroes, as it does on every stack, so an overlong
length reads the same octets everywhere.
"""

from __future__ import annotations

import ctypes
from errno import EFAULT

from stack_under_test.contract.memory import ARENA_BASE, ARENA_SIZE, MAX_TASKS, Encoded, arena, trimmed
from stack_under_test.contract.trace import Outs
from stack_under_test.worker import kernel

_ZEROES = bytes(16384)


class Arenas:
    """The arenas of all tasks, mapped once per worker."""

    def __init__(self) -> None:
        kernel.reserve(ARENA_BASE, MAX_TASKS * 2 * ARENA_SIZE)
        self._views: list[memoryview] = []
        for task in range(MAX_TASKS):
            kernel.open_memory(arena(task), ARENA_SIZE)
            self._views.append(memoryview((ctypes.c_ubyte * ARENA_SIZE).from_address(arena(task))).cast("B"))
        self._used = [0] * MAX_TASKS

    def put(self, task: int, image: bytes) -> None:
        """Place a call's image; the rest of the arena is zero."""
        view, used, size = self._views[task], self._used[task], len(image)
        view[:size] = image
        if used > size:
            if used <= len(_ZEROES):
                view[size:used] = _ZEROES[size:used]
            else:
                ctypes.memset(arena(task) + size, 0, used - size)
        self._used[task] = size

    def collect(self, task: int, encoded: Encoded, reach: int, errno: int) -> Outs:
        """What the call that `encoded` was made for has stored; it may have written `reach` octets beyond its image."""
        written = ARENA_SIZE if errno == EFAULT else min(len(encoded.image) + reach, ARENA_SIZE)
        # A call without memory of its own leaves an earlier one's image where it is.
        self._used[task] = max(self._used[task], written)
        view, base = self._views[task], arena(task)
        outs = []
        for path, address, size, trim in encoded.outs:
            at = address - base
            octets = bytes(view[at : at + size])
            outs.append((path, trimmed(octets) if trim else octets))
        return tuple(outs)

    def lost(self, task: int) -> None:
        """A call ended without being collected: what it wrote is unknown."""
        self._used[task] = ARENA_SIZE

    def forget(self) -> None:
        """Zero whatever a program left."""
        for task, used in enumerate(self._used):
            if used:
                ctypes.memset(arena(task), 0, used)
                self._used[task] = 0
