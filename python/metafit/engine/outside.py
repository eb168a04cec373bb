"""Estimators of scikit-learn on a fold: fitted one by one, scored like the engine's own fits."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from metafit.engine.rows import Floats, FoldRows, fill
from metafit.strategies.strategy import Strategy
from metafit.tasks.task import Task

__all__ = ["FittedEstimator", "fit_estimator", "held_out_scores", "why_not"]


@dataclass(frozen=True, eq=False)
class FittedEstimator:
    """A fitted estimator, with the imputation in front of it."""

    estimator: Any
    means: Floats | None
    n_classes: int
    seconds: float
    complaint: str

    def predict(self, matrix: Floats) -> Floats:
        """Return predicted values (n_rows,), or the probability of each class (n_rows, n_classes)."""
        filled = matrix if self.means is None else fill(matrix, self.means)
        if not self.n_classes:
            return np.asarray(self.estimator.predict(filled), dtype=np.float64)
        probabilities = np.zeros((len(matrix), self.n_classes))
        probabilities[:, self.estimator.classes_] = self.estimator.predict_proba(filled)
        return probabilities


def why_not(task: Task, strategy: Strategy) -> str:
    """Say why an estimator cannot serve a task; empty if it can."""
    assert strategy.estimator is not None
    estimator = strategy.estimator.build()
    if task.classes is not None and not hasattr(estimator, "predict_proba"):
        return "the estimator has no predict_proba: wrap it in CalibratedClassifierCV"
    if task.classes is not None and task.offset is not None:
        return "scikit-learn's classifiers take no offset"
    if task.sample_weight is not None and not has_fit_parameter(estimator, "sample_weight"):
        return "the estimator takes no sample weights"
    return ""


def fit_estimator(strategy: Strategy, rows: FoldRows) -> FittedEstimator:
    """Fit a strategy's estimator on training rows; what it raises is the caller's to catch."""
    assert strategy.estimator is not None
    task, estimator = rows.task, strategy.estimator.build()
    means = None if get_tags(estimator).input_tags.allow_nan else rows.means
    X = rows.matrix if means is None else fill(rows.matrix, means)
    y = task.y[rows.train] - (task.offset[rows.train] if task.offset is not None else 0)
    weights = {} if task.sample_weight is None else {"sample_weight": rows.weights}
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, y, **weights)
    unfinished = [str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)]
    n_classes = 0 if task.classes is None else len(task.classes)
    complaint = " ".join(unfinished[0].split()) if unfinished else ""
    return FittedEstimator(estimator, means, n_classes, time.perf_counter() - start, complaint)


def held_out_scores(fitted: FittedEstimator, rows: FoldRows) -> dict[str, float]:
    """Return the scores of the test rows, under the names of `sklearn.metrics`."""
    task, weights = rows.task, rows.test_weights
    y, predicted = task.y[rows.test], fitted.predict(task.matrix[rows.test])
    if task.classes is None:
        shift = 0.0 if task.offset is None else task.offset[rows.test]
        return _regression_scores(y, predicted + shift, weights)
    return _classification_scores(y, predicted, weights)


def _regression_scores(y: NDArray[Any], predicted: Floats, weights: Floats | None) -> dict[str, float]:
    r2 = metrics.r2_score(y, predicted, sample_weight=weights) if len(y) > 1 else np.nan
    mse = metrics.mean_squared_error(y, predicted, sample_weight=weights)
    return {"mean_squared_error": float(mse), "r2_score": float(r2)}


def _classification_scores(y: NDArray[Any], proba: Floats, weights: Floats | None) -> dict[str, float]:
    labels = np.arange(proba.shape[1])
    chosen = proba.argmax(axis=1)
    one_hot = np.asarray(y[:, None] == labels, dtype=np.float64)
    # two classes share one probability, so the sum over classes counts its error twice
    share = 0.5 if len(labels) == 2 else 1.0
    brier = share * np.average(np.sum((proba - one_hot) ** 2, axis=1), weights=weights)
    return {
        "log_loss": float(metrics.log_loss(y, proba, labels=labels, sample_weight=weights)),
        "brier_score_loss": float(brier),
        "accuracy_score": float(metrics.accuracy_score(y, chosen, sample_weight=weights)),
        "roc_auc_score": _roc_auc(y, proba, weights),
    }


def _roc_auc(y: NDArray[Any], proba: Floats, weights: Floats | None) -> float:
    """Return the area under the ROC curve; NaN where a class is absent."""
    if len(np.unique(y)) < proba.shape[1]:
        return np.nan
    scores = proba[:, 1] if proba.shape[1] == 2 else proba
    return float(metrics.roc_auc_score(y, scores, sample_weight=weights, multi_class="ovr"))
