"""The blocks of a kernel built for coverage: what there is to reach, by file and function.

The compiler puts a call of `__sanitizer_cov_trace_pc` at the head of each basic block of the directories that
`08-coverage` names; the address behind that call is what the kernel notes.  So the blocks are found in the finished
image, as the calls of that function, and their functions in its symbol table; which object file a function came from is
in the map that the linker wrote.  Code that runs only while the kernel boots is left out: no program can reach it.

The table lies beside the kernel; block n of a `contract.coverage` set is the n-th block of the table, counted through
all its functions.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from stack_under_test.uml.elf import Image

NOTED_SIZE = 32 << 20
"""Of the memory in which a kernel notes what it reaches."""
BASE = 0x60000000
"""Where the image begins; the kernel notes offsets from there."""
DIRECTORIES = ("net/ipv4", "net/ipv6", "net/core", "net/unix")
"""Those that are reported, in this order."""
_PREFIXES = tuple([name + "/" for name in DIRECTORIES])
_TRACE = "__sanitizer_cov_trace_pc"
_CALL = re.compile(rb"\xe8(?=(.{4}))", re.DOTALL)
_CALL_SIZE = 5
_PIECE = re.compile(r"^ (\.\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)
_BOOT = (".init", ".exit")
_OBJECT = re.compile(r"(?:.*\()?(.*)\.o\)?")


class Piece(NamedTuple):
    """What a source file gave to the image: code from `start` to `end` - 1."""

    start: int
    end: int
    file: str


class Function(NamedTuple):
    """`file` is the source file (``net/ipv4/tcp.c``); `offsets` are its blocks', from BASE, at least one."""

    file: str
    name: str
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Blocks:
    """The table. `build` names it: sets of block numbers that belong to another build mean nothing here."""

    build: str
    functions: tuple[Function, ...]

    def numbers(self) -> dict[int, int]:
        """Offset -> number of the block."""
        offsets = [offset for function in self.functions for offset in function.offsets]
        return {offset: number for number, offset in enumerate(offsets)}

    def spans(self) -> Iterator[tuple[Function, int]]:
        """Each function with the number of its first block."""
        firsts = accumulate((len(function.offsets) for function in self.functions), initial=0)
        return zip(self.functions, firsts, strict=False)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"build": self.build, "functions": self.functions}, separators=(",", ":")), "utf-8")


def read_blocks(path: Path) -> Blocks:
    """Raises OSError, or ValueError for what is no table."""
    try:
        data = json.loads(path.read_text("utf-8"))
        functions = tuple([Function(file, name, tuple(offsets)) for file, name, offsets in data["functions"]])
        return Blocks(str(data["build"]), functions)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: no table of blocks: {error!r}") from None


def find_blocks(image: Path, linker_map: Path) -> Blocks:
    """The blocks of a kernel.  Raises OSError, or ValueError when the image has none."""
    loaded = Image(image)
    functions = loaded.functions()
    target = next((address for address, _, name in functions if name == _TRACE), None)
    if target is None:
        raise ValueError(f"{image}: not built for coverage")
    starts = [address for address, _, _ in functions]
    found: dict[tuple[str, str], list[int]] = {}
    for piece in pieces(linker_map.read_text("utf-8", "replace")):
        code = loaded.memory(piece.start, piece.end - piece.start)
        for address in calls(code, piece.start, target):
            index = bisect_right(starts, address - 1) - 1
            # The parts that the compiler splits off a function (.cold, .part.0) are its.
            name = functions[index][2].partition(".")[0]
            found.setdefault((piece.file, name), []).append(address - BASE)
    table = tuple([Function(file, name, tuple(sorted(offsets))) for (file, name), offsets in sorted(found.items())])
    return Blocks(hashlib.sha256(repr(table).encode()).hexdigest()[:16], table)


def pieces(linker_map: str) -> list[Piece]:
    """The code of net/ that can run once the kernel has booted."""
    # A long name of a section has a line of its own.
    lines = re.sub(r"^ (\.\S+)\n\s+", r" \1 ", linker_map, flags=re.MULTILINE)
    found = []
    for section, start, size, item in _PIECE.findall(lines):
        source = _OBJECT.fullmatch(item)
        if source and source[1].startswith("net/") and "text" in section and not section.startswith(_BOOT) and int(size, 16):
            found.append(Piece(int(start, 16), int(start, 16) + int(size, 16), source[1] + ".c"))
    return found


def calls(code: bytes, start: int, target: int) -> list[int]:
    """The addresses behind each call of `target` in code that lies at `start`."""
    found = []
    for match in _CALL.finditer(code):
        behind = start + match.start() + _CALL_SIZE
        if behind + struct.unpack("<i", match[1])[0] == target:
            found.append(behind)
    return found


def noted(memory: memoryview) -> array[int]:
    """The offsets in the memory that a kernel notes them in: a count, then that many, 32 bits each."""
    found = array("I")
    found.frombytes(memory[4 : 4 + 4 * memory.cast("I")[0]])
    return found


def as_set(offsets: array[int], numbers: dict[int, int]) -> int:
    """Offsets as a set of block numbers; what is no block of the table (code that runs at boot) is passed over."""
    octets = bytearray(len(numbers) // 8 + 1)
    for offset in offsets:
        number = numbers.get(offset)
        if number is not None:
            octets[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(octets, "little")


class Share(NamedTuple):
    """What was reached of a directory, or of a function: functions and blocks, each of a total."""

    functions: int
    all_functions: int
    blocks: int
    all_blocks: int


def by_function(blocks: Blocks, reached: int) -> Iterator[tuple[Function, int]]:
    """Each function of DIRECTORIES and how many of its blocks were reached."""
    for function, first in blocks.spans():
        if function.file.startswith(_PREFIXES):
            yield function, (reached >> first & (1 << len(function.offsets)) - 1).bit_count()


def by_directory(blocks: Blocks, reached: int) -> dict[str, Share]:
    """The shares of DIRECTORIES, files in folders below them included."""
    shares = dict.fromkeys(DIRECTORIES, Share(0, 0, 0, 0))
    for function, count in by_function(blocks, reached):
        directory = next(name for name in DIRECTORIES if function.file.startswith(name + "/"))
        share = shares[directory]
        shares[directory] = Share(
            share.functions + (count > 0),
            share.all_functions + 1,
            share.blocks + count,
            share.all_blocks + len(function.offsets),
        )
    return shares
