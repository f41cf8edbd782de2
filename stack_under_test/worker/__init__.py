"""Runs programs on whatever Linux-like kernel is underneath: it holds the TUN or TAP and makes the calls (stdlib
alone).

One process, the *controller*, both injects packets and makes calls, so that everything a step causes has happened
when the step's write or call returns.  What may wait is made by a further process of its own (`lanes`), and "it
blocks" is read from /proc, not concluded from time.

kernel    raw system calls, clone, signal dispositions       arenas   the memory that arguments point into
lanes     processes that make the calls which may wait       waits    may this call wait?
runner    one program in a world                             marks    what a program leaves that closing does not undo
site      a namespace and its link; cleaning it              setup    the world's addresses and sysctls; raw rtnetlink
plans     how each call is made                              prepare  what can be known of a step beforehand
codec     programs and traces as octets                      confine  what a program cannot reach
serve     the loop that a parent talks to                    reader   the parent's side of it
handover  a forked task without a fork
"""
