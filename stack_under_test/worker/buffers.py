"""How large the smallest packet buffer of this kernel is, which its build decides and no interface says."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCOUTQ = 0x5411
_SK_BUFF = 256
"""`sizeof(struct sk_buff)`, rounded up as its cache does, on every 64-bit build."""


def small_head() -> int:
    """Octets, the shared info at the end included (SKB_SMALL_HEAD_CACHE_SIZE since Linux 6.3).

    A corked datagram of one octet for the loopback address costs its socket the buffer and the `sk_buff`; it is never sent.
    Raises OSError, where there is no loopback device too.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", socket.MSG_MORE, ("127.0.0.1", 9))
        cost: int = struct.unpack("=i", fcntl.ioctl(sock, _SIOCOUTQ, bytes(4)))[0]
    return cost - _SK_BUFF
