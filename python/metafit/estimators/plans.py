"""What to try next on a table: of the ranking, what is worth its cost and fits in the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metafit.estimators.held_out import HeldOut
from metafit.estimators.knowledge import Advice
from metafit.learners import Ranking
from metafit.scores.metrics import LEVELS, LOSSES, relative
from metafit.strategies.strategy import Strategy

__all__ = ["Plan", "Planner"]


@dataclass(frozen=True)
class Plan:
    """Strategies to try next, in this order.

    Attributes
    ----------
    names : tuple of str
    gain : float or None
        How much the best of them is expected to lower the relative loss; None where nobody says.
    reason : str
        Why there are none.
    """

    names: tuple[str, ...]
    gain: float | None = None
    reason: str = ""


class Planner:
    """What a ranking, its gains and expected seconds say of what to try next.

    Parameters
    ----------
    advice : Advice
    metric : str or None
        By which strategies are compared on the table.
    """

    def __init__(self, advice: Advice, metric: str | None) -> None:
        self._advice = advice
        self._metric = metric
        self._strategies = dict(zip(advice.ranking, advice.strategies, strict=True))

    @property
    def learns(self) -> bool:
        """Whether what is observed on the table can change the order."""
        return self._advice.ranker is not None

    def strategy(self, name: str) -> Strategy:
        """Return a strategy by its name in the ranking."""
        return self._strategies[name]

    def losses(self, folds: Sequence[HeldOut]) -> NDArray[np.float64]:
        """Return the loss that the learner was taught, on each fold; NaN without a model."""
        return np.array([np.nan if fold.model is None else self._loss(fold) for fold in folds])

    def _loss(self, fold: HeldOut) -> float:
        if self._metric in LEVELS:
            return float(relative(self._metric, fold.result.metrics[self._metric]))
        return fold.result.loss

    def plan(
        self, tried: Sequence[str], observed: Mapping[str, float], seconds: Mapping[str, float], left: float
    ) -> Plan:
        """Say what to try next.

        Parameters
        ----------
        tried : sequence of str
            What is not to be tried again.
        observed : mapping of str to float
            Losses of those tried, as far as they are known; NaN for a failure.
        seconds : mapping of str to float
            Mean seconds of a fit of each; empty where costs must not matter.
        left : float
            Seconds that are left for a fit.
        """
        ranking = self._ranking(observed)
        untried = [name for name in ranking if name not in tried]
        if not untried:
            return Plan((), reason="every strategy was tried")
        gain = None if ranking.gain is None else pd.Series(ranking.gain, pd.Index(ranking.strategies))[untried]
        best = None if gain is None else float(gain.max())
        if self._advice.ranker is None or not seconds:
            return Plan(tuple(untried), best)
        cost = self._advice.ranker.seconds(seconds)[untried]
        kept = cost.index[~(cost > left).to_numpy()]
        if gain is not None:
            # what nothing is known of comes by the mean cost
            worth = gain[kept].fillna(0.0) / cost[kept].fillna(cost.mean()).fillna(1.0)
            kept = kept[np.argsort(-worth.to_numpy(), kind="stable")]
        return Plan(
            tuple(map(str, kept)), best, "" if len(kept) else "no untried strategy is expected to fit in the time"
        )

    def _ranking(self, observed: Mapping[str, float]) -> Ranking:
        ranker = self._advice.ranker
        # learners know nothing of a metric whose level without skill differs from table to table
        told = self._metric in (None, *LOSSES) or self._metric in LEVELS
        if ranker is None or not told or not np.isfinite(list(observed.values())).any():
            return self._advice.ranking
        return ranker.rank(observed)
