"""The memory that a program's pointers lead into.

Real mappings at the addresses of `contract.memory`: an arena per task, shared with every lane, and inaccessible holes
between them.  Outside the image of the current call an arena holds zeroes, as it does on every stack, so an overlong
length reads the same octets everywhere.
"""

from __future__ import annotations

import ctypes
from errno import EFAULT

from stack_under_test.contract.memory import ARENA_BASE, ARENA_SIZE, MAX_TASKS, Encoded, arena, collect
from stack_under_test.contract.trace import Outs
from stack_under_test.worker import kernel

_SLACK = 16384
"""More than any call stores without saying so in its result (1024 pollfds, three fd_sets, a sockaddr, an option)."""
_LARGEST_ITEM = 12
"""Octets per unit of a result: epoll_wait counts events of 12 octets."""


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
        used = self._used[task]
        if used:
            ctypes.memset(arena(task), 0, used)
        self._views[task][: len(image)] = image
        self._used[task] = len(image)

    def collect(self, task: int, encoded: Encoded, value: int, errno: int) -> Outs:
        """What the call that `encoded` was made for has stored, and note how far it may have written."""
        if not encoded.image:
            return ()
        if errno == EFAULT:
            self._used[task] = ARENA_SIZE
        else:
            reach = len(encoded.image) + _SLACK + max(value, 0) * _LARGEST_ITEM
            self._used[task] = min(reach, ARENA_SIZE)
        view, base = self._views[task], arena(task)
        return tuple(
            [(out.path, collect(out, bytes(view[out.address - base : out.address - base + out.size]))) for out in encoded.outs]
        )

    def lost(self, task: int) -> None:
        """A call ended without being collected: what it wrote is unknown."""
        self._used[task] = ARENA_SIZE

    def forget(self) -> None:
        """Zero whatever a program left."""
        for task, used in enumerate(self._used):
            if used:
                ctypes.memset(arena(task), 0, used)
                self._used[task] = 0
