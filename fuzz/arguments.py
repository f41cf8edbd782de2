"""Arguments that are wrong in one place, by the kind of parameter they are given for.

What is left out on purpose: descriptors that may belong to the process that makes the calls, `F_SETOWN` and its ioctls
with a process number (the signal would leave the program), interface ioctls that change the link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from fuzz.chooser import Chooser, Weights
from stack_under_test.contract import abi
from stack_under_test.contract.program import Call
from stack_under_test.contract.syscalls import SYSCALLS
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
    Octets,
    PollFds,
    Ref,
    Timeval,
    Unix,
)
from stack_under_test.contract.world import PEER_IP, STACK_IP

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1
NO_SUCH_FD = (-1, 1000, INT_MAX, INT_MIN, -100, 1 << 20)
ANY = bytes(4)
LOCALHOST = bytes((127, 0, 0, 1))
BROADCAST = bytes((192, 0, 2, 255))
EVERYONE = bytes((255, 255, 255, 255))
GROUP = bytes((224, 0, 0, 5))
ELSEWHERE = bytes((198, 51, 100, 7))
UNUSED = bytes((192, 0, 2, 77))
CLASS_E = bytes((240, 0, 0, 1))

SENT_SIZES = (0, 1, 15, 17, 128, 129, 65536, 200_000)
"""What a send claims wrongly stays inside the caller's memory: how much of a stream Linux takes before a fault depends on
how full the task's page fragment is, which no program decides."""
_HERE, _THERE = STACK_IP.hex(), PEER_IP.hex()
HEADER_OPTIONS = tuple(
    bytes.fromhex(text)
    for text in (
        "01010101",
        "00000000",
        "0707040000000000",
        "0707080000000000",
        "070b04000000000000000000",
        "0703040000000000",
        "0707050000000000",
        "07020400",
        f"830704{_THERE}00",
        f"830b08{_HERE}{_THERE}00",
        "83030400",
        f"890704{_THERE}00",
        "440809f000000000",
        "4408090000000000",
        f"44080903{_THERE}",
        "4404050000000000",
        f"440c0d01{_THERE}00000000",
        "860600000001" + "0000",
        "94040000",
        "94040001",
        "82030000",
        "ff010000",
        "ff000000",
        "4201" + "0000",
        "01" * 40,
    )
)
"""Options of the IP header, sound and not (RFC 791, RFC 2113): record route, source routes, timestamps without room for
one (the time of day would not repeat), security labels, router alert, unknown and cut ones."""

SIZES = (0, 1, -1, 15, 17, 128, 129, INT_MAX, 1 << 31, 1 << 32, LONG_MAX, LONG_MIN)
LITTLE = (0, 1, -1, 2, 3, 255, 1000, INT_MAX, INT_MIN)
ADDRESSES: tuple[Arg, ...] = (
    Inet(STACK_IP, 8080),
    Inet(PEER_IP, 0),
    Inet(ANY, 0),
    Inet(ANY, 8080),
    Inet(PEER_IP, 8080),
    Inet(LOCALHOST, 8080),
    Inet(BROADCAST, 8080),
    Inet(EVERYONE, 8080),
    Inet(GROUP, 8080),
    Inet(ELSEWHERE, 8080),
    Inet(CLASS_E, 8080),
    Inet(STACK_IP, 80),
    Inet(STACK_IP, 8080, abi.AF_UNSPEC),
    Inet(ANY, 0, abi.AF_UNSPEC),
    Inet(STACK_IP, 8080, abi.AF_INET6),
    Inet(STACK_IP, 8080, 77),
    Inet6(bytes(16), 8080),
    Unix(b"/nowhere\0"),
    Unix(b"\0abstract"),
    Octets(b"\x02\0"),
    NULL,
    BAD,
)
_IN: tuple[Arg, ...] = (NULL, BAD, Octets(b""), Octets(b"x"))
_OUT: tuple[Arg, ...] = (NULL, BAD, Buffer(1), Buffer(0))
_SIZE_POINTERS: tuple[Arg, ...] = (
    NULL,
    BAD,
    *[InOut((size,)) for size in (0, 1, 15, 17, -1, INT_MAX, INT_MIN)],
    Buffer(4, "ints"),
)
MESSAGE_FLAGS = (
    *[1 << bit for bit in range(21)],
    abi.MSG_CMSG_CLOEXEC,
    abi.MSG_FASTOPEN,
    abi.MSG_ZEROCOPY,
    1 << 31,
    abi.MSG_PEEK | abi.MSG_TRUNC,
    abi.MSG_OOB | abi.MSG_PEEK,
    abi.MSG_WAITALL | abi.MSG_PEEK,
)
_HEADERS: tuple[Arg, ...] = (
    NULL,
    BAD,
    MsgHdr(),
    MsgHdr(iov=BAD, iovlen=1),
    MsgHdr(iov=NULL, iovlen=1),
    MsgHdr(iov=NULL, iovlen=1025),
    MsgHdr(iov=IoVec(((BAD, 4),))),
    MsgHdr(iov=IoVec(((Octets(b"ab"), 2), (BAD, 4)))),
    MsgHdr(name=BAD, namelen=16, iov=IoVec(((Octets(b"ab"), 2),))),
    MsgHdr(name=Inet(PEER_IP, 7), namelen=-1, iov=IoVec(((Octets(b"ab"), 2),))),
    MsgHdr(name=Inet(PEER_IP, 7), namelen=500, iov=IoVec(((Octets(b"ab"), 2),))),
    MsgHdr(iov=IoVec(((Octets(b"ab"), 2),)), control=BAD, controllen=16),
    MsgHdr(iov=IoVec(((Octets(b"ab"), 2),)), control=Octets(bytes(24)), controllen=24),
    MsgHdr(
        iov=IoVec(((Octets(b"ab"), 2),)),
        control=Control((ControlMessage(0, abi.IP_TTL, b"\x09\0\0\0"),)),
        controllen=24,
    ),
    MsgHdr(iov=IoVec(((Octets(b"ab"), 2),)), control=Control((ControlMessage(0, abi.IP_TTL, b"\0\0\0\0"),)), controllen=24),
    MsgHdr(iov=IoVec(((Octets(b"ab"), 2),)), controllen=1 << 31),
)
_VECTORS: tuple[Arg, ...] = (
    NULL,
    BAD,
    IoVec(()),
    IoVec(((NULL, 0),)),
    IoVec(((NULL, 5),)),
    IoVec(((BAD, 5),)),
    IoVec(((Buffer(4), -1),)),
    IoVec(((Buffer(4), 4), (Buffer(4), LONG_MAX))),
    IoVec(((Buffer(3), 3), (BAD, 5))),
)
PROTOCOLS = (0, 6, 17, 1, 2, 255, 132, 136, 262, -1, 256, 41, 58, 300)
FAMILIES = (abi.AF_INET, abi.AF_UNSPEC, -1, 77, 45, 46, INT_MAX, abi.AF_INET6, abi.AF_UNIX)
TYPES = (
    abi.SOCK_STREAM,
    abi.SOCK_DGRAM,
    0,
    -1,
    11,
    abi.SOCK_RDM,
    abi.SOCK_SEQPACKET,
    abi.SOCK_DCCP,
    abi.SOCK_STREAM | 0x10,
    abi.SOCK_STREAM | 0x100,
    abi.SOCK_STREAM | abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC,
    abi.SOCK_RAW,
)

