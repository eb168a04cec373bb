"""`metafit.solve`: the equation itself."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from metafit.engine.native import Cell, CellResult, Split, Table, refusal, run_cells
from metafit.engine.solution import Solution
from metafit.engine.validation import Target, as_count, as_matrix, as_row_vector, as_splits, as_subsets, as_target
from metafit.exceptions import ConvergenceWarning, RankWarning
from metafit.strategies import losses, penalties
from metafit.strategies.alphas import L1_RATIO_FLOOR
from metafit.strategies.penalties import label_groups
from metafit.strategies.solvers import check_solver

__all__ = ["solve"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_ALL_ROWS = np.empty(0, dtype=np.int64)


def solve(
    X: Any,
    y: Any,
    *,
    loss: str | losses.Loss = "squared",
    penalty: str | penalties.Penalty = "l2",
    alphas: float | ArrayLike | None = None,
    n_alphas: int = 50,
    subsets: Sequence[Any] | None = None,
    folds: Any = None,
    groups: Any = None,
    sample_weight: Any = None,
    offset: Any = None,
    fit_intercept: bool = True,
    standardize: bool = False,
    missing: Literal["error", "mean"] = "error",
    solver: str = "auto",
    tol: float = 1e-8,
    max_iter: int = 1000,
    keep: Literal["coef", "scores", "best"] = "coef",
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Solution:
    """Solve the equation for all subsets, strengths and folds at once.

    For each of them finds the intercept b and the coefficients w that minimise::

        sum_i v_i L(y_i, b + o_i + x_i'w) / sum_i v_i  +  alpha * Omega(w),

    with row weights v, offsets o, and proves it by a duality gap. For more than two classes b and w hold a number for
    each class, and eta is a number for each class too.

    Parameters
    ----------
    X : array-like, SciPy sparse or frame of numbers, shape (n_rows, n_features)
    y : array-like, shape (n_rows,)
        Numbers, or labels for losses of classifications: two, or for the logistic loss any number.
    loss : str or loss of `metafit.losses`, default="squared"
        A name stands for the loss with its default parameters.
    penalty : str or penalty of `metafit.penalties`, default="l2"
        What it says of columns, it says of each feature. Penalties of groups need groups.
    alphas : float or sequence of float, optional
        Strengths, >= 0. None means `n_alphas` of them, evenly spaced in the logarithm from the least one that
        keeps all penalised coefficients at their centre (on all rows, for any subset) down to 1e-4 of it, or
        1e-2 where there are at least as many features as rows. For an l1_ratio below 1e-3 that largest
        strength would be infinite: it is taken at 1e-3, and the grid reaches 1e-3 times lower.
    n_alphas : int, default=50
    subsets : sequence of column lists, optional
        Each holds column numbers or names, or is a mask. None means all features.
    folds : int, splitter or iterable of (train, test), optional
        As `cv` in scikit-learn: an int means `KFold`, or `StratifiedKFold` for labels, without shuffling.
    groups : array-like, shape (n_rows,), optional
        Passed to the splitter.
    sample_weight : array-like, shape (n_rows,), optional
        At least 0. They weigh the fit, the standardisation and the scores.
    offset : array-like, shape (n_rows,), optional
        Added to the linear predictions. More than two classes get the same, which changes nothing.
    fit_intercept : bool, default=True
    standardize : bool, default=False
        Whether the penalty acts on coefficients of columns scaled to unit standard deviation over the
        training rows. Coefficients come back in original units either way.
    missing : {"error", "mean"}
        What to do with NaN in X: refuse it, or put the mean over the training rows in its place.
    solver : str, default="auto"
        "auto" takes the one that suits the problem. Others are "cholesky", "svd", "coordinate_descent", "newton",
        "proximal_newton", "interior_point" and "continuation"; each serves some pairs of loss and penalty.
    tol : float, default=1e-8
        A fit has converged when its gap is at most ``tol`` times the larger of its objective and 1e-4 of the
        objective at the centre. Up to 1e-13 the fit runs to the floating-point floor, and has converged if it
        stalls there with a gap of at most 1e-10 of that.
    max_iter : int, default=1000
    keep : {"coef", "scores", "best"}
        Keep all coefficients, none, or those with the least mean held-out loss (needs folds): then `coef` has
        no axis but the features.
    n_threads : int, optional
        None means one a core. The results have the same bits for any number.
    progress : callable, optional
        Called as ``progress(n_done, n_paths)`` while longer calls run.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        If an argument cannot be used; the message names it, and the column. Also if y is nothing that the loss can
        fit (a negative count); training rows of a fold that are not have status "failed" instead.
    MemoryError
        If the coefficients do not fit into memory: ask for keep="scores".

    Warns
    -----
    ConvergenceWarning
        If fits did not reach the tolerance, ran away on separated classes, left the range of numbers, or failed,
        with their numbers.
    RankWarning
        If unpenalised columns depend on each other.

    Notes
    -----
    Friedman, Hastie and Tibshirani (2010), Regularization paths for generalized linear models via coordinate
    descent, J. Stat. Softw. 33(1); Ndiaye, Fercoq, Gramfort and Salmon (2017), Gap safe screening rules for
    sparsity enforcing penalties, JMLR 18(128), for the gap.

    Examples
    --------
    >>> import numpy as np
    >>> import metafit as mf
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 4))
    >>> y = X[:, 0] - X[:, 1] + rng.normal(size=60) > 0
    >>> mf.solve(X, y, loss="logistic", penalty="l1", alphas=[0.1, 0.01], subsets=[[0, 1], [2, 3]], folds=5)
    Solution(2 subsets, 2 alphas, 5 folds; 4 features; 4 converged)
    """
    loss, penalty = losses.resolve(loss), penalties.resolve(penalty)
    _check_options(missing, solver, keep, tol, max_iter, n_threads, folds, groups)
    matrix, names = as_matrix(X, allow_missing=missing == "mean")
    n_rows = matrix.shape[0]
    target = as_target(y, n_rows, loss)
    weight = as_row_vector(sample_weight, n_rows, "sample_weight")
    table = Table(matrix, target.values, sample_weight=weight, offset=as_row_vector(offset, n_rows, "offset"))
    _check_penalty(penalty, len(names), target.n_classes, standardize)
    pairs = [] if folds is None else as_splits(folds, matrix, target, groups)
    problem = _Problem(
        table=table,
        splits=[Split(np.arange(n_rows), _ALL_ROWS), *(Split(train, test) for train, test in pairs)],
        subsets=[None] if subsets is None else list(as_subsets(subsets, names)),
        cell=Cell(
            alphas=[],
            loss=loss,
            penalty=label_groups(penalty, names),
            n_classes=target.n_classes,
            solver=solver,
            fit_intercept=fit_intercept,
            standardize=standardize,
        ),
        options={"tol": tol, "max_iter": max_iter, "missing": missing, "n_threads": n_threads},
        progress=progress,
    )
    _check_target(problem.cell, target, weight)
    grid = problem.grid(n_alphas) if alphas is None else _as_alphas(alphas)
    problem.reserve(len(grid), keep)
    axes = _Axes(
        subset=subsets is not None,
        alpha=alphas is None or np.ndim(alphas) > 0,
        fold=bool(pairs),
        classes=target.n_classes > 1,
    )
    means = _column_means(matrix, weight) if missing == "mean" else None
    solution = _Assembly(problem, loss, grid, axes, target, names, means).solution(keep)
    return replace(solution, has_names=hasattr(X, "columns"))


def _check_options(
    missing: str, solver: str, keep: str, tol: float, max_iter: int, n_threads: int | None, folds: Any, groups: Any
) -> None:
    check_solver(solver)
    choices = {"missing": (missing, ("error", "mean")), "keep": (keep, ("coef", "scores", "best"))}
    for argument, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"{argument} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    if not (np.isfinite(tol) and tol >= 0):
        raise ValueError(f"tol must be at least 0, got {tol!r}")
    as_count(max_iter, "max_iter", 0)
    if n_threads is not None:
        as_count(n_threads, "n_threads", 1)
    if groups is not None and folds is None:
        raise ValueError("groups say which rows stay in one fold: they need folds")
    if keep == "best" and folds is None:
        raise ValueError("keep='best' compares held-out losses: it needs folds")


def _check_penalty(penalty: penalties.Penalty, n_features: int, n_classes: int, standardize: bool) -> None:
    for argument, n in penalty.widths.items():
        if n != n_features:
            raise ValueError(f"penalty.{argument} has {n} entries, X has {n_features} columns")
    for argument, n in penalty.class_rows.items():
        if n != n_classes or n_classes == 1:
            has = "more than two classes have a row each, here is one row" if n_classes == 1 else f"y has {n_classes}"
            raise ValueError(f"penalty.{argument} has {n} rows, one a class: {has}")
    if standardize and penalty.metric is not None:
        raise ValueError("penalty.metric is in original units of the columns: it needs standardize=False")


def _check_target(cell: Cell, target: Target, weight: Floats | None) -> None:
    reason = refusal(cell, target.values, weight)
    if reason:
        raise ValueError(f"{losses.resolve(cell.loss)!r} cannot be fitted: {reason}")


def _as_alphas(alphas: Any) -> Floats:
    try:
        grid = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"alphas must be a number or a sequence of numbers, got {alphas!r}") from None
    if grid.ndim != 1 or not grid.size:
        raise ValueError(f"alphas must be a number or a non-empty sequence of numbers, got {alphas!r}")
    if not (np.isfinite(grid).all() and (grid >= 0).all()):
        raise ValueError(f"alphas must be finite and at least 0, got {alphas!r}")
    return grid


def _column_means(matrix: Any, weight: Floats | None) -> Floats | None:
    """Weighted means of the observed values; 0 where a column has none. A sparse matrix has no gaps to fill."""
    if scipy.sparse.issparse(matrix):
        return None
    weights = np.ones(len(matrix)) if weight is None else weight
    observed = ~np.isnan(matrix)
    total = weights @ observed
    sums = weights @ np.where(observed, matrix, 0.0)
    return np.asarray(np.divide(sums, total, out=np.zeros_like(sums), where=total > 0))


@dataclass(frozen=True, eq=False)
class _Problem:
    """A request in the engine's words. The first split is all rows."""

    table: Table
    splits: list[Split]
    subsets: list[Ints | None]
    cell: Cell
    options: dict[str, Any]
    progress: Callable[[int, int], None] | None

    def cells(self, alphas: Floats, splits: Sequence[int]) -> list[Cell]:
        """Make a cell a subset and split, splits within a subset."""
        return [
            replace(self.cell, alphas=alphas, split=split, columns=subset)
            for subset in self.subsets
            for split in splits
        ]

    def run(self, cells: Sequence[Cell], keep_coef: bool = True, silent: bool = False) -> list[CellResult]:
        progress = None if silent else self.progress
        return run_cells(self.table, self.splits, cells, keep_coef=keep_coef, progress=progress, **self.options)

    def reserve(self, n_alphas: int, keep: str) -> None:
        """Ask for the memory of the answer before anything is computed."""
        width = self.table.n_columns * self.cell.n_classes if keep == "coef" else 0
        # the figures of a fit, and its coefficients as the core and as the caller hold them
        n_bytes = len(self.subsets) * len(self.splits) * n_alphas * (400 + 16 * width)
        try:
            np.empty(n_bytes, dtype=np.uint8)
        except (MemoryError, ValueError):
            advice = "" if keep == "scores" else ": keep='scores' needs less"
            raise MemoryError(f"the answer takes {n_bytes:.3g} bytes, more than can be allocated{advice}") from None

    def grid(self, n_alphas: int) -> Floats:
        """One path for all subsets, from all rows."""
        as_count(n_alphas, "n_alphas", 1)
        results = self.run(self.cells(np.empty(0), [0]), silent=True)
        alpha_max = max((result.alpha_max for result in results), default=0.0)
        # nothing to shrink (no features, or a target they say nothing about): any strength gives the same fit
        if alpha_max == 0.0:
            alpha_max = 1.0
        ratio = 1e-4 if self.table.n_columns < self.table.n_rows else 1e-2
        if self.cell.penalty.l1_share < L1_RATIO_FLOOR:
            ratio *= L1_RATIO_FLOOR
        return np.geomspace(alpha_max, alpha_max * ratio, n_alphas) if n_alphas > 1 else np.array([alpha_max])


