"""What the grammar knows of the program it is drawing.

The model is light and may be wrong: it exists so that connections get established, data moves and calls that wait are
made by a task that can be spared.  It never judges a stack.  `Endpoint` is a socket of the stack as the program sees
it, `Flow` a TCP conversation as the peer sees it.  The peer acknowledges with the symbol `nxt`, so the model counts
only what the peer itself has sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fuzz import arguments
from fuzz.chooser import Chooser
from fuzz.profile import Profile
from stack_under_test.contract import abi
from stack_under_test.contract.frames import AnyFrame, Frame, Ip, Rel, Seq, TcpOption, TcpSegment
from stack_under_test.contract.program import Advance, Call, Fork, Inject, Program, Signal, Step
from stack_under_test.contract.syscalls import SYSCALLS
from stack_under_test.contract.values import Arg, Port, Ref
from stack_under_test.contract.world import World
from stack_under_test.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN

TASKS = 4
NXT = Rel("nxt", 0)
_NOP = TcpOption("nop")
_PLAIN_IP = Ip()
_LOWER = b"abcdefghijklmnopqrstuvwxyz" * 4
_UPPER = _LOWER.upper()
_SHORT = 52


@dataclass(slots=True)
class Flow:
    """`sent` is the peer's next sequence number less its initial one; `clock` its TSval once timestamps are agreed.

    `mss` is what the stack may send at once, `given` the octets its application has given it, `acked` those of them
    that the peer has acknowledged.  `ecn`: the peer wants ECN; `tos` and `echo` mark what it sends from now on: what the
    network has made of the ECN field, and ECE and CWR.
    """

    peer_port: int
    stack_port: Port
    sent: int = 0
    clock: int | None = None
    window: int = 65535
    established: bool = False
    fin_sent: bool = False
    mss: int = 536
    given: int = 0
    acked: int = 0
    ecn: bool = False
    tos: int = 0
    echo: int = 0

    def segment(
        self,
        flags: int,
        payload: bytes = b"",
        *,
        seq: Seq | None = None,
        ack: Seq = NXT,
        window: int | None = None,
        options: tuple[TcpOption, ...] | None = None,
        urgent: int = 0,
    ) -> Frame:
        """A segment from the peer: by default the next in order, acknowledging everything."""
        if options is None:
            options = self.stamp()
        if flags & ACK and not flags & (SYN | RST):
            flags |= self.echo
        return Frame(
            TcpSegment(
                self.peer_port,
                self.stack_port,
                flags,
                Rel("peer", self.sent) if seq is None else seq,
                ack if flags & ACK else 0,
                self.window if window is None else window,
                options,
                payload,
                urgent,
            ),
            Ip(tos=self.tos) if self.tos and not flags & SYN else _PLAIN_IP,
        )

    def stamp(self) -> tuple[TcpOption, ...]:
        """The options of an ordinary segment."""
        if self.clock is None:
            return ()
        self.clock += 1
        return (_NOP, _NOP, TcpOption("TS", (self.clock, Rel("ts", 0))))


@dataclass(slots=True)
class Endpoint:
    """`ready` are connections to accept (a flow, or the client on loopback); `unread` counts octets or datagrams."""

    fd: Ref
    kind: int = abi.SOCK_STREAM
    family: int = abi.AF_INET
    nonblock: bool = False
    port: Port | None = None
    listening: bool = False
    flow: Flow | None = None
    mate: Endpoint | None = None
    unread: int = 0
    eof: bool = False
    shut: bool = False
    closed: bool = False
    waiter: int | None = None
    ready: list[Flow | Endpoint] = field(default_factory=list)

    def carries(self) -> bool:
        """Whether data may come in: a stream socket needs a connection, any other does not."""
        return self.kind != abi.SOCK_STREAM or self.flow is not None or self.mate is not None


class Draft:
    """A program being drawn."""

    def __init__(self, choose: Chooser, profile: Profile) -> None:
        self.choose = choose
        self.profile = profile
        self.steps: list[Step] = []
        self.endpoints: list[Endpoint] = []
        self.epolls: list[Ref] = []
        self.main = 0
        self.spares = list(range(1, TASKS))
        self.forked: int | None = None
        self.timed = False
        self._next_port = 0
        self._given: dict[str, int] = {}

    def program(self, world: World) -> Program:
        return Program(tuple(self.steps), world)

    # --- steps

    def call(self, sys: str, *args: Arg, task: int | None = None) -> Ref:
        """A call by the main task, or by `task`; sometimes preceded by the same call with something wrong in it."""
        call = Call(sys, args, self.main if task is None else task)
        if self.choose.chance(self.profile.bent):
            self._bent(call)
        self.steps.append(call)
        return Ref(len(self.steps) - 1)

    def _bent(self, call: Call) -> None:
        others = [endpoint.fd for endpoint in self.endpoints]
        task = call.task
        if SYSCALLS[call.sys].blocks and self.spares:
            task = self.spares[0]
        self.steps.append(replace(arguments.bend(self.choose, call, others), task=task))

    def wait(self, endpoint: Endpoint, sys: str, *args: Arg) -> Ref | None:
        """A call that is expected to wait, by a spare task; None without one, or when another waits already."""
        if not self.spares or endpoint.waiter is not None:
            return None
        task = self.spares.pop(0)
        if self.choose.chance(20):
            task, self.main = self.main, task
        self.steps.append(Call(sys, args, task))
        endpoint.waiter = task
        return Ref(len(self.steps) - 1)

    def woken(self, endpoint: Endpoint) -> bool:
        """What `endpoint`'s waiting call waited for has come; True when there was one."""
        if endpoint.waiter is None:
            return False
        self.spares.append(endpoint.waiter)
        endpoint.waiter = None
        return True

    def inject(self, frame: AnyFrame) -> None:
        self.steps.append(Inject(frame))

    def advance(self) -> None:
        self.steps.append(Advance(self.choose.choice(self.profile.pauses)))

    def signal(self, task: int, signo: int) -> None:
        self.steps.append(Signal(task, signo))

    def fork(self) -> None:
        """The last spare task becomes a process that shares what is open now."""
        used = {getattr(step, "task", 0) for step in self.steps}
        if self.forked is None and self.spares and self.spares[-1] not in used:
            self.forked = self.spares.pop()
            self.steps.append(Fork(self.forked))

    # --- endpoints and flows

    def port(self) -> int:
        """A port nobody in this program has used."""
        self._next_port += 1
        return (8080, 7, 5000, 1234, 81, 9999, 2000)[(self._next_port - 1) % 7] + (self._next_port - 1) // 7 * 100

    def peer_port(self) -> int:
        self._next_port += 1
        return 40000 + self._next_port

    def add(self, endpoint: Endpoint) -> Endpoint:
        self.endpoints.append(endpoint)
        return endpoint

    def open(self) -> list[Endpoint]:
        return [endpoint for endpoint in self.endpoints if not endpoint.closed]

    def connections(self) -> list[Endpoint]:
        return [endpoint for endpoint in self.endpoints if endpoint.flow is not None and endpoint.flow.established]

    # --- what the peer does in order

    def deliver(self, endpoint: Endpoint, payload: bytes, flags: int = ACK | PSH, *, window: int | None = None) -> None:
        """The peer's next octets (and with FIN its last)."""
        flow = endpoint.flow
        assert flow is not None
        self.inject(flow.segment(flags, payload, window=window))
        flow.sent += len(payload) + (flags & FIN)
        endpoint.unread += len(payload)
        if flags & FIN:
            flow.fin_sent = endpoint.eof = True
        if payload or flags & FIN:
            self.woken(endpoint)

    def acknowledge(self, flow: Flow, *, window: int | None = None) -> None:
        """Everything that the stack has sent."""
        self.inject(flow.segment(ACK, window=window))
        flow.acked = flow.given

    def peer_octets(self, flow: Flow, size: int, at: int | None = None) -> bytes:
        """What stands at the peer's stream position: reassembled out of order, it shows."""
        return _run(_LOWER, (flow.sent if at is None else at) - 1, size)

    def octets(self, fd: Ref, size: int) -> bytes:
        """The stack's next octets on a descriptor."""
        key = str(fd)
        start = self._given.get(key, 0)
        self._given[key] = (start + size) % 26
        return _run(_UPPER, start, size)


