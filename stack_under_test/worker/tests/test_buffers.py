"""What a kernel's answer says of its buffers."""

from __future__ import annotations

from stack_under_test.contract.trace import Returned, StepTrace, Trace
from stack_under_test.contract.world import SMALL_HEAD
from stack_under_test.worker import buffers


def _answer(*results: Returned) -> Trace:
    return Trace(tuple([StepTrace(result) for result in results]), "kernel")


def test_the_smallest_buffer_is_what_a_datagram_costs() -> None:
    answer = _answer(Returned(3), Returned(1), Returned(0, 0, (("arg2", (960).to_bytes(4, "little")),)))
    assert buffers.facts(answer) == ((SMALL_HEAD, "704"),)


def test_where_it_cannot_be_asked_nothing_is_said() -> None:
    assert buffers.facts(_answer(Returned(3), Returned(1), Returned(-1, 25))) == ()
    assert buffers.facts(_answer(Returned(3))) == ()
