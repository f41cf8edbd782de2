"""The one table of what is not compared literally: what, how it is made comparable, and why.

Everything a stack shows is compared, except what stands in `RULES`.  The code that carries a rule out cites it by its
name; a tolerance is a row too, and its number stands below the table.  A new exception begins with a row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Rule(NamedTuple):
    """`what` is not compared literally; `how` it is made comparable; `reason` why that loses no behaviour."""

    what: str
    how: str
    reason: str


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "isn": Rule(
            "initial sequence numbers, and with them every sequence number of the stack",
            "shown relative to the stack's latest SYN on the flow; a SYN shows as the n-th number of its flow",
            "RFC 9293 3.4.1 asks for unpredictable ones; that a retransmitted SYN repeats its number is still compared",
        ),
        "echoed-seq": Rule(
            "the sequence number of a reset that copies a number from the wire",
            "shown as the plain number when it is 0 or an acknowledgement number the program wrote without `iss`",
            "RFC 9293 3.10.7.1 takes it from the segment; relative to a random number, it would differ for nothing",
        ),
        "ephemeral-port": Rule(
            "ports between 32768 and 60999 (and those of a wider ip_local_port_range) that the program does not name",
            "numbered per protocol by first appearance, in packets, socket addresses and IP_PROTOCOL (`inet_num`) alike; of "
            "one octet of it only the length is compared",
            "the stack chooses them at random (RFC 6056); that one socket keeps one port is still compared",
        ),
        "descriptor": Rule(
            "descriptors returned by calls, by socketpair and in control messages; bits in an fd_set",
            "counted from the lowest descriptor a program gets on that target; dup2's and F_DUPFD's stay as named",
            "what a worker holds open is not the program's; the lowest-free rule is still compared",
        ),
        "ip-ident": Rule(
            "the identification field of IPv4 packets that the stack sends",
            "not compared; echoes and quotations of the program's own packets are",
            "any number is right that does not repeat too soon (RFC 6864)",
        ),
        "fragment-checksum": Rule(
            "the checksum of a UDP datagram sent in fragments",
            "not verified, since the fragments are compared one by one; their data are compared",
            "it covers the datagram, and with it a port chosen at random",
        ),
        "flow-label": Rule("IPv6 flow labels", "not compared", "a hash with a random key (RFC 6437)"),
        "checksum": Rule("checksums", "verified; a wrong or absent one is a difference", "they cover numbers chosen at random"),
        "timestamp": Rule(
            "TSval of the stack's segments",
            "compared with the time since the flow's first: it must have advanced by as many milliseconds, give or "
            "take TIMESTAMP_TOLERANCE_MS and the length of the step; otherwise it shows as `implausible`",
            "the origin is random per flow (RFC 7323 5.4); the clock's rate is not",
        ),
        "timestamp-echo": Rule(
            "TSecr, where the program's own TSval were relative to the stack's",
            "shown as a number when the program wrote that number, else as `stack`",
            "the number sent was the stack's own",
        ),
        "misplaced-echo": Rule(
            "TSecr in data that a call read, when the program states a false TCP data offset",
            "zeroed: the four octets after a TSval that the program wrote, or after what earlier data left of it",
            "the stack takes the option for data, and the number in it was its own",
        ),
        "quoted-numbers": Rule(
            "source port, sequence number, timestamp and checksum of a TCP header read from the error queue",
            "zeroed: octets 0, 1, 4 to 7, 16 and 17 of what the call read, and TSval",
            "the header is the stack's own segment, quoted back; the numbers were its choice",
        ),
        "quoted": Rule(
            "in a packet quoted by an ICMP error: acknowledgement number, TSecr, checksum, ephemeral port; and the IP "
            "checksum, where a false header length makes it cover such a number",
            "as in the packets themselves; a checksum that cannot be verified since the quote is cut is not compared",
            "they were computed from numbers the stack chose",
        ),
        "raw-read": Rule(
            "IPv4 packets of the stack's own that a raw socket reads",
            "zeroed: identification, checksums, the identifier of an echo unless the program names it, the times of ICMP "
            "timestamps, and the packet that an ICMP error quotes",
            "they are drawn by lot or cover such numbers; on the link the same packets are compared in full",
        ),
        "ping-ident": Rule(
            "the identifier of an echo request sent by a ping socket",
            "numbered by first appearance, unless the program names it",
            "it is the socket's port, chosen by the stack",
        ),
        "icmp-time": Rule(
            "receive and transmit timestamps in ICMP timestamp replies",
            "zeroed; the originate timestamp is compared",
            "the time of day (RFC 792)",
        ),
        "hardware-address": Rule(
            "Ethernet addresses of the stack's own and the peer's interface",
            "shown as `stack` and `peer`, what the program names as it is, any other by number of first appearance",
            "the target gives them to the interface",
        ),
        "own-multicast": Rule(
            "IPv6 router solicitations, neighbour solicitations for duplicate detection and MLD reports",
            "dropped, in normalisation and not by timing",
            "the interface sends them by itself when it comes up",
        ),
        "order": Rule(
            "the order between packets, completions and signals of one step",
            "packets in their order, then completions by step, then signals",
            "they are observed through different files",
        ),
        "select-remaining": Rule(
            "the time select leaves in its timeout", "zero or not", "it is what a clock says at that moment"
        ),
        "identity": Rule(
            "SO_COOKIE, SO_NETNS_COOKIE, SO_INCOMING_CPU, SO_INCOMING_NAPI_ID; the process in SO_PEERCRED; the "
            "port of a netlink socket; device, inode, owner and times of fstat",
            "only their length is compared, of a process and a netlink port also whether there is one",
            "they name an object or a place on one machine",
        ),
        "measured": Rule(
            "times and rates in TCP_INFO, TCP_TIMESTAMP, SIOCGSTAMP and SCM_TIMESTAMP*",
            "zeroed before the comparison",
            "they are measurements of the machine",
        ),
        "received-sum": Rule(
            "the sum in an IP_CHECKSUM control message",
            "zeroed before the comparison",
            "it covers ports and numbers that the stack chose, also where a packet quotes them",
        ),
        "event-time": Rule(
            "when, within a step, a packet leaves or a call completes",
            "compared only when both targets have virtual time, within EVENT_TOLERANCE_NS",
            "in real time only the step itself is sure",
        ),
    }
)

TIMESTAMP_TOLERANCE_MS = 2
"""One millisecond of rounding at each end."""

READING_NS = 20_000_000
"""How long a packet of a real-time target may lie on the link before it is read and stamped."""

EVENT_TOLERANCE_NS = 20_000
"""What a step takes: a call restarted after a signal costs a user-mode kernel a microsecond."""

IDENTITY_OPTIONS = frozenset({(1, 57), (1, 71), (1, 49), (1, 56)})
"""(level, option) of getsockopt whose value is an identity."""

PEERCRED = (1, 17)
TCP_INFO = (6, 11)
TCP_TIMESTAMP = (6, 24)
PEERNAME = (1, 28)
IP_PROTOCOL = (0, 52)

ICMP_TIMES = ((4, 12),)
"""Octet range of a timestamp reply's body: receive and transmit timestamps."""

STAT_IDENTITY = ((0, 16), (28, 36), (72, 120))
"""Octet ranges of x86-64's `struct stat`: device and inode, owner, times."""

TIMESTAMP_MESSAGES = frozenset({(1, 29), (1, 35), (1, 37), (1, 63), (1, 64), (1, 65)})
"""(level, type) of control messages that hold a time."""

RECEIVED_SUM = (0, 23)
"""(level, type) of IP_CHECKSUM."""

OWN_MULTICAST = frozenset({130, 131, 132, 133, 143})
"""ICMPv6 types dropped wherever they go; a neighbour solicitation (135) only when its source is unspecified."""


def zeroed(octets: bytes, ranges: tuple[tuple[int, int], ...]) -> bytes:
    """The octets with these ranges, as far as they reach, set to zero."""
    changed = bytearray(octets)
    for start, end in ranges:
        length = min(end, len(changed)) - start
        if length > 0:
            changed[start : start + length] = bytes(length)
    return bytes(changed)
