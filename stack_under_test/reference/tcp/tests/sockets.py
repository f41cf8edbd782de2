"""TCP sockets outside any table, for functions that only look at a socket's variables."""

from __future__ import annotations

from stack_under_test.contract import abi
from stack_under_test.reference.kernel import Kernel
from stack_under_test.reference.net import Net
from stack_under_test.reference.sock import State
from stack_under_test.reference.sysctl import Sysctls
from stack_under_test.reference.tcp.segment import Segment, parse
from stack_under_test.reference.tcp.sock import TcpSock
from stack_under_test.wire import tcp

PEER, HERE = bytes((192, 0, 2, 2)), bytes((192, 0, 2, 1))


def net() -> Net:
    return Kernel(Sysctls()).net


def fresh(state: State = State.CLOSE) -> TcpSock:
    """A socket as `socket()` makes it, put into `state` without having lived through the earlier ones."""
    here = net()
    row = next(row for row in here.inetsw if row.protocol == abi.IPPROTO_TCP)
    sk = TcpSock(here, abi.AF_INET, abi.SOCK_STREAM, abi.IPPROTO_TCP, row.proto)
    sk.state = state
    return sk


def arriving(segment: tcp.Tcp) -> Segment:
    """As TCP sees it when it comes over the link."""
    octets = tcp.write(segment, PEER, HERE)
    found = parse(octets, PEER, HERE, 0, 64, len(octets) + 20)
    assert found is not None
    return found
