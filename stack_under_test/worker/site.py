"""A namespace with its link: the place where programs run, one after the other.

`clean` brings it back to what it was before the first program, and says whether it could: descriptors closed without
a trace (a zero linger time makes TCP forget at once), sockets that outlive their descriptors destroyed through
sock_diag, routes renewed, neighbours learnt forgotten, the link drained.  What cannot be undone (see `marks.lasting`)
makes a site be given up instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import socket
import struct

from stack_under_test.contract.links import link_of
from stack_under_test.contract.world import World
from stack_under_test.wire.checksum import internet_checksum
from stack_under_test.worker import kernel, routes
from stack_under_test.worker.kernel import SYS_SETSOCKOPT, syscall
from stack_under_test.worker.marks import Marks
from stack_under_test.worker.netlink import Netlink

_NETLINK_ROUTE, _NETLINK_SOCK_DIAG = 0, 4
_TCPDIAG_GETSOCK, _SOCK_DESTROY = 18, 21
"""The old dump request, for it alone asks for all address families at once."""
_STATES = 0x1FFF & ~(1 << 10)
"""All but LISTEN and bound ones, which end with their descriptors, and to look for which every bucket is locked."""
_RTM_DELNEIGH, _RTM_GETNEIGH = 29, 30
_NUD_PERMANENT, _NUD_NOARP = 0x80, 0x40
_ROUNDS = 5
_CACHED_ROUTES = 4
"""The word of /proc/net/rt6_stats that counts exceptions."""
_FAR = 4096
"""An offset, in units of 8 octets, beyond ordinary fragments."""
_REPORTS, _REPORTS_MS = 2, 200
_COUNTED = re.compile(rb"^(TCP6?|FRAG6?): inuse [1-9].*|^TCP: inuse 0 orphan \d+ tw [1-9].*", re.MULTILINE)
"""Lines of /proc/net/sockstat and sockstat6 that count something in a namespace; `orphan` and `alloc` are the host's."""
_DUMP_TCP = struct.pack("=BBBB48xII", 0, 0, 0, 0, _STATES, 0)


