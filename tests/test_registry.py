"""Targets by name and options."""

from __future__ import annotations

import pytest

from stack_under_test.contract.parser import parse_program
from stack_under_test.registry import BadTarget, kinds, open_target, why_unavailable


def test_ours_are_there() -> None:
    assert {"linux", "reference"} <= set(kinds())
    assert why_unavailable("reference") is None


def test_options_reach_the_target() -> None:
    program = parse_program("r0 = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)\nconnect(r0, {AF_INET, 192.0.2.2, 7}, 16)\n")
    traces = [open_target(spec).run(program) for spec in ("reference:seed=1", "reference:seed=1", "reference:seed=2")]
    assert traces[0] == traces[1]
    assert traces[0] != traces[2]


@pytest.mark.parametrize(
    "spec", ["", "vax", "reference:", "reference:seed", "reference:seed=x", "reference:=1", "reference:colour=red", "linux:a=b"]
)
def test_what_names_no_target_is_refused_in_one_line(spec: str) -> None:
    if spec == "reference:":
        open_target(spec).close()
        return
    with pytest.raises((BadTarget, ValueError)) as refused:
        open_target(spec)
    assert "\n" not in str(refused.value)
