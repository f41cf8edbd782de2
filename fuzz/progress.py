"""A progress bar on a terminal, for what takes longer than two seconds; silence anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

_NS = 1_000_000_000
_PATIENCE = 2 * _NS
_REFRESH = _NS // 5
_WIDTH = 30


class Progress:
    """`clock` gives integer nanoseconds; `show` may be called as often as one likes."""

    def __init__(self, stream: TextIO, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._stream = stream if stream.isatty() else None
        self._clock = clock
        self._began = clock()
        self._last = 0
        self._drawn = 0

    def show(self, permille: int, text: str) -> None:
        """`permille` of the work is done; `text` says what was found so far."""
        now = self._clock()
        if self._stream is None or now - self._began < _PATIENCE or now - self._last < _REFRESH:
            return
        self._last = now
        done = min(permille, 1000) * _WIDTH // 1000
        line = f"[{'#' * done}{'.' * (_WIDTH - done)}] {text}{_remaining(permille, now - self._began)}"
        self._stream.write("\r" + line.ljust(self._drawn))
        self._stream.flush()
        self._drawn = len(line)

    def clear(self) -> None:
        """Take the bar away, so that ordinary lines can follow."""
        if self._stream is not None and self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._stream.flush()
            self._drawn = 0


def _remaining(permille: int, elapsed: int) -> str:
    if not 0 < permille < 1000:
        return ""
    seconds = elapsed * (1000 - permille) // permille // _NS
    return f"  {seconds // 60}:{seconds % 60:02d} left"
