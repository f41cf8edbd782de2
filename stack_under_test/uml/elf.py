"""Reading a 64-bit ELF image: where its sections lie, and its functions."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMTAB = 2
_NOBITS = 8
_ALLOCATED = 2
_FUNCTION = 2


class ElfError(ValueError):
    """Not such an image; one line."""


class Section(NamedTuple):
    """`address` is where it lies in memory, `offset` where in the file; both for `size` octets."""

    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


class Image:
    """An image, read whole.  Raises ElfError, or OSError."""

    def __init__(self, path: Path) -> None:
        self._octets = path.read_bytes()
        try:
            if not self._octets.startswith(_MAGIC):
                raise ElfError(f"{path}: no 64-bit ELF image")
            header = _HEADER.unpack_from(self._octets)
            offset, size, count = header[6], header[11], header[12]
            self._sections = [self._section(offset + size * index) for index in range(count)]
        except struct.error:
            raise ElfError(f"{path}: the image ends too early") from None

    def _section(self, offset: int) -> Section:
        _, kind, flags, address, at, size, link, _, _, _ = _SECTION.unpack_from(self._octets, offset)
        return Section(kind, flags, address, at, size, link)

    def memory(self, address: int, size: int) -> bytes:
        """What lies there when the image has been loaded; shorter where its section ends."""
        for section in self._sections:
            inside = address - section.address
            if section.flags & _ALLOCATED and section.kind != _NOBITS and 0 <= inside < section.size:
                start = section.offset + inside
                return self._octets[start : start + min(size, section.size - inside)]
        return b""

    def functions(self) -> list[tuple[int, int, str]]:
        """(address, size, name) of every function of the symbol table, by address."""
        found = []
        for table in self._sections:
            if table.kind != _SYMTAB:
                continue
            names = self._sections[table.link].offset
            for name, info, _, section, address, size in _SYMBOL.iter_unpack(
                self._octets[table.offset : table.offset + table.size // _SYMBOL.size * _SYMBOL.size]
            ):
                if info & 15 == _FUNCTION and section:
                    start = names + name
                    found.append((address, size, self._octets[start : self._octets.index(0, start)].decode(errors="replace")))
        return sorted(found)
