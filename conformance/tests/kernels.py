"""The reference stack posing as the Linux kernel of a release, sound or with something wrong in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stack_under_test.contract.program import Advance, Call, Program, Step
from stack_under_test.contract.target import Traits
from stack_under_test.contract.trace import Returned, StepTrace, Trace
from stack_under_test.contract.world import KERNEL, MACHINE
from stack_under_test.reference.target import ReferenceTarget

NEWER, OLDER = "6.18.44", "6.12.117"
Alter = Callable[[Step, StepTrace], StepTrace]


def sound(step: Step, shown: StepTrace) -> StepTrace:
    """Nothing is wrong."""
    return shown


def failing(name: str, errno: int) -> Alter:
    """A kernel in which every call of that name fails."""

    def alter(step: Step, shown: StepTrace) -> StepTrace:
        wrong = isinstance(step, Call) and step.sys == name and isinstance(shown.outcome, Returned)
        return replace(shown, outcome=Returned(-1, errno)) if wrong else shown

    return alter


def silent(step: Step, shown: StepTrace) -> StepTrace:
    """A kernel that sends nothing while time passes."""
    return replace(shown, events=()) if isinstance(step, Advance) else shown


class Posing:
    """A target that says it is Linux `release`, built for `machine`, and whether its time is virtual."""

    def __init__(self, release: str, alter: Alter = sound, machine: str = "x86_64", virtual_time: bool = True) -> None:
        self._facts = ((KERNEL, release), (MACHINE, machine))
        self._stack = ReferenceTarget()
        self._stack.adopt(self._facts)
        self._alter = alter
        self._virtual_time = virtual_time

    @property
    def traits(self) -> Traits:
        return replace(self._stack.traits, name="posing", virtual_time=self._virtual_time, facts=self._facts)

    def run(self, program: Program) -> Trace:
        trace = self._stack.run(program)
        steps = [self._alter(*pair) for pair in zip(program.steps, trace.steps, strict=False)]
        return replace(trace, steps=tuple(steps))

    def close(self) -> None:
        self._stack.close()
