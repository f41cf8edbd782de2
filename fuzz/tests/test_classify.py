"""What a program reached: by hand-written programs, and the shares that generated ones have to have."""

from __future__ import annotations

import pytest

from fuzz.classify import Reached, classify
from fuzz.generate import Generator
from fuzz.totals import Totals, from_json
from stack_under_test.contract.parser import parse_program
from stack_under_test.reference.target import ReferenceTarget

OPENED = """\
r0 = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)
connect(r0, {AF_INET, 192.0.2.2, 7}, 16)
< tcp 7 > port(r0) S. seq peer+0 ack iss+1
"""
SHUT = "shutdown(r0, SHUT_WR)\n"
PEER_FIN = "< tcp 7 > port(r0) F. seq peer+1 ack nxt+0\n"
SERVED = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
bind(r0, {AF_INET, 192.0.2.1, 8080}, 16)
listen(r0, 1)
< tcp 9 > 8080 S seq peer+0
< tcp 9 > 8080 . seq peer+1 ack iss+1
"""


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("r0 = socket(AF_INET, SOCK_STREAM, 0)\nlisten(r0, 1)\n", Reached()),
        ("close(-1)\n", Reached(met_error=True)),
        ("r0 = socket(AF_INET, SOCK_DGRAM|SOCK_NONBLOCK, 0)\nrecv(r0, &buf[1], 1, 0)\n", Reached()),
        (OPENED, Reached(established=True)),
        (OPENED + 'send(r0, "a", 1, 0)\n', Reached(established=True, moved_data=True)),
        (OPENED + "close(r0)\n", Reached(established=True)),
        (OPENED + SHUT + PEER_FIN, Reached(established=True, closed_in_order=True)),
        (OPENED + PEER_FIN + "close(r0)\n", Reached(established=True, closed_in_order=True)),
        (OPENED + PEER_FIN, Reached(established=True)),
        (SERVED, Reached()),
        (SERVED + "accept(r0, NULL, NULL)\n", Reached(established=True)),
        ("t1: " + SERVED.replace("< tcp 9", "t1: accept(r0, NULL, NULL)\n< tcp 9", 1), Reached(established=True)),
    ],
)
def test_what_a_program_reached(text: str, reached: Reached) -> None:
    target = ReferenceTarget()
    program = parse_program(text)
    assert classify(program, target.run(program)) == reached


def test_generated_programs_reach_each_class_often_enough() -> None:
    target, generator, totals = ReferenceTarget(), Generator(11), Totals()
    for number in range(600):
        program = generator.program(number)
        totals.programs += 1
        totals.reached(classify(program, target.run(program)))
    assert all(share >= 20 for share in totals.shares().values()), totals.shares()


def test_totals_add_up_and_go_through_json() -> None:
    totals, more = Totals(programs=3, agree=2, late=1), Totals(programs=1, lost=1)
    totals.add(more)
    assert (totals.programs, totals.agree, totals.lost) == (4, 2, 1)
    totals.reasons["right, raw sockets"] += 2
    assert from_json(totals.as_json()) == totals
    assert from_json({"programs": 4, "of another version": 9}) == Totals(programs=4)
