"""What a learner has to beat: the plain default, and chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from metafit.learners.base import Advice, BaseLearner
from metafit.learners.table import IntArray
from metafit.scores import Scores


class Default(BaseLearner):
    """Always the same order, whatever was measured: what one does without metafit.

    Parameters
    ----------
    order : sequence of str, optional
        Strategy ids, best first; those not named follow. By default the order of ``scores.strategies``, whose
        first is the plain default.
    """

    learns = False

    def __init__(self, order: Sequence[str] | None = None) -> None:
        self.order = order

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        named = self.strategies_.get_indexer(pd.Index(list(self.order or ()), dtype="str"))
        if (named < 0).any():
            unknown = np.asarray(self.order)[named < 0]
            raise ValueError(f"order names strategies that are not in the scores: {list(unknown)}")
        self.order_ = np.concatenate([named, np.setdiff1d(np.arange(len(self.strategies_)), named)])

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        order = self.order_[np.isin(self.order_, pool)]
        return Advice(order, self.mean_regret_, self.std_regret_, ("the default order, whatever the task",))


class Random(BaseLearner):
    """A random order. `metafit.evaluate` scores its exact expectation over all orders, not one draw.

    Parameters
    ----------
    random_state : int
    """

    learns = False

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        self.order_ = np.random.default_rng(self.random_state).permutation(len(self.strategies_))

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        order = self.order_[np.isin(self.order_, pool)]
        return Advice(order, self.mean_regret_, self.std_regret_, ("a random order",))
