"""The worker's runner where time is virtual.

The clock stands still while anything runs; when everything sleeps it jumps to the next timer.  So a step takes exactly
as long as we say: `Advance` what the program says, any other step STEP_NS, which pass before it is carried out.  And
`Advance` need not wake up to look at calls that wait: lanes stamp what they finish, packets are stamped as they are
read, and neither costs time.

Sleeping is done on a timerfd, since poll(2) takes a thousandth of its timeout more than asked for.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable
from typing import Any

from stack_under_test.contract import abi
from stack_under_test.contract.program import Advance
from stack_under_test.worker import kernel
from stack_under_test.worker.arenas import Arenas
from stack_under_test.worker.codec import DONE, OutcomeRecord
from stack_under_test.worker.kernel import SYS_PPOLL, syscall
from stack_under_test.worker.lanes import Lanes
from stack_under_test.worker.runner import Runner

STEP_NS = 20_000
"""About what a step takes a real kernel, and what it takes the reference stack: round trips are short but not zero."""
_SECOND = 1_000_000_000
_SYS_NANOSLEEP, _SYS_TIMERFD_CREATE, _SYS_TIMERFD_SETTIME = 230, 283, 286
_CLOCK_MONOTONIC, _ABSOLUTE = 1, 1


class Clock:
    """CLOCK_MONOTONIC, and sleeping to the nanosecond."""

    def __init__(self) -> None:
        self._spec = (ctypes.c_long * 4)()
        self._address = ctypes.addressof(self._spec)
        with kernel.wide_table():
            self.timer = kernel.own_fd(syscall(_SYS_TIMERFD_CREATE, _CLOCK_MONOTONIC, 0, 0, 0, 0, 0))

    def sleep_until(self, ns: int) -> None:
        self._spec[:] = [*divmod(ns, _SECOND), 0, 0]
        syscall(_SYS_NANOSLEEP, _CLOCK_MONOTONIC, _ABSOLUTE, self._address, 0, 0, 0)

    def set_timer(self, ns: int) -> None:
        """`timer` becomes readable then."""
        self._spec[:] = [0, 0, *divmod(ns, _SECOND)]
        syscall(_SYS_TIMERFD_SETTIME, self.timer, _ABSOLUTE, self._address, 0, 0, 0)


class VirtualRunner(Runner):
    """`Runner` on a clock that stands still."""

    def __init__(self, arenas: Arenas, lanes: Lanes, clock: Clock) -> None:
        super().__init__(arenas, lanes)
        self._clock = clock
        self._handlers = {
            kind: handler if kind is Advance else self._after_a_moment(handler) for kind, handler in self._handlers.items()
        }

    def _after_a_moment(self, handler: Callable[[Any], OutcomeRecord]) -> Callable[[Any], OutcomeRecord]:
        def carry_out(step: Any) -> OutcomeRecord:
            self._clock.sleep_until(time.monotonic_ns() + STEP_NS)
            outcome = handler(step)
            # A timer may have fired before the step: even after a call that sends nothing the link has to be looked at.
            self._quiet = False
            return outcome

        return carry_out

    def _advance(self, step: Advance) -> OutcomeRecord:
        deadline = time.monotonic_ns() + step.ns
        small, address, timer = self._small, self._small_address, self._clock.timer
        self._clock.set_timer(deadline)
        while time.monotonic_ns() < deadline:
            struct.pack_into("<IHHIHH", small, 0, self._tun, abi.POLLIN, 0, timer, abi.POLLIN, 0)
            syscall(SYS_PPOLL, address, 2, 0, 0, 0, 0)
            if small[6]:
                self._drain()
        return DONE
