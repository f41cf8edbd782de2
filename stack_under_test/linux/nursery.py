"""The process that makes worlds and workers, and reports how workers end.

One per target: ``python -m stack_under_test.linux.nursery FD``, FD being a SOCK_SEQPACKET socket to the parent.  It
is single-threaded, so it can clone; it is the parent of its workers, so it knows by which signal one died; and it holds
everything in namespaces, so nothing is left when it goes, which it does when the parent hangs up.

A worker is the first process of a PID namespace: it and all it started end together.  It asks for worlds here, through
a socket of its own; one ordinary world is kept ready.

Messages are marshalled tuples.  From the parent: ``("worker",)``, answered with ``("worker", id)``, a control socket
and a descriptor of the record memory; ``("end", id, kill)``, answered with ``("ended", name)`` once the worker is
gone; ``("facts",)``, answered with ``("facts", refused sysctls, tasks are ordered)``.  ``("error", line)`` answers
what could not be done.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from typing import Any

from stack_under_test.contract.world import World
from stack_under_test.linux.availability import privileged
from stack_under_test.linux.worlds import Worlds
from stack_under_test.worker import kernel
from stack_under_test.worker.confine import Surroundings
from stack_under_test.worker.lanes import end_name, tasks_are_ordered
from stack_under_test.worker.serve import RECORDS_SIZE, SharedRecords, Worker
from stack_under_test.worker.setup import Obtained

_MESSAGE = 1 << 16
_ORDINARY = World()


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    asks: socket.socket


class NurserySource:
    """Where a worker gets its worlds: it asks the nursery."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def obtain(self, world: World) -> Obtained:
        self._socket.send(marshal.dumps((world.link, world.sysctls)))
        octets, fds, _, _ = socket.recv_fds(self._socket, _MESSAGE, 2)
        if not octets:
            raise OSError("the nursery is gone")
        error, metadata, refused = marshal.loads(octets)
        if error:
            raise OSError(error)
        return Obtained(fds[0], fds[1], metadata, refused)


class Nursery:
    """Serves one parent."""

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent
        self._worlds = Worlds()
        self._children: dict[int, _Child] = {}
        self._next = 0
        self._spare: Obtained | None = None
        self._silent: list[socket.socket] = []
        """Sockets of workers that have ended and whose end has not been asked for."""

    def serve(self) -> None:
        """Until the parent hangs up."""
        wanted = False
        while True:
            asking = [child.asks for child in self._children.values() if child.asks not in self._silent]
            sockets = [self._parent, *asking]
            ready, _, _ = select.select(sockets, [], [], 0 if wanted else None)
            if not ready:
                wanted = False
                self._prepare()
            for sock in ready:
                if sock is self._parent:
                    if not self._from_parent():
                        return
                elif sock.fileno() >= 0:
                    self._from_worker(sock)
                wanted = True

    def end(self) -> None:
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)
        for child in self._children.values():
            os.waitpid(child.pid, 0)

    def _prepare(self) -> None:
        if self._spare is None and self._children:
            with contextlib.suppress(OSError):
                self._spare = self._worlds.make(_ORDINARY)

    # The parent

    def _from_parent(self) -> bool:
        octets = self._parent.recv(_MESSAGE)
        if not octets:
            return False
        message = marshal.loads(octets)
        try:
            if message[0] == "worker":
                self._worker()
            elif message[0] == "facts":
                self._spare = self._spare or self._worlds.make(_ORDINARY)
                self._say(("facts", self._spare.refused, tasks_are_ordered()))
            else:
                self._say(("ended", self._ended(message[1], message[2])))
        except OSError as error:
            self._say(("error", str(error)))
        return True

    def _say(self, message: tuple[Any, ...], fds: tuple[int, ...] = ()) -> None:
        socket.send_fds(self._parent, [marshal.dumps(message)], fds)

    def _worker(self) -> None:
        memory = os.memfd_create("records")
        os.ftruncate(memory, RECORDS_SIZE)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        asks, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        turn = os.getpid() + self._next
        pid = kernel.clone(kernel.CLONE_NEWPID)
        if pid == 0:
            _become_worker(theirs, asked, memory, turn)
        self._next += 1
        self._children[self._next] = _Child(pid, asks)
        self._say(("worker", self._next), (ours.fileno(), memory))
        for sock in (ours, theirs, asked):
            sock.close()
        os.close(memory)

    def _ended(self, number: int, kill: bool) -> str:
        child = self._children.pop(number)
        if kill:
            os.kill(child.pid, signal.SIGKILL)
        info = os.waitid(os.P_PID, child.pid, os.WEXITED)
        self._silent = [sock for sock in self._silent if sock is not child.asks]
        child.asks.close()
        return "" if info is None else end_name(info.si_code == os.CLD_EXITED, info.si_status)

    # Workers

    def _from_worker(self, sock: socket.socket) -> None:
        octets = sock.recv(_MESSAGE)
        if not octets:
            self._silent.append(sock)
            return
        world = World(*marshal.loads(octets))
        got, self._spare = (self._spare, None) if world == _ORDINARY else (None, self._spare)
        try:
            got = got or self._worlds.make(world)
        except OSError as error:
            sock.send(marshal.dumps((str(error), (), ())))
            return
        socket.send_fds(sock, [marshal.dumps(("", got.metadata, got.refused))], [got.namespace, got.tun])
        os.close(got.namespace)
        os.close(got.tun)


def _become_worker(control: socket.socket, asked: socket.socket, memory: int, turn: int) -> None:
    """In the new process: serve the parent as a worker, on one CPU (`turn` spreads workers over them), and never
    return."""
    status = 70
    report = -1
    try:
        kernel.die_with_parent()
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[turn % len(cpus)]})
        with kernel.wide_table():
            fds = [kernel.own_fd(sock.detach()) for sock in (control, asked)]
            records = SharedRecords(memory, fds[0])
            report = kernel.own_fd(os.dup(2))
        surroundings = Surroundings((*fds, report), private_root=True)
        Worker(fds[0], records, NurserySource(socket.socket(fileno=fds[1])), surroundings).serve()
        status = 0
    except BaseException:
        if report >= 0:
            os.write(report, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _enter_user_namespace() -> None:
    """Root within a user namespace of our own, mapped to the user outside."""
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER)
    for name, value in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(value)


def main() -> None:
    parent = socket.socket(fileno=int(sys.argv[1]))
    try:
        if not privileged():
            _enter_user_namespace()
        nursery = Nursery(parent)
    except OSError as error:
        parent.send(marshal.dumps(("error", str(error))))
        return
    parent.send(marshal.dumps(("ready",)))
    try:
        nursery.serve()
    finally:
        nursery.end()


if __name__ == "__main__":
    main()
