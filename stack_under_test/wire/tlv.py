"""The option syntax that IPv4 (RFC 791 3.1) and TCP (RFC 9293 3.1) share.

Kinds 0 (end of list) and 1 (no operation) are one octet; every other kind is followed by a length that counts both.
A list ends at kind 0, or where an option has no end; what remains is kept as it was found. The meaning of a kind is
left to the callers.
"""

from stack_under_test.wire.fields import Trailing

END_OF_LIST = 0
NO_OPERATION = 1


def split(octets: bytes) -> list[tuple[int, bytes] | Trailing]:
    """The options as (kind, data) in order; zero padding after end-of-list comes out as more ends of list."""
    found: list[tuple[int, bytes] | Trailing] = []
    at, end = 0, len(octets)
    while at < end:
        kind = octets[at]
        if kind == NO_OPERATION:
            found.append((NO_OPERATION, b""))
            at += 1
            continue
        if kind == END_OF_LIST:
            rest = octets[at + 1 :]
            found.append((END_OF_LIST, b""))
            if rest.count(0) == len(rest):
                found.extend([(END_OF_LIST, b"")] * len(rest))
            else:
                found.append(Trailing(rest))
            break
        length = octets[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            found.append(Trailing(octets[at:]))
            break
        found.append((kind, octets[at + 2 : at + length]))
        at += length
    return found


def join(kind: int, data: bytes) -> bytes:
    """The octets of one option; ValueError when kind or length does not fit an octet."""
    if kind in (END_OF_LIST, NO_OPERATION):
        return bytes((kind,)) + data
    if kind >> 8 or len(data) > 253:
        raise ValueError(f"option kind {kind} with {len(data)} octets of data: kind is an octet, data at most 253")
    return bytes((kind, len(data) + 2)) + data
