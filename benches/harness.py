"""What a bench is made of: cases, contenders, and how they are timed.

A script ``wNN_*.py`` offers ``cases(size)``; ``run.py`` times all of them. Within a case contenders take turns, so that
a slow minute of the machine meets all of them, and the least of several runs counts.
"""

from __future__ import annotations

import importlib.metadata
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "BUDGETS",
    "PATIENCE",
    "VALID_SCALING",
    "Case",
    "Contender",
    "Outcome",
    "installed",
    "quiet_moment",
    "thread_scaling",
    "time_case",
    "unbind",
    "versions",
]

#: Where this process may run, before any peer has been imported.
PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
#: Runs of everything that is quick.
RUNS = 5
#: Seconds that the runs of one contender may take together once it has run.
BUDGETS = {"full": 8.0, "quick": 0.8}
#: Scaling of plain arithmetic on two threads below which a run says little about two threads.
VALID_SCALING = 1.9
#: Seconds that a case may wait until two threads are to be had.
PATIENCE = {"full": 5.0, "quick": 0.3}


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A way to do the work of a case.

    `run` is what the clock sees. Where it does only a seeded `share` of the work, times are divided by that and
    marked. `gap` turns what `run` returned into the largest (P - P*) / P over its fits, outside the clock.
    """

    name: str
    run: Callable[[], Any]
    gap: Callable[[Any], float] | None = None
    share: float = 1.0
    threads: int = 2
    runs: int = RUNS
    #: Distributions whose versions matter.
    packages: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line or more of the table: metafit beside its peers on one problem."""

    workload: str
    name: str
    shape: str
    n_fits: int
    ours: Contender
    peers: Sequence[Contender] = ()
    #: What was to be reached: seconds, and the ratio to peers by name ("*" is the fastest of them).
    seconds: float | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)
    #: What limits metafit here.
    limit: str = ""


@dataclass(frozen=True)
class Outcome:
    """A contender's least time for the whole work."""

    contender: Contender
    wall: float
    cpu: float
    gap: float
    n_runs: int

    @property
    def is_extrapolated(self) -> bool:
        return self.contender.share < 1


def installed(*packages: str) -> bool:
    """Whether all of these distributions are there."""
    try:
        return bool([importlib.metadata.version(package) for package in packages])
    except importlib.metadata.PackageNotFoundError:
        return False


def versions(cases: Sequence[Case]) -> dict[str, str]:
    names = {name for case in cases for one in (case.ours, *case.peers) for name in one.packages}
    names |= {"metafit", "numpy", "scikit-learn"}
    return {name: importlib.metadata.version(name) for name in sorted(names) if installed(name)}


def time_case(case: Case, budget: float = BUDGETS["full"]) -> list[Outcome]:
    """Time metafit and its peers in turns; metafit comes first."""
    contenders = [case.ours, *case.peers]
    clocks = [_Clock(contender, budget) for contender in contenders]
    for _ in range(max(contender.runs for contender in contenders)):
        for clock in clocks:
            clock.tick()
    return [clock.outcome() for clock in clocks]


class _Clock:
    def __init__(self, contender: Contender, budget: float) -> None:
        self.contender, self.budget = contender, budget
        self.walls: list[float] = []
        self.cpus: list[float] = []
        self.last: Any = None

    def tick(self) -> None:
        """Run once more, if its runs and its seconds are not used up. The first of several short runs warms up.

        The first of those that are timed is not charged: it may have compiled what it runs, or started processes, and a
        second one tells.
        """
        if len(self.walls) >= self.contender.runs or sum(self.walls[1:]) > self.budget:
            return
        wall, cpu = self._run()
        if not self.walls and wall <= self.budget / RUNS:
            wall, cpu = self._run()
        self.walls.append(wall)
        self.cpus.append(cpu)

    def _run(self) -> tuple[float, float]:
        unbind()
        cpu, wall = _cpu_seconds(), time.perf_counter()
        self.last = self.contender.run()
        return time.perf_counter() - wall, _cpu_seconds() - cpu

    def outcome(self) -> Outcome:
        one = self.contender
        gap = float("nan") if one.gap is None else float(one.gap(self.last))
        best = int(np.argmin(self.walls))
        return Outcome(one, self.walls[best] / one.share, self.cpus[best] / one.share, gap, len(self.walls))


def _cpu_seconds() -> float:
    """Of this process and all that live under it."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime + sum(_ticks(child) for child in _descendants()) / os.sysconf("SC_CLK_TCK")


def _descendants() -> list[list[str]]:
    """Fields of /proc/*/stat of the processes under this one; none where there is no /proc."""
    stats = [_stat(path) for path in Path("/proc").glob("[0-9]*/stat")]
    parents = {int(stat[0]): (int(stat[1]), stat) for stat in stats if stat}
    found, wave = [], {os.getpid()}
    while wave:
        wave = {pid for pid, (parent, _) in parents.items() if parent in wave}
        found += [parents[pid][1] for pid in wave]
    return found


def _stat(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except OSError:
        return []
    # the name in parentheses may hold anything
    pid, rest = text.split(" (", 1)[0], text.rsplit(") ", 1)[1].split()
    return [pid, rest[1], rest[11], rest[12]]


def _ticks(stat: Sequence[str]) -> int:
    return int(stat[2]) + int(stat[3])


def unbind() -> None:
    """Let this thread, and those it starts, run on all processors: importing adelie binds it to one of them."""
    if PROCESSORS:
        os.sched_setaffinity(0, PROCESSORS)


def quiet_moment(patience: float = PATIENCE["full"]) -> float:
    """Wait some seconds at most for two threads that do twice as much as one; the best scaling that was seen.

    Other work on the machine comes and goes: what starts right after a good answer has the second thread.
    """
    unbind()
    end, best = time.perf_counter() + patience, 0.0
    while True:
        best = max(best, thread_scaling())
        if best >= VALID_SCALING or time.perf_counter() > end:
            return best
        time.sleep(0.05)


def thread_scaling() -> float:
    """How much more plain arithmetic two threads do than one, at this moment."""
    arrays = [np.linspace(0, 1, 16384) for _ in range(2)]

    def work(array: Any) -> None:
        for _ in range(400):
            np.sqrt(array, out=array)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, arrays))
        best = 0.0
        for _ in range(3):
            start = time.perf_counter()
            work(arrays[0])
            alone = time.perf_counter() - start
            start = time.perf_counter()
            list(pool.map(work, arrays))
            best = max(best, 2 * alone / (time.perf_counter() - start))
    return best
