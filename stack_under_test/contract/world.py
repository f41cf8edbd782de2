"""The world a program runs in: addresses, link, and the sysctls on which outcomes depend.

Both sides start from these same values; the `linux` target writes them, the reference stack reads them, and they are
recorded with every trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

STACK_IP = bytes((192, 0, 2, 1))
PEER_IP = bytes((192, 0, 2, 2))
PREFIX = 24
STACK_IP6 = bytes.fromhex("20010db8000000000000000000000001")
PEER_IP6 = bytes.fromhex("20010db8000000000000000000000002")
PREFIX6 = 64
MTU = 1500
STACK_MAC = bytes.fromhex("02000000aa01")
PEER_MAC = bytes.fromhex("02000000aa02")
LINK_NAME = "tun0"
EPHEMERAL = (32768, 60999)
"""The ports a stack may choose by itself; programs name others, so a number in this range is the stack's choice."""

PINNED: Mapping[str, str] = MappingProxyType(
    {
        "net.ipv4.icmp_ratelimit": "0",
        "net.ipv4.icmp_msgs_per_sec": "100000000",
        "net.ipv4.icmp_msgs_burst": "100000000",
        "net.ipv4.ip_local_port_range": f"{EPHEMERAL[0]} {EPHEMERAL[1]}",
        "net.ipv4.tcp_congestion_control": "reno",
        "net.ipv4.tcp_challenge_ack_limit": "2147483647",
        "net.ipv4.tcp_invalid_ratelimit": "0",
        "net.ipv4.tcp_no_metrics_save": "1",
        "net.ipv4.tcp_rmem": "4096 131072 6291456",
        "net.ipv4.tcp_wmem": "4096 16384 4194304",
        "net.ipv4.tcp_syncookies": "0",
        "net.ipv4.tcp_timestamps": "1",
        "net.ipv4.tcp_ecn": "2",
        "net.ipv4.tcp_fin_timeout": "60",
        "net.ipv4.tcp_autocorking": "0",
        "net.ipv4.tcp_tso_win_divisor": "255",
        "net.ipv4.tcp_min_tso_segs": "64",
        "net.ipv4.tcp_max_syn_backlog": "1024",
        "net.core.somaxconn": "4096",
    }
)
"""Sysctl name -> value text, as `sysctl -w` takes them. Autocorking, the deferral of bursts (tcp_tso_win_divisor)
and their size (tcp_min_tso_segs) hang on microseconds, which no two runs share: the first two are off, the third is large.
Names a namespace does not own are pinned for the whole host only by its administrator; the target records what it found."""


KERNEL = "kernel"
"""The fact by which a real Linux says its release, as `uname -r` does."""
MACHINE = "machine"
"""The fact by which it says what it was built for, as `uname -m` does."""
SMALL_HEAD = "small head"
"""The fact by which it says how many octets the smallest packet buffer of its build has: windows follow it."""
HOST_OWNED = ("net.core.rmem_default", "net.core.rmem_max", "net.core.wmem_default", "net.core.wmem_max", "net.core.optmem_max")
"""Sysctls that a namespace cannot change: a real kernel says in its traits' facts what they are, and a stack that can be
told adopts them (`target.Adopts`)."""


@dataclass(frozen=True, slots=True)
class World:
    """`link` is ``tun`` (IP packets) or ``tap`` (Ethernet frames); `sysctls` override PINNED, in order."""

    link: str = "tun"
    sysctls: tuple[tuple[str, str], ...] = ()
