"""The Internet checksum (RFC 1071) over octets and over the pseudo-headers of IPv4 and IPv6.

The one's-complement sum of 16-bit words equals the octets, read as one big-endian number, modulo 0xFFFF, because
2**16 is 1 modulo 0xFFFF. So a partial sum may be any non-negative number in that residue class: fields may be added
as they are, 32-bit ones too, and only the end reduces. Of the two representations of zero, 0 stands for a sum of
nothing but zero octets and 0xFFFF for every other, as word-by-word addition would give.

Leaves to the header modules which octets a checksum covers, and UDP's rule that 0 means "none".
"""


def ones_sum(data: bytes) -> int:
    """The one's-complement sum of `data`, 0..0xFFFF; an odd last octet counts as if a zero octet followed."""
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    return total and (total % 0xFFFF or 0xFFFF)


def complement(total: int) -> int:
    """The checksum that belongs to the partial sum `total`."""
    return 0xFFFF - (total % 0xFFFF or 0xFFFF) if total else 0xFFFF


def internet_checksum(data: bytes, initial: int = 0) -> int:
    """The checksum of `data` on top of the un-complemented partial sum `initial`."""
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    return complement(total + initial)


def pseudo_header(src: bytes, dst: bytes, protocol: int, length: int) -> int:
    """The partial sum of the pseudo-header; RFC 9293 3.1 for 4-octet and RFC 8200 8.1 for 16-octet addresses."""
    return int.from_bytes(src + dst, "big") + protocol + length


def verifies(data: bytes, initial: int = 0) -> bool:
    """Whether `data`, its checksum field included, sums to (negative) zero on top of `initial`."""
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    total += initial
    return total != 0 and total % 0xFFFF == 0
