"""Stock kernels of Debian's under qemu: a slow second witness that the user-mode kernel tells the truth.

Nothing is built.  qemu interprets every instruction and counts them: its clock moves with the count, and jumps to the
next timer when the kernel is idle, so here too time is virtual.  One boot runs a whole batch with the same worker; the
traces come back over the second serial line.
"""

from __future__ import annotations

import lzma
import marshal
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import IO

from stack_under_test.contract import abi
from stack_under_test.contract.program import Program
from stack_under_test.contract.target import Traits, Unavailable
from stack_under_test.contract.trace import Trace
from stack_under_test.contract.world import HOST_OWNED
from stack_under_test.uml.initramfs import initramfs
from stack_under_test.uml.places import cache
from stack_under_test.uml.steps import BuildError, Show, carry_out
from stack_under_test.uml.stock_guest import MODULE, PROGRAMS
from stack_under_test.worker.codec import pack_programs
from stack_under_test.worker.kernel import die_with_parent
from stack_under_test.worker.reader import Reading, read_stream

_QEMU = "qemu-system-x86_64"
_GUEST = "stack_under_test.uml.stock_guest"
_MEMORY = "1024M"
_NS_SHIFT = 0
"""An instruction takes 2 to the power of this in nanoseconds."""
_LOOK_S = 0.5
_TAIL = 4096
_APPEND = (
    "console=ttyS0 quiet panic=-1 nokaslr tsc=reliable mitigations=off nowatchdog random.trust_cpu=on "
    "PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1"
)


class Stock:
    """A kernel of Debian's: `package` (``linux-image-6.12.117+deb12-amd64``), its image and its driver of the link."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.release = package.removeprefix("linux-image-")
        folder = cache() / "stock" / package
        self.image, self.tun = folder / "vmlinuz", folder / "tun.ko"

    def fetch(self, show: Show) -> None:
        """Have both files, downloading the package if need be.  Raises BuildError."""
        if self.image.exists() and self.tun.exists():
            return
        folder = self.image.parent
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        log = folder.parent / "fetch.log"
        carry_out(f"downloading {self.package}", ["apt-get", "download", self.package], log, show, cwd=partial)
        (archive,) = partial.glob("*.deb")
        carry_out(f"opening {archive.name}", ["dpkg-deb", "-x", str(archive), str(partial / "files")], log, show)
        images, drivers = sorted(partial.glob("files/boot/vmlinuz-*")), sorted(partial.glob("files/**/net/tun.ko*"))
        if not images or not drivers:
            raise BuildError(f"{self.package} has no kernel or no tun.ko")
        octets = drivers[0].read_bytes()
        (partial / "tun.ko").write_bytes(lzma.decompress(octets) if drivers[0].suffix == ".xz" else octets)
        images[0].rename(partial / "vmlinuz")
        shutil.rmtree(partial / "files")
        archive.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    def run(self, programs: Sequence[Program], limit_ns: int, show: Show) -> tuple[list[Trace], Traits]:
        """Boot once and run all of them.  `limit_ns` is in wall-clock time.  Raises Unavailable."""
        host = ("",) * len(HOST_OWNED)
        given = {PROGRAMS: marshal.dumps((host, pack_programs(programs))), MODULE: self.tun.read_bytes()}
        with _nameless(initramfs(_GUEST, given)) as start, _nameless() as console, _nameless() as entries:
            _boot(self, (start, console, entries), limit_ns, show)
            reading = Reading(programs, "qemu", {})

            def read(size: int) -> bytes | None:
                octets = entries.read(size)
                return octets if len(octets) == size else None

            entries.seek(0)
            if not read_stream(read, programs, reading):
                raise Unavailable(f"{self.package} stopped in program {len(reading.traces)}: {_last_words(console)}")
        families = frozenset({abi.AF_UNIX, abi.AF_INET, abi.AF_INET6, abi.AF_NETLINK, abi.AF_PACKET})
        return reading.traces, Traits("qemu", self.release, True, families, frozenset({"tun", "tap"}))


def find(release: str) -> Stock:
    """The stock kernel of the release (``6.12.117``) or, when it is gone, the newest of the same series.  Raises
    Unavailable."""
    lacking = [package for command, package in _NEEDED if shutil.which(command) is None]
    if lacking:
        raise Unavailable(f"a stock kernel needs {', '.join(lacking)}: apt-get install {' '.join(lacking)}")
    series = ".".join(release.split(".")[:2])
    ask = ["apt-cache", "pkgnames", f"linux-image-{series}."]
    names = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.split()
    found = [name for name in names if re.fullmatch(r"linux-image-\d+[.]\d+[.]\d+[+~\w.]*(-\d+)?-amd64", name)]
    if not found:
        raise Unavailable(f"no package linux-image-{series}.*-amd64 is known to apt-get")
    same = [name for name in found if re.match(rf"linux-image-{re.escape(release)}\b", name)]
    return Stock(max(same or found, key=_numbers))


_NEEDED = ((_QEMU, "qemu-system-x86"), ("apt-get", "apt"), ("dpkg-deb", "dpkg"))


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _nameless(octets: bytes = b"") -> IO[bytes]:
    """A file in memory, of which nothing is left, however we end."""
    file = open(os.memfd_create("sockdiff-qemu"), "r+b", buffering=0)  # noqa: SIM115 (closed by the caller)
    file.write(octets)
    return file


def _boot(stock: Stock, files: tuple[IO[bytes], IO[bytes], IO[bytes]], limit_ns: int, show: Show) -> None:
    """Until the machine switches itself off.  The files are the initramfs, what the console says, and the entries.  Raises
    Unavailable at the limit."""
    start, console, entries = [f"/proc/self/fd/{file.fileno()}" for file in files]
    command = [
        _QEMU, "-M", "pc", "-accel", "tcg", "-cpu", "qemu64", "-icount", f"shift={_NS_SHIFT},sleep=off",
        "-seed", "1", "-rtc", "base=2023-11-14T00:00:00,clock=vm", "-m", _MEMORY,
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-serial", f"file:{console}", "-serial", f"file:{entries}",
        "-kernel", str(stock.image), "-initrd", start, "-append", _APPEND,
    ]  # fmt: skip
    began = time.monotonic_ns()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=files[1],
        pass_fds=[file.fileno() for file in files],
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call)
    )
    try:
        while True:
            try:
                status = process.wait(_LOOK_S)
                break
            except subprocess.TimeoutExpired:
                elapsed = time.monotonic_ns() - began
                if elapsed > limit_ns:
                    raise Unavailable(f"{stock.package} took too long: {_last_words(files[1])}") from None
                size = os.fstat(files[2].fileno()).st_size
                show(f"{stock.package} under qemu: {elapsed // 1_000_000_000} s, {size} octets of traces")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if status != 0:
        raise Unavailable(f"qemu ended with {status}: {_last_words(files[1])}")


def _last_words(console: IO[bytes]) -> str:
    """The last line that qemu or the kernel said."""
    console.seek(max(0, os.fstat(console.fileno()).st_size - _TAIL))
    told = [line.strip() for line in console.read().decode(errors="replace").split("\n") if line.strip()]
    return told[-1] if told else "it said nothing"
