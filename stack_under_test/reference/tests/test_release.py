"""Being like another release of Linux: which one is chosen, and that what differs shows."""

from __future__ import annotations

import pytest

from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.trace import Returned
from stack_under_test.contract.world import KERNEL
from stack_under_test.reference.release import LINUX_6_12, LINUX_6_18, Release, of_kernel
from stack_under_test.reference.target import ReferenceTarget


@pytest.mark.parametrize(
    ("uname", "release"),
    [
        ("6.18.44-generic", LINUX_6_18),
        ("7.2.0", LINUX_6_18),
        ("6.17", LINUX_6_12),
        ("6.12.117", LINUX_6_12),
        ("5.4.0-1-amd64", LINUX_6_12),
        ("", LINUX_6_18),
    ],
)
def test_the_newest_release_that_is_no_newer(uname: str, release: Release) -> None:
    assert of_kernel(uname) is release


def test_the_reference_is_like_the_kernel_beside_it() -> None:
    ask = parse_program("r0 = socket(AF_INET, SOCK_STREAM, 0)\nsetsockopt(r0, SOL_SOCKET, SO_PASSCRED, [1], 4)\n")
    target = ReferenceTarget()
    for uname, errno in (("6.12.117", 0), ("6.18.1", 95)):
        target.adopt(((KERNEL, uname),))
        assert target.traits.release == of_kernel(uname).name
        outcome = target.run(ask).steps[1].outcome
        assert isinstance(outcome, Returned)
        assert outcome.errno == errno


def test_a_user_mode_kernel_is_built_without_compat() -> None:
    user_mode = of_kernel("6.12.117", "um")
    assert (user_mode.name, user_mode.compat, user_mode.sums_all_ones) == ("6.12", False, False)
    assert of_kernel("6.12.117", "x86_64").compat
