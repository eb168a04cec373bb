"""A strategy as a plain pipeline of scikit-learn predicts what it predicts itself."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    PolynomialFeatures,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)

from metafit.engine.fitted import refit
from metafit.strategies import Strategy
from metafit.strategies.features import All, TopK
from metafit.strategies.penalties import L1
from metafit.strategies.transforms import Clipped, OnContinuous
from metafit.tasks.task import Task


def table(n=150, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "town": rng.choice(["Bath", "York", "Ely"], n),
            "sex": rng.choice(["f", "m"], n),
            "street": rng.choice([f"s{i}" for i in range(70)], n),
            "floor": pd.Categorical(rng.choice([1, 2, 3], n)),
            "is_old": rng.random(n) < 0.5,
        }
    )
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, ["town", "floor"]] = None
    eta = 0.05 * frame["age"].fillna(40).to_numpy() - 2 + (frame["town"] == "York") + rng.normal(size=n)
    return frame, eta


def unseen(frame):
    new = frame.iloc[:40].copy()
    new.loc[new.index[:5], "town"] = "Leeds"
    new.loc[new.index[3:9], ["sex", "age"]] = None
    return new


REGRESSIONS = [
    Strategy(loss="squared", alpha=0.1),
    Strategy(loss="huber", penalty=L1(), alpha=0.01),
    Strategy(loss="quantile", alpha=0.01),
    Strategy(loss="poisson", alpha=0.1),
    Strategy(loss="gamma", alpha=0.1),
]


@pytest.mark.parametrize("strategy", REGRESSIONS, ids=lambda s: s.name)
def test_regressions_predict_the_same(strategy):
    frame, eta = table()
    fitted = refit(Task(frame, np.exp(eta)), strategy)
    new = unseen(frame)
    np.testing.assert_allclose(fitted.to_sklearn().predict(new), fitted.predict(new), rtol=1e-10)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifications_predict_the_same(n_classes):
    frame, eta = table()
    labels = np.array(["no", "perhaps", "yes"])[np.digitize(eta, np.quantile(eta, [0.5, 0.8][: n_classes - 1]))]
    fitted = refit(Task(frame, labels), Strategy(loss="logistic", alpha=0.01))
    pipeline, new = fitted.to_sklearn(), unseen(frame)
    np.testing.assert_allclose(pipeline.predict_proba(new), fitted.predict_proba(new), atol=1e-12)
    assert pipeline.predict(new).tolist() == fitted.predict(new).tolist()


def test_arrays_and_estimators():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    X[::5, 1] = np.nan
    y = X[:, 0] + rng.normal(size=80)
    estimators = Strategy.from_estimator(HistGradientBoostingRegressor(max_iter=5)), Strategy(loss="squared", alpha=1)
    for strategy in estimators:
        fitted = refit(Task(X, y), strategy)
        new = pd.DataFrame(X, columns=["x0", "x1", "x2"]) if strategy.estimator is None else X
        np.testing.assert_allclose(fitted.to_sklearn().predict(new), fitted.predict(X))
    labels = np.where(y > 0, "up", "down")
    fitted = refit(Task(X, labels), Strategy.from_estimator(RandomForestClassifier(10, random_state=0)))
    assert fitted.to_sklearn().predict(X).tolist() == fitted.predict(X).tolist()


TRANSFORMS = [
    Nystroem(n_components=5, random_state=0),
    Clipped(PolynomialFeatures(2, include_bias=False)),
    OnContinuous(SplineTransformer(n_knots=4, include_bias=False)),
    OnContinuous(StandardScaler(), min_distinct=1000),
    Pipeline([("ranks", OnContinuous(QuantileTransformer(n_quantiles=20))), ("main", PCA(3))]),
    FeatureUnion(
        [
            ("as it is", FunctionTransformer()),
            ("steps", Clipped(KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"))),
        ]
    ),
]


@pytest.mark.parametrize("features", [All(), TopK(3)])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_transforms_predict_the_same(transform, features):
    frame, eta = table()
    fitted = refit(Task(frame, eta), Strategy(loss="squared", transform=transform, features=features, alpha=0.1))
    new = unseen(frame)
    pipeline = fitted.to_sklearn()
    assert "metafit" not in pickle.dumps(pipeline).decode("latin1")
    np.testing.assert_allclose(pipeline.predict(new), fitted.predict(new), rtol=1e-9)


def test_classes_after_a_transform():
    frame, eta = table()
    strategy = Strategy(loss="logistic", transform=Nystroem(n_components=5, random_state=0), alpha=0.01)
    fitted = refit(Task(frame, np.digitize(eta, [0.0, 1.0]), kind="classification"), strategy)
    np.testing.assert_allclose(fitted.to_sklearn().predict_proba(frame), fitted.predict_proba(frame), atol=1e-12)


def test_what_cannot_be_written_is_refused():
    frame, eta = table()
    with pytest.raises(TypeError, match="'town'"):
        refit(Task(frame, eta), Strategy.from_estimator(HistGradientBoostingRegressor(max_iter=2))).to_sklearn()


def test_it_serves_without_metafit(tmp_path):
    frame, eta = table()
    fitted = refit(Task(frame, eta), Strategy(loss="squared", alpha=0.1))
    new = unseen(frame)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps((fitted.to_sklearn(), new)))
    code = (
        "import pickle, sys\n"
        f"model, new = pickle.load(open({str(path)!r}, 'rb'))\n"
        "print(model.predict(new).sum())\n"
        "assert not any(name.startswith('metafit') for name in sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(out.stdout) == pytest.approx(fitted.predict(new).sum())
