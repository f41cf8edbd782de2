"""A worker by itself, for kernels into which only a Python can be brought: ``python -m stack_under_test.worker``.

Programs come on standard input, entries go to standard output, complaints to standard error; it makes its own worlds,
and wants to be root on a machine that is its own.
"""

from __future__ import annotations

import os
import sys
import traceback

from stack_under_test.worker import kernel
from stack_under_test.worker.confine import Surroundings
from stack_under_test.worker.serve import StreamedRecords, Worker
from stack_under_test.worker.setup import LocalSource


def main() -> None:
    with kernel.wide_table():
        down, up, complaints = (kernel.own_fd(os.dup(fd)) for fd in range(3))
    try:
        surroundings = Surroundings((down, up, complaints), private_root=False)
        Worker(down, StreamedRecords(up), LocalSource(), surroundings).serve()
    except Exception:
        os.write(complaints, traceback.format_exc().encode())
        sys.exit(70)


if __name__ == "__main__":
    main()
