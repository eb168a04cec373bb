"""Which of two strategies does better on a task like this one, for every pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from metafit.learners.base import Advice, BaseLearner
from metafit.learners.duels import Duels
from metafit.learners.meta_features import MetaFeatures
from metafit.learners.portfolio import members_first
from metafit.learners.table import FloatArray, IntArray, greedy
from metafit.scores import Scores


class Pairwise(BaseLearner):
    """Rank by duels: a forest for each pair of strategies says which one has the lower regret.

    A task counts in a duel what a wrong choice costs on it, so tasks on which both do alike say nothing. The share of
    that cost which falls to the first in the leaves of a task, times the mean cost, is the expected difference of the
    two; a strategy's expected regret is its mean difference to all others. Only the `n_candidates` strategies of a
    greedy portfolio meet, the others follow by mean regret.

    Parameters
    ----------
    n_candidates : int
        At least 2.
    n_trees, min_tasks : int
        Of each forest, and training tasks that a leaf holds at least. All meta-features compete for each split.
    min_coverage : float
        See `Portfolio`.
    random_state : int

    Attributes
    ----------
    candidates_ : list of str
    columns_ : Index of str or None
        Meta-features in use; None without descriptions.

    Notes
    -----
    Without descriptions the candidates stand in the order of the portfolio, and the ranking says ``fallback=True``.

    Xu, Hutter, Hoos and Leyton-Brown (2012), Evaluating component solver contributions to portfolio-based algorithm
    selectors, SAT 2012, for cost-sensitive pairwise forests.

    Examples
    --------
    >>> from metafit.scores import Scores
    >>> losses = pd.DataFrame({"few": [0.1, 0.2, 0.8, 0.9], "many": [0.8, 0.9, 0.1, 0.2]}, index=list("abcd"))
    >>> rows = pd.DataFrame({"n_rows": [10, 20, 1000, 2000]}, index=list("abcd"))
    >>> Pairwise().fit(Scores.from_matrix(losses), rows).rank({"n_rows": 1500}).strategies
    ('many', 'few')
    """

    def __init__(
        self,
        n_candidates: int = 16,
        n_trees: int = 100,
        min_tasks: int = 2,
        min_coverage: float = 0.8,
        random_state: int = 0,
    ) -> None:
        self.n_candidates = n_candidates
        self.n_trees = n_trees
        self.min_tasks = min_tasks
        self.min_coverage = min_coverage
        self.random_state = random_state

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        if self.n_candidates < 2:
            raise ValueError(f"n_candidates={self.n_candidates!r}: a duel needs two")
        standing = self._standing(self.mean_regret_, np.arange(len(self.strategies_)), self.min_coverage)
        picks, _ = greedy(self._table, self.n_candidates, columns=standing, min_coverage=self.min_coverage)
        self._picks = np.array(picks, dtype=np.intp)
        self.candidates_ = [str(name) for name in self.strategies_[self._picks]]
        self._features = MetaFeatures.of(descriptions, self.tasks_)
        self.columns_ = None if self._features is None else self._features.columns
        if self._features is not None:
            self._fight(self._features.complete(self._features.known))

    def _fight(self, known: FloatArray) -> None:
        by_name = np.argsort(self.tasks_)  # the same tasks grow the same trees, whatever order they came in
        self._duels = Duels(
            known[by_name],
            self.regret_[by_name][:, self._picks],
            n_trees=self.n_trees,
            min_tasks=self.min_tasks,
            random_state=self.random_state,
        )

    def expect(self, descriptions: pd.DataFrame) -> FloatArray:
        """Give the expected normalised regret of every strategy on many tasks, (n_tasks, n_strategies)."""
        expected = np.tile(self.mean_regret_, (len(descriptions), 1))
        if self._features is not None:
            rows = self._features.rows(descriptions)
            told = self._features.told(rows)
            expected[told] = self._expected(rows[told], self._picks)
        return expected

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        standing = self._standing(self.mean_regret_, pool, self.min_coverage)
        values = None if self._features is None else self._features.values(description)
        present = self._picks[np.isin(self._picks, pool)]
        if values is None:
            reason = (
                f"no description of this task: what complements each other on all {len(self.tasks_)} training tasks"
            )
            order = members_first(present.tolist(), standing)
            return Advice(order, self.mean_regret_, self.std_regret_, (reason,), fallback=True)
        expected = self._expected(values[None], present)[0]
        order = members_first(present[np.argsort(expected[present], kind="stable")].tolist(), standing)
        return Advice(order, expected, self.std_regret_, self._reasons(order, expected, len(present)))

    def _expected(self, rows: FloatArray, present: IntArray) -> FloatArray:
        """Give mean differences to the other candidates, about the mean regret of all of them: a row per task."""
        assert self._features is not None
        expected = np.tile(self.mean_regret_, (len(rows), 1))
        if len(present) < 2:
            return expected
        meeting = np.flatnonzero(np.isin(self._picks, present))
        differences = self._duels.differences(self._features.complete(rows))[:, meeting[:, None], meeting]
        expected[:, present] = self.mean_regret_[present].mean() + differences.mean(axis=2)
        return expected

    def _reasons(self, order: IntArray, expected: FloatArray, n_present: int) -> tuple[str, ...]:
        if n_present < 2:
            return ()
        ahead = expected[order[1]] - expected[order[0]]
        return (f"{self.names_[order[0]]} wins the duels of {n_present} strategies, {ahead:.3f} ahead of the next",)
