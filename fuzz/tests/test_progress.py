"""The progress bar: nothing for two seconds, nothing off a terminal, gone at the end."""

from __future__ import annotations

import io

from fuzz.progress import Progress

SECOND = 1_000_000_000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_a_bar_comes_after_two_seconds_and_goes() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(stream, clock)
    progress.show(100, "early")
    assert stream.getvalue() == ""
    clock.now = 5 * SECOND
    progress.show(500, "half way")
    assert stream.getvalue() == "\r[###############...............] half way  0:05 left"
    progress.show(510, "too soon after the last")
    progress.clear()
    assert "too soon" not in stream.getvalue()
    assert stream.getvalue().endswith("\r")


def test_a_shorter_line_covers_the_longer_one() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(stream, clock)
    for second, text in ((3, "a long line"), (4, "short")):
        clock.now = second * SECOND
        progress.show(1000, text)
    first, last = stream.getvalue().split("\r")[1:]
    assert len(first) == len(last)


def test_nothing_is_drawn_off_a_terminal() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    clock.now = 9 * SECOND
    progress.show(500, "x")
    progress.clear()
    assert stream.getvalue() == ""
