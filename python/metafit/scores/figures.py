"""The arithmetic under `Scores`: means over repeats that are not equally many, and regret."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]


def normalized_regret(loss: npt.ArrayLike, best: npt.ArrayLike, floor: float = 0.02) -> FloatArray:
    """Regret as a share of what skill there is: clip((u - u_best) / max(1 - u_best, floor), 0, 1).

    Parameters
    ----------
    loss, best : array-like
        Relative losses u, and the best of their task; broadcast together. NaN stays NaN.
    floor : float
        Where hardly any skill is to be had, a small loss is not blown up beyond this.

    Returns
    -------
    ndarray of float

    Examples
    --------
    >>> normalized_regret([0.5, 0.75, 2.0], 0.5)
    array([0. , 0.5, 1. ])
    """
    loss, best = np.asarray(loss, dtype=float), np.asarray(best, dtype=float)
    return np.asarray(np.clip((loss - best) / np.maximum(1 - best, floor), 0, 1))


def grouped_mean(group: IntArray, values: FloatArray, n_groups: int) -> FloatArray:
    """Average `values` over each of ``0 .. n_groups - 1``; an empty group is NaN."""
    count = np.bincount(group, minlength=n_groups)
    total = np.bincount(group, weights=values, minlength=n_groups)
    with np.errstate(invalid="ignore"):  # 0 / 0 is a hole
        return np.asarray(total / count)


def mean_of_means(cell: IntArray, seed: npt.NDArray[np.generic], values: FloatArray, n_cells: int) -> FloatArray:
    """Average within (cell, seed), then over a cell's seeds: none counts more for having more folds."""
    seeds, code = np.unique(seed, return_inverse=True)
    n_seeds = max(len(seeds), 1)
    by_seed = grouped_mean(cell * n_seeds + code, values, n_cells * n_seeds)
    there = np.flatnonzero(~np.isnan(by_seed))
    return grouped_mean(there // n_seeds, by_seed[there], n_cells)


def worst_of(group: IntArray, values: FloatArray, use: npt.NDArray[np.bool_]) -> FloatArray:
    """Give each row the largest used value of its group; NaN where the group has none."""
    worst = np.full(group.max(initial=-1) + 1, -np.inf)
    np.maximum.at(worst, group[use], values[use])
    return np.where(np.isinf(worst), np.nan, worst)[group]
