"""Many generated programs on a pair of targets, by several processes, into a record that loses nothing.

Programs are numbered; chunks of numbers are handed out as jobs ask for them.  A finding is on disk before its job goes
on, first as it was met, then again when it has been shrunk: the later line with the same key stands.  Counts
are recorded up to the first chunk that is not finished, so that a campaign which was killed, or interrupted, goes on
there and counts nothing twice.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from conformance.harness.baseline import Baseline
from conformance.harness.coverage import Coverage
from conformance.harness.coverage import from_json as coverage_from_json
from conformance.harness.record import Finding, Recorder, open_record
from fuzz.jobs import Chunk, Done, Failed, Found, Job, Said, Shrunk, Task
from fuzz.profile import DEFAULT, Profile
from fuzz.shrink import BUDGET
from fuzz.totals import Totals, from_json

CHUNK = 25
"""Programs handed out at a time."""

_NS = 1_000_000_000
_LOOK = 0.2
"""Seconds between looks at the clock and at Ctrl-C while no job says anything."""

_DEATHS = 2


class CampaignError(Exception):
    """The campaign cannot go on; one line. What was found is kept."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to run.

    left, right  targets, as `stack_under_test.registry` takes them
    programs     how many, or None: as many as `limit_ns` allows
    baseline     divergences that are known, for `release` of the left target
    metadata     what the record is to hold beside what the campaign itself knows
    """

    left: str
    right: str
    out: Path
    seed: int = 0
    programs: int | None = None
    limit_ns: int | None = None
    jobs: int = 1
    profile: Profile = DEFAULT
    baseline: Baseline = field(default_factory=Baseline)
    release: str = ""
    budget: int = BUDGET
    metadata: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of it. `findings`: one per fingerprint and explanation, shrunk where possible; `occurrences` by their keys;
    `unlisted`: those that nothing explains and the baseline lacks."""

    totals: Totals
    findings: tuple[Finding, ...]
    occurrences: dict[str, int]
    interrupted: bool
    elapsed_ns: int
    ran: int
    coverage: Coverage = field(default_factory=Coverage)

    @property
    def unlisted(self) -> tuple[Finding, ...]:
        found = [found for found in self.findings if found.status == "diverge"]
        return tuple([one for one in found if not one.listed and not one.explained])


Watcher = Callable[[int, Totals, int], None]
"""Told how far it is: permille done, what was counted, findings so far."""


