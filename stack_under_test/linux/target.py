"""The target `linux`: a nursery and its workers behind the contract.

`run` is one round trip to one worker.  `submit` and `collect` split it, so that a caller can do something else (run
the same program on another stack) while the kernel works; `run_many` keeps several workers busy.
"""

from __future__ import annotations

import marshal
import os
import select
import socket
import subprocess
import sys
import tempfile
import weakref
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from stack_under_test.contract import abi
from stack_under_test.contract.program import Program
from stack_under_test.contract.target import Traits, Unavailable
from stack_under_test.contract.trace import Trace
from stack_under_test.contract.world import HOST_OWNED, KERNEL, MACHINE, World
from stack_under_test.linux.availability import available
from stack_under_test.linux.connection import NAME, Connection
from stack_under_test.worker import buffers
from stack_under_test.worker.reader import Metadata

_FAMILIES = frozenset({abi.AF_UNIX, abi.AF_INET, abi.AF_INET6, abi.AF_NETLINK, abi.AF_PACKET})
_START_S = 30
UNORDERED = ("tasks", "of two that are woken by one packet, either may go first (no CAP_SYS_NICE)")
_MESSAGE = 1 << 16
_BATCH = 16
_LIMIT_NS = 10_000_000_000
_ROOT = Path(__file__).resolve().parents[2]


def _host_owned() -> list[tuple[str, str]]:
    """What the host's administrator set and a namespace inherits, name and value."""
    found = []
    for name in HOST_OWNED:
        path = Path("/proc/sys", *name.split("."))
        if path.exists():
            found.append((name, path.read_text().strip()))
    return found


class LinuxTarget:
    """The host kernel.  `limit_ns` is the wall-clock time a program may take beyond what its `Advance` steps ask for;
    `workers` is how many programs `run_many` runs at a time.  Raises Unavailable."""

    def __init__(self, limit_ns: int = _LIMIT_NS, workers: int = 1) -> None:
        reason = available()
        if reason is not None:
            raise Unavailable(reason)
        self._nursery = _Nursery()
        self._connections: list[Connection] = []
        self._finalizer = weakref.finalize(self, _end, self._nursery, self._connections)
        metadata: dict[World, Metadata] = {}
        try:
            for _ in range(workers):
                self._connections.append(Connection(self._nursery.worker, self._nursery.end, limit_ns, metadata))
            _, refused, ordered = self._nursery.ask(("facts",))[0]
        except Unavailable:
            self.close()
            raise
        self._traits = Traits(
            name=NAME,
            release=os.uname().release,
            virtual_time=False,
            families=_FAMILIES,
            links=frozenset({"tun", "tap"}),
            observes_blocking=os.path.exists("/proc/self/syscall"),
            facts=(
                (KERNEL, os.uname().release),
                (MACHINE, os.uname().machine),
                *_host_owned(),
                *((f"sysctl {name}", f"not pinned: {reason}") for name, reason in refused),
                *(() if ordered else (UNORDERED,)),
            ),
        )
        self._traits = replace(self._traits, facts=(*self._traits.facts, *buffers.facts(self.run(buffers.ASK))))

    @property
    def traits(self) -> Traits:
        return self._traits

    def run(self, program: Program) -> Trace:
        self.submit(program)
        return self.collect()

    def submit(self, program: Program) -> None:
        """Begin to run; `collect` must follow before anything else."""
        self._connections[0].submit((program,))

    def collect(self) -> Trace:
        return self._connections[0].collect()[0]

    def run_many(self, programs: Iterable[Program]) -> list[Trace]:
        """The traces of `programs`, in their order.  They are sent in batches, so that two processes change places
        once for many programs."""
        waiting = iter(programs)
        count = 0
        traces: dict[int, list[Trace]] = {}
        numbers: dict[Connection, deque[int]] = {connection: deque() for connection in self._connections}
        while True:
            for connection in self._connections:
                while not connection.full and (batch := list(islice(waiting, _BATCH))):
                    connection.submit(batch)
                    numbers[connection].append(count)
                    count += 1
            running = [connection for connection in self._connections if not connection.idle]
            if not running:
                return [trace for number in range(count) for trace in traces[number]]
            ready = select.select(running, [], [])[0] if len(running) > 1 else running
            for connection in ready:
                traces[numbers[connection].popleft()] = connection.collect()

    def close(self) -> None:
        """End the workers and the nursery; their namespaces go with them."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _end(nursery: _Nursery, connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
    nursery.close()


class _Nursery:
    """The parent's end of the nursery process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stack_under_test.linux.nursery", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            self._socket.close()
            self._errors.close()
            raise Unavailable(f"cannot start {sys.executable}: {error.strerror}") from None
        finally:
            theirs.close()
        self._socket.settimeout(_START_S)
        try:
            self._answer()
        except Unavailable:
            self.close()
            raise

    def worker(self) -> tuple[int, socket.socket, int]:
        message, fds = self.ask(("worker",))
        return message[1], socket.socket(fileno=fds[0]), fds[1]

    def end(self, number: int, kill: bool) -> tuple[str, str]:
        name: str = self.ask(("end", number, kill))[0][1]
        return name, "" if kill else self._last_words("")

    def ask(self, message: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[int]]:
        try:
            self._socket.send(marshal.dumps(message))
        except OSError as error:
            raise Unavailable(self._last_words(str(error))) from None
        return self._answer()

    def close(self) -> None:
        self._socket.close()
        self._process.wait()
        self._errors.close()

    def _answer(self) -> tuple[tuple[Any, ...], list[int]]:
        try:
            octets, fds, _, _ = socket.recv_fds(self._socket, _MESSAGE, 2)
        except OSError as error:
            raise Unavailable(self._last_words(str(error))) from None
        if not octets:
            raise Unavailable(self._last_words("the process that makes namespaces ended"))
        message: tuple[Any, ...] = marshal.loads(octets)
        if message[0] == "error":
            raise Unavailable(message[1])
        return message, fds

    def _last_words(self, otherwise: str) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else otherwise
