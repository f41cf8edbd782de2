"""Where kernels lie: ``$XDG_CACHE_HOME/sockdiff/uml/RELEASE``, made by `sockdiff uml build`, read by the target.

A folder per release holds the source tree, a build tree per variant, and the finished kernels beside their facts.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RELEASES = ("6.12", "6.1")
"""Those there are patches for; the first is the default."""
FEATURES = ("kcov", "kasan")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel, built or not: a release (``6.12``) and features (``kcov``), in the order of FEATURES."""

    release: str = RELEASES[0]
    features: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "-".join([self.release, *self.features])

    @property
    def folder(self) -> Path:
        return cache() / self.release

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def objects(self) -> Path:
        return self.folder / "-".join(["objects", *self.features])

    @property
    def image(self) -> Path:
        return self.folder / "-".join(["linux", *self.features])

    @property
    def facts_file(self) -> Path:
        return self.image.with_name(self.image.name + ".json")

    @property
    def blocks_file(self) -> Path:
        """What there is to reach, of a kernel with coverage."""
        return self.image.with_name(self.image.name + ".blocks.json")

    def facts(self) -> dict[str, Any]:
        """What was noted when it was built: release, compiler, patches, seconds."""
        try:
            found = json.loads(self.facts_file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def is_release(text: str) -> bool:
    """Whether it can be one: it becomes the name of a folder, and of a package."""
    return re.fullmatch(r"[0-9A-Za-z][\w.]*", text) is not None


def cache() -> Path:
    """The folder of all of them."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    # The specification ignores relative paths.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "sockdiff" / "uml"


def available(kernel: Kernel | None = None) -> str | None:
    """None when that kernel can be booted here, else one line that says what is missing."""
    wanted = kernel or Kernel()
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"needs Linux on x86_64, this is {sys.platform} on {platform.machine()}"
    if not wanted.image.exists():
        options = "".join(f" --{feature}" for feature in wanted.features)
        known = "" if wanted.release in RELEASES else f" (there are patches for {' and '.join(RELEASES)})"
        return f"no kernel {wanted.name} was built: sockdiff uml build --release {wanted.release}{options}{known}"
    if not os.access(wanted.image, os.X_OK):
        return f"{wanted.image} cannot be executed"
    return None


def some_available() -> str | None:
    """None when any kernel can be booted here, else what is missing for the default one."""
    reasons = [available(kernel) for kernel in built()] or [available()]
    return None if None in reasons else reasons[0]


def built() -> list[Kernel]:
    """The kernels that can be booted."""
    variants = [(), ("kcov",), ("kasan",), ("kcov", "kasan")]
    folders = sorted((path.name for path in cache().iterdir() if path.is_dir()), reverse=True) if cache().is_dir() else []
    kernels = [Kernel(release, features) for release in folders for features in variants]
    return [kernel for kernel in kernels if kernel.image.exists()]
