"""Can this machine give us a network namespace with a TUN, as root or in a user namespace?

Looks only; whether the kernel really grants it shows when a target is made, which raises `Unavailable` with what
failed.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from stack_under_test.contract.syscalls import MACHINE

_TUN = "/dev/net/tun"
_NEEDED = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}


def available() -> str | None:
    """None when target `linux` can be expected to work here, else one line that says what is missing."""
    if sys.platform != "linux":
        return f"needs Linux, this is {sys.platform}"
    if platform.machine() != MACHINE:
        return f"needs {MACHINE}, this is {platform.machine()}"
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        mode = f", mode {os.stat(_TUN).st_mode & 0o777:04o}, uid {os.geteuid()}" if os.path.exists(_TUN) else ""
        return f"cannot open {_TUN}: {error.strerror}{mode}"
    if not privileged():
        return _user_namespaces()
    return None


def privileged() -> bool:
    """Whether namespaces can be made without a user namespace around them."""
    try:
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("CapEff:"):
                held = int(line.split()[1], 16)
                return all(held >> bit & 1 for bit in _NEEDED.values())
    except OSError:
        pass
    return False


def _user_namespaces() -> str | None:
    """Why an unprivileged process cannot have a user namespace."""
    for name, refuse in (
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        try:
            value = Path("/proc/sys", name).read_text("ascii").strip()
        except OSError:
            continue
        if value == refuse:
            lacking = ", ".join(_NEEDED)
            return f"needs {lacking} or a user namespace, and sysctl {name.replace('/', '.')} is {value}"
    return None
