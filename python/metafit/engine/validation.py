"""What comes in from users: frames and arrays of any kind become float64 arrays, or a clear error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray
from sklearn.model_selection import check_cv

from metafit.engine.native import all_finite, two_labels
from metafit.strategies.losses import Loss
from metafit.tasks.frames import refuse_masked, refuse_repeated_names

__all__ = ["Target", "as_count", "as_matrix", "as_row_vector", "as_splits", "as_subsets", "as_target", "numbered"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Target:
    """Targets as numbers, and the labels that 0, 1, ... stand for (None for a number)."""

    values: Floats
    classes: NDArray[Any] | None

    @property
    def n_classes(self) -> int:
        """Number of classes where it is more than 2, else 1: two classes share one linear prediction."""
        return 1 if self.classes is None or len(self.classes) == 2 else len(self.classes)


def as_matrix(X: Any, *, allow_missing: bool = False) -> tuple[Any, list[str]]:
    """Return X as a float64 matrix with its column names.

    Parameters
    ----------
    X : array-like, SciPy sparse or frame (pandas, polars, any that narwhals reads), shape (n_rows, n_columns)
    allow_missing : bool, default=False
        Whether NaN may stay (in a dense matrix).

    Returns
    -------
    matrix : array, or for sparse X a csc_array without repeated entries
    names : list of str

    Raises
    ------
    ValueError
        If X is not a real two-dimensional table of numbers, repeats a column name, or holds infinity, or NaN that
        may not stay.

    Examples
    --------
    >>> matrix, names = as_matrix([[1, 2], [3, 4]])
    >>> names
    ['x0', 'x1']
    """
    if _is_plain(X, 2) and len(X):
        return X, numbered(X.shape[1])
    if scipy.sparse.issparse(X):
        return _from_sparse(X)
    refuse_repeated_names(X)
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    matrix, names = _from_frame(frame) if isinstance(frame, nw.DataFrame) else _from_array(X)
    _check_values(matrix, names, allow_missing)
    return matrix, names


def _is_plain(values: Any, n_axes: int) -> bool:
    """Whether it is a contiguous array of finite float64, which needs no second look."""
    if type(values) is not np.ndarray or values.dtype != np.float64 or values.ndim != n_axes:
        return False
    if not (values.flags.c_contiguous or values.flags.f_contiguous) or 0 in values.strides:
        return False
    return all_finite(values)


def _from_sparse(X: Any) -> tuple[Any, list[str]]:
    if X.ndim != 2:
        raise ValueError(f"X must be two-dimensional, got shape {X.shape}")
    matrix = scipy.sparse.csc_array(X)
    matrix = scipy.sparse.csc_array((_to_float(matrix.data, "X"), matrix.indices, matrix.indptr), shape=X.shape)
    if not matrix.has_canonical_format:
        # the arrays are the caller's
        matrix = matrix.copy()
        matrix.sum_duplicates()
    names = numbered(X.shape[1])
    bad = np.flatnonzero(~np.isfinite(matrix.data))
    if len(bad):
        column = np.searchsorted(matrix.indptr, bad[0], side="right") - 1
        kind = "NaN" if np.isnan(matrix.data[bad[0]]) else "infinity"
        raise ValueError(f"X holds {kind} in column {names[column]!r}, at row {matrix.indices[bad[0]]}; it is sparse")
    if X.shape[0] == 0:
        raise ValueError("X has no rows")
    return matrix, names


def numbered(n_columns: int) -> list[str]:
    """Return names for columns that have none.

    Examples
    --------
    >>> numbered(2)
    ['x0', 'x1']
    """
    return list(_first_names(n_columns))


@lru_cache(maxsize=4)
def _first_names(n_columns: int) -> tuple[str, ...]:
    return tuple(f"x{j}" for j in range(n_columns))


def _from_frame(frame: nw.DataFrame[Any]) -> tuple[Floats, list[str]]:
    names = [str(name) for name in frame.columns]
    columns = [_numbers(column, name) for column, name in zip(frame.iter_columns(), names, strict=True)]
    return np.column_stack(columns) if columns else np.empty((len(frame), 0)), names


def _numbers(column: nw.Series[Any], name: str) -> Floats:
    dtype = column.dtype
    if not (dtype.is_numeric() or dtype == nw.Boolean):
        raise ValueError(
            f"X has a column {name!r} of type {dtype}; it wants numbers. "
            "metafit.Task encodes categories, metafit.MetaClassifier and metafit.fit_tasks take them as they are"
        )
    if column.null_count():
        return np.asarray(column.cast(nw.Float64).to_numpy(), dtype=np.float64)
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _from_array(X: Any) -> tuple[Floats, list[str]]:
    refuse_masked(X, "X")
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ValueError(f"X must be a table of numbers: {error}") from None
    if array.ndim != 2:
        raise ValueError(f"X must be two-dimensional, got shape {array.shape}")
    # the stride of a broadcast array is 0: the numbers are not there yet, and may not fit
    matrix = _to_float(array.copy() if 0 in array.strides and array.size > 1 else array, "X")
    return matrix, numbered(matrix.shape[1])


def _to_float(array: NDArray[Any], argument: str) -> Floats:
    if np.iscomplexobj(array):
        raise ValueError(f"{argument} is complex: it wants real numbers")
    if array.dtype.kind in "mM":
        raise ValueError(f"{argument} holds dates or durations ({array.dtype}): it wants numbers")
    try:
        # a long double that is too large becomes infinity, which is reported with its place
        with np.errstate(over="ignore"):
            return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{argument} must hold numbers: {error}") from None


def _check_values(matrix: Floats, names: Sequence[str], allow_missing: bool) -> None:
    if matrix.shape[0] == 0:
        raise ValueError("X has no rows")
    if all_finite(matrix):
        return
    for kind, bad in (("infinity", np.isinf(matrix)), ("NaN", np.isnan(matrix))):
        if bad.any() and not (kind == "NaN" and allow_missing):
            row, column = np.argwhere(bad)[0]
            hint = "; missing='mean' puts training means in their place" if kind == "NaN" else ""
            raise ValueError(f"X holds {kind} in column {names[column]!r}, first at row {row}{hint}")


def as_count(value: Any, argument: str, least: int) -> int:
    """Return a whole number.

    Raises
    ------
    ValueError
        If it is none, or below `least`.

    Examples
    --------
    >>> as_count(2.5, "max_iter", 0)
    Traceback (most recent call last):
        ...
    ValueError: max_iter must be a whole number >= 0, got 2.5
    """
    if type(value) is int and value >= least:
        return value
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{argument} must be a whole number >= {least}, got {value!r}")
    return int(value)


def as_row_vector(values: Any, n_rows: int, argument: str) -> Floats | None:
    """Return row weights or offsets as a float64 vector; None stays None.

    Raises
    ------
    ValueError
        If it is not a vector of n_rows finite numbers.

    Examples
    --------
    >>> as_row_vector([1, 2], 3, "offset")
    Traceback (most recent call last):
        ...
    ValueError: offset must have shape (3,), one value a row of X, got (2,)
    """
    if values is None:
        return None
    is_one = _is_plain(values, 1) and values.shape == (n_rows,)
    vector: Floats = values if is_one else _as_vector(values, n_rows, argument)
    if argument == "sample_weight":
        _check_weights(vector)
    return vector


def _as_vector(values: Any, n_rows: int, argument: str) -> Floats:
    refuse_masked(values, argument)
    vector = _to_float(np.asarray(values), argument)
    if vector.shape != (n_rows,):
        raise ValueError(f"{argument} must have shape ({n_rows},), one value a row of X, got {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError(f"{argument} holds NaN or infinity, first at row {np.flatnonzero(~np.isfinite(vector))[0]}")
    return vector


def _check_weights(weights: Floats) -> None:
    if (weights < 0).any():
        raise ValueError(f"sample_weight is negative at row {np.flatnonzero(weights < 0)[0]}")
    if not weights.any():
        raise ValueError("sample_weight is 0 on every row")


def as_target(y: Any, n_rows: int, loss: Loss) -> Target:
    """Return y as numbers: as it is for a regression, 0, 1, ... for the classes of a classification.

    Raises
    ------
    ValueError
        If y is not a vector of n_rows values without holes, or has one class, or more than the loss serves.

    Examples
    --------
    >>> from metafit.strategies.losses import resolve
    >>> as_target(["no", "yes", "no"], 3, resolve("logistic")).values
    array([0., 1., 0.])
    """
    if _is_plain(y, 1) and y.shape == (n_rows,):
        return _as_labels(y, loss) if loss.kind == "classification" else Target(y, None)
    refuse_masked(y, "y")
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n_rows,):
        raise ValueError(f"y must have shape ({n_rows},), one value a row of X, got {array.shape}")
    if loss.kind == "classification":
        return _as_classes(array, loss)
    values = as_row_vector(array, n_rows, "y")
    assert values is not None
    return Target(values, None)


def _as_classes(array: NDArray[Any], loss: Loss) -> Target:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"y holds NaN or infinity, first at row {np.flatnonzero(~np.isfinite(array))[0]}")
    if array.dtype.kind == "c":
        raise ValueError("y is complex: labels are text or real numbers")
    if array.dtype.kind == "O" and pd.isna(array).any():
        raise ValueError(f"y holds missing values, first at row {np.flatnonzero(pd.isna(array))[0]}")
    return _as_labels(array, loss)


def _as_labels(array: NDArray[Any], loss: Loss) -> Target:
    classes, codes = two_labels(array) or _unique(array)
    most = len(classes) if loss.is_multinomial else 2
    if not 2 <= len(classes) <= most:
        wanted = "at least two classes" if loss.is_multinomial else "two classes"
        shown = ", ".join(map(str, classes[:5]))
        raise ValueError(f"y must hold {wanted} for the {loss.name} loss, got {len(classes)}: {shown}")
    return Target(np.asarray(codes, dtype=np.float64), classes)


def _unique(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    try:
        return np.unique(array, return_inverse=True)
    except TypeError:
        raise ValueError("y mixes labels that have no order, such as text and numbers: make them of one type") from None


def as_subsets(subsets: Any, names: Sequence[str]) -> list[Ints]:
    """Return column subsets as ascending column numbers.

    Raises
    ------
    ValueError
        If it is not a sequence of subsets, or one names a column that X does not have, or has twice.

    Examples
    --------
    >>> as_subsets([["b", "a"], [2], []], ["a", "b", "c"])
    [array([0, 1]), array([2]), array([], dtype=int64)]
    """
    if isinstance(subsets, str) or not isinstance(subsets, Iterable):
        raise ValueError(f"subsets must be a sequence of column lists, got {subsets!r}")
    subsets = list(subsets)
    columns = _of_numbers(subsets, len(names)) or [_as_columns(subset, names) for subset in subsets]
    if not columns:
        raise ValueError("subsets is empty: it wants at least one column list")
    return columns


def _of_numbers(subsets: Sequence[Any], n_columns: int) -> list[Ints] | None:
    """Ascending columns of subsets that are lists of column numbers without fault, all at once; else None."""
    if not all(isinstance(subset, list | tuple | np.ndarray) for subset in subsets):
        return None
    try:
        arrays = [np.asarray(subset) for subset in subsets]
    except ValueError:
        return None
    if not arrays or any(array.ndim != 1 or array.dtype.kind not in "iu" for array in arrays):
        return None
    sizes = np.array([len(array) for array in arrays])
    flat, of_subset = np.concatenate(arrays), np.repeat(np.arange(len(arrays)), sizes)
    if flat.size and (flat.min() < -n_columns or flat.max() >= n_columns):
        return None
    # one number a subset and column, so that a sort of all sorts within subsets
    keys = np.sort(of_subset * n_columns + flat.astype(np.int64) % n_columns)
    if (keys[1:] == keys[:-1]).any():
        return None
    ends = np.cumsum(sizes).tolist()
    columns = keys % n_columns
    return [columns[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _as_columns(subset: Any, names: Sequence[str]) -> Ints:
    if isinstance(subset, str) or np.ndim(subset) != 1:
        raise ValueError(f"subsets must be a sequence of column lists such as [[0, 1], [2]], it holds {subset!r}")
    array = np.asarray(subset)
    if array.dtype == bool:
        if len(array) != len(names):
            raise ValueError(f"subsets holds a mask of {len(array)} columns, X has {len(names)}")
        return np.flatnonzero(array).astype(np.int64)
    columns = [_as_column(column, names) for column in array.tolist()]
    if len(set(columns)) != len(columns):
        raise ValueError(f"subsets holds a column twice: {list(subset)!r}")
    return np.array(sorted(columns), dtype=np.int64)


def _as_column(column: Any, names: Sequence[str]) -> int:
    if isinstance(column, str):
        if column not in names:
            raise ValueError(f"subsets names a column {column!r} that X does not have")
        return list(names).index(column)
    if not isinstance(column, int) or not -len(names) <= column < len(names):
        raise ValueError(f"subsets names column {column!r}, X has columns 0 to {len(names) - 1}")
    return column % len(names)


def as_splits(folds: Any, matrix: Floats, target: Target, groups: Any) -> list[tuple[Ints, Ints]]:
    """Return the (train, test) row numbers of folds given as scikit-learn takes its `cv`.

    Raises
    ------
    ValueError
        If groups are given with a number of folds (which would ignore them), or a fold is empty or names a
        row that X does not have.
    """
    if groups is not None and len(groups) != len(target.values):
        raise ValueError(f"groups must have {len(target.values)} entries, one a row of X, got {len(groups)}")
    if groups is not None and isinstance(folds, int):
        raise ValueError(f"groups are ignored by folds={folds}: pass a splitter such as GroupKFold({folds})")
    # codes, since scikit-learn does not take labels of type object for classes
    y = target.values if target.classes is None else target.values.astype(np.int64)
    splitter = check_cv(folds, y, classifier=target.classes is not None)
    pairs = [(_as_rows(a, len(y)), _as_rows(b, len(y))) for a, b in splitter.split(matrix, y, groups)]
    if not pairs:
        raise ValueError("folds is empty")
    for train, test in pairs:
        if not len(train) or not len(test):
            raise ValueError("folds holds a fold without training rows or without held-out rows")
    return pairs


def _as_rows(rows: Any, n_rows: int) -> Ints:
    array = np.asarray(rows)
    if array.dtype == bool:
        if len(array) != n_rows:
            raise ValueError(f"folds holds a mask of {len(array)} rows, X has {n_rows}")
        array = np.flatnonzero(array)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"folds wants row numbers or masks, got {array.dtype}")
    array = array.astype(np.int64)
    if array.size and (array.min() < -n_rows or array.max() >= n_rows):
        raise ValueError(f"folds names row {array.max()}, X has rows 0 to {n_rows - 1}")
    return array % n_rows
