"""Target `linux`: the kernel of this machine, in network namespaces made for it.

availability   can it be used here?                nursery      the process that makes worlds and workers
worlds         namespaces, through pyroute2        connection   one worker, seen from here
target         the target itself                   bare         the simplest lockstep, as the limit of speed
"""

from stack_under_test.linux.availability import available
from stack_under_test.linux.target import LinuxTarget

__all__ = ["LinuxTarget", "available"]
