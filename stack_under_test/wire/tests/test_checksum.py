"""The checksum against RFC 1071's word-by-word definition and its worked example."""

from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.wire.checksum import internet_checksum, ones_sum, pseudo_header, verifies
from stack_under_test.wire.tests.strategies import ip4, ip6, moderate, u8, u16


def word_by_word(data: bytes, initial: int = 0) -> int:
    """RFC 1071 4.1, as in its C."""
    total = initial
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_rfc_1071_example() -> None:
    assert ones_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2


def test_the_two_zeros() -> None:
    assert ones_sum(b"") == ones_sum(bytes(8)) == 0
    assert ones_sum(b"\xff\xff") == ones_sum(b"\xff\xfe\x00\x01") == 0xFFFF
    assert internet_checksum(bytes(4)) == 0xFFFF
    assert internet_checksum(b"\xff\xff") == 0
    assert not verifies(bytes(4))


@given(st.binary(max_size=300), st.integers(0, 2**40))
@moderate
def test_equals_word_by_word(data: bytes, initial: int) -> None:
    assert ones_sum(data) == word_by_word(data)
    assert internet_checksum(data, initial) == 0xFFFF - word_by_word(data, initial)


@given(st.binary(max_size=100).map(lambda octets: octets + octets), u16)
@moderate
def test_what_it_makes_verifies(data: bytes, initial: int) -> None:
    made = internet_checksum(data, initial)
    if data.strip(b"\0") or initial:
        assert verifies(data + made.to_bytes(2, "big"), initial)
    assert made != internet_checksum(b"\x12\x34" + data, initial)


@given(st.one_of(st.tuples(ip4, ip4), st.tuples(ip6, ip6)), u8, u16)
@moderate
def test_pseudo_header(addresses: tuple[bytes, bytes], protocol: int, length: int) -> None:
    src, dst = addresses
    octets = src + dst
    octets += (
        bytes((0, protocol)) + length.to_bytes(2, "big")
        if len(src) == 4
        else length.to_bytes(4, "big") + bytes((0, 0, 0, protocol))
    )
    assert internet_checksum(b"", pseudo_header(src, dst, protocol, length)) == internet_checksum(octets)
