"""Descriptions of tasks as the numbers that learners take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from metafit.learners.table import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class MetaFeatures:
    """Numeric meta-features of the training tasks that are not the same for all of them.

    Attributes
    ----------
    columns : Index of str
    known : ndarray of shape (n_tasks, n_columns)
        NaN where a value is missing.
    failed : bool
        Some training tasks have a description in which nothing is known: where describing fails, that says something.
    """

    columns: pd.Index[str]
    known: FloatArray
    failed: bool

    @classmethod
    def of(cls, descriptions: pd.DataFrame | None, tasks: pd.Index[str]) -> MetaFeatures | None:
        """Take those of these tasks; None where nothing tells them apart.

        Examples
        --------
        >>> table = pd.DataFrame({"n": [1, 2], "same": [3, 3], "name": ["x", "y"]}, index=["t", "u"])
        >>> MetaFeatures.of(table, table.index).columns.to_list()
        ['n']
        """
        if descriptions is None:
            return None
        table = descriptions.reindex(tasks).select_dtypes(["number", "bool"])
        known = _finite(table.to_numpy(dtype=float))
        with np.errstate(invalid="ignore"):
            differs = np.fmax.reduce(known, axis=0) > np.fmin.reduce(known, axis=0)
        known = known[:, differs]
        blank = np.isnan(known).all(axis=1) & (descriptions.index.get_indexer(tasks) >= 0)
        return cls(table.columns[differs], known, bool(blank.any())) if known.shape[1] else None

    def values(self, description: pd.Series[Any] | None) -> FloatArray | None:
        """Give those of one task, None where none is known and no training task was like that."""
        if description is None:
            return None
        values = _finite(np.asarray(pd.to_numeric(description.reindex(self.columns)), dtype=float))
        return None if np.isnan(values).all() and not self.failed else values

    def rows(self, descriptions: pd.DataFrame) -> FloatArray:
        """Give those of many tasks, (n_rows, n_columns)."""
        return _finite(descriptions.reindex(columns=self.columns).to_numpy(dtype=float))

    def told(self, rows: FloatArray) -> BoolArray:
        """Say which rows tell something."""
        return np.asarray(~np.isnan(rows).all(axis=1) | self.failed)

    def shares(self, rows: FloatArray) -> FloatArray:
        """Give the mid-rank share of the training tasks below each value, so that heavy tails do not matter.

        Examples
        --------
        >>> features = MetaFeatures(pd.Index(["n"]), np.array([[1.0], [10.0], [np.nan]]), failed=False)
        >>> features.shares(np.array([[1.0], [7.0], [99.0], [np.nan]])).ravel().tolist()
        [0.25, 0.5, 1.0, nan]
        """
        shares = np.full(rows.shape, np.nan)
        for j, known in enumerate(self._sorted):
            column = rows[:, j]
            below = np.searchsorted(known, column, "left") + np.searchsorted(known, column, "right")
            shares[:, j] = np.where(np.isnan(column), np.nan, below / (2 * len(known)))
        return shares

    def complete(self, rows: FloatArray) -> FloatArray:
        """Fill rows with the training tasks' medians, and say in further columns what was missing.

        Examples
        --------
        >>> features = MetaFeatures(pd.Index(["n", "p"]), np.array([[1.0, 5.0], [3.0, np.nan]]), failed=False)
        >>> features.complete(np.array([[np.nan, np.nan]])).tolist()
        [[2.0, 5.0, 1.0]]

        Columns that were always missing together share one.

        >>> features = MetaFeatures(pd.Index(["n", "p"]), np.array([[1.0, 5.0], [np.nan, np.nan]]), failed=True)
        >>> features.complete(np.array([[np.nan, 4.0]])).tolist()
        [[1.0, 4.0, 1.0]]
        """
        missing = np.isnan(rows)
        return np.hstack([np.where(missing, self._medians, rows), missing[:, self._telling]])

    @cached_property
    def _sorted(self) -> list[FloatArray]:
        return [np.sort(column[~np.isnan(column)]) for column in self.known.T]

    @cached_property
    def _medians(self) -> FloatArray:
        return np.asarray(np.nanmedian(self.known, axis=0))

    @cached_property
    def _telling(self) -> IntArray:
        """Give a column for each way of being missing: those that are only ever missing together say the same."""
        patterns, first = np.unique(np.isnan(self.known), axis=1, return_index=True)
        return np.asarray(np.sort(first[patterns.any(axis=0)]), dtype=np.intp)


def _finite(values: FloatArray) -> FloatArray:
    """Take what is infinite for missing."""
    return np.where(np.isfinite(values), values, np.nan)
