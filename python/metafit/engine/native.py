"""The border to the Rust core: tables in, flat arrays of certified fits out.

`run_product` takes all subsets on all splits of tables, and does nothing for each of them in Python; cells one by one
are those of `cells`. It speaks of arrays alone; names, frames and defaults belong to the callers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from metafit import _core
from metafit.engine.numbering import NOTHING, ZERO, Shared, ends, fold_numbers, places, ragged, repeated
from metafit.strategies.losses import Loss

__all__ = [
    "STATUSES",
    "CoreFits",
    "Table",
    "all_finite",
    "predictions",
    "run_product",
    "run_single",
    "two_labels",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CoreFits = _core.Fits
Ragged = tuple[NDArray[Any], Ints]
#: What a fit may end as.
STATUSES = tuple(_core.Fits.STATUSES)


class Table:
    """The engine's own copy of one table.

    Parameters
    ----------
    X : array of float, or scipy.sparse matrix or array of any format, shape (n_rows, n_columns)
        NaN marks a missing value. A sparse X is never written out: its stored values are standardised by scale
        alone, and what is said of centred columns holds all the same.
    y : array of float, shape (n_rows,)
        Targets; the numbers of the classes, 0.0, 1.0, ..., for losses of classifications.
    sample_weight, offset : array of float, shape (n_rows,), optional
        Row weights (at least 0) and offsets.

    Raises
    ------
    ValueError
        If lengths differ, weights are negative, or anything but a missing value of X is not finite.

    Examples
    --------
    >>> import scipy.sparse
    >>> X = scipy.sparse.csr_array([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    >>> table = Table(X, [1.0, 4.0, 0.0])
    >>> table.n_rows, table.n_columns, table.has_missing
    (3, 2, False)
    """

    def __init__(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> None:
        rows = (_floats(y), _maybe(sample_weight), _maybe(offset))
        is_sparse = type(X) is not np.ndarray and scipy.sparse.issparse(X)
        self._core = _sparse_table(X, rows) if is_sparse else _core.Table(_floats(X), *rows)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self._core.n_rows

    @property
    def n_columns(self) -> int:
        """Number of columns of X."""
        return self._core.n_columns

    @property
    def has_missing(self) -> bool:
        """Whether X holds NaN."""
        return self._core.has_missing

    def refusal(self, recipe: _core.Recipe) -> str:
        """Say why a recipe's loss cannot be fitted to the rows of positive weight; empty if it can.

        Examples
        --------
        >>> from metafit.engine.recipes import as_recipe
        >>> from metafit.strategies import losses, penalties
        >>> recipe = as_recipe(losses.resolve("logistic"), penalties.resolve("l2"), 1, "auto", True, False)
        >>> Table(np.empty((2, 0)), [0.0, 0.5]).refusal(recipe)
        'y holds 0.5, the logistic loss wants 0 and 1'
        """
        return self._core.refusal(recipe)

    def with_rows(
        self, y: ArrayLike, *, sample_weight: ArrayLike | None = None, offset: ArrayLike | None = None
    ) -> Table:
        """Return a table with other targets, weights and offsets on the same copy of X.

        Raises
        ------
        ValueError
            As for a new table.
        """
        table = Table.__new__(Table)
        table._core = self._core.with_rows(_floats(y), _maybe(sample_weight), _maybe(offset))
        return table


def _sparse_table(X: Any, rows: tuple[Floats, Floats | None, Floats | None]) -> _core.Table:
    csc = _canonical(X)
    n_rows, n_columns = csc.shape
    return _core.Table.sparse(n_rows, n_columns, _ints(csc.indptr), _ints(csc.indices), csc.data, *rows)


def _canonical(X: Any) -> scipy.sparse.csc_array:
    """Compressed columns of float64 with ascending rows, each stored once.

    Examples
    --------
    >>> import scipy.sparse
    >>> X = scipy.sparse.coo_array(([1, 2, 4], ([1, 0, 1], [0, 0, 0])), shape=(2, 1))
    >>> csc = _canonical(X)
    >>> csc.indices.tolist(), csc.data.tolist()
    ([0, 1], [2.0, 5.0])
    """
    if X.ndim != 2:
        raise ValueError(f"X must be two-dimensional, got shape {X.shape}")
    # in the type of X, as X.toarray() sums them (two True are one), and in a copy: the caller's arrays stay as they are
    csc = scipy.sparse.csc_array(X, copy=True)
    csc.sum_duplicates()
    return csc.astype(np.float64, copy=False)


def predictions(loss: Loss, eta: Floats) -> Floats:
    """Return the means, quantiles or probabilities of the second class that belong to linear predictions.

    Examples
    --------
    >>> from metafit.strategies import losses
    >>> predictions(losses.resolve("logistic"), np.zeros((1, 2)))
    array([[0.5, 0.5]])
    """
    return _core.predictions(loss.name, loss.parameters, np.ravel(eta)).reshape(np.shape(eta))


def all_finite(array: Floats) -> bool:
    """Say whether an array of any shape holds neither infinity nor NaN.

    Examples
    --------
    >>> all_finite(np.array([[0.0, 1e308]])), all_finite(np.array([np.nan]))
    (True, False)
    """
    return _core.all_finite(array)


def two_labels(array: NDArray[Any]) -> tuple[NDArray[Any], Floats] | None:
    """Return the two values of an array of finite float64, ascending, and 0.0 or 1.0 for each entry; else None.

    Examples
    --------
    >>> two_labels(np.array([2.0, -1.0, 2.0]))
    (array([-1.,  2.]), array([1., 0., 1.]))
    """
    found = _core.two_labels(array) if array.dtype == np.float64 else None
    return None if found is None else (np.array(found[:2]), found[2])


def run_product(
    tables: Sequence[Table],
    folds: Sequence[Sequence[tuple[Ints, Ints]]],
    subsets: Sequence[Ints] | None,
    grids: Floats,
    recipe: _core.Recipe,
    *,
    tol: float = 1e-8,
    max_iter: int = 1000,
    missing: Literal["error", "mean"] = "error",
    keep: Literal["coef", "scores", "best"] = "coef",
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> _core.Fits:
    """Solve a recipe for every table, subset and split: all rows, then each fold.

    Parameters
    ----------
    tables : sequence of Table
    folds : sequence of sequence of (train, test)
        Folds of each table, or one list for all tables; as many for each. Tables that share the object share the work
        of looking at it.
    subsets : sequence of array of int, optional
        Ascending columns. None means all columns.
    grids : array, shape (1, n_alphas) or (n_tables, n_alphas)
        Strengths, of all tables or of each.
    recipe : as of `as_recipe`
    keep : {"coef", "scores", "best"}
        Which coefficients: all, none, or for each table and subset those of the fit on all rows whose strength has the
        least mean held-out loss.
    tol, max_iter, missing, n_threads, progress
        As in `metafit.engine.run_cells`, which also says what is raised.

    Returns
    -------
    Fits
        Flat arrays over tables, subsets, splits and alphas, the last running fastest.
    """
    rows = Shared()
    n_splits = 1 + len(folds[0])
    train, test = fold_numbers(folds, len(tables), rows)
    split, subset, grid = places(len(tables), None if subsets is None else len(subsets), n_splits, len(grids))
    return _core.run_cells(
        [table._core for table in tables],
        rows=rows.ragged(np.int64) if folds[0] else NOTHING,
        splits=(repeated(len(tables), n_splits), train, test),
        subsets=NOTHING if subsets is None else ragged(subsets, np.int64),
        grids=(grids.ravel(), ends(*grids.shape)),
        recipes=[recipe],
        cells=(split, subset, grid, ZERO),
        tol=tol,
        max_iter=max_iter,
        impute=missing == "mean",
        keep_coef=keep != "scores",
        best_of=n_splits if keep == "best" else None,
        n_threads=n_threads,
        progress=progress,
    )


#: One strength on all of a small table, nothing else being asked: what `run_product` returns, with coefficients,
#: intercept and the labels of a classification; None where the arrays are not of float64 or cannot be fitted.
run_single = _core.run_single


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _maybe(values: ArrayLike | None) -> Floats | None:
    return None if values is None else _floats(values)


def _ints(values: NDArray[Any]) -> Ints:
    return np.asarray(values, dtype=np.int64)
