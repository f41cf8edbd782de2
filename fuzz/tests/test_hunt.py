"""What a campaign does with one program."""

from __future__ import annotations

import pytest

from conformance.harness.divergence import Divergence
from conformance.harness.lockstep import Diverge
from fuzz.hunt import hung
from stack_under_test.contract.trace import Blocked, Killed, Outcome, StepTrace, Trace


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [(Killed("hang", ""), Blocked(), True), (Blocked(), Killed("hang", ""), True), (Killed("SIGSEGV", ""), Blocked(), False)],
)
def test_what_hangs_is_known(left: Outcome, right: Outcome, expected: bool) -> None:
    traces = [Trace((StepTrace(Blocked()), StepTrace(outcome))) for outcome in (left, right)]
    assert hung(Diverge(Divergence(1, "killed", "", "", "", ""), *traces)) is expected
    assert not hung(Diverge(Divergence(1, "killed", "", "", "", ""), Trace(()), Trace(())))
