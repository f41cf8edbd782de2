"""Workers that hang or die, parents that die, machines that cannot."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack_under_test.contract import abi
from stack_under_test.contract.program import Advance, Program
from stack_under_test.contract.target import Target, Unavailable
from stack_under_test.contract.trace import Killed
from stack_under_test.contract.values import NULL, Ref
from stack_under_test.contract.world import HOST_OWNED, KERNEL, MACHINE, SMALL_HEAD
from stack_under_test.linux import LinuxTarget, availability, available
from stack_under_test.linux.bare import CONVERSATION, bare_lockstep, bare_programs
from stack_under_test.linux.target import UNORDERED
from stack_under_test.linux.tests.programs import call, established, listening, program
from stack_under_test.linux.tests.traces import frames, results

MS = 1_000_000
STREAM = call("socket", abi.AF_INET, abi.SOCK_STREAM, 0)


@pytest.fixture
def brief(namespace: None) -> Iterator[LinuxTarget]:
    """A target of its own, with a short limit."""
    with LinuxTarget(limit_ns=400 * MS) as target:
        yield target


def children(pid: int) -> list[int]:
    """The processes that `pid` has started and that are still there."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def nursery_of(target: LinuxTarget) -> int:
    return target._nursery._process.pid


def worker_of(target: LinuxTarget) -> int:
    (pid,) = children(nursery_of(target))
    return pid


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_is_a_target(linux: LinuxTarget) -> None:
    target: Target = linux
    assert target.traits.name == "linux"
    assert target.traits.release == os.uname().release
    assert target.traits.observes_blocking
    assert {name for name, _ in target.traits.facts} - {UNORDERED[0]} == {KERNEL, MACHINE, SMALL_HEAD, *HOST_OWNED}


def test_metadata(linux: LinuxTarget) -> None:
    metadata = dict(linux.run(program(STREAM)).metadata)
    assert metadata["net.ipv4.tcp_congestion_control"] == "reno"
    assert metadata["kernel"] == os.uname().release


def test_empty_program(linux: LinuxTarget) -> None:
    assert linux.run(Program(())).steps == ()


def test_stamps_grow(linux: LinuxTarget) -> None:
    stamps = [stamp for step in linux.run(program(*established())).steps for stamp in (step.started, step.ended)]
    assert stamps == sorted(stamps)
    assert stamps[0] >= 0


def test_advance_is_exact(linux: LinuxTarget) -> None:
    step = linux.run(program(Advance(20 * MS))).steps[0]
    assert 20 * MS <= step.ended - step.started < 40 * MS


def test_hang(brief: LinuxTarget) -> None:
    """A worker that does not answer is ended, the step it was in is named, and the next program gets a fresh one."""
    slow = program(STREAM, Advance(300 * MS), STREAM)
    stop = threading.Timer(0.1, os.kill, (worker_of(brief), signal.SIGSTOP))
    stop.start()
    trace = brief.run(slow)
    assert [type(step.outcome).__name__ for step in trace.steps] == ["Returned", "Killed"]
    assert trace.steps[1].outcome == Killed("hang")
    assert results(brief.run(slow)) == [(3, ""), "Done", (4, "")]


def test_death(brief: LinuxTarget) -> None:
    """So is one that dies; programs behind it in the batch are run all the same."""
    slow = program(STREAM, Advance(300 * MS), STREAM)
    threading.Timer(0.1, os.kill, (worker_of(brief), signal.SIGKILL)).start()
    traces = brief.run_many([program(STREAM), slow, program(STREAM, STREAM)])
    assert results(traces[0]) == [(3, "")]
    assert results(traces[1]) == [(3, ""), "Killed"]
    assert traces[1].steps[1].outcome == Killed("SIGKILL")
    assert results(traces[2]) == [(3, ""), (4, "")]


def test_death_between_programs(brief: LinuxTarget) -> None:
    worker = worker_of(brief)
    os.kill(worker, signal.SIGKILL)
    assert results(brief.run(program(STREAM))) == [(3, "")]


