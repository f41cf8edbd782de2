"""A whole packet: parse it, put one together, and show it to people.

`parse` dispatches once on the version and once on the protocol. An upper header is looked for where one can begin:
not in a later fragment, and in IPv6 behind the extension headers. The rest of a packet, and whether anything in it is
right, is in the headers themselves.

`summary` renders one line in the manner of tcpdump and packetdrill. What is wrong with a packet stands at the end in
square brackets. The line is for reading; nothing parses it.
"""

from typing import NamedTuple, TypeAlias

from stack_under_test.wire import arp, ethernet, icmp, icmpv6, ipv4, ipv6, nd, tcp, tcp_options, udp
from stack_under_test.wire.addresses import format_ip, format_mac
from stack_under_test.wire.arp import Arp
from stack_under_test.wire.icmp import Icmp
from stack_under_test.wire.icmpv6 import Icmpv6
from stack_under_test.wire.ipv4 import Ipv4
from stack_under_test.wire.ipv6 import Ipv6
from stack_under_test.wire.tcp import Tcp
from stack_under_test.wire.udp import Udp

Upper: TypeAlias = Tcp | Udp | Icmp | Icmpv6

_PROTOCOL_NAMES = {
    0: "hopopts",
    2: "igmp",
    43: "routing",
    44: "fragment",
    47: "gre",
    50: "esp",
    51: "ah",
    60: "dstopts",
}
_ICMP_NAMES = {
    icmp.ECHO_REPLY: "echo reply",
    icmp.DESTINATION_UNREACHABLE: "unreachable",
    icmp.SOURCE_QUENCH: "source quench",
    icmp.REDIRECT: "redirect",
    icmp.ECHO_REQUEST: "echo request",
    icmp.ROUTER_ADVERTISEMENT: "router advertisement",
    icmp.ROUTER_SOLICITATION: "router solicitation",
    icmp.TIME_EXCEEDED: "time exceeded",
    icmp.PARAMETER_PROBLEM: "parameter problem",
    icmp.TIMESTAMP_REQUEST: "timestamp request",
    icmp.TIMESTAMP_REPLY: "timestamp reply",
}
_ICMPV6_NAMES = {
    icmpv6.DESTINATION_UNREACHABLE: "unreachable",
    icmpv6.PACKET_TOO_BIG: "packet too big",
    icmpv6.TIME_EXCEEDED: "time exceeded",
    icmpv6.PARAMETER_PROBLEM: "parameter problem",
    icmpv6.ECHO_REQUEST: "echo request",
    icmpv6.ECHO_REPLY: "echo reply",
    icmpv6.MULTICAST_LISTENER_QUERY: "multicast listener query",
    icmpv6.MULTICAST_LISTENER_REPORT: "multicast listener report",
    icmpv6.MULTICAST_LISTENER_DONE: "multicast listener done",
    icmpv6.ROUTER_SOLICITATION: "router solicitation",
    icmpv6.ROUTER_ADVERTISEMENT: "router advertisement",
    icmpv6.NEIGHBOR_SOLICITATION: "neighbor solicitation",
    icmpv6.NEIGHBOR_ADVERTISEMENT: "neighbor advertisement",
    icmpv6.REDIRECT: "redirect",
    icmpv6.MULTICAST_LISTENER_REPORT_V2: "multicast listener report v2",
}
_UNREACHABLE_NAMES = {
    icmp.NET_UNREACHABLE: "net",
    icmp.HOST_UNREACHABLE: "host",
    icmp.PROTOCOL_UNREACHABLE: "protocol",
    icmp.PORT_UNREACHABLE: "port",
    icmp.FRAGMENTATION_NEEDED: "fragmentation needed",
    icmp.SOURCE_ROUTE_FAILED: "source route failed",
    icmp.ADMINISTRATIVELY_PROHIBITED: "administratively prohibited",
}
_UNREACHABLE_V6_NAMES = {
    icmpv6.NO_ROUTE: "no route",
    icmpv6.ADMINISTRATIVELY_PROHIBITED: "administratively prohibited",
    icmpv6.BEYOND_SCOPE: "beyond scope",
    icmpv6.ADDRESS_UNREACHABLE: "address",
    icmpv6.PORT_UNREACHABLE: "port",
    icmpv6.POLICY_FAILED: "policy failed",
    icmpv6.REJECT_ROUTE: "reject route",
}


