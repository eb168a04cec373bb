"""What learners share that weigh the training tasks by how like the new one they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from metafit.learners.base import Advice, BaseLearner, Opinion
from metafit.learners.meta_features import MetaFeatures
from metafit.learners.portfolio import members_first
from metafit.learners.table import FloatArray, IntArray, greedy
from metafit.scores import Scores


class WeightedTasks(BaseLearner):
    """A learner whose expected regrets are means over the training tasks, weighted for each new task.

    The weights say more than the means: which tasks decided, how far they disagree, and which strategies complement
    each other on them. With them the first `size` strategies are a greedy portfolio (see `Portfolio`), the rest follow
    by expected regret. Holes count nothing. Without descriptions all training tasks count alike and the ranking says
    ``fallback=True``.

    A subclass gives ``_compare`` and ``_weights``, and holds the parameters `size` and `min_coverage`.
    """

    size: int
    min_coverage: float

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        self._features = MetaFeatures.of(descriptions, self.tasks_)
        self.columns_ = None if self._features is None else self._features.columns
        if self._features is not None:
            self._compare(self._features)

    def _compare(self, features: MetaFeatures) -> None:
        """Learn what makes tasks alike."""
        raise NotImplementedError

    def _weights(self, rows: FloatArray) -> FloatArray:
        """Give the weights of the training tasks for new tasks' meta-features: (n_new, n_tasks)."""
        raise NotImplementedError

    def _neighbours(self, values: FloatArray, weights: FloatArray, standing: IntArray) -> pd.DataFrame:
        """Give the tasks that are weighed, nearest first."""
        return self._deciding(weights, standing)

    def expect(self, descriptions: pd.DataFrame) -> FloatArray:
        """Give the expected normalised regret of every strategy on many tasks, (n_tasks, n_strategies)."""
        weights = np.ones((len(descriptions), len(self.tasks_)))
        if self._features is not None:
            rows = self._features.rows(descriptions)
            told = self._features.told(rows)
            weights[told] = self._weights(rows[told])
        return self._table.means(weights)

    def _opinion(self, description: pd.Series[Any] | None, pool: IntArray) -> Opinion:
        values = self._values(description)
        weights = self._weights_for(values)
        return Opinion(*self._moments(weights), weights, fallback=values is None, is_mean=True)

    def _values(self, description: pd.Series[Any] | None) -> FloatArray | None:
        return None if self._features is None else self._features.values(description)

    def _weights_for(self, values: FloatArray | None) -> FloatArray:
        """Give the weights of the training tasks for one task, equal ones if nothing is known of it."""
        return np.ones(len(self.tasks_)) if values is None else self._weights(values[None])[0]

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        values = self._values(description)
        weights = self._weights_for(values)
        order, expected, std = self._vote(weights, pool, tried)
        if values is None:
            reason = f"no description of this task: what did best on all {len(self.tasks_)} training tasks"
            return Advice(order, expected, std, (reason,), fallback=True)
        standing = self._standing(expected, pool, self.min_coverage)
        neighbours = self._neighbours(values, weights, standing)
        reasons = (*self._like_reasons(neighbours, standing), *self._what_if(weights, neighbours, standing))
        return Advice(order, expected, std, reasons, neighbours)

    def _what_if(self, weights: FloatArray, neighbours: pd.DataFrame, standing: IntArray) -> tuple[str, ...]:
        """Say what would stand first without the tasks that are named."""
        named = self._named(neighbours)
        if not len(standing) or np.count_nonzero(weights) <= np.count_nonzero(weights[named]):
            return ()
        instead = self._standing(self._without(weights, named), np.sort(standing), self.min_coverage)[0]
        return (self._counterfactual(standing[0], instead, len(named)),)

    def _moments(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give the mean and the standard deviation of each strategy under some weights."""
        return self._table.moments(weights)

    def _vote(self, weights: FloatArray, pool: IntArray, tried: IntArray) -> tuple[IntArray, FloatArray, FloatArray]:
        expected, std = self._moments(weights)
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
