"""What reading and writing costs: `python -m stack_under_test.wire.tests.benchmark` prints microseconds per call."""

import timeit

from stack_under_test.wire import icmp, ipv4, ipv6, packet, tcp, udp
from stack_under_test.wire.tcp_options import NOP, SACK_PERMITTED, Mss, Option, Timestamps, WindowScale

_SRC, _DST = b"\xc0\x00\x02\x01", b"\xc6\x33\x64\x02"
_SRC6, _DST6 = _SRC * 4, _DST * 4
_TIMESTAMPS = (NOP, NOP, Timestamps(123456, 654321))
_SYN = (Mss(1460), SACK_PERMITTED, Timestamps(123456, 0), NOP, WindowScale(7))


def _tcp(options: tuple[Option, ...], payload: bytes, flags: int) -> bytes:
    segment = tcp.Tcp(1234, 8080, 1000, 2000, flags, 65535, options, payload)
    return ipv4.write(ipv4.Ipv4(_SRC, _DST, tcp.PROTOCOL, tcp.write(segment, _SRC, _DST)))


def _tcp6(options: tuple[Option, ...], payload: bytes, flags: int) -> bytes:
    segment = tcp.Tcp(1234, 8080, 1000, 2000, flags, 65535, options, payload)
    return ipv6.write(ipv6.Ipv6(_SRC6, _DST6, tcp.PROTOCOL, tcp.write(segment, _SRC6, _DST6)))


def _read_tcp(octets: bytes) -> tcp.Tcp | None:
    found = ipv4.read(octets)
    return tcp.read(found.payload) if found is not None else None


def main() -> None:
    """Print one line per case."""
    data = bytes(range(256)) * 6
    ack, syn, full = _tcp(_TIMESTAMPS, b"", tcp.ACK), _tcp(_SYN, b"", tcp.SYN), _tcp(_TIMESTAMPS, data[:1448], tcp.ACK)
    datagram = ipv4.write(ipv4.Ipv4(_SRC, _DST, udp.PROTOCOL, udp.write(udp.Udp(1, 2, b"x" * 64), _SRC, _DST)))
    echo = ipv4.write(ipv4.Ipv4(_SRC, _DST, icmp.PROTOCOL, icmp.write(icmp.echo_request(1, 2, b"x" * 56))))
    ack6 = _tcp6(_TIMESTAMPS, b"", tcp.ACK)
    cases = {
        "read  TCP/IPv4 ACK with timestamps": lambda: _read_tcp(ack),
        "read  TCP/IPv4 SYN, Linux options": lambda: _read_tcp(syn),
        "read  TCP/IPv4 1448 octets": lambda: _read_tcp(full),
        "parse TCP/IPv4 ACK with timestamps": lambda: packet.parse(ack),
        "parse TCP/IPv6 ACK with timestamps": lambda: packet.parse(ack6),
        "parse UDP/IPv4 64 octets": lambda: packet.parse(datagram),
        "parse ICMP/IPv4 echo": lambda: packet.parse(echo),
        "write TCP/IPv4 ACK with timestamps": lambda: _tcp(_TIMESTAMPS, b"", tcp.ACK),
        "write TCP/IPv4 SYN, Linux options": lambda: _tcp(_SYN, b"", tcp.SYN),
        "write TCP/IPv4 1448 octets": lambda: _tcp(_TIMESTAMPS, data[:1448], tcp.ACK),
        "write TCP/IPv6 ACK with timestamps": lambda: _tcp6(_TIMESTAMPS, b"", tcp.ACK),
        "tcp.checksum_ok ACK": lambda: tcp.checksum_ok(ack[20:], _SRC, _DST),
        "tcp.checksum_ok 1448 octets": lambda: tcp.checksum_ok(full[20:], _SRC, _DST),
        "ipv4.checksum_ok": lambda: ipv4.checksum_ok(ack),
        "summary TCP/IPv4 ACK": lambda: packet.summary(ack),
    }
    for name, case in cases.items():
        best = min(timeit.repeat(case, number=20_000, repeat=5)) / 20_000
        print(f"{name:38} {best * 1e6:6.2f} us")


if __name__ == "__main__":
    main()
