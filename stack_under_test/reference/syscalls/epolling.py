"""epoll_create1, epoll_ctl, epoll_wait (`fs/eventpoll.c`)."""

from __future__ import annotations

import struct
from errno import EFAULT, EINTR, EINVAL, EPERM

from ...contract import abi
from ..epoll import EPOLLEXCLUSIVE_OK_BITS, EpollFile, Event, EventBatch, check_nesting
from ..errors import Fail
from ..net import MSEC
from ..task import Task
from ..uaccess import access_ok
from ..wait import Blocking, MayBlock, Wait, Wakeup
from .addresses import holding
from .registers import c_int, c_ulong

EVENT_SIZE = 12
EP_MAX_EVENTS = 0x7FFF_FFFF // EVENT_SIZE


def sys_epoll_create1(task: Task, flags: int) -> int:
    """`do_epoll_create`."""
    flags = c_int(flags)
    if flags & ~abi.EPOLL_CLOEXEC:
        raise Fail(EINVAL, "do_epoll_create: flags")
    fd = task.files.reserve(flags)
    task.files.install(fd, EpollFile())
    return fd


def sys_epoll_ctl(task: Task, epfd: int, operation: int, fd: int, event_address: int) -> int:
    """`do_epoll_ctl`: the event is read first, unless the operation is a removal."""
    operation = c_int(operation)
    event = Event(0, 0)
    if operation != abi.EPOLL_CTL_DEL:
        event = Event(*struct.unpack("<IQ", task.memory.read(c_ulong(event_address), EVENT_SIZE)))
    epoll = task.files.get(epfd)
    file = task.files.get(fd)
    if not file.pollable:
        raise Fail(EPERM, "do_epoll_ctl: file_can_poll")
    event = event._replace(events=event.events & ~abi.EPOLLWAKEUP)
    if epoll is file or not isinstance(epoll, EpollFile):
        raise Fail(EINVAL, "do_epoll_ctl: not an epoll, or itself")
    if event.events & abi.EPOLLEXCLUSIVE and _exclusive_refused(operation, event.events, isinstance(file, EpollFile)):
        raise Fail(EINVAL, "do_epoll_ctl: EPOLLEXCLUSIVE")
    if operation == abi.EPOLL_CTL_ADD and isinstance(file, EpollFile):
        check_nesting(epoll, file)
    number = c_int(fd)
    match operation:
        case abi.EPOLL_CTL_ADD:
            epoll.insert(file, number, event)
        case abi.EPOLL_CTL_DEL:
            epoll.remove(epoll.find(file, number))
        case abi.EPOLL_CTL_MOD:
            epoll.modify(file, number, event)
        case _:
            raise Fail(EINVAL, "do_epoll_ctl: operation")
    return 0


def _exclusive_refused(operation: int, events: int, nested: bool) -> bool:
    if operation == abi.EPOLL_CTL_MOD:
        return True
    return operation == abi.EPOLL_CTL_ADD and (nested or bool(events & ~EPOLLEXCLUSIVE_OK_BITS))


def sys_epoll_wait(task: Task, epfd: int, events: int, limit: int, timeout: int) -> MayBlock[int]:
    """`do_epoll_wait`, `ep_check_params`."""
    events, limit, timeout = c_ulong(events), c_int(limit), c_int(timeout)
    if task.net.release.epoll_looks_up_first:
        task.files.get(epfd)
    if limit <= 0 or limit > EP_MAX_EVENTS:
        raise Fail(EINVAL, "ep_check_params: maxevents")
    if not access_ok(events, limit * EVENT_SIZE):
        raise Fail(EFAULT, "ep_check_params: access_ok")
    epoll = task.files.get(epfd)
    if not isinstance(epoll, EpollFile):
        raise Fail(EINVAL, "ep_check_params: not an epoll")
    if epoll.ready:
        sent = _send_events(task, epoll, events, limit)
        if sent:
            return sent
    if timeout == 0:
        return 0
    deadline = None if timeout < 0 else task.net.now + timeout * MSEC
    return holding(task, epoll, _epoll_sleep(task, epoll, events, limit, deadline))


def _epoll_sleep(task: Task, epoll: EpollFile, events: int, limit: int, deadline: int | None) -> Blocking[int]:
    """The loop of `ep_poll`: each wake-up looks again, one that finds nothing sleeps again."""
    while True:
        reason = yield Wait((epoll.sleepers,), deadline, exclusive=True)
        if reason is Wakeup.TIMEOUT:
            return 0
        sent = _send_events(task, epoll, events, limit)
        if sent:
            return sent
        if reason is Wakeup.SIGNAL:
            raise Fail(EINTR, "ep_poll: signal_pending")


def _send_events(task: Task, epoll: EpollFile, address: int, limit: int) -> int:
    """`ep_send_events`: a fault after the first event delivers those before it. Raises Fail(EFAULT)."""
    batch = EventBatch(epoll, limit)
    sent = 0
    try:
        while found := batch.next_event():
            item, event = found
            try:
                task.memory.write(address + EVENT_SIZE * sent, struct.pack("<IQ", event.events, event.data))
            except Fail:
                batch.undelivered(item)
                if not sent:
                    raise
                break
            batch.delivered(item)
            sent += 1
    finally:
        batch.done()
    return sent
