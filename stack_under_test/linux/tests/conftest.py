"""Targets for tests that need a network namespace; without one they are skipped, with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack_under_test.contract.target import Unavailable
from stack_under_test.linux import LinuxTarget, available


@pytest.fixture(scope="session")
def namespace() -> None:
    """Skips where no namespace can be had."""
    reason = available()
    if reason is not None:
        pytest.skip(reason)
    try:
        LinuxTarget().close()
    except Unavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def linux(namespace: None) -> Iterator[LinuxTarget]:
    with LinuxTarget() as target:
        yield target
