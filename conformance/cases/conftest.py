"""What programs are run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from conformance.harness.lockstep import Pair
from stack_under_test.registry import open_target, why_unavailable


@pytest.fixture(scope="module")
def beside_linux() -> Iterator[Pair]:
    """The host's kernel and the reference stack."""
    reason = why_unavailable("linux")
    if reason is not None:
        pytest.skip(reason)
    with closing(open_target("linux")) as linux, closing(open_target("reference")) as reference:
        yield Pair(linux, reference, attempts=20)
