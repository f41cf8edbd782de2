"""Processes that make the calls which may wait, so that the controller never does.

A lane is a process cloned from the controller.  A *thread* lane shares the descriptor table (CLONE_FILES), so a close
in one task is seen by a call that waits in another, as among threads; a *forked* lane has a table of its own, filled
as fork(2) would (`handover`). They are processes rather than threads of Python because nothing then competes for an
interpreter lock while the controller watches, and because a lane that does not come back can be killed.

The worker and its lanes run on one CPU, lanes before the controller and lower tasks before higher ones (SCHED_FIFO),
where the kernel grants that: then it is settled which of two woken tasks gets the data, and when the controller runs
again, the lanes have done what they could.  Elsewhere such a race is left to the scheduler.

Commands cross a shared page: registers in, the result out, a futex to wake the lane.  Whether a call waits is read
from the kernel: /proc/PID/syscall names the call a process sleeps in, and /proc/PID/stat says whether that sleep is
interruptible (the wait of a blocking call) or not (a lock about to be released).  The order of the three looks
matters, see `Lane._sleeps`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import socket
import time
from collections.abc import Sequence

from stack_under_test.contract.memory import MAX_TASKS
from stack_under_test.worker import kernel
from stack_under_test.worker.handover import hand_over, take_over
from stack_under_test.worker.kernel import SYS_CLOSE_RANGE, SYS_RESTART, get_errno, syscall

_WORDS = 16
_ASKED, _DONE, _NUMBER, _REGISTERS, _VALUE, _ERRNO, _AT, _SIGPIPE = 0, 1, 2, 3, 9, 10, 11, 12
_TAKE_OVER = 1 << 16
"""Asked for in place of a system call: see `handover`."""
_SIGN, _WRAP = 1 << 63, 1 << 64
_NO_PROC_WAIT_NS = 20_000_000
"""How long a call may take before it counts as blocked, where /proc does not tell."""
_LOOKS_PER_REAP = 256
_PAUSE_S = 1e-6
"""Slept after so many looks in vain: what the lane needs may run at a lower priority than ours, or in virtual time."""
_INTERRUPT_ROUNDS = 200
_PRIORITY = 20
"""Of task 0."""


class LaneDied(Exception):
    """The lane's process is gone; the argument names the signal or exit status."""


class Board:
    """The shared page: a row of words per lane, for each task one as a thread and one as a forked process."""

    def __init__(self) -> None:
        self.page = mmap.mmap(-1, max(mmap.PAGESIZE, 2 * MAX_TASKS * _WORDS * 8))
        self.words = memoryview(self.page).cast("q")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.page))


class Lane:
    """A task's process, seen from the controller."""

    def __init__(self, board: Board, task: int, proc: int | None, forked: bool) -> None:
        self.task = task
        self.forked = forked
        self.number = -1
        self.busy = False
        row = (task + forked * MAX_TASKS) * _WORDS
        self._words = board.words[row : row + _WORDS]
        self._futex = board.address + row * 8
        self._asked = self._words[_ASKED]
        self._words[_DONE] = self._asked
        self._proc = proc
        ours, theirs = _channel() if forked else (None, None)
        self.pid = kernel.clone(0 if forked else kernel.CLONE_FILES)
        if self.pid == 0:
            _serve(self._words, self._futex, theirs, _PRIORITY - task)
        self._channel = ours
        if theirs is not None:
            theirs.close()
        with kernel.wide_table():
            self._files = _proc_files(proc, self.pid)

    def start(self, number: int, registers: Sequence[int]) -> None:
        """Have the lane make a call."""
        words = self._words
        self.number = number
        words[_NUMBER] = number
        for index, register in enumerate(registers, _REGISTERS):
            words[index] = ((register + _SIGN) % _WRAP) - _SIGN
        self._asked += 1
        self.busy = True
        words[_ASKED] = self._asked
        kernel.futex_wake(self._futex)

    def inherit(self, namespace: int) -> None:
        """Have a forked lane take over the controller's descriptors, and enter a network namespace; as with a call, its
        end is to be waited for.  Raises OSError."""
        assert self._channel is not None
        hand_over(self._channel, namespace, self._proc)
        self.start(_TAKE_OVER, ())

    def disinherit(self) -> bool:
        """Have a forked lane close what it has; False when it cannot, and only killing helps."""
        self.start(SYS_CLOSE_RANGE, (0, kernel.PROGRAM_FDS - 1, 0))
        try:
            return self.settle() and self.result()[0] == 0
        except LaneDied:
            return False

    def finished(self) -> bool:
        return self._words[_DONE] == self._asked

    def result(self) -> tuple[int, int, int, bool]:
        """(value, errno, time in monotonic ns, whether SIGPIPE was raised) of the finished call."""
        words = self._words
        self.busy = False
        return words[_VALUE], words[_ERRNO], words[_AT], words[_SIGPIPE] != 0

    def settle(self) -> bool:
        """Wait until the call has finished (True) or sleeps for good (False).  Raises LaneDied."""
        looks, began = 0, time.monotonic_ns()
        while not self.finished():
            if self._sleeps(began):
                return self.finished()
            looks += 1
            if looks % _LOOKS_PER_REAP == 0:
                self._check_alive()
                time.sleep(_PAUSE_S)
            os.sched_yield()
        return True

    def _sleeps(self, began: int) -> bool:
        """Whether the call waits; `began` is when we began to look.  A wakeup is seen in `stat` at once, while
        `syscall` may show a task that has been woken but is not yet on a run queue as still asleep: so `syscall`
        first, `stat` second, and the caller looks for the result last."""
        if self._files is None:
            return time.monotonic_ns() - began > _NO_PROC_WAIT_NS
        seen = os.pread(self._files[0], 64, 0).split(None, 1)
        if not seen or seen[0] not in (b"%d" % self.number, b"%d" % SYS_RESTART):
            return False
        stat = os.pread(self._files[1], 128, 0)
        return stat[stat.rindex(b")") + 2 : stat.rindex(b")") + 3] == b"S"

    def signal(self, signo: int) -> None:
        """A caught signal reaches the waiting call."""
        os.kill(self.pid, signo)

    def interrupt(self) -> bool:
        """End a waiting call so that the lane can be used again; False when only killing helps."""
        try:
            for _ in range(_INTERRUPT_ROUNDS):
                if self.settle():
                    self.busy = False
                    return True
                self.signal(signal.SIGUSR1)
        except LaneDied:
            pass
        return False

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        for fd in self._files or ():
            os.close(fd)
        if self._channel is not None:
            self._channel.close()
        self._words.release()

    def _check_alive(self) -> None:
        info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is not None:
            raise LaneDied(end_name(info.si_code == os.CLD_EXITED, info.si_status))


