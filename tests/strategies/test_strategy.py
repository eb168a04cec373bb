"""Strategies: frozen, hashable, named, with one id for one meaning."""

import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from types import ModuleType

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer
from sklearn.svm import SVC

from metafit.strategies import Strategy, default_strategies, grid
from metafit.strategies.alphas import CV, OfMax, PerRow
from metafit.strategies.features import All, Columns, TopK
from metafit.strategies.losses import Logistic, Squared
from metafit.strategies.penalties import L1, L2, ElasticNet
from metafit.strategies.transforms import Clipped, OnContinuous
from metafit.strategies.wrapped import Wrapped

EXAMPLES = [
    Strategy(loss="logistic"),
    Strategy(loss="squared", alpha=0.5, standardize=False, scale_y=False),
    Strategy(loss="squared", penalty=L2(factors=[0, np.inf], center=[1, 2]), features=Columns(["a"])),
    Strategy(loss="logistic", penalty=ElasticNet(0.1), alpha=CV(folds=4), features=TopK(3)),
    Strategy(loss="squared", transform=OnContinuous(SplineTransformer(knots=np.array([[0.0], [1.0]])))),
    Strategy(loss="squared", transform=FunctionTransformer(np.tanh, kw_args={"where": True})),
    Strategy.from_estimator(Ridge(alpha=2)),
    Strategy.from_estimator(make_pipeline(SimpleImputer(), SVC(probability=True))),
    Strategy.from_estimator(CalibratedClassifierCV(LogisticRegression(class_weight={0: 1.0, 1: 2.5}))),
]


@pytest.mark.parametrize("strategy", EXAMPLES, ids=lambda s: s.name)
def test_json_is_a_round_trip(strategy):
    again = Strategy.from_json(strategy.to_json())
    assert again == strategy
    assert hash(again) == hash(strategy)
    assert again.to_json() == strategy.to_json()
    assert again.id == strategy.id
    assert json.loads(strategy.to_json())


@pytest.mark.parametrize("strategy", EXAMPLES, ids=lambda s: s.name)
def test_pickle_is_a_round_trip(strategy):
    assert pickle.loads(pickle.dumps(strategy)) == strategy


def test_ids_do_not_change():
    # stored studies know strategies by these
    assert Strategy(loss="squared").id == "6e3a53338684"
    sparse = Strategy(loss="logistic", penalty=L1(), alpha=OfMax(0.05), features=TopK(8))
    assert sparse.id == "34e4e0597636"


def test_id_is_the_same_in_another_process():
    code = "from metafit.strategies import default_strategies as d; print([s.id for s in d('regression')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == str([s.id for s in default_strategies("regression")])


def test_ids_differ_where_strategies_do():
    known = {*EXAMPLES, *default_strategies("regression"), *default_strategies("classification")}
    assert len({s.id for s in known}) == len(known) > 120


def test_frozen():
    with pytest.raises(FrozenInstanceError):
        EXAMPLES[0].standardize = False
    assert replace(EXAMPLES[0], standardize=False) == Strategy(loss="logistic", standardize=False)


def test_names_stand_for_objects():
    by_name = Strategy(loss="squared", penalty="l1", alpha=1)
    assert by_name == Strategy(loss=Squared(), penalty=L1(), alpha=1.0)
    assert Strategy(loss="squared", transform=Nystroem()) == Strategy(loss="squared", transform=Wrapped(Nystroem()))


def test_name_says_what_differs_from_the_default():
    assert Strategy(loss="squared").name == "squared l2 per_row(1)"
    strategy = Strategy(
        loss="squared",
        penalty=ElasticNet(0.2),
        alpha=CV(n_alphas=5),
        features=TopK(4),
        transform=SplineTransformer(n_knots=3),
        standardize=False,
        scale_y=False,
    )
    assert strategy.name == (
        "squared elastic_net(l1_ratio=0.2) cv(n_alphas=5) top_k(4) SplineTransformer(n_knots=3) raw_x scale_y=False"
    )
    assert Strategy(loss="squared", alpha=0.25).name == "squared l2 alpha=0.25"
    assert Strategy(loss="squared", penalty=L2(factors=[1] * 9)).name == "squared l2(factors=<9 values>) per_row(1)"


