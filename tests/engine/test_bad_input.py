"""What comes in: one table of bad input for `solve`, strategies and estimators, and one of kinds that are all alike.

A door takes a request (X, y and what else is given) and returns something that predicts. Each line of `BAD` is a
request that every door it concerns refuses by a ValueError that holds these words.
"""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from metafit.engine import Cell, Split, Table, run_cells, solve
from metafit.engine.fitted import refit
from metafit.engine.running import run_strategies
from metafit.estimators import MetaClassifier, MetaRegressor
from metafit.exceptions import RankWarning
from metafit.strategies import Strategy, losses, penalties
from metafit.strategies.alphas import PerRow
from metafit.tasks.task import Task

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3))
Y = X @ [1.0, -1.0, 0.5] + RNG.normal(size=24)
COUNTS = np.arange(24.0) % 5
LABELS = np.arange(24) % 2
FRAME = pd.DataFrame(X, columns=["age", "height", "mass"])


# ------------------------------------------------------------------------------------------------------------ doors


def through_solve(X, y, *, loss="squared", penalty="l2", alpha=0.1, **rows):
    return solve(X, y, loss=loss, penalty=penalty, alphas=alpha, **rows)


def through_strategy(X, y, *, loss="squared", penalty="l2", alpha=0.1, **rows):
    kind = losses.resolve(loss).kind
    strategy = Strategy(loss=loss, penalty=penalty, alpha=alpha, standardize=False)
    return refit(Task(X, y, kind=kind, **rows), strategy)


def through_estimator(X, y, *, loss="squared", **rows):
    estimator = MetaRegressor if losses.resolve(loss).kind == "regression" else MetaClassifier
    return estimator(None, budget=1, cv=2).fit(X, y, **rows)


DOORS = {"solve": through_solve, "strategy": through_strategy, "estimator": through_estimator}


def put(array, value, place=5):
    bad = np.array(array, dtype=complex if isinstance(value, complex) else float)
    bad[place] = value
    return bad


def masked(array):
    return np.ma.masked_less(array, np.median(array))


# ------------------------------------------------------------------------------------------------------- bad input

