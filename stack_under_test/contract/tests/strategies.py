"""Hypothesis strategies for every value that can stand in a program, absurd numbers included.

They draw shapes, not sense: what is drawn need not fit its field, only have a text.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from stack_under_test.contract import abi
from stack_under_test.contract.frames import (
    BASES,
    AnyFrame,
    ArpFrame,
    Datagram,
    Frame,
    IcmpMessage,
    Ip,
    RawFrame,
    Rel,
    Seq,
    TcpOption,
    TcpSegment,
    UdpDatagram,
)
from stack_under_test.contract.namespaces import NUMBERS
from stack_under_test.contract.program import Advance, Call, Fork, Inject, Program, Signal, Step
from stack_under_test.contract.syscalls import SYSCALLS
from stack_under_test.contract.value_parser import BUFFER_KINDS
from stack_under_test.contract.values import (
    BAD,
    NULL,
    Arg,
    Buffer,
    Control,
    ControlMessage,
    EpollEvent,
    FdSet,
    Inet,
    Inet6,
    InOut,
    Ints,
    IoVec,
    MsgHdr,
    Number,
    Octets,
    Pointer,
    PollFds,
    Port,
    PortOf,
    Ref,
    Timeval,
    Unix,
)
from stack_under_test.contract.world import PEER_MAC, STACK_MAC, World

_KNOWN = sorted(set(NUMBERS.values()))


@st.composite
def _absurd(draw: st.DrawFn) -> int:
    match draw(st.integers(0, 3)):
        case 0:
            return draw(st.integers(-2, 70))
        case 1:
            return draw(st.integers(-(2**70), 2**70))
        case 2:
            return _KNOWN[draw(st.integers(0, len(_KNOWN) - 1))]
    return sum(1 << bit for bit in draw(st.sets(st.integers(0, 32), max_size=4)))


absurd = _absurd()
refs = st.builds(Ref, st.integers(0, 20), st.none() | st.integers(-2, 9))
"""Replaced by references to earlier calls once the steps are known."""

numbers: SearchStrategy[Number] = absurd | refs
ports: SearchStrategy[Port] = absurd | st.builds(PortOf, refs)
several = st.lists(numbers, max_size=4).map(tuple)
octets = st.binary(max_size=20) | st.builds(
    lambda parts: b"".join(unit * times for unit, times in parts),
    st.lists(st.tuples(st.binary(max_size=4), st.integers(0, 80)), max_size=3),
)


_plain_pointers: SearchStrategy[Pointer] = st.one_of(
    st.just(NULL),
    st.just(BAD),
    st.builds(Octets, octets),
    st.builds(Buffer, st.integers(0, 2**40), st.sampled_from(BUFFER_KINDS)),
    st.builds(Ints, several),
    st.builds(InOut, several),
    st.builds(Inet, st.binary(min_size=4, max_size=4), ports, absurd),
    st.builds(Inet6, st.binary(min_size=16, max_size=16), ports, absurd, absurd, absurd),
    st.builds(Unix, octets, absurd),
    st.builds(Timeval, absurd, absurd),
    st.builds(Control, st.lists(st.builds(ControlMessage, absurd, absurd, octets), max_size=3).map(tuple)),
    st.builds(PollFds, st.lists(st.tuples(numbers, absurd), max_size=3).map(tuple)),
    st.builds(EpollEvent, absurd, absurd),
    st.builds(FdSet, several),
)
pointers: SearchStrategy[Pointer] = st.recursive(
    _plain_pointers,
    lambda inner: st.one_of(
        st.builds(IoVec, st.lists(st.tuples(inner, absurd), max_size=3).map(tuple)),
        st.builds(MsgHdr, inner, absurd, inner, st.none() | absurd, inner, absurd, absurd),
    ),
    max_leaves=4,
)
sequences: SearchStrategy[Seq] = absurd | st.builds(Rel, st.sampled_from(BASES), absurd)
_edges = st.lists(st.tuples(sequences, sequences), max_size=3).map(lambda edges: sum(edges, ()))
options = st.one_of(
    st.builds(TcpOption, st.sampled_from(["mss", "wscale"]), st.tuples(sequences)),
    st.builds(TcpOption, st.sampled_from(["sackOK", "nop", "eol"])),
    st.builds(TcpOption, st.just("sack"), _edges),
    st.builds(TcpOption, st.just("TS"), st.tuples(sequences, sequences)),
    st.builds(TcpOption, st.sampled_from(["fo", "md5"]), st.tuples(octets)),
    st.builds(TcpOption, st.just("raw"), st.tuples(sequences, octets)),
)
addresses = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
maybe = st.none() | absurd
ips = st.just(Ip()) | st.builds(
    Ip,
    st.none() | addresses,
    st.none() | addresses,
    *[absurd] * 3,
    st.booleans(),
    st.booleans(),
    absurd,
    octets,
    *[maybe] * 4,
)


_segments = st.builds(
    TcpSegment,
    ports,
    ports,
    st.integers(0, 511) | absurd,
    sequences,
    sequences,
    absurd,
    st.lists(options, max_size=3).map(tuple),
    octets,
    absurd,
    absurd,
    maybe,
    maybe,
)
_datagrams = st.builds(UdpDatagram, ports, ports, octets, maybe, maybe)
_rest = st.binary(min_size=4, max_size=4)
packets: SearchStrategy[Frame] = st.recursive(
    st.builds(Frame, _segments | _datagrams | st.builds(Datagram, octets), ips),
    lambda inner: st.builds(Frame, st.builds(IcmpMessage, absurd, absurd, _rest, octets | inner, maybe), ips),
    max_leaves=3,
)
macs = st.sampled_from([STACK_MAC, PEER_MAC, b"\xff" * 6]) | st.binary(min_size=6, max_size=6)
ip4s = st.binary(min_size=4, max_size=4)
arps = st.builds(ArpFrame, st.integers(0, 0xFFFF), ip4s, macs, ip4s, macs | st.just(bytes(6)), st.none() | macs)
frames: SearchStrategy[AnyFrame] = packets | arps | st.builds(RawFrame, octets)

_texts = st.text(max_size=20) | st.sampled_from(["0", "4096 131072 6291456", "a  b", " a", "a#b", '"', ""])
_names = st.from_regex(r"net\.[a-z0-9_]{1,9}\.[a-z_]{1,9}", fullmatch=True)
worlds = st.builds(World, st.sampled_from(["tun", "tap"]), st.lists(st.tuples(_names, _texts), max_size=2).map(tuple))

_tasks = st.integers(0, 9)
_args: SearchStrategy[Arg] = absurd | refs | pointers
calls = st.sampled_from(sorted(SYSCALLS)).flatmap(
    lambda name: st.builds(Call, st.just(name), st.tuples(*[_args] * len(SYSCALLS[name].params)), _tasks)
)
steps: SearchStrategy[Step] = st.one_of(
    calls,
    st.builds(Inject, frames),
    st.builds(Advance, absurd | st.integers(0, 10**6).map(lambda ms: ms * 1_000_000)),
    st.builds(Signal, _tasks, absurd | st.sampled_from([abi.SIGUSR1, abi.SIGUSR2])),
    st.builds(Fork, _tasks),
)


@st.composite
def programs(draw: st.DrawFn, size: int = 6) -> Program:
    """Whole programs; references go to earlier calls only, as everywhere."""
    first: Step = Call("socket", (2, 1, 0))
    made = [first]
    for step in draw(st.lists(steps, max_size=size)):
        earlier = [index for index, other in enumerate(made) if isinstance(other, Call)]
        made.append(_redirected(step, earlier))
    return Program(tuple(made), draw(worlds))


def _redirected(value: Any, earlier: list[int]) -> Any:
    """The same value with every reference to one of the `earlier` steps."""
    if isinstance(value, Ref):
        return Ref(earlier[value.step % len(earlier)], value.part)
    if isinstance(value, tuple):
        return tuple(_redirected(item, earlier) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        fields = {name: _redirected(getattr(value, name), earlier) for name in value.__dataclass_fields__}
        return type(value)(**fields)
    return value
