"""An archive that a kernel unpacks into memory and boots from: this Python, the worker, and what both need.

Which files those are is not guessed: a Python that imports what the guest imports says which modules and libraries it
has loaded.  They keep their paths.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from stack_under_test.contract.target import Unavailable

_ROOT = Path(__file__).resolve().parents[2]
_ASK = """
import sys
import {module}, encodings.idna, encodings.latin_1, encodings.ascii
for found in list(sys.modules.values()):
    for name in (getattr(found, "__file__", None), getattr(found, "__cached__", None)):
        if name: print(name)
for line in open("/proc/self/maps"):
    name = line.split(None, 5)[5].strip() if line.count("/") else ""
    if ".so" in name: print(name)
"""
_INIT = """#!{python} -SB
import sys
sys.path.insert(0, {root!r})
from {module} import main
main()
"""
_LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/etc/ld.so.cache")
_FOLDER, _FILE, _LINK, _DEVICE = 0o040755, 0o100755, 0o120777, 0o020600


def initramfs(module: str, given: Mapping[str, bytes]) -> bytes:
    """The archive: as its first process it runs `main` of `module`; `given` are more files, path -> octets.  Raises
    Unavailable."""
    python = os.path.realpath(sys.executable)
    init = _INIT.format(python=python, root=str(_ROOT), module=module)
    names = [python, *_loaded(python, module), *_LOADERS]
    archive = _Archive()
    archive.device("/dev/console", 5, 1)
    archive.file("/init", init.encode())
    for name, octets in given.items():
        archive.file(name, octets)
    for name in dict.fromkeys(names):
        if os.path.exists(name):
            archive.copy(name)
    for name in ("/proc", "/tmp"):
        archive.folder(name)
    return archive.octets()


def _loaded(python: str, module: str) -> list[str]:
    """Files of the modules and libraries of a Python that has imported `module`."""
    ask = [python, "-S", "-c", _ASK.format(module=module)]
    done = subprocess.run(ask, cwd=_ROOT, env={"PYTHONPATH": str(_ROOT)}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{module} cannot be imported: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.splitlines()


class _Archive:
    """cpio in the format "newc" (`Documentation/driver-api/early-userspace/buffer-format.rst`)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: set[str] = set()

    def copy(self, name: str) -> None:
        """A file of this machine, with the links that lead to it: those in its path, and those beside it (a library is
        asked for by the shorter of its names)."""
        place = self._real(os.path.dirname(name))
        self._entry(name if place == os.path.dirname(name) else os.path.join(place, os.path.basename(name)))
        real = os.path.realpath(name)
        if ".so." in real:
            for other in os.listdir(os.path.dirname(real)):
                path = os.path.join(os.path.dirname(real), other)
                if os.path.islink(path) and os.path.realpath(path) == real:
                    self._entry(path)

    def _real(self, folder: str) -> str:
        """The folder without links, each of which is put into the archive."""
        path = "/"
        for part in Path(folder).parts[1:]:
            path = os.path.join(path, part)
            if os.path.islink(path):
                self._entry(path)
                path = os.path.realpath(path)
        return path

    def _entry(self, path: str) -> None:
        if path in self._known:
            return
        if os.path.islink(path):
            self._known.add(path)
            self._parents(path)
            self._add(path, _LINK, os.readlink(path).encode())
            target = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
            if os.path.isfile(path):
                self.copy(target)
        elif os.path.isdir(path):
            self.folder(path)
        else:
            self.file(path, Path(path).read_bytes())

    def folder(self, name: str) -> None:
        if name not in self._known and name != "/":
            self._parents(name)
            self._known.add(name)
            self._add(name, _FOLDER, b"")

    def file(self, name: str, octets: bytes) -> None:
        self._parents(name)
        self._known.add(name)
        self._add(name, _FILE, octets)

    def device(self, name: str, major: int, minor: int) -> None:
        self._parents(name)
        self._add(name, _DEVICE, b"", major, minor)

    def _parents(self, name: str) -> None:
        self.folder(os.path.dirname(name))

    def _add(self, name: str, mode: int, octets: bytes, major: int = 0, minor: int = 0) -> None:
        encoded = name.lstrip("/").encode() + b"\0"
        fields: Iterable[int] = (
            len(self._parts) + 1, mode, 0, 0, 1, 0, len(octets), 0, 0, major, minor, len(encoded), 0
        )  # fmt: skip
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self._parts.append(_padded(head) + _padded(octets))

    def octets(self) -> bytes:
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self._parts)


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
