"""A frame read as one table of rows that belong to groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metafit.tasks.task import Task

__all__ = ["Grouped", "Loss", "column", "group_codes", "read_frame"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Frame = nw.DataFrame[Any]
Loss = Literal["squared", "logistic"]


@dataclass(frozen=True, eq=False)
class Grouped:
    """Rows of a frame, encoded once, and the group of each.

    Attributes
    ----------
    task : Task
        Features, target, weights and offset of all rows.
    by, target : str
        Names of the columns.
    codes : int array, shape (n_rows,)
        Position of each row's group in `groups`.
    groups : Index
        Labels of the groups, sorted.
    offset_name : str or None
        Column of the offsets.
    """

    task: Task
    by: str
    target: str
    codes: Ints
    groups: pd.Index[Any]
    offset_name: str | None = None

    @property
    def loss(self) -> Loss:
        """The loss of the equation."""
        return "squared" if self.task.classes is None else "logistic"

    @cached_property
    def weights(self) -> Floats:
        """Row weights, ones where none were given."""
        weights = self.task.sample_weight
        return np.ones(self.task.n_rows) if weights is None else weights

    @cached_property
    def offset(self) -> Floats:
        """Offsets, zeros where none were given."""
        return np.zeros(self.task.n_rows) if self.task.offset is None else self.task.offset

    def rows_of(self, keep: NDArray[np.bool_]) -> list[Ints]:
        """Return the kept rows of each group."""
        rows = np.flatnonzero(keep)
        rows = rows[np.argsort(self.codes[rows], kind="stable")]
        ends = np.cumsum(np.bincount(self.codes[rows], minlength=len(self.groups)))
        return np.split(rows, ends[:-1])


def read_frame(
    frame: Any,
    target: str,
    by: str,
    *,
    kind: Literal["classification", "regression"] | None,
    sample_weight: str | None,
    offset: str | None,
    exclude: Iterable[str],
) -> Grouped:
    """Read the columns of a frame by their roles; what has no role is a feature.

    Raises
    ------
    TypeError
        If it is no frame.
    ValueError
        If a column is not there, has two roles or missing values, if no feature is left, or if the target
        does not vary or has more than two classes.
    """
    table = as_table(frame)
    roles = {"target": target, "by": by, "sample_weight": sample_weight, "offset": offset}
    named = {argument: name for argument, name in roles.items() if name is not None}
    excluded = [exclude] if isinstance(exclude, str) else list(exclude)
    _check_roles(table, named, excluded)
    values = {argument: column(table, name, argument) for argument, name in named.items()}
    features = [name for name in table.columns if name not in (*named.values(), *excluded)]
    if not features:
        raise ValueError(f"frame has no features beside {[*named.values(), *excluded]}: it needs at least one")
    task = Task(
        table.select(features).to_native(),
        values["target"].to_numpy(),
        name=target,
        kind=kind,
        sample_weight=_numbers(values, "sample_weight"),
        offset=_numbers(values, "offset"),
    )
    _check_target(task, target)
    codes, groups = pd.factorize(labels(values["by"]), sort=True)
    return Grouped(task, by, target, codes.astype(np.int64), pd.Index(groups, name=by), offset)


def as_table(frame: Any) -> Frame:
    """Return a pandas, polars or other frame as narwhals reads it, with its column names as text."""
    if isinstance(frame, pd.DataFrame):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    table: Any = nw.from_native(frame, eager_only=True, pass_through=True)
    if not isinstance(table, nw.DataFrame):
        raise TypeError(f"frame must be a pandas or polars DataFrame, got {type(frame).__name__}")
    return table


def column(table: Frame, name: str, argument: str) -> nw.Series[Any]:
    """Return a column that must be there and complete."""
    _check_there(table, name, argument)
    series = table[name]
    missing = np.flatnonzero(_is_missing(series))
    if len(missing):
        rows = f"{len(missing)} row{'s' if len(missing) > 1 else ''}, first on row {missing[0]}"
        hint = " (or give them a group of their own)" if argument == "by" else ""
        raise ValueError(f"{argument}={name!r} is missing on {rows}: drop them{hint}")
    return series


def labels(series: nw.Series[Any]) -> pd.Index[Any]:
    """Return group labels as plain Python values, equal for equal labels of any frame library."""
    index: pd.Index[Any] = pd.Index(series.to_list(), dtype=object).infer_objects()
    return index


def group_codes(series: nw.Series[Any], groups: pd.Index[Any]) -> Ints:
    """Return the position of each row's group, -1 for a group that is not known or missing."""
    found = groups.get_indexer(labels(series))
    return np.where(_is_missing(series), -1, found).astype(np.int64)


def _is_missing(series: nw.Series[Any]) -> NDArray[np.bool_]:
    return np.asarray(pd.isna(np.asarray(series.to_list(), dtype=object)), dtype=bool)


def _check_there(table: Frame, name: str, argument: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be the name of a column, got {name!r}")
    if name not in table.columns:
        raise ValueError(f"{argument}={name!r} is not a column of the frame, which has {table.columns}")


def _check_roles(table: Frame, named: dict[str, str], excluded: list[str]) -> None:
    if not len(table):
        raise ValueError("frame has no rows")
    for name in excluded:
        _check_there(table, name, "exclude")
    taken: dict[str, str] = dict.fromkeys(excluded, "exclude")
    for argument, name in named.items():
        _check_there(table, name, argument)
        if name in taken:
            raise ValueError(f"{argument}={name!r} is the column of {taken[name]} already")
        taken[name] = argument


def _numbers(values: dict[str, nw.Series[Any]], argument: str) -> NDArray[Any] | None:
    return values[argument].to_numpy() if argument in values else None


def _check_target(task: Task, target: str) -> None:
    if task.classes is None:
        if np.ptp(task.y) == 0:
            raise ValueError(f"target={target!r} is {task.y[0]:g} on every row: there is nothing to fit")
    elif len(task.classes) != 2:
        shown = ", ".join(map(str, task.classes[:5])) + (", ..." if len(task.classes) > 5 else "")
        raise ValueError(f"target={target!r} must have two classes, got {len(task.classes)}: {shown}")
