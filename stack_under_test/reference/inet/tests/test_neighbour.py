"""Neighbours on an Ethernet link: the states of an entry, what waits for it, and ARP's questions and answers."""

from __future__ import annotations

from dataclasses import replace
from errno import EHOSTUNREACH

import pytest

from ....contract import abi
from ....contract.flows import Flows
from ....contract.frames import ArpFrame
from ....contract.links import TAP
from ....contract.world import PEER_IP, PEER_MAC, STACK_IP, STACK_MAC
from ....wire import arp, ethernet
from ...errors import NotModelled
from ...sock import Socket
from .. import input as ip_input
from .. import link
from ..neighbour import QUEUE_LEN_BYTES, SEC, Nud
from ..setup import setup
from ..sockaddr import sockaddr_in
from .build import Host, datagram, echo, sk_of

STRANGER = bytes((192, 0, 2, 77))
MAC, OTHER = bytes.fromhex("02000000bb01"), bytes.fromhex("02000000bb02")
ANSWER = ArpFrame(arp.REPLY, STRANGER, MAC, STACK_IP, STACK_MAC)
ASKED = ["who has 192.0.2.77"]


class Station(Host):
    """A host on Ethernet; what it sends is a line each."""

    def __init__(self) -> None:
        super().__init__()
        setup(self.net, ethernet=True)

    def hears(self, frame: ArpFrame | bytes) -> list[str]:
        link.receive(self.net, frame if isinstance(frame, bytes) else Flows().octets(frame, lambda _: 0))
        return self.lines()

    def lines(self) -> list[str]:
        return [_line(octets) for octets in self.sent()]

    def passes(self, ns: int) -> list[str]:
        """Timer by timer, since what one does depends on when it does it."""
        end = self.net.now + ns
        while (due := self.net.timers.next_deadline()) is not None and due <= end:
            self.net.now = max(self.net.now, due)
            popped = self.net.timers.pop(self.net.now)
            assert popped is not None
            popped[0].expired(popped[1])
        self.net.now = end
        return self.lines()

    def state(self) -> Nud:
        assert self.net.neighbours is not None
        entry = self.net.neighbours.lookup(STRANGER)
        return Nud.NONE if entry is None else entry.state

    def socket_to(self, address: bytes = STRANGER) -> Socket:
        return self.connected(53, 53, address)


def _line(octets: bytes) -> str:
    frame = ethernet.read(octets)
    assert frame is not None
    assert frame.src == STACK_MAC
    to = "" if frame.dst in (ethernet.BROADCAST, MAC) else f" to {frame.dst.hex(':')}"
    message = arp.read(frame.payload) if frame.ethertype == ethernet.ARP else None
    if message is None:
        return f"ip {len(frame.payload)}{to}"
    dotted = ".".join(map(str, message.target_ip))
    if message.operation == arp.REPLY:
        return f"answer to {dotted}"
    return f"who has {dotted}" if frame.dst == ethernet.BROADCAST else f"is {dotted} there"


@pytest.fixture
def host() -> Station:
    return Station()


def known(host: Station) -> Socket:
    """A socket connected to a stranger who has answered."""
    sock = host.socket_to()
    host.send(sock, b"x")
    assert host.hears(ANSWER)[-1] == "ip 29"
    return sock


def test_the_peer_is_known_beforehand(host: Station) -> None:
    host.send(host.socket_to(PEER_IP), b"x")
    assert host.lines() == [f"ip 29 to {PEER_MAC.hex(':')}"]


def test_groups_need_no_question(host: Station) -> None:
    sock = host.bound(53)
    sk_of(sock).broadcast = True
    host.send(sock, b"x", sockaddr_in(bytes((192, 0, 2, 255)), 9))
    host.send(sock, b"x", sockaddr_in(bytes((224, 129, 2, 3)), 9))
    assert host.lines() == ["ip 29", "ip 29 to 01:00:5e:01:02:03"]


def test_what_waits_is_sent_in_order_when_the_answer_comes(host: Station) -> None:
    sock = host.socket_to()
    for data in (b"a", b"ab", b"abc"):
        host.send(sock, data)
    assert host.lines() == ASKED
    assert sk_of(sock).wmem_alloc > 1
    assert host.hears(ANSWER) == ["ip 29", "ip 30", "ip 31"]
    assert sk_of(sock).wmem_alloc == 1
    assert host.state() is Nud.REACHABLE


def test_nobody_answers(host: Station) -> None:
    """RFC 1122, 2.3.2: three questions, a second apart; then an error, which a socket that asks for errors sees."""
    sock = host.socket_to()
    sk_of(sock).recverr = True
    host.send(sock, b"x")
    assert host.lines() + host.passes(5 * SEC) == ASKED * 3
    ip_input.drain(host.net)
    assert host.state() is Nud.FAILED
    assert [entry.errno for entry in sk_of(sock).error_queue] == [EHOSTUNREACH]
    assert sk_of(sock).wmem_alloc == 1
    assert sk_of(sock).take_error() == EHOSTUNREACH
    host.send(sock, b"again")
    assert host.lines() == ASKED


