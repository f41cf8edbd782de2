"""The same story by fewer steps."""

from __future__ import annotations

from fuzz.recast import recast
from stack_under_test.contract.check import check_program
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.printer import print_program

SERVED = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
bind(r0, {AF_INET, 192.0.2.1, 8080}, 16)
listen(r0, 1)
< tcp 9 > 8080 S seq peer+0 <mss 1000>
< tcp 9 > 8080 . seq peer+1 ack iss+1
r1 = accept(r0, NULL, NULL)
< tcp 9 > 8080 P. seq peer+1 ack nxt+0 "abc"
recv(r1, &buf[3], 3, 0)
"""


def test_a_bound_port_becomes_one_that_is_chosen() -> None:
    first = print_program(next(recast(parse_program(SERVED))))
    assert "bind" not in first
    assert "8080" not in first
    assert "< tcp 9 > port(r0) S seq peer+0" in first


def test_an_accepted_connection_becomes_one_of_ours() -> None:
    stories = [print_program(program) for program in recast(parse_program(SERVED))]
    assert (
        """\
r0 = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)
connect(r0, {AF_INET, 192.0.2.2, 9}, 16)
< tcp 9 > port(r0) S. seq peer+0 ack iss+1 <mss 1000>
< tcp 9 > port(r0) P. seq peer+1 ack nxt+0 "abc"
recv(r0, &buf[3], 3, 0)
"""
        in stories
    )
    assert any("t1: connect(r0" in story and "SOCK_NONBLOCK" not in story for story in stories)


def test_every_story_can_be_run() -> None:
    for program in recast(parse_program(SERVED)):
        check_program(program)


def test_there_is_nothing_to_recast_in_a_client() -> None:
    assert not list(recast(parse_program("r0 = socket(AF_INET, SOCK_DGRAM, 0)\nconnect(r0, {AF_INET, 1.2.3.4, 5}, 16)\n")))
