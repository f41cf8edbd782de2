"""What a program reaches in a kernel with coverage: its own code, in every context, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stack_under_test.contract.coverage import reached
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.trace import Trace
from stack_under_test.uml.blocks import read_blocks
from stack_under_test.uml.places import Kernel, available
from stack_under_test.uml.target import UmlTarget

KERNEL = Kernel(features=("kcov",))
UDP = 'r0 = socket(AF_INET, SOCK_DGRAM, 0)\nsendto(r0, "x", 1, 0, {AF_INET, 192.0.2.2, 53}, 16)\n'
SYN = """
r0 = socket(AF_INET, SOCK_STREAM, 0)
bind(r0, {AF_INET, 192.0.2.1, 8080}, 16)
listen(r0, 8)
< tcp 1234 > 8080 S seq peer+0 <mss 1460>
"""


@pytest.fixture(scope="module")
def uml() -> Iterator[UmlTarget]:
    reason = available(KERNEL)
    if reason is not None:
        pytest.skip(reason)
    with UmlTarget(KERNEL) as target:
        yield target


@pytest.fixture(scope="module")
def first_block(uml: UmlTarget) -> dict[str, int]:
    """Function -> the number of its first block."""
    return {function.name: number for function, number in read_blocks(KERNEL.blocks_file).spans()}


def run(uml: UmlTarget, text: str) -> Trace:
    return uml.run(parse_program(text))


def test_the_kernel_is_named_with_its_build(uml: UmlTarget) -> None:
    assert dict(uml.traits.facts)["coverage"].startswith("6.12-kcov ")


def test_calls_packets_and_timers_are_seen(uml: UmlTarget, first_block: dict[str, int]) -> None:
    listening = reached(run(uml, SYN.partition("<")[0]))
    answered = reached(run(uml, SYN))
    repeated = reached(run(uml, SYN + "advance 2s\n"))
    assert listening >> first_block["inet_listen"] & 1
    # A SYN is taken in by a softirq, its answer repeated by a timer: no task's doing.
    assert not listening >> first_block["tcp_conn_request"] & 1
    assert answered >> first_block["tcp_conn_request"] & 1
    assert not answered >> first_block["reqsk_timer_handler"] & 1
    assert repeated >> first_block["reqsk_timer_handler"] & 1


def test_each_program_tells_its_own(uml: UmlTarget, first_block: dict[str, int]) -> None:
    traces = uml.run_many([parse_program(text) for text in (SYN, UDP, SYN, UDP)])
    at = first_block["udp_sendmsg"]
    assert [reached(trace) >> at & 1 for trace in traces] == [0, 1, 0, 1]


def test_a_program_run_again_reaches_nothing_new(uml: UmlTarget) -> None:
    before = reached(run(uml, SYN)) | reached(run(uml, SYN))
    assert reached(run(uml, SYN)) & ~before == 0


def test_a_kernel_without_coverage_tells_none() -> None:
    reason = available()
    if reason is not None:
        pytest.skip(reason)
    with UmlTarget() as plain:
        assert reached(run(plain, UDP)) == 0
