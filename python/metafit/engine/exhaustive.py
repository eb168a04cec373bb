"""`subset_errors`: ridge on every column subset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metafit.engine.cells import Split, run_exhaustive
from metafit.engine.native import Table
from metafit.engine.validation import as_count, as_matrix, as_row_vector, as_splits, as_target
from metafit.strategies import losses

__all__ = ["columns_of", "subset_errors"]

Floats = NDArray[np.float64]


def subset_errors(
    X: Any,
    y: Any,
    *,
    alpha: float,
    folds: Any = 5,
    groups: Any = None,
    sample_weight: Any = None,
    offset: Any = None,
    fit_intercept: bool = True,
    standardize: bool = False,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Floats:
    """Return the mean held-out squared error of every column subset.

    For each of them and each fold the ridge of `metafit.solve` (squared loss, penalty L2) is fitted on the training
    rows. The numbers are the means over the folds of its ``scores["mean_squared_error"]``, for all ``2**p`` subsets
    at the price of a few dozen operations each.

    Parameters
    ----------
    X : array-like, SciPy sparse or frame of numbers, shape (n_rows, n_features)
        At most 30 columns, without missing values. A sparse one is written out.
    y : array-like, shape (n_rows,)
    alpha : float
        Strength, >= 0.
    folds : int, splitter or iterable of (train, test), default=5
        As `cv` in scikit-learn: an int means `KFold` without shuffling.
    groups : array-like, shape (n_rows,), optional
        Passed to the splitter.
    sample_weight, offset : array-like, shape (n_rows,), optional
    fit_intercept : bool, default=True
    standardize : bool, default=False
        As in `metafit.solve`.
    n_threads : int, optional
        None means one a core. The results have the same bits for any number.
    progress : callable, optional
        Called as ``progress(n_done, n_parts)`` while longer calls run.

    Returns
    -------
    ndarray, shape (2**n_features,)
        Entry m is the error of the subset of the columns j with ``m >> j & 1``, see `columns_of`: entry 0 is that of
        the intercept alone, the last one that of all columns.

    Raises
    ------
    ValueError
        If an argument cannot be used, or a fold has no positive weight among its training or its held-out rows.
    MemoryError
        If the result does not fit into memory.

    Notes
    -----
    Subsets extend each other's Cholesky factors: a column joins by a Schur complement of the training moments and a
    congruent transformation of the held-out ones, and the error is what is left of the target. A subset with a
    squared pivot below 1e-6 (of columns of unit norm, ridge included), or whose error is below 1e-7 of that of the
    intercept alone, is fitted again as `metafit.solve` does it. That takes a thousand times longer: where alpha is 0
    and columns depend on each other, it is worth dropping some first.

    Furnival and Wilson (1974), Regressions by leaps and bounds, Technometrics 16(4), for the order of the subsets.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 10))
    >>> y = X[:, 2] - X[:, 5] + 0.1 * rng.normal(size=60)
    >>> errors = subset_errors(X, y, alpha=1e-3)
    >>> len(errors), set(columns_of(errors.argmin())) >= {2, 5}
    (1024, True)
    """
    if n_threads is not None:
        as_count(n_threads, "n_threads", 1)
    # the core refuses missing values, for which there is no option here
    matrix, _ = as_matrix(X, allow_missing=True)
    n_rows = matrix.shape[0]
    target = as_target(y, n_rows, losses.resolve("squared"))
    weight = as_row_vector(sample_weight, n_rows, "sample_weight")
    table = Table(matrix, target.values, sample_weight=weight, offset=as_row_vector(offset, n_rows, "offset"))
    return run_exhaustive(
        table,
        [Split(train, test) for train, test in as_splits(folds, matrix, target, groups)],
        alpha=_as_alpha(alpha),
        fit_intercept=fit_intercept,
        standardize=standardize,
        n_threads=n_threads,
        progress=progress,
    )


def columns_of(mask: int) -> list[int]:
    """Return the columns of the subset with this number.

    Examples
    --------
    >>> columns_of(0b1101)
    [0, 2, 3]
    """
    return [j for j in range(int(mask).bit_length()) if int(mask) >> j & 1]


def _as_alpha(alpha: Any) -> float:
    try:
        value = float(alpha)
    except (TypeError, ValueError):
        raise ValueError(f"alpha must be a number, got {alpha!r}") from None
    if not (np.isfinite(value) and value >= 0):
        raise ValueError(f"alpha must be finite and at least 0, got {alpha!r}")
    return value
