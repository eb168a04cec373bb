"""Frames and columns as they come: pandas, polars, pyarrow or NumPy, read through narwhals."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Frame: TypeAlias = "nw.DataFrame[Any]"
Column: TypeAlias = "nw.Series[Any]"

_CATEGORIES = (nw.String, nw.Categorical, nw.Enum)
# What pandas calls the contents of an object column, and how we read them.
_OBJECT_NUMBERS = {"boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty"}
_OBJECT_LABELS = {"string", "mixed-integer", "categorical"}


class Labels(NamedTuple):
    """A column of categories: `levels[codes[i]]` is row i's label, code -1 a missing one."""

    codes: Ints
    levels: list[str]


def as_frame(X: Any, names: list[str] | None = None) -> Frame:
    """
    Read a table as a narwhals frame with unique string column names, at least one row and column.

    Parameters
    ----------
    X : pandas, polars or pyarrow table, or array of shape (n, p)
        A pandas frame is kept by copy-on-write, an array is copied: later changes to `X` do not reach us.
    names : list of str, optional
        Names for the columns of an array; ``x0, x1, ...`` without.

    Raises
    ------
    ValueError
        Where `X` is lazy, sparse, complex, empty, not 2-D, or repeats a column name.
    """
    frame = X if isinstance(X, nw.DataFrame) else _from_native(X, names)
    if 0 in frame.shape:
        raise ValueError(f"X has shape {frame.shape}; it needs at least one row and one column.")
    return frame


def _from_native(X: Any, names: list[str] | None) -> Frame:
    if isinstance(X, pd.DataFrame):
        return nw.from_native(_named(X), eager_only=True)
    found: Any = nw.from_native(X, pass_through=True)
    if isinstance(found, nw.LazyFrame):
        raise ValueError("X is a lazy frame; a task needs its rows: call .collect() first.")
    if isinstance(found, nw.DataFrame):
        return found
    return nw.from_native(_from_array(X, names), eager_only=True)


def refuse_repeated_names(X: Any) -> None:
    """Raise a ValueError if two columns of a pandas frame have one name."""
    names = [str(column) for column in X.columns] if isinstance(X, pd.DataFrame) else []
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise ValueError(f"X repeats the column names {repeated}; each column needs its own.")


def _named(X: pd.DataFrame) -> pd.DataFrame:
    refuse_repeated_names(X)
    names = [str(column) for column in X.columns]
    # Without copy-on-write (pandas 2) a shallow copy would still see the caller's changes.
    copied = X.copy(deep=pd.__version__ < "3")
    copied.columns = pd.Index(names)
    return copied


def _from_array(X: Any, names: list[str] | None) -> pd.DataFrame:
    refuse_masked(X, "X")
    if hasattr(X, "toarray"):
        raise ValueError("X is sparse; metafit reads dense tables: pass X.toarray().")
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(f"X is {array.ndim}-D; it must be 2-D, a row per observation. Reshape your data.")
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: X must hold real numbers or categories.")
    names = [f"x{j}" for j in range(array.shape[1])] if names is None else names
    if len(names) != array.shape[1]:
        raise ValueError(f"X has {array.shape[1]} features, but the encoding was fixed on {len(names)}.")
    return pd.DataFrame(_native(array), columns=pd.Index(names, dtype=object)).infer_objects()


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """Copy an array; numbers in an order of bytes or a length that frames do not know become those that they do."""
    if array.dtype.kind not in "iuf":
        return array.copy()
    # a long double that is too large becomes infinity, which is refused with its column
    with np.errstate(over="ignore"):
        return array.astype(np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("="))


def refuse_masked(values: Any, argument: str) -> None:
    """Raise a ValueError if cells of an array are masked: NumPy would go on with what is behind the mask."""
    if np.ma.is_masked(values):
        hint = "set them to NaN" if argument == "X" else "leave these rows out"
        raise ValueError(f"{argument} has masked cells: {hint}")


def as_values(values: Any, name: str, n: int | None = None) -> NDArray[Any]:
    """Read one value per row as a 1-D array of `n` entries; `name` is the argument that an error names."""
    refuse_masked(values, name)
    found: Any = nw.from_native(values, series_only=True, pass_through=True)
    array = found.to_numpy() if isinstance(found, nw.Series) else np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; it must be 1-D, one value per row.")
    if n is not None and len(array) != n:
        raise ValueError(f"{name} has {len(array)} values, but X has {n} rows.")
    return array


def is_category(values: Any) -> bool:
    """Tell whether a series is declared to be a category."""
    found: Any = nw.from_native(values, series_only=True, pass_through=True)
    return isinstance(found, nw.Series) and isinstance(found.dtype, nw.Categorical | nw.Enum)


def holds_labels(column: Column) -> bool:
    """
    Tell categories (True) from numbers (False).

    Raises
    ------
    ValueError
        For dates, durations and nested values, naming the column.
    """
    dtype = column.dtype
    if dtype.is_numeric() or dtype == nw.Boolean:
        return False
    if isinstance(dtype, _CATEGORIES):
        return bool(column.null_count() < len(column))
    return _object_holds_labels(column) if dtype == nw.Object else _refuse(column, str(dtype))


def _object_holds_labels(column: Column) -> bool:
    contents = pd.api.types.infer_dtype(column.to_list(), skipna=True)
    if contents in _OBJECT_NUMBERS:
        return False
    scalar = contents in _OBJECT_LABELS or all(_is_scalar(value) for value in column.to_list())
    return True if scalar else _refuse(column, contents)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int | float | np.generic) or value is pd.NA


def _refuse(column: Column, what: str) -> bool:
    raise ValueError(
        f"column {column.name!r} holds {what} values; a task takes numbers, booleans and categories. "
        "Turn dates and durations into numbers (year, weekday, days since ...), unnest the rest, "
        "or drop the column."
    )


def read_numbers(column: Column) -> Floats:
    """
    Read a column of numbers or booleans as float64, NaN where missing.

    Raises
    ------
    ValueError
        Where it holds text or an infinity, naming the column.
    """
    if holds_labels(column):
        raise ValueError(f"column {column.name!r} holds text or categories; numbers are needed here.")
    numbers = _as_floats(column)
    if np.isinf(numbers).any():
        raise ValueError(f"column {column.name!r} holds infinite values; replace them or mark them as missing.")
    return numbers


def _as_floats(column: Column) -> Floats:
    values = column.to_numpy()
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    # Nullable columns come as objects unless they are cast first.
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        return np.array(column.cast(nw.Float64).to_numpy(), dtype=np.float64)
    return np.array([math.nan if pd.isna(value) else float(value) for value in column.to_list()])


def read_labels(column: Column) -> Labels:
    """Read a column as text categories, levels sorted; a whole number reads ``"3"``, not ``"3.0"``."""
    return labels_of(np.asarray(column.to_numpy(), dtype=object))


def labels_of(values: NDArray[Any]) -> Labels:
    """Read an array of labels as text categories; None, NaN and NA are missing."""
    codes, levels = pd.factorize(values)
    texts, merged = np.unique([as_text(level) for level in levels], return_inverse=True)
    known = np.append(merged.astype(np.int64), -1)
    return Labels(known[codes], [str(text) for text in texts])


def as_text(label: object) -> str:
    """Write a label as text, the same for 3, 3.0 and numpy's 3."""
    if isinstance(label, bool | np.bool_):
        return str(bool(label))
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label)
