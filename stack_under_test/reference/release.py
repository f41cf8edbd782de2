"""Releases of Linux the stack can be like: what differs between them, as values.

Each field is one change of the kernel that shows; `docs/uml.md` lists how they were seen.  The first sentence below a field
is what reports say when it explains a difference (`conformance/releases.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..contract import abi
from .inet.truesize import SMALL_HEAD


@dataclass(frozen=True, slots=True)
class Release:
    """What differs between kernel releases hangs here; the defaults are those of LINUX_6_18.

    Stable releases take changes over too, so a name stands for the kernel that was looked at, not for every 6.12.
    """

    name: str
    version: tuple[int, int]
    hz: int = 250
    compat: bool = True
    """Built with CONFIG_COMPAT: the flag MSG_CMSG_COMPAT exists, and is refused."""
    sums_all_ones: bool = True
    """`csum_fold` of x86: an ICMP reply of nothing but zeros gets the checksum 0, which does not verify."""
    ip_align: int = 0
    """NET_IP_ALIGN: octets before a frame that put the IP header behind it at a multiple of four."""
    small_head: int = SMALL_HEAD
    """The smallest buffer, in octets (`truesize.Buffers`)."""
    epoll_looks_up_first: bool = True
    """`epoll_wait` looks the descriptor up before it checks its other arguments."""
    unknown_options: frozenset[tuple[int, int]] = frozenset()
    """(level, name) of socket options that came later."""
    txrehash_everywhere: bool = False
    """SO_TXREHASH is taken on sockets other than TCP's."""
    scm_options_everywhere: bool = False
    """SO_PASSCRED and its like are taken on sockets that can never pass credentials."""
    priority_message: bool = True
    """A control message may give a packet its SO_PRIORITY."""
    stores_length_first: bool = True
    """`move_addr_to_user` stores the length even if the address then cannot be."""
    unsigned_window_clamp: bool = False
    """A negative TCP_WINDOW_CLAMP is a very large one, not the smallest."""
    bounds_tx_delay: bool = True
    """TCP_TX_DELAY refuses what is negative, or too long for a round-trip time."""
    pmtu_without_socket: bool = False
    """A path MTU is learnt from ICMP about UDP that no socket has sent, too."""
    advmss_follows_path: bool = True
    """The MSS to advertise is what a learnt path MTU leaves, not the link's."""
    cwr_needs_ecn: bool = True
    """CWR asks for an immediate acknowledgement only on a connection with ECN (`tcp_ecn_accept_cwr`)."""
    challenges_unsent: bool = True
    """`tcp_ack` answers an acknowledgement of what was never sent (RFC 5961 5.2) instead of dropping it."""
    ignores_old_paws: bool = True
    """`tcp_disordered_ack_check`: an old timestamp on an old pure acknowledgement is not answered."""
    checks_end: bool = True
    """`tcp_sequence` looks at a segment's end too, so does header prediction."""
    checks_echo: bool = True
    """The end of a handshake must echo a timestamp that its SYN-ACKs had (`tcp_check_req`)."""
    resends_urgent_alone: bool = False
    """In urgent mode segments are sent again one by one, each with its own urgent pointer."""
    predicts_old_acks: bool = True
    """Header prediction takes segments with acknowledgements below SND.UNA."""
    old_ack_keeps_timestamp: bool = True
    """An acknowledgement below SND.UNA does not bring TS.Recent up to date."""
    clamp_moves_threshold: bool = True
    """When `tcp_measure_rcv_mss` sets the window clamp, the threshold below it follows."""
    grows_while_reordered: bool = True
    """`tcp_rcvbuf_grow`: dynamic right-sizing as of 2025, for out-of-order data too."""
    sees_ecn_unasked: bool = True
    """TCP_INFO says that ECN was seen where it was not agreed on, too (`tcp_ecn_received_counters`)."""
    timewait_keeps_ecn: bool = True
    """What TIME-WAIT acknowledges has the ECN field of the connection's last segment (`tcp_v4_timewait_ack`)."""
    tos_when_begun: bool = True
    """A corked datagram has the TOS of when it was begun (`ipcm_init_sk`), not of when it leaves."""
    tcp_info_size: int = 280
    """`struct tcp_info`'s length; the last 32 octets are about Accurate ECN."""
    compressed_ack_percent: int = 33
    """`tcp_comp_sack_rtt_percent`: how much of a round trip an acknowledgement may be held back."""


LINUX_6_18 = Release("6.18", (6, 18))
LINUX_6_12 = Release(
    "6.12",
    (6, 12),
    epoll_looks_up_first=False,
    sees_ecn_unasked=False,
    timewait_keeps_ecn=False,
    tos_when_begun=False,
    tcp_info_size=248,
    unknown_options=frozenset(
        {
            (abi.SOL_SOCKET, abi.SO_RCVPRIORITY),
            (abi.SOL_SOCKET, abi.SO_PASSRIGHTS),
            (abi.SOL_TCP, abi.TCP_RTO_MAX_MS),
            (abi.SOL_TCP, abi.TCP_RTO_MIN_US),
            (abi.SOL_TCP, abi.TCP_DELACK_MAX_US),
        }
    ),
    txrehash_everywhere=True,
    scm_options_everywhere=True,
    priority_message=False,
    stores_length_first=False,
    unsigned_window_clamp=True,
    bounds_tx_delay=False,
    pmtu_without_socket=True,
    advmss_follows_path=False,
    cwr_needs_ecn=False,
    challenges_unsent=False,
    ignores_old_paws=False,
    checks_end=False,
    checks_echo=False,
    resends_urgent_alone=True,
    predicts_old_acks=False,
    old_ack_keeps_timestamp=False,
    clamp_moves_threshold=False,
    grows_while_reordered=False,
    compressed_ack_percent=5,
)
USER_MODE = "um"
"""The machine that user-mode Linux says it is."""
RELEASES = (LINUX_6_12, LINUX_6_18)
"""By version."""


def of_kernel(release: str, machine: str = "x86_64", small_head: int = SMALL_HEAD) -> Release:
    """The release to be like for what `uname -rm` says, the newest that is no newer, else the oldest there is; with the
    smallest buffer of that build."""
    found = re.match(r"(\d+)\.(\d+)", release)
    version = (int(found[1]), int(found[2])) if found else LINUX_6_18.version
    like = max((known for known in RELEASES if known.version <= version), key=lambda known: known.version, default=RELEASES[0])
    like = replace(like, small_head=small_head)
    return replace(like, compat=False, sums_all_ones=False, ip_align=2) if machine == USER_MODE else like
