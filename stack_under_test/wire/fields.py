"""What the header modules share: the refusal of a value that does not fit, and the name for octets nobody can parse.

`struct` reports an overflow without saying which field it was. Writers therefore pack first and call `refuse` only
after packing failed, so that a value that fits costs nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple, NoReturn


class Trailing(NamedTuple):
    """The rest of an option list from the first option that has no end: a bad length, or octets after end-of-list."""

    octets: bytes
    kind: int = -1


def refuse(header: object, widths: Mapping[str, int]) -> NoReturn:
    """Raise the ValueError that names the field of `header` that does not fit; `widths` maps field names to bits."""
    owner = type(header).__name__
    for name, bits in widths.items():
        value = getattr(header, name)
        if isinstance(value, bytes):
            if len(value) * 8 != bits:
                raise ValueError(f"{owner}.{name}: {len(value)} octets where exactly {bits // 8} stand")
        elif not isinstance(value, int):
            raise ValueError(f"{owner}.{name}: {value!r} is not a number")
        elif value >> bits:
            raise ValueError(f"{owner}.{name}: {value} does not fit in {bits} bits")
    raise ValueError(f"{owner}: a value does not fit its field: {header!r}")


def padded(octets: bytes, unit: int) -> bytes:
    """`octets` followed by as many zero octets as make their number a multiple of `unit`."""
    short = -len(octets) % unit
    return octets + bytes(short) if short else octets
