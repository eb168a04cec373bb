"""Rows that share a few factors: what some cells of a row say of the others, whatever cells there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from metafit.learners.table import FloatArray, IntArray

# numbers of factors to choose from
CANDIDATES = (1, 2, 4, 8, 16, 32)
# variance of the noise below which cells would be taken for exact
_LEAST_NOISE = 1e-4


@dataclass(frozen=True, eq=False)
class FactorModel:
    """Each row is N(mean, loadings @ loadings.T + noise * identity); its holes are left out, not filled.

    Attributes
    ----------
    mean : ndarray of shape (n_columns,)
    loadings : ndarray of shape (n_columns, n_factors)
    noise : float
        A variance.

    Notes
    -----
    Tipping and Bishop (1999), Probabilistic principal component analysis, JRSS B 61, by expectation maximisation,
    whose first step is their closed form with holes at the mean of the column. To each column one row is added that has
    all factors one by one and lies at the mean of the table: a column with few cells stays near it.

    Examples
    --------
    >>> rows = np.array([[0.0, 0.1, 1.0], [1.0, 0.9, 0.0], [0.1, 0.0, np.nan], [0.8, 1.0, 0.2]])
    >>> model = FactorModel.fit(rows, n_factors=1)
    >>> model.fill(rows)[2].round(1)
    array([0.1, 0. , 0.9])
    """

    mean: FloatArray
    loadings: FloatArray
    noise: float

    @classmethod
    def fit(cls, rows: FloatArray, n_factors: int, max_iter: int = 30, tol: float = 1e-3) -> FactorModel:
        """Fit to the cells that are there, until the noise changes by less than a share `tol`."""
        return cls._refined(rows, _Principal.of(rows, n_factors), n_factors, max_iter, tol)

    @classmethod
    def _refined(
        cls, rows: FloatArray, start: _Principal, n_factors: int, max_iter: int = 30, tol: float = 1e-3
    ) -> FactorModel:
        centre = float(np.nanmean(rows))
        model = start.model(n_factors)
        for _ in range(max_iter):
            before, model = model.noise, model._step(rows, centre)
            if abs(model.noise - before) <= tol * before:
                break
        return model

    @classmethod
    def chosen(cls, rows: FloatArray, candidates: Iterable[int] = CANDIDATES, n_folds: int = 3) -> FactorModel:
        """Fit with the number of factors and the scale under which rows left out are the most likely.

        The more factors, the less noise is left on the rows that they were fitted to, and the less that is to be
        trusted on others: covariances are scaled by the mean squared Mahalanobis distance per cell of rows left out.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, n_columns)
        candidates : iterable of int
            Numbers of factors, ascending; the search ends where one more step makes rows left out less likely. What the
            folds' sizes do not allow is left aside; then 0 is left.
        n_folds : int
            Row i is left out in fold i modulo `n_folds`.
        """
        most = min(len(rows) - len(rows) // n_folds, rows.shape[1]) // 2
        allowed = [n for n in candidates if n <= most] or [0]
        if len(rows) < n_folds:
            return cls.fit(rows, 0)
        fold = np.arange(len(rows)) % n_folds
        starts = [_Principal.of(rows[fold != k], max(allowed)) for k in range(n_folds)]
        best, scale, most_likely = allowed[0], 1.0, -np.inf
        for n_factors in allowed:
            density, fitting = _left_out(rows, fold, starts, n_factors)
            if density <= most_likely:
                break
            best, scale, most_likely = n_factors, fitting, density
        return cls.fit(rows, best).scaled(scale)

    def scaled(self, factor: float) -> FactorModel:
        """Give a model with all covariances times a factor."""
        return FactorModel(self.mean, self.loadings * np.sqrt(factor), self.noise * factor)

    @property
    def variance(self) -> FloatArray:
        """Of each column, (n_columns,)."""
        return np.asarray((self.loadings**2).sum(axis=1) + self.noise)

    def covariance(self, columns: IntArray) -> FloatArray:
        """Give that of some columns with all, (n, n_columns)."""
        shared = self.loadings[columns] @ self.loadings.T
        shared[np.arange(len(columns)), columns] += self.noise
        return np.asarray(shared)

    def infer(self, rows: FloatArray) -> Inferred:
        """Give what each row's cells say of its factors."""
        there = (~np.isnan(rows)).astype(float)
        off = np.where(there > 0, rows - self.mean, 0.0)
        n_factors = self.loadings.shape[1]
        outer = (self.loadings[:, :, None] * self.loadings[:, None, :]).reshape(len(self.mean), n_factors**2)
        precision = np.eye(n_factors) + (there @ outer).reshape(len(rows), n_factors, n_factors) / self.noise
        covariance = np.asarray(np.linalg.inv(precision), dtype=float)
        projected = off @ self.loadings / self.noise
        factors = np.asarray(np.einsum("tij,tj->ti", covariance, projected), dtype=float)
        distance = (off**2).sum(axis=1) / self.noise - (factors * projected).sum(axis=1)
        log_det = np.asarray(there.sum(axis=1) * np.log(self.noise) + np.linalg.slogdet(precision)[1])
        return Inferred(factors, covariance, distance, log_det)

    def fill(self, rows: FloatArray) -> FloatArray:
        """Put into the holes what the rest of the row lets expect."""
        expected = self.mean + self.infer(rows).factors @ self.loadings.T
        return np.where(np.isnan(rows), expected, rows)

    def _step(self, rows: FloatArray, centre: float) -> FactorModel:
        """Maximise the expected likelihood of the cells and of one made-up row for each column."""
        there = ~np.isnan(rows)
        weights, values = there.astype(float), np.where(there, rows, 0.0)
        moments, factors = self.infer(rows).moments()
        size = factors.shape[1]
        prior = np.append(np.zeros(size - 1), centre)
        normal = (weights.T @ moments.reshape(len(rows), -1)).reshape(-1, size, size) + np.eye(size)
        solved = np.linalg.solve(normal, (values.T @ factors + prior)[:, :, None])[:, :, 0]
        # E (y - b'z)^2 = y^2 - 2 y b'Ez + b' E[zz'] b, summed over a column's cells
        quadratic = np.einsum("si,sij,sj->s", solved, normal - np.eye(size), solved)
        squares = (values**2).sum(axis=0) - 2 * (solved * (values.T @ factors)).sum(axis=1) + quadratic
        noise = max(float(squares.sum() / weights.sum()), _LEAST_NOISE)
        return FactorModel(solved[:, -1], solved[:, :-1], noise)


