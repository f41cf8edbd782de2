"""What counts as a difference, of which kind, and with which fingerprint: hand-built traces."""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import replace

import pytest

from conformance.harness.compare import NotModelled, Policy, compare
from conformance.harness.divergence import Divergence
from conformance.harness.tests import builders as b
from stack_under_test.contract.program import Program
from stack_under_test.contract.target import Traits
from stack_under_test.contract.trace import Blocked, Busy, FrameOut, Killed, Signalled, StepTrace, Trace, Unsupported

VIRTUAL = replace(b.LINUX, virtual_time=True)


def differ(program: Program, left: Trace, right: Trace, traits: Traits = b.LINUX) -> Divergence:
    found = compare(program, left, right, traits, traits)
    assert isinstance(found, Divergence)
    return found


def one_step(text: str, left: StepTrace, right: StepTrace) -> Divergence:
    return differ(b.program(text), Trace((left,)), Trace((right,)))


def after(index: int, *steps: StepTrace) -> Trace:
    """HANDSHAKE's trace with the steps from `index` on replaced."""
    whole = b.handshake(77, 88).steps
    return Trace((*whole[:index], *steps, *whole[index + len(steps) :]))


HANDSHAKE = b.program(b.HANDSHAKE)


def test_what_is_drawn_by_lot_is_no_difference() -> None:
    left, right = b.handshake(12345, 1000, ident=7), b.handshake(0xFFFF_FFF0, 0xFFFF_FFFF, ident=99)
    assert compare(HANDSHAKE, left, right, b.LINUX, b.REFERENCE) is None


def test_a_trace_agrees_with_itself() -> None:
    trace = b.handshake(1, 2)
    assert compare(HANDSHAKE, trace, trace, b.LINUX, b.LINUX) is None


def test_errors() -> None:
    found = one_step("listen(3, 1)", b.step(-errno.EINVAL), b.step(-errno.EADDRINUSE))
    assert (found.kind, found.left, found.right) == ("outcome.errno", "= -1 EINVAL", "= -1 EADDRINUSE")
    assert found.summary == "listen(): outcome.errno: = -1 EINVAL | = -1 EADDRINUSE"
    assert one_step("listen(3, 1)", b.step(0), b.step(-errno.EINVAL)).kind == "outcome.errno"


def test_values() -> None:
    found = one_step("write(3, NULL, 0)", b.step(5), b.step(3))
    assert (found.kind, found.essence) == ("outcome.value", ("less", ""))
    flags = one_step("fcntl(3, F_GETFL, 0)", b.step(0x802), b.step(2))
    assert flags.essence == ("0x800", "0x0")


def test_blocking() -> None:
    found = one_step("close(3)", b.step(Blocked()), b.step(-errno.EAGAIN))
    assert (found.kind, found.left) == ("outcome.blocking", "blocked")
    assert one_step("close(3)", b.step(Busy()), b.step(Blocked())).kind == "outcome.blocking"


def test_what_a_call_stores() -> None:
    outs = (("arg1", b.sockaddr(7)), ("arg2", b"\x10\0\0\0"))
    other = (("arg1", b.sockaddr(8)), ("arg2", b"\x10\0\0\0"))
    found = one_step("getsockname(3, &addr[16], &[16])", b.step(0, outs=outs), b.step(0, outs=other))
    assert (found.kind, found.path, found.essence) == ("outs", "arg1", ("port",))
    assert found.left == "{AF_INET, 192.0.2.2, 7}"
    longer = (("arg1", b.sockaddr(7)), ("arg2", b"\x20\0\0\0"))
    assert one_step("getsockname(3, &addr[16], &[16])", b.step(0, outs=outs), b.step(0, outs=longer)).path == "arg2"
    bits = [(("arg0", b"\3\0\0\0\1\0" + revents + b"\0"),) for revents in (b"\1", b"\x11")]
    ready = one_step("poll([{3, POLLIN}], 1, 0)", b.step(1, outs=bits[0]), b.step(1, outs=bits[1]))
    assert (ready.kind, ready.left, ready.essence) == ("readiness", "[POLLIN]", ("0", "POLLHUP"))


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"window": 1000}, "frame.window"),
        ({"flags": "P."}, "frame.flags"),
        ({"ack": 7}, "frame.ack"),
        ({"seq": 79}, "frame.seq"),
        ({"payload": b"x"}, "frame.payload"),
        ({"options": ()}, "frame.options"),
        ({"options": b.timestamps(90, 7)}, "frame.options"),
        ({"options": b.timestamps(5000)}, "frame.options"),
        ({"dport": 1235}, "frame.dport"),
    ],
)
def test_fields_of_a_packet(changed: dict[str, object], kind: str) -> None:
    usual: dict[str, object] = {"flags": ".", "seq": 78, "ack": 6, "options": b.timestamps(89)}
    packet = b.segment(**(usual | changed))  # type: ignore[arg-type]
    found = differ(HANDSHAKE, b.handshake(77, 88), after(6, b.done(b.frame(packet, 20_000))))
    assert (found.step, found.kind) == (6, kind)


def test_wrong_checksums_are_a_difference_and_right_ones_are_not_shown() -> None:
    packet = bytearray(b.segment(".", 78, 6, options=b.timestamps(89)))
    packet[36] ^= 1
    found = differ(HANDSHAKE, b.handshake(77, 88), after(6, b.done(b.frame(bytes(packet), 20_000))))
    assert found.kind == "frame.faults"
    assert (found.left, found.right) == ("none", "checksum")


