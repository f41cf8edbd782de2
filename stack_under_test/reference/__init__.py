"""The reference stack: Linux's layering in pure Python, no I/O, no clock, no threads, no randomness of its own.

syscalls -> sockfd_lookup, move_addr_to_kernel -> proto_ops of the family (inet) -> proto (tcp, udp) -> ip -> device.
"""
