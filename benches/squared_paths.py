"""What the benches of the squared loss share: drawn tables, scikit-learn's estimators, and the gap of a fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone

import metafit

__all__ = ["SKLEARN_TOL", "draw", "fit_all", "grid", "objective", "worst_gap"]

Floats = NDArray[np.float64]

#: Of coordinate descent (its default): the gap it stops at is that part of the target's sum of squares.
SKLEARN_TOL = 1e-4


def draw(n: int, p: int, rng: np.random.Generator, n_targets: int = 1) -> tuple[Floats, Floats]:
    """Columns that share a factor, and targets of half of them with as much noise."""
    X = rng.normal(size=(n, p)) + 0.5 * rng.normal(size=(n, 1))
    signal = X[:, : p // 2] @ rng.normal(size=(p // 2, n_targets))
    Y = signal + rng.normal(size=signal.shape) * signal.std(axis=0)
    return X, Y


def grid(X: Floats, y: Floats, l1_ratio: float, n_alphas: int) -> Floats:
    """Strengths from the least that leaves all at 0 down to a thousandth of it."""
    largest = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / len(y) / l1_ratio
    return np.geomspace(largest, 1e-3 * largest, n_alphas)


def fit_all(estimator: Any, tables: Iterable[Sequence[Any]]) -> list[Any]:
    """A clone fitted on each table (X, y, options), two at a time."""
    return Parallel(n_jobs=2)(delayed(_fit)(clone(estimator), *table) for table in tables)


def _fit(estimator: Any, X: Floats, y: Floats, **options: Any) -> Any:
    return estimator.fit(X, y, **options)


def objective(
    X: Floats, y: Floats, coef: Floats, alpha: float, l1_ratio: float, weights: Floats | None = None
) -> float:
    """Mean squared error / 2 plus the penalty, with the best intercept."""
    rest = y - X @ coef
    rest = rest - np.average(rest, weights=weights)
    penalty = l1_ratio * np.abs(coef).sum() + 0.5 * (1 - l1_ratio) * coef @ coef
    return float(0.5 * np.average(rest * rest, weights=weights) + alpha * penalty)


def worst_gap(fits: Iterable[tuple[Any, ...]], l1_ratio: float) -> float:
    """Largest (P - P*) / P of (X, y, coef, alpha[, weights]), P* from fits at full precision."""
    return max(_gap(l1_ratio, *fit) for fit in fits)


def _gap(l1_ratio: float, X: Floats, y: Floats, coef: Floats, alpha: float, weights: Floats | None = None) -> float:
    penalty = metafit.penalties.ElasticNet(l1_ratio) if l1_ratio else metafit.penalties.L2()
    best = metafit.solve(X, y, penalty=penalty, alphas=float(alpha), sample_weight=weights, tol=0.0)
    value = objective(X, y, coef, alpha, l1_ratio, weights)
    return max(value - objective(X, y, best.coef, alpha, l1_ratio, weights), 0.0) / value
