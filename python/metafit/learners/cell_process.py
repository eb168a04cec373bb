"""A Gaussian process over the cells of a table, whose covariances are those of rows times those of columns.

With A the covariance of the rows and S that of the columns, cells y have the covariance A (x) S + noise I. Of a whole
table its eigenvectors are products of those of A and S, so a table of n x m takes n^3 + m^3 operations, not (n m)^3.
Holes are left out exactly: conjugate gradients solve the system of the cells there are, started well by the inverse for
the whole table.

Saatci (2011), Scalable inference for structured Gaussian process models, PhD thesis, Cambridge, chapter 5; Wilson,
Gilboa, Nehorai and Cunningham (2014), Fast kernel learning for multidimensional pattern extrapolation, NeurIPS, for
holes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg
from scipy.spatial.distance import cdist

from metafit.learners.table import BoolArray, FloatArray, IntArray

Operator = Callable[[FloatArray], FloatArray]

# cells from which covariances are chosen
MOST_TUNING = 600
_LOWEST, _HIGHEST = np.log(1e-6), np.log(1e3)
# share of the variance that is noise at least, and part of the cells that a solution may miss: regrets are means over
# folds, which say no more, and conjugate gradients take the longer the less is noise
_LEAST_NOISE, _TOLERANCE = 1e-3, 1e-6


@dataclass(frozen=True)
class Covariance:
    """Covariances of two rows at a distance d and of two columns at a distance e.

    ``A = 1 + rows exp(-d^2 / 2 row_length^2)`` and ``S = common + columns exp(-e^2 / 2 column_length^2) + own [same]``.
    """

    rows: float
    row_length: float
    common: float
    columns: float
    column_length: float
    own: float
    noise: float

    def of_rows(self, distances: FloatArray) -> FloatArray:
        """Give A."""
        return 1 + self.rows * np.exp(-0.5 * (distances / self.row_length) ** 2)

    def of_columns(self, distances: FloatArray) -> FloatArray:
        """Give S between columns that are not the same."""
        return self.common + self.columns * np.exp(-0.5 * (distances / self.column_length) ** 2)

    @classmethod
    def start(cls, variance: float, row_distances: FloatArray, column_distances: FloatArray) -> Covariance:
        """Share a variance out evenly; a part that tells nothing apart has none."""
        row_length, column_length = _typical(row_distances), _typical(column_distances)
        share = max(variance, 1e-8) / 4
        return cls(
            rows=float(row_length > 0),
            row_length=row_length or 1.0,
            common=share,
            columns=share * (column_length > 0),
            column_length=column_length or 1.0,
            own=share,
            noise=share,
        )


def _typical(distances: FloatArray) -> float:
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 0.0


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells of a table with the distances between them."""

    values: FloatArray
    row_distances: FloatArray
    column_distances: FloatArray
    same_column: FloatArray

    @classmethod
    def of(cls, table: FloatArray, row_distances: FloatArray, column_distances: FloatArray) -> _Cells:
        row, column = np.nonzero(~np.isnan(table))
        distances = row_distances[np.ix_(row, row)], column_distances[np.ix_(column, column)]
        return cls(table[row, column], *distances, (column[:, None] == column).astype(float))

    def surprise(self, covariance: Covariance) -> tuple[float, dict[str, float]]:
        """Give minus the log density of the cells, and its slopes by the logarithm of every parameter."""
        near_rows = np.exp(-0.5 * (self.row_distances / covariance.row_length) ** 2)
        near_columns = np.exp(-0.5 * (self.column_distances / covariance.column_length) ** 2)
        a = 1 + covariance.rows * near_rows
        s = covariance.common + covariance.columns * near_columns + covariance.own * self.same_column
        whole = a * s
        whole[np.diag_indices_from(whole)] += covariance.noise
        factor = cho_factor(whole, lower=True)
        solved = cho_solve(factor, self.values)
        density = -0.5 * self.values @ solved - np.log(np.diagonal(factor[0])).sum()
        # d density / d theta = trace((solved solved' - inverse) dK / d theta) / 2
        pull = np.outer(solved, solved) - cho_solve(factor, np.eye(len(solved)))
        by_a, by_s = pull * s, pull * a
        by_near_rows = covariance.rows * by_a * near_rows
        by_near_columns = covariance.columns * by_s * near_columns
        slopes = {
            "rows": by_near_rows.sum(),
            "row_length": (by_near_rows * (self.row_distances / covariance.row_length) ** 2).sum(),
            "common": covariance.common * by_s.sum(),
            "columns": by_near_columns.sum(),
            "column_length": (by_near_columns * (self.column_distances / covariance.column_length) ** 2).sum(),
            "own": covariance.own * (by_s * self.same_column).sum(),
            "noise": covariance.noise * float(np.trace(pull)),
        }
        constant = 0.5 * len(self.values) * np.log(2 * np.pi)
        return constant - float(density), {name: -float(slope) / 2 for name, slope in slopes.items()}


