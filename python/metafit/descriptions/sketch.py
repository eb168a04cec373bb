"""The rows and columns of a task that its description is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metafit.tasks.frames import Floats, Ints
from metafit.tasks.task import Task

MAX_ROWS = 10_000
MAX_COLUMNS = 300


@dataclass(frozen=True)
class Sketch:
    """
    A task, at most 10,000 of its rows by chance, and at most 300 of its encoded columns at even steps.

    Attributes
    ----------
    task : Task
        The whole task: sizes are read from it.
    sample : Task
        The rows looked at.
    columns : int array of shape (q,)
        The encoded columns looked at.
    """

    task: Task
    sample: Task
    columns: Ints

    @staticmethod
    def of(task: Task) -> Sketch:
        """Sketch a task."""
        p = task.encoder.blocks.size
        columns = np.unique(np.linspace(0, p - 1, min(p, MAX_COLUMNS)).round().astype(np.int64))
        return Sketch(task, at_most(task, MAX_ROWS), columns)

    @cached_property
    def matrix(self) -> Floats:
        """The columns looked at, NaN where missing: (m, q)."""
        return self.sample.matrix[:, self.columns]

    @cached_property
    def blocks(self) -> Ints:
        """The raw column of each column looked at: (q,)."""
        return self.sample.encoder.blocks[self.columns]

    @cached_property
    def is_number(self) -> NDArray[np.bool_]:
        """Whether each column looked at is a number, and not a category's level: (q,)."""
        return ~self.sample.encoder.categorical[self.blocks]

    @cached_property
    def standardized(self) -> Floats:
        """Columns of mean 0 and variance 1, missing cells at 0, constant columns left out: (m, r)."""
        scaled, varies = standardized_columns(self.matrix)
        return scaled[:, varies]

    @cached_property
    def varying_blocks(self) -> Ints:
        """The raw column of each standardised column: (r,)."""
        _, varies = standardized_columns(self.matrix)
        return self.blocks[varies]

    @cached_property
    def targets(self) -> Floats:
        """The target as columns: (m, 1) for regression and two classes, else an indicator per class."""
        return target_columns(self.sample)


def at_most(task: Task, rows: int) -> Task:
    """Sample a task's rows as `Task.limit` does, but without its cost of fingerprinting the source."""
    return task if task.n_rows <= rows else task.take(task.sample_rows(rows))


def standardized_columns(matrix: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Centre and scale columns over their present cells, 0 in the missing ones; tell which columns vary."""
    present = ~np.isnan(matrix)
    counts = np.maximum(present.sum(axis=0), 1)
    centred = np.where(present, matrix - np.where(present, matrix, 0.0).sum(axis=0) / counts, 0.0)
    scale = np.sqrt(np.square(centred).sum(axis=0) / counts)
    size = np.abs(np.where(present, matrix, 0.0)).max(axis=0)
    # A constant column leaves rounding error of the size of its values; one beyond 1e150 overflows.
    varies = (scale > 1e-12 * size) & np.isfinite(scale)
    return np.asarray(centred / np.where(varies, scale, 1.0)), varies


def target_columns(task: Task) -> Floats:
    """Write a target as columns of floats: one, or an indicator per class for more than two classes."""
    if task.classes is None or len(task.classes) <= 2:
        return task.y.astype(np.float64)[:, None]
    return np.asarray(task.y[:, None] == np.arange(len(task.classes)), dtype=np.float64)
