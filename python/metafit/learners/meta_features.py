"""Descriptions of tasks as the numbers that learners take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from metafit.learners.table import FloatArray


@dataclass(frozen=True, eq=False)
class MetaFeatures:
    """Numeric meta-features of the training tasks that are not the same for all of them.

    Attributes
    ----------
    columns : Index of str
    known : ndarray of shape (n_tasks, n_columns)
        NaN where a value is missing.
    """

    columns: pd.Index[str]
    known: FloatArray

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
        table = descriptions.reindex(tasks).select_dtypes(["number", "bool"]).astype(float)
        table = table.where(np.isfinite(table))
        columns = table.columns[table.nunique() > 1]
        return cls(columns, table[columns].to_numpy()) if len(columns) else None

    def values(self, description: pd.Series[Any] | None) -> FloatArray | None:
        """Give those of one task, None where none is known."""
        if description is None:
            return None
        values = np.asarray(pd.to_numeric(description.reindex(self.columns)), dtype=float)
        values = np.where(np.isfinite(values), values, np.nan)
        return None if np.isnan(values).all() else values
