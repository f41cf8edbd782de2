"""The worker's runner where time is virtual.

The clock stands still while anything runs, but for 256 ns whenever it is read; when everything sleeps it jumps to the
next timer.  So `Advance` need not wake up to look at calls that wait: lanes stamp what they finish, packets are
stamped as they are read, and neither costs time.
"""

from __future__ import annotations

import struct
import time

from stack_under_test.contract import abi
from stack_under_test.contract.program import Advance
from stack_under_test.worker.codec import DONE, OutcomeRecord
from stack_under_test.worker.kernel import SYS_PPOLL, syscall
from stack_under_test.worker.runner import Runner

_SECOND = 1_000_000_000


class VirtualRunner(Runner):
    """`Runner`, with an `Advance` that sleeps in as few pieces as there are packets."""

    def _advance(self, step: Advance) -> OutcomeRecord:
        deadline = time.monotonic_ns() + step.ns
        small, address = self._small, self._small_address
        while (left := deadline - time.monotonic_ns()) > 0:
            struct.pack_into("<IHH", small, 0, self._tun, abi.POLLIN, 0)
            struct.pack_into("<QQ", small, 16, *divmod(left, _SECOND))
            if syscall(SYS_PPOLL, address, 1, address + 16, 0, 0, 0) > 0:
                self._drain()
        return DONE
