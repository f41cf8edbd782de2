"""Shrinking, with predicates over a program's text in place of stacks: the shortest program is known."""

from __future__ import annotations

import re

from fuzz.generate import Generator
from fuzz.profile import Profile
from fuzz.rewrite import without
from fuzz.shrink import Diverges, shrink
from stack_under_test.contract.check import check_program
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.printer import print_program
from stack_under_test.contract.program import Call, Program

PASSIVE = Profile(scenarios=(("passive", 1),), timed=50, tuned=50)


def showing(pattern: str) -> Diverges:
    """Diverges as long as the text matches."""
    expression = re.compile(pattern, re.DOTALL)
    return lambda program: "shown" if expression.search(print_program(program)) else None


def shortened(text: str, pattern: str) -> str:
    return print_program(shrink(parse_program(text), showing(pattern))).rstrip()


def test_what_does_not_diverge_comes_back() -> None:
    program = Generator(1).program(1)
    assert shrink(program, lambda program: None) is program
    assert shrink(program, lambda program: "one", "another", budget=20) is program


def test_deletion_keeps_what_references_need() -> None:
    generator = Generator(4, PASSIVE)
    shown = showing(r"(r\d) = socket.*bind\(\1.*listen\(\1")
    for program in [generator.program(index) for index in range(10)]:
        short = shrink(program, shown)
        check_program(short)
        lines = print_program(short).split()
        assert [line.split("(")[0] for line in lines if "(" in line] == ["socket", "bind", "listen"]
        assert not short.world.sysctls


def test_a_dropped_duplicate_is_stood_in_for() -> None:
    text = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
r1 = dup(r0)
close(r0)
r2 = dup(r1)
setsockopt(r2, SOL_SOCKET, SO_REUSEADDR, [1], 4)
"""
    short = shortened(text, r"socket\(.*setsockopt\(r\d, SOL_SOCKET, SO_REUSEADDR, \[1\], 4")
    assert [line.split("(")[0] for line in short.splitlines()] == ["r0 = socket", "setsockopt"]


def test_sequence_numbers_close_up_over_octets_that_go() -> None:
    text = """\
< tcp 1 > 8080 P. seq peer+1 ack nxt+0 "abcde"
< tcp 1 > 8080 P. seq peer+6 ack nxt+0 "fghij"
< tcp 1 > 8080 F. seq peer+11 ack nxt+0
"""

    def in_order(program: Program) -> str | None:
        """The FIN comes right after some octets that start at peer+1."""
        at = 1
        for offset, octets in re.findall(r'seq peer\+(\d+) [^\n"]*(?:"(\w*)")?', print_program(program)):
            if int(offset) != at:
                return None
            at += len(octets)
        return "in order" if at > 1 and " F. " in print_program(program) else None

    short = print_program(shrink(parse_program(text), in_order))
    assert re.fullmatch(r'< tcp 1 > 8080 \. seq peer\+1 ack nxt\+0 "\w"\n< tcp 1 > 8080 F\. seq peer\+2 ack nxt\+0\n', short)


def test_arguments_get_simple() -> None:
    text = """\
r0 = socket(AF_INET, SOCK_DGRAM|SOCK_NONBLOCK, 0)
t1: sendto(r0, "ABCDEFGH", 8, MSG_NOSIGNAL|MSG_DONTWAIT, {AF_INET, 192.0.2.2, 7}, 16)
"""
    short = shortened(text, r"socket\(AF_INET, SOCK_DGRAM.*send(to)?\(r0, .")
    assert short == 'r0 = socket(AF_INET, SOCK_DGRAM, 0)\nsend(r0, "", 0, 0)'


def test_frames_get_plain() -> None:
    text = '< tcp 192.0.2.9:40 > 8080 P. seq peer+1 ack iss+7 win 5 <nop, TS val 9 ecr ts+0> "abcde" {ttl 3, csum 0x1}'
    assert shortened(text + "\n", r"> 8080") == "< tcp 40 > 8080 . seq peer+1 ack nxt+0"


def test_dependants_go_with_what_they_need() -> None:
    program = Generator(4, PASSIVE).program(0)
    first = next(index for index, step in enumerate(program.steps) if isinstance(step, Call) and step.sys == "socket")
    check_program(without(program, (first,)))


def test_a_budget_ends_the_search() -> None:
    asked: list[Program] = []

    def diverges(program: Program) -> str | None:
        asked.append(program)
        return "always" if len(program.steps) > 3 else None

    shrink(Generator(1, PASSIVE).program(2), diverges, "always", budget=25)
    assert len(asked) <= 25
