"""Stock kernels under qemu: the archive they boot from, and what is said where they cannot run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stack_under_test.contract.parser import parse_program
from stack_under_test.contract.target import Unavailable
from stack_under_test.contract.trace import Blocked, Completion, FrameOut
from stack_under_test.uml import stock
from stack_under_test.uml.initramfs import initramfs
from stack_under_test.uml.places import Kernel, available
from stack_under_test.uml.stock_guest import PROGRAMS

SECOND = 1_000_000_000


def unpack(octets: bytes) -> dict[str, tuple[int, bytes]]:
    """Path -> mode and content, in the archive's order."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert octets[at : at + 6] == b"070701"
        fields = [int(octets[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)]
        name = octets[at + 110 : at + 109 + fields[11]].decode()
        start = at + (110 + fields[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        assert name not in found
        found[name] = fields[1], octets[start : start + fields[6]]
        at = start + (fields[6] + 3) // 4 * 4


@pytest.fixture(scope="module")
def archive() -> dict[str, tuple[int, bytes]]:
    return unpack(initramfs("stack_under_test.uml.stock_guest", {PROGRAMS: b"abc"}))


def test_folders_come_before_what_lies_in_them(archive: dict[str, tuple[int, bytes]]) -> None:
    seen = {""}
    for name, (mode, _) in archive.items():
        assert os.path.dirname(name) in seen, name
        if mode & 0o170000 == 0o040000:
            seen.add(name)
    assert archive[PROGRAMS.lstrip("/")][1] == b"abc"
    assert archive["dev/console"][0] & 0o170000 == 0o020000


def test_it_holds_a_python_that_runs(archive: dict[str, tuple[int, bytes]], tmp_path: Path) -> None:
    """Unpacked, without anything else of this machine, it imports what the guest imports."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    for name, (mode, octets) in archive.items():
        path = tmp_path / name
        kind = mode & 0o170000
        if kind == 0o040000:
            path.mkdir()
        elif kind == 0o120000:
            path.symlink_to(octets.decode())
        elif kind == 0o100000:
            path.write_bytes(octets)
            path.chmod(mode & 0o777)
    init = archive["init"][1].decode().replace("main()", "print('ready')")
    (tmp_path / "init").write_text(init, "utf-8")
    done = subprocess.run([shutil.which("chroot") or "chroot", tmp_path, "/init"], capture_output=True, text=True, check=False)
    assert done.stdout == "ready\n", done.stderr


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(Unavailable, match="no_such_module"):
        initramfs("no_such_module", {})


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(Unavailable, match="apt-get install qemu-system-x86 apt dpkg"):
        stock.find("6.12.1")


def test_the_same_release_is_taken_before_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["6.12.9+deb12-amd64", "6.12.12+deb12-amd64", "6.12.12+deb12-cloud-amd64", "6.12.12+deb12-amd64-dbg", "6.12-amd64"]
    said = "\n".join(f"linux-image-{name}" for name in names)
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess((), 0, said))
    assert stock.find("6.12.9").release == "6.12.9+deb12-amd64"
    assert stock.find("6.12.1").release == "6.12.12+deb12-amd64"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess((), 0, ""))
    with pytest.raises(Unavailable, match=r"no package linux-image-6\.12"):
        stock.find("6.12.9")


def fetched() -> stock.Stock:
    """The stock kernel, where one has been downloaded; no test downloads one."""
    reason = available()
    if reason is not None:
        pytest.skip(reason)
    try:
        found = stock.find(str(Kernel().facts().get("release", "6.12")))
    except Unavailable as failure:
        pytest.skip(str(failure))
    if not (found.image.exists() and found.tun.exists()):
        pytest.skip(f"{found.package} was not downloaded: sockdiff uml check")
    return found


def test_a_stock_kernel_tells_times() -> None:
    programs = [
        parse_program("r0 = socket(AF_INET, SOCK_DGRAM, 0)\nt1: poll([{r0, POLLIN}], 1, 5000)\nadvance 1000s\n"),
        parse_program('link tap\nr0 = socket(AF_INET, SOCK_DGRAM, 0)\nsendto(r0, "x", 1, 0, {AF_INET, 192.0.2.2, 53}, 16)\n'),
    ]
    traces, traits = fetched().run(programs, 300 * SECOND, lambda line: None)
    assert traits.virtual_time
    assert isinstance(traces[0].steps[1].outcome, Blocked)
    (event,) = traces[0].steps[2].events
    assert isinstance(event, Completion)
    assert 5 * SECOND <= event.at - traces[0].steps[1].started < 6 * SECOND
    assert any(isinstance(event, FrameOut) for step in traces[1].steps for event in step.events)


def test_one_that_takes_too_long_is_ended() -> None:
    found = fetched()
    with pytest.raises(Unavailable, match="took too long"):
        found.run([parse_program("advance 1s\n")], 1, lambda line: None)


def test_the_python_that_is_brought_is_this_one(archive: dict[str, tuple[int, bytes]]) -> None:
    assert os.path.realpath(sys.executable).lstrip("/") in archive
