"""Registered means tested: every learner of the registry passes every check, and the checks can fail."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from metafit.learners import (
    REGISTRY,
    BaseLearner,
    Learner,
    NearestTasks,
    Ranking,
    Regression,
    SingleBest,
    Stack,
    default,
)
from metafit.testing import check_learner, learner_checks, make_scores


@pytest.mark.parametrize("check", learner_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", REGISTRY)
def test_registered_learners_conform(name, check):
    check(small(REGISTRY[name]()))


def small(learner):
    """With few trees: the checks are about what a learner does, not about how well."""
    if isinstance(learner, Stack):
        return learner.set_params(learners=[Regression(n_trees=5), NearestTasks()], n_folds=2)
    return learner.set_params(n_trees=5) if "n_trees" in learner.get_params() else learner


@pytest.mark.parametrize("name", REGISTRY)
def test_an_opinion_is_that_of_the_advice(name):
    scores, about = make_scores(40, 8, holes=0.1, random_state=2)
    learner = small(REGISTRY[name]()).fit(scores, about)
    pool, nothing = np.arange(8), np.empty(0, dtype=int)
    for description in (about.iloc[0], None):
        opinion = learner._opinion(description, pool)
        advice = learner._advise_observed(description, pool, nothing, np.empty(0))
        np.testing.assert_allclose(opinion.expected, advice.expected)
        np.testing.assert_allclose(opinion.std, advice.std)
        assert opinion.fallback == advice.fallback


def test_the_default_is_registered():
    assert type(default()) in REGISTRY.values()
    assert isinstance(default(), Learner)


class Upside(SingleBest):
    """Worst first."""

    def _advise(self, description, pool, tried):
        advice = super()._advise(description, pool, tried)
        return type(advice)(advice.order[::-1], advice.expected, advice.std)


class Forgetful(SingleBest):
    def rank(self, description=None, observed=None, candidates=None):
        return super().rank(description, None, candidates)


class Writer(SingleBest):
    def fit(self, scores, descriptions=None):
        scores.cells["loss"] = 0.5
        return super().fit(scores, descriptions)


class Partial(SingleBest):
    def rank(self, description=None, observed=None, candidates=None):
        full = super().rank(description, observed, candidates)
        return Ranking(full.strategies[:-1], full.expected_loss[:-1], full.std[:-1])


class Moody(SingleBest):
    _rng = np.random.default_rng(0)

    def _advise(self, description, pool, tried):
        advice = super()._advise(description, pool, tried)
        return type(advice)(self._rng.permutation(advice.order), advice.expected, advice.std)


class Filler(SingleBest):
    """Puts a guess where nothing was measured."""

    def fit(self, scores, descriptions=None):
        super().fit(scores, descriptions)
        self.regret_ = np.nan_to_num(self.regret_, nan=0.5)
        return self


class Elephant(SingleBest):
    """Remembers the guests of an earlier table."""

    _met: ClassVar[set[str]] = set()

    def fit(self, scores, descriptions=None):
        super().fit(scores, descriptions)
        self._met.update(self.tasks_)
        self.mean_regret_ = self.mean_regret_ + 1e-12 * len(self._met - set(self.tasks_))
        self.criterion_ = self.mean_regret_
        Elephant._met = Elephant._met | {f"fit {len(Elephant._met)}"}
        return self


@pytest.mark.parametrize("broken", [Upside, Forgetful, Writer, Partial, Moody, Filler, Elephant])
def test_broken_learners_are_caught(broken):
    with pytest.raises(AssertionError):
        check_learner(broken())


def test_a_learner_need_not_be_ours():
    class Plain:
        """Duck-typed: no base class, no parameters."""

        def fit(self, scores, descriptions=None):
            self._inner = SingleBest().fit(scores, descriptions)
            return self

        def rank(self, description=None, observed=None, candidates=None):
            return self._inner.rank(description, observed, candidates)

    for check in learner_checks():
        if check.__name__ != "check_pickles":  # a local class does not pickle
            check(Plain())
    assert not isinstance(Plain(), BaseLearner)
