"""Descriptor rules: lowest free number, duplicates, flags, limits (`fs/file.c`, `fs/fcntl.c`, `fs/ioctl.c`)."""

from __future__ import annotations

import struct

import pytest

from stack_under_test.reference.tests.programs import outs, words


def test_the_lowest_free_number_is_taken() -> None:
    program = """
        r0 = dup(0)
        r1 = dup(0)
        r2 = dup(0)
        close(r1)
        r3 = dup(0)
        close(0)
        r4 = dup(1)
        r5 = fcntl(1, F_DUPFD, 100)
        r6 = fcntl(1, F_DUPFD_CLOEXEC, 100)
        r7 = dup(1)
    """
    assert words(program) == "3 4 5 0 4 0 0 100 101 6"


def test_a_closed_descriptor_names_nothing() -> None:
    assert words("r0 = socket(AF_INET, SOCK_DGRAM, 0)\nclose(r0)\nclose(r0)\nread(r0, &buf[1], 1)") == "3 0 EBADF EBADF"


def test_duplicates_share_status_flags_but_not_close_on_exec() -> None:
    program = """
        r0 = socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0)
        r1 = dup(r0)
        fcntl(r0, F_SETFL, O_NONBLOCK)
        fcntl(r1, F_GETFL, 0)
        fcntl(r0, F_GETFD, 0)
        fcntl(r1, F_GETFD, 0)
        ioctl(r1, FIOCLEX, 0)
        fcntl(r1, F_GETFD, 0)
    """
    assert words(program) == f"3 4 0 {0o4002} 1 0 0 1"


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("dup2(0, 0)", "0"),
        ("dup2(9, 9)", "EBADF"),
        ("dup3(0, 0, 0)", "EINVAL"),
        ("dup3(0, 5, 1)", "EINVAL"),
        ("dup2(0, 1023)", "1023"),
        ("dup2(0, 1024)", "EBADF"),
        ("dup2(0, -1)", "EBADF"),
        ("dup2(9, 1)", "EBADF"),
        ("fcntl(0, F_DUPFD, 1024)", "EINVAL"),
        ("fcntl(0, F_DUPFD, -1)", "EINVAL"),
        ("fcntl(0, F_DUPFD, 1023)", "1023"),
        ("fcntl(0, 999, 0)", "EINVAL"),
        ("fcntl(0, F_SETFL, O_DIRECT)", "EINVAL"),
        ("fcntl(0, F_GETFL, 0)", str(0o100002)),
        ("fcntl(0, F_GETPIPE_SZ, 0)", "EBADF"),
        ("fcntl(0, F_SETOWN, 0)", "0"),
        ("fcntl(0, F_SETOWN, 1)", "unsupported"),
        ("fcntl(0, F_SETSIG, 65)", "EINVAL"),
        ("fcntl(0, F_SETLK, BAD)", "EFAULT"),
        ("fcntl(4294967296, F_GETFD, 0)", "0"),
        ("lseek(0, 5, SEEK_SET)", "0"),
        ("lseek(0, 0, 9)", "EINVAL"),
        ("ioctl(0, FIONREAD, BAD)", "ENOTTY"),
        ("read(0, BAD, 10)", "0"),
        ("write(0, BAD, 10)", "10"),
        ("write(0, BAD, -1)", "EFAULT"),
        ("writev(0, BAD, 1025)", "EINVAL"),
    ],
)
def test_numbers_flags_and_the_null_device(call: str, word: str) -> None:
    assert words(call) == word


def test_the_table_has_an_end() -> None:
    assert words("r0 = dup2(0, 1022)\nr1 = fcntl(0, F_DUPFD, 1022)\nfcntl(0, F_DUPFD, 1022)") == "1022 1023 EMFILE"


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("lseek(r0, 0, SEEK_SET)", "ESPIPE"),
        ("lseek(r0, 0, 5)", "EINVAL"),
        ("readv(r0, NULL, 0)", "0"),
        ("writev(r0, [{NULL, 0}], 1)", "0"),
        ("write(r0, NULL, 0)", "EDESTADDRREQ"),
        ("read(r0, BAD, 0)", "0"),
        ("ioctl(r0, FIONBIO, BAD)", "EFAULT"),
        ("ioctl(r0, FIONBIO, &[1])", "0"),
        ("ioctl(r0, FIOASYNC, &[1])", "0"),
        ("ioctl(r0, 0x5460, NULL)", "ENOTTY"),
        ("ioctl(r0, 0x1234, NULL)", "ENOTTY"),
        ("ioctl(r0, SIOCGIFFLAGS, BAD)", "EFAULT"),
        ("ioctl(r0, SIOCGSTAMP, BAD)", "ENOENT"),
    ],
)
def test_calls_on_a_socket_that_any_file_understands(call: str, word: str) -> None:
    assert words(f"r0 = socket(AF_INET, SOCK_DGRAM, 0)\n{call}").split()[-1] == word


def test_interface_ioctls_tell_what_the_world_has() -> None:
    name = '"tun0' + "\\0" * 36 + '"'
    socket = "r0 = socket(AF_INET, SOCK_DGRAM, 0)\n"
    assert words(f'{socket}ioctl(r0, SIOCGIFMTU, {name})\nioctl(r0, SIOCGIFMTU, "nope"{name})') == "3 0 ENODEV"
    request = ", ".join(str(int.from_bytes(b"tun0", "little") if i == 0 else 0) for i in range(10))
    stored = outs(f"{socket}ioctl(r0, SIOCGIFINDEX, &[{request}])")["arg2"]
    assert struct.unpack_from("<i", stored, 16) == (2,)


def test_fstat_tells_sockets_devices_and_epolls_apart() -> None:
    def mode(maker: str) -> int:
        return int(struct.unpack_from("<I", outs(f"r0 = {maker}\nfstat(r0, &stat[144])")["arg1"], 24)[0])

    assert mode("socket(AF_INET, SOCK_DGRAM, 0)") == 0o140777
    assert mode("epoll_create1(0)") == 0o600
    assert mode("dup(0)") == 0o020666
