"""TCP options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import TCP

from stack_under_test.wire import tcp_options as o
from stack_under_test.wire.fields import Trailing
from stack_under_test.wire.tests.strategies import mangled_option_octets, moderate, option_lists, u8, u16, u32


@given(option_lists)
@moderate
def test_write_read(options: tuple[o.Option, ...]) -> None:
    assert o.read(o.write(options)) == options


@given(st.one_of(st.binary(max_size=44), mangled_option_octets))
@moderate
def test_read_write(octets: bytes) -> None:
    assert o.write(o.read(octets)) == octets


@given(st.sampled_from(sorted(o._READERS)), st.binary(max_size=38))
@moderate
def test_every_known_kind_with_any_length(kind: int, data: bytes) -> None:
    octets = bytes((kind, len(data) + 2)) + data
    assert o.write(o.read(octets)) == octets


@given(u16, u32, u32, u8, st.lists(st.tuples(u32, u32), min_size=1, max_size=2))
@moderate
def test_scapy_agrees(mss: int, value: int, echo: int, shift: int, blocks: list[tuple[int, int]]) -> None:
    theirs = [
        ("MSS", mss), ("SAckOK", b""), ("Timestamp", (value, echo)), ("NOP", None), ("WScale", shift),
    ]  # fmt: skip
    ours = (o.Mss(mss), o.SACK_PERMITTED, o.Timestamps(value, echo), o.NOP, o.WindowScale(shift))
    assert bytes(TCP(options=theirs))[20:] == o.write(ours)
    assert o.read(bytes(TCP(options=theirs))[20:]) == ours
    edges = tuple(edge for block in blocks for edge in block)
    octets = o.write((o.NOP, o.NOP, o.Sack(tuple(blocks))))
    assert bytes(TCP(options=[("NOP", None), ("NOP", None), ("SAck", edges)]))[20:] == octets
    assert TCP(bytes(TCP(dataofs=5 + len(octets) // 4))[:20] + octets).options[2] == ("SAck", edges)


def test_values_of_different_kinds_differ() -> None:
    assert len({o.Mss(7), o.WindowScale(7)}) == 2
    assert len({o.NOP, o.END_OF_LIST, o.SACK_PERMITTED, o.FastOpen(b"x"), o.Mptcp(b"x"), o.Other(34, b"x")}) == 6


@pytest.mark.parametrize(
    ("octets", "options"),
    [
        ("", ()),
        ("020405b4", (o.Mss(1460),)),
        ("020405b400000000", (o.Mss(1460), *(o.END_OF_LIST,) * 4)),
        ("00010204", (o.END_OF_LIST, Trailing(b"\x01\x02\x04"))),
        ("0203ff", (o.Other(2, b"\xff"),)),
        ("0201ffff", (Trailing(b"\x02\x01\xff\xff"),)),
        ("0200ffff", (Trailing(b"\x02\x00\xff\xff"),)),
        ("01080a00", (o.NOP, Trailing(b"\x08\x0a\x00"))),
        ("0108", (o.NOP, Trailing(b"\x08"))),
        ("0502", (o.Sack(()),)),
        ("050600000001", (o.Other(5, b"\0\0\0\x01"),)),
        ("1c04803c", (o.UserTimeout(60, True),)),
        ("1d080102aabbccdd", (o.TcpAo(1, 2, b"\xaa\xbb\xcc\xdd"),)),
        ("2202", (o.FastOpen(),)),
        ("fe04f989", (o.ExperimentalFastOpen(),)),
        ("fe04f988", (o.Other(254, b"\xf9\x88"),)),
        ("ac05000001", (o.AccEcn((1,)),)),
        ("ae08000001000002", (o.AccEcn((1, 2), 174),)),
        ("ac0400ff", (o.Other(172, b"\x00\xff"),)),
        ("fd020101", (o.Other(253, b""), o.NOP, o.NOP)),
    ],
)
def test_known_lists(octets: str, options: tuple[o.Option, ...]) -> None:
    assert o.read(bytes.fromhex(octets)) == options
    assert o.write(options).hex() == octets


def test_a_value_under_another_kind() -> None:
    assert o.write((o.NOP, o.NOP, o.Timestamps(1, 2, kind=9)))[2] == 9
    assert o.write((o.Mss(1460)._replace(kind=99),)).hex() == "630405b4"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (o.Mss(65536), r"Mss\.value: 65536 does not fit in 16 bits"),
        (o.WindowScale(256), r"WindowScale\.shift: 256 does not fit in 8 bits"),
        (o.Timestamps(1, 1 << 32), r"Timestamps\.echo: 4294967296 does not fit in 32 bits"),
        (o.UserTimeout(32768), r"UserTimeout\.timeout: 32768 does not fit in 15 bits"),
        (o.Nop(256), r"Nop\.kind: 256"),
        (o.Other(256, b""), r"Other\(kind=256"),
        (o.Mptcp(bytes(254)), "at most 253"),
        (o.Sack(((1, 1 << 32),)), r"Sack\("),
        (o.AccEcn((1 << 24,)), r"AccEcn\("),
        (o.TcpAo(256, 0, b""), r"TcpAo\.key_id: 256"),
    ],
)
def test_what_does_not_fit_is_named(option: o.Option, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        o.write((o.NOP, option))


def test_describe() -> None:
    syn = (o.Mss(1460), o.SACK_PERMITTED, o.Timestamps(7, 0), o.NOP, o.WindowScale(7))
    assert o.describe(syn) == "mss 1460,sackOK,TS val 7 ecr 0,nop,wscale 7"
    assert o.describe((o.Sack(((1, 3), (5, 9))), o.END_OF_LIST)) == "sack 1:3 5:9,eol"
    rest = (
        o.Md5(b"\x01" * 2), o.UserTimeout(3, True), o.TcpAo(1, 2, b"\xaa"), o.Mptcp(b"\x10"), o.FastOpen(),
        o.ExperimentalFastOpen(b"\x0f"), o.AccEcn((1, 2), 174), o.Other(99, b""), Trailing(b"\xff"),
    )  # fmt: skip
    assert o.describe(rest) == ("md5 0101,uto 3m,tcp-ao 1 2 aa,mptcp 10,FO,FOEXP 0f,accecn1 1 2,opt 99,trailing ff")


@given(mangled_option_octets)
@moderate
def test_describe_never_raises(octets: bytes) -> None:
    assert isinstance(o.describe(o.read(octets)), str)