def _run(letters: bytes, start: int, size: int) -> bytes:
    """The alphabet from `start` on; when long, one letter of it, since a run prints short."""
    start %= 26
    return letters[start : start + size] if size <= _SHORT else letters[start : start + 1] * size


def syn_options(choose: Chooser) -> tuple[TcpOption, ...]:
    """Options of a SYN or SYN-ACK."""
    shape = choose.integer(0, 9)
    if shape == 0:
        return ()
    options = [TcpOption("mss", (choose.choice((1460, 1460, 1460, 536, 1400, 100, 64, 0, 65535)),))]
    if shape <= 4:
        return tuple(options)
    if shape != 8:
        options.append(TcpOption("sackOK"))
    if shape >= 7:
        options.append(TcpOption("TS", (1000, Rel("ts", 0))))
    if shape >= 6:
        options += [_NOP, TcpOption("wscale", (choose.choice((0, 1, 7, 14, 15)),))]
    return tuple(options)


def agree(flow: Flow, offered: tuple[TcpOption, ...]) -> None:
    """Note what the peer's SYN has settled."""
    for option in offered:
        if option.name == "TS":
            flow.clock = 1000
        elif option.name == "mss" and isinstance(option.values[0], int):
            flow.mss = min(max(option.values[0], 88), 1460)
    if flow.clock is not None:
        flow.mss -= 12


def syn(flow: Flow, options: tuple[TcpOption, ...], *, ack: Seq | None = None, window: int = 65535) -> Frame:
    """The peer's SYN, or with `ack` its SYN-ACK."""
    if ack is None:
        flags = SYN | ECE | CWR if flow.ecn else SYN
        return flow.segment(flags, seq=Rel("peer", 0), options=options, window=window)
    flags = SYN | ACK | ECE if flow.ecn else SYN | ACK
    return flow.segment(flags, seq=Rel("peer", 0), ack=ack, options=options, window=window)
