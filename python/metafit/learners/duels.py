"""For every pair of strategies, a forest that says which one does worse on a task, and at what cost."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.tree import ExtraTreeRegressor

from metafit.learners.table import FloatArray
from metafit.learners.trees import Trees


class Duels:
    """All pairs of some strategies.

    A task counts in a duel what a wrong choice costs on it. The stake of a duel is the mean cost over the tasks on
    which both were attempted; a forest says which share of it falls to the first. No forest is grown where one
    strategy is never the worse one.

    Parameters
    ----------
    known : ndarray of shape (n_tasks, n_columns)
        Nothing missing.
    regret : ndarray of shape (n_tasks, n_strategies)
        NaN for a hole.
    n_trees, min_tasks, random_state : int
        Of each forest.

    Examples
    --------
    >>> known, regret = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[0, 0.5], [0, 0.5], [0.5, 0], [0.5, 0]])
    >>> duels = Duels(known, regret, n_trees=20, min_tasks=1, random_state=0)
    >>> duels.differences(np.array([[0.0], [3.0]]))[:, 0, 1].tolist()
    [-0.5, 0.5]
    """

    def __init__(
        self, known: FloatArray, regret: FloatArray, *, n_trees: int, min_tasks: int, random_state: int
    ) -> None:
        self._n_trees = n_trees
        n_strategies = regret.shape[1]
        self._settled = np.zeros((n_strategies, n_strategies))
        pairs: list[tuple[int, int, float]] = []
        grown: list[Any] = []
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
            grown += _forest(known[there], worse.astype(float), cost, n_trees, min_tasks, random_state)
            pairs.append((first, second, stake))
        self._first, self._second = (np.array([pair[side] for pair in pairs], dtype=np.intp) for side in (0, 1))
        self._stakes = np.array([stake for *_, stake in pairs])
        self._trees = Trees(grown) if grown else None
        self._worse = np.concatenate([np.empty(0), *(tree.tree_.value[:, 0, 0] for tree in grown)])

    def differences(self, rows: FloatArray) -> FloatArray:
        """Give the expected regret of each strategy less that of each other: (n_rows, n_strategies, n_strategies)."""
        upper = np.tile(self._settled, (len(rows), 1, 1))
        if self._trees is not None:
            shares = self._worse[self._trees.leaves(rows)].reshape(len(rows), -1, self._n_trees).mean(axis=2)
            upper[:, self._first, self._second] = (2 * shares - 1) * self._stakes
        return upper - upper.transpose(0, 2, 1)


def _forest(
    known: FloatArray, worse: FloatArray, cost: FloatArray, n_trees: int, min_tasks: int, random_state: int
) -> list[ExtraTreeRegressor]:
    """Grow the trees of an extra-trees classifier of two classes.

    Gini's impurity of shares is twice their variance, so that trees of regression make the same splits; growing them
    one by one spares what a forest checks and copies for each tree, which takes longer than to grow them.
    """
    rows = np.asarray(known, dtype=np.float32)
    seeds = np.random.RandomState(random_state).randint(np.iinfo(np.int32).max, size=n_trees)  # as in a forest
    with config_context(skip_parameter_validation=True, assume_finite=True):
        return [
            ExtraTreeRegressor(max_features="sqrt", min_samples_leaf=min_tasks, random_state=int(seed)).fit(
                rows, worse, cost, check_input=False
            )
            for seed in seeds
        ]
