"""All fits that learn from one set of training rows: the pooled one, then every group's.

Nothing here looks at any other row: means, scales, the pooled solution and its strength come from training
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metafit.engine import Cell, CellResult, Split, Table, run_cells
from metafit.fit_tasks.grouped import Floats, Grouped, Ints
from metafit.fit_tasks.modes import MEANS, Path, pooled_cell

__all__ = ["Design", "Stage", "row_losses"]

Mask = NDArray[np.bool_]
_GOOD = ("converged", "rank_deficient")
_NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Design:
    """The units of the fits: a column of ones, then each column about its mean over its standard deviation.

    Attributes
    ----------
    means, scales : array, shape (n_columns,)
        Of the training rows; the scale of a constant column is 1.
    """

    means: Floats
    scales: Floats

    @classmethod
    def of(cls, matrix: Floats, weights: Floats) -> Design:
        """Learn from training rows; a missing value counts as the column's mean."""
        known = ~np.isnan(matrix)
        mass = weights @ known
        means = (weights @ np.where(known, matrix, 0.0)) / np.where(mass > 0, mass, 1.0)
        centred = np.where(known, matrix - means, 0.0)
        scales = np.sqrt(weights @ centred**2 / weights.sum())
        return cls(means, np.where(scales > 1e-13 * np.abs(means), scales, 1.0))

    def apply(self, matrix: Floats) -> Floats:
        """Return rows in these units, shape (n_rows, 1 + n_columns)."""
        filled = np.where(np.isnan(matrix), self.means, matrix)
        return np.column_stack([np.ones(len(matrix)), (filled - self.means) / self.scales])

    def raw(self, coef: Floats) -> Floats:
        """Return coefficients (..., 1 + n_columns) for original units; the first is the intercept."""
        slopes = coef[..., 1:] / self.scales
        return np.concatenate([coef[..., :1] - (slopes @ self.means)[..., None], slopes], axis=-1)


@dataclass(frozen=True, eq=False)
class Stage:
    """The fits that learn from some rows of a table.

    Parameters
    ----------
    data : Grouped
    train : bool array, shape (n_rows,)
        The rows to learn from; all have a weight above 0.
    inner : sequence of (train, test) bool arrays, shape (n_rows,)
        Folds within the training rows, on which the strength of the pooled fit is chosen.
    strengths : tuple of float
        To choose from, in rows.
    n_threads : int or None
    """

    data: Grouped
    train: Mask
    inner: Sequence[tuple[Mask, Mask]]
    strengths: tuple[float, ...]
    n_threads: int | None = None

    @cached_property
    def design(self) -> Design:
        """Means and scales of the training rows."""
        return Design.of(self.data.task.matrix[self.train], self.data.weights[self.train])

    @cached_property
    def inputs(self) -> Floats:
        """All rows in the units of the fits."""
        return self.design.apply(self.data.task.matrix)

    @property
    def n_columns(self) -> int:
        """Columns of the fits, the level among them."""
        return int(self.inputs.shape[1])

    @cached_property
    def _table(self) -> Table:
        """All rows; for two classes two ghosts follow, see `_ghost`."""
        data, inputs, y = self.data, self.inputs, self.data.task.y.astype(np.float64)
        weights, offset = data.weights, data.offset
        if data.loss == "logistic":
            inputs = np.vstack([inputs, np.zeros((2, self.n_columns))])
            y, weights, offset = np.append(y, [0, 1]), np.append(weights, [1, 1]), np.append(offset, [0, 0])
        return Table(inputs, y, sample_weight=weights, offset=offset)

    def _ghost(self, rows: Ints) -> Ints:
        """Return the row that makes a group of one class a problem of two, which the engine wants.

        The inputs of a ghost are 0, that of the level too, so that its eta is 0 whatever the coefficients: it
        adds a constant to the objective and moves nothing.
        """
        y = self.data.task.y
        if self.data.loss == "squared" or np.ptp(y[rows]) > 0:
            return _NO_ROWS
        return np.array([self.data.task.n_rows + 1 - y[rows[0]]])

    def _run(self, splits: list[Split], cells: list[Cell]) -> list[CellResult]:
        return run_cells(self._table, splits, cells, n_threads=self.n_threads)

    @cached_property
    def mean(self) -> Floats:
        """The fit of a level alone to all training rows, shape (n_columns,)."""
        split = Split(np.flatnonzero(self.train), _NO_ROWS)
        [result] = self._run([split], [Cell(loss=self.data.loss, columns=_NO_ROWS, alphas=[0.0])])
        if result.status[0] == "failed":
            raise ValueError(f"target={self.data.target!r} cannot be fitted on all groups: {result.reason[0]}")
        return np.asarray(_trusted(result)[0])

    @property
    def pooled(self) -> Floats:
        """The fit of all training rows as one, shape (n_columns,)."""
        return self._pooled[1]

    @property
    def pooled_strength(self) -> float:
        """Its strength, the best on the inner folds."""
        return self._pooled[0]

    @cached_property
    def _pooled(self) -> tuple[float, Floats]:
        weights = self.data.weights
        masks = [(self.train, np.zeros_like(self.train)), *self.inner]
        splits = [Split(np.flatnonzero(train), np.flatnonzero(test)) for train, test in masks]
        cells = [
            pooled_cell(self.data.loss, self.n_columns, self.strengths, weights[train].sum(), split)
            for split, (train, _) in enumerate(masks)
        ]
        whole, *scored = self._run(splits, cells)
        coef = _trusted(whole)
        total = np.array([weights[test].sum() for _, test in self.inner]) @ np.array([*map(_held_out, scored)])
        total = np.where(np.isnan(total + coef.sum(axis=1)), np.inf, total)
        if np.isinf(total).all():
            raise ValueError(f"target={self.data.target!r} cannot be fitted on all groups at any strength: {whole}")
        # of equally good ones the strongest
        best = len(total) - 1 - int(np.argmin(total[::-1]))
        return self.strengths[best], coef[best]

    def fit_groups(self, rows: Sequence[Ints], paths: Sequence[Path]) -> Floats:
        """Fit every candidate of some paths to every group, in one engine call.

        Parameters
        ----------
        rows : sequence of int array
            Training rows of each group.
        paths : sequence of Path
            The first is that of the group means.

        Returns
        -------
        array, shape (n_groups, n_candidates, n_columns)
            In the units of the fits, NaN where a fit did not converge. A group without training rows has the
            pooled fit; one that has no fit of its own (a single class) stands at its mean.
        """
        requests = _Requests(self)
        for group, mine in enumerate(rows):
            requests.add(group, mine, paths)
        results = self._run(requests.splits, requests.cells)
        coef = np.empty((len(rows), sum(len(path.strengths) for path in paths), self.n_columns))
        coef[:] = self.pooled
        coef[[not len(mine) for mine in rows], 0] = self.mean
        for (group, at), result in zip(requests.places, results, strict=True):
            failed = all(status == "failed" for status in result.status)
            coef[group, at] = coef[group, 0] if failed and at.start else _trusted(result)
        return coef

    def shared(self, path: Path) -> dict[str, Any]:
        """Return what the cells of all groups on a path have in common."""
        return path.cell(self.data.loss, self.mean if path.mode == MEANS else self.pooled)