def most_likely(table: FloatArray, row_distances: FloatArray, column_distances: FloatArray) -> Covariance:
    """Choose the covariance under which the cells are the most likely.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_columns)
        About 0; NaN is a hole.
    row_distances, column_distances : ndarray of shape (n_rows, n_rows) and (n_columns, n_columns)
    """
    cells = _Cells.of(table, row_distances, column_distances)
    variance = float(np.mean(cells.values**2))
    start = Covariance.start(variance, row_distances, column_distances)
    idle = ({"rows", "row_length"} if not start.rows else set()) | (
        {"columns", "column_length"} if not start.columns else set()
    )
    free = [field.name for field in fields(Covariance) if field.name not in idle]

    def at(logs: FloatArray) -> tuple[float, FloatArray]:
        value, slopes = cells.surprise(_moved(start, free, logs))
        return value, np.array([slopes[name] for name in free])

    begin = np.log([getattr(start, name) for name in free])
    least = max(np.log(_LEAST_NOISE * max(variance, 1e-8)), _LOWEST)
    bounds = [(least if name == "noise" else _LOWEST, _HIGHEST) for name in free]
    found = minimize(at, begin, jac=True, method="L-BFGS-B", bounds=bounds)
    return _moved(start, free, found.x)


def _moved(start: Covariance, names: list[str], logs: FloatArray) -> Covariance:
    return replace(start, **dict(zip(names, np.exp(logs).tolist(), strict=True)))


