"""The border to the Rust core: tables, splits and cells in, certified fits out.

`run_cells` takes cells one by one; `run_product` takes all subsets on all splits of tables, and does nothing for each
of them in Python. Besides it only `recipes` imports `metafit._core`. It speaks of arrays alone; names, frames and
defaults belong to the callers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from metafit import _core
from metafit.engine.numbering import NOTHING, ZERO, Shared, ends, fold_numbers, places, ragged, repeated
from metafit.engine.recipes import make_recipe
from metafit.strategies import losses, penalties
from metafit.strategies.losses import Loss
from metafit.strategies.penalties import Penalty

__all__ = [
    "STATUSES",
    "Cell",
    "CellResult",
    "CoreFits",
    "Split",
    "Table",
    "all_finite",
    "predictions",
    "run_cells",
    "run_exhaustive",
    "run_product",
    "run_single",
    "two_labels",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CoreFits = _core.Fits
Ragged = tuple[NDArray[Any], Ints]
_L2 = penalties.resolve("l2")


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
        >>> recipe = as_recipe(losses.resolve("logistic"), _L2, 1, "auto", True, False)
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
    loss : str or Loss
    penalty : Penalty
        What it says of columns, it says of each column of the table; groups are labels.
    n_classes : int, default=1
        Number of classes where it is more than 2.
    solver : str, default="auto"
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
    loss: str | Loss = "squared"
    penalty: Penalty = _L2
    n_classes: int = 1
    solver: str = "auto"
    of_max: bool = False
    fit_intercept: bool = True
    standardize: bool = False
    scale_y: bool = False


@dataclass(frozen=True, eq=False)
class CellResult:
    """The fits of one cell; every array starts with an axis over alphas, in the order of the request.

    Attributes
    ----------
    coef : array, shape (n_alphas, n_columns), or (n_alphas, n_classes, n_columns) for more than 2 classes
        In original units, 0 outside the cell's columns; without columns if not kept.
    intercept : array, shape (n_alphas,) or (n_alphas, n_classes)
    alphas, gap, kkt, objective, n_iter, seconds : array, shape (n_alphas,)
        `gap` bounds the excess of `objective` over the least one; `kkt` is the largest distance of the loss's slope
        from the subdifferential of the penalty.
    status : list of str
        As in `metafit.Solution`.
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
    kkt: Floats
    objective: Floats
    n_iter: Ints
    seconds: Floats
    scores: dict[str, Floats]
    alpha_max: float


