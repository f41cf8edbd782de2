"""Programs on an Ethernet link: ARP, and a peer whose hardware address the stack has to find out.

The story stays what it is; who tells it is another station, of which the stack knows nothing, and it may answer or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from fuzz.arguments import ELSEWHERE, UNUSED
from fuzz.chooser import Weights
from fuzz.model import Draft
from stack_under_test.contract.frames import ArpFrame, Frame, IcmpMessage, RawFrame
from stack_under_test.contract.links import TAP
from stack_under_test.contract.program import Inject, Program, Step
from stack_under_test.contract.values import Inet
from stack_under_test.contract.world import PEER_IP, PEER_MAC, STACK_IP, STACK_MAC, World

STRANGER = UNUSED
"""A station on the link whose hardware address is not known beforehand."""
_MAC, _OTHER_MAC = bytes.fromhex("02000000bb01"), bytes.fromhex("02000000bb02")
_EVERYBODY = b"\xff" * 6
_ANY = bytes(4)


def _answer(draft: Draft) -> ArpFrame:
    return ArpFrame(2, STRANGER, _MAC, STACK_IP, STACK_MAC)


def _other_answer(draft: Draft) -> ArpFrame:
    return ArpFrame(2, STRANGER, _OTHER_MAC, STACK_IP, STACK_MAC)


def _question(draft: Draft) -> ArpFrame:
    return ArpFrame(1, STRANGER, draft.choose.choice((_MAC, _MAC, _OTHER_MAC)), STACK_IP)


def _announcement(draft: Draft) -> ArpFrame:
    """RFC 5227, 3."""
    mac = draft.choose.choice((_MAC, _OTHER_MAC))
    operation = draft.choose.choice((1, 2))
    return ArpFrame(operation, STRANGER, mac, STRANGER, draft.choose.choice((mac, bytes(6))), _EVERYBODY)


def _odd(draft: Draft) -> ArpFrame:
    """What is for others, from nobody, or no such thing."""
    choose = draft.choose
    sender = choose.choice((STRANGER, PEER_IP, _ANY, ELSEWHERE, STACK_IP))
    target = choose.choice((STACK_IP, STRANGER, ELSEWHERE, _ANY))
    to = choose.choice((None, STACK_MAC, _EVERYBODY, PEER_MAC))
    return ArpFrame(choose.choice((1, 2, 2, 3)), sender, _OTHER_MAC, target, bytes(6), to)


_ARP: Weights[Callable[[Draft], ArpFrame]] = Weights(
    (8, _answer), (3, _question), (2, _odd), (1, _announcement), (1, _other_answer)
)


def arp(draft: Draft) -> None:
    """An ARP message."""
    draft.inject(draft.choose.weighted(_ARP)(draft))


def on_ethernet(program: Program, strange: bool) -> Program:
    """The same on an Ethernet link; `strange`: told by `STRANGER` instead of the peer."""
    steps = tuple([_framed(_renamed(step) if strange else step) for step in program.steps])
    return Program(steps, World("tap", program.world.sysctls))


def _framed(step: Step) -> Step:
    """Octets that are a packet need a frame around them."""
    if isinstance(step, Inject) and isinstance(step.frame, RawFrame):
        return Inject(RawFrame(TAP.envelope(step.frame.octets)))
    return step


def _renamed(value: Any) -> Any:
    """`value` with the stranger's address wherever the peer's is meant."""
    if isinstance(value, Inet):
        return replace(value, addr=STRANGER) if value.addr == PEER_IP else value
    if isinstance(value, Frame):
        return _from_stranger(value)
    if isinstance(value, tuple):
        return tuple([_renamed(item) for item in value])
    if is_dataclass(value) and not isinstance(value, type):
        changes = {}
        for field in fields(value):
            old = getattr(value, field.name)
            new = _renamed(old)
            if new is not old and new != old:
                changes[field.name] = new
        return replace(value, **changes) if changes else value
    return value


def _from_stranger(frame: Frame, quoted: bool = False) -> Frame:
    """A quoted packet is the stack's, so there it is the destination."""
    ip, body = frame.ip, frame.body
    if quoted:
        ip = replace(ip, dst=_not_peer(ip.dst))
    else:
        ip = replace(ip, src=_not_peer(ip.src))
    if isinstance(body, IcmpMessage) and isinstance(body.body, Frame):
        body = replace(body, body=_from_stranger(body.body, not quoted))
    return Frame(body, ip)


def _not_peer(address: bytes | None) -> bytes:
    return STRANGER if address is None or address == PEER_IP else address
