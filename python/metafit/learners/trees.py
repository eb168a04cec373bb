"""Fitted trees of scikit-learn laid end to end, so that many of them are asked about many tasks at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from metafit.learners.table import FloatArray, IntArray


class Trees:
    """The trees of one or more fitted forests.

    Parameters
    ----------
    estimators : iterable of fitted trees
        ``forest.estimators_``, of several forests one after the other.

    Attributes
    ----------
    n_nodes : ndarray of shape (n_trees,)
        Nodes are numbered through all trees.

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> tree = DecisionTreeRegressor().fit([[0.0], [1.0]], [3.0, 4.0])
    >>> Trees([tree, tree]).leaves(np.array([[0.2], [0.8]])).tolist()
    [[1, 4], [2, 5]]
    """

    def __init__(self, estimators: Iterable[Any]) -> None:
        trees = [estimator.tree_ for estimator in estimators]
        self.n_nodes = np.array([tree.node_count for tree in trees], dtype=np.intp)
        self._roots = (np.cumsum(self.n_nodes) - self.n_nodes).astype(np.int32)
        own = np.arange(self.n_nodes.sum(), dtype=np.int32)
        first = np.repeat(self._roots, self.n_nodes)
        sides = [np.concatenate([getattr(tree, f"children_{side}") for tree in trees]) for side in ("left", "right")]
        # a leaf is its own child, on both sides
        self._children = np.array([np.where(side < 0, own, side + first) for side in sides], dtype=np.int32)
        self._column = np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int32)
        self._threshold = np.concatenate([tree.threshold for tree in trees])

    def leaves(self, rows: FloatArray) -> IntArray:
        """Give the leaf of each row in each tree, (n_rows, n_trees); no value may be missing."""
        rows = np.asarray(rows, dtype=np.float32).astype(float)  # trees were grown on single precision
        node = np.tile(self._roots, len(rows))
        row = np.repeat(np.arange(len(rows)), len(self._roots))
        under_way = np.arange(len(node))
        while len(under_way):
            here = node[under_way]
            right = rows[row[under_way], self._column[here]] > self._threshold[here]
            node[under_way] = self._children[right.astype(np.intp), here]
            under_way = under_way[node[under_way] != here]
        return node.reshape(len(rows), len(self._roots)).astype(np.intp)
