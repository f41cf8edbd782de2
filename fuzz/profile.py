"""What a campaign asks of the generator.

The default asks for what both the host kernel and the reference stack model, plus a few per cent of what only the
kernel does, so that "unsupported" stays an honest and visible answer.
"""

from __future__ import annotations

from dataclasses import dataclass

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Profile:
    """Percentages are of programs, or of steps where said.

    scenarios  how often each opening is chosen, by name (see `scenarios.SCENARIOS`)
    body       fewest and most moves between a scenario's opening and its end
    second     programs in which a second scenario is interleaved with the first
    noise      steps that are followed by an unrelated move
    bent       calls and frames that are first made with something wrong in them
    timed      programs in which time passes (they cost real time on a kernel without virtual time)
    pauses     what may pass, in nanoseconds: kept away from Linux's deadlines (40 ms, 200 ms, 1 s)
    foreign    programs that use families or types the reference does not model yet
    crafted    programs with a packet crafted by scapy (slow to build)
    tuned      programs in a world with another sysctl
    sysctls    what may be set then: name, value
    forks      programs in which a task is forked
    ethernet   programs on a TAP, most of them with a peer whose hardware address has to be found out
    selective  whether to acknowledge selectively: what RACK makes of that hangs on round trips of microseconds
    unsteady   whether to ask for values that differ between two runs of one kernel (TCP_TIMESTAMP, SO_COOKIE)
    """

    scenarios: tuple[tuple[str, int], ...] = (
        ("calls", 14),
        ("udp", 12),
        ("passive", 34),
        ("active", 20),
        ("loopback", 8),
        ("simultaneous", 3),
        ("udp_loopback", 3),
        ("input", 6),
    )
    body: tuple[int, int] = (0, 10)
    second: int = 10
    noise: int = 7
    bent: int = 4
    timed: int = 1
    pauses: tuple[int, ...] = (70 * MS, 120 * MS, 10 * MS, 70 * MS, 120 * MS, 300 * MS)
    foreign: int = 3
    crafted: int = 2
    tuned: int = 3
    sysctls: tuple[tuple[str, str], ...] = (
        ("net.ipv4.tcp_timestamps", "0"),
        ("net.ipv4.tcp_sack", "0"),
        ("net.ipv4.tcp_ecn", "1"),
        ("net.ipv4.tcp_window_scaling", "0"),
        ("net.ipv4.tcp_abort_on_overflow", "1"),
        ("net.ipv4.ip_default_ttl", "5"),
    )
    forks: int = 4
    ethernet: int = 4
    selective: bool = False
    unsteady: bool = False


DEFAULT = Profile()
TIMED = Profile(timed=100, pauses=(5 * MS, 20 * MS, 70 * MS, 120 * MS, 300 * MS, 700 * MS, 1000 * MS))
"""A little time passes in every program: what timers do in real time, as far as anybody waits for it."""
VIRTUAL = Profile(timed=40, pauses=(40 * MS, 200 * MS, 1000 * MS, 3000 * MS, 60_000 * MS, 7_200_000 * MS), selective=True)
