"""What did well on tasks like this one, where a forest that predicts the regrets of a portfolio says what like is."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from metafit.learners.base import Advice
from metafit.learners.leaf_weights import LeafWeights, competing
from metafit.learners.like_strategies import LikeStrategies
from metafit.learners.meta_features import MetaFeatures
from metafit.learners.table import FloatArray, IntArray, RegretTable, greedy
from metafit.learners.weighted_tasks import WeightedTasks
from metafit.scores import Scores

# strategies whose regrets trees are grown on, at most
N_TARGETS = 8


class Regression(WeightedTasks):
    """Rank by the mean regrets in those leaves of extremely randomised trees that the description reaches.

    The trees predict the regrets of the first strategies of a portfolio at once. A tree's prediction is a mean over the
    training tasks of one leaf, so that of the forest is a weighted mean over training tasks, for any strategy; under
    these weights the spread of its regrets is its uncertainty, and the first `size` strategies are a greedy portfolio
    (see `Portfolio`). The rest follow by expected regret.

    A strategy that was never attempted is ranked, too, if strategies say what they are (``scores.strategies`` has their
    ``json``, or other columns of hyper-parameters): a second forest predicts, from the hyper-parameters, the regrets on
    all training tasks, and so tells which strategies are like it. It is used if strategies out of the bag speak for it.

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
    explained_ : float
        Share of what strategies differ in on the same task that hyper-parameters explain for strategies out of the bag;
        0 where nothing is known of them. If it is not above 0, strategies that were never attempted come last.

    Notes
    -----
    The trees are grown on the regrets of the first 8 strategies of a greedy portfolio: splits that tell apart what
    nobody would pick cost accuracy. The means in the leaves are those of all. For each split a third of the
    meta-features compete, drawn anew, but at least ten, all if they are fewer.

    A missing meta-feature takes the median of the training tasks, and a further column says that it was missing. A
    hole is filled with the strategy's mean regret while trees grow and counts nothing afterwards. Without descriptions
    all training tasks count alike and the ranking says ``fallback=True``; so it does for a task of which no
    meta-feature is known, unless training tasks were described as blankly.

    Geurts, Ernst and Wehenkel (2006), Extremely randomized trees, Mach. Learn. 63; Lin and Jeon (2006), Random forests
    and adaptive nearest neighbors, JASA 101, for the weights; Breiman (2001), Random forests, Mach. Learn. 45, for the
    third.

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

    A strategy that nobody has tried:

    >>> depth = pd.DataFrame({"depth": range(1, 10)}, index=[f"depth{k}" for k in range(1, 10)])
    >>> losses = pd.DataFrame({f"depth{k}": [0.1 * k, 0.08 * k] for k in (1, 2, 3, 4, 5, 6, 7, 9)})
    >>> learner = Regression().fit(Scores.from_matrix(losses, strategies=depth))
    >>> learner.rank(candidates=["depth9", "depth8", "depth2"]).strategies
    ('depth2', 'depth8', 'depth9')
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

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        super()._learn(scores, descriptions)
        self.__dict__.pop("_known_likeness", None)
        self._infer()

    @property
    def explained_(self) -> float:
        """Share of what strategies differ in that their hyper-parameters tell, out of the bag."""
        check_is_fitted(self, "strategies_")
        return 0.0 if self._known_likeness is None else self._known_likeness.explained

    @cached_property
    def _known_likeness(self) -> LikeStrategies | None:
        """Made when it is asked for: most rankings are of strategies that were attempted."""
        return LikeStrategies.of(self._about, self._table, self.n_trees, self.random_state)

    @property
    def _like_strategies(self) -> LikeStrategies | None:
        return self._known_likeness if self.explained_ > 0 else None

    def infers(self, observed: bool = False) -> bool:
        """Say whether strategies that were never attempted are ranked by their hyper-parameters."""
        return self._like_strategies is not None

    def _infer(self) -> None:
        """Put into the table what strategies that were never attempted would have done."""
        self._new = np.flatnonzero(self.coverage_ == 0)
        if len(self._new) and self._like_strategies is not None:
            regret = self.regret_.copy()
            regret[:, self._new] = self._like_strategies.infer(self._about.iloc[self._new])
            self._table = RegretTable(regret)

    def _moments(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        expected, std = super()._moments(weights)
        if len(self._new) and self._like_strategies is not None:
            std[self._new] = np.hypot(std[self._new], self._like_strategies.error)
        return expected, std

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        advice = super()._advise(description, pool, tried)
        n_new = np.isin(pool, self._new).sum()
        if not n_new or not self.infers():
            return advice
        reason = f"{n_new} never attempted, ranked by hyper-parameters, which explain {self.explained_:.0%} of regrets"
        return replace(advice, reasons=(*advice.reasons, reason))

    def _compare(self, features: MetaFeatures) -> None:
        standing = self._standing(self.mean_regret_, np.flatnonzero(self.coverage_ > 0), self.min_coverage)
        picks, _ = greedy(self._table, N_TARGETS, columns=standing, min_coverage=self.min_coverage)
        targets = self.regret_[:, np.sort(picks)]
        filled = np.where(np.isnan(targets), np.nanmean(targets, axis=0), targets)
        known = features.complete(features.known)
        self._by_name = np.argsort(self.tasks_)  # the same tasks grow the same trees, whatever order they came in
        self._like = LeafWeights(
            known[self._by_name],
            filled[self._by_name],
            n_trees=self.n_trees,
            min_rows=self.min_tasks,
            max_features=competing(known.shape[1]),
            random_state=self.random_state,
        )

    def _weights(self, rows: FloatArray) -> FloatArray:
        assert self._features is not None
        weights = np.empty((len(rows), len(self.tasks_)))
        weights[:, self._by_name] = self._like.of(self._features.complete(rows))
        return weights
