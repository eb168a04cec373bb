"""`metafit.solve`: the equation itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from metafit.engine.fits import Axes, Fits
from metafit.engine.native import STATUSES, Table, run_product, run_single
from metafit.engine.recipes import as_recipe
from metafit.engine.solution import Solution
from metafit.engine.validation import as_count, as_matrix, as_row_vector, as_splits, as_subsets, as_target, numbered
from metafit.exceptions import ConvergenceWarning, RankWarning
from metafit.strategies import losses, penalties
from metafit.strategies.alphas import L1_RATIO_FLOOR
from metafit.strategies.penalties import label_groups
from metafit.strategies.solvers import check_solver

__all__ = ["solve"]

Floats = NDArray[np.float64]
Keep = Literal["coef", "scores", "best"]
Ints = NDArray[np.int64]


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
    keep: Keep = "coef",
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
    check_options(missing, solver, keep, tol, max_iter, n_threads, folds, groups)
    is_plain = subsets is None and folds is None and sample_weight is None and offset is None and missing == "error"
    of_all_widths = not (penalty.has_groups or penalty.is_per_column)
    if is_plain and of_all_widths and keep == "coef" and isinstance(alphas, (float, int)):
        single = _single(X, y, loss, penalty, float(alphas), (solver, fit_intercept, standardize), tol, max_iter)
        if single is not None:
            return single
    matrix, names = as_matrix(X, allow_missing=missing == "mean")
    n_rows = matrix.shape[0]
    target = as_target(y, n_rows, loss)
    weight = as_row_vector(sample_weight, n_rows, "sample_weight")
    table = Table(matrix, target.values, sample_weight=weight, offset=as_row_vector(offset, n_rows, "offset"))
    check_penalty(penalty, len(names), target.n_classes, standardize)
    penalty = label_groups(penalty, names)
    pairs = () if folds is None else as_splits(folds, matrix, target, groups)
    problem = Problem(
        tables=[table],
        folds=[pairs],
        subsets=None if subsets is None else as_subsets(subsets, names),
        loss=loss,
        penalty=penalty,
        n_classes=target.n_classes,
        recipe=as_recipe(loss, penalty, target.n_classes, solver, fit_intercept, standardize),
        options={"tol": tol, "max_iter": max_iter, "missing": missing, "n_threads": n_threads, "progress": progress},
    )
    reason = table.refusal(problem.recipe)
    if reason:
        raise ValueError(f"{loss!r} cannot be fitted: {reason}")
    has_alphas, grid = (True, problem.grids(n_alphas)) if alphas is None else as_alphas(alphas)
    fits = problem.fits(grid, keep)
    if not fits.core.all_converged:
        warn(fits.counts, set(fits.reasons.values()))
    if keep == "best" and not fits.best[2][0]:
        raise ValueError("no fold could be scored: there is no best fit to keep")
    return Solution(
        fits,
        Axes(subset=subsets is not None, alpha=has_alphas, fold=bool(pairs), classes=target.n_classes > 1),
        alphas=grid[0] if has_alphas else float(grid[0, 0]),
        classes=target.classes,
        feature_names=names,
        column_means=_column_means(matrix, weight) if missing == "mean" else None,
        has_names=hasattr(X, "columns"),
    )


def _single(
    X: Any,
    y: Any,
    loss: losses.Loss,
    penalty: penalties.Penalty,
    alpha: float,
    recipe: tuple[str, bool, bool],
    tol: float,
    max_iter: int,
) -> Solution | None:
    """Solve for one strength on a small table in a single call of the core; None where that takes a second look."""
    found = run_single(X, y, as_recipe(loss, penalty, 1, *recipe), alpha, tol, max_iter)
    if found is None:
        return None
    core, coef, intercept, classes = found
    fits = Fits(core, (1, 1, 1, 1), loss, 1, "coef")
    if not core.all_converged:
        warn(fits.counts, set(fits.reasons.values()))
    made = {"coef": coef, "intercept": intercept}
    return Solution(fits, _ONE_FIT, alphas=alpha, classes=classes, feature_names=numbered(len(coef)), made=made)


_ONE_FIT = Axes(subset=False, alpha=False, fold=False, classes=False)
_MISSING, _KEEP = ("error", "mean"), ("coef", "scores", "best")


def check_options(
    missing: str, solver: str, keep: str, tol: float, max_iter: int, n_threads: int | None, folds: Any, groups: Any
) -> None:
    """Refuse options that cannot be used."""
    check_solver(solver)
    _check_choice("missing", missing, _MISSING)
    _check_choice("keep", keep, _KEEP)
    if not 0 <= tol < math.inf:
        raise ValueError(f"tol must be at least 0, got {tol!r}")
    as_count(max_iter, "max_iter", 0)
    if n_threads is not None:
        as_count(n_threads, "n_threads", 1)
    if groups is not None and folds is None:
        raise ValueError("groups say which rows stay in one fold: they need folds")
    if keep == "best" and folds is None:
        raise ValueError("keep='best' compares held-out losses: it needs folds")


def _check_choice(argument: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def check_penalty(penalty: penalties.Penalty, n_features: int, n_classes: int, standardize: bool) -> None:
    """Refuse a penalty that speaks of other columns or classes than there are."""
    if not penalty.is_per_column:
        return
    for argument, n in penalty.widths.items():
        if n != n_features:
            raise ValueError(f"penalty.{argument} has {n} entries, X has {n_features} columns")
    for argument, n in penalty.class_rows.items():
        if n != n_classes or n_classes == 1:
            has = "more than two classes have a row each, here is one row" if n_classes == 1 else f"y has {n_classes}"
            raise ValueError(f"penalty.{argument} has {n} rows, one a class: {has}")
    if standardize and penalty.metric is not None:
        raise ValueError("penalty.metric is in original units of the columns: it needs standardize=False")


def as_alphas(alphas: Any) -> tuple[bool, Floats]:
    """Return whether there is an axis of strengths, and the strengths as one row."""
    if type(alphas) is float and 0 <= alphas < math.inf:
        return False, np.array([[alphas]])
    try:
        grid = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"alphas must be a number or a sequence of numbers, got {alphas!r}") from None
    if grid.ndim != 1 or not grid.size:
        raise ValueError(f"alphas must be a number or a non-empty sequence of numbers, got {alphas!r}")
    if not (np.isfinite(grid).all() and (grid >= 0).all()):
        raise ValueError(f"alphas must be finite and at least 0, got {alphas!r}")
    return np.ndim(alphas) > 0, grid[None]


def _column_means(matrix: Any, weight: Floats | None) -> Floats | None:
    """Weighted means of the observed values; 0 where a column has none. A sparse matrix has no gaps to fill."""
    if scipy.sparse.issparse(matrix):
        return None
    weights = np.ones(len(matrix)) if weight is None else weight
    observed = ~np.isnan(matrix)
    total = weights @ observed
    sums = weights @ np.where(observed, matrix, 0.0)
    return np.asarray(np.divide(sums, total, out=np.zeros_like(sums), where=total > 0))


@dataclass(eq=False)
class Problem:
    """A request in the engine's words: a recipe for every table, subset and split, the first of which is all rows."""

    tables: Sequence[Table]
    #: Of each table, or one list for all.
    folds: Sequence[Sequence[tuple[Ints, Ints]]]
    subsets: Sequence[Ints] | None
    loss: losses.Loss
    penalty: penalties.Penalty
    n_classes: int
    recipe: Any
    options: dict[str, Any]

    def fits(self, grids: Floats, keep: Keep) -> Fits:
        """Solve everything, at the strengths of one row for all tables or of a row for each."""
        shape = (len(self.tables), len(self.subsets or " "), 1 + len(self.folds[0]), grids.shape[1])
        self._reserve(shape, keep)
        core = run_product(self.tables, self.folds, self.subsets, grids, self.recipe, keep=keep, **self.options)
        return Fits(core, shape, self.loss, self.n_classes, keep)

    def _reserve(self, shape: tuple[int, ...], keep: str) -> None:
        """Ask for the memory of the answer before anything is computed."""
        width = self.tables[0].n_columns * self.n_classes if keep == "coef" else 0
        # the figures of a fit, and its coefficients as the core and as the caller hold them
        n_bytes = math.prod(shape) * (400 + 16 * width)
        if n_bytes < _SURELY_THERE:
            return
        try:
            np.empty(n_bytes, dtype=np.uint8)
        except (MemoryError, ValueError):
            advice = "" if keep == "scores" else ": keep='scores' needs less"
            raise MemoryError(f"the answer takes {n_bytes:.3g} bytes, more than can be allocated{advice}") from None

    def grids(self, n_alphas: int) -> Floats:
        """One path a table for all of its subsets, from all rows."""
        as_count(n_alphas, "n_alphas", 1)
        options = self.options | {"progress": None}
        core = run_product(self.tables, [()], self.subsets, np.empty((1, 0)), self.recipe, keep="scores", **options)
        # nothing to shrink (no features, or a target they say nothing about): any strength gives the same fit
        largest = core.alpha_max.reshape(len(self.tables), -1).max(axis=1, initial=0.0)
        largest[~(largest > 0.0)] = 1.0
        is_wide = np.array([table.n_columns >= table.n_rows for table in self.tables])
        floor = L1_RATIO_FLOOR if self.penalty.l1_share < L1_RATIO_FLOOR else 1.0
        tall, wide = (np.geomspace(1.0, ratio * floor, n_alphas) for ratio in (1e-4, 1e-2))
        return np.asarray(largest[:, None] * np.where(is_wide[:, None], wide, tall))


#: Bytes that nobody needs to be asked for.
_SURELY_THERE = 1_000_000

#: What is said of fits that ended like this.
_COMPLAINTS = {
    "max_iter": "did not reach the tolerance",
    "separated": "ran away on separated classes",
    "overflow": "left the range of numbers",
    "failed": "failed",
}


def warn(counts: Sequence[int], reasons: Collection[str]) -> None:
    """One warning a kind, with the number of fits of each status and why some failed."""
    statuses, n_fits = dict(zip(STATUSES, counts, strict=True)), sum(counts)
    complaints = [f"{statuses[status]} {what}" for status, what in _COMPLAINTS.items() if statuses[status]]
    if complaints:
        why = f" ({'; '.join(sorted(reasons))})" if reasons else ""
        message = f"of {n_fits} fits {', '.join(complaints)}{why}"
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
    if statuses["rank_deficient"]:
        message = f"{statuses['rank_deficient']} of {n_fits} fits have dependent unpenalised columns"
        warnings.warn(message, RankWarning, stacklevel=3)
