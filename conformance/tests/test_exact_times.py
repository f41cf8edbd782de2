"""Programs in which a moment counts to the millisecond or less, on Linux in virtual time and on the reference stack.

They are no timer programs: a kernel with another clock, such as `sockdiff uml check` asks, cannot show the same.
"""

from __future__ import annotations

from contextlib import closing

import pytest

from conformance.harness.lockstep import Agree, run_pair
from stack_under_test.contract.parser import parse_program
from stack_under_test.registry import open_target, why_unavailable

COMPRESSED_ACK = """\
# A packet that a timer sends counts with the step in which it left, whatever is called then.
r0 = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)
connect(r0, {AF_INET, 192.0.2.2, 1234}, 16)
< tcp 1234 > port(r0) S. seq peer+0 ack nxt+0 <sackOK>
< tcp 1234 > port(r0) . seq peer+537 ack nxt+0 "c"
< tcp 1234 > port(r0) . seq peer+1538 ack nxt+0 "b"
< tcp 1234 > port(r0) . seq peer+2985 ack nxt+0 "b"
< tcp 1234 > port(r0) . seq peer+2985 ack nxt+0 "b"
recv(r0, &buf[0], 0, 0)
recv(r0, &buf[0], 0, 0)
fcntl(r0, F_GETFL, 0)
fcntl(r0, F_GETFL, 0)
fcntl(r0, F_GETFL, 0)
fcntl(r0, F_GETFL, 0)
"""
NEEDLESS_SYNACK = """\
# The peer echoes the timestamp of the first SYN-ACK: there was no need to repeat it (tcp_try_undo_spurious_syn).
r0 = socket(AF_INET, SOCK_STREAM, 0)
listen(r0, 0)
< tcp 1234 > port(r0) S seq peer+0 <TS val 1000 ecr 0>
advance 3500ms
< tcp 1234 > port(r0) . seq peer+1 ack nxt+0 <TS val 1001 ecr ts-3008>
r1 = accept(r0, NULL, NULL)
getsockopt(r1, SOL_TCP, TCP_INFO, &buf[248], &[248])
"""


@pytest.mark.parametrize("text", [COMPRESSED_ACK, NEEDLESS_SYNACK], ids=["compressed_ack", "needless_synack"])
def test_both_agree(text: str) -> None:
    reason = why_unavailable("uml")
    if reason is not None:
        pytest.skip(reason)
    with closing(open_target("uml")) as uml:
        assert isinstance(run_pair(parse_program(text), uml, open_target("reference")), Agree)
