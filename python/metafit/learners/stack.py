"""The mean of learners, or one that tasks left out show to be better; and none if they do not speak for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from metafit.learners.base import Advice, BaseLearner, Opinion
from metafit.learners.factors import Factorization
from metafit.learners.meta_features import MetaFeatures
from metafit.learners.pairwise import Pairwise
from metafit.learners.portfolio import Portfolio, members_first
from metafit.learners.regression import Regression
from metafit.learners.table import FloatArray, IntArray, greedy
from metafit.learners.validation import MEAN, gains, regret_left_out
from metafit.scores import Scores

PORTFOLIO = "portfolio"
# fewer families than this say too little of the error of a gain
LEAST_FAMILIES = 10


class Stack(BaseLearner):
    """Take the mean of learners unless one is clearly better, and fall back to the portfolio without good reason.

    Training tasks are left out in folds, whole families together. The learners, fitted on the other folds, say what
    regret they expect of each strategy; so does their mean. Each of these ways is judged by the regret of the strategy
    that it would have picked. The mean is taken unless the best learner is better by more than `n_errors` standard
    errors of the paired difference, over families: between learners that are about as good, the lowest figure is luck,
    while their errors average out. The way that is taken must be better than the single best strategy of the other
    folds by as many standard errors; else the ranking is that of a `Portfolio`, says ``fallback=True`` and why.

    The first of a ranking is the strategy of the lowest expected regret; what follows complements it on the tasks that
    the learners weigh (see `Portfolio`), up to `size`, then the rest by expected regret. Losses that were observed on
    the task are left to a `Factorization`.

    Parameters
    ----------
    learners : sequence of BaseLearner, optional
        By default a `Regression` of 200 trees and a `Pairwise` of 8 candidates and 10 trees a duel.
    n_folds : int
        At most, and at least 2.
    n_errors : float
        Standard errors by which a learner must be better than the mean, and a way than the fallback; by default those
        of a one-sided test at 5%.
    size, min_coverage : int, float
        See `Portfolio`.
    random_state : int
        Of the folds, and of the learners by default.

    Attributes
    ----------
    validation_ : DataFrame
        Index way: ``regret``, mean of its picks on tasks left out; ``gain``, what the single best has in excess of it;
        ``error``, the standard error of the gain; of more than one learner also ``gain_over_mean`` and
        ``error_over_mean``. Empty without descriptions, or with fewer than 10 families.
    chosen_ : str
        The way in use: a learner, "mean" or "portfolio".
    abstains_ : bool
        No way is supported.

    Notes
    -----
    Wolpert (1992), Stacked generalization, Neural Networks 5; Clemen (1989), Combining forecasts, Int. J. Forecast. 5,
    for plain means, which chosen or weighted ones seldom beat; Breiman, Friedman, Olshen and Stone (1984),
    Classification and regression trees, chapter 3, for the rule of standard errors.

    Examples
    --------
    >>> from metafit.testing import make_scores
    >>> scores, descriptions = make_scores(n_tasks=60, n_strategies=6)
    >>> stack = Stack().fit(scores, descriptions)
    >>> stack.abstains_
    False
    >>> told_nothing = Stack().fit(scores, descriptions[["idle"]])
    >>> told_nothing.chosen_, told_nothing.rank(descriptions.iloc[0]).fallback
    ('portfolio', True)
    """

    def __init__(
        self,
        learners: Sequence[BaseLearner] | None = None,
        n_folds: int = 3,
        n_errors: float = 1.645,
        size: int = 16,
        min_coverage: float = 0.8,
        random_state: int = 0,
    ) -> None:
        self.learners = learners
        self.n_folds = n_folds
        self.n_errors = n_errors
        self.size = size
        self.min_coverage = min_coverage
        self.random_state = random_state

    def _members(self) -> dict[str, BaseLearner]:
        """Give the learners by name, unfitted."""
        if self.learners is None:
            seed = self.random_state
            learners: Sequence[BaseLearner] = (
                # the stack picks what complements the first strategy, they need not
                Regression(n_trees=200, size=1, random_state=seed),
                Pairwise(n_candidates=8, n_trees=10, random_state=seed),
            )
        else:
            learners = self.learners
        names = [type(learner).__name__ for learner in learners]
        return {
            name if names.count(name) == 1 else f"{name} {place}": clone(learner)
            for place, (name, learner) in enumerate(zip(names, learners, strict=True))
        }

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        if self.n_folds < 2:
            raise ValueError(f"n_folds={self.n_folds!r}: at least 2")
        self._fallback = Portfolio(self.size, self.min_coverage).fit(scores, descriptions)
        self._prober = Factorization(size=self.size, min_coverage=self.min_coverage, random_state=self.random_state)
        self._prober.fit(scores, descriptions)
        members = self._members()
        self.validation_ = self._validated(members, scores, descriptions)
        self.chosen_ = self._choice()
        self.abstains_ = self.chosen_ == PORTFOLIO
        using = list(members) if self.chosen_ == MEAN else [name for name in members if name == self.chosen_]
        self._using = [members[name].fit(scores, descriptions) for name in using]
        self._infer()

    def infers(self, observed: bool = False) -> bool:
        """Say whether strategies that were never attempted are ranked: not after losses, which are the prober's."""
        return not observed and any(learner.infers() for learner in self._using)

    def _infer(self) -> None:
        n_known = len(self._fallback.strategies_)
        new = self._about.iloc[n_known:]
        if len(new):
            self._using = [learner._listing(new) if learner.infers() else learner for learner in self._using]
        if self.coverage_.all():
            return
        for learner in self._using:
            if learner.infers():
                self._table = learner._table

    def _validated(
        self, members: dict[str, BaseLearner], scores: Scores, descriptions: pd.DataFrame | None
    ) -> pd.DataFrame:
        families = scores.tasks["family"]
        if MetaFeatures.of(descriptions, self.tasks_) is None or families[self.tasks_].nunique() < LEAST_FAMILIES:
            return pd.DataFrame(columns=["regret", "gain", "error"], dtype=float)
        assert descriptions is not None
        regret = regret_left_out(
            members,
            scores,
            descriptions,
            n_folds=self.n_folds,
            min_coverage=self.min_coverage,
            random_state=self.random_state,
        )
        over_single = gains(regret, families)
        if MEAN not in regret:
            return over_single
        over_mean = gains(regret, families, MEAN)
        return over_single.assign(gain_over_mean=over_mean["gain"], error_over_mean=over_mean["error"])

    def _choice(self) -> str:
        if self.validation_.empty:
            return PORTFOLIO
        best = self._best()
        return str(best.name) if best["gain"] > self.n_errors * best["error"] else PORTFOLIO

    def _best(self) -> pd.Series[Any]:
        """Give the row of the mean, unless tasks left out show a learner to be better."""
        names = list(self.validation_.index)
        lowest = int(self.validation_["regret"].to_numpy().argmin())
        best = self.validation_.iloc[lowest]
        if MEAN not in names or best["gain_over_mean"] > self.n_errors * best["error_over_mean"]:
            return best
        return self.validation_.iloc[names.index(MEAN)]

    def _advise_observed(
        self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray, losses: FloatArray
    ) -> Advice:
        if len(tried):
            return self._prober._advise_observed(description, pool, tried, losses)
        parts = self._parts(description, pool)
        return self._together(parts, pool) if parts else self._abstain(pool)

    def _opinion(self, description: pd.Series[Any] | None, pool: IntArray) -> Opinion:
        parts = self._parts(description, pool)
        if not parts:
            advice = self._abstain(pool)
            return Opinion(advice.expected, advice.std, None, fallback=True)
        return _mean_of(parts)

    def _parts(self, description: pd.Series[Any] | None, pool: IntArray) -> list[Opinion]:
        """Ask the learners in use; who falls back has no say."""
        asked = (self._asked(learner, description, pool) for learner in self._using)
        return [part for part in asked if not part.fallback]

    def _asked(self, learner: BaseLearner, description: pd.Series[Any] | None, pool: IntArray) -> Opinion:
        """Ask one learner, who may not have heard of the last strategies."""
        n_known = len(learner.strategies_)
        opinion = learner._opinion(description, pool[pool < n_known])
        nothing = np.full(len(self.strategies_) - n_known, np.nan)
        return replace(opinion, expected=np.append(opinion.expected, nothing), std=np.append(opinion.std, nothing))

    def _abstain(self, pool: IntArray) -> Advice:
        known = pool < len(self._fallback.strategies_)
        advice = self._fallback._advise(None, pool[known], np.empty(0, dtype=np.intp))
        nothing = np.full(len(self.strategies_) - len(advice.expected), np.nan)
        return replace(
            advice,
            order=np.append(advice.order, pool[~known]),
            expected=np.append(advice.expected, nothing),
            std=np.append(advice.std, nothing),
            reasons=(self._why(), *advice.reasons),
            fallback=True,
        )

    def _why(self) -> str:
        """Say why the ranking is that of the portfolio."""
        if not self.abstains_:
            return "the portfolio, for want of a description of this task"
        if self.validation_.empty:
            return "the portfolio: too few families of described training tasks to learn from descriptions"
        best = self._best()
        return (
            f"the portfolio: on tasks left out the best learner, {best.name}, gains "
            f"{best['gain']:.3f} +- {best['error']:.3f} over the single best, too little to be relied on"
        )

    def _together(self, parts: list[Opinion], pool: IntArray) -> Advice:
        mean = _mean_of(parts)
        standing = self._standing(mean.expected, pool, self.min_coverage)
        n_tasks = len(self.tasks_)
        weights = np.full(n_tasks, 1 / n_tasks) if mean.weights is None else mean.weights
        order = self._complemented(standing, weights)
        if mean.weights is None:
            return Advice(order, mean.expected, mean.std, (self._supported(),))
        deciding = self._deciding(weights, standing)
        reasons = (
            self._supported(),
            *self._like_reasons(deciding, standing),
            *self._what_if(parts, standing, deciding),
        )
        return Advice(order, mean.expected, mean.std, reasons, deciding)

    def _complemented(self, standing: IntArray, weights: FloatArray) -> IntArray:
        """Let strategies that complement the first follow it, then the others."""
        picks, _ = greedy(
            self._table,
            self.size - 1,
            columns=standing[1:],
            weights=weights,
            reached=self._table.reached(standing[:1]),
            min_coverage=self.min_coverage,
        )
        return members_first([*standing[:1].tolist(), *picks], standing)

    def _what_if(self, parts: list[Opinion], standing: IntArray, deciding: pd.DataFrame) -> tuple[str, ...]:
        """Say what would stand first without the tasks that are named, where learners weigh tasks."""
        named = self._named(deciding)
        if not len(standing) or not any(part.is_mean for part in parts) or len(deciding) <= len(named):
            return ()
        expected = [
            self._without(part.weights, named) if part.is_mean and part.weights is not None else part.expected
            for part in parts
        ]
        instead = self._standing(_mean_of_known(np.array(expected)), standing, self.min_coverage)[0]
        return (self._counterfactual(standing[0], instead, len(named)),)

    def _supported(self) -> str:
        best = self._best()
        what = f"the mean of {len(self._using)} learners" if self.chosen_ == MEAN else self.chosen_
        return (
            f"from {what}, which on tasks left out gains {best['gain']:.3f} +- {best['error']:.3f} over the single best"
        )


def _mean_of(parts: list[Opinion]) -> Opinion:
    """Give the mean of opinions; what they disagree by adds to the spread."""
    rows = np.array([part.expected for part in parts])
    expected = _mean_of_known(rows)
    spread = np.array([part.std**2 for part in parts]) + (rows - expected) ** 2
    weights = [part.weights / part.weights.sum() for part in parts if part.weights is not None]
    pooled = np.mean(weights, axis=0) if weights else None
    return Opinion(expected, np.sqrt(_mean_of_known(spread)), pooled, fallback=False)


def _mean_of_known(rows: FloatArray) -> FloatArray:
    """Give the mean of each column over the rows that know it; NaN where none does."""
    known = ~np.isnan(rows)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, rows, 0.0).sum(axis=0) / known.sum(axis=0))
