"""The command in a process of its own, as users run it, with targets of somebody else's installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
AGREES = "r0 = socket(AF_INET, SOCK_STREAM, 0)\nlisten(r0, 1)\n"
SHOWS_BUG = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
connect(r0, {AF_INET, 192.0.2.2, 7}, 16)
< tcp 7 > port(r0) S. seq peer+0 ack iss+1
"""
OF_RELEASES = """\
r0 = socket(AF_INET, SOCK_STREAM, 0)
setsockopt(r0, SOL_SOCKET, SO_PASSCRED, [1], 4)
"""
_PLANTED = """\
from conformance.tests.kernels import NEWER, OLDER, Posing, failing, sound
from fuzz.quality.planted import BUGS, Planted
from stack_under_test.reference.target import ReferenceTarget
from stack_under_test.registry import Kind

def make(options):
    if set(options) - {"bug"}:
        raise ValueError("unknown option")
    return Planted(ReferenceTarget(), BUGS[int(options.get("bug", "1"))])

def kernel(release):
    def make(options):
        return Posing(release, failing(options["wrong"], 1) if "wrong" in options else sound)
    return Kind(f"the reference stack posing as Linux {release}; wrong=CALL, that fails", make)

NEWER_KIND, OLDER_KIND = kernel(NEWER), kernel(OLDER)
KIND = Kind("the reference stack with a planted bug", make)
MISSING = Kind("never there", make, lambda: "the moon is in the wrong phase")
"""
_ENTRY_POINTS = """\
[sockdiff.targets]
planted = planted_for_tests:KIND
newer = planted_for_tests:NEWER_KIND
older = planted_for_tests:OLDER_KIND
missing = planted_for_tests:MISSING
broken = no_such_module_for_tests:KIND
"""

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a machine on which another distribution's targets are installed."""
    site = tmp_path_factory.mktemp("site")
    (site / "planted_for_tests.py").write_text(_PLANTED)
    info = site / "planted-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 0\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    path = os.pathsep.join([str(ROOT), str(site)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def sockdiff(environment: dict[str, str], tmp_path: Path) -> Command:
    """Runs the command in an empty directory; what it printed, and its status."""

    def run(*arguments: object, **how: object) -> subprocess.CompletedProcess[str]:
        settings: dict[str, object] = {
            "env": environment, "cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120, **how
        }  # fmt: skip
        return subprocess.run(command(*arguments), check=False, **settings)  # type: ignore[call-overload,no-any-return]

    return run


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "sockdiff.py"), *map(str, arguments)]


@pytest.fixture
def program_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "program.sock"
        path.write_text(text)
        return path

    return write