@dataclass(eq=False)
class _Requests:
    """Cells of one engine call, and where their results belong."""

    stage: Stage
    splits: list[Split] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    places: list[tuple[int, slice]] = field(default_factory=list)
    _shared: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def add(self, group: int, rows: Ints, paths: Sequence[Path]) -> None:
        """Ask for all candidates of some paths on the rows of a group."""
        if not len(rows):
            return
        weight = float(self.stage.data.weights[rows].sum())
        ghost = self.stage._ghost(rows)
        alone = self._split(rows)
        level = self._split(np.concatenate([rows, ghost])) if len(ghost) else alone
        start = 0
        for path in paths:
            split, total = (level, weight + len(ghost)) if path.has_level else (alone, weight)
            self.cells.append(Cell(split=split, alphas=path.alphas(total), **self._parts(path)))
            self.places.append((group, slice(start, start + len(path.strengths))))
            start += len(path.strengths)

    def _split(self, rows: Ints) -> int:
        self.splits.append(Split(rows, _NO_ROWS))
        return len(self.splits) - 1

    def _parts(self, path: Path) -> dict[str, Any]:
        if path not in self._shared:
            self._shared[path] = self.stage.shared(path)
        return self._shared[path]


def _trusted(result: CellResult) -> Floats:
    """Return a cell's fits with the level in column 0, NaN where they cannot be trusted."""
    coef = result.coef.copy()
    # column 0 is either the level or left out, in which case it is 0 and the intercept is the level
    coef[:, 0] += result.intercept
    coef[[status not in _GOOD for status in result.status]] = np.nan
    return coef


def _held_out(result: CellResult) -> Floats:
    score = result.scores["mean_squared_error" if "mean_squared_error" in result.scores else "log_loss"]
    return np.where(np.isin(result.status, _GOOD), score, np.nan)


def row_losses(loss: str, y: Floats, eta: Floats) -> Floats:
    """Return each row's squared error or log loss; y and eta broadcast.

    Examples
    --------
    >>> row_losses("squared", np.array([1.0, 2.0]), np.array([1.0, 5.0]))
    array([0., 9.])
    """
    if loss == "squared":
        return (y - eta) ** 2
    with np.errstate(invalid="ignore"):  # NaN is a fit that did not converge
        return np.asarray(np.logaddexp(0.0, eta) - y * eta)
