"""The grammar's moves as rules of a Hypothesis state machine, on two targets at once.

For interactive use and for pytest: Hypothesis chooses which move comes next, and shrinks a failing sequence by rules
as well as by choices.  Targets that offer the stepwise form are compared after every rule; others run the whole program
when it has ended.  What fails is printed as a program.

```
class TestMine(socket_machine(ReferenceTarget(), MyTarget()).TestCase):
    settings = settings(max_examples=500, stateful_step_count=20)
```
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from conformance.harness.compare import NotModelled, compare
from conformance.harness.divergence import Divergence
from conformance.harness.lockstep import Diverge, Pair
from fuzz import calls, connections, ends, openings, packets, segments
from fuzz.chooser import RandomChooser
from fuzz.model import Draft, Endpoint
from fuzz.profile import DEFAULT, Profile
from stack_under_test.contract import abi
from stack_under_test.contract.printer import print_program
from stack_under_test.contract.program import Program
from stack_under_test.contract.target import Stepwise, Target
from stack_under_test.contract.trace import Killed, StepTrace, Trace, Unsupported
from stack_under_test.contract.world import World

CHOICES = st.randoms(use_true_random=False)
"""Choices that are drawn, and shrunk, as the grammar makes them."""


class SocketMachine(RuleBasedStateMachine):
    """`left` and `right` are shared by all runs; `socket_machine` makes a subclass that has them."""

    left: ClassVar[Target]
    right: ClassVar[Target]
    profile: ClassVar[Profile] = DEFAULT

    def __init__(self) -> None:
        super().__init__()
        self._draft: Draft | None = None
        self._sides: tuple[list[StepTrace], list[StepTrace]] = ([], [])
        self._over = False

    # --- rules

    @rule(choices=CHOICES)
    def server(self, choices: Random) -> None:
        """A listening socket."""
        self._tell(openings.listener(self._begin(choices)))

    @rule(choices=CHOICES)
    def datagram_socket(self, choices: Random) -> None:
        draft = self._begin(choices)
        openings.bind(draft, openings.socket(draft, abi.SOCK_DGRAM))
        self._tell(iter(()))

    @rule(choices=CHOICES)
    def client(self, choices: Random) -> None:
        """A connection from us, as far as its handshake goes."""
        draft = self._begin(choices)
        self._tell(connections.outgoing(draft))

    @precondition(lambda self: any(endpoint.listening for endpoint in self._open()))
    @rule(choices=CHOICES)
    def connection(self, choices: Random) -> None:
        """The peer connects, and is accepted."""
        draft = self._begin(choices)
        servers = [endpoint for endpoint in draft.open() if endpoint.listening]
        self._tell(connections.incoming_connection(draft, draft.choose.choice(servers)))

    @precondition(lambda self: any(endpoint.flow for endpoint in self._open()))
    @rule(choices=CHOICES)
    def peer_sends(self, choices: Random) -> None:
        draft = self._begin(choices)
        draft.choose.weighted(segments.ESTABLISHED)(draft, self._connected(draft))
        self._tell(iter(()))

    @precondition(lambda self: bool(self._open()))
    @rule(choices=CHOICES)
    def application_calls(self, choices: Random) -> None:
        draft = self._begin(choices)
        endpoint = draft.choose.choice(draft.open())
        draft.choose.weighted(calls.CONNECTED if endpoint.carries() else calls.UNCONNECTED)(draft, endpoint)
        self._tell(iter(()))

    @precondition(lambda self: any(endpoint.flow for endpoint in self._open()))
    @rule(choices=CHOICES)
    def connection_ends(self, choices: Random) -> None:
        draft = self._begin(choices)
        self._tell(ends.end(draft, self._connected(draft)))

    @rule(choices=CHOICES)
    def stray_packet(self, choices: Random) -> None:
        draft = self._begin(choices)
        draft.choose.weighted(packets.INPUT)(draft)
        self._tell(iter(()))

    @precondition(lambda self: self.profile.timed > 0 and self._draft is not None)
    @rule(choices=CHOICES)
    def time_passes(self, choices: Random) -> None:
        self._begin(choices).advance()
        self._tell(iter(()))

    # --- what the rules share

    def _begin(self, choices: Random) -> Draft:
        chooser = RandomChooser(choices)
        if self._draft is None:
            self._draft = Draft(chooser, self.profile)
        self._draft.choose = chooser
        return self._draft

    def _open(self) -> list[Endpoint]:
        return self._draft.open() if self._draft is not None else []

    def _connected(self, draft: Draft) -> Endpoint:
        return draft.choose.choice([endpoint for endpoint in draft.open() if endpoint.flow is not None])

    def _tell(self, script: Iterator[object]) -> None:
        """Draw the script to its end, then carry out what is new and compare."""
        for _ in script:
            pass
        assert self._draft is not None
        program = self._draft.program(World())
        if self._over or not (isinstance(self.left, Stepwise) and isinstance(self.right, Stepwise)):
            return
        for target, side in zip((self.left, self.right), self._sides, strict=True):
            if not side:
                target.begin(program.world)
            for step in program.steps[len(side) :]:
                side.append(target.step(step))
                if isinstance(side[-1].outcome, Killed | Unsupported):
                    self._over = True
                    break
        self._compare(program)

    def _compare(self, program: Program) -> None:
        left, right = (Trace(tuple(side)) for side in self._sides)
        found = compare(program, left, right, self.left.traits, self.right.traits)
        if isinstance(found, Divergence):
            _fail(program, found)
        self._over |= isinstance(found, NotModelled)

    def teardown(self) -> None:
        """Targets that only run whole programs are compared here."""
        if self._draft is None or self._sides[0]:
            return
        program = self._draft.program(World())
        result = Pair(self.left, self.right).run(program)
        if isinstance(result, Diverge):
            _fail(program, result.divergence)


def _fail(program: Program, divergence: Divergence) -> None:
    """What comes after the first difference is left out."""
    shown = Program(program.steps[: divergence.step + 1], program.world)
    raise AssertionError(f"{divergence.summary}\nat the last step of\n{print_program(shown)}")


def socket_machine(left: Target, right: Target, profile: Profile = DEFAULT) -> type[SocketMachine]:
    """A state machine over these targets; the caller closes them."""
    return type("SocketMachineOfTwo", (SocketMachine,), {"left": left, "right": right, "profile": profile})
