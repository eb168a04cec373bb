"""What strategies scored on the folds they were tried on, and why they were tried no further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metafit.estimators.held_out import HeldOut
from metafit.strategies.strategy import Strategy

__all__ = ["Trial", "Trials", "clearly_worse"]

Floats = NDArray[np.float64]

#: Units (rows, or groups) that are too few to tell two strategies apart on one fold.
_FEWEST = 10


@dataclass(eq=False)
class Trial:
    """One strategy on trial.

    Attributes
    ----------
    strategy : Strategy
    name : str
        What the ranking calls it.
    round : int
        In which round it was tried.
    look : HeldOut or None
        On a sample of a large table.
    folds : list of HeldOut
        Those it was tried on, from the first on.
    reason : str
        Why it was not finished, or how it failed.
    """

    strategy: Strategy
    name: str
    round: int
    look: HeldOut | None = None
    folds: list[HeldOut] = field(default_factory=list)
    reason: str = ""

    @property
    def status(self) -> str:
        """How it first failed, else "outclassed" or "ok"."""
        looks = self.folds or ([] if self.look is None else [self.look])
        failed = next((look.result.status for look in looks if look.result.status != "ok"), "")
        return failed or ("outclassed" if self.reason else "ok")

    def scores(self, n_folds: int) -> Floats:
        """Return the score on each fold, NaN where it was not tried or failed."""
        scores = np.full(n_folds, np.nan)
        scores[: len(self.folds)] = [fold.score for fold in self.folds]
        return scores

    @property
    def seconds(self) -> float:
        """Mean seconds of a fit; NaN where there is none."""
        known = [fold.result.seconds for fold in self.folds if np.isfinite(fold.result.seconds)]
        return float(np.mean(known)) if known else np.nan

    @property
    def losses(self) -> Floats:
        """Relative loss on each fold that it was tried on."""
        return np.array([fold.result.loss if fold.model is not None else np.nan for fold in self.folds])


def clearly_worse(one: HeldOut, other: HeldOut, n_errors: float, margin: float = 0.0) -> bool:
    """Whether one model is worse than another on the same rows, beyond what the choice of rows explains.

    Both its score and the losses of its rows must be worse, the latter by `margin` and by some standard errors of the
    paired difference. Rows of one group are one unit; fewer than 10 units tell nothing.

    Parameters
    ----------
    one, other : HeldOut
    n_errors : float
    margin : float
        In units of the loss.
    """
    if one.model is None or other.model is None or not one.score < other.score:
        return False
    task = one.task
    weights = np.ones(len(one.rows)) if task.sample_weight is None else task.sample_weight[one.rows]
    units = np.arange(len(one.rows)) if task.groups is None else task.groups[one.rows]
    mean, error = _paired(one.losses - other.losses, weights, units)
    return bool(mean > margin and mean > n_errors * error)


def _paired(difference: Floats, weights: Floats, units: NDArray[Any]) -> tuple[float, float]:
    """Return the mean of a difference and its standard error over units; infinite where they are too few."""
    n_units = len(np.unique(units))
    if n_units < _FEWEST or not weights.sum() > 0:
        return 0.0, np.inf
    share = weights / weights.sum()
    mean = float(share @ difference)
    off = np.bincount(np.unique(units, return_inverse=True)[1], share * (difference - mean))
    return mean, float(np.sqrt((off**2).sum() * n_units / (n_units - 1)))


@dataclass(frozen=True, eq=False)
class Trials:
    """All strategies that were tried, with their held-out scores; higher is better.

    Attributes
    ----------
    trials : list of Trial
    n_folds : int
    reason : str
        Why no more were tried.
    """

    trials: list[Trial]
    n_folds: int
    reason: str = ""

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def scores(self) -> Floats:
        """Scores of shape (n_strategies, n_folds); NaN where there is no fit that can be trusted."""
        return np.array([trial.scores(self.n_folds) for trial in self.trials]).reshape(-1, self.n_folds)

    @property
    def means(self) -> Floats:
        """Mean score over the folds on which any strategy worked; NaN for one that failed or was not finished."""
        scores = self.scores
        anyone = np.isfinite(scores).any(axis=0)
        if not anyone.any():
            return np.full(len(scores), np.nan)
        whole = np.array([len(trial.folds) == self.n_folds for trial in self.trials])
        return np.where(whole, scores[:, anyone].mean(axis=1), np.nan)

    @property
    def order(self) -> NDArray[np.intp]:
        """Positions of the strategies, best first; those without a mean last, equally good ones as they came."""
        means = self.means
        return np.argsort(np.where(np.isnan(means), np.inf, -means), kind="stable")

    @property
    def finished(self) -> list[int]:
        """Positions of the strategies that worked on every fold on which any did, best first."""
        means = self.means
        return [int(place) for place in self.order if np.isfinite(means[place])]

    def best(self) -> Trial | None:
        """Return the best finished trial."""
        return self.trials[self.finished[0]] if self.finished else None

    def results(self) -> dict[str, Any]:
        """Return the arrays of `cv_results_`."""
        rank = np.empty(len(self), dtype=np.int32)
        rank[self.order] = np.arange(1, len(self) + 1)
        scores, means = self.scores, self.means
        anyone = np.isfinite(scores).any(axis=0)
        return {
            "strategy": _objects([trial.strategy for trial in self.trials]),
            "name": _objects([trial.strategy.name for trial in self.trials]),
            "round": np.array([trial.round for trial in self.trials]),
            "status": _objects([trial.status for trial in self.trials]),
            "reason": _objects([trial.reason for trial in self.trials]),
            "mean_fit_time": np.array([trial.seconds for trial in self.trials]),
            **{f"split{k}_test_score": column for k, column in enumerate(scores.T)},
            "mean_test_score": means,
            "std_test_score": scores[:, anyone].std(axis=1) if anyone.any() else means,
            "rank_test_score": rank,
        }


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
