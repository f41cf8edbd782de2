"""The stack's configuration: sysctls as a frozen value.

Only names some rule reads are here; a program that sets another one is answered with `NotModelled`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from ..contract.world import PINNED
from .errors import NotModelled


@dataclass(frozen=True, slots=True)
class Sysctls:
    """Field names are the sysctl's last component; tuples where the sysctl holds several numbers."""

    icmp_ratelimit: int = 1000
    icmp_msgs_per_sec: int = 1000
    icmp_msgs_burst: int = 50
    icmp_echo_ignore_all: int = 0
    icmp_echo_ignore_broadcasts: int = 1
    ip_default_ttl: int = 64
    ip_local_port_range: tuple[int, ...] = (32768, 60999)
    ip_nonlocal_bind: int = 0
    ip_no_pmtu_disc: int = 0
    ip_unprivileged_port_start: int = 1024
    rp_filter: int = 0
    tcp_abort_on_overflow: int = 0
    tcp_adv_win_scale: int = 1
    tcp_app_win: int = 31
    tcp_autocorking: int = 1
    tcp_base_mss: int = 1024
    tcp_challenge_ack_limit: int = 2147483647
    tcp_congestion_control: str = "reno"
    tcp_ecn: int = 2
    tcp_fin_timeout: int = 60
    tcp_fastopen: int = 1
    tcp_invalid_ratelimit: int = 500
    tcp_keepalive_time: int = 7200
    tcp_keepalive_intvl: int = 75
    tcp_keepalive_probes: int = 9
    tcp_max_syn_backlog: int = 1024
    tcp_max_tw_buckets: int = 131072
    tcp_min_snd_mss: int = 48
    tcp_moderate_rcvbuf: int = 1
    tcp_min_tso_segs: int = 2
    tcp_mtu_probing: int = 0
    tcp_no_metrics_save: int = 0
    tcp_orphan_retries: int = 0
    tcp_min_rtt_wlen: int = 300
    tcp_reordering: int = 3
    tcp_retries1: int = 3
    tcp_retries2: int = 15
    tcp_rfc1337: int = 0
    tcp_rmem: tuple[int, ...] = (4096, 131072, 6291456)
    tcp_sack: int = 1
    tcp_slow_start_after_idle: int = 1
    tcp_stdurg: int = 0
    tcp_syn_linear_timeouts: int = 4
    tcp_syn_retries: int = 6
    tcp_synack_retries: int = 5
    tcp_syncookies: int = 1
    tcp_timestamps: int = 1
    tcp_tso_win_divisor: int = 3
    tcp_tw_reuse: int = 2
    tcp_window_scaling: int = 1
    tcp_wmem: tuple[int, ...] = (4096, 16384, 4194304)
    somaxconn: int = 4096
    rmem_default: int = 212992
    rmem_max: int = 212992
    wmem_default: int = 212992
    wmem_max: int = 212992
    optmem_max: int = 131072


def configure(overrides: tuple[tuple[str, str], ...], pinned: Mapping[str, str] = PINNED) -> Sysctls:
    """The defaults with `pinned` and then `overrides` applied (full sysctl names, values as text)."""
    known = {field.name: field for field in fields(Sysctls)}
    values: dict[str, object] = {}
    for name, text in (*pinned.items(), *overrides):
        short = name.rsplit(".", 1)[-1]
        if short not in known:
            raise NotModelled(f"sysctl {name}")
        default = known[short].default
        try:
            if isinstance(default, tuple):
                values[short] = tuple(int(part) for part in text.split())
            else:
                values[short] = int(text) if isinstance(default, int) else text
        except ValueError:
            raise NotModelled(f"sysctl {name} = {text}") from None
    configured = replace(Sysctls(), **values)  # type: ignore[arg-type]
    if configured.tcp_ecn not in (0, 1, 2):
        raise NotModelled("Accurate ECN")
    return configured
