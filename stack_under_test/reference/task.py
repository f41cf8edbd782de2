"""Tasks: who makes calls, and how one sleeps inside a call (`struct task_struct`, as far as calls need it).

A task has its memory and its descriptor table (threads share the table, a forked task has a copy).  Asleep, it stands
on wait queues through one `Sleeper` each, and perhaps in the timer heap; whatever wakes it takes it off all of them and
puts it on the run queue with the reason.  The kernel resumes it from there.
"""

from __future__ import annotations

from ..contract.memory import arena
from .file import FdTable, File
from .net import Net
from .uaccess import UserMemory
from .wait import ALL, Blocking, Wait, WaitQueue, Wakeup


class Sleeper:
    """A task's entry on one queue; `key` are the poll events it wants to hear of (`pollwake`)."""

    __slots__ = ("exclusive", "key", "task")

    def __init__(self, task: Task, exclusive: bool, key: int) -> None:
        self.task = task
        self.exclusive = exclusive
        self.key = key

    def notify(self, events: int) -> bool:
        if not events & self.key:
            return False
        return self.task.wake(Wakeup.EVENT)


class Task:
    """`work` holds files whose last reference this task dropped, to be released before the call returns."""

    def __init__(self, number: int, net: Net, files: FdTable, run_queue: dict[Task, Wakeup]) -> None:
        self.number = number
        self.net = net
        self.files = files
        self.memory = UserMemory(arena(number))
        self.armed: dict[str, tuple[int, int]] = {}
        self.work: list[File] = []
        self.call: Blocking[int] | None = None
        """The call it is inside of."""
        self.signals: list[int] = []
        """Pending, in order of arrival."""
        self.asleep = False
        self._run_queue = run_queue
        self._standing: list[tuple[WaitQueue, Sleeper]] = []

    def sleep(self, wait: Wait) -> None:
        self.asleep = True
        for index, queue in enumerate(wait.queues):
            sleeper = Sleeper(self, wait.exclusive, wait.keys[index] if wait.keys else ALL)
            queue.add(sleeper)
            self._standing.append((queue, sleeper))
        if wait.deadline is not None:
            self.net.timers.arm(self, "sleep", wait.deadline)

    def wake(self, reason: Wakeup) -> bool:
        """True when the task was asleep and this woke it."""
        if not self.asleep:
            return False
        self.asleep = False
        for queue, sleeper in self._standing:
            queue.remove(sleeper)
        self._standing.clear()
        self.net.timers.cancel(self, "sleep")
        self._run_queue[self] = reason
        return True

    def expired(self, kind: str) -> None:
        """Its sleep's deadline came."""
        self.wake(Wakeup.TIMEOUT)

    def put(self, file: File) -> None:
        """`fput`: drop a reference; the last one leaves the file to the end of the call."""
        file.count -= 1
        if file.count == 0:
            self.work.append(file)
