"""Bytes <-> headers: lenient to read anything, exact to write anything.

Each module holds one header as an immutable value and two functions. `read(octets)` never raises, whatever the
octets; it answers None only when they are shorter than the fixed header. `write(header, ...)` raises ValueError only
when a value cannot fit its field. `write(read(octets)) == octets`, octet for octet, also for malformed input.

A computed field (a length, an offset, a checksum) that is None means "the right value"; `read` fills in what it
found. Addresses are packed bytes, everything else is an int.

Decides nothing about validity: whether a packet is to be dropped, and why, belongs to the stacks.
"""
