"""Programs are made less until the reference can judge them, and every finding keeps the cause it was met with."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from errno import EPERM

import pytest

from conformance.harness.lockstep import Diverge, Flaky, Pair, Result
from conformance.harness.record import Finding
from conformance.tests.kernels import NEWER, OLDER, Alter, Posing, failing, sound
from fuzz.explain import Explainer, Judged
from fuzz.hunt import Hunt
from fuzz.rewrite import without
from fuzz.totals import Totals
from stack_under_test.contract.abi import AF_INET, AF_INET6, TCP_NODELAY, TCP_SAVE_SYN
from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.program import Call, Program, Step
from stack_under_test.contract.trace import Trace
from stack_under_test.reference.target import ReferenceTarget

OPTION = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
setsockopt(r0, SOL_SOCKET, SO_PASSCRED, [1], 4)
"""
OTHERWISE = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
listen(r0, 1)
getsockname(r0, &addr[16], &[16])
setsockopt(r0, SOL_SOCKET, SO_PASSCRED, [1], 4)
"""
ASKS = "setsockopt(r0, SOL_SOCKET, SO_PASSCRED, [1], 4)\n"
SIX = "r9 = socket(AF_INET6, SOCK_STREAM, 0)\nlisten(r9, 1)\n"
OPEN = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
connect(r0, {AF_INET, 192.0.2.2, 40002}, 16)
< tcp 40002 > port(r0) S. seq peer+0 ack nxt+0 <TS val 1000 ecr ts+0>
"""
PREDICTED = OPEN + "< tcp 40002 > port(r0) . seq peer+1 ack nxt-2 <nop, nop, TS val 1001 ecr ts+0>\n"
KEPT = (
    OPEN
    + """\
shutdown(r0, SHUT_WR)
< tcp 40002 > port(r0) . seq peer+1 ack nxt+0
< tcp 40002 > port(r0) . seq peer+1 ack iss+1 <TS val 1005 ecr ts+0>
< tcp 40002 > port(r0) . seq peer+1 ack iss+525
"""
)
SAVING = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
setsockopt(r0, SOL_TCP, TCP_SAVE_SYN, [1], 4)
listen(r0, 1)
< tcp 40002 > port(r0) S seq peer+0
< tcp 40002 > port(r0) . seq peer+1 ack iss+1
r1 = accept(r0, NULL, NULL)
setsockopt(r1, SOL_SOCKET, SO_PASSCRED, [1], 4)
"""
NAMED = ("scm_options_everywhere",)


def kernels(left: Alter = sound, right: Alter = sound) -> Pair:
    return Pair(Posing(NEWER, left), Posing(OLDER, right))


class Capable(Posing):
    """A kernel that has AF_INET6 and TCP_SAVE_SYN as well, which the reference does not model; `wrong` is what goes wrong
    then."""

    def __init__(self, release: str, wrong: Alter = sound) -> None:
        super().__init__(release)
        self._wrong = wrong

    def run(self, program: Program) -> Trace:
        modelled = replace(program, steps=tuple([_modelled(step) for step in program.steps]))
        trace = super().run(modelled)
        if modelled == program:
            return trace
        return replace(trace, steps=tuple([self._wrong(*pair) for pair in zip(modelled.steps, trace.steps, strict=False)]))


def _modelled(step: Step) -> Step:
    if isinstance(step, Call) and step.sys == "socket" and step.args[0] == AF_INET6:
        return replace(step, args=(AF_INET, *step.args[1:]))
    if isinstance(step, Call) and step.sys == "setsockopt" and step.args[2] == TCP_SAVE_SYN:
        return replace(step, args=(*step.args[:2], TCP_NODELAY, *step.args[3:]))
    return step


def shown(pair: Pair, program: Program) -> Diverge:
    result = pair.run(program)
    assert isinstance(result, Diverge)
    return result


def judged(pair: Pair, text: str) -> Judged:
    program = parse_program(text)
    return Explainer(pair).judge(program, shown(pair, program))


def test_a_program_is_judged_whole() -> None:
    assert judged(kernels(), OPTION) == Judged(NAMED, parse_program(OPTION))


def test_what_follows_the_difference_is_another_matter() -> None:
    late = OPTION + "listen(r0, 1)\n"
    assert judged(kernels(failing("listen", EPERM)), late) == Judged(NAMED, parse_program(OPTION))


def test_what_precedes_it_is_not() -> None:
    wrong = failing("listen", EPERM)
    for pair in (kernels(wrong, wrong), kernels(right=failing("setsockopt", EPERM))):
        result = judged(pair, OTHERWISE)
        assert result.fields == ()
        assert result.program == parse_program(OTHERWISE)
        assert "the reference like it: diverge at step" in result.reason


def test_steps_that_are_not_modelled_are_left_out() -> None:
    pair = Pair(Capable(NEWER), Capable(OLDER))
    assert judged(pair, SIX + OPTION) == Judged(NAMED, parse_program(OPTION))
    assert judged(pair, OPTION + SIX) == Judged(NAMED, parse_program(OPTION + SIX))


def test_what_shows_later_that_it_is_not_modelled_is_left_out() -> None:
    """The reference takes TCP_SAVE_SYN, and says that it does not model it when there is a SYN to save."""
    saving = parse_program(SAVING)
    plain = without(saving, {1})
    assert judged(Pair(Capable(NEWER), Capable(OLDER)), SAVING) == Judged(NAMED, plain)


def test_an_ordinary_socket_stands_in_for_one_that_is_not_modelled() -> None:
    six = OPTION.replace("AF_INET", "AF_INET6")
    assert judged(Pair(Capable(NEWER), Capable(OLDER)), six) == Judged(NAMED, parse_program(OPTION))


def test_a_difference_that_an_ordinary_socket_does_not_show_is_not_explained() -> None:
    program = parse_program("r0 = socket(AF_INET6, SOCK_STREAM, 0)\nlisten(r0, 1)\n")
    pair = Pair(Capable(NEWER), Capable(OLDER, failing("listen", EPERM)))
    result = Explainer(pair).judge(program, shown(pair, program))
    assert (result.fields, result.program) == ((), program)
    assert result.reason.startswith("not modelled is step 1")


def test_other_pairs_are_left_alone() -> None:
    pair = Pair(ReferenceTarget(), Posing(NEWER, failing("listen", EPERM)))
    assert judged(pair, OTHERWISE) == Judged((), parse_program(OTHERWISE))


class Seldom(Posing):
    """A kernel that does as its release but for the first runs, of which there are `wrong`."""

    def __init__(self, release: str, wrong: int) -> None:
        super().__init__(release)
        self._bad, self._left = Posing(release, failing("listen", EPERM)), wrong

    def run(self, program: Program) -> Trace:
        self._left -= 1
        return self._bad.run(program) if self._left >= 0 else super().run(program)


@pytest.mark.parametrize(("wrong", "result"), [(2, Flaky), (8, Flaky), (1000, Diverge)])
def test_what_nothing_explains_has_to_come_again_more_often(wrong: int, result: type[Result]) -> None:
    program = parse_program("r0 = socket(AF_INET, SOCK_STREAM, 0)\nlisten(r0, 1)\n")
    assert isinstance(Explainer(Pair(Seldom(NEWER, wrong), Posing(OLDER))).run(program)[0], result)


class Heard:
    """Listens like a campaign; wants everything shrunk."""

    def __init__(self) -> None:
        self.findings: dict[str, list[Finding]] = {}

    def found(self, found: Finding) -> bool:
        self.findings.setdefault(found.key, []).append(found)
        return True

    def shrunk(self, found: Finding) -> None:
        self.findings[found.key].append(found)

    def check(self) -> None:
        pass


def hunted(pair: Pair, *texts: str) -> tuple[Heard, Totals, Counter[str]]:
    heard, programs = Heard(), [parse_program(text) for text in texts]
    totals, occurrences = Hunt(pair, programs.__getitem__, heard).run(range(len(programs)))
    return heard, totals, occurrences


def test_an_unexplained_occurrence_of_an_explained_kind_is_a_finding_of_its_own() -> None:
    """Both kernels are wrong about listen(), after which the same difference proves nothing."""
    wrong = failing("listen", EPERM)
    heard, totals, occurrences = hunted(kernels(wrong, wrong), OPTION, OTHERWISE, OPTION + "listen(r0, 1)\n")
    assert (totals.diverge, totals.explained, totals.explained_in_part) == (3, 2, 1)
    (explained, *_), (unexplained, *_) = heard.findings.values()
    assert explained.fingerprint == unexplained.fingerprint
    assert occurrences == {explained.key: 2, unexplained.key: 1}
    assert [name for name, _ in explained.explained] == list(NAMED)
    assert (unexplained.explained, unexplained.number) == ((), 1)


def test_shrinking_does_not_slip_from_one_cause_into_another() -> None:
    wrong = failing("listen", EPERM)
    heard, _, _ = hunted(kernels(wrong, wrong), OTHERWISE, "r0 = socket(AF_INET, SOCK_DGRAM, 0)\ndup(r0)\n" + ASKS)
    short = {key: found[-1].program for key, found in heard.findings.items()}
    unexplained, explained = short.values()
    assert "listen" in unexplained
    assert "getsockname" not in unexplained
    assert "dup" not in explained


def test_what_one_fingerprint_hides_is_told_apart_by_cause() -> None:
    heard, _, occurrences = hunted(kernels(), PREDICTED, KEPT)
    assert len({found[-1].fingerprint for found in heard.findings.values()}) == 1
    assert sorted(key.partition("+")[2] for key in occurrences) == ["old_ack_keeps_timestamp", "predicts_old_acks"]
