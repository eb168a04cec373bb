"""What did well on tasks like this one, where a forest has learned what like means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor

from metafit.learners.base import Advice, BaseLearner
from metafit.learners.meta_features import MetaFeatures
from metafit.learners.portfolio import members_first
from metafit.learners.table import FloatArray, IntArray, greedy
from metafit.learners.trees import Trees
from metafit.scores import Scores


class Forest(BaseLearner):
    """Rank by the training tasks that share a leaf with this one, in trees grown to tell regrets apart.

    Extremely randomised trees predict the regrets of all strategies from the description. A tree's prediction is a
    mean over the training tasks of one leaf, so that of the forest is a weighted mean over training tasks, and the
    weights say more than the mean: which tasks decided, how far they disagree, and which strategies complement each
    other on them. With these weights the first `size` strategies are a greedy portfolio (see `Portfolio`), the rest
    follow by expected regret.

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
    forest_ : ExtraTreesRegressor
        There with descriptions.

    Notes
    -----
    A hole is filled with the strategy's mean regret while trees grow and counts nothing afterwards. Where a description
    is missing the trees learn a side for it. Without descriptions all training tasks count alike and the ranking says
    ``fallback=True``.

    Geurts, Ernst and Wehenkel (2006), Extremely randomized trees, Mach. Learn. 63; Lin and Jeon (2006), Random forests
    and adaptive nearest neighbors, JASA 101, for the weights.

    Examples
    --------
    >>> from metafit.scores import Scores
    >>> losses = pd.DataFrame({"few": [0.1, 0.2, 0.8, 0.9], "many": [0.8, 0.9, 0.1, 0.2]}, index=list("abcd"))
    >>> rows = pd.DataFrame({"n_rows": [10, 20, 1000, 2000]}, index=list("abcd"))
    >>> ranking = Forest(min_tasks=1).fit(Scores.from_matrix(losses), rows).rank({"n_rows": 1500})
    >>> ranking.strategies
    ('many', 'few')
    >>> sorted(ranking.neighbours.index)
    ['c', 'd']
    """

    def __init__(
        self,
        n_trees: int = 200,
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

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        self._features = MetaFeatures.of(descriptions, self.tasks_)
        self.columns_ = None if self._features is None else self._features.columns
        if self._features is None:
            return
        forest = ExtraTreesRegressor(
            self.n_trees, min_samples_leaf=self.min_tasks, random_state=self.random_state, bootstrap=False
        )
        filled = np.where(np.isnan(self.regret_), self.mean_regret_, self.regret_)
        # a strategy without any cell tells nothing apart
        order = np.argsort(self.tasks_)  # so that the same tasks grow the same trees, whatever order they came in
        self.forest_ = forest.fit(self._features.known[order], np.nan_to_num(filled[order]))
        self._trees, self._leaves = Trees(self.forest_), self.forest_.apply(self._features.known)

    def _weights(self, values: FloatArray) -> FloatArray:
        """Give the mean over trees of 1 / (tasks in the leaf) for the tasks that share it."""
        same = self._leaves == self._trees.leaves(values)
        return np.asarray((same / same.sum(axis=0)).mean(axis=1))

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        n_tasks = len(self.tasks_)
        values = None if self._features is None else self._features.values(description)
        if values is None:
            reason = f"no description of this task: what did best on all {n_tasks} training tasks"
            return Advice(*self._vote(np.ones(n_tasks), pool, tried), (reason,), fallback=True)
        weights = self._weights(values)
        deciding = self._deciding(weights)
        return Advice(*self._vote(weights, pool, tried), self._like_reasons(deciding), deciding)

    def _vote(self, weights: FloatArray, pool: IntArray, tried: IntArray) -> tuple[IntArray, FloatArray, FloatArray]:
        expected, std = self._table.moments(weights)
        standing = self._standing(expected, pool, self.min_coverage)
        picks, _ = greedy(
            self._table,
            self.size,
            columns=standing[~np.isin(standing, tried)],
            weights=weights,
            reached=self._table.reached(tried),
            min_coverage=self.min_coverage,
        )
        return members_first(picks, standing), expected, std
