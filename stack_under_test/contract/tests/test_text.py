"""The text form: round trip over every value, canonical form, and the errors people see."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack_under_test.contract.check import check_program, references
from stack_under_test.contract.frames import (
    ArpFrame,
    Datagram,
    Frame,
    IcmpMessage,
    Ip,
    RawFrame,
    Rel,
    TcpOption,
    TcpSegment,
    UdpDatagram,
)
from stack_under_test.contract.lexer import ProgramError, Scanner, quote
from stack_under_test.contract.parser import parse_frame, parse_program
from stack_under_test.contract.printer import print_duration, print_frame, print_program
from stack_under_test.contract.program import Advance, Call, Fork, Inject, Program, Signal
from stack_under_test.contract.tests import strategies
from stack_under_test.contract.values import NULL, Buffer, Inet, IoVec, MsgHdr, Octets, PortOf, Ref
from stack_under_test.contract.world import STACK_IP, STACK_MAC, World

EXAMPLE = r"""# everything once
link tap
sysctl net.ipv4.tcp_sack = 0
sysctl net.ipv4.tcp_rmem = 4096 131072 6291456   # three numbers

listener = socket(AF_INET, SOCK_STREAM, IPPROTO_IP)
bind(listener, {AF_INET, 192.0.2.1, 8080}, 16)
listen(listener, 0x1)
< tcp 1234 > 8080  S  seq peer+0  win 65535  <mss 1460, sackOK, TS val 100 ecr 0, nop, wscale 7>
< tcp 1234 > 8080  .  ack iss+1 seq peer+1
conn = accept4(listener, &addr[16], &[16], SOCK_NONBLOCK)
< tcp 1234 > 8080  P. seq peer+1 ack nxt+0 "hello"
recv(conn, &buf[100], 100, 64)
setsockopt(conn, SOL_SOCKET, SO_LINGER, [1, 0], 8)
t1: recv(conn, &buf[10], 10, 0)
signal t1 SIGUSR1
fork t2
sendmsg(conn, {iov=[{"abc", 3}, {NULL, 0}]}, MSG_NOSIGNAL)
poll([{listener, POLLIN}, {conn, POLLIN|POLLOUT}], 2, 0)
ep = epoll_create1(EPOLL_CLOEXEC)
epoll_ctl(ep, EPOLL_CTL_ADD, conn, {EPOLLIN|EPOLLET, data=7})
write(conn, "a"*1000 "\r\n", 1002)
s = socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0)
< udp 192.0.2.9:53 > 192.0.2.1:port(s) "payload"  {ttl 3, csum 0xbeef}
< icmp 3 3 quoting (udp port(s) > 7 "x")
< icmp 3 4 mtu 1400 quoting (tcp port(s) > 7 S seq iss+0)
< icmp * > 192.0.2.255 8 0 id 7 seq 9 "ping"
< ip {proto 47, nodf} "octets"
< arp 2 192.0.2.9 (02:00:00:00:BB:09) > 192.0.2.1 (02:00:00:00:aa:01)
< arp request 192.0.2.9 (peer) > 192.0.2.1 {to ff:ff:ff:ff:ff:ff}
< raw "\x45\0"
sv = socketpair(AF_UNIX, SOCK_STREAM, 0, &[0,0])
write(sv[1], "", 0)
advance 40ms
"""

CANONICAL = r"""link tap
sysctl net.ipv4.tcp_sack = 0
sysctl net.ipv4.tcp_rmem = 4096 131072 6291456
r0 = socket(AF_INET, SOCK_STREAM, 0)
bind(r0, {AF_INET, 192.0.2.1, 8080}, 16)
listen(r0, 1)
< tcp 1234 > 8080 S seq peer+0 <mss 1460, sackOK, TS val 100 ecr 0, nop, wscale 7>
< tcp 1234 > 8080 . seq peer+1 ack iss+1
r1 = accept4(r0, &addr[16], &[16], SOCK_NONBLOCK)
< tcp 1234 > 8080 P. seq peer+1 ack nxt+0 "hello"
recv(r1, &buf[100], 100, MSG_DONTWAIT)
setsockopt(r1, SOL_SOCKET, SO_LINGER, [1, 0], 8)
t1: recv(r1, &buf[10], 10, 0)
signal t1 SIGUSR1
fork t2
sendmsg(r1, {name=NULL, namelen=0, iov=[{"abc", 3}, {NULL, 0}], control=NULL, controllen=0, flags=0}, MSG_NOSIGNAL)
poll([{r0, POLLIN}, {r1, POLLIN|POLLOUT}], 2, 0)
r2 = epoll_create1(EPOLL_CLOEXEC)
epoll_ctl(r2, EPOLL_CTL_ADD, r1, {EPOLLIN|EPOLLET, data=7})
write(r1, "a"*1000 "\r\n", 1002)
r3 = socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0)
< udp 192.0.2.9:53 > 192.0.2.1:port(r3) "payload" {ttl 3, csum 0xbeef}
< icmp 3 3 quoting (udp port(r3) > 7 "x")
< icmp 3 4 mtu 1400 quoting (tcp port(r3) > 7 S seq iss+0)
< icmp * > 192.0.2.255 8 0 id 7 seq 9 "ping"
< ip {proto 47, nodf} "octets"
< arp reply 192.0.2.9 (02:00:00:00:bb:09) > 192.0.2.1 (stack)
< arp request 192.0.2.9 (peer) > 192.0.2.1 {to ff:ff:ff:ff:ff:ff}
< raw "E\x00"
r4 = socketpair(AF_UNIX, SOCK_STREAM, 0, &[0, 0])
write(r4[1], "", 0)
advance 40ms
"""


_FRAMES = strategies.frames.filter(lambda frame: not references(frame))


@settings(max_examples=600, deadline=None)
@given(strategies.programs())
def test_every_program_round_trips(program: Program) -> None:
    text = print_program(program)
    assert parse_program(text, check=False) == program
    assert print_program(parse_program(text, check=False)) == text


@settings(max_examples=300, deadline=None)
@given(_FRAMES)
def test_every_frame_round_trips(frame: Frame | RawFrame) -> None:
    assert parse_frame(print_frame(frame)) == frame


@given(st.binary(max_size=300) | strategies.octets)
def test_octets_round_trip_as_a_string(octets: bytes) -> None:
    scanner = Scanner(quote(octets))
    assert scanner.string() == octets
    scanner.end()


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(alphabet='<>{}[]()"\\*,=:|.#& \nabcdefr0123tp'))
def test_any_text_is_a_program_or_one_clear_line(text: str) -> None:
    with contextlib.suppress(ProgramError):
        check_program(parse_program(text))


@settings(max_examples=300, deadline=None)
@given(strategies.programs(), st.data())
def test_a_damaged_program_never_fails_otherwise(program: Program, data: st.DataObject) -> None:
    text = print_program(program)
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 5)) :]
    with contextlib.suppress(ProgramError):
        check_program(parse_program(damaged))


def test_the_example_has_the_canonical_form() -> None:
    program = parse_program(EXAMPLE)
    assert print_program(program) == CANONICAL
    assert parse_program(CANONICAL) == program
    check_program(program)


def test_values_are_what_they_look_like() -> None:
    program = parse_program(EXAMPLE)
    assert program.world == World("tap", (("net.ipv4.tcp_sack", "0"), ("net.ipv4.tcp_rmem", "4096 131072 6291456")))
    assert program.steps[0] == Call("socket", (2, 1, 0))
    assert program.steps[1] == Call("bind", (Ref(0), Inet(bytes((192, 0, 2, 1)), 8080), 16))
    assert program.steps[4] == Inject(Frame(TcpSegment(1234, 8080, 16, Rel("peer", 1), Rel("iss", 1))))
    assert program.steps[9] == Call("recv", (Ref(5), Buffer(10), 10, 0), 1)
    assert program.steps[10:12] == (Signal(1, 10), Fork(2))
    assert program.steps[12] == Call("sendmsg", (Ref(5), MsgHdr(iov=IoVec(((Octets(b"abc"), 3), (NULL, 0)))), 0x4000))
    quoted = Frame(UdpDatagram(PortOf(Ref(17)), 7, b"x"))
    assert program.steps[19] == Inject(Frame(IcmpMessage(3, 3, body=quoted)))
    echo = IcmpMessage(8, 0, b"\0\7\0\x09", b"ping")
    assert program.steps[21] == Inject(Frame(echo, Ip(dst=bytes((192, 0, 2, 255)))))
    assert program.steps[22] == Inject(Frame(Datagram(b"octets"), Ip(protocol=47, dont_fragment=False)))
    mac = bytes.fromhex("02000000bb09")
    assert program.steps[23] == Inject(ArpFrame(2, bytes((192, 0, 2, 9)), mac, STACK_IP, STACK_MAC))
    assert program.steps[27:] == (Call("write", (Ref(26, 1), Octets(b""), 0)), Advance(40_000_000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo()", 'line 1, column 1: "foo" is no system call that a program may make'),
        ("\n\nlisten(1, foo)", 'line 3, column 11: "foo" is not the result of an earlier call'),
        ("bind(r0, NULL, 0)", 'line 1, column 6: "r0" is not the result of an earlier call'),
        ("listen(1, )", 'line 1, column 11: expected an argument, found ")"'),
        ("listen(1)", "line 1, column 1: listen(fd, int) takes 2 arguments, found 1"),
        ("listen(1, AF_FOO)", 'line 1, column 11: "AF_FOO" is no name of a number'),
        ("listen(1, 2) x", 'line 1, column 14: expected the end of the line, found "x"'),
        ("close(", "line 1, column 7: expected an argument, found the end of the line"),
        ('write(1, "abc, 3)', "line 1, column 10: this string has no end"),
        ('write(1, "\\q", 3)', 'line 1, column 11: "\\q" is no escape; write \\xHH'),
        ('write(1, "a"*100000000, 1)', "line 1, column 10: a string of more than 1048576 octets"),
        (
            "read(1, &buf[100000000000000], 3)",
            "line 1, column 1: a buffer of 100000000000000 octets; a task has 1048576",
        ),
        ("bind(1, {AF_INET, 1.2.3.400, 5}, 1)", 'line 1, column 19: "1.2.3.400" is no address'),
        ("poll([{1, 2}, {NULL, 3}], 1, 1)", "line 1, column 14: a list holds structures of one kind"),
        ("r1 = close(1)\nr1 = close(1)", 'line 2, column 1: "r1" is the result of an earlier call already'),
        ("t1 = close(1)", 'line 1, column 1: "t1" cannot be a label'),
        ("t9: close(1)", "line 1, column 1: there is no task 9, only 0 to 7"),
        ("< tcp 1 > 2 Q", 'line 1, column 13: expected TCP flags, such as S, P. or "-", found "Q"'),
        ("< udp 1 > 2 {ttl 300}", "line 1, column 1: Ipv4.ttl: 300 does not fit in 8 bits"),
        ("< udp 1 > 2 {ttl 1, ttl 2}", "line 1, column 20: ttl stands twice"),
        ("< arp reply 2001:db8::9 (peer) > 192.0.2.1", 'line 1, column 13: expected an IPv4 address, found "2001"'),
        ("< arp reply 192.0.2.9 > 192.0.2.1", 'line 1, column 23: expected a hardware address in parentheses, found ">"'),
        ("< arp reply 192.0.2.9 (02:00)", 'line 1, column 24: expected stack, peer or a hardware address, found "02"'),
        ("< arp 70000 192.0.2.9 (peer) > 192.0.2.1", "line 1, column 1: Arp.operation: 70000 does not fit in 16 bits"),
        ("advance 1.5ms", 'line 1, column 9: expected a whole number and ns, us, ms or s, such as 40ms, found "1.5ms"'),
        ("advance -1ns", "line 1, column 1: time cannot advance by -1 ns"),
        ("signal t1 999", "line 1, column 1: 999 is no signal"),
        ("close(1)\nlink tap", "line 2, column 1: the world is described before the first step"),
        ("link foo", 'line 1, column 6: expected tun or tap, found "foo"'),
        ("sysctl ../../x = 4", "line 1, column 1: '../../x' is no name of a sysctl"),
    ],
)
def test_errors_name_the_place(text: str, message: str) -> None:
    with pytest.raises(ProgramError) as caught:
        parse_program(text)
    assert str(caught.value) == message


def test_depth_is_bounded() -> None:
    with pytest.raises(ProgramError, match="deep at most"):
        parse_program("readv(1, " + "[{" * 5000 + "NULL" + ", 1}]" * 5000 + ", 1)")
    with pytest.raises(ProgramError, match="deep at most"):
        parse_frame("icmp 3 3 quoting (" * 5000)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (Program((Call("close", (Ref(0),)),)), "step 0: step 0 is not an earlier call"),
        (Program((Advance(0), Call("close", (Ref(0),)))), "step 1: step 0 is not an earlier call"),
        (Program((Inject(Frame(UdpDatagram(PortOf(Ref(7)), 1))),)), "step 0: step 7 is not an earlier call"),
        (Program((Call("close", ()),)), "step 0: close takes 1 arguments, found 0"),
        (Program((Call("bind", (0, Inet(b"\0" * 4, 1, 70000), 16)),)), "step 0: a field does not fit"),
        (Program((Inject(Frame(TcpSegment(1, 2, options=(TcpOption("mss"),)))),)), "TCP option 'mss' with 0 values"),
        (Program((), World("wifi")), "neither tun nor tap"),
    ],
)
def test_check_refuses_what_cannot_be_run(program: Program, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_program(program)


def test_durations_are_exact() -> None:
    assert [print_duration(ns) for ns in (0, 7, 1500, 1_500_000, 40_000_000, 3_000_000_000)] == [
        "0ns", "7ns", "1500ns", "1500us", "40ms", "3s",
    ]  # fmt: skip


def test_the_examples_of_the_documentation_are_programs() -> None:
    text = (Path(__file__).parents[3] / "docs" / "programs.md").read_text("utf-8")
    first, packets = text.split("```")[1::2]
    assert len(parse_program(first).steps) == 10
    assert len(parse_program("r3 = dup(1)\n" + packets.replace("...", "")).steps) == 10


def test_repetition_is_folded() -> None:
    assert quote(b"a" * 1000) == '"a"*1000'
    assert quote(b"GET " + b"/" * 20) == '"GET " "/"*20'
    assert quote(b"ab" * 100) == '"ab"*100'
    assert quote(b'\0"\\\n') == r'"\x00\"\\\n"'
