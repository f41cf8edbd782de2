"""Stacks with one bug each: the reference stack, its trace altered the way the bug would.

A bug comes with the shortest program that we can write by hand for it, so that shrinking has something to measure
itself against.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from errno import EADDRINUSE, EADDRNOTAVAIL

from stack_under_test.contract.abi import POLLIN
from stack_under_test.contract.program import Call, Program, Step
from stack_under_test.contract.target import Target, Traits
from stack_under_test.contract.trace import Completion, Event, FrameOut, Returned, StepTrace, Trace
from stack_under_test.wire import ipv4, tcp

Alter = Callable[[Step, StepTrace], StepTrace]


@dataclass(frozen=True, slots=True)
class Bug:
    """`alter` changes what a step of the sound stack shows; `shortest` is a program that shows the bug."""

    name: str
    alter: Alter
    shortest: str


class Planted:
    """A target with a bug."""

    def __init__(self, sound: Target, bug: Bug) -> None:
        self._sound = sound
        self._bug = bug

    @property
    def traits(self) -> Traits:
        return replace(self._sound.traits, name=f"planted: {self._bug.name}")

    def run(self, program: Program) -> Trace:
        trace = self._sound.run(program)
        steps = [self._bug.alter(*pair) for pair in zip(program.steps, trace.steps, strict=False)]
        return replace(trace, steps=tuple(steps))

    def close(self) -> None:
        self._sound.close()


def _called(step: Step, *names: str) -> bool:
    return isinstance(step, Call) and step.sys in names


def _bind_errno(step: Step, shown: StepTrace) -> StepTrace:
    outcome = shown.outcome
    if _called(step, "bind") and isinstance(outcome, Returned) and outcome.errno == EADDRINUSE:
        return replace(shown, outcome=replace(outcome, errno=EADDRNOTAVAIL))
    return shown


def _ack_number(step: Step, shown: StepTrace) -> StepTrace:
    return replace(shown, events=tuple([_acknowledging_more(event) for event in shown.events]))


def _acknowledging_more(event: Event) -> Event:
    """A pure acknowledgement of one octet too many, its checksum correct."""
    segment = _segment(event)
    if segment is None or segment.flags != tcp.ACK or segment.payload:
        return event
    assert isinstance(event, FrameOut)
    octets = event.octets
    source, destination, start = octets[12:16], octets[16:20], (octets[0] & 15) * 4
    wrong = segment._replace(ack=(segment.ack + 1) & 0xFFFF_FFFF, checksum=None)
    return replace(event, octets=octets[:start] + tcp.write(wrong, source, destination))


def _segment(event: Event) -> tcp.Tcp | None:
    if not isinstance(event, FrameOut):
        return None
    packet = ipv4.read(event.octets)
    if packet is None or packet.protocol != tcp.PROTOCOL or packet.fragment_offset:
        return None
    return tcp.read(packet.payload)


def _poll_readable(step: Step, shown: StepTrace) -> StepTrace:
    """POLLIN is never reported; what poll returns counts what is left."""
    outcome = shown.outcome
    if not _called(step, "poll") or not isinstance(outcome, Returned) or outcome.value <= 0:
        return shown
    outs, ready = [], outcome.value
    for path, octets in outcome.outs:
        entries = [struct.unpack_from("<iHH", octets, at) for at in range(0, len(octets) - 7, 8)]
        kept = [(fd, events, revents & ~POLLIN) for fd, events, revents in entries]
        ready = sum(bool(revents) for _, _, revents in kept)
        outs.append((path, b"".join([struct.pack("<iHH", *entry) for entry in kept])))
    return replace(shown, outcome=replace(outcome, value=ready, outs=tuple(outs)))


def _lost_fin(step: Step, shown: StepTrace) -> StepTrace:
    kept = [event for event in shown.events if not ((segment := _segment(event)) and segment.flags & tcp.FIN)]
    return replace(shown, events=tuple(kept))


def _accept_sleeps_on(step: Step, shown: StepTrace) -> StepTrace:
    kept = [event for event in shown.events if not (isinstance(event, Completion) and event.outcome.value > 0)]
    return replace(shown, events=tuple(kept))


BUGS = (
    Bug(
        "bind says EADDRNOTAVAIL where the address is in use",
        _bind_errno,
        """\
r0 = socket(AF_INET, SOCK_DGRAM, 0)
bind(r0, {AF_INET, 192.0.2.1, 8080}, 16)
r1 = socket(AF_INET, SOCK_DGRAM, 0)
bind(r1, {AF_INET, 192.0.2.1, 8080}, 16)
""",
    ),
    Bug(
        "an acknowledgement number off by one",
        _ack_number,
        """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
connect(r0, {AF_INET, 192.0.2.2, 7}, 16)
< tcp 7 > port(r0) S. seq peer+0 ack iss+1
""",
    ),
    Bug(
        "poll never says that there is something to read",
        _poll_readable,
        """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
shutdown(r0, SHUT_RD)
poll([{r0, POLLIN}], 1, 0)
""",
    ),
    Bug(
        "the FIN is never sent",
        _lost_fin,
        """\
r0 = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0)
connect(r0, {AF_INET, 192.0.2.2, 7}, 16)
< tcp 7 > port(r0) S. seq peer+0 ack iss+1
close(r0)
""",
    ),
    Bug(
        "a call that waits for something is not woken",
        _accept_sleeps_on,
        """\
r0 = socket(AF_INET, SOCK_DGRAM, 0)
bind(r0, {AF_INET, 192.0.2.1, 8080}, 16)
t1: recv(r0, &buf[1], 1, 0)
< udp 9 > 8080 "a"
""",
    ),
)
