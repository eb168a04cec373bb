"""A short list of strategies that complement each other: some member is good on almost every task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from metafit.learners.base import Advice, BaseLearner
from metafit.learners.table import IntArray, greedy
from metafit.scores import Scores


class Portfolio(BaseLearner):
    """Rank the members of a greedy portfolio first, in the order of picking, then the rest by mean regret.

    Members are picked to lower the mean, over the training tasks, of the best normalised regret that the list
    has so far. With `observed` or with `candidates` that lack a member, the list is picked anew: among the
    candidates, and on top of what the strategies tried already reach on the training tasks.

    Parameters
    ----------
    size : int
        Number of members.
    min_coverage : float
        Share of coverage below which a strategy counts as rarely attempted: see
        `metafit.learners.table.greedy` and `SingleBest`.

    Attributes
    ----------
    portfolio_ : list of str
    curve_ : list of float
        Mean best regret on the training tasks after each member.

    Examples
    --------
    >>> from metafit.scores import Scores
    >>> losses = pd.DataFrame({"flat": [0.4, 0.4], "left": [0.2, 1.0], "right": [1.0, 0.2]})
    >>> learner = Portfolio(size=2).fit(Scores.from_matrix(losses))
    >>> learner.portfolio_
    ['flat', 'left']
    """

    def __init__(self, size: int = 8, min_coverage: float = 0.8) -> None:
        self.size = size
        self.min_coverage = min_coverage

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        if self.size < 1:
            raise ValueError(f"size={self.size!r}: a portfolio has at least one member")
        nothing = np.empty(0, dtype=np.intp)
        self._picks, self.curve_ = self._pick(np.arange(len(self.strategies_)), nothing)
        self.portfolio_ = [str(name) for name in self.strategies_[self._picks]]

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        whole = not len(tried) and np.isin(self._picks, pool).all()
        picks, curve = (self._picks, self.curve_) if whole else self._pick(pool, tried)
        order = members_first(picks, self._standing(self.mean_regret_, pool, self.min_coverage))
        return Advice(order, self.mean_regret_, self.std_regret_, self._reasons(picks, curve))

    def _pick(self, pool: IntArray, tried: IntArray) -> tuple[list[int], list[float]]:
        return greedy(
            self._table,
            self.size,
            columns=self._standing(self.mean_regret_, np.setdiff1d(pool, tried), self.min_coverage),
            reached=self._table.reached(tried),
            min_coverage=self.min_coverage,
        )

    def _reasons(self, picks: list[int], curve: list[float]) -> tuple[str, ...]:
        tasks = f"{len(self.tasks_)} training tasks"
        return tuple(
            f"{self.names_[pick]}: the best of the first {place} has mean regret {reached:.3f} on {tasks}"
            for place, (pick, reached) in enumerate(zip(picks, curve, strict=True), start=1)
        )


def members_first(picks: list[int], standing: IntArray) -> IntArray:
    """Put the picks before the others, which keep their order."""
    return np.concatenate([np.array(picks, dtype=np.intp), standing[~np.isin(standing, picks)]])
