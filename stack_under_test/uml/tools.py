"""What building a kernel needs on this machine, by the Debian packages that bring it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from types import MappingProxyType

COMPILING: Mapping[str, str] = MappingProxyType(
    {
        "gcc": "gcc",
        "ld": "binutils",
        "make": "make",
        "patch": "patch",
        "flex": "flex",
        "bison": "bison",
        "bc": "bc",
        "perl": "perl",
        "tar": "tar",
        "xz": "xz-utils",
    }
)
"""Command -> package."""
FETCHING: Mapping[str, str] = MappingProxyType({"apt-get": "apt", "dpkg-deb": "dpkg"})


def missing(fetching: bool) -> list[str]:
    """Packages to install; `fetching`: the source too has to be got from Debian."""
    needed = {**COMPILING, **(FETCHING if fetching else {})}
    return [package for command, package in needed.items() if shutil.which(command) is None]


def complaint(packages: list[str]) -> str:
    return f"building a kernel needs {', '.join(packages)}: apt-get install {' '.join(packages)}"
