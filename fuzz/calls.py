"""What the application may call on a socket, in whatever state it is.

A call that the model expects to wait is made by a task that can be spared (`Draft.wait`) or told not to wait.
"""

from __future__ import annotations

from collections.abc import Callable

from fuzz import options
from fuzz.ancillary import control_for
from fuzz.arguments import ADDRESSES, LITTLE, MESSAGE_FLAGS
from fuzz.chooser import Weights
from fuzz.model import Draft, Endpoint
from stack_under_test.contract import abi
from stack_under_test.contract.values import (
    NULL,
    Buffer,
    EpollEvent,
    FdSet,
    Inet,
    InOut,
    IoVec,
    MsgHdr,
    Octets,
    PollFds,
    PortOf,
    Ref,
    Timeval,
)
from stack_under_test.contract.world import PEER_IP

Move = Callable[[Draft, Endpoint], None]
SEND_SIZES = Weights((8, 5), (4, 1), (3, 100), (2, 1000), (2, 1448), (1, 0), (1, 3000), (1, 20000))
RECV_SIZES = Weights((8, 100), (3, 5), (3, 1), (2, 2000), (1, 0), (2, 65536))
EVENTS = (abi.POLLIN | abi.POLLOUT, abi.POLLIN, abi.POLLOUT, abi.POLLRDHUP | abi.POLLIN, 0, 0x7FFF, abi.POLLPRI)
SEND_FLAGS = Weights(
    (14, 0), (2, abi.MSG_MORE), (2, abi.MSG_NOSIGNAL), (1, abi.MSG_OOB), (1, abi.MSG_EOR), (1, abi.MSG_DONTROUTE)
)
RECV_FLAGS = Weights(
    (14, 0), (3, abi.MSG_PEEK), (1, abi.MSG_WAITALL), (1, abi.MSG_TRUNC), (1, abi.MSG_OOB), (1, abi.MSG_ERRQUEUE)
)
ADDR = Buffer(128, "addr")
LENGTH = InOut((128,))


def send(draft: Draft, endpoint: Endpoint) -> None:
    """The stack's application sends, by one of the five calls that do."""
    choose = draft.choose
    size = choose.weighted(SEND_SIZES)
    octets = Octets(draft.octets(endpoint.fd, size))
    flags = choose.weighted(SEND_FLAGS)
    if choose.chance(5):
        flags |= choose.choice(MESSAGE_FLAGS)
    if size > 10000:
        flags |= abi.MSG_DONTWAIT
    _send_by(draft, endpoint, octets, size, flags)
    if endpoint.flow is not None:
        endpoint.flow.given += size
    if endpoint.mate is not None and not endpoint.shut:
        endpoint.mate.unread += size
        draft.woken(endpoint.mate)


def _send_by(draft: Draft, endpoint: Endpoint, octets: Octets, size: int, flags: int) -> None:
    fd = endpoint.fd
    match draft.choose.integer(0, 9):
        case 0 | 1 | 2 | 3 | 4:
            draft.call("send", fd, octets, size, flags)
        case 5 | 6:
            draft.call("write", fd, octets, size)
        case 7:
            half = size // 2
            vector = IoVec(((Octets(octets.data[:half]), half), (Octets(octets.data[half:]), size - half)))
            draft.call("writev", fd, vector, 2)
        case 8:
            control, length = control_for(draft.choose) if draft.choose.chance(15) else (NULL, 0)
            header = MsgHdr(iov=IoVec(((octets, size),)), control=control, controllen=length)
            draft.call("sendmsg", fd, header, flags)
        case _:
            draft.call("sendto", fd, octets, size, flags, Inet(PEER_IP, 7), 16)


