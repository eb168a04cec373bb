"""What strategies that nobody attempted would do: what those with like hyper-parameters did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from metafit.learners.leaf_weights import LeafWeights
from metafit.learners.strategy_features import StrategyFeatures
from metafit.learners.table import FloatArray, RegretTable

# targets that trees are grown on
_MOST_TARGETS = 16


@dataclass(frozen=True, eq=False)
class LikeStrategies:
    """A forest from the hyper-parameters of the strategies that were attempted to their regrets on all tasks.

    The leaves of its trees weigh strategies as those of `Regression` weigh tasks: the regret of a new strategy on a
    task is the weighted mean of those that were attempted on it.

    Attributes
    ----------
    features : StrategyFeatures
    like : LeafWeights
    regret : ndarray of shape (n_tasks, n_attempted)
        NaN for a hole.
    error : float
        Root mean squared error of the regret of strategies out of the bag.
    explained : float
        Share of what strategies differ in on the same task that is told out of the bag.
    """

    features: StrategyFeatures
    like: LeafWeights
    regret: FloatArray
    error: float
    explained: float

    @classmethod
    def of(cls, strategies: pd.DataFrame, table: RegretTable, n_trees: int, random_state: int) -> LikeStrategies | None:
        """Learn from those that were attempted; None where nothing tells them apart.

        Parameters
        ----------
        strategies : DataFrame
            As of ``Scores.strategies``, a row for each column of the table.
        table : RegretTable
        n_trees, random_state : int
        """
        attempted = np.flatnonzero(table.coverage > 0)
        # by name, so that the order of the strategies does not matter
        attempted = attempted[np.argsort(strategies.index[attempted].to_numpy(), kind="stable")]
        features = StrategyFeatures.of(strategies.iloc[attempted])
        if features is None:
            return None
        regret = table.regret[:, attempted]
        filled = np.where(np.isnan(regret), np.nanmean(regret, axis=0), regret)
        like = LeafWeights(
            features.rows(strategies.iloc[attempted]),
            _principal(filled.T, _MOST_TARGETS),
            n_trees=n_trees,
            min_rows=1,
            bootstrap=True,
            random_state=random_state,
        )
        there = ~np.isnan(regret)
        off = (regret - _means(regret, like.out_of_bag()))[there]
        total = (regret - np.nanmean(regret, axis=1, keepdims=True))[there]
        explained = 1 - float((off**2).sum() / max((total**2).sum(), 1e-300))
        return cls(features, like, regret, float(np.sqrt(np.mean(off**2))), explained)

    def infer(self, strategies: pd.DataFrame) -> FloatArray:
        """Give the regrets that new strategies would have had on the training tasks, (n_tasks, n_new)."""
        return _means(self.regret, self.like.of(self.features.rows(strategies)))


def _means(regret: FloatArray, weights: FloatArray) -> FloatArray:
    """Give weighted means over the strategies that were attempted on a task, (n_tasks, n_new)."""
    there = ~np.isnan(regret)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(there, regret, 0.0) @ weights.T / (there @ weights.T))


def _principal(targets: FloatArray, n_components: int) -> FloatArray:
    """Give the first principal components where there are more columns than that.

    Trees grow much faster on them. The columns are tasks here, each of which counts: none is picked out.
    """
    if targets.shape[1] <= n_components:
        return targets
    u, singular, _ = np.linalg.svd(targets - targets.mean(axis=0), full_matrices=False)
    return np.asarray(u[:, :n_components] * singular[:n_components])
