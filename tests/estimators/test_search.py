"""Which strategies are tried on a table, how far, in which order, and when the search ends."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from sklearn.model_selection import KFold

from metafit.engine.running import FoldResult, run_strategies
from metafit.estimators import MetaRegressor, folds, search
from metafit.estimators.held_out import HeldOut, Scoring
from metafit.estimators.knowledge import Advice
from metafit.estimators.plans import Planner
from metafit.estimators.ranker import Ranker
from metafit.estimators.search import EFFORTS, Search
from metafit.estimators.trials import clearly_worse
from metafit.knowledge import Knowledge
from metafit.learners import Ranking, Runtimes, SingleBest
from metafit.scores import Scores
from metafit.strategies.alphas import OfMax, PerRow
from metafit.strategies.strategy import Strategy
from metafit.tasks.task import Task

GOOD = [Strategy(loss="squared", alpha=PerRow(c)) for c in (1.0, 1.1, 1.2)]
BENT = [Strategy(loss="squared", alpha=PerRow(c)) for c in (1.0, 10.0, 20.0)]
NO_SKILL = [Strategy(loss="squared", penalty="l1", alpha=OfMax(r)) for r in (1.0, 0.999)]


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    return Task(X, X @ [3.0, 2.0, 1.0] + rng.normal(size=100), name="plane")


class Asked:
    """A learner that gives the orders it was told, one after the other, and remembers what it was asked."""

    def __init__(self, *orders, gains=None):
        self.orders = itertools.chain(orders, itertools.repeat(orders[-1]))
        self.gains = gains
        self.observed = []

    def rank(self, description=None, observed=None, candidates=None):
        self.observed.append(dict(observed))
        order = next(self.orders)
        gain = None if self.gains is None or not observed else np.array([self.gains[name] for name in order])
        return Ranking(tuple(order), np.zeros(len(order)), np.zeros(len(order)), gain=gain)


def searched(task, strategies, learner=None, scores=None, scoring=None, splits=None, **options):
    options = {"budget": len(strategies), "time_limit": None, "random_state": None, "n_threads": 1} | options
    options = {"effort": EFFORTS["full"]} | options
    named = {strategy.id: strategy for strategy in strategies}
    if learner is None:
        nothing = np.full(len(named), np.nan)
        advice = Advice(Ranking(tuple(named), nothing, nothing), list(named.values()))
    else:
        known = Knowledge(scores or Scores.from_matrix(pd.DataFrame({"a": [0.1]})))
        ranker = Ranker(learner, None, tuple(named), known)
        ranking = ranker.rank({})
        advice = Advice(ranking, [named[name] for name in ranking], ranker)
    scoring = Scoring(task, scoring)
    splits = list(KFold(4).split(task.matrix)) if splits is None else splits
    return Search(task, Planner(advice, scoring.metric), splits, scoring, **options).run()


class TestRace:
    def test_what_is_clearly_worse_on_the_first_fold_is_not_finished(self, task):
        trials = searched(task, [NO_SKILL[0], GOOD[0], NO_SKILL[1]])
        assert [trial.status for trial in trials.trials] == ["outclassed", "ok", "outclassed"]
        assert np.isfinite(trials.scores).sum(axis=1).tolist() == [1, 4, 1]
        found = trials.results()
        assert found["reason"][0] == "on the first fold clearly worse than squared l2 per_row(1)"
        assert np.isnan(found["mean_test_score"][[0, 2]]).all()
        assert trials.finished == [1]

    def test_what_it_scored_is_that_of_a_full_run(self, task):
        strategies = [NO_SKILL[0], *GOOD]
        found = searched(task, strategies).scores
        results = run_strategies(task, strategies, list(KFold(4).split(task.matrix)))
        full = -np.array([result.metrics["mean_squared_error"] for result in results]).reshape(4, 4)
        np.testing.assert_allclose(found[1:], full[1:], rtol=1e-12)
        np.testing.assert_allclose(found[0, 0], full[0, 0], rtol=1e-12)

    def test_what_is_about_as_good_is_finished(self, task):
        assert [trial.status for trial in searched(task, GOOD).trials] == ["ok"] * 3

    def test_few_groups_tell_nothing(self, task):
        grouped = Task(task.X, task.y, groups=np.arange(100) // 20)
        trials = searched(grouped, [NO_SKILL[0], GOOD[0]])
        assert [trial.status for trial in trials.trials] == ["ok", "ok"]

    def test_if_what_outclassed_them_fails_elsewhere_the_others_are_finished(self, task, monkeypatch):
        run = search.run_folds

        def failing(task, strategies, rows, options):
            for found in run(task, strategies, rows, options):
                if found.strategy == GOOD[0] and found.rows.test[0] > 0:
                    found = type(found)(found.strategy, found.rows, FoldResult(GOOD[0].id, 0, "failed", "no luck"))
                yield found

        monkeypatch.setattr(search, "run_folds", failing)
        trials = searched(task, [GOOD[0], NO_SKILL[0]])
        assert [trial.status for trial in trials.trials] == ["failed", "ok"]
        assert trials.trials[0].reason == "no luck"
        assert trials.best().strategy == NO_SKILL[0]

    def test_a_fold_on_which_nothing_works_decides_nothing(self):
        X, y = np.random.default_rng(0).normal(size=(90, 1)), np.repeat([1, 0], 45)
        splits = [(np.arange(45), np.arange(45, 90)), (np.arange(5, 85), np.r_[:5, 85:90])]
        strategies = [Strategy(loss="logistic", alpha=PerRow(c)) for c in (1.0, 10.0)]
        trials = searched(Task(X, y), strategies, splits=splits)
        assert np.isnan(trials.scores[:, 0]).all()
        assert np.isfinite(trials.means).all()

    def test_a_large_table_is_first_looked_at_by_a_sample(self, task, monkeypatch):
        monkeypatch.setattr(folds, "_LARGE", 50)
        monkeypatch.setattr(folds, "_SAMPLE", 40)
        trials = searched(task, [NO_SKILL[0], GOOD[0], GOOD[1]])
        assert trials.trials[0].reason.startswith("on a sample of the first fold clearly worse")
        assert not trials.trials[0].folds
        assert [trial.status for trial in trials.trials] == ["outclassed", "ok", "ok"]
        assert len(trials.trials[0].look.rows) == 25
        held_out = set(next(iter(KFold(4).split(task.matrix)))[1])
        assert set(trials.trials[0].look.rows) <= held_out


class TestClearlyWorse:
    @staticmethod
    def pair(task, rows, *shifts):
        model = object()
        result = FoldResult("", 0, "ok")
        made = []
        for shift in shifts:
            found = HeldOut(task, rows, result, model, -float(np.mean(shift**2)))
            found.__dict__["output"] = task.y[rows] + shift
            made.append(found)
        return made

    @pytest.mark.parametrize("n_errors", [1.0, 3.0])
    @pytest.mark.parametrize("seed", range(20))
    def test_rows_are_compared_as_in_a_paired_t_test(self, task, seed, n_errors):
        rng = np.random.default_rng(seed)
        rows = np.arange(60)
        good = rng.normal(size=60)
        bad = good + rng.normal(0.1 * (seed % 5), 0.5, 60)
        statistic = ttest_rel(bad**2, good**2).statistic
        worse, better = self.pair(task, rows, bad, good)
        assert clearly_worse(worse, better, n_errors) == (statistic > n_errors)

    def test_rows_of_a_group_are_one_unit(self, task):
        rng = np.random.default_rng(0)
        good, bad = rng.normal(size=(2, 20)).repeat(3, axis=1) * [[1.0], [2.5]]
        groups = np.r_[np.arange(20).repeat(3), np.full(40, 99)]
        apart, together = (Task(task.X, task.y, groups=g) for g in (None, groups))
        assert clearly_worse(*self.pair(apart, np.arange(60), bad, good), 3.0)
        one_a_group = ttest_rel(bad[::3] ** 2, good[::3] ** 2).statistic
        assert one_a_group < 3.0
        assert not clearly_worse(*self.pair(together, np.arange(60), bad, good), 3.0)


class TestRankAgain:
    def test_what_was_observed_decides_what_is_tried_next(self, task, monkeypatch):
        monkeypatch.setattr(search, "_ROUND", 1)
        one, two, three = (strategy.id for strategy in GOOD)
        learner = Asked([one, two, three], [one, three, two])
        trials = searched(task, GOOD, learner, budget=2)
        assert [trial.name for trial in trials.trials] == [one, three]
        assert trials.results()["round"].tolist() == [0, 1]
        losses = [result.loss for result in run_strategies(task, GOOD[:1], list(KFold(4).split(task.matrix)))]
        assert learner.observed[1] == pytest.approx({one: np.mean(losses)}, rel=1e-12)
        assert trials.reason == "the budget of 2 strategies is used up"

    def test_what_was_not_finished_is_observed_by_what_it_lost_to_the_best(self, task, monkeypatch):
        monkeypatch.setattr(search, "_ROUND", 2)
        strategies = [GOOD[0], NO_SKILL[0], GOOD[1]]
        names = [strategy.id for strategy in strategies]
        learner = Asked(names)
        searched(task, strategies, learner)
        results = run_strategies(task, strategies[:2], list(KFold(4).split(task.matrix)))
        good, bad = np.array([result.loss for result in results]).reshape(2, 4)
        expected = {names[0]: good.mean(), names[1]: good.mean() + bad[0] - good[0]}
        assert learner.observed[1] == pytest.approx(expected, rel=1e-12)

    def test_failures_are_observed_as_such(self, task, monkeypatch):
        monkeypatch.setattr(search, "_ROUND", 2)
        broken = Strategy(loss="squared", alpha=0.0, solver="proximal_newton", penalty="l1")
        strategies = [GOOD[0], broken, GOOD[1]]
        run = search.run_folds

        def failing(task, strategies, rows, options):
            for found in run(task, strategies, rows, options):
                if found.strategy == broken:
                    found = type(found)(found.strategy, found.rows, FoldResult(broken.id, 0, "failed", "broken"))
                yield found

        monkeypatch.setattr(search, "run_folds", failing)
        learner = Asked([strategy.id for strategy in strategies])
        trials = searched(task, strategies, learner)
        assert np.isnan(learner.observed[1][broken.id])
        assert trials.trials[1].reason == "on the first fold: broken"

    def test_the_search_ends_when_no_gain_is_to_be_expected(self, task, monkeypatch):
        monkeypatch.setattr(search, "_ROUND", 1)
        names = [strategy.id for strategy in GOOD]
        patient_but_fast = replace(EFFORTS["fast"], is_patient=True)
        for gain, effort, n_tried in (
            (0.0005, EFFORTS["full"], 1),
            (0.002, patient_but_fast, 1),
            (0.002, EFFORTS["full"], 3),
            (0.1, patient_but_fast, 3),
        ):
            learner = Asked(names, gains=dict.fromkeys(names, gain))
            trials = searched(task, GOOD, learner, effort=effort)
            assert len(trials) == n_tried
        assert trials.reason == "the budget of 3 strategies is used up"

    @pytest.mark.parametrize(("order", "n_tried"), [([0, 1, 2], 2), ([2, 1, 0], 3)])
    def test_without_patience_the_search_ends_with_the_first_round_that_is_no_better(
        self, task, monkeypatch, order, n_tried
    ):
        monkeypatch.setattr(search, "_ROUND", 1)
        strategies = [BENT[place] for place in order]  # the first is the best of them, the last the worst
        names = [strategy.id for strategy in strategies]
        learner = Asked(names, gains=dict.fromkeys(names, 1.0))
        assert len(searched(task, strategies, learner, effort=EFFORTS["full"])) == 3
        impatient = replace(EFFORTS["full"], is_patient=False)
        trials = searched(task, strategies, learner, effort=impatient)
        assert len(trials) == n_tried
        assert (trials.reason == "the last round brought nothing better") == (n_tried == 2)
        # who says how long it may take wants that time used
        assert len(searched(task, strategies, learner, effort=impatient, time_limit=60.0)) == 3

    def test_another_metric_is_observed_in_its_own_terms(self, task, monkeypatch):
        monkeypatch.setattr(search, "_ROUND", 1)
        learner = Asked([strategy.id for strategy in GOOD])
        searched(task, GOOD, learner, scoring="r2")
        results = run_strategies(task, GOOD[:1], list(KFold(4).split(task.matrix)))
        expected = np.mean([1 - result.metrics["r2_score"] for result in results])
        assert learner.observed[1][GOOD[0].id] == pytest.approx(expected, rel=1e-12)


class TestTime:
    def test_without_a_limit_clocks_do_not_matter(self, task, monkeypatch):
        X, y = task.X, task.y
        plain = MetaRegressor(None, budget=6, cv=3, random_state=0).fit(X, y).cv_results_
        ticks = itertools.count(0, 1000)
        monkeypatch.setattr(search.time, "monotonic", lambda: next(ticks))
        again = MetaRegressor(None, budget=6, cv=3, random_state=0).fit(X, y).cv_results_
        for key in set(plain) - {"mean_fit_time"}:
            np.testing.assert_array_equal(plain[key], again[key])

    def test_what_is_expected_to_take_too_long_is_not_tried(self, task):
        names = [strategy.id for strategy in GOOD]
        cells = pd.DataFrame({"task": ["t"] * 3, "strategy": names, "loss": 0.5, "seconds": [1e-4, 1e6, 1e-4]})
        trials = searched(task, GOOD, Asked(names), Scores(cells), time_limit=60.0)
        assert [trial.name for trial in trials.trials] == [names[0], names[2]]
        assert trials.reason == "no untried strategy is expected to fit in the time"

    def test_gains_are_weighed_by_what_they_cost(self, task):
        names = [strategy.id for strategy in GOOD]
        cells = pd.DataFrame({"task": ["t"] * 3, "strategy": names, "loss": 0.5, "seconds": [1e-4, 1e-2, 1e-4]})
        learner = Asked(names, gains=dict(zip(names, (0.0, 0.2, 0.1), strict=True)))
        trials = searched(task, GOOD, learner, Scores(cells), time_limit=60.0)
        assert [trial.name for trial in trials.trials] == [names[0], names[2], names[1]]
        assert [trial.round for trial in trials.trials] == [0, 1, 1]

    def test_time_used_up(self, task):
        trials = searched(task, GOOD, time_limit=1e-9)
        assert len(trials) == 1
        assert trials.reason == "the time is used up"


def test_costs_are_learned_once_for_equal_knowledge(monkeypatch):
    cells = pd.DataFrame({"task": list("ttuu"), "strategy": list("abab"), "loss": 0.5, "seconds": [1.0, 2.0, 3.0, 4.0]})
    fits = []
    learn = Runtimes.fit
    monkeypatch.setattr(Runtimes, "fit", lambda *given: fits.append(1) or learn(*given))
    expected = [
        Ranker(SingleBest(), None, ("a", "b"), Knowledge(Scores.from_frame(cells))).seconds({}) for _ in range(2)
    ]
    pd.testing.assert_series_equal(*expected)
    assert len(fits) == 1
    assert expected[0]["a"] < expected[0]["b"]