class Lanes:
    """The lanes of one worker, kept from program to program; between programs, forked ones have no descriptors."""

    def __init__(self, proc: int | None) -> None:
        self._board = Board()
        self._proc = proc
        self._threads: dict[int, Lane] = {}
        self._forked: dict[int, Lane] = {}
        self._spare: dict[int, Lane] = {}
        """Those that were forked in earlier programs."""

    def get(self, task: int) -> Lane | None:
        return self._forked.get(task) or self._threads.get(task)

    def thread(self, task: int) -> Lane:
        """The lane of a task that is a thread (or the main task), made at first use."""
        lane = self._threads.get(task)
        if lane is None:
            lane = self._threads[task] = Lane(self._board, task, self._proc, forked=False)
        return lane

    def fork(self, task: int, namespace: int) -> Lane:
        """Bring a forked task to life; it must not have been a thread in this program.  It is there when its lane has
        settled.  Raises OSError."""
        lane = self._spare.pop(task, None) or Lane(self._board, task, self._proc, forked=True)
        self._forked[task] = lane
        lane.inherit(namespace)
        return lane

    def remove(self, task: int) -> None:
        lane = self._forked.pop(task, None) or self._threads.pop(task, None)
        if lane is not None:
            lane.kill()

    def end_program(self) -> list[int]:
        """End waiting calls and forked tasks; the tasks whose calls were cut short."""
        cut = [lane for lane in (*self._forked.values(), *self._threads.values()) if lane.busy]
        for lane in cut:
            if not lane.interrupt():
                self.remove(lane.task)
        for task, lane in list(self._forked.items()):
            if lane.disinherit():
                self._spare[task] = self._forked.pop(task)
            else:
                self.remove(task)
        return [lane.task for lane in cut]

    def end_spare(self) -> None:
        """Let go of the namespaces that tasks were forked in."""
        while self._spare:
            self._spare.popitem()[1].kill()


def tasks_are_ordered() -> bool:
    """Whether lanes of this process's children will run in the order of their tasks."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except OSError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def end_name(exited: bool, status: int) -> str:
    """How a process ended: ``exit 3`` or ``SIGSEGV``."""
    if exited:
        return f"exit {status}"
    known = {int(number): number.name for number in signal.Signals}
    return known.get(status, f"signal {status}")


def _proc_files(proc: int | None, pid: int) -> tuple[int, int] | None:
    """The open `syscall` and `stat` files of a child, or None where the kernel has no such files.

    /proc may count processes of an outer namespace; a pidfd's fdinfo tells the number it uses.
    """
    if proc is None:
        return None
    pidfd = syscall(kernel.SYS_PIDFD_OPEN, pid, 0, 0, 0, 0, 0)
    try:
        name = str(pid)
        if pidfd >= 0:
            info = os.open(f"self/fdinfo/{pidfd}", os.O_RDONLY, dir_fd=proc)
            for line in os.read(info, 4096).splitlines():
                if line.startswith(b"Pid:"):
                    name = line.split()[1].decode()
            os.close(info)
        files = (
            kernel.own_fd(os.open(f"{name}/syscall", os.O_RDONLY, dir_fd=proc)),
            kernel.own_fd(os.open(f"{name}/stat", os.O_RDONLY, dir_fd=proc)),
        )
        os.pread(files[0], 64, 0)
    except OSError:
        return None
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return files


def _channel() -> tuple[socket.socket, socket.socket]:
    with kernel.wide_table():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return socket.socket(fileno=kernel.own_fd(ours.detach())), socket.socket(fileno=kernel.own_fd(theirs.detach()))


def _serve(words: memoryview, futex: int, channel: socket.socket | None, priority: int) -> None:
    """The lane itself: makes the calls it is asked to make, until it is killed."""
    try:
        kernel.die_with_parent()
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        if channel is not None:
            kernel.close_range(0, channel.fileno() - 1)
            kernel.close_range(channel.fileno() + 1, kernel.HIGHEST_OWN_FD)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGUSR1, signal.SIGUSR2))
        done = words[_DONE]
        while True:
            while words[_ASKED] == done:
                kernel.futex_wait(futex, done & 0xFFFF_FFFF)
            done = words[_ASKED]
            if words[_NUMBER] == _TAKE_OVER and channel is not None:
                take_over(channel)
                value = 0
            else:
                value = syscall(*words[_NUMBER : _NUMBER + 7])
            number = get_errno() if value == -1 else 0
            words[_AT] = time.monotonic_ns()
            words[_VALUE], words[_ERRNO] = value, number
            words[_SIGPIPE] = number == errno.EPIPE and signal.sigtimedwait((signal.SIGPIPE,), 0) is not None
            words[_DONE] = done
    finally:
        os._exit(70)
