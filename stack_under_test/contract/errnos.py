"""Linux's error numbers, by name (x86-64; `include/uapi/asm-generic/errno*.h`)."""

from __future__ import annotations

import errno as _errno
from collections.abc import Mapping
from types import MappingProxyType

ERRNO_NAMES: Mapping[int, str] = MappingProxyType({**_errno.errorcode, 11: "EAGAIN", 95: "EOPNOTSUPP", 35: "EDEADLK"})


def errno_name(number: int) -> str:
    """``EINVAL`` for 22; the number itself for what has no name."""
    return ERRNO_NAMES.get(number, str(number))
