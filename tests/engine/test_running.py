"""Strategies on folds: against scikit-learn, without leaks, with failures kept apart."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Lasso, LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import brier_score_loss, log_loss, mean_squared_error, roc_auc_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from metafit.engine.batches import Job, Options, solve_jobs
from metafit.engine.cells import Split
from metafit.engine.rows import FoldRows
from metafit.engine.running import run_strategies
from metafit.strategies import Strategy, default_strategies
from metafit.strategies.alphas import CV, OfMax, PerRow
from metafit.strategies.features import Columns, FeatureRule, TopK
from metafit.strategies.penalties import L1, L2, ElasticNet
from metafit.strategies.transforms import OnContinuous
from metafit.tasks.task import Task

TIGHT = {"tol": 0.0}
SPLINE = OnContinuous(SplineTransformer(n_knots=4, include_bias=False))


def make_task(kind="regression", n=90, seed=0, **options):
    """Numbers with holes, a category of three levels, one of two."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 3)) * [1, 100, 0.1] + [0, 5, 0], columns=["a", "b", "c"])
    frame = frame.mask(rng.random(frame.shape) < 0.05)
    frame["town"] = rng.choice(["x", "y", "z"], n)
    frame["sex"] = rng.choice(["f", "m"], n)
    eta = frame["a"].fillna(0) + (frame["town"] == "y") + 0.3 * (frame["sex"] == "m") + rng.normal(size=n)
    y = eta.to_numpy() if kind == "regression" else np.where(eta > 0.5, "yes", "no")
    return Task(frame, y, kind=kind, **options)


def scaled_pipeline(model):
    return make_pipeline(SimpleImputer(), StandardScaler(), model)


def by_strategy(results):
    return {(r.strategy_id, r.fold): r for r in results}


@pytest.mark.parametrize("seed", range(2))
def test_ridge_and_lasso_equal_scikit_learn(seed):
    task = make_task(seed=seed)
    ridge = Strategy(loss="squared", alpha=PerRow(3.0))
    lasso = Strategy(loss="squared", penalty=L1(), alpha=OfMax(0.2))
    splits = task.splits(4, random_state=seed)
    found = by_strategy(run_strategies(task, [ridge, lasso], splits, **TIGHT))
    for fold, (train, test) in enumerate(splits):
        X, y = task.matrix, task.y
        model = scaled_pipeline(Ridge(3.0)).fit(X[train], y[train])
        expected = mean_squared_error(y[test], model.predict(X[test]))
        assert found[ridge.id, fold].metrics["mean_squared_error"] == pytest.approx(expected, rel=1e-9)
        Z = model[:-1].transform(X[train])
        alpha = 0.2 * np.abs(Z.T @ (y[train] - y[train].mean())).max() / len(train)
        model = scaled_pipeline(Lasso(alpha, tol=1e-12, max_iter=100_000)).fit(X[train], y[train])
        expected = mean_squared_error(y[test], model.predict(X[test]))
        assert found[lasso.id, fold].metrics["mean_squared_error"] == pytest.approx(expected, rel=1e-8)
        # alpha is in units of a target of unit variance
        assert found[lasso.id, fold].n_columns_used == np.count_nonzero(model[-1].coef_)


def test_logistic_equals_scikit_learn_and_loss_is_relative():
    task = make_task("classification", n=200)
    strategy = Strategy(loss="logistic", alpha=PerRow(2.0))
    splits = task.splits(3)
    for result, (train, test) in zip(run_strategies(task, [strategy], splits, **TIGHT), splits, strict=True):
        X, y = task.matrix, task.y
        model = scaled_pipeline(LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000)).fit(X[train], y[train])
        proba = model.predict_proba(X[test])
        metrics = result.metrics
        assert metrics["log_loss"] == pytest.approx(log_loss(y[test], proba), rel=1e-7)
        assert metrics["brier_score_loss"] == pytest.approx(brier_score_loss(y[test], proba[:, 1]), rel=1e-7)
        assert metrics["roc_auc_score"] == pytest.approx(roc_auc_score(y[test], proba[:, 1]))
        assert metrics["accuracy_score"] == pytest.approx(np.mean(proba.argmax(1) == y[test]))
        share = np.tile(np.bincount(y[train]) / len(train), (len(test), 1))
        assert result.loss == pytest.approx(log_loss(y[test], proba) / log_loss(y[test], share), rel=1e-7)
        assert result.alpha == 2.0 / len(train)
        assert result.n_features == 5


