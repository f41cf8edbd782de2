"""The same conversation by fewer steps: what deletion cannot reach, since several steps must change at once.

A bound port becomes whatever port the stack chooses; a connection that the peer opened and a server accepted becomes
one that the stack opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fuzz.rewrite import redirected, without
from stack_under_test.contract import abi
from stack_under_test.contract.frames import Frame, IcmpMessage, Rel, TcpSegment, UdpDatagram
from stack_under_test.contract.memory import MAX_TASKS
from stack_under_test.contract.program import Call, Inject, Program, Step
from stack_under_test.contract.values import Inet, Port, PortOf, Ref
from stack_under_test.contract.world import PEER_IP
from stack_under_test.wire.tcp import ACK, PSH, SYN


def recast(program: Program) -> Iterator[Program]:
    """Shorter programs that tell the same story, if there are any."""
    for index, step in enumerate(program.steps):
        if not isinstance(step, Call) or not step.args or not isinstance(step.args[0], Ref):
            continue
        if step.sys == "bind" and isinstance(step.args[1], Inet) and isinstance(step.args[1].port, int):
            yield _unbound(program, index, step.args[0], step.args[1].port)
        elif step.sys in ("accept", "accept4"):
            spare = _spare_task(program)
            for waits in (False, True) if spare is not None else (False,):
                opened = _opened_by_us(program, index, step.args[0], spare if waits else None)
                if opened is not None:
                    yield opened


def _unbound(program: Program, index: int, socket: Ref, port: int) -> Program:
    """Less the bind at `index`; frames and addresses that named its port name the socket's, wherever it is known."""
    steps = [
        step if at < index else _with_port(step, port, PortOf(socket), range(socket.step + 1, at))
        for at, step in enumerate(program.steps)
    ]
    return without(Program(tuple(steps), program.world), (index,))


def _with_port(step: Step, old: int, new: Port, known: range) -> Step:
    if not known:
        return step
    if isinstance(step, Call):
        args = [replace(arg, port=new) if isinstance(arg, Inet) and arg.port == old else arg for arg in step.args]
        return replace(step, args=tuple(args))
    if isinstance(step, Inject) and isinstance(step.frame, Frame):
        return Inject(_frame_with_port(step.frame, old, new))
    return step


def _frame_with_port(frame: Frame, old: int, new: Port) -> Frame:
    body = frame.body
    if isinstance(body, TcpSegment | UdpDatagram):
        sport = new if body.sport == old else body.sport
        dport = new if body.dport == old else body.dport
        return replace(frame, body=replace(body, sport=sport, dport=dport))
    if isinstance(body, IcmpMessage) and isinstance(body.body, Frame):
        return replace(frame, body=replace(body, body=_frame_with_port(body.body, old, new)))
    return frame


def _spare_task(program: Program) -> int | None:
    used = {getattr(step, "task", 0) for step in program.steps}
    return next((task for task in range(1, MAX_TASKS) if task not in used), None)


def _opened_by_us(program: Program, accepted: int, listener: Ref, task: int | None) -> Program | None:
    """connect instead of bind, listen, SYN, ACK and accept: the SYN-ACK stands where the peer's ACK stood.

    The socket is made non-blocking, unless there is a `task` to wait in connect.
    """
    made = program.steps[listener.step]
    arrivals = [
        (at, segment)
        for at, step in enumerate(program.steps)
        if (segment := _segment(step)) is not None and segment.flags & (SYN | ACK) == SYN
    ]
    if not arrivals or not isinstance(made, Call) or made.sys != "socket" or not isinstance(made.args[1], int):
        return None
    syn_at, syn = arrivals[0]
    answers = [
        at
        for at in range(syn_at + 1, len(program.steps))
        if (segment := _segment(program.steps[at])) is not None and segment.sport == syn.sport and segment.flags & ~PSH == ACK
    ]
    if not answers or isinstance(syn.sport, PortOf):
        return None
    steps = list(program.steps)
    if task is None:
        steps[listener.step] = replace(made, args=(made.args[0], made.args[1] | abi.SOCK_NONBLOCK, *made.args[2:]))
    steps[syn_at] = Call("connect", (listener, Inet(PEER_IP, syn.sport), 16), task or 0)
    answer = steps[answers[0]]
    assert isinstance(answer, Inject)
    assert isinstance(answer.frame, Frame)
    syn_ack = replace(syn, flags=SYN | ACK, ack=Rel("iss", 1))
    steps[answers[0]] = Inject(replace(answer.frame, body=syn_ack))
    dropped = {accepted} | {at for at, step in enumerate(steps) if _serves(step, listener)}
    renamed = [
        _renamed(step, accepted, listener, syn, PortOf(listener)) if at > syn_at else step for at, step in enumerate(steps)
    ]
    return without(Program(tuple(renamed), program.world), dropped)


def _segment(step: Step) -> TcpSegment | None:
    if isinstance(step, Inject) and isinstance(step.frame, Frame) and isinstance(step.frame.body, TcpSegment):
        return step.frame.body
    return None


def _serves(step: Step, listener: Ref) -> bool:
    return isinstance(step, Call) and step.sys in ("bind", "listen") and step.args[0] == listener


def _renamed(step: Step, accepted: int, listener: Ref, syn: TcpSegment, port: PortOf) -> Step:
    """The accepted socket is the listener's now, and its port the one that was chosen for it."""
    step = redirected(step, lambda ref: listener if ref.step == accepted else ref)
    segment = _segment(step)
    if segment is not None and segment.sport == syn.sport and isinstance(syn.dport, int):
        return _with_port(step, syn.dport, port, range(1, 2))
    return step