# (request, words of the message, doors that it concerns: None for all that take these arguments)
BAD = {
    "NaN in y": ({"y": put(Y, np.nan)}, ["y"], None),
    "infinity in y": ({"y": put(Y, np.inf)}, ["y"], None),
    "None in y": ({"y": [None, *Y[1:]]}, ["y"], None),
    "NA in y": ({"y": pd.Series([pd.NA, *COUNTS[1:]], dtype="Float64")}, [], None),
    "complex y": ({"y": Y + 1j}, ["omplex"], None),
    "masked y": ({"y": masked(Y)}, ["y", "masked"], None),
    "y too short": ({"y": Y[:5]}, [], None),
    "y with two columns": ({"y": np.column_stack([Y, Y])}, ["y"], None),
    "one class": ({"y": np.ones(24), "loss": "logistic"}, ["class"], None),
    "NaN among labels": ({"y": put(LABELS, np.nan), "loss": "logistic"}, ["NaN"], None),
    "NA among labels": ({"y": pd.Series([pd.NA, *LABELS[1:]], dtype="Int64"), "loss": "logistic"}, [], None),
    "complex labels": ({"y": LABELS + 1j, "loss": "logistic"}, [], None),
    "three classes for two": ({"y": np.arange(24) % 3, "loss": "squared_hinge"}, ["two classes", "3"], ("solve",)),
    "three classes, strategy": ({"y": np.arange(24) % 3, "loss": "squared_hinge"}, ["two classes", "3"], ("strategy",)),
    "no probabilities": ({"y": LABELS, "loss": "squared_hinge"}, ["squared_hinge", "probabilities"], ("strategy",)),
    "a negative count": ({"y": put(COUNTS, -1.0), "loss": "poisson"}, ["-1"], ("solve", "strategy")),
    "no count above 0": ({"y": np.zeros(24), "loss": "poisson"}, ["0 on every row"], ("solve", "strategy")),
    "a gamma target of 0": ({"y": put(COUNTS + 1, 0.0), "loss": "gamma"}, ["0"], ("solve", "strategy")),
    "a negative tweedie target": ({"y": put(COUNTS, -2.0), "loss": "tweedie"}, ["-2"], ("solve", "strategy")),
    "infinity in X": ({"X": put(X, np.inf, (2, 1))}, ["inf"], None),
    "infinity in a frame": ({"X": FRAME.assign(height=put(Y, np.inf))}, ["inf", "'height'"], None),
    "NaN in X": ({"X": put(X, np.nan, (2, 1))}, ["X", "NaN", "'x1'", "row 2"], ("solve",)),
    "NaN in a frame": ({"X": FRAME.assign(height=put(Y, np.nan))}, ["X", "NaN", "'height'"], ("solve",)),
    "complex X": ({"X": X + 1j}, ["omplex"], None),
    "X with one dimension": ({"X": X[:, 0]}, [], None),
    "X with three dimensions": ({"X": X[None]}, [], None),
    "X without rows": ({"X": X[:0], "y": Y[:0]}, [], None),
    "masked X": ({"X": masked(X)}, ["X", "masked"], None),
    "columns of one name": ({"X": FRAME.set_axis(["age", "age", "mass"], axis=1)}, ["X", "'age'"], None),
    "dates": ({"X": FRAME.assign(age=pd.date_range("2020", periods=24))}, ["'age'"], None),
    "NaN in weights": ({"sample_weight": put(np.ones(24), np.nan)}, ["weight"], None),
    "infinity in weights": ({"sample_weight": put(np.ones(24), np.inf)}, ["weight"], None),
    "a negative weight": ({"sample_weight": put(np.ones(24), -1.0)}, ["weight"], None),
    "weights of 0": ({"sample_weight": np.zeros(24)}, ["weight"], None),
    "weights too short": ({"sample_weight": np.ones(5)}, ["weight"], None),
    "complex weights": ({"sample_weight": np.ones(24) + 1j}, [], None),
    "masked weights": ({"sample_weight": masked(Y**2)}, ["sample_weight", "masked"], None),
    "NaN in offset": ({"offset": put(Y, np.nan)}, ["offset"], ("solve", "strategy")),
    "infinity in offset": ({"offset": put(Y, -np.inf)}, ["offset"], ("solve", "strategy")),
    "offset too long": ({"offset": np.zeros(25)}, ["offset"], ("solve", "strategy")),
    "complex offset": ({"offset": Y + 1j}, ["offset"], ("solve", "strategy")),
    "masked offset": ({"offset": masked(Y)}, ["offset", "masked"], ("solve", "strategy")),
    "a negative alpha": ({"alpha": -0.1}, ["alpha", "-0.1"], ("solve", "strategy")),
    "NaN as alpha": ({"alpha": np.nan}, ["alpha", "nan"], ("solve", "strategy")),
    "infinity as alpha": ({"alpha": np.inf}, ["alpha", "inf"], ("solve", "strategy")),
    "factors too short": ({"penalty": penalties.L1(factors=[1, 2])}, ["factors", "2", "3"], ("solve", "strategy")),
    "bounds too long": ({"penalty": penalties.L2(lower=[-1] * 4)}, ["lower", "4", "3"], ("solve", "strategy")),
    "a row a class": ({"penalty": penalties.L2(center=np.ones((2, 3)))}, ["center", "2"], ("solve", "strategy")),
    "a metric too large": ({"penalty": penalties.L2(metric=np.eye(4))}, ["metric", "4", "3"], ("solve", "strategy")),
}
CASES = [(case, door) for case, (_, _, doors) in BAD.items() for door in doors or DOORS]


@pytest.mark.parametrize(("case", "door"), CASES)
def test_bad_input_is_a_value_error(case, door):
    request, words, _ = BAD[case]
    # scikit-learn warns of a column vector or a cast before it raises
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (the words follow)
            DOORS[door](**({"X": X, "y": Y} | request))
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


@pytest.mark.parametrize("door", DOORS)
def test_renamed_columns_are_refused_when_predicting(door):
    fitted = DOORS[door](FRAME, Y)
    with pytest.raises(ValueError, match="age"):
        fitted.predict(FRAME.rename(columns={"age": "years"}))


def test_a_metric_is_in_original_units():
    metric = penalties.L2(metric=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"penalty.metric .* standardize=False"):
        solve(X, Y, penalty=metric, alphas=0.1, standardize=True)
    with pytest.raises(ValueError, match="standardize=False"):
        Strategy(loss="squared", penalty=metric)


