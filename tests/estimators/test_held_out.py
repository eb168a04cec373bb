"""What is made of predictions of rows held out: means of strategies, calibration, intervals."""

import itertools

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, LeaveOneOut, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from metafit.engine.fitted import refit
from metafit.engine.running import FoldResult
from metafit.estimators import MetaClassifier, MetaRegressor
from metafit.estimators.calibration import METHODS, Calibration
from metafit.estimators.ensembles import greedy_weights
from metafit.estimators.held_out import HeldOut
from metafit.estimators.intervals import cv_plus
from metafit.estimators.trials import Trial, Trials
from metafit.strategies.strategy import Strategy
from metafit.tasks.task import Task


def told(task, outputs, n_folds=2):
    """Trials whose models predicted these values."""
    strategy = Strategy(loss="squared" if task.classes is None else "logistic")
    trials = []
    for number, output in enumerate(outputs):
        folds = []
        for rows in np.array_split(np.arange(task.n_rows), n_folds):
            score = -float(np.mean((task.y[rows] - output[rows]) ** 2))
            held_out = HeldOut(task, rows, FoldResult("", 0, "ok"), object(), score)
            held_out.__dict__["output"] = output[rows]
            folds.append(held_out)
        trials.append(Trial(strategy, str(number), 0, folds=folds))
    return Trials(trials, n_folds)


class TestEnsembles:
    @pytest.mark.parametrize("weights", [None, "some"])
    @pytest.mark.parametrize("seed", range(4))
    def test_draws_are_those_of_the_plain_loop(self, seed, weights):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=40)
        v = np.ones(40) if weights is None else rng.uniform(size=40)
        made = y + rng.normal(size=(5, 40)) * rng.uniform(0.5, 1.5, (5, 1))
        task = Task(rng.normal(size=(40, 1)), y, sample_weight=v)
        drawn, best = [], (np.inf, ())
        for _ in range(8):
            means = [made[[*drawn, k]].mean(axis=0) for k in range(5)]
            losses = [np.average((y - mean) ** 2, weights=v) for mean in means]
            drawn.append(int(np.argmin(losses)))
            best = min(best, (min(losses), tuple(drawn)), key=lambda pair: pair[0])
        expected = np.bincount(best[1], minlength=5) / len(best[1])
        np.testing.assert_allclose(greedy_weights(task, told(task, made), 8), expected, atol=1e-12)

    def test_two_draws_are_the_best_pair_with_the_best_one(self):
        rng = np.random.default_rng(3)
        y = rng.normal(size=30)
        made = y + rng.normal(size=(6, 30))
        task = Task(np.zeros((30, 1)), y)
        loss = lambda *ks: np.mean((y - made[list(ks)].mean(axis=0)) ** 2)  # noqa: E731
        first = min(range(6), key=loss)
        pairs = [pair for pair in itertools.combinations_with_replacement(range(6), 2) if first in pair]
        pair = min(pairs, key=lambda pair: loss(*pair))
        np.testing.assert_allclose(greedy_weights(task, told(task, made), 2), np.bincount(pair, minlength=6) / 2)

    def test_predictions_are_the_weighted_mean_of_the_members(self):
        X, y = load_diabetes(return_X_y=True)
        model = MetaRegressor(None, budget=12, ensemble=10, cv=3).fit(X, y)
        assert model.weights_.sum() == pytest.approx(1.0)
        assert (model.weights_ > 0).sum() > 1
        found = model.cv_results_["strategy"]
        by_hand = sum(w * refit(Task(X, y), found[k]).predict(X) for k, w in enumerate(model.weights_) if w)
        np.testing.assert_allclose(model.predict(X), by_hand, rtol=1e-12)
        with pytest.raises(TypeError, match="use ensemble=None"):
            model.to_sklearn()

    def test_probabilities_are_a_mean_too(self):
        X, y = load_iris(return_X_y=True)
        model = MetaClassifier(None, budget=10, ensemble=10, cv=3).fit(X, y)
        found = model.cv_results_["strategy"]
        task = Task(X, y, kind="classification")
        by_hand = sum(w * refit(task, found[k]).predict_proba(X) for k, w in enumerate(model.weights_) if w)
        np.testing.assert_allclose(model.predict_proba(X), by_hand, atol=1e-12)
        np.testing.assert_array_equal(model.predict(X), by_hand.argmax(axis=1))

    def test_without_an_ensemble_all_weight_is_on_the_best(self):
        X, y = load_diabetes(return_X_y=True)
        model = MetaRegressor(None, budget=4, cv=3).fit(X, y)
        assert model.weights_.tolist() == [float(k == model.best_index_) for k in range(4)]
        assert list(model.members_) == [model.best_index_]

    def test_sizes(self):
        with pytest.raises(ValueError, match="ensemble must be an int of at least 1 or None, got 0"):
            MetaRegressor(None, ensemble=0).fit(*load_diabetes(return_X_y=True))


