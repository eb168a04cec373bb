"""Cold start by probing: what was observed on the new task says how the untried strategies would do there."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from metafit.learners.base import Advice, BaseLearner
from metafit.learners.belief import Belief, Levels
from metafit.learners.factor_model import CANDIDATES, FactorModel
from metafit.learners.leaf_weights import LeafWeights, competing
from metafit.learners.meta_features import MetaFeatures
from metafit.learners.portfolio import members_first
from metafit.learners.table import FloatArray, IntArray, greedy
from metafit.learners.task_mixture import TaskMixture
from metafit.scores import Scores


class Factorization(BaseLearner):
    """Rank by a low-rank probabilistic factorisation of the regrets, updated by what was observed on the task.

    The square roots of the regrets (near zero, where choices are made, differences count most) of a new task are those
    of one of the training tasks plus a deviation, N(0, S): S = L L' + noise I has few factors, fitted to the cells
    there are. Which training task is told beforehand by the leaves of a forest from the description to the factors,
    and L L' is fitted to what these weights leave unexplained for tasks out of the bag. Each observed loss then updates
    weights and deviations exactly. To turn it into a regret one must know the best loss of the task: it is averaged
    over those of the training tasks by how likely they make what was observed.

    With nothing observed, the first `size` strategies are a greedy portfolio under the weights (see `Portfolio`), the
    rest follow by expected regret. Once something is, the untried follow by their expected improvement over the best
    observed: observe the first of them and rank again.

    Parameters
    ----------
    n_factors : int or "auto"
        By default that of 1, 2, 4, ..., 32 under which training tasks left out are the most likely. The scale of S
        is chosen so, too.
    share : float
        Share of the variance between tasks that is in the deviation; 1 is the plain Gaussian factor model.
    n_trees, min_tasks : int
        Of the forest, and training tasks that a leaf holds at least.
    size : int
        Number of complementary strategies at the head of the ranking, if nothing is observed.
    min_coverage : float
        See `Portfolio`.
    random_state : int

    Attributes
    ----------
    model_ : FactorModel
        Of the deviations.
    explained_ : float
        Share of the variance of the factors that descriptions explain out of the bag. If it is not above 0
        descriptions are not used, and rankings without observations say ``fallback=True``.

    Notes
    -----
    Fusi, Sheth and Elibol (2018), Probabilistic matrix factorization for automated machine learning, NeurIPS; Yang,
    Akimoto, Kim and Udell (2019), OBOE: collaborative filtering for AutoML model selection, KDD. Mockus (1975) for the
    expected improvement.

    Examples
    --------
    >>> from metafit.scores import Scores
    >>> losses = pd.DataFrame({"trees": [0.1, 0.2, 0.9, 0.8], "boosting": [0.2, 0.1, 0.8, 0.9],
    ...                        "ridge": [0.8, 0.9, 0.2, 0.2], "lasso": [0.9, 0.9, 0.1, 0.2]}, index=list("abcd"))
    >>> learner = Factorization().fit(Scores.from_matrix(losses))
    >>> learner.rank(observed={"trees": 0.85}).strategies[1] in ("ridge", "lasso")
    True
    >>> learner.rank(observed={"trees": 0.15}).strategies[1]
    'boosting'
    """

    def __init__(
        self,
        n_factors: int | Literal["auto"] = "auto",
        share: float = 0.5,
        n_trees: int = 100,
        min_tasks: int = 3,
        size: int = 16,
        min_coverage: float = 0.8,
        random_state: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.share = share
        self.n_trees = n_trees
        self.min_tasks = min_tasks
        self.size = size
        self.min_coverage = min_coverage
        self.random_state = random_state

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share!r}: above 0 and at most 1")
        # bootstrap draws and folds go by name, so that the order of the tasks does not matter
        self._by_name = np.argsort(self.tasks_.to_numpy(), kind="stable")
        roots = np.sqrt(self.regret_[self._by_name])
        self._undescribed = self.model_ = self._fitted(roots)
        self._rows = self.model_.fill(roots)
        self._levels = Levels.of(np.asarray(scores.best()[self.tasks_], dtype=float))
        self._features = MetaFeatures.of(descriptions, self.tasks_)
        self.explained_ = 0.0
        if self._features is not None and self.model_.loadings.size:
            self._describe(self._features.complete(self._features.known)[self._by_name], roots)

    def _describe(self, known: FloatArray, roots: FloatArray) -> None:
        """Let the leaves of a forest weigh tasks, if tasks out of the bag say that this tells something."""
        axes = np.linalg.svd(self.model_.loadings, full_matrices=False)[0]
        factors = (self._rows - self.model_.mean) @ axes
        self._like = LeafWeights(
            known,
            factors,
            n_trees=self.n_trees,
            min_rows=self.min_tasks,
            max_features=competing(known.shape[1]),
            bootstrap=True,
            random_state=self.random_state,
        )
        unseen = self._like.out_of_bag()
        total = ((factors - factors.mean(axis=0)) ** 2).sum()
        left = ((factors - unseen @ factors) ** 2).sum()
        self.explained_ = float(1 - left / total) if total > 0 else 0.0
        if self.explained_ > 0:
            self.model_ = self._fitted(roots - unseen @ self._rows)

    def _fitted(self, roots: FloatArray) -> FactorModel:
        return FactorModel.chosen(roots, CANDIDATES if self.n_factors == "auto" else (self.n_factors,))

    def _advise_observed(
        self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray, losses: FloatArray
    ) -> Advice:
        weights, model = self._weights(description), self.model_
        told = weights is not None
        if weights is None:
            weights, model = np.full(len(self._rows), 1 / len(self._rows)), self._undescribed
        mixture = TaskMixture.around(self._rows, weights, model, self.share)
        belief = Belief.after(mixture, self._levels, tried, losses)
        expected, std = (np.where(self.coverage_ > 0, figure, np.nan) for figure in belief.regret())
        standing = self._standing(expected, pool, self.min_coverage)
        gain = None
        if len(tried):
            gain = np.where(self.coverage_ < self.min_coverage * self.coverage_.max(), 0.0, belief.improvement())
            order = standing[np.argsort(-gain[standing], kind="stable")]
        else:
            order = members_first(self._portfolio(weights, standing), standing)
        fallback = not told and not len(tried)
        deciding: pd.DataFrame | None = None
        like: tuple[str, ...] = ()
        if not fallback and self.share < 1:
            deciding = self._deciding(self._by_task(belief.of_origins()), standing)
            like = self._like_reasons(deciding, standing)
        reasons = (*self._reasons(told, belief, len(tried)), *like)
        return Advice(order, expected, std, reasons, deciding, fallback, gain)

    def _weights(self, description: pd.Series[Any] | None) -> FloatArray | None:
        if self._features is None or self.explained_ <= 0:
            return None
        values = self._features.values(description)
        return None if values is None else self._like.of(self._features.complete(values[None]))[0]

    def _portfolio(self, weights: FloatArray, standing: IntArray) -> list[int]:
        by_task = self._by_task(weights)
        picks, _ = greedy(self._table, self.size, columns=standing, weights=by_task, min_coverage=self.min_coverage)
        return picks

    def _by_task(self, weights: FloatArray) -> FloatArray:
        """Take weights in the order of names back to that of the tasks."""
        by_task = np.empty_like(weights)
        by_task[self._by_name] = weights
        return by_task

    def _reasons(self, told: bool, belief: Belief, n_seen: int) -> tuple[str, ...]:
        """Say what the ranking rests on."""
        described = f"descriptions, which explain {self.explained_:.0%} of what tasks differ in"
        begun = described if told else f"all {len(self.tasks_)} training tasks alike, for want of a description"
        if not n_seen:
            return (f"from {begun}",)
        reached = float(belief.weights @ belief.reached)
        return (f"{n_seen} observed, the best with a regret of about {reached:.3f}", f"beforehand from {begun}")
