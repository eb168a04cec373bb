"""The strategy that did best on average: what every recommendation has to beat."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from metafit.learners.base import Advice, BaseLearner
from metafit.learners.table import FloatArray, IntArray
from metafit.scores import Scores


class SingleBest(BaseLearner):
    """Rank strategies by what they did on average on the training tasks, the same for every task.

    A strategy attempted on few tasks may look good because these were easy: strategies attempted on less than
    `min_coverage` of the tasks that the most attempted strategy saw come after all others.

    Parameters
    ----------
    criterion : {"regret", "rank", "loss"}
        Mean normalised regret, mean rank (as a share of the strategies attempted on that task), or mean loss
        u.
    min_coverage : float
        Share of coverage, that of the most attempted strategy being 1.

    Attributes
    ----------
    criterion_ : ndarray of shape (n_strategies,)
        The mean that decides, over the tasks on which the strategy was attempted; failures are tied last.

    Examples
    --------
    >>> from metafit.scores import Scores
    >>> losses = pd.DataFrame({"ridge": [0.5, 0.6], "lasso": [0.4, 0.9]}, index=["t", "u"])
    >>> SingleBest().fit(Scores.from_matrix(losses)).rank().to_frame().round(3)
              expected_loss    std
    strategy
    ridge             0.083  0.118
    lasso             0.375  0.530
    """

    def __init__(self, criterion: Literal["regret", "rank", "loss"] = "regret", min_coverage: float = 0.8) -> None:
        self.criterion = criterion
        self.min_coverage = min_coverage

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        self.criterion_ = self._means(scores)

    def _means(self, scores: Scores) -> FloatArray:
        if self.criterion == "regret":
            return self.mean_regret_
        if self.criterion not in ("rank", "loss"):
            raise ValueError(f"criterion={self.criterion!r}: choose 'regret', 'rank' or 'loss'")
        table = scores.matrix(tied_last=True)
        table = table.rank(axis=1, pct=True) if self.criterion == "rank" else table
        return np.asarray(table.mean(axis=0), dtype=float)

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        order = self._standing(self.criterion_, pool, self.min_coverage)
        return Advice(order, self.mean_regret_, self.std_regret_, self._reasons(order))

    def _reasons(self, order: IntArray) -> tuple[str, ...]:
        if not len(order):
            return ()
        first, over = order[0], f"{len(order)} strategies over {len(self.tasks_)} training tasks"
        mean = f"mean {self.criterion}, {self.criterion_[first]:.3f}"
        return (f"{self.names_[first]}: lowest {mean}, of {over}",)