class Packet(NamedTuple):
    """`octets` as given; `ip` is None when they are no IP packet, `upper` when there is no such header."""

    ip: Ipv4 | Ipv6 | None
    upper: Upper | None
    octets: bytes


def parse(octets: bytes) -> Packet:
    """Read the IP header and the one behind it; never raises."""
    version = octets[0] >> 4 if octets else 0
    if version == 4:
        v4 = ipv4.read(octets)
        if v4 is None or v4.fragment_offset:
            return Packet(v4, None, octets)
        return Packet(v4, _read_upper_v4(v4.protocol, v4.payload), octets)
    if version == 6:
        v6 = ipv6.read(octets)
        if v6 is None:
            return Packet(None, None, octets)
        protocol, payload = v6.next_header, v6.payload
        if protocol not in _UPPER_V6:
            behind = ipv6.upper_layer(v6)
            if behind.is_later_fragment:
                return Packet(v6, None, octets)
            protocol, payload = behind.protocol, behind.payload
        return Packet(v6, _read_upper_v6(protocol, payload), octets)
    return Packet(None, None, octets)


def assemble(ip: Ipv4 | Ipv6, upper: Upper) -> bytes:
    """The octets of a packet with `upper` as its payload; the protocol fields and extension headers are the caller's.

    In IPv6, extension headers already in `ip.payload` stay in front of `upper`.
    """
    src, dst = ip.src, ip.dst
    if isinstance(upper, Tcp):
        payload = tcp.write(upper, src, dst)
    elif isinstance(upper, Udp):
        payload = udp.write(upper, src, dst)
    elif isinstance(upper, Icmp):
        payload = icmp.write(upper)
    else:
        payload = icmpv6.write(upper, src, dst)
    if isinstance(ip, Ipv4):
        return ipv4.write(ip._replace(payload=payload))
    if ip.payload:
        payload = ipv6.write_extensions(ipv6.upper_layer(ip).extensions) + payload
    return ipv6.write(ip._replace(payload=payload))


def summary(octets: bytes, link_layer: bool = False) -> str:
    """One line about a packet, or about an Ethernet frame when `link_layer`; never raises."""
    if link_layer:
        return _frame_summary(octets)
    packet = parse(octets)
    if packet.ip is None:
        return f"not IP, {len(octets)} octets: {_hex(octets)}"
    ip = packet.ip
    notes: list[str] = []
    text = _v4_summary(packet, ip, notes) if isinstance(ip, Ipv4) else _v6_summary(packet, ip, notes)
    return " ".join([text, *(f"[{note}]" for note in notes)])


def _read_upper_v4(protocol: int, payload: bytes) -> Upper | None:
    if protocol == tcp.PROTOCOL:
        return tcp.read(payload)
    if protocol == udp.PROTOCOL:
        return udp.read(payload)
    if protocol == icmp.PROTOCOL:
        return icmp.read(payload)
    return None


def _read_upper_v6(protocol: int, payload: bytes) -> Upper | None:
    if protocol == tcp.PROTOCOL:
        return tcp.read(payload)
    if protocol == udp.PROTOCOL:
        return udp.read(payload)
    if protocol == icmpv6.PROTOCOL:
        return icmpv6.read(payload)
    return None


_UPPER_V6 = frozenset((tcp.PROTOCOL, udp.PROTOCOL, icmpv6.PROTOCOL))


def _frame_summary(octets: bytes) -> str:
    frame = ethernet.read(octets)
    if frame is None:
        return f"not Ethernet, {len(octets)} octets: {_hex(octets)}"
    addresses = f"{format_mac(frame.src)} > {format_mac(frame.dst)}"
    if frame.ethertype in (ethernet.IPV4, ethernet.IPV6):
        return f"{addresses} {summary(frame.payload)}"
    message = arp.read(frame.payload) if frame.ethertype == ethernet.ARP else None
    if message is not None:
        return f"{addresses} arp {_arp_summary(message)}"
    return f"{addresses} ethertype 0x{frame.ethertype:04x} ({len(frame.payload)})"


def _arp_summary(message: Arp) -> str:
    sender, target = _address(message.sender_ip), _address(message.target_ip)
    if message.operation == arp.REQUEST:
        return f"who-has {target} tell {sender}"
    if message.operation == arp.REPLY:
        return f"reply {sender} is-at {format_mac(message.sender_mac)}"
    return f"operation {message.operation} {sender} > {target}"


