"""The SACK blocks reported for out-of-order data (RFC 2018 4; `tcp_sack_new_ofo_skb`, `tcp_sack_remove`)."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stack_under_test.reference.sock import State
from stack_under_test.reference.tcp import sacks
from stack_under_test.reference.tcp.segment import RcvSkb
from stack_under_test.reference.tcp.seq import MASK
from stack_under_test.reference.tcp.sock import TcpSock
from stack_under_test.reference.tcp.tests.sockets import fresh

BASE = 0xFFFF_FF00
ranges = st.lists(st.tuples(st.integers(1, 600), st.integers(1, 40)), min_size=1, max_size=30)


def block(start: int, end: int) -> tuple[int, int]:
    return (BASE + start) & MASK, (BASE + end) & MASK


def holding(*inserted: tuple[int, int]) -> TcpSock:
    sk = fresh(State.ESTABLISHED)
    sk.rcv_nxt = BASE
    sk.sack_ok = True
    for start, end in inserted:
        sacks.new_ofo(sk, *block(start, end))
    return sk


def offsets(sk: TcpSock) -> list[tuple[int, int]]:
    return [((left - BASE) & MASK, (right - BASE) & MASK) for left, right in sk.selective_acks]


@given(ranges)
def test_the_blocks_are_the_union_of_what_came_most_recent_first(pieces: list[tuple[int, int]]) -> None:
    """RFC 2018 4: the first block has the newest segment; a fifth block pushes the oldest out."""
    expected: list[tuple[int, int]] = []
    sk = holding()
    for start, size in pieces:
        end = start + size
        sacks.new_ofo(sk, *block(start, end))
        touched = [known for known in expected if known[0] <= end and start <= known[1]]
        union = (min([start, *(left for left, _ in touched)]), max([end, *(right for _, right in touched)]))
        expected = [union, *(known for known in expected if known not in touched)][: sacks.NUM_SACKS]
        assert offsets(sk)[0] == union
        assert sorted(offsets(sk)) == sorted(expected)
        expected = offsets(sk)


@given(ranges)
def test_the_blocks_never_touch(pieces: list[tuple[int, int]]) -> None:
    known = sorted(offsets(holding(*((start, start + size) for start, size in pieces))))
    assert all(left[1] < right[0] for left, right in pairwise(known))


def test_a_block_that_grows_moves_to_the_front() -> None:
    assert offsets(holding((10, 20), (30, 40), (50, 60), (20, 25))) == [(10, 25), (50, 60), (30, 40)]


def test_a_piece_that_closes_a_hole_joins_its_neighbours() -> None:
    assert offsets(holding((10, 20), (30, 40), (50, 60), (20, 30))) == [(10, 40), (50, 60)]


def test_what_has_become_contiguous_is_reported_no_more() -> None:
    """`tcp_sack_remove`."""
    sk = holding((10, 20), (30, 40))
    sk.ofo_queue.add(RcvSkb.of(BASE + 30, b"0123456789", 10, sk.net.buffers))
    sk.rcv_nxt = BASE + 20
    sacks.remove(sk)
    assert offsets(sk) == [(30, 40)]
    sk.ofo_queue.clear()
    sacks.remove(sk)
    assert offsets(sk) == []


def test_a_duplicate_is_reported_once_and_grows_while_it_waits() -> None:
    """D-SACK (RFC 2883 4; `tcp_dsack_extend`)."""
    sk = holding()
    sacks.extend_dsack(sk, *block(10, 20))
    sacks.extend_dsack(sk, *block(20, 30))
    assert sk.dsack == block(10, 30)
    sacks.extend_dsack(sk, *block(50, 60))
    assert sk.dsack == block(10, 30)


def test_without_sack_nothing_is_reported() -> None:
    sk = holding()
    sk.sack_ok = False
    sacks.set_dsack(sk, *block(1, 2))
    assert sk.dsack is None
