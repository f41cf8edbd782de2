"""RFC 3168, as `tcp_ecn_*` have it."""

from __future__ import annotations

import pytest

from stack_under_test.reference.inet.truesize import Buffers
from stack_under_test.reference.sock import State
from stack_under_test.reference.tcp import ecn
from stack_under_test.reference.tcp.segment import ACK, CWR, ECE, SYN, TxSkb
from stack_under_test.reference.tcp.sock import TcpSock
from stack_under_test.reference.tcp.tests.sockets import fresh


def agreed() -> TcpSock:
    sk = fresh(State.ESTABLISHED)
    sk.ecn_ok = True
    return sk


def data(sk: TcpSock, octets: bytes = b"x", seq: int | None = None) -> TxSkb:
    skb = TxSkb(sk.snd_nxt if seq is None else seq, ACK, sk.net.buffers)
    skb.data = octets
    return skb


@pytest.mark.parametrize(
    ("flags", "kept"),
    [(SYN | ACK | ECE, True), (SYN | ACK, False), (SYN | ACK | ECE | CWR, False), (SYN | ECE | CWR, True), (SYN | ECE, False)],
)
def test_agreement(flags: int, kept: bool) -> None:
    """6.1.1: ECE alone in a SYN-ACK, both flags in a SYN."""
    sk = agreed()
    ecn.answered(sk, flags)
    assert sk.ecn_ok is kept


def test_new_data_is_marked_and_nothing_else() -> None:
    """6.1.4, 6.1.5: no ECT on pure acknowledgements and retransmissions; the rest of the TOS stays."""
    sk = agreed()
    sk.tos = 0x10
    ecn.mark(sk, data(sk))
    assert sk.tos == 0x12
    ecn.mark(sk, data(sk, b""))
    assert sk.tos == 0x10
    sk.snd_nxt += 10
    ecn.mark(sk, data(sk, seq=sk.snd_nxt - 10))
    assert sk.tos == 0x10


def test_a_mark_is_echoed_until_it_is_heard() -> None:
    """6.1.3."""
    sk = agreed()
    assert ecn.experienced(sk, 3)
    assert not ecn.experienced(sk, 3), "once is enough to hurry"
    assert ecn.mark(sk, data(sk, b"")) == ECE


def test_slowing_down_is_told_once_with_new_data() -> None:
    """6.1.2."""
    sk = agreed()
    ecn.queue_cwr(sk)
    assert ecn.mark(sk, data(sk, b"")) == 0
    assert ecn.mark(sk, data(sk)) == CWR
    assert ecn.mark(sk, data(sk)) == 0


def test_data_that_lost_its_mark_is_probably_a_retransmission() -> None:
    sk = agreed()
    assert not ecn.experienced(sk, 0)
    assert not ecn.experienced(sk, 2)
    assert ecn.experienced(sk, 0)


def test_without_agreement_nothing_happens() -> None:
    sk = fresh(State.ESTABLISHED)
    ecn.queue_cwr(sk)
    assert not ecn.experienced(sk, 3)
    assert ecn.mark(sk, data(sk)) == 0
    assert sk.tos == 0


def test_an_unanswered_offer_is_withdrawn() -> None:
    skb = TxSkb(0, SYN | ECE | CWR, Buffers())
    ecn.withdraw_offer(skb)
    assert skb.flags == SYN
