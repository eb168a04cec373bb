"""Trees laid end to end, leaf weights and duels against scikit-learn and the plain loop."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from metafit.learners.duels import Duels
from metafit.learners.leaf_weights import LeafWeights
from metafit.learners.trees import Trees


def made_up(n_rows=60, n_targets=2):
    rng = np.random.default_rng(0)
    known, targets = rng.random((n_rows, 3)), rng.random((n_rows, n_targets))
    targets[:, 0] += 3 * known[:, 0]
    return known, targets


def test_leaves_are_those_of_scikit_learn():
    known, targets = made_up()
    forests = [
        ExtraTreesRegressor(7, max_depth=depth, random_state=0).fit(known, targets) for depth in (None, 0, 3)[::2]
    ]
    trees = Trees([tree for forest in forests for tree in forest.estimators_])
    first = np.cumsum(trees.n_nodes) - trees.n_nodes
    new = np.random.default_rng(1).random((40, 3))
    wanted = np.hstack([forest.apply(new) for forest in forests])
    np.testing.assert_array_equal(trees.leaves(new) - first, wanted)
    assert trees.leaves(new[:0]).shape == (0, 14)


@pytest.mark.parametrize("bootstrap", [False, True])
def test_leaf_weights_are_those_of_the_forest(bootstrap):
    known, targets = made_up()
    like = LeafWeights(known, targets, n_trees=50, min_rows=3, max_features=0.5, bootstrap=bootstrap, random_state=0)
    forest = ExtraTreesRegressor(50, min_samples_leaf=3, max_features=0.5, bootstrap=bootstrap, random_state=0)
    new = np.random.default_rng(1).random((5, 3))
    weights = like.of(new)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights @ targets, forest.fit(known, targets).predict(new))


def test_out_of_bag_no_row_votes_for_itself():
    known, targets = made_up()
    like = LeafWeights(known, targets, n_trees=50, min_rows=3, bootstrap=True, random_state=0)
    unseen = like.out_of_bag()
    np.testing.assert_allclose(unseen.sum(axis=1), 1)
    assert np.diag(unseen).max() < 1e-6
    error = ((targets - unseen @ targets)[:, 0] ** 2).mean()
    assert ((targets - like.of(known) @ targets)[:, 0] ** 2).mean() < error
    assert error < 0.5 * targets[:, 0].var()


@pytest.mark.parametrize(("max_features", "kind"), [("sqrt", ExtraTreesClassifier), (1.0, ExtraTreesRegressor)])
def test_duels_are_those_of_the_plain_loop(max_features, kind):
    rng = np.random.default_rng(0)
    known, regret = rng.random((50, 2)), rng.random((50, 5))
    regret[rng.random(regret.shape) < 0.2] = np.nan
    regret[:, 3] = regret[:, 0]  # alike: says nothing
    regret[:, 4] = np.nanmax(regret[:, :4], axis=1) + 0.1  # always the worst
    new = rng.random((4, 2))
    duels = Duels(known, regret, n_trees=9, min_tasks=2, random_state=0, max_features=max_features)
    differences = duels.differences(new)
    for i, j in combinations(range(5), 2):
        there = ~np.isnan(regret[:, i] - regret[:, j])
        difference = (regret[:, i] - regret[:, j])[there]
        if i == 0 and j == 3:
            wanted = np.zeros(4)
        elif j == 4:
            wanted = np.full(4, difference.mean())
        else:
            forest = kind(9, min_samples_leaf=2, max_features=max_features, random_state=0)
            apart = difference != 0
            forest.fit(known[there][apart], difference[apart] > 0, np.abs(difference[apart]))
            share = forest.predict(new) if kind is ExtraTreesRegressor else forest.predict_proba(new)[:, 1]
            wanted = (2 * share - 1) * np.abs(difference).mean()
        np.testing.assert_allclose(differences[:, i, j], wanted, atol=1e-12)
        np.testing.assert_allclose(differences[:, j, i], -wanted, atol=1e-12)
