"""Whatever arrives, in whatever state: nothing raises, the stream stays whole (RFC 9293 3.10.7, RFC 1122 4.2.2.5)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from stack_under_test.contract.frames import Rel, TcpOption, TcpSegment
from stack_under_test.contract.trace import Killed
from stack_under_test.reference.tcp.tests.build import (
    DATA,
    NOP,
    PEER_PORT,
    PORT,
    READ,
    Scene,
    close_wait,
    closing,
    crossed,
    established,
    fin_wait1,
    fin_wait2,
    last_ack,
    listening,
    peer,
    play,
    sack_established,
    staged,
    stamped_established,
    syn_recv,
    syn_sent,
    time_wait,
)

SCENES = (
    (), listening(), syn_sent(), syn_recv(), crossed(), established(), sack_established(), stamped_established(), fin_wait1(),
    fin_wait2(), closing(), time_wait(), close_wait(), last_ack(),
)  # fmt: skip
STREAM = bytes(range(65, 65 + 40))

near = st.integers(-3, 12) | st.sampled_from((-100_000, 60_000, 64_241, 70_000, 1 << 31))
options = st.one_of(
    st.just(()),
    st.builds(lambda value, echo: (NOP, NOP, TcpOption("TS", (value, Rel("ts", echo)))), st.integers(900, 1100), near),
    st.builds(lambda left, right: (NOP, NOP, TcpOption("sack", (Rel("iss", left), Rel("iss", right)))), near, near),
    st.binary(max_size=8).map(lambda octets: (TcpOption("raw", (254, octets)),)),
)
segments = st.builds(
    TcpSegment,
    st.just(PEER_PORT),
    st.just(PORT),
    st.integers(0, 255),
    near.map(peer),
    near.map(lambda offset: Rel("iss", offset)),
    st.sampled_from((0, 1, 500, 65535)),
    options,
    st.binary(max_size=6),
    st.sampled_from((0, 1, 3, 65535)),
)


@given(st.sampled_from(SCENES), st.lists(segments, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_no_segment_kills_the_stack(scene: Scene, arriving: list[TcpSegment]) -> None:
    _, trace = staged(scene, *arriving, "advance 300ms")
    assert len(trace.steps) == len(scene) + len(arriving) + 1
    assert not any(isinstance(step.outcome, Killed) for step in trace.steps)


@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 20)), max_size=12),
    st.permutations(range(0, 40, 8)),
)
@settings(max_examples=60, deadline=None)
def test_the_stream_is_put_together_however_it_comes(sack: bool, extra: list[tuple[int, int]], rest: list[int]) -> None:
    """Out of order, twice, overlapping: the reader gets each octet once and in order."""
    pieces = [(start, min(size, 40 - start)) for start, size in extra] + [(start, 8) for start in rest]
    arriving = [replace(DATA, seq=peer(1 + start), payload=STREAM[start : start + size]) for start, size in pieces]
    scene = sack_established() if sack else established()
    got = play(scene, *arriving, READ, "advance 50ms")
    assert f"= 40 {STREAM!r}" in got
    acknowledged = [int(text.split("ack ")[1].split()[0]) for text in got if "ack" in text]
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] == 41
