"""One strategy on one fold: the model, what it predicts of rows that it has not seen, and how good that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.utils import Tags

from metafit.engine.fitted import FittedStrategy, fold_model
from metafit.engine.running import FoldResult, FoldRun
from metafit.tasks.task import Task

__all__ = ["HeldOut", "Scorer", "Scoring", "outputs", "row_losses"]

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Scorer = Callable[[Any, Any, Any], float]

#: Scores that the engine computes, by their names as scorers, and the sign that makes higher better.
_ENGINE_SCORES = {
    "neg_mean_squared_error": ("mean_squared_error", -1.0),
    "r2": ("r2_score", 1.0),
    "neg_log_loss": ("log_loss", -1.0),
    "neg_brier_score": ("brier_score_loss", -1.0),
    "accuracy": ("accuracy_score", 1.0),
    "roc_auc": ("roc_auc_score", 1.0),
}
_DEFAULT_SCORE = {"regression": "neg_mean_squared_error", "classification": "neg_log_loss"}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What came of one strategy on one fold.

    Attributes
    ----------
    task : Task
    rows : ndarray of int
        The rows held out.
    result : FoldResult
    model : FittedStrategy or None
        Fitted on the training rows of the fold; None where there is no fit that can be trusted.
    score : float
        Higher is better; NaN without a model.
    """

    task: Task
    rows: Rows
    result: FoldResult
    model: FittedStrategy | None
    score: float = np.nan

    @cached_property
    def output(self) -> Floats:
        """Predicted values of the rows held out, or the probabilities of each class; NaN without a model."""
        if self.model is None:
            shape = (len(self.rows),) if self.task.classes is None else (len(self.rows), len(self.task.classes))
            return np.full(shape, np.nan)
        offset = None if self.task.offset is None else self.task.offset[self.rows]
        return outputs(self.model, self.task.matrix[self.rows], offset)

    @cached_property
    def losses(self) -> Floats:
        """Squared error, or log loss, of each row held out."""
        return row_losses(self.task, self.rows, self.output)


def outputs(model: FittedStrategy, X: Any, offset: Floats | None = None) -> Floats:
    """Predict values, or the probabilities of each class."""
    made = model.predict(X, offset=offset) if model.classes is None else model.predict_proba(X, offset=offset)
    return np.asarray(made, dtype=np.float64)


def row_losses(task: Task, rows: Rows, output: Floats) -> Floats:
    """Return the squared error, or log loss, of each row.

    Examples
    --------
    >>> task = Task([[0.0], [1.0]], ["no", "yes"])
    >>> row_losses(task, np.array([1]), np.array([[0.75, 0.25]])).round(3)
    array([1.386])
    """
    y = task.y[rows]
    if task.classes is None:
        return np.asarray((y - output) ** 2)
    picked = np.take_along_axis(output, y[:, None], axis=1)[:, 0]
    return np.asarray(-np.log(np.maximum(picked, np.finfo(float).eps)))


class Scoring:
    """How strategies are compared on a task, as scikit-learn names it; higher is better.

    Parameters
    ----------
    task : Task
    scoring : str, callable or None
        None means the negative log loss, or mean squared error.

    Attributes
    ----------
    metric : str or None
        The column of a table of scores that holds it, None where studies do not measure it.

    Raises
    ------
    ValueError
        If there is no such scoring.
    """

    def __init__(self, task: Task, scoring: str | Scorer | None) -> None:
        name = _DEFAULT_SCORE[task.kind] if scoring is None else scoring
        self.metric: str | None
        self.metric, self._sign = _ENGINE_SCORES.get(name, (None, 1.0)) if isinstance(name, str) else (None, 1.0)
        self._scorer = None if self.metric else check_scoring(_Model(None, task), scoring=name)

    def of(self, run: FoldRun) -> HeldOut:
        """Score a run."""
        task, rows = run.rows.task, run.rows.test
        if run.result.status != "ok":
            return HeldOut(task, rows, run.result, None)
        model = fold_model(run)
        return HeldOut(task, rows, run.result, model, self._score(run.result, model, task, rows))

    def _score(self, result: FoldResult, model: FittedStrategy, task: Task, rows: Rows) -> float:
        if self._scorer is None:
            assert self.metric is not None
            return self._sign * result.metrics.get(self.metric, np.nan)
        held_out = task.take(rows)
        y = held_out.y if task.classes is None else task.classes[held_out.y]
        return float(self._scorer(_Model(model, task), held_out.X, y))


class _Model(BaseEstimator):  # type: ignore[misc]
    """A fitted strategy as scorers want it."""

    def __init__(self, fitted: FittedStrategy | None, task: Task) -> None:
        self.fitted = fitted
        self.task = task
        if task.classes is not None:
            self.classes_ = task.classes

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor" if self.task.classes is None else "classifier"
        return tags

    def fit(self, X: Any, y: Any) -> None:
        """Exist: scorers are only made for what can be fitted."""

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict values or labels."""
        assert self.fitted is not None
        return self.fitted.predict(X)

    def predict_proba(self, X: Any) -> Floats:
        """Predict probabilities."""
        assert self.fitted is not None
        return self.fitted.predict_proba(X)