def test_groups_that_are_missing_say_what_to_pass():
    with pytest.raises(ValueError, match=r"groups of penalties.GroupLasso are missing: pass .*groups=\[0, 0, 1\]"):
        solve(X, Y, penalty="group_lasso", alphas=0.1)


# --------------------------------------------------------------------------------------------- kinds that are alike

WHOLE = RNG.integers(0, 2, size=(24, 3)).astype(float)


def sparse_of(kind):
    def make(matrix):
        made = kind(matrix)
        for name in ("indices", "indptr", "row", "col"):
            if hasattr(made, name) and not (name in ("row", "col") and made.format != "coo"):
                setattr(made, name, getattr(made, name).astype(np.int64))
        return made

    return make


def strided(matrix):
    wide = np.zeros((48, 6))
    wide[::2, ::2] = matrix
    return wide[::2, ::2]


def read_only(matrix):
    copy = matrix.copy()
    copy.flags.writeable = False
    return copy


KINDS = {
    "Fortran": np.asfortranarray,
    "strided": strided,
    "negative strides": lambda m: np.ascontiguousarray(m[::-1, ::-1])[::-1, ::-1],
    "big-endian": lambda m: m.astype(">f8"),
    "read-only": read_only,
    "masked, nothing of it": np.ma.asarray,
    "float16": lambda m: m.astype("f2"),
    "float32": lambda m: m.astype("f4"),
    "big-endian float32": lambda m: m.astype(">f4"),
    "int8": lambda m: m.astype("i1"),
    "uint64": lambda m: m.astype("u8"),
    "big-endian ints": lambda m: m.astype(">i4"),
    "bools": lambda m: m.astype(bool),
    "longdouble": lambda m: m.astype(np.longdouble),
    "object numbers": lambda m: m.astype(object),
    "decimals": lambda m: np.array([[Decimal(int(v)) for v in row] for row in m]),
    "lists": lambda m: m.tolist(),
    "pandas": lambda m: pd.DataFrame(m),
    "pandas nullable": lambda m: pd.DataFrame(m).astype("Int64"),
    "pandas nullable floats": lambda m: pd.DataFrame(m).astype("Float32"),
    "pandas nullable bools": lambda m: pd.DataFrame(m).astype(bool).astype("boolean"),
    "pandas on pyarrow": lambda m: pd.DataFrame(m).astype("int64[pyarrow]"),
    "polars": lambda m: pl.DataFrame(m),
}
SPARSE = {
    "CSR": sparse_of(scipy.sparse.csr_array),
    "CSC": sparse_of(scipy.sparse.csc_array),
    "COO": sparse_of(scipy.sparse.coo_array),
    "sparse matrix": sparse_of(scipy.sparse.csr_matrix),
    "sparse bools": lambda m: scipy.sparse.csr_array(m.astype(bool)),
}


