"""How time and memory grow with the number of lazy tasks: 10^3, 10^4, 10^5 of them, each made when it is asked for.

python benches/scaling.py [--most 100000]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000)
    parser.add_argument("--count", type=int, default=None, help="only so many, in this process")
    arguments = parser.parse_args()
    if arguments.count is not None:
        measure(arguments.count)
        return
    count = 1000
    while count <= arguments.most:
        # a process each, since the highest memory of one does not fall again
        subprocess.run([sys.executable, __file__, "--count", str(count)], check=True)
        count *= 10


if __name__ == "__main__":
    main()
