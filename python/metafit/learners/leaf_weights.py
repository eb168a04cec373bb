"""Which rows a forest takes for like: those that share leaves."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from metafit.learners.table import FloatArray
from metafit.learners.trees import Trees


class LeafWeights:
    """Weights over the rows that a forest was grown on, under which their mean is what the forest predicts.

    Parameters
    ----------
    known : ndarray of shape (n_rows, n_columns)
        NaN where missing.
    targets : ndarray of shape (n_rows, n_targets)
    n_trees, min_rows, random_state : int
        Each tree is grown on rows drawn with replacement; a leaf holds at least `min_rows` of them.

    Notes
    -----
    Lin and Jeon (2006), Random forests and adaptive nearest neighbors, JASA 101.

    Examples
    --------
    >>> known = np.array([[0.0], [0.1], [0.9], [1.0]])
    >>> like = LeafWeights(known, known, n_trees=50, min_rows=1, random_state=0)
    >>> like.of(np.array([0.95])).argsort()[-2:].tolist()
    [2, 3]
    """

    def __init__(
        self, known: FloatArray, targets: FloatArray, *, n_trees: int, min_rows: int, random_state: int
    ) -> None:
        forest = ExtraTreesRegressor(
            n_trees, min_samples_leaf=min_rows, max_features=1 / 3, bootstrap=True, random_state=random_state
        ).fit(known, targets[:, 0] if targets.shape[1] == 1 else targets)
        self.forest, self._trees, self._leaves = forest.estimators_, Trees(forest), forest.apply(known)
        drawn = [np.bincount(rows, minlength=len(known)) for rows in forest.estimators_samples_]
        self._counts = np.array(drawn, dtype=float).T

    def of(self, values: FloatArray) -> FloatArray:
        """Give the weight of each row for a new one, (n_rows,)."""
        shared = self._counts * (self._leaves == self._trees.leaves(values))
        return np.asarray((shared / shared.sum(axis=0)).mean(axis=1))

    def out_of_bag(self) -> FloatArray:
        """Give the weights for each row of the forest's own by the trees that have not seen it, (n_rows, n_rows)."""
        n_rows = len(self._counts)
        total = np.full((n_rows, n_rows), 1e-9)  # a row that all trees have seen is like any
        for leaves, counts in zip(self._leaves.T, self._counts.T, strict=True):
            unseen = counts == 0
            shared = (leaves[unseen, None] == leaves) * counts
            total[unseen] += shared / shared.sum(axis=1, keepdims=True)
        return np.asarray(total / total.sum(axis=1, keepdims=True))