class Site:
    """One namespace; `tun` is the non-blocking descriptor of its link.  Made inside the namespace."""

    def __init__(self, world: World, namespace: int, tun: int, proc: int | None) -> None:
        self.world = world
        self.namespace = namespace
        self.tun = tun
        self.link = link_of(world)
        self._buffer = bytearray(1 << 17)
        self._proc = proc
        self._forget = (ctypes.c_int * 2)(1, 0)
        self._forget_address = ctypes.addressof(self._forget)
        with kernel.wide_table():
            self._sockstat = [self._open(f"self/net/{name}", os.O_RDONLY) for name in ("sockstat", "sockstat6")]
            self._routes6 = self._open("self/net/rt6_stats", os.O_RDONLY)
            self._diag = _netlink(_NETLINK_SOCK_DIAG)
            self._route = _netlink(_NETLINK_ROUTE)

    def _open(self, name: str, flags: int) -> int | None:
        if self._proc is None:
            return None
        try:
            return kernel.own_fd(os.open(name, flags, dir_fd=self._proc))
        except OSError:
            return None

    def enter(self) -> None:
        kernel.setns(self.namespace, kernel.CLONE_NEWNET)

    def close(self) -> None:
        """Give the site up; the namespace goes with its last descriptor."""
        for fd in (self.namespace, self.tun, *self._sockstat, self._routes6):
            if fd is not None:
                os.close(fd)
        for netlink in (self._diag, self._route):
            if netlink is not None:
                netlink.close()

    # The link

    def settle(self) -> None:
        """Throw away what bringing the link up sends by itself: nothing, but for two MLD reports on a TAP."""
        seen, waiting = self.drain(), select.poll()
        waiting.register(self.tun, select.POLLIN)
        while self.link.carries_frames and seen < _REPORTS and waiting.poll(_REPORTS_MS):
            seen += self.drain()

    def drain(self) -> int:
        """Throw away what waits on the link; how many packets that was."""
        count = 0
        while True:
            try:
                os.readv(self.tun, [self._buffer])
            except BlockingIOError:
                return count
            count += 1

    # Cleaning

    def close_descriptors(self, highest: int, standard: bool) -> None:
        """Close what a program has open; TCP is told to forget at once.  `highest` is the highest descriptor that may be
        a TCP socket, `standard`: 0 to 2 may be too."""
        address = self._forget_address
        for fd in range(0 if standard else 3, highest + 1):
            syscall(SYS_SETSOCKOPT, fd, socket.SOL_SOCKET, socket.SO_LINGER, address, 8, 0)
        kernel.close_range(3, kernel.PROGRAM_FDS - 1)

    def clean(self, marks: Marks) -> str:
        """Undo what else a program did; "" or why that is not possible."""
        left = marks.lasting
        try:
            for fragment in marks.fragments:
                self._end_reassembly(fragment)
            if marks.listened or self._counts():
                self._destroy()
                left = left or self._counts()
            if self.link.carries_frames:
                self._forget_neighbours()
            if marks.unreachable and not self._forget_paths():
                left = left or "learnt routes cannot be forgotten"
        except OSError as error:
            left = left or f"cleaning: {error}"
        self.drain()
        return left

    def _counts(self) -> str:
        """What /proc/net/sockstat still counts in this namespace: TCP sockets, TIME-WAIT, incomplete datagrams."""
        for fd in self._sockstat:
            found = None if fd is None else _COUNTED.search(os.pread(fd, 1024, 0))
            if found is not None:
                return found[0].decode()
        return "" if None not in self._sockstat else "sockets cannot be counted"

    def _destroy(self) -> None:
        """End every TCP socket in the namespace: orphans, TIME-WAIT, half-open requests of listeners that are gone."""
        if self._diag is None:
            return
        for _ in range(_ROUNDS):
            found = [payload for _, payload in self._diag.dump(_TCPDIAG_GETSOCK, _DUMP_TCP)]
            if not found:
                return
            for payload in found:
                request = struct.pack("=BBBBI", payload[0], socket.IPPROTO_TCP, 0, 0, _STATES) + payload[4:52]
                with contextlib.suppress(FileNotFoundError):
                    self._diag.ask(_SOCK_DESTROY, 0, request)
        raise OSError("TCP sockets come back after having been destroyed")

    def _forget_neighbours(self) -> None:
        if self._route is None:
            return
        for _, payload in list(self._route.dump(_RTM_GETNEIGH, bytes(12))):
            state = struct.unpack_from("=H", payload, 8)[0]
            if state & (_NUD_PERMANENT | _NUD_NOARP):
                continue
            with contextlib.suppress(FileNotFoundError):
                self._route.ask(_RTM_DELNEIGH, 0, payload)

    def _forget_paths(self) -> bool:
        """Forget path MTUs and redirects.  IPv6's can only be counted (in hexadecimal): False if there are any."""
        if self._route is None or self._routes6 is None:
            return False
        routes.renew(self._route)
        return int(os.pread(self._routes6, 256, 0).split()[_CACHED_ROUTES], 16) == 0

    def _end_reassembly(self, fragment: bytes) -> None:
        """Two fragments that claim to be the last, at different ends, make the stack throw a datagram away."""
        for turn in range(_ROUNDS):
            if b"FRAG" not in self._counts().encode():
                return
            os.write(self.tun, self.link.envelope(last_fragment(fragment, _FAR + turn)))


def _netlink(protocol: int) -> Netlink | None:
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        return Netlink(socket.socket(fileno=kernel.own_fd(opened.detach())))
    except OSError:
        return None


def last_fragment(fragment: bytes, offset: int) -> bytes:
    """A last fragment of 8 octets, at `offset` * 8, of the datagram that `fragment` (its first 48 octets) belongs to."""
    if fragment[0] >> 4 == 6:
        extension = fragment[40:42] + (offset << 3).to_bytes(2, "big") + fragment[44:48]
        return fragment[:4] + b"\0\x10" + fragment[6:40] + extension + bytes(8)
    header = b"\x45" + fragment[1:2] + b"\0\x1c" + fragment[4:6] + offset.to_bytes(2, "big") + fragment[8:10]
    check = internet_checksum(header + fragment[12:20])
    return header + check.to_bytes(2, "big") + fragment[12:20] + bytes(8)
