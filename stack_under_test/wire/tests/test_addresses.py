"""Text <-> packed addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.wire.addresses import format_ip, format_mac, parse_ip, parse_mac
from stack_under_test.wire.tests.strategies import ip4, ip6, mac, moderate


@given(st.one_of(ip4, ip6))
@moderate
def test_ip_round_trip(packed: bytes) -> None:
    assert parse_ip(format_ip(packed)) == packed


@given(mac)
@moderate
def test_mac_round_trip(packed: bytes) -> None:
    assert parse_mac(format_mac(packed)) == packed


def test_known_texts() -> None:
    assert parse_ip("192.0.2.1") == b"\xc0\x00\x02\x01"
    assert format_ip(parse_ip("2001:DB8:0:0::1")) == "2001:db8::1"
    assert format_mac(b"\x02\0\0\0\0\x01") == "02:00:00:00:00:01"


@pytest.mark.parametrize("text", ["192.0.2", "192.0.2.256", "", "host", "::1::"])
def test_not_an_ip(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        parse_ip(text)


@pytest.mark.parametrize("text", ["02:00:00:00:00", "020000000001", "zz:00:00:00:00:01"])
def test_not_a_mac(text: str) -> None:
    with pytest.raises(ValueError, match=r"MAC|hexadecimal"):
        parse_mac(text)
