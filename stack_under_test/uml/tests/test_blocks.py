"""The table of blocks: from an image and a linker's map, as sets of numbers, and what was reached of it."""

from __future__ import annotations

import struct
from array import array
from pathlib import Path

import pytest

from stack_under_test.contract.target import Unavailable
from stack_under_test.uml import reach
from stack_under_test.uml.blocks import (
    BASE,
    Blocks,
    Function,
    Piece,
    Share,
    as_set,
    by_directory,
    by_function,
    calls,
    find_blocks,
    noted,
    pieces,
    read_blocks,
)
from stack_under_test.uml.elf import ElfError, Image
from stack_under_test.uml.places import Kernel

CODE = BASE + 0x1000
TRACE = CODE + 0x80
MAP = f"""
 .text          0x{CODE:016x}       0x40 vmlinux.a(net/ipv4/tcp.o)
                0x{CODE:016x}                first
 .text.a_name_too_long_for_its_column
                0x{CODE + 0x40:016x}       0x20 net/unix/af_unix.o
 .text          0x{CODE + 0x60:016x}        0x0 net/core/empty.o
 .text          0x{CODE + 0x60:016x}       0x10 kernel/fork.o
 .init.text     0x{CODE + 0x70:016x}       0x10 net/ipv4/tcp.o
"""
TABLE = Blocks(
    "b1",
    (
        Function("net/core/sock.c", "sk_alloc", (1, 9)),
        Function("net/ipv4/tcp.c", "tcp_close", (20, 30, 40)),
        Function("net/ipv4/tcp.c", "tcp_init", (50,)),
        Function("net/packet/af_packet.c", "packet_rcv", (60,)),
    ),
)


def call(at: int) -> bytes:
    """`call TRACE`, lying at `at`."""
    return b"\xe8" + struct.pack("<i", TRACE - at - 5)


def elf(code: bytes, functions: list[tuple[int, int, str]]) -> bytes:
    """An image with one section of code, at CODE, and a symbol table."""
    names = b"\0" + b"".join(name.encode() + b"\0" for _, _, name in functions)
    symbols, at = bytes(24), 1
    for address, size, name in functions:
        symbols += struct.pack("<IBBHQQ", at, 2, 0, 1, address, size)
        at += len(name) + 1
    parts = [code, symbols, names]
    offsets = [64 + sum(map(len, parts[:index])) for index in range(4)]
    sections = [(0, 0, 0, 0, 0, 0), (1, 6, CODE, offsets[0], len(code), 0)]
    sections += [(2, 0, 0, offsets[1], len(symbols), 3), (3, 0, 0, offsets[2], len(names), 0)]
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, CODE, 0, offsets[3], 0, 64, 0, 0, 64, len(sections), 0
    )
    table = [struct.pack("<IIQQQQIIQQ", 0, kind, flags, *rest, 0, 0, 0) for kind, flags, *rest in sections]
    return header + b"".join(parts) + b"".join(table)


@pytest.fixture
def kernel(tmp_path: Path) -> tuple[Path, Path]:
    code = bytearray(b"\x90" * 0x100)
    for at in (0x0, 0x10, 0x28, 0x48, 0x62, 0x74):
        code[at : at + 5] = call(CODE + at)
    functions = [
        (CODE, 0x20, "first"),
        (CODE + 0x20, 0x20, "first.part.0"),
        (CODE + 0x40, 0x20, "second"),
        (TRACE, 0x10, "__sanitizer_cov_trace_pc"),
    ]
    image, linker_map = tmp_path / "linux", tmp_path / "vmlinux.map"
    image.write_bytes(elf(bytes(code), functions))
    linker_map.write_text(MAP, "utf-8")
    return image, linker_map


def test_blocks_are_the_calls_in_code_of_the_network_that_runs_after_boot(kernel: tuple[Path, Path]) -> None:
    assert find_blocks(*kernel).functions == (
        Function("net/ipv4/tcp.c", "first", (0x1005, 0x1015, 0x102D)),
        Function("net/unix/af_unix.c", "second", (0x104D,)),
    )


def test_what_the_linker_says() -> None:
    assert pieces(MAP) == [Piece(CODE, CODE + 0x40, "net/ipv4/tcp.c"), Piece(CODE + 0x40, CODE + 0x60, "net/unix/af_unix.c")]


def test_a_call_of_something_else_is_none() -> None:
    assert calls(call(CODE) + b"\xe8\x01\x00\x00\x00\xe8", CODE, TRACE) == [CODE + 5]


def test_an_image_without_coverage(tmp_path: Path, kernel: tuple[Path, Path]) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(elf(bytes(16), [(CODE, 16, "first")]))
    with pytest.raises(ValueError, match="not built for coverage"):
        find_blocks(plain, kernel[1])


@pytest.mark.parametrize("octets", [b"", b"#!/bin/sh\n", elf(bytes(16), [])[:70]])
def test_what_is_no_image(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(octets)
    with pytest.raises(ElfError):
        Image(path)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "table"
    TABLE.write(path)
    assert read_blocks(path) == TABLE
    path.write_text('{"build": 3}', "utf-8")
    with pytest.raises(ValueError, match="no table"):
        read_blocks(path)


def test_offsets_become_a_set() -> None:
    memory = memoryview(struct.pack("<5I", 3, 30, 9, 999, 60))
    assert noted(memory) == array("I", [30, 9, 999])
    assert as_set(noted(memory), TABLE.numbers()) == 1 << 3 | 1 << 1
    assert as_set(array("I"), TABLE.numbers()) == 0


def test_shares_by_directory() -> None:
    shares = by_directory(TABLE, 0b1010_1010)
    assert shares["net/core"] == Share(1, 1, 1, 2)
    assert shares["net/ipv4"] == Share(2, 2, 2, 4)
    assert shares["net/unix"] == Share(0, 0, 0, 0)
    assert [(function.name, count) for function, count in by_function(TABLE, 0b1010_1010)] == [
        ("sk_alloc", 1),
        ("tcp_close", 1),
        ("tcp_init", 1),
    ]


def test_a_run_is_told_with_the_build_it_was_made_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    metadata = {"left": "uml:kcov=1", "coverage": {"left": "6.12-kcov b1"}}
    with pytest.raises(Unavailable, match=r"no kernel 6\.12-kcov was built"):
        reach.sides(metadata, {"left": "aa"})
    built = Kernel("6.12", ("kcov",))
    built.folder.mkdir(parents=True)
    built.image.touch()
    with pytest.raises(Unavailable, match="build it again"):
        reach.sides(metadata, {"left": "aa"})
    TABLE.write(built.blocks_file)
    found = reach.sides(metadata, {"left": "aa"})
    text = "\n".join(reach.lines(found, functions=True))
    assert "net/ipv4" in text
    assert "50.0 %" in text
    assert "1/3  net/ipv4/tcp.c tcp_close" in text
    assert reach.as_json(found, functions=False)["left"]["directories"]["all four"]["blocks"] == 3
    with pytest.raises(Unavailable, match="another build"):
        reach.sides({**metadata, "coverage": {"left": "6.12-kcov b0"}}, {"left": "aa"})