def test_kind():
    assert Strategy(loss="logistic").kind == "classification"
    assert Strategy(loss=Squared()).kind == "regression"
    assert Strategy.from_estimator(HistGradientBoostingClassifier()).kind == "classification"
    assert Strategy.from_estimator(HistGradientBoostingRegressor()).kind == "regression"


def test_y_is_scaled_for_the_squared_loss():
    assert Strategy(loss="squared").scales_y
    assert not Strategy(loss="logistic").scales_y
    assert not Strategy(loss="squared", scale_y=False).scales_y


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, "loss is required"),
        ({"loss": "squared", "features": ["a"]}, TypeError, "features must be a rule"),
        (
            {"loss": "squared", "transform": Ridge()},
            TypeError,
            "transform must be a scikit-learn transformer",
        ),
        ({"loss": "squared", "transform": Nystroem}, TypeError, "with values for its parameters"),
        ({"loss": "squared", "standardize": 1}, TypeError, "standardize must be True or False"),
        ({"loss": "squared", "scale_y": "yes"}, ValueError, "scale_y must be"),
        ({"loss": "logistic", "scale_y": True}, ValueError, "needs the squared loss"),
        ({"loss": "squared", "solver": "lbfgs"}, ValueError, "solver must be one of 'auto', 'cholesky'"),
        (
            {"loss": "squared", "transform": Nystroem(), "penalty": L2(center=[1])},
            ValueError,
            "cannot follow",
        ),
        ({"estimator": Ridge(), "loss": "squared"}, ValueError, "replaces the"),
        ({"estimator": Ridge(), "features": TopK(3)}, ValueError, r"but \['features'\] came with it"),
        ({"estimator": KMeans()}, TypeError, "classifier or a regressor"),
    ],
)
def test_contradictions_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        Strategy(**options)


def test_estimators_are_copied():
    ridge = Ridge(alpha=1)
    strategy = Strategy.from_estimator(ridge)
    ridge.set_params(alpha=9)
    strategy.estimator.build().set_params(alpha=7)
    assert strategy.estimator.build().alpha == 1
    assert strategy != Strategy.from_estimator(Ridge(alpha=2))


def test_unseeded_estimators_get_a_seed():
    strategy = Strategy.from_estimator(make_pipeline(Nystroem(), HistGradientBoostingRegressor(random_state=3)))
    built = strategy.estimator.build()
    assert built["nystroem"].random_state == 0
    assert built["histgradientboostingregressor"].random_state == 3


def test_what_cannot_be_written_down_is_named():
    with pytest.raises(TypeError, match=r"FunctionTransformer.func must be importable by name"):
        Strategy(loss="squared", transform=FunctionTransformer(lambda x: x))
    with pytest.raises(TypeError, match=r"KNeighborsRegressor.metric_params"):
        Strategy.from_estimator(KNeighborsRegressor(metric_params={"V": object()}))


def test_a_stored_strategy_may_not_import_what_it_likes():
    plain = '{"estimator":{"@estimator":["antigravity:fly",{}]}}'
    with pytest.raises(ValueError, match="antigravity, which is not imported"):
        Strategy.from_json(plain)
    assert "antigravity" not in sys.modules
    with pytest.raises(ValueError, match="no scikit-learn estimator"):
        Strategy.from_json('{"estimator":{"@estimator":["os:getcwd",{}]}}')


def test_own_estimators_need_only_be_imported(monkeypatch):
    module = ModuleType("somebodys_models")
    module.Own = type("Own", (LinearRegression,), {"__module__": "somebodys_models"})
    monkeypatch.setitem(sys.modules, "somebodys_models", module)
    text = Strategy.from_estimator(module.Own()).to_json()
    assert isinstance(Strategy.from_json(text).estimator.build(), module.Own)
    monkeypatch.delitem(sys.modules, "somebodys_models")
    with pytest.raises(ValueError, match="import it first if you trust it"):
        Strategy.from_json(text)


