"""Control messages: what is said beside the data, when sending and when receiving."""

from __future__ import annotations

import struct

from fuzz.arguments import HEADER_OPTIONS
from fuzz.chooser import Chooser
from fuzz.model import Draft, Endpoint
from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, Ip, UdpDatagram
from stack_under_test.contract.values import (
    NULL,
    Buffer,
    Control,
    ControlMessage,
    Inet,
    Ints,
    IoVec,
    MsgHdr,
    Octets,
    Pointer,
)
from stack_under_test.contract.world import PEER_IP, STACK_IP

ORIGINAL_DESTINATION = 20
ASKED = (
    abi.IP_PKTINFO,
    abi.IP_RECVTTL,
    abi.IP_RECVTOS,
    abi.IP_RECVOPTS,
    abi.IP_RETOPTS,
    ORIGINAL_DESTINATION,
    abi.IP_CHECKSUM,
    abi.IP_RECVFRAGSIZE,
)
"""Options of level IP that make recvmsg tell something of the packet."""

_TOLD = (
    ControlMessage(abi.SOL_IP, abi.IP_TTL, struct.pack("<i", 9)),
    ControlMessage(abi.SOL_IP, abi.IP_TTL, struct.pack("<i", 0)),
    ControlMessage(abi.SOL_IP, abi.IP_TTL, b"\x09"),
    ControlMessage(abi.SOL_IP, abi.IP_TOS, struct.pack("<i", 16)),
    ControlMessage(abi.SOL_IP, abi.IP_TOS, b"\x08"),
    ControlMessage(abi.SOL_IP, abi.IP_TOS, struct.pack("<i", 256)),
    ControlMessage(abi.SOL_IP, abi.IP_PKTINFO, struct.pack("<i4s4s", 0, STACK_IP, bytes(4))),
    ControlMessage(abi.SOL_IP, abi.IP_PKTINFO, struct.pack("<i4s4s", 1, bytes(4), bytes(4))),
    ControlMessage(abi.SOL_IP, abi.IP_PKTINFO, struct.pack("<i4s4s", 0, PEER_IP, bytes(4))),
    ControlMessage(abi.SOL_IP, abi.IP_PKTINFO, b"\0" * 4),
    ControlMessage(abi.SOL_IP, abi.IP_RETOPTS, b"\x01" * 4),
    *[ControlMessage(abi.SOL_IP, abi.IP_RETOPTS, octets) for octets in HEADER_OPTIONS[2:10:3]],
    ControlMessage(abi.SOL_IP, abi.IP_PROTOCOL, struct.pack("<i", 17)),
    ControlMessage(abi.SOL_IP, 99, b""),
    ControlMessage(abi.SOL_SOCKET, abi.SO_MARK, struct.pack("<i", 1)),
    ControlMessage(abi.SOL_SOCKET, abi.SO_PRIORITY, struct.pack("<i", 3)),
    ControlMessage(abi.SOL_SOCKET, abi.SO_PRIORITY, b"\3"),
    ControlMessage(abi.SOL_SOCKET, 99, b"x"),
    ControlMessage(abi.SOL_UDP, abi.UDP_SEGMENT, struct.pack("<H", 2)),
    ControlMessage(abi.SOL_UDP, abi.UDP_SEGMENT, struct.pack("<i", 2)),
    ControlMessage(abi.SOL_TCP, 1, b"x"),
)
_ROOMS = (200, 200, 0, 1, 16, 20, 24, 32)
_PLAIN = (Ip(), Ip(ttl=7, tos=16), Ip(tos=3))


def control_for(choose: Chooser) -> tuple[Pointer, int]:
    """A control buffer to send, and its length, which is by chance wrong."""
    messages = tuple([choose.choice(_TOLD) for _ in range(choose.choice((1, 1, 2)))])
    length = sum(16 + (len(message.data) + 7) // 8 * 8 for message in messages)
    return Control(messages), length if choose.chance(85) else choose.choice((0, 15, 16, length - 1, length + 8))


def send_with(draft: Draft, endpoint: Endpoint) -> None:
    """sendmsg with control messages."""
    choose = draft.choose
    control, length = control_for(choose)
    name, namelen = (NULL, 0) if choose.chance(40) else (Inet(PEER_IP, 40001), 16)
    octets = Octets(draft.octets(endpoint.fd, 5))
    draft.call("sendmsg", endpoint.fd, MsgHdr(name, namelen, IoVec(((octets, 5),)), None, control, length), 0)


def receive_adorned(draft: Draft, endpoint: Endpoint) -> None:
    """Ask to be told, get a datagram with something to tell, and receive it into little or enough room."""
    choose = draft.choose
    for _ in range(choose.integer(1, 3)):
        option = choose.choice(ASKED)
        draft.call("setsockopt", endpoint.fd, abi.SOL_IP, option, Ints((choose.choice((1, 1, 1, 0)),)), 4)
    if endpoint.port is not None:
        ip = Ip(options=choose.choice(HEADER_OPTIONS)) if choose.chance(50) else choose.choice(_PLAIN)
        draft.inject(Frame(UdpDatagram(40001, endpoint.port, b"adorned"), ip))
        endpoint.unread += 1
        draft.woken(endpoint)
    receive_message(draft, endpoint)
    endpoint.unread = max(0, endpoint.unread - 1)


def receive_message(draft: Draft, endpoint: Endpoint, flags: int = abi.MSG_DONTWAIT) -> None:
    room = draft.choose.choice(_ROOMS)
    vector = IoVec(((Buffer(100), 100),))
    header = MsgHdr(Buffer(128, "addr"), 128, vector, None, Buffer(max(room, 1), "control"), room)
    draft.call("recvmsg", endpoint.fd, header, flags)


def read_error_queue(draft: Draft, endpoint: Endpoint) -> None:
    """The error queue (IP_RECVERR), full or empty."""
    receive_message(draft, endpoint, abi.MSG_ERRQUEUE | draft.choose.choice((0, abi.MSG_PEEK, abi.MSG_TRUNC)))
