"""Paths of fits on splits of tables in one call of the core, a result for each; or ridge on every column subset."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metafit import _core
from metafit.engine.native import STATUSES, Table
from metafit.engine.numbering import Shared
from metafit.engine.recipes import make_recipe
from metafit.strategies import losses, penalties
from metafit.strategies.losses import Loss
from metafit.strategies.penalties import Penalty

__all__ = ["Cell", "CellResult", "Split", "run_cells", "run_exhaustive"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_L2 = penalties.resolve("l2")
_PER_FIT = ("alphas", "gap", "kkt", "objective", "n_iter", "seconds")


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
