"""How a call fails: one exception with the errno and the rule it comes from, caught in one place (`kernel.py`)."""

from __future__ import annotations

ERESTARTSYS = 512
"""Kernel-internal: EINTR to the caller unless the signal's handler asked for a restart."""

ENOIOCTLCMD = 515
"""Kernel-internal: the protocol does not know the ioctl; ENOTTY to the caller unless a device does."""


class Fail(Exception):
    """The call returns -1 with `errno`; `rule` names Linux's check (``inet_bind: already bound``) for reports."""

    def __init__(self, errno: int, rule: str = "") -> None:
        super().__init__(errno, rule)
        self.errno = errno
        self.rule = rule


class NotModelled(Exception):
    """The program asked for something this stack does not model; the outcome is `Unsupported`, never a guess."""
