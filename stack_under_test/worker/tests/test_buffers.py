"""What is measured of the kernel's buffers."""

from __future__ import annotations

import pytest

from stack_under_test.worker.buffers import small_head


def test_the_smallest_buffer_holds_headers_and_the_shared_info() -> None:
    try:
        size = small_head()
    except OSError as error:
        pytest.skip(f"no loopback device: {error}")
    assert 320 + 64 < size <= 1024
    assert size % 64 == 0
