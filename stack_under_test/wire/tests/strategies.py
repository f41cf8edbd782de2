"""Hypothesis strategies of the header fields' own ranges."""

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from stack_under_test.wire import tcp_options as o
from stack_under_test.wire.ipv4 import Ipv4
from stack_under_test.wire.ipv6 import Extension, Fragment, Ipv6
from stack_under_test.wire.tcp import Tcp

T = TypeVar("T")

moderate = settings(max_examples=150, deadline=None)

u3 = st.integers(0, 7)
u8 = st.integers(0, 0xFF)
u9 = st.integers(0, 0x1FF)
u13 = st.integers(0, 0x1FFF)
u16 = st.integers(0, 0xFFFF)
u20 = st.integers(0, 0xFFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
ip4 = st.binary(min_size=4, max_size=4)
ip6 = st.binary(min_size=16, max_size=16)
mac = st.binary(min_size=6, max_size=6)
data = st.binary(max_size=64)
anything = st.binary(max_size=120)


def build(make: Callable[..., T], *arguments: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """Like `st.builds`, which would also vary a NamedTuple's fields that have a default and are not given."""
    return st.tuples(st.tuples(*arguments), st.fixed_dictionaries(named)).map(lambda found: make(*found[0], **found[1]))


def aligned(unit: int, at_most: int) -> st.SearchStrategy[bytes]:
    """Octets of which there are a multiple of `unit`."""
    return st.binary(max_size=at_most).map(lambda octets: octets[: len(octets) // unit * unit])


#: Protocols that scapy has no dissector for: some of its dissectors raise on payloads they do not expect.
unassigned = st.integers(148, 252)

ipv4_headers = build(
    Ipv4, src=ip4, dst=ip4, protocol=u8, payload=data, ttl=u8, tos=u8, ident=u16, dont_fragment=st.booleans(),
    more_fragments=st.booleans(), reserved_flag=st.booleans(), fragment_offset=u13, options=aligned(4, 40),
    trailer=st.binary(max_size=8),
)  # fmt: skip

#: What stands behind the first two octets of something that is a multiple of 8 octets long.
whole_units = st.integers(1, 5).flatmap(lambda n: st.binary(min_size=8 * n - 2, max_size=8 * n - 2))

extensions: st.SearchStrategy[Extension | Fragment] = st.one_of(
    build(
        Extension, next_header=u8, data=whole_units,
        kind=st.sampled_from((0, 43, 51, 60)),
    ),
    build(
        Fragment, next_header=u8, offset=st.just(0), more=st.booleans(), ident=u32, reserved=u8,
        reserved_bits=st.integers(0, 3),
    ),
)  # fmt: skip

ipv6_headers = build(
    Ipv6, src=ip6, dst=ip6, next_header=u8, payload=data, hop_limit=u8, traffic_class=u8, flow_label=u20,
    trailer=st.binary(max_size=8),
)  # fmt: skip

tcp_option = st.one_of(
    st.just(o.NOP),
    st.just(o.SACK_PERMITTED),
    build(o.Mss, u16),
    build(o.WindowScale, u8),
    build(o.Sack, st.lists(st.tuples(u32, u32), max_size=4).map(tuple)),
    build(o.Timestamps, u32, u32),
    build(o.Md5, st.binary(min_size=16, max_size=16)),
    build(o.UserTimeout, st.integers(0, 0x7FFF), st.booleans()),
    build(o.TcpAo, u8, u8, st.binary(max_size=16)),
    build(o.Mptcp, st.binary(max_size=18)),
    build(o.FastOpen, st.binary(max_size=16)),
    build(o.ExperimentalFastOpen, st.binary(max_size=16)),
    build(o.AccEcn, st.lists(st.integers(0, 0xFFFFFF), max_size=3).map(tuple), st.sampled_from((172, 174))),
    build(o.Other, st.integers(35, 171), st.binary(max_size=16)),
    build(o.Other, st.just(2), st.binary(max_size=1)),
)

linux_layouts = st.one_of(
    build(lambda a, b: (o.NOP, o.NOP, o.Timestamps(a, b)), u32, u32),
    build(
        lambda mss, a, b, shift: (o.Mss(mss), o.SACK_PERMITTED, o.Timestamps(a, b), o.NOP, o.WindowScale(shift)),
        u16, u32, u32, u8,
    ),
    build(
        lambda a, b, blocks: (o.NOP, o.NOP, o.Timestamps(a, b), o.NOP, o.NOP, o.Sack(tuple(blocks))),
        u32, u32, st.lists(st.tuples(u32, u32), min_size=1, max_size=3),
    ),
)  # fmt: skip


def _fits(options: tuple[o.Option, ...]) -> bool:
    return len(o.write(options)) <= 40


option_lists: st.SearchStrategy[tuple[o.Option, ...]] = st.one_of(
    linux_layouts, st.lists(tcp_option, max_size=5).map(tuple).filter(_fits)
)
#: Octets near real option lists: options of which one may be cut short, corrupt, or followed by others.
mangled_option_octets = build(
    lambda options, at, octet, cut: _mangle(o.write(options), at, octet, cut),
    option_lists, st.integers(0, 40), u8, st.integers(0, 44),
)  # fmt: skip


def _mangle(octets: bytes, at: int, octet: int, cut: int) -> bytes:
    return (octets[:at] + bytes((octet,)) + octets[at + 1 :])[:cut]


def ended(options: tuple[o.Option, ...]) -> tuple[o.Option, ...]:
    """What `options` read as after `write` padded them to 4 octets."""
    return options + (o.END_OF_LIST,) * (-len(o.write(options)) % 4)


tcp_headers = build(
    Tcp, sport=u16, dport=u16, seq=u32, ack=u32, flags=u9, window=u16, options=option_lists, payload=data, urgent=u16,
    reserved=u3,
)  # fmt: skip
