"""Fitted trees asked about one task at a time, without the ceremony of a call on many rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from metafit.learners.table import FloatArray, IntArray


class Trees:
    """The trees of a fitted forest of scikit-learn.

    Parameters
    ----------
    forest : RandomForestClassifier, ExtraTreesRegressor or their like
    """

    def __init__(self, forest: Any) -> None:
        self._trees = [estimator.tree_ for estimator in forest.estimators_]

    def leaves(self, values: FloatArray) -> IntArray:
        """Give the leaf of each tree, (n_trees,); values (n_columns,), NaN where missing."""
        row = np.asarray(values[None], dtype=np.float32)
        return np.array([tree.apply(row)[0] for tree in self._trees], dtype=np.intp)

    def mean(self, values: FloatArray) -> FloatArray:
        """Give the mean over trees of what their leaves hold: class frequencies, or targets."""
        row = np.asarray(values[None], dtype=np.float32)
        return np.asarray(sum(tree.predict(row)[0] for tree in self._trees) / len(self._trees), dtype=float)
