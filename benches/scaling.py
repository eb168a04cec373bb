"""How time and memory grow with the number of lazy tasks, and what a second thread brings.

10^3, 10^4, 10^5 tasks, each made when it is asked for; then the work of W2 and W3 on one thread and on two.
Memory grows up to the first 8,334 tasks, which are one call of the core (100,000 fits), and stays there.

python benches/scaling.py            # under two minutes
python benches/scaling.py --quick    # 10^3 and 10^4 tasks, quick sizes: some seconds
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import w02_logistic_subsets
import w03_many_small_tasks
from harness import PATIENCE, VALID_SCALING, quiet_moment

from metafit.engine import stream_tasks

N, P, ALPHAS, FOLDS = 50, 5, [0.1, 0.03, 0.01], 3


def tasks(count: int) -> Iterator[Any]:
    for seed in range(count):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(N, P))
        yield X, X @ rng.normal(size=P) + rng.normal(size=N)


def measure(count: int) -> None:
    """One line: tasks, seconds, seconds of making the tasks, highest memory."""
    start = time.perf_counter()
    for _ in tasks(count):
        pass
    made = time.perf_counter() - start
    start = time.perf_counter()
    total = sum(
        float(part.scores["mean_squared_error"].sum())
        for part in stream_tasks(tasks(count), penalty="l1", alphas=ALPHAS, folds=FOLDS, keep="scores")
    )
    seconds = time.perf_counter() - start - made
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    micro = seconds / count * 1e6
    print(f"{count:8d} tasks {seconds:8.2f} s {micro:8.1f} us a task {memory:8.0f} MB  ({total:.6g})")


def compare_threads(size: str) -> None:
    """One line a workload: seconds on one thread and on two, in turns, beside what plain arithmetic gains."""
    for module in (w02_logistic_subsets, w03_many_small_tasks):
        work = module.work(size)
        plain = quiet_moment(PATIENCE[size])
        walls: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(5):
            for n_threads, wall in walls.items():
                start = time.perf_counter()
                work(n_threads)
                wall.append(time.perf_counter() - start)
        one, two = min(walls[1]), min(walls[2])
        name = module.__name__.split("_")[0].upper().replace("W0", "W")
        name += "" if plain >= VALID_SCALING else "!"
        print(f"{name}: 1 thread {one:.3f} s, 2 threads {two:.3f} s: {one / two:.2f}x; plain arithmetic {plain:.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--count", type=int, default=None, help="only so many tasks, in this process")
    arguments = parser.parse_args()
    if arguments.count is not None:
        measure(arguments.count)
        return
    for count in (1000, 10_000) if arguments.quick else (1000, 10_000, 100_000):
        # a process each, since the highest memory of one does not fall again
        subprocess.run([sys.executable, __file__, "--count", str(count)], check=True)
    compare_threads("quick" if arguments.quick else "full")


if __name__ == "__main__":
    main()
