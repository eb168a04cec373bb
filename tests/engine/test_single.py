"""One strength on a small table takes a shorter way through `metafit.solve`: the same bits, the same errors."""

import pickle

import numpy as np
import pytest

from metafit.engine import solve
from metafit.engine.solution import LAZY
from metafit.exceptions import ConvergenceWarning
from metafit.strategies import losses, penalties

PENALTIES = [name for name, penalty in penalties.REGISTRY.items() if not penalty.has_groups]


def problem(loss, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 4)) + 0.5
    eta = X @ [0.5, -0.5, 0.0, 0.3] - 0.2
    if losses.resolve(loss).kind == "classification":
        return X, np.where(eta + rng.normal(size=60) > 0, 3.0, -1.0)
    y = {"poisson": rng.poisson(np.exp(eta)) * 1.0, "gamma": np.exp(eta), "tweedie": np.exp(eta)}
    return X, y.get(loss, eta + rng.normal(size=60))


def same_bits(a, b):
    return np.asarray(a).dtype == np.asarray(b).dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes()


def takes_short_way(monkeypatch):
    """Count the calls that the short way answers."""
    import metafit.engine.solve  # noqa: F401  (the package has a function of this name)

    module = __import__("sys").modules["metafit.engine.solve"]
    answers = []
    real = module.run_single
    monkeypatch.setattr(module, "run_single", lambda *a: answers.append(real(*a)) or answers[-1])
    return answers


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", losses.REGISTRY)
def test_it_has_the_bits_of_a_path_of_one(monkeypatch, loss, penalty):
    X, y = problem(loss)
    answers = takes_short_way(monkeypatch)
    for alpha in (0.1, 0.003):
        for options in ({}, {"standardize": True}, {"fit_intercept": False}, {"tol": 1e-12}):
            request = {"loss": loss, "penalty": penalty, **options}
            single, path = solve(X, y, alphas=alpha, **request), solve(X, y, alphas=[alpha], **request)
            assert len(answers) == 1
            assert answers.pop() is not None
            for name in LAZY - {"seconds", "dims", "scores", "best"}:
                ours, theirs = getattr(single, name), getattr(path, name)
                assert (ours is None) == (theirs is None), name
                assert ours is None or same_bits(ours, theirs[0]), name
            assert (single.scores, single.best, single.alphas) == ({}, path.best, alpha)
            assert np.shape(single.intercept) == ()
            assert single.dims["coef"] == ("feature",)
            assert single.feature_names == path.feature_names == ["x0", "x1", "x2", "x3"]
            assert (single.classes is None) == (path.classes is None)
            assert single.classes is None or same_bits(single.classes, path.classes)
            assert same_bits(single.predict(X), path.predict(X)[0])
            assert repr(single) == repr(path).replace("1 alphas", "one fit")


def test_it_survives_pickling():
    X, y = problem("logistic")
    solution = solve(X, y, loss="logistic", alphas=0.1)
    again = pickle.loads(pickle.dumps(solution))
    assert same_bits(again.coef, solution.coef)
    assert again.status == "converged"


def test_other_layouts_and_types_give_the_same():
    X, y = problem("squared")
    expected = solve(X, y, alphas=0.1)
    others = [(np.asfortranarray(X), y), (X[::-1][::-1], y), (X.tolist(), y), (X, y.tolist()), (X.astype("f8"), y)]
    for alpha in (0.1, np.float64(0.1)):
        for other in others:
            assert same_bits(solve(*other, alphas=alpha).coef, expected.coef)
    assert same_bits(solve(X, y, alphas=1).coef, solve(X, y, alphas=1.0).coef)
    unsigned = (X, (y > 0).astype(np.int64))
    labels = solve(*unsigned, loss="logistic", alphas=0.1).classes
    assert labels.dtype == np.int64


BAD = {
    "NaN": (lambda X, y: (np.where(X > 1.5, np.nan, X), y), "squared", "NaN in column 'x"),
    "infinity": (lambda X, y: (np.where(X > 1.5, np.inf, X), y), "squared", "infinity in column 'x"),
    "huge": (lambda X, y: (X * 1e200, y), "squared", "rescale it"),
    "lengths": (lambda X, y: (X, y[1:]), "squared", "one value a row"),
    "NaN in y": (lambda X, y: (X, np.where(y > 1, np.nan, y)), "squared", "y holds NaN"),
    "infinity as a label": (lambda X, y: (X, np.where(y > 1, np.inf, 0.0)), "logistic", "y holds NaN or infinity"),
    "NaN as a label": (lambda X, y: (X, np.where(y > 1, np.nan, 0.0)), "logistic", "y holds NaN or infinity"),
    "one class": (lambda X, y: (X, 0 * y), "logistic", "at least two classes"),
    "counts": (lambda X, y: (X, -np.abs(y)), "poisson", "cannot be fitted"),
    "no rows": (lambda X, y: (X[:0], y[:0]), "squared", "no rows"),
    "masked": (lambda X, y: (np.ma.masked_array(X, X > 1), y), "squared", "mask"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_fitted_is_said_as_ever(name):
    spoil, loss, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        solve(*spoil(*problem("squared")), loss=loss, alphas=0.1)


@pytest.mark.parametrize("alpha", [-1.0, float("nan"), float("inf")])
def test_strengths_out_of_range_are_refused(alpha):
    with pytest.raises(ValueError, match="alphas must be finite"):
        solve(*problem("squared"), alphas=alpha)


def test_more_classes_and_a_lack_of_steps_are_told():
    X, y = problem("squared")
    assert solve(X, np.round(y % 3), loss="logistic", alphas=0.1).coef.shape == (4, 4)
    X, y = problem("logistic")
    with pytest.warns(ConvergenceWarning, match="of 1 fits 1 did not reach the tolerance"):
        solve(X, y, loss="logistic", alphas=1e-6, max_iter=1)
