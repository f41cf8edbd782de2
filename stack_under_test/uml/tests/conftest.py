"""A guest for tests; without a kernel they are skipped, with the reason.  No test builds one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack_under_test.uml.places import available
from stack_under_test.uml.target import UmlTarget


@pytest.fixture(scope="session")
def kernel() -> None:
    reason = available()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def uml(kernel: None) -> Iterator[UmlTarget]:
    with UmlTarget(seed=1) as target:
        yield target