class TestCalibration:
    @pytest.mark.parametrize("method", METHODS)
    def test_it_is_scikit_learns_on_predictions_of_rows_held_out(self, method):
        X, y = load_breast_cancer(return_X_y=True)
        model = MetaClassifier(None, budget=1, calibrate=method).fit(X, y)
        plain = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000))
        expected = CalibratedClassifierCV(plain, method=method, cv=StratifiedKFold(5), ensemble=False).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=2e-3)

    def test_in_sample_predictions_would_give_another_answer(self):
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(80, 30)), rng.integers(2, size=80)
        plain = MetaClassifier(None, budget=1).fit(X, y)
        model = MetaClassifier(None, budget=1, calibrate="temperature").fit(X, y)
        in_sample = Calibration("temperature").fit(plain.predict_proba(X), y).of(plain.predict_proba(X))
        assert log_loss(y, model.predict_proba(X)) > log_loss(y, in_sample) + 0.1
        assert np.abs(model.predict_proba(X) - 0.5).max() < 0.3

    def test_more_than_two_classes(self):
        X, y = load_iris(return_X_y=True)
        model = MetaClassifier(None, budget=2, calibrate="temperature").fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
        assert model.score(X, y) > 0.9

    def test_rare_classes(self):
        X = np.random.default_rng(0).normal(size=(40, 2))
        model = MetaClassifier(None, budget=1, cv=2, calibrate="sigmoid").fit(X, np.repeat([0, 1, 2], [30, 8, 2]))
        np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)

    def test_refusals(self):
        X, y = load_breast_cancer(return_X_y=True)
        with pytest.raises(ValueError, match="calibrate must be one of 'temperature', 'sigmoid', 'isotonic' or None"):
            MetaClassifier(None, calibrate="platt").fit(X, y)
        with pytest.raises(TypeError, match="use calibrate=None"):
            MetaClassifier(None, budget=1, calibrate="sigmoid").fit(X, y).to_sklearn()


class TestIntervals:
    @pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
    def test_ends_are_those_of_the_definition(self, coverage):
        rng = np.random.default_rng(0)
        predicted = list(rng.normal(size=(3, 7)))
        residuals = [np.abs(rng.normal(size=size)) for size in (9, 10, 11)]
        n = 30
        for x, (low, high) in enumerate(cv_plus(predicted, residuals, coverage)):
            lows = sorted(predicted[k][x] - r for k in range(3) for r in residuals[k])
            highs = sorted(predicted[k][x] + r for k in range(3) for r in residuals[k])
            # Barber et al., equation (1.2): the floor(alpha (n + 1)) smallest, the ceil((1 - alpha) (n + 1)) smallest
            assert low == lows[int(np.floor(round((1 - coverage) * (n + 1), 9))) - 1]
            assert high == highs[int(np.ceil(round(coverage * (n + 1), 9))) - 1]

    def test_too_few_rows_promise_nothing(self):
        assert np.isinf(cv_plus([np.zeros(2)], [np.ones(8)], 0.9)).all()
        assert np.isfinite(cv_plus([np.zeros(2)], [np.ones(9)], 0.9)).all()

    def test_they_rest_on_the_fits_of_the_folds(self):
        X, y = load_diabetes(return_X_y=True)
        model = MetaRegressor(None, budget=1, cv=3).fit(X[:300], y[:300])
        ridge = make_pipeline(StandardScaler(), Ridge(1.0))
        errors = np.abs(y[:300] - cross_val_predict(ridge, X[:300], y[:300], cv=3))
        folds = list(KFold(3).split(X[:300]))
        predicted = [ridge.fit(X[train], y[train]).predict(X[300:]) for train, _ in folds]
        expected = cv_plus(predicted, [errors[test] for _, test in folds], 0.9)
        np.testing.assert_allclose(model.predict_interval(X[300:]), expected, rtol=1e-7)

    def test_leaving_out_one_row_at_a_time_is_the_jackknife_plus(self):
        rng = np.random.default_rng(1)
        X = rng.normal(size=(25, 2))
        y = X[:, 0] + rng.normal(size=25)
        model = MetaRegressor(None, budget=1, cv=LeaveOneOut()).fit(X, y)
        ridge = make_pipeline(StandardScaler(), Ridge(1.0))
        left = [ridge.fit(np.delete(X, i, 0), np.delete(y, i)) and ridge.predict(X) for i in range(25)]
        low = np.sort([left[i] - abs(y[i] - left[i][i]) for i in range(25)], axis=0)[1]
        np.testing.assert_allclose(model.predict_interval(X)[:, 0], low, rtol=1e-7)

    @pytest.mark.parametrize("ensemble", [None, 5])
    def test_they_cover(self, ensemble):
        covered = []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(700, 3))
            y = X[:, 0] ** 2 + X[:, 1] + rng.standard_t(3, 700) * (1 + np.abs(X[:, 2]))
            model = MetaRegressor(None, budget=6, cv=3, ensemble=ensemble, n_jobs=1).fit(X[:200], y[:200])
            low, high = model.predict_interval(X[200:], 0.8).T
            covered.append(np.mean((low <= y[200:]) & (y[200:] <= high)))
        error = np.std(covered) / np.sqrt(20)
        assert np.mean(covered) > 0.8 - 3 * error - 0.01
        assert np.mean(covered) < 0.85

    @pytest.mark.parametrize("coverage", [0.0, 1.0])
    def test_refusals(self, coverage):
        model = MetaRegressor(None, budget=1, cv=2).fit(*load_diabetes(return_X_y=True))
        with pytest.raises(ValueError, match="coverage must be above 0 and below 1"):
            model.predict_interval(np.zeros((1, 10)), coverage)
