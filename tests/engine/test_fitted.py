"""A strategy refitted on all rows: predictions from raw frames, coefficients in original units."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import train_test_split

from metafit.engine.fitted import refit
from metafit.engine.running import run_strategies
from metafit.strategies import Strategy
from metafit.strategies.alphas import CV, OfMax, PerRow
from metafit.strategies.features import Columns, TopK
from metafit.strategies.penalties import L1
from metafit.tasks.task import Task


def make_frame(n=80, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": rng.normal(40, 10, n), "town": rng.choice(["x", "y", "z"], n)})
    frame["sex"] = rng.choice(["f", "m"], n)
    frame.loc[::7, "age"] = np.nan
    eta = 0.1 * frame["age"].fillna(40) + (frame["town"] == "y") + rng.normal(size=n)
    return frame, eta.to_numpy()


STRATEGIES = [
    Strategy(loss="squared", alpha=PerRow(2)),
    Strategy(loss="squared", penalty=L1(), alpha=CV(n_alphas=4), features=TopK(2)),
    Strategy(loss="squared", transform=Nystroem(n_components=10), alpha=PerRow(1)),
    Strategy.from_estimator(Ridge(3.0)),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_predictions_are_those_of_a_fold(strategy):
    """Refitting on a fold's training rows and predicting its test rows gives the fold's score."""
    frame, y = make_frame()
    task = Task(frame, y)
    (train, test), *_ = task.splits(3)
    (result,) = run_strategies(task, [strategy], [(train, test)])
    fitted = refit(task.take(train), strategy)
    error = np.mean((fitted.predict(frame.iloc[test]) - y[test]) ** 2)
    assert error == pytest.approx(result.metrics["mean_squared_error"], rel=1e-9)
    assert fitted.status == "ok"
    assert fitted.alpha == pytest.approx(result.alpha, nan_ok=True)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_frames_of_any_kind_predict_the_same(strategy):
    frame, y = make_frame()
    fitted = refit(Task(frame, y), strategy)
    expected = fitted.predict(frame)
    np.testing.assert_array_equal(fitted.predict(frame[["town", "sex", "age"]]), expected)
    np.testing.assert_array_equal(fitted.predict(pl.from_pandas(frame)), expected)
    np.testing.assert_array_equal(fitted.predict(Task(frame, y).matrix), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(frame), expected)


def test_new_categories_count_as_missing():
    frame, y = make_frame()
    fitted = refit(Task(frame, y), Strategy(loss="squared"))
    new = pd.DataFrame({"age": [50.0, 50.0], "town": ["nowhere", None], "sex": ["m", "m"]})
    first, second = fitted.predict(new)
    assert first == second
    share = frame["town"].value_counts(normalize=True)
    parts = [fitted.predict(new.assign(town=town))[0] for town in share.index]
    assert first == pytest.approx(np.dot(parts, share))
    with pytest.raises(ValueError, match="age"):
        fitted.predict(frame[["town", "sex"]])


def test_coef_table_is_in_original_units():
    frame, y = make_frame()
    task = Task(frame, y)
    fitted = refit(task, Strategy(loss="squared", alpha=0.0))
    table = fitted.coef_table()
    assert table.index.tolist() == ["(intercept)", "age", "town=x", "town=y", "town=z", "sex=m"]
    assert table["feature"].tolist() == ["", "age", "town", "town", "town", "sex"]
    X = np.where(np.isnan(task.matrix), np.nanmean(task.matrix, axis=0), task.matrix)
    plain = LinearRegression().fit(X, y)
    assert table.loc["age", "coef"] == pytest.approx(plain.coef_[0], rel=1e-6)
    assert table["coef"].iloc[0] + X @ table["coef"].iloc[1:].to_numpy() == pytest.approx(plain.predict(X))


def test_what_was_chosen():
    frame, y = make_frame()
    frame["noise"] = np.random.default_rng(1).normal(size=len(frame))
    fitted = refit(Task(frame, y), Strategy(loss="squared", features=TopK(2), alpha=PerRow(5)))
    assert fitted.features == ["age", "town"]
    assert fitted.alpha == 5 / len(frame)
    assert np.count_nonzero(fitted.coef) == 4
    assert refit(Task(frame, y), Strategy(loss="squared", features=Columns(["sex"]))).features == ["sex"]


def test_classification_returns_labels_and_probabilities():
    frame, eta = make_frame()
    y = np.where(eta > np.median(eta), "late", "early")
    task = Task(frame, y)
    for strategy in (Strategy(loss="logistic"), Strategy.from_estimator(LogisticRegression())):
        fitted = refit(task, strategy)
        proba = fitted.predict_proba(frame)
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-15)
        assert fitted.predict(frame).tolist() == np.array(["early", "late"])[proba.argmax(axis=1)].tolist()
        assert np.mean(fitted.predict(frame) == y) > 0.65
    with pytest.raises(TypeError, match="has no probabilities"):
        refit(Task(frame, eta), STRATEGIES[0]).predict_proba(frame)


def test_probabilities_far_out_keep_their_digits():
    X = np.array([[-1.0], [-0.5], [0.5], [1.0], [0.1], [-0.1]])
    task = Task(X, [0, 0, 1, 1, 0, 1])
    fitted = refit(task, Strategy(loss="logistic", alpha=PerRow(0.1), standardize=False))
    far = fitted.predict_proba(np.array([[-100.0], [100.0]]))
    eta = fitted.coef[0] * 100
    assert far[0, 1] == pytest.approx(np.exp(-eta + fitted.intercept), rel=1e-9)
    assert far[1, 0] == pytest.approx(np.exp(-eta - fitted.intercept), rel=1e-9)
    assert 0 < far[0, 1] < 1e-100


def test_offset_shifts_predictions():
    rng = np.random.default_rng(0)
    X, offset = rng.normal(size=(50, 2)), rng.normal(size=50)
    y = X[:, 0] + offset
    for strategy in (Strategy(loss="squared", alpha=0.0), Strategy.from_estimator(LinearRegression())):
        fitted = refit(Task(X, y, offset=offset), strategy)
        np.testing.assert_allclose(fitted.predict(X, offset=offset), y, atol=1e-9)


def test_more_than_two_classes_through_an_estimator():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = np.array(["a", "b", "c"])[X.argmax(axis=1)]
    fitted = refit(Task(X, y), Strategy.from_estimator(HistGradientBoostingClassifier(max_iter=10)))
    assert fitted.predict_proba(X).shape == (90, 3)
    assert np.mean(fitted.predict(X) == y) > 0.9


@pytest.mark.parametrize("strategy", STRATEGIES[2:], ids=lambda s: s.name)
def test_no_coef_table_where_the_fit_is_not_linear(strategy):
    fitted = refit(Task(*make_frame()), strategy)
    with pytest.raises(TypeError, match="not linear in the columns"):
        fitted.coef_table()


def test_refit_says_why_it_cannot():
    frame, y = make_frame()
    with pytest.raises(ValueError, match=r"cannot be fitted on task 'visits': .* on a task of"):
        refit(Task(frame, y, name="visits"), Strategy(loss="logistic"))
    with pytest.raises(ValueError, match="alpha could not be chosen"):
        refit(Task(frame, y, groups=np.zeros(80)), Strategy(loss="squared", alpha=CV()))


def test_seed_example():
    """Plain logistic regression, through a strategy: the numbers of scikit-learn."""
    X, y = make_classification(100, 10, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
    plain = LogisticRegression(tol=1e-12, max_iter=10_000).fit(X_train, y_train)
    strategy = Strategy(
        loss="logistic",
        features=Columns([str(j) for j in range(10)]),
        alpha=PerRow(1),
        standardize=False,
    )
    task = Task(pd.DataFrame(X_train, columns=[str(j) for j in range(10)]), y_train)
    fitted = refit(task, strategy, tol=0)
    np.testing.assert_allclose(fitted.coef, plain.coef_[0], atol=1e-6)
    assert np.mean(fitted.predict(X_test) == y_test) == plain.score(X_test, y_test)


def test_of_max_one_is_the_null_model():
    frame, y = make_frame()
    fitted = refit(Task(frame, y), Strategy(loss="squared", penalty=L1(), alpha=OfMax(1.0)))
    assert not fitted.coef.any()
    assert fitted.intercept == pytest.approx(y.mean())