@pytest.mark.parametrize("door", ["solve", "strategy"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_matrix_gives_the_same_bits(kind, door):
    plain, other = DOORS[door](WHOLE, Y), DOORS[door](KINDS[kind](WHOLE), Y)
    np.testing.assert_array_equal(other.coef, plain.coef)
    np.testing.assert_array_equal(other.intercept, plain.intercept)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_matrix_serves_an_estimator(kind):
    frame = KINDS[kind](WHOLE)
    if isinstance(frame, pd.DataFrame):
        frame = frame.set_axis(["a", "b", "c"], axis=1)
    plain, other = through_estimator(WHOLE, Y), through_estimator(frame, Y)
    np.testing.assert_array_equal(other.predict(frame), plain.predict(WHOLE))


@pytest.mark.parametrize("kind", SPARSE)
def test_sparse_matrices_are_as_the_plain_array(kind):
    made = SPARSE[kind](WHOLE)
    before = made.copy()
    plain, other = solve(WHOLE, Y, alphas=[0.1], folds=3), solve(made, Y, alphas=[0.1], folds=3)
    np.testing.assert_allclose(other.coef, plain.coef, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.fold_coef, plain.fold_coef, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.predict(made), plain.predict(WHOLE), rtol=1e-9)
    assert (made != before).nnz == 0


VECTORS = {
    "list": list,
    "series": pd.Series,
    "nullable": lambda v: pd.Series(v).astype("Int64"),
    "nullable floats": lambda v: pd.Series(v).astype("Float64"),
    "pyarrow": lambda v: pd.Series(v).astype("int64[pyarrow]"),
    "object": lambda v: v.astype(object),
    "big-endian": lambda v: v.astype(">f8"),
    "longdouble": lambda v: v.astype(np.longdouble),
    "float16": lambda v: v.astype("f2"),
    "strided": lambda v: np.repeat(v, 2)[::2],
    "negative strides": lambda v: np.ascontiguousarray(v[::-1])[::-1],
    "masked, nothing of it": np.ma.asarray,
    "polars": pl.Series,
}


@pytest.mark.parametrize("door", ["solve", "strategy"])
@pytest.mark.parametrize("kind", VECTORS)
def test_every_kind_of_vector_gives_the_same_bits(kind, door):
    make = VECTORS[kind]
    rows = {"sample_weight": COUNTS + 1, "offset": COUNTS}
    plain = DOORS[door](X, COUNTS, **rows)
    other = DOORS[door](X, make(COUNTS), **{name: make(values) for name, values in rows.items()})
    np.testing.assert_array_equal(other.coef, plain.coef)
    labelled = DOORS[door](X, make(LABELS), loss="logistic")
    np.testing.assert_array_equal(labelled.coef, DOORS[door](X, LABELS, loss="logistic").coef)


# ------------------------------------------------------------------------------------- folds that cannot be fitted


@pytest.mark.filterwarnings("ignore::metafit.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_absent_from_a_training_fold_fails_in_its_cell_alone(n_classes):
    y = np.array(["a", "b", "c"])[np.arange(24) % n_classes]
    without_a = np.flatnonzero(y != "a")
    folds = [(without_a, np.flatnonzero(y == "a")), (np.arange(16), np.arange(16, 24))]
    solution = solve(X, y, loss="logistic", alphas=[1.0, 0.1], folds=folds)
    assert solution.fold_status.tolist() == [["failed", "converged"]] * 2
    assert all("class" in reason for reason in solution.fold_reason[:, 0])
    assert np.isfinite(solution.fold_coef[:, 1]).all()
    assert (solution.status == "converged").all()
    assert solution.best is not None
    results = run_strategies(Task(X, y), [Strategy(loss="logistic")], folds)
    assert [result.status for result in results] == ["failed", "ok"]
    assert "class" in results[0].reason


@pytest.mark.filterwarnings("ignore::metafit.exceptions.ConvergenceWarning")
def test_a_training_fold_that_the_loss_refuses_fails_in_its_cell_alone():
    y = np.r_[np.zeros(12), np.ones(12)]
    folds = [(np.arange(12), np.arange(12, 24)), (np.arange(6, 24), np.arange(6))]
    solution = solve(X, y, loss="poisson", alphas=0.5, folds=folds)
    assert solution.fold_status.tolist() == ["failed", "converged"]
    assert solution.fold_reason[0]
    results = run_strategies(Task(X, y, kind="regression"), [Strategy(loss="poisson")], folds)
    assert [result.status for result in results] == ["failed", "ok"]
    assert results[0].reason == solution.fold_reason[0]


# -------------------------------------------------------------------------------------------- answers at the edge

SERVED = [name for name, loss in losses.REGISTRY.items() if loss.kind == "regression"]


def constant_of(name, value):
    """The linear prediction whose mean is `value`."""
    return np.log(value) if name in ("poisson", "gamma", "tweedie") else value


@pytest.mark.parametrize("name", SERVED)
@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_equal_targets(name, n):
    solution = solve(X[:n], np.full(n, 2.0), loss=name, alphas=0.1)
    np.testing.assert_allclose(solution.coef, 0, atol=1e-7)
    assert solution.intercept == pytest.approx(constant_of(name, 2.0), abs=1e-7)
    assert solution.status == "converged"


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n", [1, 2])
def test_ridge_on_one_or_two_rows(n, fit_intercept):
    x, y = X[:n], Y[:n]
    solution = solve(x, y, alphas=0.3, fit_intercept=fit_intercept)
    mean, level = (x.mean(axis=0), y.mean()) if fit_intercept else (0.0, 0.0)
    z = x - mean
    expected = np.linalg.solve(z.T @ z / n + 0.3 * np.eye(3), z.T @ (y - level) / n)
    np.testing.assert_allclose(solution.coef, expected, rtol=1e-10, atol=1e-14)
    assert solution.status == "converged"


def test_two_rows_of_two_classes():
    solution = solve(X[:2], ["no", "yes"], loss="logistic", alphas=0.1)
    assert solution.status == "converged"
    assert solution.predict(X[:2]).tolist() == ["no", "yes"]


@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic_net"])
@pytest.mark.parametrize("name", SERVED)
def test_an_empty_subset_is_the_intercept_alone(name, penalty):
    y, weight = COUNTS + 1, np.arange(24) % 3 + 1.0
    solution = solve(X, y, loss=name, penalty=penalty, alphas=0.1, subsets=[[]], sample_weight=weight)
    assert not solution.coef.any()
    objective = [np.average(held_out(name, y, eta), weights=weight) for eta in np.linspace(-2, 6, 8001)]
    assert solution.intercept[0] == pytest.approx(np.linspace(-2, 6, 8001)[np.argmin(objective)], abs=2e-3)


def held_out(name, y, eta):
    """The losses, written once more."""
    r, mu = y - eta, np.exp(eta)
    return {
        "squared": lambda: r**2 / 2,
        "poisson": lambda: mu - y * eta,
        "gamma": lambda: y / mu + eta,
        "tweedie": lambda: mu**0.5 / 0.5 + y * mu**-0.5 / 0.5,
        "huber": lambda: np.where(np.abs(r) <= 1.35, r**2 / 2, 1.35 * np.abs(r) - 1.35**2 / 2),
        "quantile": lambda: np.abs(r) / 2,
    }[name]()


@pytest.mark.parametrize("name", SERVED)
def test_a_constant_target_leaves_the_coefficients_at_0(name):
    solution = solve(X, np.full(24, 3.0), loss=name, penalty="l1", alphas=[0.1, 0.01])
    assert not solution.coef.any()
    np.testing.assert_allclose(solution.predict(X), 3.0, rtol=1e-7)
    assert (solution.status == "converged").all()


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic_net"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_constant_column_stays_at_its_centre(loss, penalty, standardize):
    kind = penalties.REGISTRY[penalty]
    constant = np.column_stack([X, np.full(24, 7.0)])
    y = Y if loss == "squared" else LABELS
    for center in (None, [0.5, 0.0, 0.0, -2.0]):
        request = {"loss": loss, "penalty": kind(center=center), "alphas": 0.05, "standardize": standardize}
        assert solve(constant, y, **request).coef[3] == (0.0 if center is None else -2.0)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_equal_columns_have_equal_ridge_coefficients(loss):
    y = Y if loss == "squared" else LABELS
    twice = np.column_stack([X, X[:, 0]])
    penalty = penalties.L2(factors=[2, 1, 1, 2], center=[1, 0, 0, 1], lower=[-1, -9, -9, -1])
    coef = solve(twice, y, loss=loss, penalty=penalty, alphas=0.1, tol=0).coef
    assert coef[0] == pytest.approx(coef[3], rel=1e-9)


def test_equal_columns_without_penalty_have_the_least_norm():
    twice = np.column_stack([X, X[:, 0]])
    with pytest.warns(RankWarning):
        solution = solve(twice, Y, alphas=0.0)
    expected = np.linalg.pinv(twice - twice.mean(axis=0)) @ Y
    np.testing.assert_allclose(solution.coef, expected, rtol=1e-9, atol=1e-12)


def test_a_cell_that_fails_leaves_its_neighbours_alone():
    table, split = Table(X, Y), Split(np.arange(24), np.arange(0))
    failed, solved = run_cells(table, [split], [Cell(alphas=[0.1], loss=loss) for loss in ("logistic", "squared")])
    assert (failed.status, solved.status) == (["failed"], ["converged"])
    assert failed.reason[0]


def test_strategies_say_by_which_rows_they_cannot_be_fitted():
    """What a loss can fit is looked at on training rows alone."""
    y = put(COUNTS + 1, -1.0, place=0)
    task = Task(X, y, kind="regression")
    folds = [(np.arange(1, 24), np.arange(1)), (np.arange(12), np.arange(12, 24))]
    results = run_strategies(task, [Strategy(loss="poisson", alpha=PerRow(1.0))], folds)
    assert results[1].status == "failed"
    assert "-1" in results[1].reason