def test_a_neighbour_unheard_of_is_probed_when_it_is_used(host: Station) -> None:
    sock = known(host)
    assert host.passes(50 * SEC) == []
    assert host.state() is Nud.STALE
    host.send(sock, b"y")
    assert (host.lines(), host.state()) == (["ip 29"], Nud.DELAY)
    assert host.passes(6 * SEC) == ["is 192.0.2.77 there"]
    assert host.passes(1 * SEC) == ["is 192.0.2.77 there"]
    assert host.hears(ANSWER) == []
    assert host.state() is Nud.REACHABLE


def test_it_is_given_up_when_it_is_silent(host: Station) -> None:
    sock = known(host)
    host.passes(50 * SEC)
    host.send(sock, b"y")
    assert host.lines() + host.passes(9 * SEC) == ["ip 29", *["is 192.0.2.77 there"] * 3]
    assert host.state() is Nud.FAILED


def test_a_transport_that_gets_answers_confirms_it(host: Station) -> None:
    sock = known(host)
    host.passes(50 * SEC)
    host.send(sock, b"y")
    host.passes(1 * SEC)
    host.send(sock, b"z", flags=abi.MSG_CONFIRM)
    assert host.state() is Nud.DELAY
    assert host.passes(6 * SEC) == ["ip 29"]
    assert host.state() is Nud.REACHABLE


def test_what_hangs_on_the_lot_is_not_modelled(host: Station) -> None:
    sock = known(host)
    host.passes(14 * SEC)
    host.send(sock, b"y")
    assert host.lines() == ["ip 29"]
    host.passes(16 * SEC)
    with pytest.raises(NotModelled, match="by lot"):
        host.send(sock, b"z")


def test_the_queue_for_a_neighbour_is_bounded(host: Station) -> None:
    first, second = host.socket_to(), host.connected(54, 53, STRANGER)
    for sock in (first, second):
        sk_of(sock).sndbuf = 2 * QUEUE_LEN_BYTES
        for _ in range(60):
            host.send(sock, bytes(1400))
    assert host.lines() == ASKED
    sent = len(host.hears(ANSWER))
    assert 0 < sent < 120
    assert sk_of(first).wmem_alloc == sk_of(second).wmem_alloc == 1


@pytest.mark.parametrize(
    ("frame", "lines"),
    [
        (ArpFrame(1, STRANGER, MAC, STACK_IP), ["answer to 192.0.2.77"]),
        (ArpFrame(1, bytes(4), MAC, STACK_IP), ["answer to 0.0.0.0"]),
        (ArpFrame(1, STRANGER, MAC, STRANGER), []),
        (ArpFrame(1, STACK_IP, MAC, STACK_IP), []),
        (ArpFrame(1, STRANGER, MAC, bytes((127, 0, 0, 1))), []),
        (ArpFrame(1, STRANGER, MAC, STACK_IP, dst=OTHER), []),
        (ArpFrame(2, STRANGER, MAC, STACK_IP), []),
        (ArpFrame(3, STRANGER, MAC, STACK_IP), []),
    ],
)
def test_questions_and_what_is_none(host: Station, frame: ArpFrame, lines: list[str]) -> None:
    assert host.hears(frame) == lines
    assert host.state() is (Nud.STALE if lines == ["answer to 192.0.2.77"] else Nud.NONE)


def test_another_address_is_believed_later_or_when_announced(host: Station) -> None:
    known(host)
    assert host.net.neighbours is not None
    entry = host.net.neighbours.lookup(STRANGER)
    assert entry is not None
    host.hears(replace(ANSWER, sender_mac=OTHER))
    assert entry.mac == MAC
    host.hears(ArpFrame(1, STRANGER, OTHER, STRANGER))
    assert (entry.mac, entry.state) == (OTHER, Nud.STALE)
    host.passes(2 * SEC)
    host.hears(ANSWER)
    assert (entry.mac, entry.state) == (MAC, Nud.REACHABLE)


def test_a_broadcast_answer_proves_nothing(host: Station) -> None:
    sock = host.socket_to()
    host.send(sock, b"x")
    assert host.lines() + host.hears(replace(ANSWER, dst=b"\xff" * 6)) == [*ASKED, "ip 29"]
    assert host.state() is Nud.DELAY


def test_frames_for_others_and_to_many(host: Station) -> None:
    sock = host.bound(53)
    mine = TAP.envelope(datagram(9, 53, b"x"))
    host.hears(OTHER + mine[6:])
    host.hears(mine[:12] + b"\x00\x1d" + mine[14:])
    assert not sk_of(sock).receive_queue
    assert host.hears(b"\xff" * 6 + TAP.envelope(datagram(9, 54))[6:]) == []
    host.hears(b"\xff" * 6 + mine[6:])
    host.hears(mine)
    assert len(sk_of(sock).receive_queue) == 2
    assert host.hears(TAP.envelope(echo())) == [f"ip 32 to {PEER_MAC.hex(':')}"]


def test_version_6_is_not_modelled(host: Station) -> None:
    with pytest.raises(NotModelled, match="IPv6"):
        host.hears(TAP.envelope(b"\x60" + bytes(39)))
