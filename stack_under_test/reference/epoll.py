"""epoll: interest in files, and a list of those that may be ready (`fs/eventpoll.c`).

An `Item` stands on its file's wait queue.  When the file reports events the item wants, it joins the end of the ready
list.  Fetching walks that list and asks each file again: what is not ready leaves the list, what is ready is delivered
and, unless edge-triggered or one-shot, goes to the end of the list, to be asked again by the next fetch.

The list is a dict used as an ordered set.
"""

from __future__ import annotations

from errno import EEXIST, EINVAL, ELOOP, ENOENT
from typing import NamedTuple

from ..contract import abi
from .errors import Fail
from .file import File
from .wait import ALL, WaitQueue

EP_MAX_NESTS = 4
PATH_LIMITS = (1000, 500, 100, 50, 10)
EP_PRIVATE_BITS = abi.EPOLLWAKEUP | abi.EPOLLONESHOT | abi.EPOLLET | abi.EPOLLEXCLUSIVE
EPOLLINOUT_BITS = abi.EPOLLIN | abi.EPOLLOUT
EPOLLEXCLUSIVE_OK_BITS = EPOLLINOUT_BITS | abi.EPOLLERR | abi.EPOLLHUP | abi.EPOLLWAKEUP | abi.EPOLLET | abi.EPOLLEXCLUSIVE


class Event(NamedTuple):
    """`struct epoll_event`."""

    events: int
    data: int


class Item:
    """`struct epitem`: one file under one number in one epoll; a `Waiter` on the file's queue."""

    __slots__ = ("data", "epoll", "events", "exclusive", "fd", "file", "queue")

    def __init__(self, epoll: EpollFile, file: File, fd: int, event: Event) -> None:
        self.epoll = epoll
        self.file = file
        self.fd = fd
        self.events = event.events
        self.data = event.data
        self.exclusive = bool(event.events & abi.EPOLLEXCLUSIVE)
        self.queue: WaitQueue | None = None

    def poll(self) -> int:
        """`ep_item_poll`."""
        return self.file.poll() & self.events

    def notify(self, events: int) -> bool:
        """`ep_poll_callback`; a wake-up without events (ALL) may mean anything."""
        keyed = 0 if events == ALL else events
        taken = not self.exclusive
        if self.events & ~EP_PRIVATE_BITS and (not keyed or keyed & self.events):
            epoll = self.epoll
            epoll.ready.setdefault(self)
            if epoll.sleepers.waiters:
                if self.exclusive:
                    way = keyed & EPOLLINOUT_BITS
                    taken = not way or (way != EPOLLINOUT_BITS and bool(way & self.events))
                epoll.sleepers.wake()
            epoll.pollers.wake(abi.EPOLLIN)
        return taken


class EpollFile(File):
    """`struct eventpoll`: `items` by (file, number), `ready` in order.

    `sleepers` are tasks in epoll_wait, `pollers` whoever polls this epoll (another epoll, poll, select).
    """

    def __init__(self) -> None:
        super().__init__(abi.O_RDWR)
        self.items: dict[tuple[File, int], Item] = {}
        self.ready: dict[Item, None] = {}
        self.sleepers = WaitQueue(newest_first=True)
        self.pollers = WaitQueue()

    def queue(self) -> WaitQueue:
        return self.pollers

    # --- epoll_ctl

    def insert(self, file: File, fd: int, event: Event) -> None:
        """`ep_insert`. Raises Fail(EEXIST); Fail(EINVAL) when too many paths would lead from the file."""
        if (file, fd) in self.items:
            raise Fail(EEXIST, "do_epoll_ctl: already added")
        item = Item(self, file, fd, Event(event.events | abi.EPOLLERR | abi.EPOLLHUP, event.data))
        file.watches.append(item)
        self.items[file, fd] = item
        if (self.watches or isinstance(file, EpollFile)) and not _paths_allowed(file):
            self.remove(item)
            raise Fail(EINVAL, "ep_insert: reverse_path_check")
        item.queue = file.queue()
        if item.queue is not None:
            item.queue.add(item)
        self._enlist(item)

    def modify(self, file: File, fd: int, event: Event) -> None:
        """`ep_modify`. Raises Fail(ENOENT), Fail(EINVAL) for an exclusive item."""
        item = self.find(file, fd)
        if item.events & abi.EPOLLEXCLUSIVE:
            raise Fail(EINVAL, "do_epoll_ctl: EPOLLEXCLUSIVE item")
        item.events = event.events | abi.EPOLLERR | abi.EPOLLHUP
        item.data = event.data
        self._enlist(item)

    def find(self, file: File, fd: int) -> Item:
        item = self.items.get((file, fd))
        if item is None:
            raise Fail(ENOENT, "do_epoll_ctl: not added")
        return item

    def remove(self, item: Item) -> None:
        """`ep_remove`."""
        if item.queue is not None:
            item.queue.remove(item)
        item.file.watches.remove(item)
        del self.items[item.file, item.fd]
        self.ready.pop(item, None)

    def _enlist(self, item: Item) -> None:
        """Put an item that is ready already on the list and tell who waits."""
        if item.poll() and item not in self.ready:
            self.ready[item] = None
            self.sleepers.wake()
            self.pollers.wake(abi.EPOLLIN)

    # --- the ready list

    def poll(self) -> int:
        """`__ep_eventpoll_poll`: readable when an item really is ready; items before it that are not leave the list."""
        while self.ready:
            item = next(iter(self.ready))
            if item.poll():
                self.end_scan()
                return abi.EPOLLIN | abi.EPOLLRDNORM
            del self.ready[item]
        return 0

    def end_scan(self) -> None:
        """`ep_done_scan`: when something is left, another sleeper may find it."""
        if self.ready:
            self.sleepers.wake()

    def release(self) -> None:
        """`ep_clear_and_put`."""
        for item in tuple(self.items.values()):
            self.remove(item)


