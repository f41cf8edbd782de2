"""From a package, a tarball or a tree to a patched source tree of ours.

Each stage leaves either its whole result or nothing: it works in a folder of another name, which is renamed at the
end.  So whatever interrupts it, the next run goes on from the last stage that was finished.  A tree of the user's is
copied, never changed.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from stack_under_test.uml.places import RELEASES, Kernel
from stack_under_test.uml.steps import BuildError, Show, carry_out

DATA = Path(__file__).parent
_STAMP = ".sockdiff-patches"


def prepare(kernel: Kernel, given: Path | None, log: Path, show: Show) -> None:
    """Have a patched tree at `kernel.source`.  Raises BuildError."""
    patches = patch_files(kernel)
    wanted = fingerprint(patches) + (f" {given.resolve()}" if given else "")
    stamp = kernel.source / _STAMP
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    partial = kernel.folder / "source.partial"
    shutil.rmtree(partial, ignore_errors=True)
    if given is not None and given.is_dir():
        carry_out("copying the source", ["cp", "-a", "--reflink=auto", str(given), str(partial)], log, show)
    else:
        tarball = given or _packaged(kernel, log, show)
        partial.mkdir(parents=True)
        unpack = ["tar", "-C", str(partial), "--strip-components=1", "-xf", str(tarball)]
        carry_out("unpacking the source", unpack, log, show)
    for patch in patches:
        apply = ["patch", "-p1", "--no-backup-if-mismatch", "-d", str(partial), "-i", str(patch)]
        carry_out(f"patch {patch.name}", apply, log, show)
    if kernel.source.is_dir():
        show("comparing with the tree before it")
        keep_times(partial, kernel.source)
    (partial / _STAMP).write_text(wanted, "utf-8")
    shutil.rmtree(kernel.source, ignore_errors=True)
    partial.rename(kernel.source)


def keep_times(new: Path, old: Path) -> None:
    """Give each file of `new` the time that makes `make` right about objects made from `old`: the old one where nothing
    has changed, now where something has.  (Archives keep the times of files, which may be older than the objects.)"""
    for folder, _, names in os.walk(new):
        before = old / Path(folder).relative_to(new)
        for name in names:
            file, other = Path(folder, name), before / name
            if file.is_symlink():
                continue
            if other.is_file() and filecmp.cmp(file, other):
                times = other.stat()
                os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
            else:
                os.utime(file)
    filecmp.clear_cache()


def patch_files(kernel: Kernel) -> list[Path]:
    """The patches for a release, in order: those written for the default release, unless there is one of the same name
    for this."""
    general = {path.name: path for path in (DATA / "patches" / RELEASES[0]).glob("*.patch")}
    special = {path.name: path for path in (DATA / "patches" / kernel.release).glob("*.patch")}
    return [path for _, path in sorted({**general, **special}.items())]


def fingerprint(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def version(kernel: Kernel) -> str:
    """As the tree's Makefile has it (``6.12.94``)."""
    text = (kernel.source / "Makefile").read_text("utf-8")
    found = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", text, re.MULTILINE))
    return ".".join(found.get(name, "0") for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))


def _packaged(kernel: Kernel, log: Path, show: Show) -> Path:
    """The tarball in Debian's package for the release, downloaded if need be."""
    package = f"linux-source-{kernel.release}"
    tarball = kernel.folder / f"{package}.tar.xz"
    if tarball.exists():
        return tarball
    partial = kernel.folder / "download.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        carry_out(f"downloading {package}", ["apt-get", "download", package], log, show, cwd=partial)
    except BuildError as error:
        raise BuildError(f"{error}; without Debian's packages, give a tree or a tarball with --source") from None
    (archive,) = partial.glob("*.deb")
    carry_out(f"opening {archive.name}", ["dpkg-deb", "-x", str(archive), str(partial)], log, show)
    found = partial / "usr" / "src" / tarball.name
    if not found.exists():
        raise BuildError(f"no {tarball.name} in {archive.name}")
    found.rename(tarball)
    shutil.rmtree(partial, ignore_errors=True)
    return tarball


def compiler() -> str:
    """gcc's name for itself."""
    said = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0] if said else "unknown"
