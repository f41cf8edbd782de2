"""The guest of `guest.py` in a stock kernel under qemu: the first process of an initramfs that holds nothing else.

It runs the programs it finds in the initramfs, in the same way, writes their entries to the second serial line, and
switches the machine off.  What a stock kernel cannot do is left out: its randomness and the origins of its clocks are not
set back, so octets differ between programs and runs; times do not hang on them.
"""

from __future__ import annotations

import codecs
import ctypes
import gc
import marshal
import os
import termios
import time
import traceback

from stack_under_test.contract.world import HOST_OWNED
from stack_under_test.uml.guest import SETTLED_NS, Guest
from stack_under_test.worker import kernel
from stack_under_test.worker.codec import unpack_programs
from stack_under_test.worker.confine import Surroundings
from stack_under_test.worker.serve import read_exactly

PROGRAMS, MODULE = "/sockdiff/programs", "/sockdiff/tun.ko"
"""Where these lie in the initramfs."""
LINE = "/dev/ttyS1"
_SYS_FINIT_MODULE = 313
_POWER_OFF = 0x4321FEDC
_CODECS = ("ascii", "latin-1", "utf-8", "idna")


class StockGuest(Guest):
    """Runs one batch and is done."""

    def run_all(self, octets: bytes, host: tuple[str, ...]) -> None:
        gc.disable()
        self._clock.sleep_until(max(time.monotonic_ns(), SETTLED_NS))
        self._entries.stepwise = True
        self._adopt(host)
        for world, flat in unpack_programs(octets):
            self._run(world, flat)

    def _restart(self) -> None:
        """There is nothing in a stock kernel that would."""

    def _note(self, on: bool) -> None:
        pass


def _prepare() -> tuple[int, int]:
    """File systems, the driver of the link, the line to the host; descriptors of the line and of what complaints go to."""
    for kind, place in (("proc", "/proc"), ("devtmpfs", "/dev")):
        os.makedirs(place, exist_ok=True)
        kernel.mount(kind, place, kind, 0)
    module = os.open(MODULE, os.O_RDONLY)
    if kernel.syscall(_SYS_FINIT_MODULE, module, ctypes.addressof(ctypes.create_string_buffer(b"")), 0, 0, 0, 0) != 0:
        raise kernel.failure(MODULE)
    os.close(module)
    for name in _CODECS:
        codecs.lookup(name)
    with kernel.wide_table():
        line = kernel.own_fd(os.open(LINE, os.O_RDWR | os.O_NOCTTY))
        console = kernel.own_fd(os.open("/dev/console", os.O_WRONLY))
    settings = termios.tcgetattr(line)
    settings[0] = settings[1] = settings[3] = 0
    termios.tcsetattr(line, termios.TCSANOW, settings)
    return line, console


def main() -> None:
    """As process 1 there is nothing to return to: the machine is switched off."""
    try:
        line, console = _prepare()
        with open(PROGRAMS, "rb") as file:
            host, programs = marshal.loads(read_exactly(file.fileno(), os.fstat(file.fileno()).st_size) or b"")
        with kernel.wide_table():
            core = [kernel.own_fd(os.open("/proc/sys/" + name.replace(".", "/"), os.O_RDWR)) for name in HOST_OWNED]
        surroundings = Surroundings((line, console, *core), private_root=False)
        with kernel.wide_table():
            surroundings.root = kernel.own_fd(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
        StockGuest(line, core, surroundings).run_all(programs, host)
        termios.tcdrain(line)
    except BaseException:
        text = traceback.format_exc()
        with open("/dev/console", "w", encoding="utf-8") as report:
            report.write(text)
    finally:
        ctypes.CDLL(None).reboot(_POWER_OFF)