def test_missing_and_extra_packets() -> None:
    ack = b.segment(".", 78, 6, options=b.timestamps(89))
    data = b.segment("P.", 78, 6, payload=b"x", options=b.timestamps(89))
    both, one = after(6, b.done(b.frame(data), b.frame(ack))), after(6, b.done(b.frame(ack)))
    missing, extra = differ(HANDSHAKE, both, one), differ(HANDSHAKE, one, both)
    assert (missing.kind, missing.subject, missing.right) == ("frames.missing", "tcp P. with data", "-")
    assert (extra.kind, extra.subject, extra.left) == ("frames.extra", "tcp P. with data", "-")
    none = differ(HANDSHAKE, one, after(6, b.done()))
    assert (none.kind, none.subject) == ("frames.missing", "tcp .")


def test_completions_and_signals() -> None:
    program = b.program("read(3, &buf[9], 9)\nadvance 1ms")
    blocked = b.step(Blocked())
    left = Trace((blocked, b.done(b.completed(0, -1, errno.EINTR))))
    other = Trace((blocked, b.done(b.completed(0, -1, errno.EAGAIN))))
    assert differ(program, left, Trace((blocked, b.done()))).kind == "completion.missing"
    assert differ(program, Trace((blocked, b.done())), left).kind == "completion.extra"
    found = differ(program, left, other)
    assert (found.step, found.kind, found.subject) == (1, "completion.errno", "read()")
    pipe = Trace((blocked, b.done(Signalled(0, "SIGPIPE"))))
    assert differ(program, pipe, Trace((blocked, b.done()))).kind == "signal"


def test_order_within_a_step_is_packets_then_completions_by_step() -> None:
    program = b.program("read(3, NULL, 0)\nt1: read(3, NULL, 0)\nadvance 1ms")
    blocked = (b.step(Blocked()), b.step(Blocked()))
    events = (b.completed(1, 0), b.frame(b.datagram(9, 7)), b.completed(0, 0))
    left = Trace((*blocked, b.done(*events)))
    right = Trace((*blocked, b.done(*events[::-1])))
    assert compare(program, left, right, b.LINUX, b.LINUX) is None


def test_death_is_a_difference() -> None:
    found = one_step("close(3)", b.step(0), b.step(Killed("SIGSEGV")))
    assert (found.kind, found.right) == ("killed", "killed: SIGSEGV")
    same = Trace((b.step(Killed("SIGSEGV")),))
    assert compare(b.program("close(3)\nclose(3)"), same, same, b.LINUX, b.LINUX) is None
    cut = differ(b.program("close(3)\nclose(3)"), Trace((b.step(0), b.step(0))), Trace((b.step(0),)))
    assert (cut.kind, cut.step) == ("killed", 1)


def test_unsupported_ends_the_comparison_but_not_what_is_before_it() -> None:
    program = b.program("close(3)\nclose(4)")
    right = Trace((b.step(0), b.step(Unsupported("SCTP"))))
    found = compare(program, Trace((b.step(0), b.step(0))), right, b.LINUX, b.REFERENCE)
    assert found == NotModelled(1, "right", "SCTP")
    assert isinstance(compare(program, Trace((b.step(9), b.step(0))), right, b.LINUX, b.REFERENCE), Divergence)
    assert compare(program, right, right, b.LINUX, b.LINUX) == NotModelled(1, "left", "SCTP")


def test_fingerprints_hold_nothing_that_varies() -> None:
    def found(port: int, iss: int, before: str = "") -> Divergence:
        text = before + b.HANDSHAKE.replace("8080", str(port))
        lead = tuple(b.step(0) for _ in before.splitlines())
        synack = [b.segment("S.", iss, ack, sport=port, options=b.syn_options(5)) for ack in (1, 2)]
        traces = [Trace((*lead, b.step(3), b.step(0), b.step(0), b.done(b.frame(packet)))) for packet in synack]
        return differ(b.program(text), traces[0], traces[1])

    one, other = found(8080, 5), found(9, 77777, "listen(9, 9)\n")
    assert one.step != other.step
    assert one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 12
    assert one.fingerprint != one_step("close(3)", b.step(0), b.step(1)).fingerprint


def test_a_policy_passes_over_and_counts() -> None:
    packet = b.segment(".", 78, 6, options=b.timestamps(89), window=9)
    tally: Counter[str] = Counter()
    policy = Policy(frozenset({"frame.window"}))
    right = after(6, b.done(b.frame(packet, 20_000)))
    assert compare(HANDSHAKE, b.handshake(77, 88), right, b.LINUX, b.LINUX, policy=policy, tally=tally) is None
    assert tally == {"frame.window": 1}
    both = b.segment(".", 78, 7, options=b.timestamps(89), window=9)
    right = after(6, b.done(b.frame(both, 20_000)))
    found = compare(HANDSHAKE, b.handshake(77, 88), right, b.LINUX, b.LINUX, policy=policy, tally=tally)
    assert isinstance(found, Divergence)
    assert found.kind == "frame.ack"


def test_times_are_compared_between_virtual_targets_only() -> None:
    program = b.program("advance 3s")
    traces = [Trace((b.done(FrameOut(b.datagram(9, 7), at), took=3_000_000_000),)) for at in (10**9, 2 * 10**9)]
    assert compare(program, traces[0], traces[1], b.LINUX, b.REFERENCE) is None
    found = differ(program, traces[0], traces[1], VIRTUAL)
    assert (found.kind, found.left) == ("frame.time", "after 1000 ms")
    near = Trace((b.done(FrameOut(b.datagram(9, 7), 1_000_010_000), took=3_000_000_000),))
    assert compare(program, traces[0], near, VIRTUAL, VIRTUAL) is None
