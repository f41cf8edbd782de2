"""The machine: one namespace, its tasks, and the entries through which anything happens to them.

`syscall`, `receive`, `signal`, `fork` and `advance` each run until nothing is left to do: packets on their way are
received, tasks that were woken run, timers that are due expire.  What came of it accumulates in order and is handed
over by `drain`.

Of several tasks that can run, the one with the lowest number does, as the worker arranges it on a real kernel.

Here, and nowhere else, a failing call becomes a number (`Fail` -> -errno), and an interrupted one is restarted or not.
`NotModelled` passes through to the caller of the entry: the run cannot go on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EINTR
from typing import NamedTuple

from ..contract import abi
from ..contract.trace import Blocked, FrameOut, Signalled
from .errors import ERESTARTSYS, Fail
from .file import FdTable, NullFile
from .inet import input as inet_input
from .inet import link
from .inet.af_inet import InetStream
from .inet.setup import setup
from .net import Net
from .release import LINUX_6_18, Release
from .syscalls.table import SYSCALL_TABLE, Entry
from .sysctl import Sysctls
from .task import Task
from .tcp.proto import setup as setup_tcp
from .wait import Blocking, MayBlock, Wakeup

BLOCKED = Blocked()
RESTARTING = frozenset((abi.SIGUSR2,))
"""Signals whose handler asks for restarted calls (SA_RESTART)."""
MAX_IGNORED = 100
"""How often in a row a sleep may ignore a signal before the stack counts as hung."""


class Ended(NamedTuple):
    """A sleeping call came back with `result` (negative for an error) at time `at`."""

    task: Task
    result: int
    rule: str
    at: int


Event = FrameOut | Signalled | Ended


class Kernel:
    """`rule` names the check by which the last call failed, where one did.  `ethernet`: the link is a TAP."""

    def __init__(self, sysctl: Sysctls, seed: int = 0, release: Release = LINUX_6_18, ethernet: bool = False) -> None:
        self.net = Net(sysctl, seed, release)
        setup(self.net, ethernet)
        setup_tcp(self.net, InetStream())
        self.tasks: dict[int, Task] = {}
        self.rule = ""
        self._runnable: dict[Task, Wakeup] = {}
        self._events: list[Event] = []
        files = FdTable()
        for _ in range(3):
            files.install(files.reserve(), NullFile())
        self.tasks[0] = Task(0, self.net, files, self._runnable)

    # --- entries

    def task(self, number: int) -> Task:
        """The task of that number, made as a further thread of the main one at first use."""
        task = self.tasks.get(number)
        if task is None:
            task = self.tasks[number] = Task(number, self.net, self.tasks[0].files, self._runnable)
        return task

    def fork(self, number: int) -> None:
        """`number` comes to life as a process of its own, with a copy of the main task's descriptors."""
        self.tasks[number] = Task(number, self.net, self.tasks[0].files.copy(), self._runnable)

    def syscall(self, task: Task, name: str, registers: Sequence[int]) -> int | Blocked:
        """Make a call: its result, negative for an error, or BLOCKED (then `drain` tells when it has `Ended`)."""
        entry = SYSCALL_TABLE[name]
        if len(registers) != entry.registers:
            registers = (*registers[: entry.registers], *(0,) * (entry.registers - len(registers)))
        self.rule = ""
        result = self._attempt(task, entry, registers)
        ended: int | Blocked
        if isinstance(result, int) and not task.work:
            ended = result
        else:
            task.call = self._in_full(task, entry, registers, result)
            ended = self._resume(task, None)
        if self.net.signals:
            self._raise_signals(task)
        self._settle()
        return self._came_back(task) if ended is BLOCKED else ended

    def receive(self, octets: bytes) -> None:
        """A packet arrives on the link, or a frame."""
        link.receive(self.net, octets)
        self._settle()

    def signal(self, task: Task, number: int) -> None:
        """A caught signal; it shows only in a call that sleeps."""
        if task.call is not None:
            task.signals.append(number)
            task.wake(Wakeup.SIGNAL)
            self._settle()

    def next_deadline(self) -> int | None:
        return self.net.timers.next_deadline()

    def advance(self, to: int) -> None:
        """Time passes until `to`, timer by timer."""
        net = self.net
        while (deadline := net.timers.next_deadline()) is not None and deadline <= to:
            self._flush()
            net.now = max(net.now, deadline)
            self._settle()
        self._flush()
        net.now = to

    def drain(self) -> list[Event]:
        """What happened since the last drain, in order."""
        self._flush()
        events, self._events = self._events, []
        return events

    # --- running tasks

    def _attempt(self, task: Task, entry: Entry, registers: Sequence[int]) -> MayBlock[int]:
        try:
            return entry.function(task, *registers)
        except Fail as fail:
            self.rule = fail.rule
            return -fail.errno

    def _in_full(self, task: Task, entry: Entry, registers: Sequence[int], result: MayBlock[int]) -> Blocking[int]:
        """A call that sleeps, or that has files to release, from its first attempt to its return to user space."""
        while True:
            if isinstance(result, int):
                number = result
            else:
                try:
                    number = yield from result
                except Fail as fail:
                    self.rule = fail.rule
                    number = -fail.errno
            yield from _release_files(task)
            signals, task.signals = task.signals, []
            if number != -ERESTARTSYS:
                return number
            if signals and signals[0] not in RESTARTING:
                return -EINTR
            result = self._attempt(task, entry, registers)

    def _resume(self, task: Task, reason: Wakeup | None) -> int | Blocked:
        """Let a task run until its call ends or sleeps again; a pending signal lets it sleep no more."""
        assert task.call is not None
        try:
            wait = next(task.call) if reason is None else task.call.send(reason)
            for _ in range(MAX_IGNORED):
                if not task.signals:
                    task.sleep(wait)
                    return BLOCKED
                wait = task.call.send(Wakeup.SIGNAL)
        except StopIteration as end:
            task.call = None
            result: int = end.value
            return result
        raise RuntimeError("a sleep ignores signals")

    def _settle(self) -> None:
        net = self.net
        while True:
            if net.backlog or net.lock is not None:
                inet_input.drain(net)
            elif self._runnable:
                task = min(self._runnable, key=_number)
                reason = self._runnable.pop(task)
                result = self._resume(task, reason)
                if net.signals:
                    self._raise_signals(task)
                if not isinstance(result, Blocked):
                    self._flush()
                    self._events.append(Ended(task, result, self.rule, net.elapsed))
                    self.rule = ""
            elif (expired := net.timers.pop(net.now)) is not None:
                owner, kind = expired
                owner.expired(kind)
            else:
                return

    def _came_back(self, task: Task) -> int | Blocked:
        """A call that slept only until the packets it sent had come round: it counts as never having slept."""
        for index, event in enumerate(self._events):
            if isinstance(event, Ended) and event.task is task:
                del self._events[index]
                self.rule = event.rule
                return event.result
        return BLOCKED

    # --- what comes out

    def _flush(self) -> None:
        net = self.net
        if net.outbox:
            now = net.elapsed
            self._events += [FrameOut(octets, now) for octets in net.outbox]
            net.outbox.clear()

    def _raise_signals(self, task: Task) -> None:
        net = self.net
        self._flush()
        self._events += [Signalled(task.number, name, net.elapsed) for name in net.signals]
        net.signals.clear()


def _number(task: Task) -> int:
    return task.number


def _release_files(task: Task) -> Blocking[None]:
    """`__fput` of each file whose last reference went: out of every epoll, then its own release."""
    while task.work:
        file = task.work.pop(0)
        for item in tuple(file.watches):
            item.epoll.remove(item)
        released = file.release()
        if released is not None:
            yield from released
