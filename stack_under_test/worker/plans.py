"""How each call is made, worked out once: one row per entry of the contract's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from stack_under_test.contract.syscalls import SYSCALLS, Sys
from stack_under_test.worker.kernel import syscall_of
from stack_under_test.worker.marks import NOTES, Note
from stack_under_test.worker.waits import RULES, Rule

_ARITY = {"send": 6, "recv": 6}
"""sendto and recvfrom under libc's names: registers that the program does not give are zero."""
_CARRIERS = frozenset({"poll", "sendmsg"})
_REACHES = {"getsockopt": 8192, "poll": 8192, "recvmsg": 8192, "epoll_wait": 12288}
_REACH = 512
"""Most that a call writes without saying so in its result: 1024 pollfds or epoll_events, an option, control messages;
a sockaddr or three fd_sets."""
_QUIET = frozenset(
    {"socket", "socketpair", "getsockname", "getpeername", "getsockopt", "poll", "select", "epoll_create1", "epoll_ctl"}
    | {"epoll_wait", "fstat", "lseek", "dup", "fcntl", "listen"}
)


class Plan(NamedTuple):
    """`invoke` takes the number and `arity` registers.  `fds` are the registers that name descriptors; `carries_fds`: so
    does memory.  `reach`: how far beyond its arguments, and beyond the octets that its result counts, a call may write.
    `quiet`: it never sends a packet, so the link need not be looked at."""

    number: int
    arity: int
    invoke: Callable[..., int]
    fds: tuple[int, ...]
    carries_fds: bool
    reach: int
    quiet: bool
    rule: Rule | None
    note: Note | None


def _plan(sys: Sys, invokes: Mapping[int, Any]) -> Plan:
    arity = _ARITY.get(sys.name, len(sys.params))
    fds = tuple(index for index, kind in enumerate(sys.params) if kind == "fd")
    rule, note = RULES.get(sys.name), NOTES.get(sys.name)
    return Plan(
        sys.number,
        arity,
        invokes[arity],
        fds,
        sys.name in _CARRIERS,
        _REACHES.get(sys.name, _REACH),
        sys.name in _QUIET,
        rule,
        note,
    )


def _plans() -> Mapping[str, Plan]:
    invokes = {arity: syscall_of(arity) for arity in range(1, 7)}
    return MappingProxyType({name: _plan(sys, invokes) for name, sys in SYSCALLS.items()})


PLANS = _plans()
