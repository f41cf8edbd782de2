"""Building a kernel: source, configuration, compilation, and a note of what came of it.

Every stage can be interrupted; the next run goes on where it stopped (`make` by itself).  The configuration is the
kernel's smallest one and our fragments on top, and every symbol of a fragment has to have taken.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from stack_under_test.uml import sources, tools
from stack_under_test.uml.blocks import find_blocks
from stack_under_test.uml.places import Kernel
from stack_under_test.uml.sources import DATA
from stack_under_test.uml.steps import BuildError, Show, carry_out


def build(kernel: Kernel, given: Path | None, jobs: int, show: Show) -> Path:
    """Have the kernel at `kernel.image`; `given` is a tree or a tarball instead of Debian's package.  Nothing is done when it
    is there and current.  Raises BuildError."""
    if given is None and current(kernel):
        return kernel.image
    lacking = tools.missing(fetching=given is None)
    if lacking:
        raise BuildError(tools.complaint(lacking))
    if given is not None and not given.exists():
        raise BuildError(f"{given}: no such file or directory")
    kernel.folder.mkdir(parents=True, exist_ok=True)
    log = kernel.folder / "build.log"
    began = time.monotonic_ns()
    sources.prepare(kernel, given, log, show)
    _configure(kernel, log, show)
    _compile(kernel, jobs, log, show)
    _install(kernel, (time.monotonic_ns() - began) // 1_000_000_000)
    return kernel.image


def _fragments(kernel: Kernel) -> list[Path]:
    return [DATA / "config" / f"{name}.config" for name in ("base", *kernel.features)]


def fragments_fingerprint(kernel: Kernel) -> str:
    """Of the configuration that a kernel is to have."""
    return sources.fingerprint(_fragments(kernel))


def _configure(kernel: Kernel, log: Path, show: Show) -> None:
    fragments = _fragments(kernel)
    config, stamp = kernel.objects / ".config", kernel.objects / ".sockdiff-config"
    wanted = sources.fingerprint(fragments)
    if config.exists() and stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    kernel.objects.mkdir(parents=True, exist_ok=True)
    carry_out("configuring", _make(kernel, "tinyconfig"), log, show)
    text = "\n".join(fragment.read_text("utf-8") for fragment in fragments)
    with open(config, "a", encoding="utf-8") as file:
        file.write(text)
    carry_out("configuring", _make(kernel, "olddefconfig"), log, show)
    lost = not_taken(config.read_text("utf-8"), text)
    if lost:
        raise BuildError(f"this kernel cannot be configured as needed: {', '.join(lost)}")
    stamp.write_text(wanted, "utf-8")


def not_taken(config: str, fragment: str) -> list[str]:
    """Lines of the fragment that the configuration does not have; switching off something that does not exist is
    done."""
    have = set(config.splitlines())
    lost = []
    for line in dict.fromkeys(fragment.splitlines()):
        name, sign, value = line.partition("=")
        if not sign or line.startswith("#"):
            continue
        if value == "n":
            if any(other.startswith(f"{name}=") for other in have):
                lost.append(line)
        elif line not in have:
            lost.append(line)
    return lost


def _compile(kernel: Kernel, jobs: int, log: Path, show: Show) -> None:
    carry_out(f"compiling {kernel.name}", _make(kernel, f"-j{jobs}", "linux"), log, show)


def _make(kernel: Kernel, *arguments: str) -> list[str]:
    fixed = ("KBUILD_BUILD_TIMESTAMP=@0", "KBUILD_BUILD_USER=sockdiff", "KBUILD_BUILD_HOST=sockdiff")
    return ["make", "-C", str(kernel.source), "ARCH=um", f"O={kernel.objects}", *fixed, *arguments]


def _install(kernel: Kernel, seconds: int) -> None:
    """The finished kernel takes its place in one move, so that a guest never starts from half of one."""
    partial = kernel.image.with_name(kernel.image.name + ".partial")
    shutil.copyfile(kernel.objects / "linux", partial)
    partial.chmod(0o755)
    if "kcov" in kernel.features:
        find_blocks(kernel.objects / "linux", kernel.objects / "vmlinux.map").write(kernel.blocks_file)
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-debug", str(partial)], check=False)
    facts = {
        "release": sources.version(kernel),
        "features": list(kernel.features),
        "compiler": sources.compiler(),
        "patches": sources.fingerprint(sources.patch_files(kernel)),
        "config": fragments_fingerprint(kernel),
        "seconds": seconds,
    }
    kernel.facts_file.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    os.replace(partial, kernel.image)


def current(kernel: Kernel) -> bool:
    """Whether a built kernel has the patches and the configuration of this version of the project."""
    if not kernel.image.exists() or ("kcov" in kernel.features and not kernel.blocks_file.exists()):
        return False
    facts = kernel.facts()
    wanted = sources.fingerprint(sources.patch_files(kernel)), fragments_fingerprint(kernel)
    return (facts.get("patches"), facts.get("config")) == wanted