def test_interrupted(brief: LinuxTarget) -> None:
    """Ctrl-C while a program runs: what was submitted is forgotten, and the target can be used."""
    threading.Timer(0.1, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        brief.run(program(Advance(300 * MS)))
    assert results(brief.run(program(STREAM, STREAM))) == [(3, ""), (4, "")]


def test_bare_lockstep(namespace: None) -> None:
    assert bare_lockstep(20) > 0
    assert bare_programs(20) > 0


def test_the_bare_program_is_what_the_bare_loop_does(brief: LinuxTarget) -> None:
    """No call fails, and the replies come at the steps after which the loop reads them."""
    trace = brief.run(CONVERSATION)
    assert all(value >= 0 for value, _ in (result for result in results(trace) if isinstance(result, tuple)))
    assert [at for at, step in enumerate(trace.steps) if frames(step)] == [4, 8, 10, 13, 17]


def test_death_of_a_lane(brief: LinuxTarget) -> None:
    """A task that dies in a call ends the program there; the worker goes on."""
    worker = worker_of(brief)
    brief.run(program(*listening(), call("accept", Ref(0), NULL, NULL)))
    (lane,) = children(worker)
    threading.Timer(0.1, os.kill, (lane, signal.SIGKILL)).start()
    trace = brief.run(program(*listening(), call("accept", Ref(0), NULL, NULL), Advance(300 * MS), STREAM))
    assert results(trace) == [(3, ""), (0, ""), (0, ""), "Blocked", "Killed"]
    assert trace.steps[4].outcome == Killed("SIGKILL")
    assert worker_of(brief) == worker
    assert results(brief.run(program(*listening(), call("accept", Ref(0), NULL, NULL))))[3] == "Blocked"


def test_run_many_keeps_order(namespace: None) -> None:
    with LinuxTarget(workers=3) as target:
        traces = target.run_many(program(*[STREAM] * (number % 7 + 1)) for number in range(200))
    assert [len(trace.steps) for trace in traces] == [number % 7 + 1 for number in range(200)]


def test_closing_leaves_nothing(namespace: None) -> None:
    target = LinuxTarget(workers=2)
    target.run(program(*listening(), call("accept", Ref(0), NULL, NULL)))
    nursery = nursery_of(target)
    family = [nursery, *children(nursery), *(pid for worker in children(nursery) for pid in children(worker))]
    assert len(family) >= 5
    target.close()
    target.close()
    assert all(gone(pid) for pid in family)


def test_interrupt_does_not_reach_the_worker(namespace: None) -> None:
    """Ctrl-C goes to the foreground process group; workers are in another session."""
    with LinuxTarget() as target:
        assert os.getsid(worker_of(target)) != os.getsid(0)


def test_nothing_survives_a_killed_parent(namespace: None) -> None:
    code = (
        "import sys, time\n"
        "from stack_under_test.linux import LinuxTarget\n"
        "from stack_under_test.linux.tests.programs import *\n"
        "from stack_under_test.contract.values import NULL\n"
        "target = LinuxTarget()\n"
        "target.run(program(*listening(), call('accept', Ref(0), NULL, NULL)))\n"
        "print(target._nursery._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        nursery = int(parent.stdout.readline())
        (worker,) = children(nursery)
        family = [nursery, worker, *children(worker)]
        assert not any(gone(pid) for pid in family)
        parent.kill()
    deadline = time.monotonic_ns() + 5_000 * MS
    while not all(gone(pid) for pid in family) and time.monotonic_ns() < deadline:
        os.sched_yield()
    assert all(gone(pid) for pid in family)


def test_a_target_that_is_not_closed_ends(namespace: None) -> None:
    target = LinuxTarget()
    nursery = nursery_of(target)
    del target
    assert gone(nursery)


# Machines that cannot


def test_available_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "_TUN", "/dev/net/none")
    reason = available()
    assert reason is not None
    assert "/dev/net/none" in reason
    assert "\n" not in reason
    with pytest.raises(Unavailable, match="/dev/net/none"):
        LinuxTarget()


def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert available() == "needs Linux, this is darwin"


def test_available_does_not_import_pyroute2() -> None:
    code = (
        "import sys; from stack_under_test.linux import available; available()\n"
        "sys.exit(any(name.startswith('pyroute2') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")
def test_without_root(namespace: None) -> None:
    """A process without rights gets a user namespace, or one line that says what is missing."""
    library = Path(os.__file__)
    if not all(path.stat().st_mode & 0o001 for path in library.parents):
        pytest.skip(f"{library} cannot be read by another user")
    code = (
        "import os\n"
        "from stack_under_test.contract.target import Unavailable\n"
        "from stack_under_test.linux import LinuxTarget\n"
        "from stack_under_test.linux.tests.programs import *\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    with LinuxTarget() as target:\n"
        "        print(results(target.run(program(*listening()))))\n"
        "except Unavailable as missing:\n"
        "    print(missing)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1, done
    assert done.stdout.startswith(("[(3, ''), (0, ''), (0, '')]", "cannot ", "needs "))
