"""
Landmarkers: what a few cheap fits reach (Pfahringer, Bensusan and Giraud-Carrier, ICML 2000).

Each is fitted on two thirds of at most 3,000 rows and scored on the other third, groups kept together. The
score is the squared error (for classes, of the class indicators) over that of the training mean: 1 is no
skill, and it is cut at 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metafit.descriptions.sketch import Sketch, at_most, standardized_columns, target_columns
from metafit.tasks.frames import Floats, Ints
from metafit.tasks.rows import fold_indices
from metafit.tasks.task import Task

DOCS = {
    "landmark_ridge": "held-out loss of a ridge regression with one row's worth of penalty",
    "landmark_strong": "held-out loss of a ridge regression with as much penalty as data",
    "landmark_half": "held-out loss of the first ridge regression on half of the training rows",
    "landmark_squares": "held-out loss of the first ridge regression with the columns' squares added",
    "landmark_single": "held-out loss of a line through the column that correlates most in training",
    "landmark_stump": "held-out loss of the best single split on the training rows",
    "landmark_neighbors": "held-out loss of the mean of the 10 nearest training rows "
    "(of at most 1,000, on at most 400 rows)",
}

_ROWS = 3_000
_NEIGHBORS = 10
_NEIGHBOR_ROWS = 1_000
_NEIGHBOR_TESTS = 400
_WORST = 2.0
_MIN_ROWS = 6


@dataclass(frozen=True)
class Trial:
    """Training and held-out rows, standardised by the training rows; targets centred at the training mean."""

    X: Floats
    Y: Floats
    X_test: Floats
    Y_test: Floats

    def loss(self, predicted: Floats) -> float:
        """Held-out squared error over that of predicting the training mean."""
        loss = np.square(self.Y_test - predicted).sum() / np.square(self.Y_test).sum()
        return float(min(loss, _WORST))


def measure(sketch: Sketch) -> dict[str, float]:
    """Compute the meta-features of `DOCS`; NaN for fewer than 6 rows, 3 groups, or a constant target."""
    trial = _trial(at_most(sketch.sample, _ROWS), sketch.columns)
    if trial is None:
        return dict.fromkeys(DOCS, np.nan)
    return {
        "landmark_ridge": trial.loss(ridge(trial.X, trial.Y, trial.X_test, 1.0)),
        "landmark_strong": trial.loss(ridge(trial.X, trial.Y, trial.X_test, float(len(trial.X)))),
        "landmark_half": trial.loss(_half(trial)),
        "landmark_squares": trial.loss(_squares(trial)),
        "landmark_single": trial.loss(_single(trial)),
        "landmark_stump": trial.loss(_stump(trial)),
        "landmark_neighbors": _neighbors(trial),
    }


def _trial(task: Task, columns: Ints) -> Trial | None:
    units = task.n_rows if task.groups is None else len(np.unique(task.groups))
    if task.n_rows < _MIN_ROWS or units < 3:
        return None
    stratify = task.kind == "classification" and task.groups is None
    stratify = stratify and np.bincount(task.y).max() >= 3
    train, test = fold_indices(task.y, folds=3, stratify=stratify, groups=task.groups, random_state=0)[0]
    # Rows come sorted, and tables often are: half of the rows must be any half.
    train = np.random.default_rng(0).permutation(train)
    X, X_test = _scaled(task.matrix[:, columns], train, test)
    Y = target_columns(task)
    mean = Y[train].mean(axis=0)
    varied = np.ptp(Y[train], axis=0).max() > 0 and np.square(Y[test] - mean).sum() > 0
    return Trial(X, Y[train] - mean, X_test, Y[test] - mean) if varied else None


def _scaled(matrix: Floats, train: Ints, test: Ints) -> tuple[Floats, Floats]:
    """Standardise by the training rows; missing cells go to their mean, columns constant there go."""
    fitted = matrix[train]
    varies = standardized_columns(fitted)[1]
    fitted, held_out = fitted[:, varies], matrix[test][:, varies]
    mean, scale = np.nanmean(fitted, axis=0), np.nanstd(fitted, axis=0)
    # A held-out value far outside what was seen says nothing of the task, and would drown all else.
    return np.nan_to_num((fitted - mean) / scale), np.clip(np.nan_to_num((held_out - mean) / scale), -10, 10)


def ridge(X: Floats, Y: Floats, X_test: Floats, penalty: float) -> Floats:
    """
    Predict by ridge regression without intercept: coef = (X'X + penalty I)^-1 X'Y.

    Solved in the smaller of the two dimensions: X'(XX' + penalty I)^-1 Y where there are more columns than
    rows.
    """
    n, p = X.shape
    if p <= n:
        coef = np.asarray(np.linalg.solve(X.T @ X + penalty * np.eye(p), X.T @ Y))
    else:
        coef = X.T @ np.linalg.solve(X @ X.T + penalty * np.eye(n), Y)
    return np.asarray(X_test @ coef, dtype=np.float64)


def _half(trial: Trial) -> Floats:
    X, Y = trial.X[::2], trial.Y[::2]
    mean, level = X.mean(axis=0), Y.mean(axis=0)
    predicted: Floats = level + ridge(X - mean, Y - level, trial.X_test - mean, 1.0)
    return predicted


def _squares(trial: Trial) -> Floats:
    mean = np.square(trial.X).mean(axis=0)
    squares = [np.square(X) - mean for X in (trial.X, trial.X_test)]
    return ridge(np.hstack([trial.X, squares[0]]), trial.Y, np.hstack([trial.X_test, squares[1]]), 1.0)


def _single(trial: Trial) -> Floats:
    if trial.X.shape[1] == 0:
        return np.zeros_like(trial.Y_test)
    strength = np.square(trial.X.T @ trial.Y).sum(axis=1) / np.square(trial.X).sum(axis=0)
    best = [int(np.argmax(strength))]
    return ridge(trial.X[:, best], trial.Y, trial.X_test[:, best], 0.0)


def _stump(trial: Trial) -> Floats:
    splits = [(*best_split(x, trial.Y), j) for j, x in enumerate(trial.X.T)]
    gain, threshold, column = max(splits, default=(0.0, 0.0, 0))
    if gain <= 0:
        return np.zeros_like(trial.Y_test)
    left = trial.X[:, column] <= threshold
    below, above = trial.Y[left].mean(axis=0), trial.Y[~left].mean(axis=0)
    return np.asarray(np.where(trial.X_test[:, [column]] <= threshold, below, above), dtype=np.float64)


def best_split(x: Floats, Y: Floats) -> tuple[float, float]:
    """
    Find the threshold whose two means explain most of centred targets, and the squares they explain.

    With S the sum of the targets of the first m rows, and so -S of the others, the means explain |S|^2 (1/m +
    1/(n - m)).
    """
    order = np.argsort(x, kind="stable")
    ordered = x[order]
    m = np.arange(1, len(x))
    sums = np.square(np.cumsum(Y[order], axis=0)[:-1]).sum(axis=1)
    # No threshold parts equal values.
    gains = np.where(ordered[1:] > ordered[:-1], sums * (1 / m + 1 / (len(x) - m)), 0.0)
    best = int(np.argmax(gains))
    # Half way between two neighbouring floats can round up, and would then part nothing.
    middle = (ordered[best] + ordered[best + 1]) / 2
    return float(gains[best]), float(middle if middle < ordered[best + 1] else ordered[best])


def _neighbors(trial: Trial) -> float:
    X, Y = trial.X[:_NEIGHBOR_ROWS], trial.Y[:_NEIGHBOR_ROWS]
    some = Trial(X, Y, trial.X_test[:_NEIGHBOR_TESTS], trial.Y_test[:_NEIGHBOR_TESTS])
    # Categories make many equal distances: rounded, their order is that of the rows and not the BLAS's affair.
    distance = np.round(np.square(X).sum(axis=1) - 2 * some.X_test @ X.T, 6) + 1e-9 * np.arange(len(X))
    near = np.argpartition(distance, min(_NEIGHBORS, len(X)) - 1, axis=1)[:, :_NEIGHBORS]
    return some.loss(Y[near].mean(axis=1))