def receive(draft: Draft, endpoint: Endpoint) -> None:
    """The application receives, by one of the five calls that do; what may wait is made so that it harms nobody."""
    choose = draft.choose
    size = choose.weighted(RECV_SIZES)
    flags = choose.weighted(RECV_FLAGS)
    if choose.chance(5):
        flags |= choose.choice(MESSAGE_FLAGS)
    ready = endpoint.unread > 0 or endpoint.eof or endpoint.nonblock or not endpoint.carries()
    if flags & abi.MSG_WAITALL and endpoint.unread < size:
        ready = endpoint.eof or endpoint.nonblock
    if flags & (abi.MSG_OOB | abi.MSG_ERRQUEUE):
        flags |= abi.MSG_DONTWAIT
    if not ready:
        if not flags & abi.MSG_DONTWAIT and choose.chance(60):
            draft.wait(endpoint, "recv", endpoint.fd, Buffer(size), size, flags)
        else:
            draft.call("recv", endpoint.fd, Buffer(size), size, flags | abi.MSG_DONTWAIT)
        return
    _receive_by(draft, endpoint, size, flags)
    if not flags & (abi.MSG_PEEK | abi.MSG_OOB | abi.MSG_ERRQUEUE):
        endpoint.unread = max(0, endpoint.unread - (size if endpoint.kind == abi.SOCK_STREAM else 1))


def _receive_by(draft: Draft, endpoint: Endpoint, size: int, flags: int) -> None:
    fd = endpoint.fd
    match draft.choose.integer(0, 9):
        case 0 | 1 | 2 | 3:
            draft.call("recv", fd, Buffer(size), size, flags)
        case 4 | 5:
            draft.call("read", fd, Buffer(size), size)
        case 6:
            draft.call("recvfrom", fd, Buffer(size), size, flags, ADDR, LENGTH)
        case 7:
            draft.call("readv", fd, IoVec(((Buffer(3), 3), (Buffer(size), size))), 2)
        case _:
            header = MsgHdr(ADDR, 128, IoVec(((Buffer(size), size),)), None, Buffer(200, "control"), 200)
            draft.call("recvmsg", fd, header, flags)


def shutdown(draft: Draft, endpoint: Endpoint) -> None:
    how = draft.choose.choice((abi.SHUT_WR, abi.SHUT_RD, abi.SHUT_RDWR))
    draft.call("shutdown", endpoint.fd, how)
    _ended(draft, endpoint, sends=how != abi.SHUT_RD, receives=how != abi.SHUT_WR)


def close(draft: Draft, endpoint: Endpoint) -> None:
    if endpoint.closed:
        return
    draft.call("close", endpoint.fd)
    endpoint.closed = True
    _ended(draft, endpoint, sends=True, receives=True)


def _ended(draft: Draft, endpoint: Endpoint, *, sends: bool, receives: bool) -> None:
    if sends:
        endpoint.shut = True
        if endpoint.mate is not None:
            endpoint.mate.eof = True
            draft.woken(endpoint.mate)
    if receives:
        endpoint.eof = True


def names(draft: Draft, endpoint: Endpoint) -> None:
    sys = draft.choose.choice(("getsockname", "getpeername"))
    size = 128 if draft.choose.chance(80) else draft.choose.choice((0, 1, 2, 8, 15, 16, -1))
    draft.call(sys, endpoint.fd, ADDR, InOut((size,)))


def poll(draft: Draft, endpoint: Endpoint) -> None:
    """Readiness of this socket and sometimes of another."""
    choose = draft.choose
    items = [(endpoint.fd, choose.choice(EVENTS))]
    if choose.chance(30):
        items.append((choose.choice(draft.endpoints).fd, choose.choice(EVENTS)))
    if choose.chance(12) and not endpoint.unread and not endpoint.eof:
        draft.wait(endpoint, "poll", PollFds(((endpoint.fd, abi.POLLIN),)), 1, -1)
        return
    draft.call("poll", PollFds(tuple(items)), len(items), 0)


def select(draft: Draft, endpoint: Endpoint) -> None:
    choose = draft.choose
    fds = FdSet((endpoint.fd,))
    reads = fds if choose.chance(80) else NULL
    writes = fds if choose.chance(50) else NULL
    errors = fds if choose.chance(30) else NULL
    draft.call("select", choose.choice((64, 1024, 0, 5)), reads, writes, errors, Timeval(0, 0))


