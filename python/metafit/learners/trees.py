"""Trees of scikit-learn: grown by the hundred, and laid end to end so that all are asked about many tasks at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.tree import ExtraTreeRegressor

from metafit.learners.table import FloatArray, IntArray


def grown(
    known: FloatArray,
    targets: FloatArray,
    counts: FloatArray | None,
    *,
    min_rows: int,
    max_features: float | str,
    seeds: IntArray,
) -> list[ExtraTreeRegressor]:
    """Grow extremely randomised trees, those of a forest of scikit-learn with such seeds.

    A forest checks and copies for each tree, which on some hundred rows takes longer than to grow it.

    Parameters
    ----------
    known : ndarray of shape (n_rows, n_columns)
        Nothing missing.
    targets : ndarray of shape (n_rows,) or (n_rows, n_targets)
    counts : ndarray of shape (n_rows,) or (n_rows, n_trees), or None
        What each row counts, in all trees or in each; None: all count alike.
    min_rows : int
        Rows that a leaf holds at least.
    max_features : float or "sqrt"
        Columns among which a split is chosen.
    seeds : ndarray of int, shape (n_trees,)

    Returns
    -------
    list of ExtraTreeRegressor

    Examples
    --------
    >>> rows = np.array([[0.0], [1.0], [2.0]])
    >>> trees = grown(rows, rows, None, min_rows=1, max_features=1.0, seeds=np.array([3, 4]))
    >>> [int(tree.get_n_leaves()) for tree in trees]
    [3, 3]
    """
    rows = np.asarray(known, dtype=np.float32)
    each = [counts] * len(seeds) if counts is None or counts.ndim == 1 else counts.T
    with config_context(skip_parameter_validation=True, assume_finite=True):
        return [
            ExtraTreeRegressor(min_samples_leaf=min_rows, max_features=max_features, random_state=int(seed)).fit(
                rows, targets, count, check_input=False
            )
            for seed, count in zip(seeds, each, strict=True)
        ]


def forest_seeds(n_trees: int, random_state: int) -> IntArray:
    """Give the seeds that a forest of scikit-learn gives to its trees.

    Examples
    --------
    >>> forest_seeds(2, random_state=0).tolist()
    [209652396, 398764591]
    """
    return np.random.RandomState(random_state).randint(np.iinfo(np.int32).max, size=n_trees)


class Trees:
    """The trees of one or more fitted forests.

    Parameters
    ----------
    estimators : iterable of fitted trees
        ``forest.estimators_``, of several forests one after the other.

    Attributes
    ----------
    n_nodes, roots : ndarray of shape (n_trees,)
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
        self.roots = (np.cumsum(self.n_nodes) - self.n_nodes).astype(np.int32)
        own = np.arange(self.n_nodes.sum(), dtype=np.int32)
        first = np.repeat(self.roots, self.n_nodes)
        sides = [np.concatenate([getattr(tree, f"children_{side}") for tree in trees]) for side in ("left", "right")]
        # a leaf is its own child, on both sides
        self._children = np.array([np.where(side < 0, own, side + first) for side in sides], dtype=np.int32)
        self._column = np.maximum(np.concatenate([tree.feature for tree in trees]), 0).astype(np.int32)
        self._threshold = np.concatenate([tree.threshold for tree in trees])

    def leaves(self, rows: FloatArray) -> IntArray:
        """Give the leaf of each row in each tree, (n_rows, n_trees); no value may be missing."""
        rows = np.asarray(rows, dtype=np.float32).astype(float)  # trees were grown on single precision
        node = np.tile(self.roots, len(rows))
        row = np.repeat(np.arange(len(rows)), len(self.roots))
        under_way = np.arange(len(node))
        while len(under_way):
            here = node[under_way]
            right = rows[row[under_way], self._column[here]] > self._threshold[here]
            node[under_way] = self._children[right.astype(np.intp), here]
            under_way = under_way[node[under_way] != here]
        return node.reshape(len(rows), len(self.roots)).astype(np.intp)
