"""What a pick is worth: against simulation, against hand counts, and its laws."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from metafit.evaluation import count_wins
from metafit.evaluation.bootstrap import cluster_weights, interval, weighted_means
from metafit.evaluation.metrics import beats, best_weights, pick_weights, random_weights, ranks_of
from metafit.scores import Scores


@pytest.mark.parametrize("budget", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("selecting", [[0.3, 0.1, 0.4, 0.2], [0.3, 0.1, 0.1, 0.2], [0.5, 0.5, 0.5, 0.5]])
def test_random_weights_are_the_mean_over_all_orders(selecting, budget):
    selecting = np.array(selecting)
    expected = np.mean([pick_weights(order[:budget], selecting) for order in permutations(range(4))], axis=0)
    np.testing.assert_allclose(random_weights(selecting, budget), expected, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 2), min_size=1, max_size=30), st.integers(1, 40))
def test_random_weights_are_a_distribution_that_improves_with_the_budget(losses, budget):
    losses = np.array(losses)
    weights = random_weights(losses, budget)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert random_weights(losses, budget + 1) @ losses <= weights @ losses + 1e-12


def test_ties_on_the_selecting_folds():
    selecting = np.array([0.2, 0.1, 0.1])
    assert pick_weights([2, 1], selecting).tolist() == [0, 0, 1], "a learner keeps the one it named first"
    assert best_weights(selecting).tolist() == [0, 0.5, 0.5]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 10_000))
def test_beats_by_double_loop(n_candidates, n_contestants, seed):
    rng = np.random.default_rng(seed)
    losses = rng.integers(0, 4, n_candidates) / 2
    weights = rng.dirichlet(np.ones(n_candidates), size=n_contestants)
    wins = beats(weights, losses)
    for i in range(n_contestants):
        for j in range(n_contestants):
            expected = sum(
                weights[i, a] * weights[j, b] * ((losses[a] < losses[b]) + 0.5 * (losses[a] == losses[b]))
                for a in range(n_candidates)
                for b in range(n_candidates)
            )
            assert wins[i, j] == pytest.approx(expected)
    np.testing.assert_allclose(wins + wins.T, 1)
    assert ranks_of(weights, losses).sum() == pytest.approx(n_contestants * (n_contestants + 1) / 2)


def test_ranks_of_sure_picks_are_scipys():
    losses = np.array([0.3, 0.1, 0.1, 0.9])
    picks = [0, 1, 2, 3, 1]
    np.testing.assert_allclose(ranks_of(np.eye(4)[picks], losses), rankdata(losses[picks]))


def test_wins_are_counted_once_a_task():
    wide = pd.DataFrame({"a": [0.1, 0.3, 0.5], "b": [0.2, 0.3, None], "c": [0.9, 0.9, 0.9]}, index=list("xyz"))
    assert count_wins(Scores.from_matrix(wide)).to_dict() == {"a": 2.5, "b": 0.5, "c": 0.0}
    failed = pd.DataFrame({"task": ["x", "x"], "strategy": ["a", "b"], "loss": np.nan, "status": "failed"})
    assert count_wins(Scores(failed)).sum() == 0


def test_bootstrap_draws_whole_clusters_and_is_seeded():
    clusters = np.array(["u", "v", "u", "w"])
    weights = cluster_weights(clusters, 500, random_state=3)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    np.testing.assert_array_equal(weights, cluster_weights(clusters, 500, random_state=3))
    assert (weights != cluster_weights(clusters, 500, random_state=4)).any()


def test_bootstrap_interval_has_the_width_of_theory():
    values = np.random.default_rng(0).normal(size=(400, 1))
    means = weighted_means(cluster_weights(np.arange(400), 4000, random_state=0), values)
    low, high = interval(means[1:], 0.95)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)
    assert low < values.mean() < high


def test_bootstrap_of_families_is_wider_than_that_of_tasks():
    family = np.repeat(np.arange(20), 10)
    values = np.random.default_rng(0).normal(size=20)[family, None]
    widths = [
        np.ptp(interval(weighted_means(cluster_weights(clusters, 1000, 0), values)[1:], 0.95))
        for clusters in (family, np.arange(200))
    ]
    assert widths[0] > 2 * widths[1]
