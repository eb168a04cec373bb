"""What did well on tasks like this one, where a forest that predicts the regret of each strategy says what like is."""

from __future__ import annotations

import numpy as np

from metafit.learners.leaf_weights import LeafWeights
from metafit.learners.meta_features import MetaFeatures
from metafit.learners.table import FloatArray
from metafit.learners.weighted_tasks import WeightedTasks

# targets that trees are grown on: more strategies are told apart by their first principal components
MOST_TARGETS = 16


class Regression(WeightedTasks):
    """Rank by the regret that extremely randomised trees predict for each strategy from the description.

    The trees predict the regrets of all strategies at once. A tree's prediction is a mean over the training tasks of
    one leaf, so that of the forest is a weighted mean over training tasks; under these weights the spread of a
    strategy's regrets is its uncertainty, and the first `size` strategies are a greedy portfolio (see `Portfolio`).
    The rest follow by expected regret.

    Parameters
    ----------
    n_trees : int
    min_tasks : int
        Training tasks that a leaf holds, at least.
    size : int
        Number of complementary strategies at the head of the ranking.
    min_coverage : float
        See `Portfolio`.
    random_state : int

    Attributes
    ----------
    columns_ : Index of str or None
        Meta-features in use; None without descriptions.

    Notes
    -----
    Of more than 16 strategies the trees are grown on 16 principal components of the regrets, which is what splits by
    the sum of squares over all strategies hardly notice; the means in the leaves are those of the strategies.

    A missing meta-feature takes the median of the training tasks, and a further column says that it was missing. A
    hole is filled with the strategy's mean regret while trees grow and counts nothing afterwards. Without descriptions
    all training tasks count alike and the ranking says ``fallback=True``; so it does for a task of which no
    meta-feature is known, unless training tasks were described as blankly.

    Geurts, Ernst and Wehenkel (2006), Extremely randomized trees, Mach. Learn. 63; Lin and Jeon (2006), Random forests
    and adaptive nearest neighbors, JASA 101, for the weights.

    Examples
    --------
    >>> import pandas as pd
    >>> from metafit.scores import Scores
    >>> losses = pd.DataFrame({"few": [0.1, 0.2, 0.8, 0.9], "many": [0.8, 0.9, 0.1, 0.2]}, index=list("abcd"))
    >>> rows = pd.DataFrame({"n_rows": [10, 20, 1000, 2000]}, index=list("abcd"))
    >>> ranking = Regression(min_tasks=1).fit(Scores.from_matrix(losses), rows).rank({"n_rows": 1500})
    >>> ranking.strategies
    ('many', 'few')
    >>> sorted(ranking.neighbours.index)
    ['c', 'd']
    """

    def __init__(
        self,
        n_trees: int = 100,
        min_tasks: int = 2,
        size: int = 16,
        min_coverage: float = 0.8,
        random_state: int = 0,
    ) -> None:
        self.n_trees = n_trees
        self.min_tasks = min_tasks
        self.size = size
        self.min_coverage = min_coverage
        self.random_state = random_state

    def _compare(self, features: MetaFeatures) -> None:
        filled = np.where(np.isnan(self.regret_), self.mean_regret_, self.regret_)
        filled = np.nan_to_num(filled)  # a strategy without any cell tells nothing apart
        self._by_name = np.argsort(self.tasks_)  # the same tasks grow the same trees, whatever order they came in
        self._like = LeafWeights(
            features.complete(features.known)[self._by_name],
            _principal(filled[self._by_name], MOST_TARGETS),
            n_trees=self.n_trees,
            min_rows=self.min_tasks,
            random_state=self.random_state,
        )

    def _weights(self, rows: FloatArray) -> FloatArray:
        assert self._features is not None
        weights = np.empty((len(rows), len(self.tasks_)))
        weights[:, self._by_name] = self._like.of(self._features.complete(rows))
        return weights


def _principal(targets: FloatArray, n_components: int) -> FloatArray:
    """Give the first principal components where there are more columns than that."""
    if targets.shape[1] <= n_components:
        return targets
    u, singular, _ = np.linalg.svd(targets - targets.mean(axis=0), full_matrices=False)
    return np.asarray(u[:, :n_components] * singular[:n_components])