def predictions(loss: Loss, eta: Floats) -> Floats:
    """Return the means, quantiles or probabilities of the second class that belong to linear predictions.

    Examples
    --------
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
    rows, grids, subsets, recipes = Shared(), Shared(), Shared(), _Recipes()
    fits = _core.run_cells(
        [table._core for table in tables],
        splits=_split_numbers(splits, rows),
        cells=_cell_numbers(cells, subsets, grids, recipes),
        rows=rows.ragged(np.int64),
        subsets=subsets.ragged(np.int64),
        grids=grids.ragged(np.float64),
        recipes=recipes.made,
        tol=tol,
        max_iter=max_iter,
        impute=missing == "mean",
        keep_coef=keep_coef,
        best_of=None,
        n_threads=n_threads,
        progress=progress,
    )
    return _results(fits, tables, splits, cells, keep_coef)


def run_exhaustive(
    table: Table,
    splits: Sequence[Split],
    *,
    alpha: float,
    fit_intercept: bool = True,
    standardize: bool = False,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Floats:
    """Fit ridge to every column subset and return the mean held-out squared errors, by the masks of the columns.

    Raises
    ------
    ValueError
        If the table has too many columns or missing values, or a split has no weight on one of its sides.
    MemoryError
        If the errors do not fit into memory.
    KeyboardInterrupt
        After Ctrl-C.

    Examples
    --------
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([1.0, 3.0, 5.0, 7.0])
    >>> run_exhaustive(Table(X, y), [Split(np.array([0, 1, 2]), np.array([3]))], alpha=0.0).round(6)
    array([16.,  0.])
    """
    rows = Shared()
    numbers = _split_numbers(splits, rows)
    return _core.subset_errors(
        table._core,
        rows.ragged(np.int64),
        numbers,
        alpha=alpha,
        fit_intercept=fit_intercept,
        standardize=standardize,
        n_threads=n_threads,
        progress=progress,
    )


class _Recipes:
    """What cells ask for, each different one once."""

    def __init__(self) -> None:
        self.made: list[_core.Recipe] = []
        self._numbers: dict[Hashable, int] = {}

    def number(self, cell: Cell) -> int:
        figures = (cell.n_classes, cell.solver, cell.of_max, cell.fit_intercept, cell.standardize, cell.scale_y)
        number = self._numbers.setdefault((cell.loss, id(cell.penalty), figures), len(self.made))
        if number == len(self.made):
            self.made.append(make_recipe(losses.resolve(cell.loss), cell.penalty, *figures))
        return number


def _split_numbers(splits: Sequence[Split], rows: Shared) -> tuple[Ints, Ints, Ints]:
    numbers = [(split.table, rows.number(split.train), rows.number(split.test)) for split in splits]
    table, train, test = np.array(numbers, dtype=np.int64).reshape(-1, 3).T
    return table, train, test


def _cell_numbers(
    cells: Sequence[Cell], subsets: Shared, grids: Shared, recipes: _Recipes
) -> tuple[Ints, Ints, Ints, Ints]:
    numbers = [
        (
            cell.split,
            -1 if cell.columns is None else subsets.number(cell.columns),
            grids.number(cell.alphas),
            recipes.number(cell),
        )
        for cell in cells
    ]
    split, subset, grid, recipe = np.array(numbers, dtype=np.int64).reshape(-1, 4).T
    return split, subset, grid, recipe


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
        As in `run_cells`, which also says what is raised.

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


def _results(
    fits: _core.Fits, tables: Sequence[Table], splits: Sequence[Split], cells: Sequence[Cell], keep_coef: bool
) -> list[CellResult]:
    """Cut the flat arrays of the core into one result a cell."""
    results = []
    fit = coef = intercept = score = 0
    raw = {key: getattr(fits, key) for key in ("intercept", "scores", "alpha_max", "reasons", *_PER_FIT)}
    coefs, status = fits.take_coef(), np.asarray(STATUSES, dtype=object)[fits.status]
    for number, cell in enumerate(cells):
        split = splits[cell.split]
        names = losses.resolve(cell.loss).scores if len(split.test) else []
        m, k, p = np.size(cell.alphas), cell.n_classes, tables[split.table].n_columns if keep_coef else 0
        at = slice(fit, fit + m)
        scores = raw["scores"][score : score + m * len(names)].reshape(m, len(names))
        classes = () if k == 1 else (k,)
        results.append(
            CellResult(
                coef=coefs[coef : coef + m * k * p].reshape(m, *classes, p),
                intercept=raw["intercept"][intercept : intercept + m * k].reshape(m, *classes),
                status=status[at].tolist(),
                reason=[raw["reasons"].get(i, "") for i in range(fit, fit + m)] if raw["reasons"] else [""] * m,
                scores={name: scores[:, i] for i, name in enumerate(names)},
                alpha_max=float(raw["alpha_max"][number]),
                **{key: raw[key][at] for key in _PER_FIT},
            )
        )
        fit, coef, intercept, score = fit + m, coef + m * k * p, intercept + m * k, score + m * len(names)
    return results


#: What a fit may end as.
STATUSES = tuple(_core.Fits.STATUSES)
_PER_FIT = ("alphas", "gap", "kkt", "objective", "n_iter", "seconds")


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _maybe(values: ArrayLike | None) -> Floats | None:
    return None if values is None else _floats(values)


def _ints(values: NDArray[Any]) -> Ints:
    return np.asarray(values, dtype=np.int64)
