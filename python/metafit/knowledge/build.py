"""Measure what ships with the package: the default strategies on all real tables.

``python -m metafit.knowledge.build runs/knowledge`` resumes where it was stopped, and then writes what there is. With
``--add`` it measures only the default strategies that what ships lacks, and adds them to it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metafit.knowledge import files, tables
from metafit.knowledge.knowledge import Knowledge
from metafit.strategies.grids import default_strategies
from metafit.strategies.strategy import Strategy
from metafit.study import Study
from metafit.tasks import TaskSuite, load_suite

__all__ = ["added", "compact", "main", "rounds"]

#: Larger tables are sampled down to this many rows.
MAX_ROWS = 10_000
#: Significant bits that are kept: relative errors of at most 2.4e-7 and 1.6%.
LOSS_BITS, SECONDS_BITS = 21, 5
_KINDS = ("regression", "classification")


def rounds(known: Collection[str] = ()) -> Iterator[list[Strategy]]:
    """Give the strategies of the equation, then one tree ensemble a kind at a time, the most useful first.

    A run that is stopped between rounds has whole columns. What is known, by its id, is left out.
    """
    equation = [strategy for kind in _KINDS for strategy in default_strategies(kind)]
    trees = ([s for s in default_strategies(kind, "full") if s.estimator is not None] for kind in _KINDS)
    for strategies in (equation, *zip(*trees, strict=True)):
        if unknown := [strategy for strategy in strategies if strategy.id not in known]:
            yield unknown


def compact(known: Knowledge) -> Knowledge:
    """Keep losses to six digits and seconds to two: a fraction of the bytes, and the same figures.

    Metrics are left out: what is learned from is the loss.
    """
    cells = known.scores.cells[tables.CELLS]
    cells = cells.assign(loss=_rounded(cells["loss"], LOSS_BITS), seconds=_rounded(cells["seconds"], SECONDS_BITS))
    return Knowledge(tables.changed(known.scores, cells=cells))


def added(known: Knowledge, measured: Knowledge) -> Knowledge:
    """Add what was measured later on known tasks, which keep their descriptions (to the last bit) and twins."""
    scores = compact(measured).scores
    tasks = scores.tasks.assign(twin=known.scores.tasks["twin"].reindex(scores.tasks.index))
    return known.update(Knowledge(tables.changed(scores, tasks=tasks, descriptions=None)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run or resume the study, then write the knowledge; without time left write what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=90.0, help="no round begins after this; 0: only write")
    parser.add_argument("--add", action="store_true", help="keep what ships, and measure what it lacks")
    options = parser.parse_args(arguments)
    suite = load_suite("real").limit(MAX_ROWS)
    shipped = Knowledge.load() if options.add else None
    todo = rounds(shipped.strategies if shipped else ())
    _measure(Study(options.study), suite, todo, options.workers, time.monotonic() + 60 * options.minutes)
    known = compact(Knowledge.of(Study(options.study)).with_twins(suite.twins()))
    known = added(shipped, known) if shipped else known
    known.save(files.SHIPPED)
    print(f"{files.SHIPPED}: {known}, {sum(file.stat().st_size for file in files.SHIPPED.iterdir()):,} bytes")


def _measure(study: Study, suite: TaskSuite, todo: Iterable[list[Strategy]], workers: int, deadline: float) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # before the workers import what has threads of its own
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
        for strategies in todo:
            if time.monotonic() < deadline:
                study.run(suite, strategies, executor=executor)


def _rounded(values: pd.Series[float], bits: int) -> NDArray[np.float64]:
    """Round to so many significant bits; the bytes of a number that are zero then take no room."""
    mantissa, exponent = np.frexp(values.to_numpy(dtype=np.float64))
    return np.asarray(np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits))


if __name__ == "__main__":
    main()
