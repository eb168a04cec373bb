"""What one fold's training rows teach: imputed values, scales, chosen features, transforms, the baseline.

Everything here is learned from ``train`` alone and computed once per fold, however many strategies ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from metafit.strategies.features import All, FeatureRule, Rows, TopK
from metafit.tasks.task import Task

__all__ = ["FoldRows", "Preparation", "fill", "one_blas_thread", "prepare"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class FoldRows:
    """The rows of one fold of a task, and what its training rows teach.

    Parameters
    ----------
    task : Task
        Where the rows come from.
    train, test : ndarray of int
        Row numbers; ``test`` may be empty.
    """

    def __init__(self, task: Task, train: Ints, test: Ints) -> None:
        self.task = task
        self.train = np.asarray(train, dtype=np.intp)
        self.test = np.asarray(test, dtype=np.intp)
        self._known: dict[Hashable, Any] = {}
        self._seconds: dict[Hashable, float] = {}

    @cached_property
    def weights(self) -> Floats:
        """Weights of the training rows; ones where the task has none."""
        weights = self.task.sample_weight
        return np.ones(len(self.train)) if weights is None else weights[self.train]

    @cached_property
    def total_weight(self) -> float:
        """Sum of the weights of the training rows."""
        return float(self.weights.sum())

    @property
    def test_weights(self) -> Floats | None:
        """Weights of the test rows, or None."""
        return None if self.task.sample_weight is None else self.task.sample_weight[self.test]

    @cached_property
    def problem(self) -> str:
        """Why nothing can be learned from these training rows; empty if something can."""
        if self.task.classes is None:
            return ""
        present = np.bincount(self.task.y[self.train][self.weights > 0], minlength=len(self.task.classes))
        absent = [str(label) for label, count in zip(self.task.classes, present, strict=True) if not count]
        return f"no training row is of class {', '.join(absent)}" if absent else ""

    @cached_property
    def baseline(self) -> float:
        """L0: the loss on the test rows of the training rows' mean or class frequencies."""
        y, held_out = self.task.y[self.train], self.task.y[self.test]
        if self.task.classes is None:
            losses = (held_out - np.average(y, weights=self.weights)) ** 2
        else:
            frequencies = np.bincount(y, self.weights, len(self.task.classes)) / self.total_weight
            losses = -np.log(np.maximum(frequencies[held_out], np.finfo(float).eps))
        return float(np.average(losses, weights=self.test_weights))

    def relative(self, loss: float) -> float:
        """Return u = L / L0; where the baseline is perfect there is nothing to win, and u is 1."""
        return loss / self.baseline if self.baseline > 0 else 1.0

    @cached_property
    def matrix(self) -> Floats:
        """Encoded training rows in Fortran order, NaN where missing."""
        return self.task.matrix.T.take(self.train, axis=1).T

    @cached_property
    def means(self) -> Floats:
        """Weighted mean of each column's known values; 0 where there are none."""
        known = ~np.isnan(self.matrix)
        mass = self.weights @ known
        sums = self.weights @ np.where(known, self.matrix, 0.0)
        return np.asarray(sums / np.where(mass > 0, mass, 1.0))

    @cached_property
    def scales(self) -> Floats:
        """Weighted standard deviation of each imputed column; 1 where it is constant."""
        centred = fill(self.matrix, self.means) - self.means
        scales = np.sqrt(self.weights @ centred**2 / self.weights.sum())
        return np.where(scales > 1e-13 * np.abs(self.means), scales, 1.0)

    def choose(self, rule: FeatureRule) -> Ints:
        """Return the raw columns that a rule chooses from the training rows."""
        if isinstance(rule, TopK):
            return rule.cut(self._remember(("rank", rule.by), lambda: rule.rank(self._rule_rows)))
        return np.asarray(self._remember(rule, lambda: rule.pick(self._rule_rows)))

    def columns(self, rule: FeatureRule) -> Ints | None:
        """Return the encoded columns of the chosen features; None for all of them."""
        found: Ints | None = None
        if not isinstance(rule, All):
            found = self._remember(("columns", rule), lambda: self._columns(self.choose(rule)))
        return found

    def _columns(self, chosen: Ints) -> Ints | None:
        n_blocks = len(self.task.block_names)
        if len(chosen) == n_blocks:
            return None
        is_chosen = np.zeros(n_blocks, dtype=bool)
        is_chosen[chosen] = True
        return np.flatnonzero(is_chosen[self.task.blocks])

    def seconds(self, rule: FeatureRule) -> float:
        """Return how long the rule needed to choose."""
        return self._seconds.get(("rank", rule.by) if isinstance(rule, TopK) else rule, 0.0)

    def inner(self, folds: int, random_state: int) -> list[FoldRows]:
        """Split the training rows again; groups stay together, and the folds have similar targets."""
        key = ("inner", folds, random_state)
        found: list[FoldRows] = self._remember(key, lambda: self._split(folds, random_state))
        return found

    def _split(self, folds: int, random_state: int) -> list[FoldRows]:
        groups = None if self.task.groups is None else self.task.groups[self.train]
        fold_of = _deal(self.task.y[self.train], groups, folds, random_state)
        parts = [(self.train[fold_of != k], self.train[fold_of == k]) for k in range(fold_of.max() + 1)]
        return [FoldRows(self.task, train, test) for train, test in parts if len(train) and len(test)]

    @property
    def _rule_rows(self) -> Rows:
        task = self.task
        weights = None if task.sample_weight is None else self.weights
        y = task.y[self.train]
        return Rows(self.matrix, y, task.blocks, tuple(task.block_names), weights, task.kind)

    def _remember(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        if key not in self._known:
            start = time.perf_counter()
            self._known[key] = compute()
            self._seconds[key] = time.perf_counter() - start
        return self._known[key]


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to one thread: small products gain nothing from more, and the last bits depend on them."""
    limit: AbstractContextManager[Any] = _blas().limit(limits=1, user_api="blas")
    return limit


@cache
def _blas() -> Any:
    return ThreadpoolController()


@dataclass(frozen=True, eq=False)
class Preparation:
    """A transform fitted on training rows, with the imputation and scaling in front of it."""

    columns: Ints | slice
    means: Floats
    scales: Floats
    transformer: Any

    def apply(self, matrix: Floats) -> Floats:
        """Return encoded rows, transformed, of shape (n_rows, n_outputs).

        Raises
        ------
        ValueError
            If the transform makes values that are not finite.
        """
        standardized = (fill(matrix[:, self.columns], self.means) - self.means) / self.scales
        made = self.transformer.transform(standardized)
        dense = np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=np.float64)
        if not np.isfinite(dense).all():
            raise ValueError(f"{type(self.transformer).__name__} made values that are not finite")
        return np.asfortranarray(dense)


def prepare(transformer: Any, rows: FoldRows, columns: Ints | None) -> Preparation:
    """Fit a transformer on the imputed, standardised training rows of some columns."""
    chosen = slice(None) if columns is None else columns
    means, scales = rows.means[chosen], rows.scales[chosen]
    standardized = (fill(rows.matrix[:, chosen], means) - means) / scales
    fitted = transformer.fit(standardized, rows.task.y[rows.train])
    return Preparation(chosen, means, scales, fitted)


def fill(matrix: Floats, means: Floats) -> Floats:
    """Return the matrix with NaN replaced by the column's mean."""
    return np.where(np.isnan(matrix), means, matrix)


def _deal(y: NDArray[Any], groups: NDArray[Any] | None, folds: int, random_state: int) -> NDArray[np.intp]:
    """Return a fold for each row, by dealing units (rows or groups) in the order of their mean target."""
    unit = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    target = np.bincount(unit, y) / np.bincount(unit)
    rng = np.random.default_rng(random_state)
    order = np.lexsort((rng.random(len(target)), target))
    hands = np.tile(np.arange(folds), (-(-len(target) // folds), 1))
    fold_of = np.empty(len(target), dtype=np.intp)
    fold_of[order] = rng.permuted(hands, axis=1).ravel()[: len(target)]
    return fold_of[unit]
