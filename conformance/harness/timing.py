"""Whether a run in real time can be compared with another at all.

A timer of the stack runs while the harness works.  As long as all the work between two moments takes much less than
the shortest timer, real time and a program's own time (the sum of its `advance` steps) are the same; beyond that a
timer may have fired between steps where the other side's did not: the run is *late* and says nothing.

And a timer that fires within a hair of an `advance` step's end falls on either side of it by chance: Linux rounds
timers up to the next tick, and to a sixteenth to an eighth of their delay by its timer wheel.  Such a program is
*unsteady* from that step on, however punctual the run.
"""

from __future__ import annotations

from dataclasses import replace

from stack_under_test.contract.program import Advance, Program
from stack_under_test.contract.trace import Completion, FrameOut, Killed, Trace

LATE_NS = 4_000_000
"""The most that a run may take beyond its `advance` steps.  The shortest timers of Linux's TCP are two jiffies (8 ms at
250 Hz: tail loss probe, with segments in flight), then the delayed ACK's 40 ms; half of the shortest, so that what
was armed at the start of a run and what was armed at its end are both safe."""

TICK_NS = 8_000_000
"""Two jiffies at 250 Hz: rounding up to a tick, and the wait for the tick that runs the timer."""

WHEEL_FRACTION = 8
"""Linux's timer wheel keeps a delay to an eighth at worst (`kernel/time/timer.c`: each level is 8 times coarser)."""


def excess_ns(program: Program, trace: Trace) -> int:
    """Time a run took beyond its `advance` steps; of a cut trace, as far as it goes.

    The step in which a stack died does not count: that it hangs is an outcome, not lateness."""
    steps = trace.steps
    if steps and isinstance(steps[-1].outcome, Killed):
        steps = steps[:-1]
    if not steps:
        return 0
    planned = sum(step.ns for step, _ in zip(program.steps, steps, strict=False) if isinstance(step, Advance))
    return steps[-1].ended - steps[0].started - planned


def unsteady_from(program: Program, trace: Trace) -> int | None:
    """The first step to which an event belongs only by chance, or None.

    An event just before the end of an `advance` step may fall into what follows it; one just after its beginning, into
    what precedes it."""
    active = 0
    for index, (step, raw) in enumerate(zip(program.steps, trace.steps, strict=False)):
        for event in raw.events:
            if not isinstance(event, FrameOut | Completion):
                continue
            if isinstance(step, Advance):
                slack = TICK_NS + max(0, event.at - active) // WHEEL_FRACTION
                if raw.started < event.at and event.at - raw.started < LATE_NS:
                    return max(0, index - 1)
                if raw.ended - event.at < slack:
                    return index
            active = max(active, event.at)
        if not isinstance(step, Advance):
            active = max(active, raw.ended)
    return None


def longer(program: Program, real: Trace, step: int) -> Program | None:
    """The program up to an `advance` step at whose end something happened in real time, with this step so much longer that a
    timer that fires by the next tick, or is kept less coarsely, has fired too; None where nothing happened then.

    For a stack that does not tell its timers."""
    pause = program.steps[step]
    times = [event.at for event in real.steps[step].events if isinstance(event, FrameOut | Completion)]
    if not isinstance(pause, Advance) or not times:
        return None
    slack = TICK_NS + (max(times) - real.steps[0].started) // WHEEL_FRACTION
    if real.steps[step].ended - max(times) >= slack:
        return None
    return replace(program, steps=(*program.steps[:step], Advance(pause.ns + slack)))


def tick_from(real: Trace, told: Trace, until: int) -> int | None:
    """The first step after which a timer of the very next tick was running, if it ran out in real time before `until` ended.

    Linux arms such a timer when it owes an acknowledgement of a connection that has had no data yet: it fires within
    a tick, wherever the program is by then.  Only a side that tells its timers (`pending`) can show that one ran.
    """
    last = real.steps[min(until, len(real.steps) - 1)].ended
    for index, (ran, step) in enumerate(zip(real.steps[: until + 1], told.steps, strict=False)):
        if step.pending is not None and step.pending <= last - ran.started + TICK_NS // 2 and step.pending <= TICK_NS:
            return index
    return None