def latest(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding per key and status: the last, which is the shrunk one."""
    return tuple({(found.status, found.key): found for found in findings}.values())


def run_campaign(order: Order, watch: Watcher = lambda permille, totals, findings: None) -> Summary:
    """Run, or go on with what `order.out` holds. Raises CampaignError, or RecordError when it cannot be recorded."""
    metadata = {
        "left": order.left,
        "right": order.right,
        "seed": order.seed,
        "programs": order.programs,
        "limit_ns": order.limit_ns,
        "jobs": order.jobs,
        **dict(order.metadata),
    }
    # What was reached on one build of a kernel says nothing about another.
    identity = ("left", "right", "seed", "timed", "coverage")
    with open_record(order.out, metadata, identity) as recorder, _interrupts() as interrupted:
        campaign = _Campaign(order, recorder, watch, interrupted)
        try:
            return campaign.run()
        finally:
            campaign.close()


class _Campaign:
    def __init__(self, order: Order, recorder: Recorder, watch: Watcher, interrupted: threading.Event) -> None:
        self._order = order
        self._recorder = recorder
        self._watch = watch
        self._interrupted = interrupted
        self._began = time.monotonic_ns()
        self._synced = self._began
        record = recorder.record
        self._totals = from_json(record.counts)
        self._occurrences: Counter[str] = Counter(dict(record.occurrences))
        self._coverage = coverage_from_json(record.coverage)
        self._next = self._resumed = record.next_number
        self._seen = {(found.status, found.key) for found in record.findings}
        self._finished: dict[int, Done] = {}
        self._chunks = self._plan()
        self._again: list[Chunk] = []
        self._deaths: Counter[int] = Counter()
        self._ran = 0
        self._jobs: list[Job] = []

    def run(self) -> Summary:
        order = self._order
        self._list_again()
        task = Task(order.left, order.right, order.seed, order.profile, order.budget)
        self._jobs = [Job(task) for _ in range(order.jobs)]
        idle = list(self._jobs)
        while True:
            for job in idle:
                self._give(job)
            busy = [job for job in self._jobs if job.chunk is not None]
            if not busy or self._interrupted.is_set():
                break
            idle = self._hear(busy, task)
            self._show()
            self._sync()
        return self._summary()

    def close(self) -> None:
        """End the jobs and record how far it came."""
        for job in self._jobs:
            job.stop()
        for job in self._jobs:
            job.end()
        self._sync(now=True)

    # --- work

    def _plan(self) -> Iterator[Chunk]:
        """Chunks to hand out, as long as there are programs and time."""
        number = first = self._next
        deadline = None if self._order.limit_ns is None else self._began + self._order.limit_ns
        while self._order.programs is None or first < self._order.programs:
            if deadline is not None and time.monotonic_ns() >= deadline:
                return
            end = first + CHUNK if self._order.programs is None else min(first + CHUNK, self._order.programs)
            yield Chunk(number, first, end)
            number, first = end, end

    def _give(self, job: Job) -> None:
        chunk = self._again.pop() if self._again else next(self._chunks, None)
        job.chunk = None
        if chunk is not None:
            job.give(chunk)

    def _hear(self, busy: list[Job], task: Task) -> list[Job]:
        """Take in what the jobs say; those that want work are given back."""
        idle = []
        for pipe in wait([job.pipe for job in busy], _LOOK):
            job = next(job for job in busy if job.pipe is pipe)
            try:
                said: Said = job.pipe.recv()
            except (EOFError, OSError):
                idle.append(self._died(job, task))
                continue
            if self._take(job, said):
                idle.append(job)
        return idle

    def _take(self, job: Job, said: Said) -> bool:
        """True when the job is done with its chunk."""
        match said:
            case Found(found):
                key = (found.status, found.key)
                new = key not in self._seen
                if new:
                    self._seen.add(key)
                    self._recorder.add(self._with_listing(found))
                job.pipe.send(new and found.status == "diverge")
            case Shrunk(found):
                self._recorder.add(self._with_listing(found))
            case Done(number):
                self._finished[number] = said
                assert job.chunk is not None
                self._ran += job.chunk.end - job.chunk.first
                self._count(job.chunk)
                return True
            case Failed(reason):
                raise CampaignError(reason)
        return False

    def _with_listing(self, found: Finding) -> Finding:
        if found.explained:
            return found
        entry = self._order.baseline.entry(found.fingerprint, self._order.release)
        return replace(found, listed=entry.reason if entry is not None else "")

    def _list_again(self) -> None:
        """What is resumed is judged by the baseline as it is now."""
        for found in latest(self._recorder.record.findings):
            if (listed := self._with_listing(found)) != found:
                self._recorder.add(listed)

    def _count(self, chunk: Chunk) -> None:
        """Add up what is finished, as far as there is no hole."""
        while (done := self._finished.pop(self._next, None)) is not None:
            counted = from_json(done.totals)
            self._totals.add(counted)
            self._occurrences.update(dict(done.occurrences))
            self._coverage.merge(coverage_from_json(done.coverage))
            self._next += counted.programs

    def _died(self, job: Job, task: Task) -> Job:
        """A job's process is gone: its chunk is tried again by another, and given up when that dies too."""
        chunk = job.chunk
        assert chunk is not None
        self._jobs.remove(job)
        job.end()
        self._deaths[chunk.number] += 1
        if self._deaths[chunk.number] < _DEATHS:
            self._again.append(chunk)
        else:
            size = chunk.end - chunk.first
            self._finished[chunk.number] = Done(chunk.number, Totals(programs=size, lost=size).as_json(), {}, {})
            self._count(chunk)
        if sum(self._deaths.values()) > _DEATHS * 10:
            raise CampaignError("the processes that run the programs keep dying")
        new = Job(task)
        self._jobs.append(new)
        return new

    # --- what is seen of it

    def _show(self) -> None:
        elapsed = time.monotonic_ns() - self._began
        parts = [0]
        if self._order.programs:
            parts.append(1000 * (self._resumed + self._ran) // self._order.programs)
        if self._order.limit_ns:
            parts.append(1000 * elapsed // self._order.limit_ns)
        self._watch(max(parts), self._totals, sum(status == "diverge" for status, _ in self._seen))

    def _sync(self, now: bool = False) -> None:
        """Record how far it came, once a second."""
        if now or time.monotonic_ns() - self._synced > _NS:
            self._synced = time.monotonic_ns()
            coverage = self._coverage.as_json()
            self._recorder.update(self._totals.as_json(), self._occurrences, self._next, coverage)

    def _summary(self) -> Summary:
        return Summary(
            self._totals,
            latest(self._recorder.record.findings),
            dict(self._occurrences),
            self._interrupted.is_set(),
            time.monotonic_ns() - self._began,
            self._ran,
            self._coverage,
        )


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Ctrl-C sets the event instead of raising somewhere: a finding that is being written is written."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    old = signal.signal(signal.SIGINT, lambda signo, frame: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, old)


def usual_jobs() -> int:
    """As many as there are processors to run on."""
    return max(1, len(os.sched_getaffinity(0)))