def test_weights_count_everywhere():
    rng = np.random.default_rng(5)
    weights = rng.uniform(0.1, 3, 90)
    task = make_task(sample_weight=weights)
    (train, test), *_ = task.splits(3)
    strategies = [Strategy(loss="squared", alpha=PerRow(1.0)), Strategy.from_estimator(Ridge(1.0))]
    native, wrapped = run_strategies(task, strategies, [(train, test)], **TIGHT)
    y, v = task.y, weights
    baseline = np.average((y[test] - np.average(y[train], weights=v[train])) ** 2, weights=v[test])
    for result in (native, wrapped):
        assert result.loss == pytest.approx(result.metrics["mean_squared_error"] / baseline, rel=1e-12)
    assert native.alpha == pytest.approx(1 / v[train].sum(), rel=1e-12)
    rows = FoldRows(task, train, test)
    X = np.where(np.isnan(task.matrix), rows.means, task.matrix)
    error = (y[test] - Ridge(1.0).fit(X[train], y[train], v[train]).predict(X[test])) ** 2
    expected = np.average(error, weights=v[test])
    assert wrapped.metrics["mean_squared_error"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("transform", [SPLINE, Nystroem(n_components=20, random_state=0)])
def test_transforms_equal_a_scikit_learn_pipeline(transform):
    task = make_task(n=120)
    strategy = Strategy(loss="squared", transform=transform, alpha=PerRow(2.0))
    splits = task.splits(3)
    for result, (train, test) in zip(run_strategies(task, [strategy], splits, **TIGHT), splits, strict=True):
        model = make_pipeline(SimpleImputer(), StandardScaler(), transform, StandardScaler(), Ridge(2.0))
        model.fit(task.matrix[train], task.y[train])
        expected = mean_squared_error(task.y[test], model.predict(task.matrix[test]))
        assert result.metrics["mean_squared_error"] == pytest.approx(expected, rel=1e-7)


def test_features_are_chosen_before_the_transform():
    task = make_task(n=120)
    picked = ["a", "town"]
    strategy = Strategy(loss="squared", transform=SPLINE, features=Columns(picked))
    alone = Task(task.X[picked], task.y)
    (train, test), *_ = task.splits(3)
    (result,) = run_strategies(task, [strategy], [(train, test)])
    (expected,) = run_strategies(alone, [Strategy(loss="squared", transform=SPLINE)], [(train, test)])
    assert result.metrics == pytest.approx(expected.metrics, rel=1e-9)
    assert result.n_features == 2


def all_kinds(kind):
    loss = {"regression": "squared", "classification": "logistic"}[kind]
    return [
        Strategy(loss=loss),
        Strategy(loss=loss, penalty=L1(), alpha=OfMax(0.1), features=TopK(2)),
        Strategy(loss=loss, penalty=ElasticNet(0.5), alpha=CV(n_alphas=4), standardize=False),
        Strategy(loss=loss, alpha=CV(n_alphas=4), features=TopK(2)),
        Strategy(loss=loss, transform=SPLINE, features=TopK(3), alpha=PerRow(5)),
        Strategy(loss=loss, transform=Nystroem(n_components=15), alpha=CV(n_alphas=3)),
    ]


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_held_out_rows_influence_nothing(kind):
    """Held-out rows times 1e6: everything learned is bitwise the same."""
    clean = make_task(kind)
    train, test = clean.splits(3)[0]
    frame, y = clean.X.copy(), clean.y.copy()
    numbers = ["a", "b", "c"]
    frame.loc[test, numbers] = (frame.loc[test, numbers].fillna(1.0) + 1) * 1e6
    y[test] = y[test] * 1e6 if kind == "regression" else 1 - y[test]
    dirty = Task(frame, y, kind=kind)
    learned = []
    for task in (clean, dirty):
        rows = FoldRows(task, train, test)
        jobs = [Job(strategy, rows) for strategy in all_kinds(kind)]
        learned.append((rows, jobs, solve_jobs(task, jobs, Options())))
    for (rows, jobs, solved), (other_rows, _, others) in [learned]:
        np.testing.assert_array_equal(rows.means, other_rows.means)
        np.testing.assert_array_equal(rows.scales, other_rows.scales)
        for job, mine, theirs in zip(jobs, solved, others, strict=True):
            assert mine.reason == theirs.reason == ""
            for name in ("coef", "intercept", "alphas", "gap", "objective"):
                np.testing.assert_array_equal(getattr(mine.result, name), getattr(theirs.result, name))
            rule = job.strategy.features
            np.testing.assert_array_equal(rows.choose(rule), other_rows.choose(rule))
            if mine.preparation is not None:
                X = rows.matrix
                np.testing.assert_array_equal(mine.preparation.apply(X), theirs.preparation.apply(X))


def without_seconds(result):
    return {k: v for k, v in vars(result).items() if k not in ("seconds", "fold")}


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_results_depend_on_no_neighbour_and_no_thread(kind):
    task, strategies = make_task(kind), all_kinds(kind)
    splits = task.splits(3)
    together = by_strategy(run_strategies(task, strategies, splits, n_threads=2))
    threads = by_strategy(run_strategies(task, strategies[::-1], splits, n_threads=1))
    for strategy in strategies:
        for fold, split in enumerate(splits):
            (alone,) = run_strategies(task, [strategy], [split], n_threads=3)
            expected = repr(without_seconds(alone))
            assert repr(without_seconds(together[strategy.id, fold])) == expected
            assert repr(without_seconds(threads[strategy.id, fold])) == expected


def test_results_come_strategy_by_strategy_then_fold_by_fold():
    task, strategies = make_task(), all_kinds("regression")
    strategies.insert(1, Strategy.from_estimator(Ridge()))
    strategies.insert(3, Strategy(loss="logistic"))
    results = run_strategies(task, strategies, [Split(*split) for split in task.splits(3)])
    assert [(r.strategy_id, r.fold) for r in results] == [(s.id, f) for s in strategies for f in range(3)]


def test_cv_takes_the_best_mean_of_inner_folds():
    task = make_task(n=150)
    alpha = CV(n_alphas=5, folds=3)
    strategy = Strategy(loss="squared", penalty=L1(), alpha=alpha)
    train, test = task.splits(3)[0]
    (result,) = run_strategies(task, [strategy], [(train, test)])
    rows = FoldRows(task, train, test)
    paths = [Strategy(loss="squared", penalty=L1(), alpha=OfMax(r)) for r in alpha.ratios(1.0)]
    inner = [(fold.train, fold.test) for fold in rows.inner(3, 0)]
    losses = [r.metrics["mean_squared_error"] for r in run_strategies(task, paths, inner)]
    best = paths[int(np.argmin(np.reshape(losses, (5, 3)).mean(axis=1)))]
    (expected,) = run_strategies(task, [best], [(train, test)])
    assert result.alpha == expected.alpha
    assert result.metrics == expected.metrics
    assert result.seconds > expected.seconds * 0


def test_cv_chooses_features_inside_the_inner_folds():
    """On noise, a rule that had seen the inner held-out rows would find skill that is not there."""
    rng = np.random.default_rng(0)
    task = Task(rng.normal(size=(60, 400)), rng.normal(size=60))
    strategy = Strategy(loss="squared", features=TopK(5), penalty=L1(), alpha=CV())
    (result,) = run_strategies(task, [strategy], task.splits(3)[:1])
    assert result.n_columns_used <= 1


def test_inner_folds_keep_groups_together_and_balance_the_target():
    groups = np.repeat(np.arange(30), 3)
    task = make_task(groups=groups)
    rows = FoldRows(task, np.arange(75), np.arange(75, 90))
    inner = rows.inner(4, 0)
    assert sorted(np.concatenate([fold.test for fold in inner]).tolist()) == list(range(75))
    for fold in inner:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert set(fold.train) | set(fold.test) == set(range(75))
    labels = make_task("classification", n=91)
    inner = FoldRows(labels, np.arange(91), np.arange(0)).inner(5, 1)
    counts = [np.bincount(labels.y[fold.test], minlength=2) for fold in inner]
    assert np.ptp(counts, axis=0).max() <= 1


def test_fewer_groups_than_inner_folds():
    task = make_task(groups=np.repeat([0, 1, 2], 30))
    strategy = Strategy(loss="squared", alpha=CV(folds=5))
    results = run_strategies(task, [strategy], [(np.arange(60), np.arange(60, 90)), (np.arange(30), np.arange(30, 90))])
    assert [r.status for r in results] == ["ok", "failed"]
    assert results[1].reason == "alpha could not be chosen: no inner fold has both sides"


def test_a_training_fold_with_one_class():
    task = make_task("classification")
    order = np.argsort(task.y, kind="stable")
    strategies = [Strategy(loss="logistic"), Strategy.from_estimator(LogisticRegression())]
    results = run_strategies(task, strategies, [(order[:20], order[20:]), (order[::2], order[1::2])])
    assert [r.status for r in results] == ["failed", "ok", "failed", "ok"]
    assert results[0].reason == results[2].reason == "no training row is of class yes"
    assert results[0].metrics == {}
    assert math.isnan(results[0].loss)


class Broken(RegressorMixin, BaseEstimator):
    """Fails while fitting, in a way that is asked for."""

    def __init__(self, error=ArithmeticError):
        self.error = error

    def fit(self, X, y):
        raise self.error("no luck")


class BrokenTransform(TransformerMixin, BaseEstimator):
    """Returns what cannot be used."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.full((len(X), 1), np.nan)


@dataclass(frozen=True)
class Picky(FeatureRule):
    """A rule of a user, with a mistake."""

    name: ClassVar[str] = "picky"

    def pick(self, rows):
        raise LookupError("nothing here")


def test_failures_stay_where_they_are():
    task = make_task()
    good = Strategy(loss="squared")
    strategies = [
        good,
        Strategy.from_estimator(Broken()),
        Strategy(loss="squared", transform=BrokenTransform()),
        good,
        Strategy(loss="squared", transform=SPLINE),
    ]
    picky = Strategy(loss="squared", features=Picky())
    results = run_strategies(task, [*strategies, picky], task.splits(2))
    assert [r.status for r in results[::2]] == ["ok", "failed", "failed", "ok", "ok", "failed"]
    assert results[2].reason == "ArithmeticError: no luck"
    assert results[4].reason == "ValueError: BrokenTransform made values that are not finite"
    assert results[10].reason == "LookupError: nothing here"
    assert repr(without_seconds(results[0])) == repr(without_seconds(results[6]))


def test_a_cell_that_the_engine_refuses_fails_alone():
    task = make_task()
    good, bad = Strategy(loss="squared"), Strategy(loss="squared", alpha=PerRow(2))
    object.__setattr__(bad, "alpha", -1.0)
    results = run_strategies(task, [good, bad], task.splits(2)[:1])
    assert [r.status for r in results] == ["ok", "failed"]
    assert "alpha" in results[1].reason


def test_keyboard_interrupt_passes():
    with pytest.raises(KeyboardInterrupt):
        run_strategies(make_task(), [Strategy.from_estimator(Broken(KeyboardInterrupt))], [([0, 1], [2])])


def test_what_does_not_converge_says_so():
    task = make_task("classification")
    strategies = [
        Strategy(loss="logistic", alpha=PerRow(0.1)),
        Strategy.from_estimator(SGDClassifier(loss="log_loss", max_iter=1, tol=1e-12)),
    ]
    native, wrapped = run_strategies(task, strategies, task.splits(2)[:1], max_iter=1, tol=1e-12)
    assert native.status == wrapped.status == "not_converged"
    assert native.loss > 0
    assert "Maximum number of iteration" in wrapped.reason


@pytest.mark.parametrize(
    ("task", "strategy", "reason"),
    [
        (make_task(), Strategy(loss="logistic"), "classification on a task of regression"),
        (make_task("classification"), Strategy(loss="squared"), "regression on a task of classification"),
        (make_task(), Strategy(loss="squared", features=Columns(["age"])), r"no columns \['age'\]"),
        (
            make_task(),
            Strategy(loss="squared", penalty=L2(factors=[1, 1])),
            "factors has 2 values, the task has 7",
        ),
        (
            make_task(),
            Strategy(loss="squared", penalty=L2(center=[1])),
            "center has 1 values, the task has 7",
        ),
        (make_task("classification"), Strategy.from_estimator(LinearSVC()), "has no predict_proba"),
        (
            make_task(sample_weight=np.ones(90)),
            Strategy.from_estimator(KNeighborsRegressor()),
            "takes no sample weights",
        ),
        (
            make_task("classification", offset=np.zeros(90)),
            Strategy.from_estimator(LogisticRegression()),
            "take no offset",
        ),
    ],
)
def test_not_applicable(task, strategy, reason):
    results = run_strategies(task, [strategy], task.splits(2))
    assert {r.status for r in results} == {"not_applicable"}
    assert pd.Series([r.reason for r in results]).str.contains(reason).all()


def test_per_column_penalties_reach_the_engine():
    task = make_task()
    pinned = Strategy(loss="squared", penalty=L2(factors=[np.inf] * 7, center=[1, 0, 0, 0, 0, 0, 0]), standardize=False)
    (train, test), *_ = task.splits(2)
    (result,) = run_strategies(task, [pinned], [(train, test)])
    rows = FoldRows(task, train, test)
    a = np.where(np.isnan(task.matrix[:, 0]), rows.means[0], task.matrix[:, 0])
    predicted = a[test] + np.mean(task.y[train] - a[train])
    assert result.metrics["mean_squared_error"] == pytest.approx(mean_squared_error(task.y[test], predicted))


def test_more_than_two_classes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    task = Task(X, np.array(["r", "g", "b"])[np.argmax(X + rng.normal(size=X.shape), axis=1)])
    tree = Strategy.from_estimator(DecisionTreeClassifier(max_depth=2, min_samples_leaf=15))
    strategies = [Strategy(loss="logistic", alpha=PerRow(2.0)), tree]
    native, wrapped = run_strategies(task, strategies, task.splits(3)[:1], **TIGHT)
    assert (native.status, wrapped.status) == ("ok", "ok")
    train, test = task.splits(3)[0]
    softmax = scaled_pipeline(LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000)).fit(X[train], task.y[train])
    proba = softmax.predict_proba(X[test])
    assert native.metrics["log_loss"] == pytest.approx(log_loss(task.y[test], proba), rel=1e-7)
    brier = np.mean(np.sum((proba - np.eye(3)[task.y[test]]) ** 2, axis=1))
    assert native.metrics["brier_score_loss"] == pytest.approx(brier, rel=1e-7)
    assert native.metrics["accuracy_score"] == np.mean(proba.argmax(axis=1) == task.y[test])
    area = roc_auc_score(task.y[test], proba, multi_class="ovr")
    assert native.metrics["roc_auc_score"] == pytest.approx(area, abs=1e-3)
    model = DecisionTreeClassifier(max_depth=2, min_samples_leaf=15, random_state=0)
    model.fit(X[train], task.y[train])
    proba = model.predict_proba(X[test])
    assert wrapped.metrics["log_loss"] == pytest.approx(log_loss(task.y[test], proba))
    area = roc_auc_score(task.y[test], proba, multi_class="ovr")
    assert wrapped.metrics["roc_auc_score"] == pytest.approx(area)
    shares = np.tile(np.bincount(task.y[train]) / len(train), (len(test), 1))
    expected = log_loss(task.y[test], proba) / log_loss(task.y[test], shares)
    assert wrapped.loss == pytest.approx(expected)


class SeesNaN(ClassifierMixin, BaseEstimator):
    """Remembers nothing, but counts missing values."""

    def __init__(self, allow_nan=False):
        self.allow_nan = allow_nan

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.allow_nan
        return tags

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        if np.isnan(X).any() != self.allow_nan:
            raise ValueError("not what was wanted")
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def test_estimators_get_nan_only_if_they_take_it():
    task = make_task("classification")
    strategies = [Strategy.from_estimator(SeesNaN(allow_nan)) for allow_nan in (True, False)]
    results = run_strategies(task, strategies, task.splits(2))
    assert [r.status for r in results] == ["ok"] * 4


def test_offsets_are_added():
    rng = np.random.default_rng(0)
    X, offset = rng.normal(size=(60, 2)), rng.normal(size=60) * 5
    y = X[:, 0] + offset + 0.1 * rng.normal(size=60)
    task = Task(X, y, offset=offset)
    results = run_strategies(task, [Strategy(loss="squared"), Strategy.from_estimator(Ridge())], task.splits(3))
    assert all(r.metrics["mean_squared_error"] < 0.1 for r in results)


def test_a_perfect_baseline_leaves_nothing_to_win():
    X = np.random.default_rng(0).normal(size=(20, 2))
    task = Task(X, np.full(20, 2.0))
    (result,) = run_strategies(task, [Strategy(loss="squared")], [(np.arange(10), np.arange(10, 20))])
    assert result.loss == 1.0


def test_empty_sides_are_refused():
    with pytest.raises(ValueError, match="split 1 has 2 and 0"):
        run_strategies(make_task(), [], [([0], [1]), ([0, 1], [])])


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_every_default_runs(kind):
    task = make_task(kind, n=150)
    results = run_strategies(task, default_strategies(kind), task.splits(2))
    assert {r.status for r in results} == {"ok"}
    assert len({round(r.loss, 12) for r in results if r.fold == 0}) > 40
    assert all(r.seconds > 0 and r.gap >= 0 and r.n_features >= 0 for r in results)
