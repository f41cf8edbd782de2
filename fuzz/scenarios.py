"""The stories that a program may tell, by name, and those that are about no connection.

A script is a generator that adds steps to the draft and yields wherever another script, noise or a pause may come in
between.  Each is an ordinary story (a server accepts, a client connects, two datagram sockets talk); what makes it a
test are the moves drawn in its body and the things bent on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fuzz import calls, packets
from fuzz.arguments import ADDRESSES, FAMILIES, PROTOCOLS, TYPES
from fuzz.chooser import Weights
from fuzz.connections import active, loopback, passive, simultaneous
from fuzz.datagrams import udp, udp_loopback
from fuzz.model import Draft
from fuzz.openings import Script, bind, listener, socket
from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, IcmpMessage
from stack_under_test.contract.values import Buffer, InOut

Scenario = Callable[[Draft], Script]


def plain_calls(draft: Draft) -> Script:
    """Calls on sockets in states where most of them fail: which errno wins is the question."""
    choose = draft.choose
    for _ in range(choose.integer(1, 4)):
        if choose.chance(20):
            draft.call("socket", choose.choice(FAMILIES[:7]), choose.choice(TYPES[:5]), choose.choice(PROTOCOLS))
        endpoint = socket(draft, choose.weighted(_KINDS))
        yield
        if choose.chance(60):
            draft.call("bind", endpoint.fd, choose.choice(ADDRESSES[:12]), choose.choice((16, 16, 16, 16, 15, 128)))
            if choose.chance(40) and endpoint.kind == abi.SOCK_STREAM:
                draft.call("listen", endpoint.fd, 1)
                endpoint.listening = True
    for _ in range(choose.integer(2, 4 + draft.profile.body[1])):
        yield
        choose.weighted(calls.UNCONNECTED)(draft, choose.choice(draft.endpoints))


_KINDS = Weights((3, abi.SOCK_STREAM), (2, abi.SOCK_DGRAM))


def incoming(draft: Draft) -> Script:
    """Packets nobody asked for."""
    if draft.choose.chance(40):
        bind(draft, socket(draft, abi.SOCK_DGRAM))
        yield
    if draft.choose.chance(30):
        yield from listener(draft)
    for _ in range(draft.choose.integer(2, 4 + draft.profile.body[1])):
        draft.choose.weighted(packets.INPUT)(draft)
        yield
    if draft.endpoints and draft.choose.chance(60):
        calls.receive(draft, draft.endpoints[0])


def foreign(draft: Draft) -> Script:
    """Families and types that not every target models."""
    choose = draft.choose
    family, kind, protocol = choose.choice(_FOREIGN)
    endpoint = socket(draft, kind, family, protocol)
    for _ in range(choose.integer(1, 5)):
        yield
        choose.weighted(calls.UNCONNECTED)(draft, endpoint)
    if choose.chance(30):
        draft.inject(Frame(IcmpMessage(8, 0, b"\0\1\0\1", b"raw")))
        draft.call("recv", endpoint.fd, Buffer(200), 200, abi.MSG_DONTWAIT)
    if choose.chance(20):
        draft.call("socketpair", abi.AF_UNIX, abi.SOCK_STREAM, 0, InOut((-1, -1)))


_FOREIGN = (
    (abi.AF_INET6, abi.SOCK_STREAM, 0),
    (abi.AF_INET6, abi.SOCK_DGRAM, 0),
    (abi.AF_UNIX, abi.SOCK_STREAM, 0),
    (abi.AF_UNIX, abi.SOCK_DGRAM, 0),
    (abi.AF_UNIX, abi.SOCK_SEQPACKET, 0),
    (abi.AF_INET, abi.SOCK_RAW, 1),
    (abi.AF_INET, abi.SOCK_RAW, 255),
    (abi.AF_INET, abi.SOCK_DGRAM, 1),
    (abi.AF_INET, abi.SOCK_STREAM, abi.IPPROTO_MPTCP),
    (abi.AF_NETLINK, abi.SOCK_RAW, 0),
    (abi.AF_PACKET, abi.SOCK_DGRAM, 0),
)

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "calls": plain_calls,
        "udp": udp,
        "passive": passive,
        "active": active,
        "loopback": loopback,
        "simultaneous": simultaneous,
        "udp_loopback": udp_loopback,
        "input": incoming,
        "foreign": foreign,
    }
)
"""Name in a profile -> script."""
