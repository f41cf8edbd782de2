"""Reassembly (RFC 791, section 3.2; RFC 815; `ip_fragment.c`, `inet_fragment.c`).

Fragments of one (source, destination, identification, protocol) wait in a queue for 30 seconds.  A fragment that repeats
octets of one contiguous run is a duplicate and ignored; one that overlaps in part condemns the whole queue, as RFC 5722
asks of IPv6.  A queue that times out with its first fragment present earns a time exceeded (RFC 1122, 3.3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...wire.checksum import internet_checksum
from . import icmp_send
from .packet import Packet

if TYPE_CHECKING:
    from ..net import Net

LIFETIME = 30 * 1_000_000_000
MAX_DISTANCE = 64
"""`ipfrag_max_dist`: a queue is started anew when that many fragments of its source came since its last."""
_NOT_ECT, _CE = 1, 8
Key = tuple[bytes, bytes, bytes, int]


class Run:
    """Contiguous fragments that arrived in order (`fragrun`): their data and what each costs a buffer."""

    __slots__ = ("costs", "parts", "start", "stop")

    def __init__(self, start: int, part: bytes, cost: int) -> None:
        self.start = start
        self.stop = start + len(part)
        self.parts = [part]
        self.costs = [cost]


class Queue:
    """`struct ipq`: one incomplete datagram; it owns its timer."""

    def __init__(self, table: Fragments, key: Key) -> None:
        self.table = table
        self.key = key
        self.armed: dict[str, tuple[int, int]] = {}
        self.distance = 0
        self.reset()

    def reset(self) -> None:
        self.runs: list[Run] = []
        self.first: Packet | None = None
        self.length = 0
        self.have = 0
        self.last_in = False
        self.ecn = 0
        self.largest = 0
        self.largest_df = 0

    def expired(self, kind: str) -> None:
        """`ip_expire`."""
        self.table.forget(self)
        if self.first is not None:
            icmp_send.send(self.table.net, self.first, 11, 1)


class Fragments:
    """The namespace's incomplete datagrams."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self._queues: dict[Key, Queue] = {}
        self._seen: dict[bytes, int] = {}

    def add(self, packet: Packet) -> Packet | None:
        """`ip_defrag`: the whole datagram when this fragment completes it."""
        key = (packet.source, packet.destination, packet.octets[4:6], packet.protocol)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = Queue(self, key)
            self.net.timers.arm(queue, "reassembly", self.net.timer(LIFETIME))
        self._check_distance(queue, packet.source)
        return self._queue(queue, packet)

    def forget(self, queue: Queue) -> None:
        """`inet_frag_kill`."""
        self.net.timers.cancel(queue, "reassembly")
        self._queues.pop(queue.key, None)

    def _check_distance(self, queue: Queue, source: bytes) -> None:
        """`ip_frag_too_far`."""
        start = queue.distance
        queue.distance = self._seen[source] = self._seen.get(source, 0) + 1
        if queue.runs and queue.distance - start > MAX_DISTANCE:
            queue.reset()
            self.net.timers.arm(queue, "reassembly", self.net.timer(LIFETIME))

    def _queue(self, queue: Queue, packet: Packet) -> Packet | None:
        """`ip_frag_queue`."""
        word = int.from_bytes(packet.octets[6:8], "big")
        offset = (word & 0x1FFF) << 3
        end = offset + len(packet.octets) - packet.offset
        if word & 0x2000:
            end &= ~7
            if end > queue.length:
                if queue.last_in:
                    self.forget(queue)
                    return None
                queue.length = end
        else:
            if end < queue.length or (queue.last_in and end != queue.length):
                self.forget(queue)
                return None
            queue.last_in = True
            queue.length = end
        if end == offset:
            self.forget(queue)
            return None
        part = packet.octets[packet.offset : packet.offset + end - offset]
        placed = _insert(queue.runs, offset, part, packet.cost(self.net.buffers))
        if placed is not True:
            if placed is None:
                self.forget(queue)
            return None
        return self._account(queue, packet, offset, part)

    def _account(self, queue: Queue, packet: Packet, offset: int, part: bytes) -> Packet | None:
        queue.have += len(part)
        queue.ecn |= 1 << (packet.tos & 3)
        size = len(part) + packet.offset
        queue.largest = max(queue.largest, size)
        if packet.octets[6] & 0x40:
            queue.largest_df = max(queue.largest_df, size)
        if offset == 0:
            if len(part) != len(packet.octets) - packet.offset:
                packet.octets = packet.octets[: packet.offset + len(part)]
            queue.first = packet
        if queue.first is None or not queue.last_in or queue.have != queue.length:
            return None
        self.forget(queue)
        return _reassembled(queue, queue.first)


def _insert(runs: list[Run], offset: int, part: bytes, cost: int) -> bool | None:
    """`inet_frag_queue_insert`: True when it went in, False for a duplicate, None for an overlap."""
    end = offset + len(part)
    if not runs or runs[-1].stop < end:
        if runs and offset < runs[-1].stop:
            return None
        if runs and offset == runs[-1].stop:
            runs[-1].parts.append(part)
            runs[-1].costs.append(cost)
            runs[-1].stop = end
        else:
            runs.append(Run(offset, part, cost))
        return True
    at = len(runs)
    for index, run in enumerate(runs):
        if end <= run.start:
            at = index
            break
        if offset >= run.stop:
            continue
        return False if offset >= run.start and end <= run.stop else None
    runs.insert(at, Run(offset, part, cost))
    return True


def _reassembled(queue: Queue, first: Packet) -> Packet | None:
    """`ip_frag_reasm`: the first fragment's header over all the data; congestion marks are merged (RFC 3168, 5.3)."""
    if queue.ecn & _NOT_ECT and queue.ecn != _NOT_ECT:
        return None
    payload = b"".join(part for run in queue.runs for part in run.parts)
    total = first.offset + len(payload)
    if total > 0xFFFF:
        return None
    tos = first.tos | (3 if queue.ecn & _CE else 0)
    old = first.octets
    flags = b"\x40\0" if queue.largest == queue.largest_df else b"\0\0"
    head = bytes((old[0], tos)) + total.to_bytes(2, "big") + old[4:6] + flags + old[8:10]
    ends = old[12 : first.offset]
    head += internet_checksum(head + ends).to_bytes(2, "big") + ends
    whole = Packet(
        head + payload, first.offset, first.source, first.destination, first.protocol, tos, first.ttl, first.device, first.kind
    )
    whole.options = first.options
    whole.fragment_size = queue.largest
    whole.looped = first.looped
    whole.to_host = first.to_host
    whole.truesize = _cost(queue, first)
    return whole


def _cost(queue: Queue, first: Packet) -> int:
    """`inet_frag_reasm_finish`: fragments that fit behind the first are copied there, until one does not."""
    pieces = [piece for run in queue.runs for piece in zip(run.parts, run.costs, strict=True)]
    total, room = pieces[0][1], queue.table.net.buffers.tailroom(len(first.octets), first.frame)
    for part, cost in pieces[1:]:
        if len(part) <= room:
            room -= len(part)
        else:
            total += cost
            room = -1
    return total