@dataclass(frozen=True, eq=False)
class _Principal:
    """First principal components of rows with their holes at the mean of the column, and the variance of all."""

    mean: FloatArray
    variances: FloatArray
    axes: FloatArray
    total: float

    @classmethod
    def of(cls, rows: FloatArray, n_components: int) -> _Principal:
        there = ~np.isnan(rows)
        count = there.sum(axis=0)
        mean = np.where(there, rows, 0.0).sum(axis=0) / np.maximum(count, 1)
        mean = np.where(count > 0, mean, np.nanmean(rows))
        off = np.where(there, rows - mean, 0.0)
        squares, axes = _first_axes(off, min(n_components, *off.shape))
        return cls(mean, squares / len(rows), axes, float((off**2).sum()) / len(rows))

    def model(self, n_factors: int) -> FactorModel:
        """Give the most likely model, if there were no holes."""
        variances = self.variances[:n_factors]
        n_left = max(len(self.mean) - n_factors, 1)
        noise = max((self.total - float(variances.sum())) / n_left, _LEAST_NOISE)
        length = np.sqrt(np.maximum(variances - noise, _LEAST_NOISE))
        return FactorModel(self.mean, self.axes[:n_factors].T * length, noise)


def _first_axes(rows: FloatArray, n_axes: int) -> tuple[FloatArray, FloatArray]:
    """Give the largest squared singular values, descending, and their right singular vectors, (n_axes, n_columns)."""
    if n_axes == 0:
        return np.empty(0), np.empty((0, rows.shape[1]))
    wide = rows.shape[0] < rows.shape[1]
    gram = rows @ rows.T if wide else rows.T @ rows
    squares, vectors = eigh(gram, subset_by_index=(len(gram) - n_axes, len(gram) - 1))
    squares, vectors = np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
    if wide:
        vectors = rows.T @ vectors
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-300)
    return np.asarray(squares), np.asarray(vectors.T)


@dataclass(frozen=True, eq=False)
class Inferred:
    """The posterior of the factors of some rows.

    Attributes
    ----------
    factors : ndarray of shape (n_rows, n_factors)
    covariance : ndarray of shape (n_rows, n_factors, n_factors)
    distance, log_det : ndarray of shape (n_rows,)
        Squared Mahalanobis distance of the cells that are there, and log determinant of their covariance.
    """

    factors: FloatArray
    covariance: FloatArray
    distance: FloatArray
    log_det: FloatArray

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Give the second and first moments of the factors, a constant 1 appended."""
        first = np.hstack([self.factors, np.ones((len(self.factors), 1))])
        second = first[:, :, None] * first[:, None, :]
        second[:, :-1, :-1] += self.covariance
        return second, first


def _left_out(rows: FloatArray, fold: IntArray, starts: list[_Principal], n_factors: int) -> tuple[float, float]:
    """Give the log density of rows left out, up to a constant, under the scale that makes it largest, and that."""
    parts = [
        FactorModel._refined(rows[fold != k], start, n_factors).infer(rows[fold == k]) for k, start in enumerate(starts)
    ]
    n_cells = np.count_nonzero(~np.isnan(rows))
    scale = float(sum(part.distance.sum() for part in parts)) / n_cells
    return -float(n_cells * np.log(scale) + sum(part.log_det.sum() for part in parts)), scale
