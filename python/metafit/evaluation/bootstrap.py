"""How far a mean over tasks can be trusted: resample whole families, for tasks of one source are alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]


def cluster_weights(clusters: npt.ArrayLike, n_resamples: int, random_state: int) -> FloatArray:
    """Draw clusters with replacement; say how often each row is in each resample.

    Parameters
    ----------
    clusters : array-like of shape (n_rows,)
        Label of each row's cluster.
    n_resamples : int
    random_state : int

    Returns
    -------
    ndarray of shape (1 + n_resamples, n_rows)
        The first resample is the sample itself: all ones.
    """
    codes, labels = pd.factorize(np.asarray(clusters))
    rng = np.random.default_rng(random_state)
    counts = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=n_resamples)
    return np.vstack([np.ones((1, len(codes))), counts[:, codes]])


def weighted_means(weights: FloatArray, values: FloatArray) -> FloatArray:
    """Average the columns of `values` (n_rows, k) under each row of weights: (n_resamples, k)."""
    return np.asarray(weights @ values / weights.sum(axis=1, keepdims=True))


def interval(resampled: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Give the percentile interval over the first axis; NaN wherever a resample has no value.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
