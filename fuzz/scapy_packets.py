"""Packets from scapy's layers: another hand's idea of a packet than ours.  Importing this loads scapy."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.packet import Raw

from fuzz.chooser import Chooser

_ENDS = (("src", "192.0.2.2"), ("dst", "192.0.2.1"))
_OPTIONS = (
    [("MSS", 1460)],
    [("WScale", 3), ("SAckOK", b"")],
    [("Timestamp", (1, 0))],
    [("NOP", None), ("NOP", None), ("NOP", None)],
)


def craft(choose: Chooser, port: int) -> bytes:
    """The octets of a packet for the stack's `port`, sound or not."""
    ends = dict(_ENDS)
    head = IP(**ends, id=choose.integer(0, 3), ttl=choose.choice((64, 1)), flags=choose.choice(("DF", "", "evil")))
    match choose.integer(0, 5):
        case 0:
            packet = head / ICMP(type=choose.choice((8, 0, 13)), id=7, seq=1) / Raw(b"scapy")
        case 1:
            packet = head / UDP(sport=40001, dport=port) / Raw(b"scapy")
        case 2:
            flags = choose.choice(("S", "SA", "A", "R", "FPU", "SEC"))
            packet = head / TCP(sport=40002, dport=port, flags=flags, seq=1000, options=choose.choice(_OPTIONS))
        case 3:
            packet = IP(**ends, options=[IPOption_RR()]) / ICMP(id=8)
        case 4:
            lengths = {"len": choose.choice((8, 4, 400)), "chksum": choose.choice((0, 1))}
            packet = head / UDP(sport=40001, dport=port, **lengths) / Raw(b"scapy")
        case _:
            packet = IP(**ends, version=choose.choice((4, 5)), ihl=choose.choice((5, 6))) / ICMP()
    return bytes(packet)