def _v4_summary(packet: Packet, ip: Ipv4, notes: list[str]) -> str:
    header_length = max((ip.ihl or 0) << 2, ipv4.HEADER_LENGTH)
    if (ip.ihl or 0) < 5:
        notes.append(f"header length {(ip.ihl or 0) << 2}")
    elif not ipv4.checksum_ok(packet.octets):
        notes.append("bad ip checksum")
    if ip.total_length != len(packet.octets):
        notes.append(f"total length {ip.total_length} of {len(packet.octets)}")
    if ip.tos:
        notes.append(f"tos 0x{ip.tos:02x}")
    if ip.options:
        options = ipv4.read_options(ip.options)
        notes.append("ip options " + ",".join(str(option.kind) if option.kind >= 0 else "?" for option in options))
    src, dst = format_ip(ip.src), format_ip(ip.dst)
    if ip.is_fragment:
        start = ip.fragment_offset << 3
        more = "+" if ip.more_fragments else ""
        notes.append(f"frag {ip.ident}:{(ip.total_length or 0) - header_length}@{start}{more}")
    if packet.upper is None:
        return f"{src} > {dst}: {_protocol_name(ip.protocol)} ({len(ip.payload)})"
    if not ip.is_fragment:
        _note_checksum(packet.upper, ip.payload, ip.src, ip.dst, notes)
    return _upper_summary(packet.upper, src, dst)


def _v6_summary(packet: Packet, ip: Ipv6, notes: list[str]) -> str:
    if ip.payload_length != len(packet.octets) - ipv6.HEADER_LENGTH:
        notes.append(f"payload length {ip.payload_length} of {len(packet.octets) - ipv6.HEADER_LENGTH}")
    if ip.traffic_class:
        notes.append(f"class 0x{ip.traffic_class:02x}")
    behind = ipv6.upper_layer(ip)
    whole = True
    for extension in behind.extensions:
        if isinstance(extension, ipv6.Fragment):
            more = "+" if extension.more else ""
            notes.append(f"frag {extension.ident}:{len(behind.payload)}@{extension.offset << 3}{more}")
            whole = whole and not extension.more
        else:
            notes.append(_protocol_name(extension.kind))
    src, dst = format_ip(ip.src), format_ip(ip.dst)
    if packet.upper is None:
        return f"{src} > {dst}: {_protocol_name(behind.protocol)} ({len(behind.payload)})"
    if whole:
        _note_checksum(packet.upper, behind.payload, ip.src, ip.dst, notes)
    return _upper_summary(packet.upper, src, dst)


def _note_checksum(upper: Upper, octets: bytes, src: bytes, dst: bytes, notes: list[str]) -> None:
    if isinstance(upper, Tcp):
        if (upper.data_offset or 0) < 5 or (upper.data_offset or 0) << 2 > len(octets):
            notes.append(f"data offset {upper.data_offset}")
        if upper.reserved:
            notes.append(f"reserved {upper.reserved}")
        name, right = "tcp", tcp.checksum_ok(octets, src, dst)
    elif isinstance(upper, Udp):
        if upper.length != len(octets):
            notes.append(f"udp length {upper.length} of {len(octets)}")
        name, right = "udp", udp.checksum_ok(octets, src, dst)
    elif isinstance(upper, Icmp):
        name, right = "icmp", icmp.checksum_ok(octets)
    else:
        name, right = "icmp6", icmpv6.checksum_ok(octets, src, dst)
    if not right:
        notes.append(f"bad {name} checksum")


def _upper_summary(upper: Upper, src: str, dst: str) -> str:
    if isinstance(upper, Tcp):
        return f"{src}:{upper.sport} > {dst}:{upper.dport}: {_tcp_summary(upper)}"
    if isinstance(upper, Udp):
        return f"{src}:{upper.sport} > {dst}:{upper.dport}: udp ({len(upper.payload)})"
    text = _icmp_summary(upper) if isinstance(upper, Icmp) else _icmpv6_summary(upper)
    return f"{src} > {dst}: {text}"


def _tcp_summary(segment: Tcp) -> str:
    length = len(segment.payload)
    occupied = length + bool(segment.flags & tcp.SYN) + bool(segment.flags & tcp.FIN)
    parts = [tcp.format_flags(segment.flags), f"{segment.seq}:{segment.seq + occupied & 0xFFFFFFFF}({length})"]
    if segment.flags & tcp.ACK or segment.ack:
        parts.append(f"ack {segment.ack}")
    parts.append(f"win {segment.window}")
    if segment.flags & tcp.URG or segment.urgent:
        parts.append(f"urg {segment.urgent}")
    if segment.options:
        parts.append(f"<{tcp_options.describe(segment.options)}>")
    return " ".join(parts)