def tuning_block(shape: tuple[int, int], random_state: int, most: int = MOST_TUNING) -> tuple[IntArray, IntArray]:
    """Draw rows and columns whose cells are few enough to choose a covariance from, as square as the table allows.

    Examples
    --------
    >>> [len(part) for part in tuning_block((1000, 6), random_state=0)]
    [100, 6]
    """
    side = int(np.sqrt(most))
    n_columns = min(shape[1], max(side, most // shape[0]))
    n_rows = min(shape[0], most // n_columns)
    rng = np.random.default_rng(random_state)
    return np.sort(rng.permutation(shape[0])[:n_rows]), np.sort(rng.permutation(shape[1])[:n_columns])


class CellProcess:
    """The process once the cells of a table are known.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_columns)
        NaN is a hole. The prior mean is the mean of all cells.
    row_points, column_points : ndarray of shape (n_rows, n_row_coordinates) and (n_columns, n_column_coordinates)
        Where rows and columns lie; without coordinates nothing tells them apart.
    random_state : int
        Of the cells from which the covariance is chosen.

    Attributes
    ----------
    covariance : Covariance
    """

    def __init__(
        self, table: FloatArray, row_points: FloatArray, column_points: FloatArray, random_state: int = 0
    ) -> None:
        self._row_points, self._column_points = row_points, column_points
        self._mean = float(np.nanmean(table))
        off = table - self._mean
        rows, columns = tuning_block(table.shape, random_state)
        block = off[np.ix_(rows, columns)]
        self.covariance = (
            most_likely(block, _distances(row_points[rows]), _distances(column_points[columns]))
            if np.count_nonzero(~np.isnan(block)) > 1
            else Covariance.start(0.0, np.zeros((1, 1)), np.zeros((1, 1)))
        )
        self._solve(off)

    def _solve(self, off: FloatArray) -> None:
        """Find the weights of the cells, 0 in holes: A W S + noise W = off where there are cells."""
        model = self.covariance
        a = model.of_rows(_distances(self._row_points))
        s = model.of_columns(_distances(self._column_points)) + model.own * np.eye(off.shape[1])
        row_values, self._row_axes = eigh(a)
        column_values, self._column_axes = eigh(s)
        spectrum = np.outer(np.maximum(row_values, 0), np.maximum(column_values, 0))
        there = ~np.isnan(off)
        inverse = 1 / (spectrum + model.noise)

        def whole_inverse(cells: FloatArray, kind: type[np.floating[Any]] = np.float64) -> FloatArray:
            rows, columns, known = (np.asarray(part, kind) for part in (self._row_axes, self._column_axes, cells))
            turned = rows.T @ np.where(there, known.reshape(off.shape), 0) @ columns
            made = rows @ (turned * np.asarray(inverse, kind)) @ columns.T
            return np.where(there, made, 0.0).astype(float).ravel()

        def about_inverse(cells: FloatArray) -> FloatArray:
            """In single precision, which is enough to begin well and takes half the time."""
            return whole_inverse(cells, np.float32)

        def product(cells: FloatArray) -> FloatArray:
            known = np.where(there, cells.reshape(off.shape), 0.0)
            return np.asarray(np.where(there, a @ known @ s + model.noise * known, 0.0).ravel())

        weights = whole_inverse(off) if there.all() else _conjugate_gradients(product, about_inverse, there, off)
        self._smooth = weights.reshape(off.shape) @ s
        self._weights = weights.reshape(off.shape)
        self._inverse = 1 / (spectrum + model.noise / there.mean())
        self._squares = (self._column_axes * column_values).T ** 2

    def predict(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give the mean and the standard deviation of the cells of new rows in the table's columns.

        Parameters
        ----------
        points : ndarray of shape (n_new, n_row_coordinates)
            Infinite for a row of which nothing is known.

        Returns
        -------
        mean, std : ndarray of shape (n_new, n_columns)
            With noise. The mean is exact; of a table with holes the variance is that of a whole one with more noise, as
            if holes were spread evenly.
        """
        a = self.covariance.of_rows(_between(points, self._row_points))
        return self._mean + a @ self._smooth, self._std(a, self._squares)

    def predict_columns(self, points: FloatArray, column_points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give those of new rows in new columns, (n_new, n_new_columns)."""
        a = self.covariance.of_rows(_between(points, self._row_points))
        s = self.covariance.of_columns(_between(column_points, self._column_points))
        return self._mean + a @ self._weights @ s.T, self._std(a, (s @ self._column_axes).T ** 2)

    def likeness(self, points: FloatArray) -> FloatArray:
        """Give how like each row of the table new rows are, 1 for the same, (n_new, n_rows)."""
        return np.exp(-0.5 * (_between(points, self._row_points) / self.covariance.row_length) ** 2)

    def _std(self, a: FloatArray, squares: FloatArray) -> FloatArray:
        model = self.covariance
        prior = (1 + model.rows) * (model.common + model.columns + model.own)
        known = (a @ self._row_axes) ** 2 @ self._inverse @ squares
        return np.asarray(np.sqrt(np.maximum(prior - known, 0.0) + model.noise))


def _conjugate_gradients(product: Operator, inverse: Operator, there: BoolArray, off: FloatArray) -> FloatArray:
    size = (off.size, off.size)
    solved, _ = cg(
        LinearOperator(size, product, dtype=float),
        np.where(there, off, 0.0).ravel(),
        rtol=_TOLERANCE,
        maxiter=500,
        M=LinearOperator(size, inverse, dtype=float),
    )
    return np.asarray(solved)


def _distances(points: FloatArray) -> FloatArray:
    return _between(points, points)


def _between(points: FloatArray, others: FloatArray) -> FloatArray:
    if not points.shape[1]:
        return np.zeros((len(points), len(others)))
    return np.asarray(cdist(points, others))
