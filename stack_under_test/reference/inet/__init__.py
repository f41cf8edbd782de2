"""AF_INET below the system calls and beside TCP: the family, ports, UDP, ICMP, IP input and output.

`setup.setup(net)` makes a namespace's tables; `af_inet` holds the two tables of socket operations; `input.receive` takes
what the link brings, `output` sends.  A transport protocol registers itself with `setup.register`.
"""
