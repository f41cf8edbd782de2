"""Weaves scripts, noise and pauses into a program."""

from __future__ import annotations

from fuzz import calls, packets, scenarios
from fuzz.chooser import Chooser, Weights
from fuzz.ethernet import arp, on_ethernet
from fuzz.model import Draft
from fuzz.profile import Profile
from stack_under_test.contract import abi
from stack_under_test.contract.program import Program
from stack_under_test.contract.values import Ref
from stack_under_test.contract.world import World

LONGEST = 60


class Grammar:
    """A profile made ready: `draw` makes a program out of a chooser's choices."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._openings = Weights(*[(weight, scenarios.SCENARIOS[name]) for name, weight in profile.scenarios])
        self._noise = Weights((3, _incoming), (3, _call), (2, _signal), (1, _peek_elsewhere))

    def draw(self, choose: Chooser) -> Program:
        """A program of at most LONGEST steps or so."""
        profile = self.profile
        draft = Draft(choose, profile)
        scripts = [choose.weighted(self._openings)(draft)]
        if choose.chance(profile.second):
            scripts.append(choose.weighted(self._openings)(draft))
        if choose.chance(profile.foreign):
            scripts.append(scenarios.foreign(draft))
        timed = choose.chance(profile.timed)
        forks = choose.chance(profile.forks)
        crafted = choose.chance(profile.crafted)
        ethernet = choose.chance(profile.ethernet)
        strange = ethernet and choose.chance(80)
        while scripts and len(draft.steps) < LONGEST:
            script = scripts[0] if len(scripts) == 1 else choose.choice(scripts)
            try:
                next(script)
            except StopIteration:
                scripts.remove(script)
            if choose.chance(profile.noise):
                choose.weighted(self._noise)(draft)
            if timed and choose.chance(12):
                draft.advance()
                timed = choose.chance(50)
            if forks and draft.endpoints and choose.chance(15):
                forks = False
                draft.fork()
            if ethernet and choose.chance(20):
                arp(draft)
            if crafted and choose.chance(15):
                crafted = False
                packets.crafted(draft)
        program = draft.program(self._world(choose))
        return on_ethernet(program, strange) if ethernet else program

    def _world(self, choose: Chooser) -> World:
        if choose.chance(self.profile.tuned) and self.profile.sysctls:
            return World(sysctls=(choose.choice(self.profile.sysctls),))
        return World()


def _incoming(draft: Draft) -> None:
    draft.choose.weighted(packets.INPUT)(draft)


def _call(draft: Draft) -> None:
    """Something else on any socket, in the forked process if there is one."""
    opened = draft.open()
    if not opened:
        return
    endpoint = draft.choose.choice(opened)
    if draft.forked is not None and draft.choose.chance(60):
        _in_child(draft, endpoint.fd)
    else:
        draft.choose.weighted(calls.CONNECTED if endpoint.carries() else calls.UNCONNECTED)(draft, endpoint)


def _in_child(draft: Draft, fd: Ref) -> None:
    task = draft.forked
    match draft.choose.integer(0, 3):
        case 0:
            draft.call("close", fd, task=task)
        case 1:
            draft.call("shutdown", fd, draft.choose.choice((0, 1, 2)), task=task)
        case 2:
            draft.call("fcntl", fd, abi.F_GETFL, 0, task=task)
        case _:
            draft.call("socket", abi.AF_INET, abi.SOCK_STREAM, 0, task=task)


def _signal(draft: Draft) -> None:
    """A signal to a task that waits, if any does."""
    waiting = [endpoint for endpoint in draft.endpoints if endpoint.waiter is not None]
    if not waiting:
        return
    endpoint = draft.choose.choice(waiting)
    assert endpoint.waiter is not None
    signo = draft.choose.choice((abi.SIGUSR1, abi.SIGUSR2))
    draft.signal(endpoint.waiter, signo)
    if signo == abi.SIGUSR1:
        draft.woken(endpoint)


def _peek_elsewhere(draft: Draft) -> None:
    """The peer talks on another connection than the one that is being told."""
    connections = draft.connections()
    if connections:
        endpoint = draft.choose.choice(connections)
        assert endpoint.flow is not None
        draft.acknowledge(endpoint.flow)