WRONG: Mapping[str, tuple[Arg, ...]] = MappingProxyType(
    {
        "fd": NO_SUCH_FD,
        "size": SIZES,
        "count": (0, -1, 1025, INT_MAX, 1 << 31, 1 << 32),
        "in": _IN,
        "out": _OUT,
        "addr": _OUT,
        "sizeptr": _SIZE_POINTERS,
        "sockaddr": ADDRESSES,
        "msgflags": MESSAGE_FLAGS,
        "msghdr": _HEADERS,
        "iovec": _VECTORS,
        "pollfds": (NULL, BAD, PollFds(((-1, 1),)), PollFds(((1000, 1),))),
        "fdset": (NULL, BAD, FdSet((1000,)), FdSet(())),
        "timeval": (Timeval(0, 0), BAD, Timeval(-1, 0), Timeval(0, -1), Timeval(0, 1_000_000)),
        "ms": (0,),
        "family": FAMILIES,
        "socktype": TYPES,
        "protocol": PROTOCOLS,
        "sockflags": (0, 1, -1, 0o4001, abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC, 1 << 30),
        "oflags": (0, 1, -1, abi.O_NONBLOCK, abi.O_CLOEXEC, abi.O_APPEND),
        "epollflags": (0, 1, -1, abi.EPOLL_CLOEXEC),
        "epollop": (0, 1, 2, 3, 4, -1),
        "epollevent": (
            NULL,
            BAD,
            EpollEvent(0, 0),
            EpollEvent(0xFFFF_FFFF, 1),
            EpollEvent(abi.EPOLLIN | abi.EPOLLEXCLUSIVE, 2),
        ),
        "events": _OUT,
        "how": (0, 1, 2, 3, -1, INT_MAX),
        "whence": LITTLE,
        "int": LITTLE,
        "level": (abi.SOL_SOCKET, abi.SOL_IP, abi.SOL_TCP, abi.SOL_UDP, abi.SOL_IPV6, 255, 2, -1, INT_MAX),
        "optname": (0, -1, 100, 1000, INT_MAX, *range(1, 60)),
        "optval": (NULL, BAD, Ints((0,)), Ints((-1,)), Ints((1,)), Octets(b"\x01"), Octets(b"")),
        "fcntl": (-1, 4096, abi.F_GETFL, abi.F_GETFD, abi.F_GETOWN, abi.F_GETPIPE_SZ, INT_MAX),
        "fcntlarg": (0, -1, INT_MAX, 1 << 20),
        "ioctl": (0, 0x5401, 0x89F0, INT_MAX, abi.FIONREAD, abi.TIOCOUTQ, abi.SIOCATMARK, abi.SIOCGSTAMP),
        "inout": (NULL, BAD, InOut((0,)), InOut((-1,))),
    }
)
"""Kind of parameter (`syscalls.Sys.params`) -> arguments worth trying in its place."""

_HOW = Weights((3, "argument"), (2, "descriptor"))


def bend(choose: Chooser, call: Call, others: Sequence[Ref] = ()) -> Call:
    """`call` with one argument replaced; `others` are descriptors of the program that could stand in for its own."""
    params = SYSCALLS[call.sys].params
    if not params:
        return call
    index = choose.integer(0, len(params) - 1)
    kind = params[index]
    wrong: Arg
    if kind == "fd" and others and choose.weighted(_HOW) == "argument":
        wrong = choose.choice(others)
    else:
        wrong = choose.choice(SENT_SIZES if kind == "size" and call.sys in _SENDING and index == 2 else WRONG[kind])
    if call.sys in _OWNING and isinstance(call.args[1], int) and call.args[1] in _OWNING[call.sys]:
        return call
    return Call(call.sys, (*call.args[:index], wrong, *call.args[index + 1 :]), call.task)


_SENDING = frozenset({"write", "send", "sendto"})
_OWNING: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"fcntl": (abi.F_SETOWN, abi.F_SETSIG), "ioctl": (abi.FIOSETOWN, abi.SIOCSPGRP)}
)