def test_grid_is_a_product_without_repetitions():
    space = grid(
        loss="squared",
        features=[All(), TopK(2)],
        penalty=[L1(), L2(), ElasticNet(1.0), ElasticNet(0.0), ElasticNet(0.5)],
        alpha=[OfMax(0.1), 0.0, PerRow(0)],
    )
    # 2 rules x (3 penalties at OfMax + one unpenalised fit)
    assert len(space) == 8
    assert len({s.id for s in space}) == 8


def test_grid_leaves_out_contradictions():
    space = grid(loss=["squared", "logistic"], scale_y=[True, False, "auto"])
    found = [(s.loss, s.scale_y) for s in space]
    assert found == [
        (Squared(), "auto"),
        (Squared(), False),
        (Logistic(), "auto"),
    ]
    space = grid(loss="squared", penalty=[L2(center=[1.0]), L2()], transform=[None, Nystroem()])
    assert [(s.penalty.is_per_column, s.transform is None) for s in space] == [
        (True, True),
        (False, True),
        (False, False),
    ]


def test_grid_says_what_is_wrong():
    with pytest.raises(TypeError, match="unexpected keyword argument 'penalties'"):
        grid(loss="squared", penalties=[L2()])
    with pytest.raises(TypeError, match="loss is required"):
        grid(penalty=[L2()])
    with pytest.raises(ValueError, match="alpha must hold at least one value"):
        grid(loss="squared", alpha=[])


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_defaults(kind):
    strategies = default_strategies(kind)
    assert 100 <= len(strategies) <= 110
    assert {s.kind for s in strategies} == {kind}
    assert len({s.name for s in strategies}) == len(strategies)
    assert strategies[0] == Strategy(loss={"regression": "squared", "classification": "logistic"}[kind])
    assert not any(s.estimator for s in strategies)
    full = default_strategies(kind, "full")
    assert full[: len(strategies)] == strategies
    trees = full[len(strategies) :]
    assert 1 <= len(trees) <= 12
    assert all(s.estimator for s in trees)
    assert [Strategy.from_json(s.to_json()) for s in full] == full
    with pytest.raises(ValueError, match="kind must be one of"):
        default_strategies("ranking")
    with pytest.raises(ValueError, match="profile must be 'fast' or 'full', got 'slow'"):
        default_strategies(kind, "slow")


def test_on_continuous_leaves_indicators_alone():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 2, 50), rng.normal(size=50), rng.integers(0, 9, 50)]).astype(float)
    fitted = OnContinuous(SplineTransformer(n_knots=4, include_bias=False)).fit(X)
    assert fitted.continuous_.tolist() == [False, True, False]
    out = fitted.transform(X)
    spline = SplineTransformer(n_knots=4, include_bias=False).fit_transform(X[:, [1]])
    np.testing.assert_array_equal(out, np.hstack([spline, X[:, [0, 2]]]))
    nothing = OnContinuous(SplineTransformer()).fit(X[:, [0]])
    np.testing.assert_array_equal(nothing.transform(X[:, [0]]), X[:, [0]])
    assert isinstance(clone(fitted), BaseEstimator)


def test_clipped_keeps_far_values_near():
    X = np.random.default_rng(0).normal(size=(40, 2))
    quadratic = Nystroem(kernel="poly", degree=2, coef0=1, n_components=5, random_state=0)
    fitted = Clipped(quadratic, limit=2.0).fit(X)
    np.testing.assert_array_equal(fitted.transform(X * 1e6), fitted.transform(2 * np.sign(X)))
    plain = clone(quadratic).fit(np.clip(X, -2, 2))
    np.testing.assert_array_equal(fitted.transform(X), plain.transform(np.clip(X, -2, 2)))