def _icmp_summary(message: Icmp) -> str:
    name = _ICMP_NAMES.get(message.type, f"type {message.type}")
    code = f" code {message.code}" if message.code else ""
    if message.type in (icmp.ECHO_REQUEST, icmp.ECHO_REPLY, icmp.TIMESTAMP_REQUEST, icmp.TIMESTAMP_REPLY):
        return f"icmp {name}{code} id {message.ident} seq {message.sequence} ({len(message.payload)})"
    detail = ""
    if message.type == icmp.DESTINATION_UNREACHABLE:
        code = f" {_UNREACHABLE_NAMES.get(message.code, message.code)}"
        detail = f" mtu {message.next_hop_mtu}" if message.next_hop_mtu else ""
    elif message.type == icmp.REDIRECT:
        detail = f" to {format_ip(message.gateway)}"
    elif message.type == icmp.PARAMETER_PROBLEM:
        detail = f" pointer {message.pointer}"
    elif message.type not in (icmp.TIME_EXCEEDED, icmp.SOURCE_QUENCH):
        return f"icmp {name}{code} ({len(message.payload)})"
    return f"icmp {name}{code}{detail} {_quoted(message.payload)}"


def _icmpv6_summary(message: Icmpv6) -> str:
    name = _ICMPV6_NAMES.get(message.type, f"type {message.type}")
    code = f" code {message.code}" if message.code else ""
    if message.type in (icmpv6.ECHO_REQUEST, icmpv6.ECHO_REPLY):
        return f"icmp6 {name}{code} id {message.ident} seq {message.sequence} ({len(message.payload)})"
    body = nd.read(message)
    if isinstance(body, nd.NeighborSolicitation | nd.NeighborAdvertisement | nd.Redirect):
        return f"icmp6 {name}{code} {format_ip(body.target)}"
    detail = ""
    if message.type == icmpv6.DESTINATION_UNREACHABLE:
        code = f" {_UNREACHABLE_V6_NAMES.get(message.code, message.code)}"
    elif message.type == icmpv6.PACKET_TOO_BIG:
        detail = f" mtu {message.mtu}"
    elif message.type == icmpv6.PARAMETER_PROBLEM:
        detail = f" pointer {message.pointer}"
    elif message.type != icmpv6.TIME_EXCEEDED:
        return f"icmp6 {name}{code} ({len(message.payload)})"
    return f"icmp6 {name}{code}{detail} {_quoted(message.payload)}"


def _quoted(octets: bytes) -> str:
    """The packet an error is about: it is cut short by nature, so its lengths and checksums say nothing.

    Only addresses, ports and protocol are shown; an error about an error would otherwise nest without end.
    """
    ip, upper, _ = parse(octets)
    if ip is None:
        return f"({len(octets)})"
    protocol = ip.protocol if isinstance(ip, Ipv4) else ipv6.upper_layer(ip).protocol
    src, dst = format_ip(ip.src), format_ip(ip.dst)
    payload = ip.payload
    if protocol in (tcp.PROTOCOL, udp.PROTOCOL) and (upper is not None or len(payload) >= 8):
        sport, dport = (upper.sport, upper.dport) if isinstance(upper, Tcp | Udp) else _ports(payload)
        return f"({src}:{sport} > {dst}:{dport}: {_protocol_name(protocol)})"
    return f"({src} > {dst}: {_protocol_name(protocol)})"


def _ports(octets: bytes) -> tuple[int, int]:
    """RFC 792 quotes 8 octets, in which TCP's ports are whole though its header is not."""
    return int.from_bytes(octets[:2], "big"), int.from_bytes(octets[2:4], "big")


def _protocol_name(protocol: int) -> str:
    known = {tcp.PROTOCOL: "tcp", udp.PROTOCOL: "udp", icmp.PROTOCOL: "icmp", icmpv6.PROTOCOL: "icmp6"}
    return known.get(protocol) or _PROTOCOL_NAMES.get(protocol) or f"protocol {protocol}"


def _address(packed: bytes) -> str:
    return format_ip(packed) if len(packed) in (4, 16) else _hex(packed)


def _hex(octets: bytes) -> str:
    return octets[:16].hex() + ("..." if len(octets) > 16 else "")
