"""What is explained by a release, and what must not be."""

from __future__ import annotations

from dataclasses import fields, replace
from errno import EPERM

import pytest

from conformance.harness.divergence import Divergence
from conformance.harness.lockstep import Diverge, Pair
from conformance.releases import ByChance, Explained, Unexplained, Verdict, between, sentences
from conformance.tests.kernels import NEWER, OLDER, Posing, failing, silent, sound
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Program
from stack_under_test.contract.trace import Trace
from stack_under_test.reference.release import LINUX_6_12, LINUX_6_18, Release
from stack_under_test.reference.target import ReferenceTarget

OPTION = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
setsockopt(r0, SOL_SOCKET, SO_PASSCRED, [1], 4)
"""
THREE_AT_ONCE = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
connect(r0, {AF_INET, 192.0.2.2, 40002}, 16)
< tcp 40002 > port(r0) S. seq peer+0 ack nxt+0 <mss 100>
< tcp 40002 > port(r0) . seq peer+1 ack nxt+0 "a"*134
< tcp 40002 > port(r0) F.E seq peer+3352 ack nxt+0 "j" {tos 3}
getsockopt(r0, SOL_TCP, TCP_INFO, &buf[280], &[280])
"""
PAUSE = """\
r0 = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)
connect(r0, {AF_INET, 192.0.2.2, 40002}, 16)
< tcp 40002 > port(r0) S. seq peer+0 ack nxt+0
setsockopt(r0, SOL_TCP, TCP_QUICKACK, [0], 4)
< tcp 40002 > port(r0) . seq peer+1 ack nxt+0 "a"
advance 45ms
"""


def found(pair: Pair, program: Program) -> Diverge:
    result = pair.run(program)
    assert isinstance(result, Diverge)
    return result


def claimed(pair: Pair, program: Program, step: int) -> Diverge:
    """A difference at that step, whatever the kernels really do."""
    return Diverge(Divergence(step, "frames.extra", "", "", "", ""), pair.left.run(program), pair.right.run(program))


def explained(pair: Pair, text: str) -> Verdict:
    releases, program = between(pair), parse_program(text)
    assert releases is not None
    return releases.explain(program, found(pair, program))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (OPTION, "scm_options_everywhere"),
        ("r0 = socket(AF_INET, SOCK_DGRAM, 0)\nsetsockopt(r0, SOL_SOCKET, SO_TXREHASH, [1], 4)\n", "txrehash_everywhere"),
        ("epoll_wait(99, NULL, 0, 0)\n", "epoll_looks_up_first"),
    ],
)
def test_one_field_explains_a_difference(text: str, named: str) -> None:
    assert explained(Pair(Posing(NEWER), Posing(OLDER)), text) == Explained((named,))
    assert explained(Pair(Posing(OLDER), Posing(NEWER)), text) == Explained((named,))


def test_a_difference_of_several_fields_is_explained_by_all_of_them_and_no_other() -> None:
    named = ("clamp_moves_threshold", "sees_ecn_unasked", "tcp_info_size")
    assert explained(Pair(Posing(NEWER), Posing(OLDER)), THREE_AT_ONCE) == Explained(named)


def test_what_differs_after_the_difference_needs_no_explanation_by_it() -> None:
    more = OPTION + "setsockopt(r0, SOL_TCP, TCP_TX_DELAY, [-1], 4)\n"
    assert explained(Pair(Posing(NEWER), Posing(OLDER)), more) == Explained(("scm_options_everywhere",))


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_kernel_that_is_not_like_its_release_is_not_explained(side: str) -> None:
    """The planted error makes the very call fail that the releases treat differently, or one before it."""
    for wrong in (failing("setsockopt", EPERM), failing("socket", EPERM)):
        kernels = Posing(NEWER, wrong if side == "left" else sound), Posing(OLDER, wrong if side == "right" else sound)
        judged = explained(Pair(*kernels), OPTION)
        assert isinstance(judged, Unexplained)
        assert judged.reason.startswith(f"the {side} kernel and the reference like it: diverge at step")
        assert judged.unmodelled is None


def test_what_both_kernels_do_otherwise_is_no_explanation() -> None:
    wrong = failing("listen", EPERM)
    judged = explained(
        Pair(Posing(NEWER, wrong), Posing(OLDER, wrong)), OPTION.replace("setsockopt", "listen(r0, 1)\nsetsockopt")
    )
    assert isinstance(judged, Unexplained)
    assert "listen" in judged.reason