@dataclass(frozen=True)
class _Axes:
    """Which axes exist."""

    subset: bool
    alpha: bool
    fold: bool
    classes: bool

    @property
    def fits(self) -> tuple[str, ...]:
        """Axes that tell the fits on all rows apart."""
        return ("subset",) * self.subset + ("alpha",) * self.alpha

    def within(self, field: str) -> tuple[str, ...]:
        """Axes within a fit."""
        is_of_classes = self.classes and field in ("coef", "intercept")
        return ("class",) * is_of_classes + ("feature",) * (field == "coef")

    def shape(self, array: NDArray[Any]) -> NDArray[Any]:
        """Drop the axes subset (first) and alpha (second) of an array where they do not exist."""
        if not self.alpha:
            array = array[:, 0]
        return array if self.subset else array[0]


_FIELDS = ("intercept", "objective", "gap", "kkt", "n_iter", "seconds", "status", "reason")


@dataclass(frozen=True, eq=False)
class _Assembly:
    """Runs a problem and puts the fits of its cells into arrays."""

    problem: _Problem
    loss: losses.Loss
    grid: Floats
    axes: _Axes
    target: Target
    names: list[str]
    means: Floats | None

    def solution(self, keep: str) -> Solution:
        keep_coef = keep == "coef"
        n_splits = len(self.problem.splits)
        results = self.problem.run(self.problem.cells(self.grid, range(n_splits)), keep_coef)
        by_subset = [results[i : i + n_splits] for i in range(0, len(results), n_splits)]
        _warn(results)
        whole = self._stack([[group[0]] for group in by_subset], keep_coef)
        parts: dict[str, Any] = {key: self.axes.shape(array[:, :, 0]) for key, array in whole.items()}
        parts.setdefault("coef", None)
        if self.axes.fold:
            parts |= self._folds([group[1:] for group in by_subset], keep_coef)
        if keep == "best":
            parts |= self._best_fit(parts["best"])
        if keep == "scores":
            parts["intercept"] = parts["fold_intercept"] = None
        return Solution(
            loss=self.loss,
            alphas=self.grid if self.axes.alpha else float(self.grid[0]),
            classes=self.target.classes,
            dims=self._dims(keep),
            feature_names=self.names,
            column_means=self.means,
            **parts,
        )

    def _stack(self, groups: list[list[CellResult]], keep_coef: bool) -> dict[str, NDArray[Any]]:
        """Arrays (subset, alpha, split, ...) of the fields of all results."""
        fields = (*_FIELDS, "coef") if keep_coef else _FIELDS
        return {
            key: np.array([np.stack([np.asarray(getattr(r, key)) for r in group], axis=1) for group in groups])
            for key in fields
        }

    def _folds(self, groups: list[list[CellResult]], keep_coef: bool) -> dict[str, Any]:
        stacked = self._stack(groups, keep_coef)
        parts: dict[str, Any] = {f"fold_{key}": self.axes.shape(array) for key, array in stacked.items()}
        scores = {
            name: np.array([np.stack([r.scores[name] for r in group], axis=1) for group in groups])
            for name in groups[0][0].scores
        }
        parts["best"] = self._best(scores[self.loss.score])
        parts["scores"] = {name.removesuffix("_score"): self.axes.shape(array) for name, array in scores.items()}
        return parts

    def _best(self, loss: Floats) -> dict[str, int] | None:
        """Least mean over the folds that any fit could be scored on."""
        mean_loss = loss[..., ~np.isnan(loss).all(axis=(0, 1))].sum(axis=-1)
        if np.isnan(loss).all() or np.isnan(mean_loss).all():
            return None
        subset, alpha = np.unravel_index(np.nanargmin(mean_loss), mean_loss.shape)
        return {"subset": int(subset), "alpha": int(alpha)}

    def _best_fit(self, best: dict[str, int] | None) -> dict[str, Any]:
        """Coefficients of the best fit, from the same path as all others so that they are the same to the bit."""
        if best is None:
            raise ValueError("no fold could be scored: there is no best fit to keep")
        [result] = self.problem.run([self.problem.cells(self.grid, [0])[best["subset"]]], silent=True)
        return {"coef": result.coef[best["alpha"]], "intercept": result.intercept[best["alpha"]]}

    def _dims(self, keep: str) -> dict[str, tuple[str, ...]]:
        axes, fields = self.axes, (*_FIELDS, "coef")
        dims = {field: axes.fits + axes.within(field) for field in fields}
        if keep == "best":
            dims |= {field: axes.within(field) for field in ("coef", "intercept")}
        if axes.fold:
            dims |= {f"fold_{field}": (*axes.fits, "fold", *axes.within(field)) for field in fields}
            dims["scores"] = (*axes.fits, "fold")
        return dims


#: What is said of fits that ended like this.
_COMPLAINTS = {
    "max_iter": "did not reach the tolerance",
    "separated": "ran away on separated classes",
    "overflow": "left the range of numbers",
    "failed": "failed",
}


def _warn(results: Sequence[CellResult]) -> None:
    """One warning a kind, with the number of fits."""
    statuses = Counter(status for result in results for status in result.status)
    counts = [f"{statuses[status]} {what}" for status, what in _COMPLAINTS.items() if statuses[status]]
    if counts:
        reasons = sorted({reason for result in results for reason in result.reason if reason})
        why = f" ({'; '.join(reasons)})" if reasons else ""
        message = f"of {statuses.total()} fits {', '.join(counts)}{why}"
        warnings.warn(message, ConvergenceWarning, stacklevel=4)
    if statuses["rank_deficient"]:
        message = f"{statuses['rank_deficient']} of {statuses.total()} fits have dependent unpenalised columns"
        warnings.warn(message, RankWarning, stacklevel=4)
