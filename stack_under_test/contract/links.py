"""The two kinds of link a world may have, and what each carries: TUN IP packets, TAP Ethernet frames around them.

Every side puts the packets of a program into the same frames, so that a program can be written in terms of IP on both.
"""

from __future__ import annotations

from dataclasses import dataclass

from stack_under_test.contract.world import PEER_MAC, STACK_MAC, World
from stack_under_test.wire import ethernet

_ETHERNET_HEADER = 14
_ETHERTYPES = {4: ethernet.IPV4.to_bytes(2, "big"), 6: ethernet.IPV6.to_bytes(2, "big")}


@dataclass(frozen=True, slots=True)
class Link:
    """`carries_frames`: it is a TAP."""

    carries_frames: bool

    def envelope(self, octets: bytes, raw: bool = False) -> bytes:
        """What is written to the link for a packet; raw frames are written as they are."""
        if raw or not self.carries_frames:
            return octets
        ethertype = _ETHERTYPES.get(octets[0] >> 4 if octets else 4, _ETHERTYPES[4])
        return STACK_MAC + PEER_MAC + ethertype + octets

    def packet_of(self, octets: bytes) -> bytes:
        """The IP packet in what the link carries, or b"" when it is something else."""
        if not self.carries_frames:
            return octets
        return octets[_ETHERNET_HEADER:] if octets[12:_ETHERNET_HEADER] in _ETHERTYPES.values() else b""

    def takes(self, octets: bytes) -> bool:
        """Whether the device takes it (`tun_get_user`): a TUN what says it is IPv4 or IPv6, a TAP what has a whole header."""
        if self.carries_frames:
            return len(octets) >= _ETHERNET_HEADER
        return self.version(octets) in (4, 6)

    def version(self, octets: bytes) -> int:
        """IP's version by what says so on the link, the first octet on a TUN, the ethertype on a TAP; 0 for neither."""
        if not self.carries_frames:
            return octets[0] >> 4 if octets else 0
        return next((number for number, kind in _ETHERTYPES.items() if octets[12:_ETHERNET_HEADER] == kind), 0)


TUN, TAP = Link(False), Link(True)


def link_of(world: World) -> Link:
    return TAP if world.link == "tap" else TUN
