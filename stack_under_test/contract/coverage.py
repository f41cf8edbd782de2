"""Which code of a stack a program reached, where its target can tell.

A target numbers the blocks of its code; what a program reached is a set of these numbers.  It stands in the trace's
metadata under NAME, as a hexadecimal number whose bit n stands for block n: some kilobytes, read in microseconds, and
`reached(trace) & ~before` says what is new.  Numbers mean something only together with the target's fact NAME, which
names the build they belong to: sets of different builds cannot be joined.
"""

from __future__ import annotations

from .trace import Trace

NAME = "coverage"


def entry(blocks: int) -> tuple[str, str]:
    """The set as an item of a trace's metadata."""
    return NAME, f"{blocks:x}"


def reached(trace: Trace) -> int:
    """The set that a trace tells, 0 where it tells none."""
    for name, value in trace.metadata:
        if name == NAME:
            return int(value, 16)
    return 0