def test_another_difference_than_the_one_found_is_no_explanation() -> None:
    pair = Pair(Posing(NEWER), Posing(OLDER))
    releases, program = between(pair), parse_program(OPTION)
    assert releases is not None
    result = found(pair, program)
    other = replace(result, divergence=replace(result.divergence, kind="outcome.value"))
    assert releases.explain(program, other) == Unexplained("the references like either kernel do not differ in this way")


def test_fields_hold_or_do_not() -> None:
    pair = Pair(Posing(NEWER), Posing(OLDER))
    releases, program = between(pair), parse_program(OPTION)
    assert releases is not None
    difference = found(pair, program)
    assert releases.holds(program, difference, ("scm_options_everywhere",))
    assert not releases.holds(program, difference, ("checks_end",))
    assert not releases.holds(program, difference, ())
    pair = Pair(Posing(NEWER), Posing(OLDER, failing("setsockopt", EPERM)))
    wrong = between(pair)
    assert wrong is not None
    assert not wrong.holds(program, found(pair, program), ("scm_options_everywhere",))


def test_what_is_not_modelled_is_not_explained() -> None:
    judged = explained(Pair(Posing(NEWER), Posing(OLDER)), OPTION + "socket(AF_INET6, SOCK_STREAM, 0)\n")
    assert judged == Explained(("scm_options_everywhere",)), "it comes later"
    pair = Pair(Posing(NEWER), Posing(OLDER))
    releases = between(pair)
    assert releases is not None
    program = parse_program("socket(AF_INET6, SOCK_STREAM, 0)\n" + OPTION)
    before = releases.explain(program, claimed(pair, program, 2))
    assert isinstance(before, Unexplained)
    assert before.unmodelled == 0


def test_a_kernel_that_is_late_by_now_is_judged_by_the_run_that_was_not() -> None:
    pair = Pair(Posing(NEWER, virtual_time=False), Posing(OLDER))
    releases, program = between(pair), parse_program(OPTION)
    assert releases is not None
    result = found(pair, program)
    pair.left.run = lambda program: Trace(())  # type: ignore[method-assign]
    assert releases.explain(program, result) == Explained(("scm_options_everywhere",))


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_reference_tells_what_is_up_to_chance(side: str) -> None:
    """A delayed acknowledgement falls due just before the end of the pause; a kernel may be a tick late with it."""
    late = Posing(NEWER if side == "left" else OLDER, silent, virtual_time=False)
    pair = Pair(late, Posing(OLDER)) if side == "left" else Pair(Posing(NEWER), late)
    releases, program = between(pair), parse_program(PAUSE)
    assert releases is not None
    assert releases.explain(program, claimed(pair, program, 5)) == ByChance(5)
    early = releases.explain(program, claimed(pair, program, 4))
    assert isinstance(early, Unexplained)
    wrong = Posing(OLDER if side == "left" else NEWER, failing("connect", EPERM))
    pair = Pair(late, wrong) if side == "left" else Pair(wrong, late)
    both = between(pair)
    assert both is not None
    assert isinstance(both.explain(program, claimed(pair, program, 5)), Unexplained)


def test_only_two_linuxes_of_different_releases_have_anything_to_explain() -> None:
    assert between(Pair(Posing(NEWER), Posing("6.18.1"))) is None
    assert between(Pair(Posing(NEWER), ReferenceTarget())) is None
    assert between(Pair(ReferenceTarget(), Posing(OLDER))) is None
    releases = between(Pair(Posing(NEWER), Posing(NEWER, machine="um")))
    assert releases is not None
    assert releases.differing == ("compat", "sums_all_ones", "ip_align")


def test_every_field_in_which_releases_differ_has_a_sentence() -> None:
    differing = tuple(item.name for item in fields(Release) if getattr(LINUX_6_12, item.name) != getattr(LINUX_6_18, item.name))
    for name, about in sentences((*differing[2:], "compat", "sums_all_ones")):
        assert about.endswith("."), name
    assert dict(sentences(("hz", "tcp_info_size"))) == {
        "hz": "",
        "tcp_info_size": "`struct tcp_info`'s length; the last 32 octets are about Accurate ECN.",
    }
