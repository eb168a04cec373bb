"""Run a study again and again and kill it at random moments; say how often it was caught at work.

Everything is imported once, then each run is a fork: ten runs with their imports would take a minute.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path

from metafit.strategies import Strategy
from metafit.strategies.alphas import CV, OfMax
from metafit.study import Study
from metafit.tasks import LazyTask, TaskSuite, load_suite

STRATEGIES = [
    Strategy(loss="squared"),
    Strategy(loss="squared", penalty="l1", alpha=OfMax(0.1)),
    Strategy(loss="squared", alpha=CV()),
]


def load(i):
    rows = range(i, i + 80)
    return load_suite("toy")["diabetes"].take(rows).rename(f"task{i:02}", "diabetes")


def suite():
    return TaskSuite([LazyTask(f"task{i:02}", partial(load, i), kind="regression") for i in range(24)])


def run(folder):
    Study(folder).run(suite(), STRATEGIES, folds=3, repeats=2, progress=False)


def start(folder):
    code = 1
    try:
        if child := os.fork():
            return child
        run(folder)
        code = 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def interrupt(child, kill):
    """Signal a child; return its exit code (negative: the signal that ended it) and the seconds it took."""
    os.kill(child, kill)
    begin = time.perf_counter()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), time.perf_counter() - begin


def n_parts(folder):
    return len(list((folder / "scores").glob("*.parquet")))


def kill_often(root, name, duration, kill, times, random_state):
    """Kill a study until it was caught `times` times; whenever it was too quick, go on with a new one."""
    draw = random.Random(random_state)
    folder, caught = root / f"{name}0", []
    for attempt in range(3 * times):
        child = start(folder)
        time.sleep(draw.uniform(0, duration))
        code, seconds = interrupt(child, kill)
        if code == 0:
            folder = root / f"{name}{attempt + 1}"
            continue
        caught.append({"code": code, "seconds": seconds, "parts": n_parts(folder)})
        if len(caught) == times:
            break
    return caught


def finish(children):
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(codes):
        raise SystemExit(f"a run ended with {codes}")


def main(root):
    begin = time.perf_counter()
    finish([start(root / "whole")])
    duration = time.perf_counter() - begin
    report = {
        "killed": kill_often(root, "killed", duration / 3, signal.SIGKILL, 10, 0),
        "interrupted": kill_often(root, "interrupted", duration / 2, signal.SIGINT, 3, 1),
    }
    for folder in [*root.glob("killed*"), *root.glob("interrupted*")]:
        finish([start(folder)])
    finish([start(root / "twice"), start(root / "twice")])
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
