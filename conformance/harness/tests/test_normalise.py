"""The one table, row by row: what is drawn by lot becomes symbols, and what must show still shows."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.harness.normalise import View, normalise
from conformance.harness.rules import RULES
from conformance.harness.tests import builders as b
from conformance.harness.view_text import view_lines
from stack_under_test.contract.flows import Flows
from stack_under_test.contract.parser import parse_frame
from stack_under_test.contract.trace import Done, FrameOut, StepTrace, Trace
from stack_under_test.contract.world import PEER_IP, STACK_IP
from stack_under_test.wire import arp, ethernet, icmp, icmpv6, ipv4, ipv6, tcp, udp


def view(text: str, *steps: StepTrace, virtual: bool = False) -> View:
    return normalise(b.program(text), Trace(steps), b.REFERENCE if virtual else b.LINUX)


def packets(*octets: bytes, text: str = "close(3)") -> list[str]:
    """How the packets of one step read."""
    lines = view_lines(view(text, b.step(0, *map(b.frame, octets))))
    return [line.removeprefix("> ") for line in lines[0][1:]]


def stored(text: str, *outs: tuple[str, bytes]) -> list[str]:
    """How what a call stored reads."""
    return [line.strip() for line in view_lines(view(text, b.step(0, outs=outs)))[-1][1:]]


def test_every_rule_has_all_three_parts() -> None:
    assert all(all(rule) for rule in RULES.values())


def test_text_of_a_handshake() -> None:
    lines = view_lines(normalise(b.program(b.HANDSHAKE), b.handshake(5, 6), b.LINUX))
    assert lines == (
        ("= fd#0",),
        ("= 0",),
        ("= 0",),
        (
            "done",
            "> tcp 8080 > 1234 S. seq isn#0 ack peer+1 win 65160 <mss 1460, sackOK, TS val ok ecr 100, nop, wscale 7>",
        ),
        ("done",),
        ("= fd#1", "  arg1: {AF_INET, 192.0.2.2, 1234}", "  arg2: [16]"),
        ("done", "> tcp 8080 > 1234 . seq iss+1 ack peer+6 win 65160 <nop, nop, TS val ok ecr 101>"),
        ("= 5", '  arg1: "hello"'),
    )


def test_a_repeated_initial_number_is_told_from_a_new_one() -> None:
    first, second = b.segment("S.", 100, 1), b.segment("S.", 200, 1)
    assert [line.split()[6] for line in packets(first, first, second, first)] == ["isn#0", "isn#0", "isn#1", "isn#0"]


def test_a_reset_that_copies_a_number_shows_it() -> None:
    text = "< tcp 1234 > 8080 . seq 0 ack 4711"
    assert "seq 4711 " in packets(b.segment("S.", 99, 1), b.segment("R", 4711), text=text)[1]
    assert "seq iss+4612 " in packets(b.segment("S.", 99, 1), b.segment("R", 4711))[1]


def test_a_number_that_stood_for_itself_when_it_was_used_is_compared_as_it_is() -> None:
    """`ack iss+1` before the stack has shown a number of its own, as when its SYN waits for a neighbour, is 1."""
    text = "< tcp 1234 > 8080 . seq peer+1 ack iss+1"
    assert "seq 1 " in packets(b.segment("S.", 99, 1), b.segment("R", 1), text=text)[1]
    assert "seq 0 " in packets(b.segment("S.", 99, 1), b.segment("R.", 0, 1))[1]


def test_ephemeral_ports_are_numbered_unless_the_program_names_them() -> None:
    shown = packets(b.datagram(40000, 53), b.datagram(50000, 53), b.datagram(40000, 53), b.datagram(61000, 53))
    assert [line.split()[1] for line in shown] == ["eph#0", "eph#1", "eph#0", "61000"]
    named = packets(b.datagram(40000, 53), text="bind(3, {AF_INET, 192.0.2.1, 40000}, 16)")
    assert named[0].split()[1] == "40000"
    injected = packets(b.datagram(40000, 53), text="< udp 53 > 40000")
    assert injected[0].split()[1] == "40000"


def test_a_port_is_the_same_in_packets_and_addresses_of_its_protocol() -> None:
    text = "r0 = socket(AF_INET, SOCK_DGRAM, 0)\nwrite(r0, NULL, 0)\ngetsockname(r0, &addr[16], &[16])"
    steps = (b.step(3), b.step(0, b.frame(b.datagram(40000, 53))), b.step(0, outs=(("arg1", b.sockaddr(40000)),)))
    assert view_lines(view(text, *steps))[2][1] == "  arg1: {AF_INET, 192.0.2.2, eph#0}"
    other = text.replace("SOCK_DGRAM", "SOCK_STREAM")
    first = view(other, b.step(3), b.step(0), b.step(0, outs=(("arg1", b.sockaddr(40000)),)))
    second = view(other, b.step(3), b.step(0), b.step(0, outs=(("arg1", b.sockaddr(50000)),)))
    assert first == second


def test_identification_and_flow_label_are_not_compared() -> None:
    assert view("close(3)", b.step(0, b.frame(b.segment("R", 1, ident=1)))) == view(
        "close(3)", b.step(0, b.frame(b.segment("R", 1, ident=2)))
    )
    source, target = bytes(15) + b"\1", bytes(15) + b"\2"
    octets = udp.write(udp.Udp(9, 7, b"x"), source, target)
    six = [ipv6.write(ipv6.Ipv6(source, target, 17, octets, flow_label=label)) for label in (1, 2)]
    assert packets(six[0]) == packets(six[1]) == ['udp [::1]:9 > [::2]:7 "x"']


def test_own_multicast_is_dropped() -> None:
    source = b"\xfe\x80" + bytes(14)
    report = icmpv6.write(icmpv6.Icmpv6(143, 0, bytes(4), b""), source, source)
    solicitation = icmpv6.write(icmpv6.Icmpv6(135, 0, bytes(4), bytes(16)), bytes(16), source)
    octets = [
        ipv6.write(ipv6.Ipv6(source, source, 58, report)),
        ipv6.write(ipv6.Ipv6(bytes(16), source, 58, solicitation)),
    ]
    assert packets(*octets) == []


@pytest.mark.parametrize(("passed", "shown"), [(1000, "ok"), (998, "ok"), (990, "implausible"), (1010, "implausible")])
def test_timestamps_are_checked_against_time(passed: int, shown: str) -> None:
    first = b.segment("S.", 1, 1, options=b.syn_options(0xFFFF_FFFF))
    second = b.segment(".", 2, 1, options=b.timestamps(0xFFFF_FFFF + passed & 0xFFFF_FFFF))
    steps = (b.done(FrameOut(first, 0)), b.done(FrameOut(second, 10**9), took=10**9))
    assert f"TS val {shown} " in view_lines(view("advance 0ns\nadvance 1s", *steps, virtual=True))[1][1]


def test_timestamps_of_real_time_may_lie_on_the_link() -> None:
    first = b.segment("S.", 1, 1, options=b.syn_options(5))
    second = b.segment(".", 2, 1, options=b.timestamps(5 + 985))
    zero = b.segment(".", 2, 1, options=b.timestamps(0))
    steps = (b.done(FrameOut(first, 0)), b.done(FrameOut(second, 10**9), FrameOut(zero, 10**9), took=10**9))
    lines = view_lines(view("advance 0ns\nadvance 1s", *steps))[1]
    assert "TS val ok " in lines[1]
    assert "TS val zero " in lines[2]


def test_descriptors_count_from_the_lowest() -> None:
    program = b.program("r0 = socket(AF_INET, SOCK_STREAM, 0)\ndup2(r0, 9)\nfcntl(r0, F_DUPFD, 0)")
    trace = Trace((b.step(3), b.step(9), b.step(4)))
    moved = Trace((b.step(13), b.step(9), b.step(14)))
    views = normalise(program, trace, b.LINUX), normalise(program, moved, replace(b.LINUX, fd_base=13))
    assert views[0] == views[1]
    assert view_lines(views[0]) == (("= fd#0",), ("= 9",), ("= fd#1",))
    pair = stored("socketpair(AF_UNIX, SOCK_STREAM, 0, &[0, 0])", ("arg3", struct.pack("<2i", 3, 4)))
    assert pair == ["arg3: [fd#0, fd#1]"]
    assert stored("select(9, fds[3], NULL, NULL, {sec=0, usec=5})", ("arg1", b"\x18"), ("arg4", b"\1")) == [
        "arg1: fds[fd#0, fd#1]",
        "arg4: some time left",
    ]


def test_messages_stored() -> None:
    text = "recvmsg(3, {name=&addr[16], namelen=16, iov=[{&buf[5], 5}], control=&control[64], controllen=64}, 0)"
    control = struct.pack("<QIIi4x", 20, 0, 2, 64)
    stamp = struct.pack("<QIIqq", 32, 1, 29, 12345, 678)
    shown = stored(
        text,
        ("arg1.name", b.sockaddr(9)),
        ("arg1.iov0", b"hello"),
        ("arg1.control", control + stamp),
        ("arg1.namelen", b"\x10\0\0\0"),
        ("arg1.flags", b"\x20\0\0\0"),
    )
    assert shown == [
        "arg1.name: {AF_INET, 192.0.2.2, 9}",
        'arg1.iov0: "hello"',
        'arg1.control: [{SOL_IP, IP_TTL, "@\\x00\\x00\\x00"}, {SOL_SOCKET, SO_TIMESTAMP, "\\x00"*16}]',
        "arg1.namelen: 16",
        "arg1.flags: MSG_TRUNC",
    ]


def test_the_sum_of_a_received_packet_is_not_compared() -> None:
    text = "recvmsg(3, {name=NULL, namelen=0, iov=[], control=&control[24], controllen=24}, MSG_ERRQUEUE)"
    found = [stored(text, ("arg1.control", struct.pack("<QII4s4x", 20, 0, 23, octets))) for octets in (b"abcd", b"efgh")]
    assert found[0] == found[1]
    assert "IP_CHECKSUM" in found[0][0]


def test_values_of_options_stored() -> None:
    get = "getsockopt(3, {}, {}, &buf[{}], &[{}])".format
    assert stored(get("SOL_SOCKET", "SO_ERROR", 4, 4), ("arg3", b"\x6f\0\0\0")) == ["arg3: [ECONNREFUSED]"]
    assert stored(get("SOL_SOCKET", "SO_COOKIE", 8, 8), ("arg3", b"12345678")) == [
        "arg3: " + r'"\x00\x00\x00\x00\x00\x00\x00\x00"'
    ]
    info = bytes(range(1, 105))
    assert stored(get("SOL_TCP", "TCP_INFO", 104, 104), ("arg3", info)) == stored(
        get("SOL_TCP", "TCP_INFO", 104, 104), ("arg3", info[:8] + b"????????" + info[16:])
    )
    events = struct.pack("<IQ", 5, 7)
    assert stored("epoll_wait(3, &events[24], 2, 0)", ("arg1", events)) == ["arg1: [{EPOLLIN|EPOLLOUT, data=7}]"]


def test_ports_of_netlink_sockets_are_not_compared() -> None:
    text = "getsockname(3, &addr[12], &[12])"
    one, other, none = (struct.pack("<HHII", 16, 0, port, 0) for port in (77, 99, 0))
    assert stored(text, ("arg1", one)) == stored(text, ("arg1", other)) != stored(text, ("arg1", none))
    assert stored(text, ("arg1", one[:6])) == stored(text, ("arg1", other[:6]))


def test_an_option_taken_for_data_hides_what_it_echoes() -> None:
    text = "< tcp 1 > 2 . <nop, nop, TS val 7 ecr ts+0> {doff 5}\nrecv(3, &buf[99], 99, 0)"
    octets = bytes.fromhex("0101080a00000007")
    views = [view(text, b.done(), b.step(14, outs=(("arg1", octets + echo + b"hi"),))) for echo in (b"1234", b"5678")]
    assert views[0] == views[1]
    other = bytes.fromhex("0101080a00000009")
    assert view(text, b.done(), b.step(14, outs=(("arg1", other + b"1234hi"),))) != views[0]


def test_clocks_of_icmp_are_not_compared() -> None:
    replies = [b.ip(1, icmp.write(icmp.Icmp(14, 0, bytes(4), b"orig" + clock * 2))) for clock in (b"1234", b"5678")]
    assert packets(replies[0]) == packets(replies[1])
    assert '"orig' in packets(replies[0])[0]


def test_an_address_written_over_its_length() -> None:
    text = "r0 = socket(AF_INET, SOCK_STREAM, 0)\ngetsockname(r0, &addr[0], &[128])"
    views = [view(text, b.step(3), b.step(0, outs=(("arg2", b.sockaddr(port)[:4]),))) for port in (40000, 50000)]
    assert views[0] == views[1]


def test_quotes_hide_what_the_stack_chose_and_nothing_else() -> None:
    text = "< tcp 1234 > 8080 S seq peer+0\n< tcp 1234 > 8080 . seq peer+1 ack iss+1 <nop, nop, TS val 7 ecr ts+0>"

    def quoted(iss: int, ts: int, length: int, tos: int = 0) -> View:
        flows = Flows()
        syn_ack = b.segment("S.", iss, 1, options=b.syn_options(ts))
        flows.saw(syn_ack)
        frame = parse_frame(f"tcp 1234 > 8080 . seq peer+1 ack iss+1 <nop, nop, TS val 7 ecr ts+0> {{tos {tos}}}")
        error = b.unreachable(3, flows.octets(frame, lambda ref: 0)[:length])
        return view(text, b.done(b.frame(syn_ack)), b.done(b.frame(error)))

    for length in (20, 28, 40, 52):
        assert quoted(1, 2, length) == quoted(0xFFFF_0000, 99999, length)
        assert quoted(1, 2, length) != quoted(1, 2, length, tos=4)
    assert quoted(1, 2, 52) != quoted(1, 2, 44)
    assert "ack iss+1 checksum ok" in view_lines(quoted(1, 2, 52))[1][1]
    assert "checksum cut" in view_lines(quoted(1, 2, 40))[1][1]


def test_fragments_show_their_data_but_not_the_checksum() -> None:
    whole = udp.write(udp.Udp(40000, 9, b"y" * 2000), STACK_IP, PEER_IP)
    first = b.ip(17, whole[:1480], more_fragments=True, dont_fragment=False, ident=5)
    last = b.ip(17, whole[1480:], fragment_offset=185, dont_fragment=False, ident=5)
    shown = packets(first, last)
    assert shown[0].startswith('ip proto 17 eph#0 > 9 "\\x07\\xd8" "y"*1472 {nodf, mf}')
    assert shown[1] == 'ip proto 17 "y"*528 {nodf, frag 185}'


def test_the_first_fragment_of_a_segment_shows_its_numbers_relative_to_the_connection() -> None:
    opening = b.segment("S", 70_000)
    whole = b.segment(".", 70_001, 1, payload=b"y" * 600)[20:]
    first = b.ip(6, whole[:528], more_fragments=True, dont_fragment=False, ident=5)
    last = b.ip(6, whole[528:], fragment_offset=66, dont_fragment=False, ident=5)
    shown = packets(opening, first, last)
    assert shown[1] == 'tcp 8080 > 1234 . seq iss+1 ack peer+1 win 65160 "y"*508 {nodf, mf}'
    assert shown[2] == 'ip proto 6 "y"*92 {nodf, frag 66}'


def test_what_is_wrong_with_a_packet_shows() -> None:
    good = b.ip(17, udp.write(udp.Udp(9, 7, b"x", checksum=0), STACK_IP, PEER_IP))
    assert packets(good) == ['udp 9 > 7 "x" {no checksum}']
    broken = bytearray(b.datagram(9, 7))
    broken[10] ^= 1
    assert packets(bytes(broken)) == ['udp 9 > 7 "x" {wrong: IP checksum}']
    assert packets(b.datagram(9, 7) + b"!") == ['udp 9 > 7 "x" {wrong: IP length}']
    assert packets(b"\x45\0") == ['raw "E\\x00"']


def test_tap_links() -> None:
    stack, peer = bytes.fromhex("02000000aa01"), bytes.fromhex("02000000aa02")
    octets = ethernet.write(ethernet.Ethernet(peer, stack, ethernet.IPV4, b.datagram(9, 7)))
    other = ethernet.write(ethernet.Ethernet(b"\xff" * 6, b"\2\3\4\5\6\7", ethernet.IPV4, b.datagram(9, 7)))
    assert packets(octets, other, text="link tap\nclose(3)") == [
        'stack > peer: udp 9 > 7 "x"',
        'mac#0 > ff:ff:ff:ff:ff:ff: udp 9 > 7 "x"',
    ]


def test_hardware_addresses_that_the_program_names_are_compared() -> None:
    text = "link tap\n< arp reply 192.0.2.9 (02:00:00:00:bb:09) > 192.0.2.1 (stack)"
    stack, named, other = (bytes.fromhex(mac) for mac in ("02000000aa01", "02000000bb09", "02000000bb0a"))
    frames = [ethernet.write(ethernet.Ethernet(mac, stack, ethernet.IPV4, b.datagram(9, 7))) for mac in (named, other)]
    assert packets(*frames, text=text) == ['stack > 02:00:00:00:bb:09: udp 9 > 7 "x"', 'stack > mac#0: udp 9 > 7 "x"']


def test_arp_messages_read_as_they_are_written() -> None:
    stack = bytes.fromhex("02000000aa01")
    asks = arp.Arp(arp.REQUEST, stack, bytes((192, 0, 2, 1)), bytes(6), bytes((192, 0, 2, 9)))
    octets = ethernet.write(ethernet.Ethernet(b"\xff" * 6, stack, ethernet.ARP, arp.write(asks)))
    assert packets(octets, text="link tap\nclose(3)") == [
        "stack > ff:ff:ff:ff:ff:ff: arp request 192.0.2.1 (stack) > 192.0.2.9"
    ]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.sampled_from([b"\x45", b"\x60", b"\x46", b""]), st.sampled_from([1, 6, 17, 58]))
def test_any_octets_have_a_view_and_a_text(octets: bytes, first: bytes, protocol: int) -> None:
    packet = first + octets
    if len(packet) > 9 and first:
        packet = packet[:9] + bytes((protocol,)) + packet[10:]
    for text in ("close(3)", "link tap\nclose(3)"):
        made = view(text, b.step(0, b.frame(packet)))
        assert hash(made) == hash(view(text, b.step(0, b.frame(packet))))
        view_lines(made)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_equal_lines_mean_equal_views(data: st.DataObject) -> None:
    """The text shows every difference: nothing in a segment can change without changing its line."""
    flags = st.sampled_from(["S.", ".", "P.", "R", "F.", "R."])
    segments = st.builds(
        lambda flags, seq, ack, window, payload, ttl, tos: ipv4.write(
            ipv4.read(b.segment(flags, seq, ack, window=window, payload=payload))._replace(  # type: ignore[union-attr]
                ttl=ttl, tos=tos, checksum=None
            )
        ),
        flags,
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from([b"", b"a", b"b"]),
        st.sampled_from([64, 1]),
        st.sampled_from([0, 4]),
    )
    one, other = (view("close(3)", b.step(0, b.frame(data.draw(segments)))) for _ in range(2))
    assert (one == other) == (view_lines(one) == view_lines(other))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 65535))
def test_no_draw_changes_a_view(iss: int, ts: int, ident: int) -> None:
    program = b.program(b.HANDSHAKE)
    assert normalise(program, b.handshake(iss, ts, ident), b.LINUX) == normalise(program, b.handshake(0, 0), b.LINUX)


def test_refused_packets_show_the_error() -> None:
    assert view_lines(view('< raw ""', b.step(Done(22)))) == (("refused by the link: EINVAL",),)


def test_flags_of_tcp_have_nine_bits() -> None:
    octets = b.ip(6, tcp.write(tcp.Tcp(1, 2, flags=0x1FF), STACK_IP, PEER_IP))
    assert packets(octets)[0].startswith("tcp 1 > 2 FSRP.UEWA ")
