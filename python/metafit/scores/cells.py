"""The cells of `Scores`, and how figures of tasks x strategies are made of them."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from metafit.scores.checks import FAILURES, STATUSES
from metafit.scores.figures import FloatArray, IntArray, mean_of_means, worst_of

BoolArray = npt.NDArray[np.bool_]


class Cells:
    """Cells by number: those of ``Scores.cells``, in their order.

    Parameters
    ----------
    frame : DataFrame
        ``Scores.cells``.
    tasks, strategies : Index of str
    failure_loss : float
    """

    def __init__(
        self, frame: pd.DataFrame, tasks: pd.Index[str], strategies: pd.Index[str], failure_loss: float
    ) -> None:
        self.frame, self.tasks, self.strategies, self.failure_loss = frame, tasks, strategies, failure_loss

    def is_(self, *statuses: str) -> BoolArray:
        """Say which cells have one of these statuses."""
        return np.isin(self._status, [STATUSES.index(status) for status in statuses])

    @cached_property
    def is_failure(self) -> BoolArray:
        """Which cells failed, timed out or did not converge."""
        return self.is_(*FAILURES)

    @cached_property
    def is_attempt(self) -> BoolArray:
        """Which cells could be attempted."""
        return ~self.is_("not_applicable")

    def at(self, column: str, value: int | None) -> BoolArray:
        """Say which cells have this seed, or fold; None: all."""
        if value is None:
            return np.ones(len(self.frame), dtype=bool)
        return np.asarray(self.frame[column] == value)

    def values(self, metric: str, tied_last: bool) -> FloatArray:
        """Give a column, failures as `Scores.matrix` says."""
        values = self.frame[metric].to_numpy(dtype=float)
        failure = self.is_failure
        if not failure.any():
            return values
        if metric == "loss":
            values = np.where(failure, self.failure_loss, values)
            return np.where(failure, np.fmax(values, self._worst(values)), values) if tied_last else values
        if metric.endswith("_score"):
            return np.where(failure, -self._worst(-values), values)
        if metric.endswith(("_loss", "_error")):
            return np.where(failure, self._worst(values), values)
        return values

    def aggregate(self, values: FloatArray, use: BoolArray) -> pd.DataFrame:
        """Average the values in use over folds, then over seeds: tasks x strategies, NaN where there is none."""
        use = use & ~np.isnan(values)
        shape = len(self.tasks), len(self.strategies)
        cell = self._codes("task")[use] * shape[1] + self._codes("strategy")[use]
        means = mean_of_means(cell, self.frame["seed"].to_numpy()[use], values[use], shape[0] * shape[1])
        return pd.DataFrame(means.reshape(shape), index=self.tasks, columns=self.strategies)

    def any(self, use: BoolArray, seed: int | None) -> pd.DataFrame:
        """Say of each task and strategy whether any of its cells on a seed is in use; None: on any seed."""
        return self.aggregate(np.ones(len(self.frame)), use & self.at("seed", seed)).notna()

    def _worst(self, values: FloatArray) -> FloatArray:
        """Give for each row the worst value that worked on its (task, seed, fold); NaN where nothing did."""
        return worst_of(self._fold_codes, values, self.is_("ok") & ~np.isnan(values))

    @cached_property
    def _status(self) -> IntArray:
        return np.asarray(self.frame["status"].cat.codes)

    @cached_property
    def _fold_codes(self) -> IntArray:
        """Number the (task, seed, fold) that there are; what ran on one of them saw the same rows."""
        seed, seeds = pd.factorize(self.frame["seed"])
        fold, folds = pd.factorize(self.frame["fold"])
        key = (self._codes("task") * len(seeds) + seed) * len(folds) + fold
        return np.asarray(pd.factorize(key)[0])

    def _codes(self, column: str) -> IntArray:
        return np.asarray(self.frame[column].cat.codes, dtype=np.int64)
