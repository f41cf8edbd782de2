"""Socket addresses across the user/kernel border, and files held while a call sleeps (`net/socket.c`)."""

from __future__ import annotations

from errno import EINVAL

from ..errors import Fail
from ..file import File
from ..release import Release
from ..task import Task
from ..uaccess import UserMemory
from ..wait import Blocking, T

SOCKADDR_STORAGE = 128


def move_addr_to_kernel(memory: UserMemory, address: int, length: int) -> bytes:
    """Raises Fail(EINVAL) for a length that no sockaddr has, Fail(EFAULT)."""
    if length < 0 or length > SOCKADDR_STORAGE:
        raise Fail(EINVAL, "move_addr_to_kernel: length")
    return memory.read(address, length)


def move_addr_to_user(release: Release, memory: UserMemory, name: bytes, address: int, length_address: int) -> None:
    """Store the whole length of `name`, then as much of it as the caller has room for.

    Raises Fail(EFAULT), Fail(EINVAL) for negative room.
    """
    room = memory.read_int(length_address)
    if room < 0:
        raise Fail(EINVAL, "move_addr_to_user: negative length")
    if release.stores_length_first:
        memory.write_int(length_address, len(name))
    if room:
        memory.write(address, name[:room])
    if not release.stores_length_first:
        memory.write_int(length_address, len(name))


def holding(task: Task, file: File, call: Blocking[T]) -> Blocking[T]:
    """`call`, with a reference to `file`: closing its descriptor meanwhile does not end it."""
    file.count += 1
    try:
        return (yield from call)
    finally:
        task.put(file)
