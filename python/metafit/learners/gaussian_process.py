"""A Gaussian process on (task, strategy): smooth in descriptions of tasks and hyper-parameters of strategies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from metafit.learners.base import Advice, BaseLearner
from metafit.learners.cell_process import CellProcess
from metafit.learners.meta_features import MetaFeatures
from metafit.learners.strategy_features import StrategyFeatures
from metafit.learners.table import FloatArray, IntArray
from metafit.scores import Scores

# on a side of the table: beyond, eigenvectors take more than a minute
MOST = 3000


class GaussianProcess(BaseLearner):
    """Rank by the regret that a Gaussian process on pairs of a task and a strategy expects.

    The covariance of two regrets is that of their tasks, 1 + b exp(-d^2 / 2 l^2), d the distance of their descriptions,
    times that of their strategies, c + e exp(-h^2 / 2 m^2), h the distance of their hyper-parameters, plus a part of
    each strategy's own; and noise. So a strategy may be good everywhere, or on tasks like these, and strategies like it
    share that as far as they are like it. Parameters are those under which a block of 600 cells is the most likely.
    Expected regrets then follow exactly from all cells there are, and from them alone.

    Strategies are ranked by expected regret. One that was never attempted is, too, if strategies say what they are:
    ``scores.strategies`` has their ``json``, or other columns of hyper-parameters.

    Parameters
    ----------
    random_state : int
        Of the cells from which the covariance is chosen.

    Attributes
    ----------
    covariance_ : Covariance
        Its parameters.

    Raises
    ------
    ValueError
        In ``fit``, if there are more than 3,000 tasks or strategies: a `Regression` does the same on larger tables.

    Notes
    -----
    Coordinates of a task are shares of the training tasks below it, as in `NearestTasks`; a missing one is 1/2. Without
    descriptions all training tasks count alike and the ranking says ``fallback=True``.

    Rasmussen and Williams (2006), Gaussian processes for machine learning; Bonilla, Chai and Williams (2008),
    Multi-task Gaussian process prediction, NeurIPS, for products of covariances; see `metafit.learners.cell_process`
    for sizes.

    Examples
    --------
    >>> from metafit.scores import Scores
    >>> losses = pd.DataFrame({"few": [0.1, 0.2, 0.8, 0.9], "many": [0.8, 0.9, 0.1, 0.2]}, index=list("abcd"))
    >>> rows = pd.DataFrame({"n_rows": [10, 20, 1000, 2000]}, index=list("abcd"))
    >>> GaussianProcess().fit(Scores.from_matrix(losses), rows).rank({"n_rows": 1500}).strategies
    ('many', 'few')

    A strategy that nobody has tried:

    >>> depth = pd.DataFrame({"depth": [1, 2, 8, 9]}, index=["d1", "d2", "d8", "d9"])
    >>> losses = pd.DataFrame({"d1": [0.1, 0.2, 0.1], "d2": [0.2, 0.2, 0.1], "d9": [0.8, 0.9, 0.7]})
    >>> learner = GaussianProcess().fit(Scores.from_matrix(losses, strategies=depth))
    >>> learner.rank(candidates=["d9", "d8", "d2"]).strategies
    ('d2', 'd8', 'd9')
    """

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        attempted = np.flatnonzero(self.coverage_ > 0)
        if max(len(self.tasks_), len(attempted)) > MOST:
            size = f"{len(self.tasks_)} tasks x {len(attempted)} strategies"
            raise ValueError(f"{size}: a Gaussian process takes at most {MOST} of each; take a Regression")
        # by name, so that the order of tasks and strategies does not matter
        self._by_name = np.argsort(self.tasks_.to_numpy(), kind="stable")
        self._attempted = attempted[np.argsort(self.strategies_[attempted].to_numpy(), kind="stable")]
        self._features = MetaFeatures.of(descriptions, self.tasks_)
        about = scores.strategies.iloc[self._attempted]
        self._strategy_features = StrategyFeatures.of(about)
        known = np.empty((len(self.tasks_), 0)) if self._features is None else self._features.known
        self._process = CellProcess(
            self.regret_[np.ix_(self._by_name, self._attempted)],
            self._points(known[self._by_name]),
            np.empty((len(about), 0)) if self._strategy_features is None else self._strategy_features.rows(about),
            self.random_state,
        )
        self.covariance_ = self._process.covariance
        self._infer()

    def infers(self, observed: bool = False) -> bool:
        """Say whether strategies that were never attempted are ranked by their hyper-parameters."""
        return self._strategy_features is not None

    def _infer(self) -> None:
        self._new = np.flatnonzero(self.coverage_ == 0)
        if self._strategy_features is not None:
            self._new_points = self._strategy_features.rows(self._about.iloc[self._new])

    def _points(self, rows: FloatArray) -> FloatArray:
        """Give coordinates of tasks."""
        return rows if self._features is None else np.nan_to_num(self._features.shares(rows), nan=0.5)

    def expect(self, descriptions: pd.DataFrame) -> FloatArray:
        """Give the expected normalised regret of every strategy on many tasks, (n_tasks, n_strategies)."""
        if self._features is None:
            return np.clip(self._predicted(np.empty((len(descriptions), 0)))[0], 0.0, 1.0)
        rows = self._features.rows(descriptions)
        told = self._features.told(rows)
        return np.clip(self._predicted(np.where(told[:, None], self._points(rows), np.inf))[0], 0.0, 1.0)

    def _predicted(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give expected regrets and standard deviations; NaN for strategies of which nothing is known."""
        expected, std = np.full((2, len(points), len(self.strategies_)), np.nan)
        expected[:, self._attempted], std[:, self._attempted] = self._process.predict(points)
        if self.infers() and len(self._new):
            expected[:, self._new], std[:, self._new] = self._process.predict_columns(points, self._new_points)
        return expected, std

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        values = None if self._features is None else self._features.values(description)
        n_columns = 0 if self._features is None else len(self._features.columns)
        points = np.full((1, n_columns), np.inf) if values is None else self._points(values[None])
        expected, std = (figures[0] for figures in self._predicted(points))
        order = self._standing(expected, pool, min_coverage=0.0)
        expected = np.clip(expected, 0.0, 1.0)
        if values is None:
            reason = f"no description of this task: what did best on all {len(self.tasks_)} training tasks"
            return Advice(order, expected, std, (reason,), fallback=True)
        likeness = np.empty(len(self.tasks_))
        likeness[self._by_name] = self._process.likeness(points)[0]
        deciding = self._deciding(likeness / likeness.sum(), order)
        return Advice(order, expected, std, self._like_reasons(deciding, order), deciding)
