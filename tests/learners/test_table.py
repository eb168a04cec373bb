"""Greedy picks against the plain loop and against all sets; moments against NumPy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metafit.learners.table import RegretTable, greedy


def plain_loop(regret, size, weights, reached, min_coverage=0.8):
    """Pick as the definition reads."""
    share, best = weights / weights.sum(), reached.copy()
    coverage = np.array([share[~np.isnan(column)].sum() for column in regret.T])
    over = np.maximum(coverage, min_coverage * coverage.max())
    picks = []
    for _ in range(min(size, regret.shape[1])):
        gains = [
            -1.0 if j in picks else round(np.nansum(share * np.maximum(best - regret[:, j], 0)) / over[j], 12)
            for j in range(regret.shape[1])
        ]
        picks.append(int(np.argmax(gains)))
        best = np.fmin(best, regret[:, picks[-1]])
    return picks


@pytest.mark.parametrize("holes", [0.0, 0.3])
@pytest.mark.parametrize("random_state", range(5))
@pytest.mark.parametrize("n_strategies", [6, 150])
def test_picks_are_those_of_the_plain_loop(random_state, holes, n_strategies):
    rng = np.random.default_rng(random_state)
    regret = rng.random((30, n_strategies))
    regret[rng.random(regret.shape) < holes] = np.nan
    weights, reached = rng.random(30), rng.uniform(0.2, 1, 30)
    for start in (np.ones(30), reached):
        picks, curve = greedy(regret, 12, weights=weights, reached=start)
        assert picks == plain_loop(regret, 12, weights, start)
        share = weights / weights.sum()
        for size, mean in enumerate(curve, start=1):
            best = np.fmin(start, np.nanmin(np.c_[start, regret[:, picks[:size]]], axis=1))
            assert mean == pytest.approx(share @ best, abs=1e-12)


@pytest.mark.parametrize("random_state", range(8))
@pytest.mark.parametrize("size", [1, 2, 3])
def test_greedy_against_the_best_of_all_sets(random_state, size):
    regret = np.random.default_rng(random_state).random((12, 8)) ** 2
    _, curve = greedy(regret, size)
    optimum = min(regret[:, list(chosen)].min(axis=1).mean() for chosen in combinations(range(8), size))
    if size == 1:
        assert curve[-1] == pytest.approx(optimum)
    assert curve[-1] >= optimum - 1e-12
    assert 1 - curve[-1] >= (1 - 1 / np.e) * (1 - optimum), "the bound of Nemhauser, Wolsey and Fisher"


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, (5, 4), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    st.permutations(range(5)),
    st.integers(0, 3),
)
def test_laws_of_greedy(regret, tasks, copied):
    picks, curve = greedy(regret, 4)
    assert sorted(picks) == [0, 1, 2, 3]
    assert (np.diff([1.0, *curve]) <= 1e-12).all(), "the best so far never gets worse"
    assert greedy(regret[list(tasks)], 4)[0] == picks
    twin = np.c_[regret, regret[:, copied]]
    assert greedy(twin, 4)[1] == pytest.approx(curve), "a copy adds nothing"
    bare = np.c_[regret, np.full(5, np.nan)]
    assert greedy(bare, 4)[0] == picks, "a strategy that was never attempted is not preferred to anything"


def test_columns_say_which_and_who_goes_first_in_a_tie():
    regret = np.array([[0.5, 0.5, 0.1, 0.5]])
    assert greedy(regret, 4)[0] == [2, 0, 1, 3]
    assert greedy(regret, 4, columns=np.array([3, 0, 1]))[0] == [3, 0, 1]


def test_luck_in_being_attempted_is_not_merit():
    regret = np.full((10, 3), 0.3)
    regret[:, 1] = 0.25  # better everywhere, but not attempted on two tasks
    regret[8:, 1] = np.nan
    regret[:, 2] = np.nan  # perfect on the one task where it was attempted
    regret[0, 2] = 0.0
    assert greedy(regret, 1)[0] == [1]


@pytest.mark.parametrize("random_state", range(3))
def test_moments_are_numpys(random_state):
    rng = np.random.default_rng(random_state)
    regret = rng.random((20, 5))
    regret[rng.random(regret.shape) < 0.4] = np.nan
    regret[:, 4] = np.nan
    regret[3, 4] = 0.5
    mean, std = RegretTable(regret).moments(np.ones(20))
    np.testing.assert_allclose(mean, np.nanmean(regret, axis=0))
    np.testing.assert_allclose(std[:4], np.nanstd(regret[:, :4], axis=0, ddof=1))
    assert np.isnan(std[4]), "one task says nothing of the spread"
    weights = rng.integers(0, 3, 20).astype(float)
    mean, _ = RegretTable(regret).moments(weights)
    np.testing.assert_allclose(mean[:4], np.nanmean(np.repeat(regret[:, :4], weights.astype(int), axis=0), axis=0))
