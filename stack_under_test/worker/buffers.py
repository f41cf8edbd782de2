"""How large the smallest packet buffer of a kernel is, which its build decides and no interface says.

A corked datagram of one octet costs its socket that buffer and an `sk_buff`; it is never sent.  So a program can ask.
"""

from __future__ import annotations

from stack_under_test.contract import abi
from stack_under_test.contract.program import Call, Program
from stack_under_test.contract.trace import Returned, Trace
from stack_under_test.contract.values import Inet, InOut, Octets, Ref
from stack_under_test.contract.world import PEER_IP, SMALL_HEAD

_SK_BUFF = 256
"""`sizeof(struct sk_buff)`, rounded up as its cache does, on every 64-bit build."""

ASK = Program(
    (
        Call("socket", (abi.AF_INET, abi.SOCK_DGRAM, 0)),
        Call("sendto", (Ref(0), Octets(b"x"), 1, abi.MSG_MORE, Inet(PEER_IP, 9), 16)),
        Call("ioctl", (Ref(0), abi.TIOCOUTQ, InOut((0,)))),
    )
)


def facts(trace: Trace) -> tuple[tuple[str, str], ...]:
    """What a kernel's trace of ASK says: SMALL_HEAD in octets, the shared info at the end included
    (SKB_SMALL_HEAD_CACHE_SIZE since Linux 6.3); nothing where it failed."""
    outcome = trace.steps[-1].outcome if len(trace.steps) == len(ASK.steps) else None
    if not isinstance(outcome, Returned) or outcome.value != 0:
        return ()
    cost = int.from_bytes(dict(outcome.outs)["arg2"], "little")
    return ((SMALL_HEAD, str(cost - _SK_BUFF)),)
