"""What a program cannot reach.

A program is absurd on purpose: it binds any path, names any descriptor and any process.  So a worker gives up what it
does not need before the first one runs: it lives in an empty root of its own (a tmpfs), keeps five capabilities, has
its own descriptors beyond the limit that holds for programs, and every signal but SIGKILL is blocked.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import stat
import tempfile

from stack_under_test.contract import abi
from stack_under_test.worker import kernel

_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_CAP_NET_BIND_SERVICE, _CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_ADMIN, _CAP_SYS_NICE = 10, 12, 13, 21, 23
KEPT = sum(1 << bit for bit in (_CAP_NET_BIND_SERVICE, _CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_ADMIN, _CAP_SYS_NICE))
"""CAP_SYS_ADMIN enters namespaces, CAP_SYS_NICE orders lanes."""


class Surroundings:
    """The worker's own descriptors: /proc, /dev/null, the root directory if it is a private one, and a socket (`_stamping`)."""

    def __init__(self, keep: tuple[int, ...], private_root: bool) -> None:
        """Every descriptor but those in `keep`, which must lie beyond the programs' range, is closed."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        kernel.exact_timers()
        kernel.catch_signals()
        with kernel.wide_table():
            self.proc = _directory("/proc")
            null = kernel.own_fd(os.open("/dev/null", os.O_RDWR))
            self.root = _private_root() if private_root else None
            stamping = kernel.own_fd(_stamping().detach())
        self._null = null
        mine = sorted({fd for fd in (*keep, self.proc, null, self.root, stamping) if fd is not None})
        for low, high in zip([kernel.PROGRAM_FDS - 1, *mine], [*mine, kernel.HIGHEST_OWN_FD + 1], strict=True):
            if high - low > 1:
                kernel.close_range(low + 1, high - 1)
        kernel.close_range(3, kernel.PROGRAM_FDS - 1)
        self.restore_standard()
        if private_root:
            kernel.keep_capabilities(KEPT)
        gc.freeze()

    def restore_standard(self) -> None:
        """0, 1 and 2 are /dev/null, each with a file description nobody has changed."""
        for number in range(3):
            fd = self._null
            if self.proc is not None:
                fd = os.open(f"self/fd/{self._null}", os.O_RDWR, dir_fd=self.proc)
            os.dup2(fd, number)
            if fd == number:
                # It was the lowest free number, and dup2 onto itself leaves close-on-exec as it is.
                os.set_inheritable(number, True)
            elif fd != self._null:
                os.close(fd)

    def remove_paths(self) -> None:
        """Unlink the sockets that programs have bound in the private root."""
        if self.root is None:
            return
        for name in os.listdir(self.root):
            if stat.S_ISSOCK(os.stat(name, dir_fd=self.root, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=self.root)


def _stamping() -> socket.socket:
    """While it is open the kernel notes when packets arrive.  It begins to only some time after the first socket has asked
    for that, so it would be up to chance whether a program that asks is told of its first packets."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, abi.SO_TIMESTAMP, 1)
    return sock


def _directory(path: str) -> int | None:
    """A descriptor of /proc, if there is one that knows this process."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        os.close(os.open("self/stat", os.O_RDONLY, dir_fd=fd))
        return kernel.own_fd(fd)
    except OSError:
        return None


def _private_root() -> int:
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    place = tempfile.gettempdir()
    kernel.mount("sockdiff", place, "tmpfs", 0)
    os.chroot(place)
    os.chdir("/")
    return kernel.own_fd(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
