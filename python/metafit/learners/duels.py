"""For every pair of strategies, a forest that says which one does worse on a task, and at what cost."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from metafit.learners.table import FloatArray
from metafit.learners.trees import Trees, forest_seeds, grown


class Duels:
    """All pairs of some strategies.

    A task counts in a duel what a wrong choice costs on it. The stake of a duel is the mean cost over the tasks on
    which both were attempted; a forest says which share of it falls to the first. No forest is grown where one
    strategy is never the worse one. The trees are those of an extra-trees classifier but for ties: Gini's impurity of
    two shares is twice their variance, so that trees of regression make the same splits.

    Parameters
    ----------
    known : ndarray of shape (n_tasks, n_columns)
        Nothing missing.
    regret : ndarray of shape (n_tasks, n_strategies)
        NaN for a hole.
    n_trees, min_tasks, random_state : int
        Of each forest.
    max_features : float or "sqrt"
        Columns that compete for a split.

    Examples
    --------
    >>> known, regret = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[0, 0.5], [0, 0.5], [0.5, 0], [0.5, 0]])
    >>> duels = Duels(known, regret, n_trees=20, min_tasks=1, random_state=0)
    >>> duels.differences(np.array([[0.0], [3.0]]))[:, 0, 1].tolist()
    [-0.5, 0.5]
    """

    def __init__(
        self,
        known: FloatArray,
        regret: FloatArray,
        *,
        n_trees: int,
        min_tasks: int,
        random_state: int,
        max_features: float | str = 1.0,
    ) -> None:
        self._n_trees = n_trees
        n_strategies = regret.shape[1]
        self._settled = np.zeros((n_strategies, n_strategies))
        pairs: list[tuple[int, int, float]] = []
        trees: list[Any] = []
        seeds = forest_seeds(n_trees, random_state)
        for first, second in combinations(range(n_strategies), 2):
            difference = regret[:, first] - regret[:, second]
            there = np.abs(np.nan_to_num(difference)) > 0
            if not there.any():
                continue
            worse, cost = difference[there] > 0, np.abs(difference[there])
            stake = float(cost.sum() / np.count_nonzero(~np.isnan(difference)))
            if worse.all() or not worse.any():
                self._settled[first, second] = stake if worse.all() else -stake
                continue
            trees += grown(
                known[there], worse.astype(float), cost, min_rows=min_tasks, max_features=max_features, seeds=seeds
            )
            pairs.append((first, second, stake))
        self._first, self._second = (np.array([pair[side] for pair in pairs], dtype=np.intp) for side in (0, 1))
        self._stakes = np.array([stake for *_, stake in pairs])
        self._trees = Trees(trees) if trees else None
        self._worse = np.concatenate([np.empty(0), *(tree.tree_.value[:, 0, 0] for tree in trees)])

    def differences(self, rows: FloatArray) -> FloatArray:
        """Give the expected regret of each strategy less that of each other: (n_rows, n_strategies, n_strategies)."""
        upper = np.tile(self._settled, (len(rows), 1, 1))
        if self._trees is not None:
            shares = self._worse[self._trees.leaves(rows)].reshape(len(rows), -1, self._n_trees).mean(axis=2)
            upper[:, self._first, self._second] = (2 * shares - 1) * self._stakes
        return upper - upper.transpose(0, 2, 1)
