"""The regret table that learners share, with what makes weighted means over its holes fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]


class RegretTable:
    """Normalised regret of strategies on tasks, NaN for a hole.

    Parameters
    ----------
    regret : array-like of shape (n_tasks, n_strategies)

    Attributes
    ----------
    regret : ndarray of shape (n_tasks, n_strategies)
        By columns in memory: a strategy is what one looks at.
    coverage : ndarray of shape (n_strategies,)
        Share of the tasks on which each strategy was attempted.
    """

    def __init__(self, regret: npt.ArrayLike) -> None:
        self.regret: FloatArray = np.asfortranarray(regret, dtype=float)
        hole = np.isnan(self.regret)
        self._there = (~hole).astype(float)
        self._filled = np.where(hole, 0.0, self.regret)  # for sums that `_there` counts: holes add nothing
        self._held = np.where(hole, 1.0, self.regret)  # for minima: holes lower nothing
        self._squares = self._filled**2
        self.coverage = self._there.mean(axis=0)

    def covered(self, weights: FloatArray) -> FloatArray:
        """Give the summed weight of the tasks on which each strategy was attempted; `weights` (..., n_tasks)."""
        return np.asarray(weights @ self._there)

    def moments(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give the weighted mean and standard deviation of each strategy over the tasks it was attempted on.

        Parameters
        ----------
        weights : ndarray of shape (n_tasks,)

        Returns
        -------
        mean, std : ndarray of shape (n_strategies,)
            NaN where there are too few tasks. The variance has the correction n / (n - 1) at the effective
            number of tasks, sum(w)^2 / sum(w^2).
        """
        total, squares = self.covered(np.array([weights, weights**2]))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = weights @ self._filled / total
            spread = np.maximum(weights @ self._squares / total - mean**2, 0.0)
            variance = spread / (1 - squares / total**2)
        return mean, np.sqrt(np.where(total**2 > squares * (1 + 1e-9), variance, np.nan))

    def means(self, weights: FloatArray) -> FloatArray:
        """Give the weighted mean of each strategy, NaN where it was attempted on no task of weight.

        Parameters
        ----------
        weights : ndarray of shape (..., n_tasks)
            Sets of weights; so are the means.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(weights @ self._filled / (weights @ self._there))

    def reached(self, columns: IntArray) -> FloatArray:
        """Give the best regret that these reach on each task; 1, no skill, where none was attempted."""
        return np.asarray(self.held(columns).min(axis=1, initial=1.0))

    def held(self, columns: IntArray) -> FloatArray:
        """Give some columns with 1 in the holes: there a strategy leaves a task without skill."""
        return self._held[:, columns]

    def gains(self, share: FloatArray, reached: FloatArray) -> FloatArray:
        """Give how much each strategy would lower the mean over `share` of the regret that is reached."""
        if (reached == 1.0).all():
            return self.covered(share) - np.asarray(share @ self._filled)
        lowered = reached[:, None] - self._held
        return np.asarray(share @ np.maximum(lowered, 0.0, out=lowered))


def greedy(
    table: RegretTable | npt.ArrayLike,
    size: int,
    *,
    columns: IntArray | None = None,
    weights: FloatArray | None = None,
    reached: FloatArray | None = None,
    min_coverage: float = 0.8,
) -> tuple[list[int], list[float]]:
    """Pick strategies one by one, each that which most lowers the weighted mean of the best regret so far.

    On a full table greedy selection gains at least 1 - 1/e of what the best set of its size gains, for the
    gain is submodular (Nemhauser, Wolsey and Fisher 1978). For the same reason an old gain bounds the new
    one, so only the front-runners need be computed again (Minoux 1978): the picks are those of the plain
    loop.

    Parameters
    ----------
    table : RegretTable or array-like of shape (n_tasks, n_strategies)
        In [0, 1]; NaN is a hole, where a strategy contributes nothing. Its gain is averaged over the tasks on
        which it was attempted, else luck in being attempted would pass for merit.
    size : int
    columns : ndarray of int, optional
        Pick among these; ties go to the first of them. All by default.
    weights : ndarray of shape (n_tasks,), optional
        How much each task counts; equal by default.
    reached : ndarray of shape (n_tasks,), optional
        The best regret that was reached before the first pick: 1, no skill, by default.
    min_coverage : float
        A strategy attempted on less than this share of the tasks of the most attempted one has its gain
        averaged over that many, so that a few lucky tasks do not carry it.

    Returns
    -------
    picks : list of int
    curve : list of float
        The weighted mean of the best regret after each pick.

    Examples
    --------
    >>> greedy([[0.0, 0.2, 1.0], [1.0, 0.2, 0.0]], size=2)
    ([1, 0], [0.2, 0.1])
    """
    table = table if isinstance(table, RegretTable) else RegretTable(table)
    columns = np.arange(len(table.coverage)) if columns is None else columns
    n_tasks = len(table.regret)
    share = np.full(n_tasks, 1 / n_tasks) if weights is None else weights / weights.sum()
    best = np.ones(n_tasks) if reached is None else reached
    over = _averaged_over(table.covered(share)[columns], min_coverage)
    gain = _rounded(table.gains(share, best)[columns] / over)
    fresh = np.zeros(len(columns), dtype=int)
    picks: list[int] = []
    curve: list[float] = []
    while len(picks) < min(size, len(columns)):
        front = int(np.argmax(gain))
        if fresh[front] < len(picks):
            again = _front_runners(gain, front)
            lowered = np.maximum(best[:, None] - table.held(columns[again]), 0.0)
            gain[again] = _rounded(share @ lowered / over[again])
            fresh[again] = len(picks)
            continue
        best = np.minimum(best, table.held(columns[[front]])[:, 0])
        gain[front] = -1.0  # below any that is still to be had
        picks.append(int(columns[front]))
        curve.append(float(share @ best))
    return picks, curve


def _averaged_over(coverage: FloatArray, min_coverage: float) -> FloatArray:
    least = max(min_coverage * coverage.max(initial=0.0), 1e-12)
    return np.asarray(np.maximum(coverage, least))


def _rounded(gain: FloatArray) -> Any:
    # so that equal strategies tie, whatever order the sums were taken in
    return np.round(gain, 12)


def _front_runners(gain: FloatArray, front: int, block: int = 64) -> IntArray:
    runners = np.argpartition(-gain, block)[:block] if len(gain) > block else np.arange(len(gain))
    runners = np.union1d(runners, [front])
    return runners[gain[runners] >= 0]