def epoll(draft: Draft, endpoint: Endpoint) -> None:
    """Register, change, ask, forget; edge-triggered and one-shot too."""
    choose = draft.choose
    if not draft.epolls or choose.chance(10):
        draft.epolls.append(draft.call("epoll_create1", choose.choice((0, abi.EPOLL_CLOEXEC))))
        _epoll_control(draft, endpoint, abi.EPOLL_CTL_ADD)
    elif choose.chance(50):
        _epoll_control(draft, endpoint, choose.choice((abi.EPOLL_CTL_ADD, abi.EPOLL_CTL_MOD, abi.EPOLL_CTL_DEL)))
    if choose.chance(6):
        outer = draft.call("epoll_create1", 0)
        watched = draft.epolls[0]
        draft.call("epoll_ctl", outer, abi.EPOLL_CTL_ADD, watched, EpollEvent(abi.EPOLLIN, watched.step))
        draft.epolls.append(outer)
    if choose.chance(80):
        draft.call("epoll_wait", draft.epolls[-1], Buffer(48, "events"), 4, 0)


def _epoll_control(draft: Draft, endpoint: Endpoint, operation: int) -> None:
    choose = draft.choose
    events = choose.choice((abi.EPOLLIN | abi.EPOLLOUT, abi.EPOLLIN, abi.EPOLLRDHUP | abi.EPOLLIN))
    events |= choose.choice((0, 0, 0, abi.EPOLLET, abi.EPOLLONESHOT, abi.EPOLLEXCLUSIVE))
    draft.call("epoll_ctl", draft.epolls[-1], operation, endpoint.fd, EpollEvent(events, endpoint.fd.step))


def queues(draft: Draft, endpoint: Endpoint) -> None:
    request = draft.choose.choice((abi.FIONREAD, abi.TIOCOUTQ, abi.SIOCOUTQNSD, abi.SIOCATMARK))
    draft.call("ioctl", endpoint.fd, request, InOut((-1,)))


def nonblocking(draft: Draft, endpoint: Endpoint) -> None:
    """O_NONBLOCK on or off, by fcntl or ioctl, and read back."""
    choose = draft.choose
    on = choose.chance(80)
    if choose.chance(70):
        draft.call("fcntl", endpoint.fd, abi.F_SETFL, abi.O_NONBLOCK if on else 0)
    else:
        draft.call("ioctl", endpoint.fd, abi.FIONBIO, InOut((int(on),)))
    if choose.chance(30):
        draft.call("fcntl", endpoint.fd, abi.F_GETFL, 0)
    endpoint.nonblock = on


_FCNTLS = (
    (abi.F_GETFL, 0),
    (abi.F_GETFD, 0),
    (abi.F_SETFD, 1),
    (abi.F_SETFD, 2),
    (abi.F_SETFL, abi.O_ASYNC),
    (abi.F_SETFL, abi.O_DIRECT),
    (abi.F_SETFL, abi.O_APPEND | abi.O_NONBLOCK),
    (abi.F_GETOWN, 0),
    (abi.F_SETOWN, 0),
    (abi.F_GETSIG, 0),
    (abi.F_DUPFD_CLOEXEC, 1 << 20),
    (abi.F_GETPIPE_SZ, 0),
    (1025, 0),
    (1027, 0),
)


def control(draft: Draft, endpoint: Endpoint) -> None:
    """What any file can be asked."""
    choose = draft.choose
    match choose.integer(0, 4):
        case 0 | 1:
            draft.call("fcntl", endpoint.fd, *choose.choice(_FCNTLS))
        case 2:
            draft.call("lseek", endpoint.fd, choose.choice(LITTLE), choose.choice((0, 1, 2, 3, -1)))
        case 3:
            draft.call("ioctl", endpoint.fd, choose.choice((abi.FIOCLEX, abi.FIONCLEX, abi.FIOASYNC)), InOut((1,)))
        case _:
            draft.call("fstat", endpoint.fd, Buffer(144, "stat"))


_DEVICES = tuple([int.from_bytes(name, "little") for name in (b"tun0", b"lo", b"no")])
_DEVICE_REQUESTS = (abi.SIOCGIFFLAGS, abi.SIOCGIFADDR, abi.SIOCGIFMTU, abi.SIOCGIFINDEX)


def device(draft: Draft, endpoint: Endpoint) -> None:
    """What a socket can be asked about the host's links (netdevice(7))."""
    choose = draft.choose
    if choose.chance(15):
        draft.call("ioctl", endpoint.fd, abi.SIOCGIFCONF, InOut((choose.choice((0, 40, 1000)), 0, 0, 0)))
    else:
        request = InOut((choose.choice(_DEVICES), *[0] * 9))
        draft.call("ioctl", endpoint.fd, choose.choice(_DEVICE_REQUESTS), request)


