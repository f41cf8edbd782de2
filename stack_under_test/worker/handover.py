"""A forked task without a fork.

Copying a Python costs milliseconds: its page tables, then a fault for every page that either side touches.  So the
process of a forked task is made once and kept, and what fork(2) would give it is handed to it each time, over a unix
socket: the network namespace to be in, and every descriptor of the program, which thereby names the same open file
description under the same number, with the same close-on-exec flag.
"""

from __future__ import annotations

import marshal
import os
import socket

from stack_under_test.worker import kernel
from stack_under_test.worker.kernel import SYS_FCNTL, syscall

_MOST = 253
"""SCM_MAX_FD: descriptors in a message."""
_OCTETS = 1 << 13
_F_GETFD, _F_SETFD, _FD_CLOEXEC = 1, 2, 1


def hand_over(channel: socket.socket, namespace: int, proc: int | None) -> None:
    """Give what a fork would; `take_over` at the other end is to follow.  Raises OSError."""
    held = [(fd, flags) for fd in _descriptors(proc) if (flags := syscall(SYS_FCNTL, fd, _F_GETFD, 0, 0, 0, 0)) >= 0]
    socket.send_fds(channel, [marshal.dumps(len(held))], [namespace])
    for at in range(0, len(held), _MOST):
        piece = held[at : at + _MOST]
        socket.send_fds(channel, [marshal.dumps(piece)], [fd for fd, _ in piece])


def take_over(channel: socket.socket) -> None:
    """In the process of the task, which has no descriptors in the programs' range.  Raises OSError."""
    octets, fds, _, _ = socket.recv_fds(channel, _OCTETS, 1)
    kernel.setns(fds[0], kernel.CLONE_NEWNET)
    os.close(fds[0])
    missing: int = marshal.loads(octets)
    while missing:
        octets, fds, _, _ = socket.recv_fds(channel, _OCTETS, _MOST)
        held = marshal.loads(octets)
        missing -= len(held)
        # They came under the lowest free numbers in the order of those they are to have: from the last one on, each
        # goes to a number that is free, or its own.
        for got, (wanted, flags) in reversed(list(zip(fds, held, strict=True))):
            if got != wanted:
                os.dup2(got, wanted)
                os.close(got)
            syscall(SYS_FCNTL, wanted, _F_SETFD, flags, 0, 0, 0)


def _descriptors(proc: int | None) -> list[int]:
    """What may be open in the programs' range, ascending."""
    if proc is None:
        return list(range(kernel.PROGRAM_FDS))
    with kernel.wide_table():
        listing = os.open("self/fd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=proc)
        try:
            return sorted(
                [int(name) for name in os.listdir(listing) if int(name) < kernel.PROGRAM_FDS and int(name) != listing]
            )
        finally:
            os.close(listing)