class EventBatch:
    """One pass of `ep_send_events` over the list as it stands now; `done` must end it.

    Asking a file wakes nobody, so nothing joins the list meanwhile but what the pass itself queues again.
    """

    def __init__(self, epoll: EpollFile, limit: int) -> None:
        self._epoll = epoll
        self._batch, epoll.ready = epoll.ready, {}
        self._left = limit

    def next_event(self) -> tuple[Item, Event] | None:
        """The next ready item and its event; None at the end of the list or at the limit."""
        while self._left and self._batch:
            item = next(iter(self._batch))
            del self._batch[item]
            mask = item.poll()
            if mask:
                self._left -= 1
                return item, Event(mask, item.data)
        return None

    def delivered(self, item: Item) -> None:
        """One-shot items are disabled, level-triggered ones queue again at the end."""
        if item.events & abi.EPOLLONESHOT:
            item.events &= EP_PRIVATE_BITS
        elif not item.events & abi.EPOLLET:
            self._epoll.ready[item] = None

    def undelivered(self, item: Item) -> None:
        """The caller's memory faulted: it stays first in line."""
        self._batch = {item: None, **self._batch}

    def done(self) -> None:
        """What was not reached stays in front."""
        if self._batch:
            self._epoll.ready = {**self._batch, **self._epoll.ready}
        self._epoll.end_scan()


def check_nesting(outer: EpollFile, inner: EpollFile) -> None:
    """`ep_loop_check`. Raises Fail(ELOOP) for a loop or a chain that is too long."""
    depth = _depth_below(outer, inner, 0)
    if depth > EP_MAX_NESTS or depth + 1 + _depth_above(outer) > EP_MAX_NESTS:
        raise Fail(ELOOP, "ep_loop_check")


def _depth_below(outer: EpollFile, inner: EpollFile, depth: int) -> int:
    """`ep_loop_check_proc`."""
    result = 0
    for item in inner.items.values():
        if not isinstance(item.file, EpollFile):
            continue
        if item.file is outer or depth > EP_MAX_NESTS:
            return EP_MAX_NESTS + 1
        result = max(result, _depth_below(outer, item.file, depth + 1) + 1)
    return result


def _depth_above(epoll: EpollFile) -> int:
    """`ep_get_upwards_depth_proc`."""
    return max((_depth_above(item.epoll) + 1 for item in epoll.watches), default=0)


def _paths_allowed(file: File) -> bool:
    """`reverse_path_check` for every file that the new link connects."""
    files = _sources(file) if isinstance(file, EpollFile) else {file: None}
    return all(_count_paths(source, 0, [0] * len(PATH_LIMITS)) for source in files)


def _sources(epoll: EpollFile) -> dict[File, None]:
    found: dict[File, None] = {}
    for item in epoll.items.values():
        found.update(_sources(item.file) if isinstance(item.file, EpollFile) else {item.file: None})
    return found


def _count_paths(file: File, depth: int, counts: list[int]) -> bool:
    """`reverse_path_check_proc`: paths that are longer than one hop are counted by length."""
    if depth > EP_MAX_NESTS:
        return False
    for item in file.watches:
        if item.epoll.watches:
            if not _count_paths(item.epoll, depth + 1, counts):
                return False
        elif depth:
            counts[depth] += 1
            if counts[depth] > PATH_LIMITS[depth]:
                return False
    return True