def duplicate(draft: Draft, endpoint: Endpoint) -> None:
    """Another descriptor for the same socket; from then on either is used."""
    choose = draft.choose
    match choose.integer(0, 4):
        case 0 | 1:
            other = draft.call("dup", endpoint.fd)
        case 2:
            other = draft.call("dup2", endpoint.fd, choose.choice(_NUMBERS))
        case 3:
            other = draft.call("dup3", endpoint.fd, choose.choice(_NUMBERS), choose.choice((0, abi.O_CLOEXEC)))
        case _:
            other = draft.call("fcntl", endpoint.fd, abi.F_DUPFD, choose.choice((0, 40, 100)))
    if choose.chance(30):
        draft.call("close", endpoint.fd)
        _now_known_as(endpoint, other)
    elif choose.chance(50):
        draft.call("close", other)


def _now_known_as(endpoint: Endpoint, fd: Ref) -> None:
    """A port that was named by the descriptor is named by the new one."""
    old, endpoint.fd = PortOf(endpoint.fd), fd
    if endpoint.port == old:
        endpoint.port = PortOf(fd)
    if endpoint.flow is not None and endpoint.flow.stack_port == old:
        endpoint.flow.stack_port = PortOf(fd)


_NUMBERS = (50, 60, 70)


def again(draft: Draft, endpoint: Endpoint) -> None:
    """A call that belongs to another state: bind, listen, connect or accept once more."""
    choose = draft.choose
    match choose.integer(0, 4):
        case 0:
            draft.call("bind", endpoint.fd, choose.choice(ADDRESSES), 16)
        case 1:
            draft.call("listen", endpoint.fd, choose.choice((0, 1, 5, -1)))
            if endpoint.flow is None and endpoint.kind == abi.SOCK_STREAM:
                endpoint.listening = True
        case 2 if endpoint.nonblock or endpoint.kind != abi.SOCK_STREAM or endpoint.listening:
            draft.call("connect", endpoint.fd, choose.choice(ADDRESSES), 16)
        case 3 if endpoint.nonblock or not endpoint.listening:
            draft.call("accept", endpoint.fd, NULL, NULL)
        case _:
            draft.call("connect", endpoint.fd, Inet(bytes(4), 0, abi.AF_UNSPEC), 16)


def accept(draft: Draft, endpoint: Endpoint) -> Ref | None:
    """Accept, by a spare task when nothing is there to accept; the new descriptor when there is (or will be) one."""
    choose = draft.choose
    address = choose.chance(40)
    where, length = (ADDR, LENGTH) if address else (NULL, NULL)
    if not endpoint.ready and not endpoint.nonblock:
        return draft.wait(endpoint, "accept", endpoint.fd, where, length)
    if choose.chance(35):
        flags = choose.choice((abi.SOCK_NONBLOCK, 0, abi.SOCK_CLOEXEC | abi.SOCK_NONBLOCK))
        return draft.call("accept4", endpoint.fd, where, length, flags)
    return draft.call("accept", endpoint.fd, where, length)


def descriptor_pair(draft: Draft, endpoint: Endpoint) -> None:
    draft.call("socketpair", draft.choose.choice((abi.AF_INET, abi.AF_INET, -1)), endpoint.kind, 0, InOut((-1, -1)))


CONNECTED: Weights[Move] = Weights(
    (16, send),
    (16, receive),
    (3, shutdown),
    (1, close),
    (4, names),
    (5, poll),
    (3, select),
    (4, epoll),
    (5, queues),
    (3, nonblocking),
    (2, control),
    (1, device),
    (2, duplicate),
    (3, again),
    (4, options.set_option),
    (3, options.get_option),
    (2, options.set_and_get),
    (2, options.pending_error),
    (3, options.connection_state),
)
"""A socket that can carry data."""

UNCONNECTED: Weights[Move] = Weights(
    (5, names),
    (5, options.set_option),
    (5, options.get_option),
    (6, options.set_and_get),
    (4, again),
    (3, send),
    (3, receive),
    (3, poll),
    (2, select),
    (2, epoll),
    (2, queues),
    (3, nonblocking),
    (3, control),
    (1, device),
    (2, duplicate),
    (2, shutdown),
    (1, close),
    (1, options.pending_error),
    (1, descriptor_pair),
)
"""A socket that has not got that far."""
