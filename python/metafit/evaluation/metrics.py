"""What a pick is worth on a task: regret, rank and who beats whom, in expectation over the pick.

Every contestant is a row of weights over the candidates of a task, the probability that it ends up with each:
one 1 for a learner that knows what it wants, a spread for chance and for ties. All figures are means under
these weights, so the expectation over random orders is exact, not sampled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from metafit.scores import Scores

FloatArray = npt.NDArray[np.float64]


def pick_weights(tried: Sequence[int], selecting: FloatArray) -> FloatArray:
    """Keep the best of those tried on the selecting losses; ties go to the earlier.

    Parameters
    ----------
    tried : sequence of int
        Positions of the candidates that were tried, in that order.
    selecting : ndarray of shape (n_candidates,)
        Losses on seed A, what cross-validation would see.

    Examples
    --------
    >>> pick_weights([2, 0], np.array([0.1, 0.0, 0.3]))
    array([1., 0., 0.])
    """
    weights = np.zeros(len(selecting))
    weights[tried[int(np.argmin(selecting[np.asarray(tried)]))]] = 1.0
    return weights


def random_weights(selecting: FloatArray, budget: int) -> FloatArray:
    """Give the probability of ending with each candidate when `budget` of them are tried in random order.

    The candidate of rank r out of m is the best of b draws with probability C(m - r, b - 1) / C(m, b); equals
    share.

    Examples
    --------
    >>> random_weights(np.array([0.3, 0.1, 0.2]), budget=2).round(3)
    array([0.   , 0.667, 0.333])
    """
    n = len(selecting)
    budget = min(budget, n)
    ranks = np.arange(1, n)
    steps = np.maximum(n - ranks - budget + 1, 0) / (n - ranks)
    by_rank = budget / n * np.concatenate([[1.0], np.cumprod(steps)])
    weights = np.empty(n)
    weights[np.argsort(selecting, kind="stable")] = by_rank
    return _shared_by_equals(weights, selecting)


def best_weights(selecting: FloatArray) -> FloatArray:
    """Pick the best of all candidates on the selecting losses; equals share."""
    best = selecting == selecting.min()
    return np.asarray(best / best.sum())


def beats(weights: FloatArray, losses: FloatArray) -> FloatArray:
    """Give the probability that contestant i ends with a lower loss than contestant j, a draw counting half.

    Parameters
    ----------
    weights : ndarray of shape (n_contestants, n_candidates)
        Independent of each other.
    losses : ndarray of shape (n_candidates,)

    Returns
    -------
    ndarray of shape (n_contestants, n_contestants)

    Examples
    --------
    >>> beats(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0.1, 0.2]))
    array([[0.5 , 0.75],
           [0.25, 0.5 ]])
    """
    levels, level = np.unique(losses, return_inverse=True)
    mass = np.zeros((len(levels), len(weights)))
    np.add.at(mass, level, weights.T)
    worse = mass[::-1].cumsum(axis=0)[::-1] - mass / 2
    return np.asarray(mass.T @ worse)


def ranks_of(weights: FloatArray, losses: FloatArray) -> FloatArray:
    """Give the expected rank of each contestant among all, 1 the best, draws sharing theirs."""
    wins = beats(weights, losses)
    return np.asarray(1 + wins.sum(axis=0) - np.diagonal(wins))


def count_wins(scores: Scores, seed: int | None = None) -> pd.Series[float]:
    """Count the tasks on which each strategy has the lowest loss; equals share.

    Returns
    -------
    Series
        Index strategy, the most wins first. Tasks on which nothing worked have no winner.
    """
    losses = scores.matrix(seed=seed, tied_last=True)
    best = losses.le(scores.best(seed), axis=0) & ~scores.failed(seed)
    share = best.div(best.sum(axis=1).replace(0, np.nan), axis=0)
    return share.sum(axis=0).sort_values(ascending=False, kind="stable")


def _shared_by_equals(weights: FloatArray, losses: FloatArray) -> FloatArray:
    levels, level, count = np.unique(losses, return_inverse=True, return_counts=True)
    return np.asarray((np.bincount(level, weights, len(levels)) / count)[level])
