"""Answers that no connection sends: RST for what belongs nowhere, ACK on behalf of a request or TIME-WAIT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..inet.header_options import echo
from ..inet.output import unicast_reply
from . import options
from .output import header
from .segment import ACK, RST, Segment
from .seq import MASK

if TYPE_CHECKING:
    from ..net import Net

ECN_MASK = 3


def reset(net: Net, segment: Segment, device: int = 0) -> None:
    """`tcp_v4_send_reset` (RFC 9293 3.5.2 group 1); over `device` when a socket that is bound to it has refused."""
    if segment.flags & RST:
        return
    if segment.flags & ACK:
        seq, ack, flags = segment.ack, 0, RST
    else:
        seq, ack, flags = 0, segment.end_seq, RST | ACK
    _send(net, segment, (seq, ack, flags, 0, b""), segment.tos & ~ECN_MASK, device)


def ack(
    net: Net, segment: Segment, seq: int, ack_seq: int, window: int, ts: tuple[int, int], tos: int, device: int = 0
) -> None:
    """`tcp_v4_send_ack`; `ts` is (value, echo), left out when there is nothing to echo."""
    opts = options.timestamps(*ts) if ts[1] else b""
    _send(net, segment, (seq & MASK, ack_seq & MASK, ACK, window & 0xFFFF, opts), tos, device)


def _send(net: Net, segment: Segment, numbers: tuple[int, int, int, int, bytes], tos: int, device: int) -> None:
    """`numbers`: seq, ack, flags, window, options."""
    ends = (segment.daddr, segment.saddr)
    octets = header((segment.dport, segment.sport), *numbers, ends=ends)
    try:
        answer = echo(segment.ip_options)
    except ValueError:
        return
    unicast_reply(net, segment.daddr, segment.saddr, octets, tos, options=answer, oif=device)
