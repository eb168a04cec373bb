"""Which rows a forest takes for like: those that share leaves."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from metafit.learners.table import FloatArray, IntArray
from metafit.learners.trees import Trees, forest_seeds, grown


class LeafWeights:
    """Weights over the rows that a forest was grown on, under which their mean is what the forest predicts.

    Parameters
    ----------
    known : ndarray of shape (n_rows, n_columns)
        Nothing missing.
    targets : ndarray of shape (n_rows, n_targets)
    n_trees, min_rows, random_state : int
        A leaf holds at least `min_rows` rows.
    max_features : float
        Share of the columns among which a split is chosen.
    bootstrap : bool
        Grow each tree on rows drawn with replacement.

    Notes
    -----
    Geurts, Ernst and Wehenkel (2006), Extremely randomized trees, Mach. Learn. 63; Lin and Jeon (2006), Random forests
    and adaptive nearest neighbors, JASA 101, for the weights.

    Examples
    --------
    >>> known = np.array([[0.0], [0.1], [0.9], [1.0]])
    >>> like = LeafWeights(known, known, n_trees=50, min_rows=1, random_state=0, bootstrap=True)
    >>> like.of(np.array([[0.95]]))[0].argsort()[-2:].tolist()
    [2, 3]
    """

    def __init__(
        self,
        known: FloatArray,
        targets: FloatArray,
        *,
        n_trees: int,
        min_rows: int,
        random_state: int,
        max_features: float = 1.0,
        bootstrap: bool = False,
    ) -> None:
        seeds = forest_seeds(n_trees, random_state)
        drawn = _drawn(len(known), seeds) if bootstrap else None
        trees = grown(
            known,
            targets[:, 0] if targets.shape[1] == 1 else targets,
            drawn,
            min_rows=min_rows,
            max_features=max_features,
            seeds=seeds,
        )
        self._trees = Trees(trees)
        # of many rows at once each tree tells the leaves faster than all of them together
        single = np.asarray(known, dtype=np.float32)
        self._leaves = self._trees.roots + np.column_stack([tree.tree_.apply(single) for tree in trees])
        self._counts = np.ones(self._leaves.shape) if drawn is None else drawn
        self._shares = self._shared_out()

    def _shared_out(self) -> csr_array:
        """Give what each row holds of each leaf, so that the rows of a leaf hold 1 / n_trees of all, transposed."""
        n_rows, n_trees = self._leaves.shape
        n_nodes = int(self._trees.n_nodes.sum())
        total = np.bincount(self._leaves.ravel(), self._counts.ravel(), n_nodes)
        share = self._counts / np.maximum(total[self._leaves], 1) / n_trees
        rows = np.repeat(np.arange(n_rows), n_trees)
        return csr_array((share.ravel(), (self._leaves.ravel(), rows)), shape=(n_nodes, n_rows))

    def of(self, values: FloatArray) -> FloatArray:
        """Give the weights for new rows, (n_new, n_columns): (n_new, n_rows)."""
        leaves = self._trees.leaves(values)
        return self._summed(leaves, np.ones(leaves.shape))

    def out_of_bag(self) -> FloatArray:
        """Give the weights for each row of the forest's own by the trees that have not seen it, (n_rows, n_rows)."""
        # a row that all trees have seen is like any
        total = 1e-9 + self._summed(self._leaves, (self._counts == 0).astype(float))
        return np.asarray(total / total.sum(axis=1, keepdims=True))

    def _summed(self, leaves: IntArray, votes: FloatArray) -> FloatArray:
        """Sum the shares of some leaves, each tree having a vote."""
        starts = np.arange(len(leaves) + 1) * leaves.shape[1]
        reached = csr_array((votes.ravel(), leaves.ravel(), starts), shape=(len(leaves), self._shares.shape[0]))
        return np.asarray((reached @ self._shares).toarray())


def competing(n_columns: int) -> float:
    """Give the share of the columns that compete for a split: a third, but at least ten of them, all if they are fewer.

    Examples
    --------
    >>> competing(60), competing(20), competing(4)
    (0.3333333333333333, 0.5, 1.0)
    """
    return min(max(1 / 3, 10 / max(n_columns, 1)), 1.0)


def _drawn(n_rows: int, seeds: IntArray) -> FloatArray:
    """Draw rows with replacement for each tree, as a forest of scikit-learn does: counts, (n_rows, n_trees)."""
    draws = (np.random.RandomState(seed).randint(0, n_rows, n_rows, dtype=np.int32) for seed in seeds)
    return np.array([np.bincount(draw, minlength=n_rows) for draw in draws], dtype=float).T
