"""The border to the Rust core: tables, splits and cells in, certified fits out.

This is the only module that imports `metafit._core`. It speaks of arrays alone; names, frames and defaults
belong to the callers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from metafit import _core
from metafit.strategies.penalties import L2, Penalty

__all__ = ["Cell", "CellResult", "Split", "Table", "run_cells", "score_names"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_L2 = L2()


class Table:
    """The engine's own copy of one table.

    Parameters
    ----------
    X : array of float, or scipy.sparse matrix or array of any format, shape (n_rows, n_columns)
        NaN marks a missing value. A sparse X is never written out: its stored values are standardised by scale
        alone, and what is said of centred columns holds all the same.
    y : array of float, shape (n_rows,)
        Targets; 0.0 and 1.0 for the logistic loss.
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
    >>> [result] = run_cells(Table(X, [1.0, 4.0, 0.0]), [Split([0, 1, 2], [])], [Cell(alphas=[0.0])])
    >>> result.coef.round(6), result.status
    (array([[2., 1.]]), ['converged'])
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
        self._core = _sparse_table(X, rows) if scipy.sparse.issparse(X) else _core.Table(_floats(X), *rows)
        self.n_rows = self._core.n_rows
        self.n_columns = self._core.n_columns


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


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows and held-out rows of one table; without held-out rows there are no scores."""

    train: NDArray[Any]
    test: NDArray[Any]
    table: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Cell:
    """One path of fits on the training rows of one split.

    Parameters
    ----------
    split : int, default=0
        Position of the split.
    columns : array of int, optional
        Columns that may differ from 0, ascending; None means all.
    loss : {"squared", "logistic"}
    penalty : Penalty
        Factors and centre, where given, have an entry for each column of the table.
    alphas : array of float, shape (n_alphas,)
        Strengths, in any order.
    of_max : bool, default=False
        Whether alphas are multiples of the cell's own alpha_max, the least strength that keeps every
        penalised coefficient at its centre (for an l1_ratio below 1e-3: at that ratio).
    fit_intercept, standardize : bool
        As in `metafit.solve`.
    scale_y : bool, default=False
        Whether alphas are meant for a target of unit standard deviation over the training rows (squared
        loss).
    """

    alphas: ArrayLike
    split: int = 0
    columns: NDArray[Any] | None = None
    loss: str = "squared"
    penalty: Penalty = _L2
    of_max: bool = False
    fit_intercept: bool = True
    standardize: bool = False
    scale_y: bool = False


@dataclass(frozen=True, eq=False)
class CellResult:
    """The fits of one cell; every array starts with an axis over alphas, in the order of the request.

    Attributes
    ----------
    coef : array, shape (n_alphas, n_columns)
        In original units, 0 outside the cell's columns; empty if not kept.
    intercept, alphas, gap, objective, n_iter, seconds : array, shape (n_alphas,)
        `gap` bounds the excess of `objective` over the least one.
    status : list of str
        "converged", "max_iter", "rank_deficient" or "failed".
    reason : list of str
        Why a fit failed, else "".
    scores : dict of str to array, shape (n_alphas,)
        Held-out scores under their names in `sklearn.metrics`.
    alpha_max : float
    """

    coef: Floats
    intercept: Floats
    alphas: Floats
    status: list[str]
    reason: list[str]
    gap: Floats
    objective: Floats
    n_iter: Ints
    seconds: Floats
    scores: dict[str, Floats]
    alpha_max: float


@dataclass(frozen=True, slots=True)
class _Request:
    """A cell as the core reads it."""

    split: int
    columns: Ints | None
    loss: str
    l1_ratio: float
    factors: Floats | None
    center: Floats | None
    alphas: Floats
    of_max: bool
    fit_intercept: bool
    standardize: bool
    scale_y: bool


def score_names(loss: str) -> list[str]:
    """Return the names of a loss's held-out scores.

    Examples
    --------
    >>> score_names("squared")
    ['mean_squared_error', 'r2_score']
    """
    return _core.score_names(loss)


def run_cells(
    tables: Table | Sequence[Table],
    splits: Sequence[Split],
    cells: Sequence[Cell],
    *,
    tol: float = 1e-8,
    max_iter: int = 1000,
    missing: Literal["error", "mean"] = "error",
    keep_coef: bool = True,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[CellResult]:
    """Solve all cells in one call, on all cores.

    The numbers of a cell depend on its table, split and request alone: any number of threads gives the same
    bits. Ctrl-C is answered within a tenth of a second.

    Parameters
    ----------
    tables : Table or sequence of Table
    splits : sequence of Split
    cells : sequence of Cell
    tol : float, default=1e-8
        A fit has converged when its gap is at most ``tol`` times the larger of its objective and 1e-4 of the
        objective at the centre. 0 runs to the floating-point floor (1e-13).
    max_iter : int, default=1000
        Newton steps a fit may take.
    missing : {"error", "mean"}
        What to do with NaN in X: refuse it, or put the training mean of the column in its place.
    keep_coef : bool, default=True
        Whether coefficients are returned.
    n_threads : int, optional
        None means one a core.
    progress : callable, optional
        Called as ``progress(n_done, n_cells)`` while longer calls run.

    Raises
    ------
    ValueError
        If a part of the request is out of range or X holds NaN with missing="error".
    MemoryError
        If the coefficients do not fit into memory.
    KeyboardInterrupt
        After Ctrl-C.

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([1.0, 3.0, 5.0, 7.0])
    >>> split = Split(np.array([0, 1, 2]), np.array([3]))
    >>> [result] = run_cells(Table(X, y), [split], [Cell(alphas=[0.0])])
    >>> result.coef.round(6), result.intercept.round(6), result.status
    (array([[2.]]), array([1.]), ['converged'])
    """
    tables = [tables] if isinstance(tables, Table) else list(tables)
    raw = _core.run_cells(
        [table._core for table in tables],
        [(split.table, _ints(split.train), _ints(split.test)) for split in splits],
        _requests(cells),
        tol=tol,
        max_iter=max_iter,
        impute=missing == "mean",
        keep_coef=keep_coef,
        n_threads=n_threads,
        progress=progress,
    )
    return _results(raw, tables, splits, cells, keep_coef)


def _requests(cells: Sequence[Cell]) -> list[_Request]:
    """Cells as the core reads them; cells that share a penalty share its arrays."""
    penalties = {id(cell.penalty): cell.penalty for cell in cells}
    arrays = {key: (_maybe(penalty.factors), _maybe(penalty.center)) for key, penalty in penalties.items()}
    return [_request(cell, *arrays[id(cell.penalty)]) for cell in cells]


def _request(cell: Cell, factors: Floats | None, center: Floats | None) -> _Request:
    return _Request(
        split=cell.split,
        columns=None if cell.columns is None else _ints(cell.columns),
        loss=cell.loss,
        l1_ratio=cell.penalty.l1_ratio,
        factors=factors,
        center=center,
        alphas=np.atleast_1d(_floats(cell.alphas)),
        of_max=cell.of_max,
        fit_intercept=cell.fit_intercept,
        standardize=cell.standardize,
        scale_y=cell.scale_y,
    )


def _results(
    raw: dict[str, Any], tables: Sequence[Table], splits: Sequence[Split], cells: Sequence[Cell], keep_coef: bool
) -> list[CellResult]:
    """Cut the flat arrays of the core into one result a cell."""
    results = []
    fit = coef = score = 0
    names_of = {loss: score_names(loss) for loss in {cell.loss for cell in cells}}
    status = np.asarray(raw["statuses"], dtype=object)[raw["status"]]
    for number, cell in enumerate(cells):
        split = splits[cell.split]
        names = names_of[cell.loss] if len(split.test) else []
        m, p = np.size(cell.alphas), tables[split.table].n_columns if keep_coef else 0
        at = slice(fit, fit + m)
        scores = raw["scores"][score : score + m * len(names)].reshape(m, len(names))
        results.append(
            CellResult(
                coef=raw["coef"][coef : coef + m * p].reshape(m, p),
                status=status[at].tolist(),
                reason=[raw["reasons"].get(i, "") for i in range(fit, fit + m)] if raw["reasons"] else [""] * m,
                scores={name: scores[:, k] for k, name in enumerate(names)},
                alpha_max=float(raw["alpha_max"][number]),
                **{key: raw[key][at] for key in _PER_FIT},
            )
        )
        fit, coef, score = fit + m, coef + m * p, score + m * len(names)
    return results


_PER_FIT = ("intercept", "alphas", "gap", "objective", "n_iter", "seconds")


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _maybe(values: ArrayLike | None) -> Floats | None:
    return None if values is None else _floats(values)


def _ints(values: NDArray[Any]) -> Ints:
    return np.asarray(values, dtype=np.int64)
