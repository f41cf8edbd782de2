"""Being like another release of Linux: which one is chosen, and that what differs shows."""

from __future__ import annotations

from errno import EINVAL, ENOPROTOOPT

import pytest

from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.trace import Returned, Unsupported
from stack_under_test.contract.world import KERNEL, SMALL_HEAD
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
    assert of_kernel(uname) == release


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


def test_buffers_are_those_of_the_build() -> None:
    """A distribution's kernel leaves more room for headers, which every small packet pays for."""
    text = 'r0 = socket(AF_INET, SOCK_DGRAM, 0)\nsendto(r0, "x", 1, MSG_MORE, {AF_INET, 192.0.2.2, 9}, 16)\n'
    ask = parse_program(text + "ioctl(r0, TIOCOUTQ, &[0])\n")
    target = ReferenceTarget()
    for facts, cost in (((), 832), (((SMALL_HEAD, "704"),), 960)):
        target.adopt(((KERNEL, "6.12.117"), *facts))
        outcome = target.run(ask).steps[2].outcome
        assert isinstance(outcome, Returned)
        assert dict(outcome.outs)["arg2"] == cost.to_bytes(4, "little")


@pytest.mark.parametrize(
    ("call", "older", "newer"),
    [
        ("setsockopt(r0, SOL_TCP, TCP_TX_DELAY, [-1], 4)", Unsupported("TCP_TX_DELAY"), EINVAL),
        ("setsockopt(r0, SOL_TCP, TCP_TX_DELAY, [268435456], 4)", Unsupported("TCP_TX_DELAY"), EINVAL),
        ("setsockopt(r0, SOL_TCP, TCP_TX_DELAY, [0], 4)", 0, 0),
        ("setsockopt(r0, SOL_TCP, TCP_RTO_MAX_MS, [999], 4)", ENOPROTOOPT, EINVAL),
        ("setsockopt(r0, SOL_TCP, TCP_RTO_MAX_MS, [1000], 4)", ENOPROTOOPT, Unsupported("TCP_RTO_MAX_MS")),
        ("setsockopt(r0, SOL_TCP, TCP_RTO_MIN_US, [4000], 4)", ENOPROTOOPT, EINVAL),
        ("setsockopt(r0, SOL_TCP, TCP_RTO_MIN_US, [4001], 4)", ENOPROTOOPT, Unsupported("TCP_RTO_MIN_US")),
        ("setsockopt(r0, SOL_TCP, TCP_DELACK_MAX_US, [200000], 4)", ENOPROTOOPT, 0),
        ("setsockopt(r0, SOL_TCP, TCP_DELACK_MAX_US, [-1], 4)", ENOPROTOOPT, EINVAL),
    ],
)
def test_what_newer_options_take(call: str, older: int | Unsupported, newer: int | Unsupported) -> None:
    program = parse_program(f"r0 = socket(AF_INET, SOCK_STREAM, 0)\n{call}\n")
    target = ReferenceTarget()
    for uname, expected in (("6.12.117", older), ("6.18.44", newer)):
        target.adopt(((KERNEL, uname),))
        outcome = target.run(program).steps[1].outcome
        assert (outcome.errno if isinstance(outcome, Returned) else outcome) == expected
