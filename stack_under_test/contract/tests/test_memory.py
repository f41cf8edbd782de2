"""How arguments are laid out, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.contract.memory import ARENA_BASE, ARENA_SIZE, FILL, encode, trimmed
from stack_under_test.contract.values import Arg, EpollEvent, Inet, Inet6, Octets, Unix


@pytest.mark.parametrize(
    ("arg", "reason"),
    [
        (Inet(bytes(4), 0, family=0x1_0000), "a field does not fit"),
        (Inet6(bytes(16), 0, flowinfo=1 << 32), "a field does not fit"),
        (Inet6(bytes(16), 0, scope_id=-1), "a field does not fit"),
        (Unix(b"", family=-1), "a field does not fit"),
        (Octets(bytes(ARENA_SIZE + 1)), "an arena has"),
    ],
)
def test_what_does_not_fit_is_a_value_error(arg: Arg, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        encode((arg,), ARENA_BASE, lambda ref: 0)


def test_numbers_that_wrap_fit() -> None:
    assert encode((EpollEvent(-1, -1),), ARENA_BASE, lambda ref: 0).image == b"\xff" * 12


@given(st.lists(st.sampled_from([b"a", bytes((FILL,)), bytes((FILL,)) * 300, bytes((FILL,)) * 9000])).map(b"".join))
def test_trimmed_is_without_the_fill_at_the_end(octets: bytes) -> None:
    assert trimmed(octets) == octets.rstrip(bytes((FILL,)))
