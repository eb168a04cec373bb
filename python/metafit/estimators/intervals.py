"""Intervals that hold the target of a new row with a given probability, from models that left rows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metafit.engine.fitted import FittedStrategy
from metafit.estimators.held_out import HeldOut, outputs
from metafit.estimators.trials import Trials
from metafit.tasks.task import Task

__all__ = ["LeftOut", "cv_plus"]

Floats = NDArray[np.float64]
# numbers that one chunk of new rows may need
_CHUNK = 4_000_000


def cv_plus(predicted: Sequence[Floats], residuals: Sequence[Floats], coverage: float) -> Floats:
    """Combine the predictions of fold models with the errors that they made on the rows left out.

    Parameters
    ----------
    predicted : sequence of ndarray of shape (n_new,)
        What each fold's model predicts for new rows.
    residuals : sequence of ndarray of shape (n_held_out,)
        Absolute errors of each fold's model on the rows that it has not seen.
    coverage : float
        Above 0, below 1.

    Returns
    -------
    ndarray of shape (n_new, 2)
        Lower and upper ends. Infinite where there are too few rows for such a coverage.

    Notes
    -----
    Barber, Candes, Ramdas and Tibshirani (2021), Predictive inference with the jackknife+, Annals of Statistics 49: for
    exchangeable rows the coverage is at least 1 - 2 (1 - coverage), less a term that vanishes with many rows, and close
    to `coverage` as a rule. With one row a fold it is their jackknife+.

    Examples
    --------
    >>> cv_plus([np.array([1.0]), np.array([1.2])], [np.array([0.1, 0.2]), np.array([0.3, 0.1])], 0.6)
    array([[0.9, 1.3]])
    """
    errors = np.concatenate(residuals)
    n, n_new = len(errors), len(predicted[0])
    fold = np.repeat(np.arange(len(residuals)), [len(part) for part in residuals])
    # the smallest rank k with k / (n + 1) >= coverage; rounding must not add one
    rank = int(np.ceil(coverage * (n + 1) * (1 - 1e-12)))
    if rank > n:
        return np.tile([-np.inf, np.inf], (n_new, 1))
    ends = np.empty((n_new, 2))
    step = max(_CHUNK // n, 1)
    for start in range(0, n_new, step):
        centres = np.array([part[start : start + step] for part in predicted]).T[:, fold]
        ends[start : start + step, 0] = np.partition(centres - errors, n - rank, axis=1)[:, n - rank]
        ends[start : start + step, 1] = np.partition(centres + errors, rank - 1, axis=1)[:, rank - 1]
    return ends


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The models of the folds, and their errors on the rows that they have not seen.

    Attributes
    ----------
    models : list of list of (float, FittedStrategy)
        For each fold the members of a weighted mean, with their weights.
    errors : list of ndarray
        Absolute errors of that mean on the rows left out; none where no strategy worked on every fold.
    """

    models: list[list[tuple[float, FittedStrategy]]]
    errors: list[Floats]

    @classmethod
    def of(cls, task: Task, trials: Trials, weights: Floats) -> Self:
        """Keep those of a weighted mean of trials."""
        members = [int(place) for place in np.flatnonzero(weights)]
        found = cls([], [])
        if set(members) <= set(trials.finished):
            for number in range(trials.n_folds):
                found._add(task, [trials.trials[place].folds[number] for place in members], weights[members])
        return found

    def _add(self, task: Task, folds: list[HeldOut], weights: Floats) -> None:
        models = [(float(weight), fold.model) for weight, fold in zip(weights, folds, strict=True) if fold.model]
        if len(models) == len(folds):
            mean = np.sum([weight * fold.output for weight, fold in zip(weights, folds, strict=True)], axis=0)
            self.models.append(models)
            self.errors.append(np.abs(task.y[folds[0].rows] - mean))

    def interval(self, X: Any, coverage: float) -> Floats:
        """Give the intervals of new rows: see `cv_plus`.

        Raises
        ------
        ValueError
            If there are no errors.
        """
        if not self.errors:
            raise ValueError("no strategy worked on every fold: there are no errors on rows held out")
        predicted = [
            np.asarray(np.sum([weight * outputs(model, X) for weight, model in models], axis=0))
            for models in self.models
        ]
        return cv_plus(predicted, self.errors, coverage)
