"""Neighbours: which hardware address an IP packet on an Ethernet link goes to (`net/core/neighbour.c`; RFC 1122, 2.3.2).

An entry's life is that of Linux's, which is RFC 4861's (7.3.2) for both versions of IP: INCOMPLETE while it is being asked
for, and packets wait; REACHABLE for a while after an answer, or after a transport said that packets arrive; then STALE, until
something is sent there, DELAY and PROBE while that is being made sure of; FAILED when nobody answers.

How long an entry stays REACHABLE is chosen by lot, half to one and a half times `base_reachable_time`.  What hangs on that
is not modelled, and says so.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from ...contract.world import PEER_IP, PEER_MAC, STACK_IP, STACK_MAC
from ...wire.ethernet import BROADCAST, IPV4
from ..errors import NotModelled
from ..timers import PRECISE
from . import arp, ethernet, icmp_send
from .header_options import Malformed, compile_received
from .packet import Outgoing, Packet
from .routing import TUN, Kind, address_type, is_multicast

if TYPE_CHECKING:
    from ..net import Net

SEC = 1_000_000_000
MSEC = 1_000_000
UCAST_PROBES = MCAST_PROBES = 3
RETRANS_TIME = 1 * SEC
DELAY_PROBE_TIME = 5 * SEC
LOCKTIME = 1 * SEC
BASE_REACHABLE_TIME = 30 * SEC
LEAST_REACHABLE, MOST_REACHABLE = BASE_REACHABLE_TIME // 2, BASE_REACHABLE_TIME * 3 // 2
QUEUE_LEN_BYTES = 212992
"""`unres_qlen_bytes`: what may wait for one neighbour."""
_TIMER, _FAILURES = "neighbour", "failures"
_BY_LOT = "how long a neighbour counts as reachable is chosen by lot"


class Nud(Enum):
    """`NUD_*`, the states of neighbour unreachability detection."""

    NONE = 0
    INCOMPLETE = 1
    REACHABLE = 2
    STALE = 4
    DELAY = 8
    PROBE = 16
    FAILED = 32
    NOARP = 64
    PERMANENT = 128


CONNECTED = frozenset((Nud.PERMANENT, Nud.NOARP, Nud.REACHABLE))
VALID = CONNECTED | {Nud.PROBE, Nud.STALE, Nud.DELAY}


class Neighbour:
    """`struct neighbour`: times are moments (ns) at ticks; it owns its timer."""

    def __init__(self, table: Neighbours, address: bytes) -> None:
        self.table = table
        self.address = address
        self.state = Nud.NONE
        self.mac = bytes(6)
        self.probes = 0
        self.confirmed = table.tick() - 2 * BASE_REACHABLE_TIME
        self.used = self.updated = table.tick()
        self.doubtful = False
        """REACHABLE or STALE already: that is chosen by lot."""
        self.header_cached = False
        """`hh_len`: while it is connected, what is sent no longer counts as use."""
        self.queue: deque[Outgoing] = deque()
        self.queued = 0
        self.failed: list[bytes] = []
        self.armed: dict[str, tuple[int, int]] = {}

    def expired(self, kind: str) -> None:
        if kind == _FAILURES:
            self.table.report(self)
        else:
            self.table.expired(self)


class Neighbours:
    """`arp_tbl` as far as one link goes; the peer's address is known for good."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._tick = SEC // net.release.hz
        self._table: dict[bytes, Neighbour] = {}
        peer = self._table[PEER_IP] = Neighbour(self, PEER_IP)
        peer.state, peer.mac = Nud.PERMANENT, PEER_MAC

    def tick(self) -> int:
        """Now, as the kernel's count of ticks has it."""
        return self._net.now - self._net.now % self._tick

    def lookup(self, address: bytes) -> Neighbour | None:
        """`__neigh_lookup` without creating."""
        return self._table.get(address)

    def _lookup_or_create(self, address: bytes) -> Neighbour:
        entry = self._table.get(address)
        if entry is None:
            entry = self._table[address] = Neighbour(self, address)
        return entry

    # --- sending

    def output(self, packet: Outgoing, confirm: bool = False) -> None:
        """`ip_finish_output2`: out on the link in a frame, at once or when the neighbour's address is known.

        `confirm`: whoever sends it knows that packets have arrived there (`sock_confirm_neigh`).
        """
        address = packet.octets[16:20]
        kind = Kind.MULTICAST if is_multicast(address) else address_type(address)
        if kind in (Kind.MULTICAST, Kind.BROADCAST):
            mac = ethernet.multicast(address) if kind is Kind.MULTICAST else BROADCAST
            self._net.emit(ethernet.frame(mac, STACK_MAC, IPV4, packet.octets))
            return
        entry = self._lookup_or_create(address)
        if confirm:
            self.confirm(entry)
        if entry.state in CONNECTED and entry.header_cached:
            _certain(entry)
            self._emit(entry, packet.octets)
        else:
            self._resolve_output(entry, packet)

    def confirm(self, entry: Neighbour | None) -> None:
        """`neigh_confirm`."""
        if entry is not None:
            _certain(entry)
            entry.confirmed = self.tick()

    def _resolve_output(self, entry: Neighbour, packet: Outgoing) -> None:
        """`neigh_resolve_output`: out, or into the queue."""
        _certain(entry)
        entry.used = self.tick()
        if entry.state not in VALID or entry.state is Nud.STALE:
            self._event_send(entry, packet)
        if entry.state is not Nud.INCOMPLETE:
            entry.header_cached = True
            self._emit(entry, packet.octets)

    def _event_send(self, entry: Neighbour, packet: Outgoing) -> None:
        """`__neigh_event_send`: something is to be sent to a neighbour that is not known, or not surely."""
        if entry.state is Nud.STALE:
            self._enter(entry, Nud.DELAY)
            self._add_timer(entry, DELAY_PROBE_TIME)
            return
        asked = entry.state is Nud.INCOMPLETE
        if not asked:
            entry.probes = UCAST_PROBES
            self._enter(entry, Nud.INCOMPLETE)
            self._add_timer(entry, RETRANS_TIME)
        while entry.queue and entry.queued + packet.truesize > QUEUE_LEN_BYTES:
            self._dequeue(entry)
        if packet.sk is not None:
            packet.sk.holds(packet.part, packet.truesize)
        entry.queue.append(packet)
        entry.queued += packet.truesize
        if not asked:
            self._probe(entry)

    def _dequeue(self, entry: Neighbour) -> Outgoing:
        packet = entry.queue.popleft()
        entry.queued -= packet.truesize
        if packet.sk is not None:
            packet.sk.lets_go(packet.part, packet.truesize)
        return packet

    def _emit(self, entry: Neighbour, octets: bytes) -> None:
        self._net.emit(ethernet.frame(entry.mac, STACK_MAC, IPV4, octets))

    # --- learning

    def learn(self, address: bytes, mac: bytes) -> None:
        """`neigh_event_ns`: somebody has asked for us, and said who it is."""
        if address_type(address) is Kind.BROADCAST:
            return
        self.update(self._lookup_or_create(address), mac, override=True)

    def locked(self, entry: Neighbour) -> bool:
        """Whether it was learnt so lately that another address is not believed (`locktime`)."""
        return self.tick() <= entry.updated + LOCKTIME

    def update(self, entry: Neighbour, mac: bytes, override: bool, reachable: bool = False) -> None:
        """`neigh_update`: it is said to have `mac`, which `override`s another; an answer proves it `reachable`."""
        _certain(entry)
        new = Nud.REACHABLE if reachable else Nud.STALE
        old = entry.state
        if old in (Nud.NOARP, Nud.PERMANENT):
            return
        same = old in VALID and mac == entry.mac
        if new in CONNECTED:
            entry.confirmed = self.tick()
        if old in VALID:
            if not same and not override:
                return
            if same and new is Nud.STALE:
                new = old
        if new is not old or not same:
            entry.updated = self.tick()
        if new is not old:
            self._net.timers.cancel(entry, _TIMER)
            if new is Nud.REACHABLE:
                self._add_timer(entry, LEAST_REACHABLE)
            self._enter(entry, new)
        if not same:
            entry.mac = mac
            if new not in CONNECTED:
                entry.confirmed = self.tick() - 2 * BASE_REACHABLE_TIME
        if old not in VALID:
            while entry.state in VALID and entry.queue:
                self._resolve_output(entry, self._dequeue(entry))

    # --- timers

    def expired(self, entry: Neighbour) -> None:
        """`neigh_timer_handler`."""
        now = self.tick()
        wait = RETRANS_TIME
        if entry.state is Nud.REACHABLE:
            if not self._still_reachable(entry, now):
                return
            wait = entry.confirmed + (MOST_REACHABLE + LOCKTIME if entry.doubtful else LEAST_REACHABLE) - now
        elif entry.state is Nud.DELAY:
            if now <= entry.confirmed + DELAY_PROBE_TIME:
                self._enter(entry, Nud.REACHABLE)
                wait = entry.confirmed + LEAST_REACHABLE - now
            else:
                self._enter(entry, Nud.PROBE)
                entry.probes = 0
        most = UCAST_PROBES + (0 if entry.state is Nud.PROBE else MCAST_PROBES)
        if entry.state in (Nud.INCOMPLETE, Nud.PROBE) and entry.probes >= most:
            self._enter(entry, Nud.FAILED)
            self._invalidate(entry)
            return
        self._arm(entry, wait)
        if entry.state in (Nud.INCOMPLETE, Nud.PROBE):
            self._probe(entry)

    def _still_reachable(self, entry: Neighbour, now: int) -> bool:
        """Whether it is, or may be, by lot; when it no longer can be it is STALE."""
        if now <= entry.confirmed + LEAST_REACHABLE:
            return True
        if not entry.doubtful:
            if now <= entry.used + DELAY_PROBE_TIME:
                raise NotModelled(_BY_LOT)
            entry.doubtful = True
            return True
        self._enter(entry, Nud.STALE)
        return False

    def _enter(self, entry: Neighbour, state: Nud) -> None:
        entry.state = state
        entry.doubtful = False
        entry.updated = self.tick()

    def _add_timer(self, entry: Neighbour, wait: int) -> None:
        """`neigh_add_timer`."""
        entry.used = max(entry.used, entry.confirmed)
        self._arm(entry, wait)

    def _arm(self, entry: Neighbour, wait: int) -> None:
        self._net.timers.arm(entry, _TIMER, self._net.timer(max(wait, 2 * self._tick)))

    def _probe(self, entry: Neighbour) -> None:
        """`neigh_probe`, `arp_solicit`: everybody is asked, or the neighbour itself whether it is still there."""
        to = entry.mac if entry.probes < UCAST_PROBES else BROADCAST
        arp.request(self._net, to, STACK_IP, entry.address)
        entry.probes += 1

    def _invalidate(self, entry: Neighbour) -> None:
        """`neigh_invalidate`, `ipv4_link_failure`: what waits is given up, and the path to there doubted."""
        while entry.queue:
            packet = self._dequeue(entry)
            entry.failed.append(packet.octets)
            if packet.route.exception is not None:
                packet.route.exception.doubted = True
        # Whom the room in a send buffer has woken runs before these loop back: `__do_softirq` leaves off for a task.
        self._net.timers.arm(entry, _FAILURES, self._net.now, PRECISE)

    def report(self, entry: Neighbour) -> None:
        """`ipv4_send_dest_unreach`: whoever sent what was given up is told that the host cannot be reached."""
        failed, entry.failed = entry.failed, []
        for octets in failed:
            about = _about(self._net, octets)
            if about is not None:
                icmp_send.send(self._net, about, 3, 1)


def _certain(entry: Neighbour) -> None:
    if entry.doubtful:
        raise NotModelled(_BY_LOT)


def _about(net: Net, octets: bytes) -> Packet | None:
    """`ipv4_send_dest_unreach`: a packet of ours as one to send an error about."""
    packet = Packet.of_own(octets, TUN, Kind.UNICAST)
    if packet.offset > 20:
        try:
            packet.options = compile_received(octets[20 : packet.offset], STACK_IP, net.now // MSEC)
        except Malformed:
            return None
    return packet
