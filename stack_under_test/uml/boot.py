"""One running guest: a user-mode kernel as a process group of ours, and the pipe to it.

It runs on one CPU (the kernel and the processes of its guest only ever take turns), with the host's files read-only,
in a session of its own so that all of it can be ended at once.  It ends when we do: at the end of the pipe by itself,
and while it does not read, by a signal at our death.  What it needs a name for on disk is in one folder, removed as soon
as it has booted; its memory and its console are files without a name.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from mmap import PROT_READ, mmap
from pathlib import Path
from typing import IO

from stack_under_test.contract.target import Unavailable
from stack_under_test.uml.blocks import NOTED_SIZE, noted
from stack_under_test.uml.guest import READY, TIME_OF_DAY_NS
from stack_under_test.uml.places import Kernel
from stack_under_test.worker.kernel import die_with_parent

_ROOT = Path(__file__).resolve().parents[2]
_MODULE = "stack_under_test.uml.guest"
_BOOT_NS = 60_000_000_000
_PREFIX = "sockdiff-uml-"
_CHUNK = 1 << 17
_LAST_WORDS = 4096
_PANIC = "Kernel panic - not syncing: "


class Silent(Exception):
    """The guest did not answer in time."""


class Gone(Exception):
    """The guest has ended; the argument says how."""


class Machine:
    """A guest that has booted.  Raises Unavailable when it cannot."""

    def __init__(self, kernel: Kernel, seed: int, cpu: int | None = None) -> None:
        self._kernel = kernel
        self._received = b""
        self._poll = select.poll()
        self._noted: mmap | None = None
        _sweep(_memory_folder())
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=_memory_folder())
        try:
            self._start(folder, seed, cpu)
            said = self.read(len(READY), time.monotonic_ns() + _BOOT_NS)
            if said != READY:
                raise Gone(f"it says {said!r}")
        except OSError as error:
            raise Unavailable(f"{kernel.image}: {error.strerror}") from None
        except (Silent, Gone) as failure:
            self.close()
            raise Unavailable(f"kernel {kernel.name} does not boot: {failure}") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self, folder: str, seed: int, cpu: int | None) -> None:
        down, self._to = os.pipe()
        self._from, up = os.pipe()
        self._console: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        environment = {"TMPDIR": folder, "HOME": folder, "PATH": "/usr/bin:/bin", "UML_RNG_SEED": str(seed)}
        passed = [down, up]
        if "kcov" in self._kernel.features:
            passed.append(self._shared())
            environment["UML_COVERAGE"] = str(passed[-1])
        try:
            self._process = subprocess.Popen(
                _command(self._kernel, seed, (down, up), folder),
                executable=self._kernel.image,
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=self._console,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call)
            )
        except OSError:
            self._console.close()
            os.close(self._to)
            os.close(self._from)
            raise
        finally:
            for fd in passed:
                os.close(fd)
        self._poll.register(self._from, select.POLLIN)
        if cpu is not None:
            os.sched_setaffinity(self._process.pid, {cpu})

    def _shared(self) -> int:
        """A descriptor of the memory in which a kernel with coverage notes what it reaches."""
        fd = os.memfd_create("sockdiff-coverage", os.MFD_CLOEXEC)
        os.ftruncate(fd, NOTED_SIZE)
        self._noted = mmap(fd, NOTED_SIZE, prot=PROT_READ)
        return fd

    def noted(self) -> array[int]:
        """The offsets of the code that the latest program reached, of a kernel with coverage."""
        return noted(memoryview(self._noted)) if self._noted is not None else array("I")

    @property
    def group(self) -> int:
        return self._process.pid

    def write(self, octets: bytes) -> None:
        """Raises Gone."""
        view = memoryview(octets)
        try:
            while view:
                view = view[os.write(self._to, view) :]
        except BrokenPipeError:
            raise Gone(self._ending()) from None

    def read(self, size: int, deadline: int) -> bytes:
        """Exactly that many octets, by then (monotonic ns).  Raises Silent or Gone."""
        parts, missing = [self._received], size - len(self._received)
        while missing > 0:
            left_ms = max(0, deadline - time.monotonic_ns()) // 1_000_000
            if not self._poll.poll(left_ms):
                self._received = b"".join(parts)
                raise Silent("no answer in time")
            octets = os.read(self._from, _CHUNK)
            if not octets:
                self._received = b"".join(parts)
                raise Gone(self._ending())
            parts.append(octets)
            missing -= len(octets)
        whole = b"".join(parts) if len(parts) > 1 else parts[0]
        self._received = whole[size:]
        return whole[:size]

    def close(self) -> None:
        """End every process of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for fd in (self._to, self._from):
            os.close(fd)
        self._console.close()

    def _ending(self) -> str:
        """How it ended, from what it said last."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._console.seek(max(0, os.fstat(self._console.fileno()).st_size - _LAST_WORDS))
        said = self._console.read().decode(errors="replace").splitlines()
        lines = [line for line in said if line.strip() and "reboot:" not in line]
        for line in lines:
            if _PANIC in line:
                return "panic: " + line.partition(_PANIC)[2].strip()
        return lines[-1].strip() if lines else f"exit {self._process.returncode}"


def _command(kernel: Kernel, seed: int, pipes: tuple[int, int], folder: str) -> list[str]:
    """The kernel's command line; what the kernel does not know becomes the environment of the first process."""
    return [
        str(kernel.image),
        "mem=256M",
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        "con=null",
        "con0=null,fd:1",
        "ssl=null",
        "quiet",
        "norandmaps",
        "time-travel=inf-cpu",
        f"time-travel-start={TIME_OF_DAY_NS}",
        f"uml_dir={folder}",
        f"um_seed={seed}",
        f"hostpipe={pipes[0]},{pipes[1]}",
        "PYTHONHASHSEED=0",
        f"PYTHONPATH={_ROOT}",
        f"init={os.path.realpath(sys.executable)}",
        "--",
        "-B",
        "-S",
        "-m",
        _MODULE,
    ]


def _sweep(parent: str) -> None:
    """Remove folders of guests whose parent was killed while they booted; none boots for so long."""
    oldest = time.time() - 2 * _BOOT_NS / 1e9
    for folder in Path(parent).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)


def _memory_folder() -> str:
    """Where the guest's memory lies: a tmpfs if programs may be run from it, for the kernel maps it executable."""
    shared = "/dev/shm"
    try:
        if os.access(shared, os.W_OK) and not os.statvfs(shared).f_flag & os.ST_NOEXEC:
            return shared
    except OSError:
        pass
    return tempfile.gettempdir()
