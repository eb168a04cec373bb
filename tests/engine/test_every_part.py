"""Every loss, penalty and solver of the registries through `solve` and strategies: axes, predictions, statuses."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.metrics import log_loss

from metafit.engine import Cell, Split, Table, run_cells, solve
from metafit.engine.fitted import refit
from metafit.engine.running import run_strategies
from metafit.exceptions import ConvergenceWarning
from metafit.strategies import Strategy, losses, penalties
from metafit.strategies.alphas import CV, OfMax, PerRow
from metafit.strategies.solvers import SOLVERS
from metafit.tasks.task import Task

RNG = np.random.default_rng(3)
N = 90
X = RNG.normal(size=(N, 4)) * [1, 3, 0.5, 1] + [0, 1, 0, 0]
ETA = X @ [0.6, -0.2, 0.0, 0.4]
TARGETS = {
    "regression": RNG.gamma(2.0, np.exp(ETA) / 2) + 0.01,
    "classification": np.where(ETA + RNG.normal(size=N) > 0, "yes", "no"),
}
CLASSES = np.array(["blue", "green", "red"])[np.argmax(X[:, :3] + RNG.normal(size=(N, 3)), axis=1)]
LOSSES = list(losses.REGISTRY)
PENALTIES = list(penalties.REGISTRY)
DIFFERENTIABLE = [name for name in LOSSES if name != "quantile"]


def make_penalty(name, **options):
    made = penalties.REGISTRY[name]
    return made([0, 0, 1, 1], **options) if made.has_groups else made(**options)


def target_of(loss):
    return TARGETS[losses.resolve(loss).kind]


# --------------------------------------------------------------------------------------------------- every pair


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_pair_is_solved_and_has_its_status(loss, penalty):
    part = make_penalty(penalty)
    solution = solve(X, target_of(loss), loss=loss, penalty=part, alphas=[0.3, 0.03], folds=3, standardize=True)
    assert (solution.status == ("converged" if part.is_convex else "local")).all()
    assert np.isinf(solution.gap).all() != part.is_convex
    assert solution.kkt.shape == solution.gap.shape
    assert set(solution.scores) == {name.removesuffix("_score") for name in losses.resolve(loss).scores}
    mean = solution.scores[losses.resolve(loss).score.removesuffix("_score")].mean(axis=-1)
    assert solution.best == {"subset": 0, "alpha": int(np.argmin(mean))}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_has_a_grid_and_predictions(loss):
    solution = solve(X, target_of(loss), loss=loss, penalty="l1", n_alphas=4)
    assert np.all(np.diff(solution.alphas) < 0)
    if loss in DIFFERENTIABLE:
        assert not solution.coef[0].any()
        assert solution.coef[-1].any()
    eta = np.asarray(solution.decision_function(X))
    np.testing.assert_allclose(eta, (X @ solution.coef.T + solution.intercept).T, rtol=1e-12, atol=1e-12)
    predicted = solution.predict(X)
    if solution.classes is not None:
        np.testing.assert_array_equal(predicted, np.where(eta > 0, "yes", "no"))
    elif loss in ("poisson", "gamma", "tweedie"):
        np.testing.assert_allclose(predicted, np.exp(eta), rtol=1e-12)
    else:
        np.testing.assert_array_equal(predicted, eta)


@pytest.mark.parametrize("loss", LOSSES)
def test_probabilities_are_for_losses_that_have_them(loss):
    solution = solve(X, target_of(loss), loss=loss, alphas=0.1)
    if losses.resolve(loss).has_probabilities:
        np.testing.assert_allclose(solution.predict_proba(X).sum(axis=-1), 1, rtol=1e-14)
    else:
        with pytest.raises(AttributeError, match=r"classifications only|gives no probabilities"):
            solution.predict_proba(X)


def test_parameters_of_a_loss_reach_the_core():
    low, high = (solve(X, target_of("quantile"), loss=losses.Quantile(q), alphas=0.01) for q in (0.1, 0.9))
    below = [np.mean(TARGETS["regression"] < solution.predict(X)) for solution in (low, high)]
    assert below[0] == pytest.approx(0.1, abs=0.06)
    assert below[1] == pytest.approx(0.9, abs=0.06)
    wide = solve(X, TARGETS["regression"], loss=losses.Huber(1e6), alphas=0.1, tol=1e-12)
    np.testing.assert_allclose(wide.coef, solve(X, TARGETS["regression"], alphas=0.1, tol=1e-12).coef, rtol=1e-6)


def test_poisson_ridge_equals_scikit_learn():
    counts = RNG.poisson(np.exp(ETA))
    weight = RNG.uniform(0.5, 2, N)
    solution = solve(X, counts, loss="poisson", alphas=0.2, sample_weight=weight, tol=1e-12)
    model = PoissonRegressor(alpha=0.2, tol=1e-10, max_iter=10_000).fit(X, counts, weight)
    np.testing.assert_allclose(solution.coef, model.coef_, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(solution.predict(X), model.predict(X), rtol=1e-5)


# ----------------------------------------------------------------------------------- what is said of columns


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_bounds_hold_and_infinite_factors_pin(loss, penalty):
    part = make_penalty(
        penalty,
        center=[0.1, 0.0, 0.2, 0.0],
        factors=[1, 1, np.inf, 0],
        lower=[-1, -0.05, -1, -1],
        upper=[0.2, 1, 1, 0.3],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        coef = solve(X, target_of(loss), loss=loss, penalty=part, alphas=[0.5, 0.01]).coef
    assert (coef >= np.array(part.lower)).all()
    assert (coef <= np.array(part.upper)).all()
    assert (coef[:, 2] == 0.2).all()


def test_a_diagonal_metric_is_factors_and_a_matrix_is_a_quadratic_form():
    y = TARGETS["regression"]
    factors, diagonal = np.array([1.0, 2.0, 0.0, 3.0]), np.array([0.5, 1.0, 2.0, 0.0])
    by_metric = solve(X, y, penalty=penalties.L2(metric=diagonal, factors=factors), alphas=0.3)
    by_factors = solve(X, y, penalty=penalties.L2(factors=factors * diagonal), alphas=0.3)
    np.testing.assert_array_equal(by_metric.coef, by_factors.coef)
    root = RNG.normal(size=(4, 4))
    metric, center = root @ root.T, np.array([1.0, 0.0, -1.0, 0.5])
    scaled = np.sqrt(factors)[:, None] * metric * np.sqrt(factors)
    solution = solve(X, y, penalty=penalties.L2(metric=metric, factors=factors, center=center), alphas=0.3, tol=0)
    z = X - X.mean(axis=0)
    moved = np.linalg.solve(z.T @ z / N + 0.3 * scaled, z.T @ (y - y.mean() - z @ center) / N)
    np.testing.assert_allclose(solution.coef, center + moved, rtol=1e-9)
    pinned = solve(X, y, penalty=penalties.L2(metric=[1, 0, 1, 1], factors=[1, np.inf, 1, 1]), alphas=0.3)
    assert pinned.coef[1] == 0.0


def test_groups_in_every_form_are_one_fit():
    frame = pd.DataFrame(X, columns=list("abcd"))
    forms = [[0, 0, 1, 2], ["u", "u", "v", "w"], [["a", "b"]], [["b", 0], ["d"]], np.array([5, 5, 1, 0]), [[0, -3]]]
    first, *others = (solve(frame, ETA, penalty=penalties.GroupLasso(groups), alphas=[0.2, 0.1]) for groups in forms)
    for other in others:
        np.testing.assert_array_equal(other.coef, first.coef)
    assert ((first.coef[:, 0] == 0) == (first.coef[:, 1] == 0)).all()
    with pytest.raises(ValueError, match="'z' that is not there"):
        solve(frame, ETA, penalty=penalties.GroupLasso([["z"]]), alphas=0.1)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_solver_serves_a_pair_or_says_that_it_does_not(loss, solver):
    for penalty in PENALTIES:
        request = {"loss": loss, "penalty": make_penalty(penalty), "alphas": [0.2, 0.05]}
        automatic = solve(X, target_of(loss), **request)
        try:
            chosen = solve(X, target_of(loss), solver=solver, **request)
        except ValueError as error:
            assert solver in str(error)
            assert solver != "auto"
            continue
        np.testing.assert_allclose(chosen.objective, automatic.objective, rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------------------------------- more than two classes


@pytest.mark.parametrize("subsets", [None, [[0, 1, 2], [3]]])
@pytest.mark.parametrize("alphas", [0.1, [0.1, 0.01]])
def test_axes_of_more_than_two_classes(subsets, alphas):
    solution = solve(X, CLASSES, loss="logistic", alphas=alphas, subsets=subsets, folds=3)
    fits = ("subset",) * (subsets is not None) + ("alpha",) * (np.ndim(alphas) > 0)
    sizes = {"subset": 2, "alpha": 2, "fold": 3, "class": 3, "feature": 4}
    expected = {
        "coef": (*fits, "class", "feature"),
        "intercept": (*fits, "class"),
        "fold_coef": (*fits, "fold", "class", "feature"),
        "fold_intercept": (*fits, "fold", "class"),
        "gap": fits,
        "fold_status": (*fits, "fold"),
        "scores": (*fits, "fold"),
    }
    for field, dims in expected.items():
        assert solution.dims[field] == dims
        values = solution.scores["log_loss"] if field == "scores" else getattr(solution, field)
        assert np.shape(values) == tuple(sizes[axis] for axis in dims), field
    lead = tuple(sizes[axis] for axis in fits)
    assert solution.decision_function(X[:7], offset=np.ones(7)).shape == (*lead, 7, 3)
    assert solution.predict_proba(X[:7]).shape == (*lead, 7, 3)
    assert solution.predict(X[:7]).shape == (*lead, 7)
    best = solve(X, CLASSES, loss="logistic", alphas=alphas, subsets=subsets, folds=3, keep="best")
    assert (best.dims["coef"], best.coef.shape) == (("class", "feature"), (3, 4))
    np.testing.assert_array_equal(
        best.predict_proba(X), solution.predict_proba(X)[tuple(solution.best[axis] for axis in fits)]
    )


def test_the_softmax_equals_scikit_learn():
    weight = RNG.uniform(0.5, 2, N)
    solution = solve(X, CLASSES, loss="logistic", alphas=0.02, sample_weight=weight, folds=3, tol=1e-12)
    model = LogisticRegression(C=1 / (0.02 * weight.sum()), tol=1e-12, max_iter=10_000).fit(X, CLASSES, weight)
    np.testing.assert_array_equal(solution.classes, model.classes_)
    np.testing.assert_allclose(solution.coef, model.coef_, atol=1e-6)
    np.testing.assert_allclose(solution.predict_proba(X), model.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(solution.predict(X), model.predict(X))
    eta = solution.decision_function(X)
    np.testing.assert_allclose(solution.predict_proba(X), softmax(eta, axis=-1), rtol=1e-12)
    assert set(solution.scores) == {"log_loss", "brier_score_loss", "accuracy", "roc_auc"}


def test_a_centre_and_bounds_for_each_class():
    center = np.array([[0.1, 0, 0, 0], [0, 0.2, 0, 0], [0, 0, 0, -0.3]])
    pinned = penalties.L2(center=center, factors=[np.inf] * 4)
    np.testing.assert_array_equal(solve(X, CLASSES, loss="logistic", penalty=pinned, alphas=0.1).coef, center)
    assert solve(X, CLASSES, loss="logistic", alphas=0.001).coef[:, 0].min() < -0.25
    for lower in ([-0.2, -9, -9, -9], np.tile([-0.2, -9, -9, -9], (3, 1))):
        coef = solve(X, CLASSES, loss="logistic", penalty=penalties.L2(lower=lower), alphas=0.001).coef
        assert coef[:, 0].min() == -0.2
    with pytest.raises(ValueError, match=r"penalty.center has 2 rows, one a class: y has 3"):
        solve(X, CLASSES, loss="logistic", penalty=penalties.L2(center=np.ones((2, 4))), alphas=0.1)
    with pytest.raises(ValueError, match=r"penalty.center has 3 rows"):
        solve(X, TARGETS["classification"], loss="logistic", penalty=pinned, alphas=0.1)


def test_a_group_of_more_than_two_classes_spans_the_classes():
    penalty = penalties.GroupLasso([0, 1, 2, 3])
    coef = solve(X, CLASSES, loss="logistic", penalty=penalty, alphas=[0.1, 0.05, 0.02]).coef
    zero = coef == 0
    assert (zero.all(axis=1) == zero.any(axis=1)).all()
    assert zero.any()
    assert not zero.all()


# ----------------------------------------------------------------------------------------------------- warnings


def test_one_warning_counts_what_ended_how():
    apart = np.where(X[:, 0] > 0, "yes", "no")
    with pytest.warns(ConvergenceWarning) as caught:
        solution = solve(X, apart, loss="logistic", alphas=[0.1, 0.0], folds=2)
    assert len(caught) == 1
    assert solution.status.tolist() == ["converged", "separated"]
    assert solution.fold_status[1].tolist() == ["separated", "separated"]
    assert str(caught[0].message) == "of 6 fits 3 ran away on separated classes"
    assert np.isfinite(solution.coef).all()
    with pytest.warns(ConvergenceWarning, match=r"of 2 fits 2 did not reach the tolerance"):
        solve(X, TARGETS["classification"], loss="logistic", penalty="l1", alphas=[0.01, 0.001], max_iter=0)


def test_a_fold_without_scores_does_not_hide_the_best():
    weight = np.r_[np.zeros(30), np.ones(60)]
    folds = [(np.arange(30, 90), np.arange(30)), (np.arange(60), np.arange(60, 90))]
    solution = solve(X, TARGETS["regression"], alphas=[10.0, 0.1], folds=folds, sample_weight=weight)
    scores = solution.scores["mean_squared_error"]
    assert np.isnan(scores[:, 0]).all()
    assert solution.best == {"subset": 0, "alpha": int(np.argmin(scores[:, 1]))}


# ---------------------------------------------------------------------------------------------------- strategies


def make_frame():
    frame = pd.DataFrame(X, columns=list("abcd"))
    return frame.assign(town=np.array(["x", "y", "z"])[np.arange(N) % 3])


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_pair_is_a_strategy(loss, penalty):
    task = Task(make_frame(), target_of(loss), kind=losses.resolve(loss).kind)
    strategies = [Strategy(loss=loss, penalty=penalty, alpha=alpha) for alpha in (PerRow(2.0), OfMax(0.1), CV(3))]
    for strategy in strategies:
        assert Strategy.from_json(strategy.to_json()) == strategy
    results = run_strategies(task, strategies, task.splits(3))
    if losses.resolve(loss).kind == "classification" and not losses.resolve(loss).has_probabilities:
        assert {r.status for r in results} == {"not_applicable"}
        assert "gives no probabilities" in results[0].reason
        return
    assert {(r.status, r.reason) for r in results} == {("ok", "")}
    metric = "mean_squared_error" if task.classes is None else "log_loss"
    assert all(np.isfinite(r.metrics[metric]) for r in results)


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie", "huber", "quantile"])
def test_regressions_are_compared_by_the_error_of_their_predictions(loss):
    task = Task(make_frame(), TARGETS["regression"])
    train, test = task.splits(3)[0]
    strategy = Strategy(loss=loss, alpha=PerRow(2.0))
    (result,) = run_strategies(task, [strategy], [(train, test)])
    fitted = refit(task.take(train), strategy)
    predicted = fitted.predict(task.X.iloc[test])
    assert result.metrics["mean_squared_error"] == pytest.approx(np.mean((task.y[test] - predicted) ** 2), rel=1e-9)
    baseline = np.mean((task.y[test] - task.y[train].mean()) ** 2)
    assert result.loss == pytest.approx(result.metrics["mean_squared_error"] / baseline, rel=1e-12)


def test_groups_of_a_strategy_are_the_blocks_of_raw_columns():
    task = Task(make_frame(), TARGETS["regression"])
    blocks = refit(task, Strategy(loss="squared", penalty="group_lasso", alpha=OfMax(0.1)))
    listed = penalties.GroupLasso([["town"], ["a"]])
    by_name = refit(task, Strategy(loss="squared", penalty=listed, alpha=OfMax(0.1)))
    by_label = refit(
        task, Strategy(loss="squared", penalty=penalties.GroupLasso([0, 1, 2, 3, 4, 4, 4]), alpha=OfMax(0.1))
    )
    for other in (by_name, by_label):
        np.testing.assert_array_equal(other.coef, blocks.coef)
    towns = blocks.coef_table().query("feature == 'town'")["coef"]
    assert (towns == 0).all() or (towns != 0).all()
    unknown = Strategy(loss="squared", penalty=penalties.GroupLasso([["village"]]))
    results = run_strategies(task, [unknown], task.splits(3)[:1])
    assert (results[0].status, "village" in results[0].reason) == ("not_applicable", True)


def test_a_strategy_on_more_than_two_classes():
    task = Task(make_frame(), CLASSES)
    strategy = Strategy(loss="logistic", alpha=PerRow(2.0))
    train, test = task.splits(3)[0]
    (result,) = run_strategies(task, [strategy], [(train, test)], tol=0.0)
    fitted = refit(task.take(train), strategy, tol=0.0)
    Z = task.matrix[train]
    scale = Z.std(axis=0)
    model = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000).fit(Z / scale, task.y[train])
    np.testing.assert_allclose(fitted.coef, model.coef_ / scale, atol=1e-5)
    proba = fitted.predict_proba(task.X.iloc[test])
    np.testing.assert_allclose(proba, model.predict_proba(task.matrix[test] / scale), atol=1e-5)
    assert result.metrics["log_loss"] == pytest.approx(log_loss(task.y[test], proba), rel=1e-9)
    assert (result.status, result.n_features) == ("ok", 5)
    np.testing.assert_array_equal(fitted.predict(task.X), task.classes[fitted.predict_proba(task.X).argmax(axis=1)])
    table = fitted.coef_table()
    assert list(table.columns) == ["feature", "blue", "green", "red"]
    np.testing.assert_array_equal(table.loc[task.columns, ["blue", "green", "red"]].to_numpy(), fitted.coef.T)
    np.testing.assert_array_equal(table.loc["(intercept)", ["blue", "green", "red"]].astype(float), fitted.intercept)
    chosen = run_strategies(task, [Strategy(loss="logistic", penalty="l1", alpha=CV(4))], task.splits(3))
    assert {r.status for r in chosen} == {"ok"}


def test_statuses_of_strategies():
    task = Task(X, np.where(X[:, 0] > 0, "yes", "no"))
    (separated,) = run_strategies(task, [Strategy(loss="logistic", alpha=0.0)], task.splits(3)[:1])
    assert separated.status == "not_converged"
    assert "separated" in separated.reason
    assert refit(task, Strategy(loss="logistic", alpha=0.0)).status == "not_converged"
    local = Strategy(loss="squared", penalty="mcp", alpha=OfMax(0.1))
    (result,) = run_strategies(Task(X, TARGETS["regression"]), [local], task.splits(3)[:1])
    assert (result.status, result.gap) == ("ok", np.inf)


def test_a_solver_that_does_not_serve_a_pair_fails_in_its_strategy_alone():
    task = Task(X, TARGETS["regression"])
    strategies = [Strategy(loss="huber", solver="cholesky"), Strategy(loss="squared", solver="cholesky")]
    wrong, right = run_strategies(task, strategies, task.splits(3)[:1])
    assert (wrong.status, right.status) == ("failed", "ok")
    assert "cholesky" in wrong.reason


def test_cells_take_losses_with_parameters():
    table, split = Table(X, TARGETS["regression"]), Split(np.arange(60), np.arange(60, 90))
    cells = [Cell(alphas=[0.1], loss=losses.Huber(delta)) for delta in (0.1, 10.0)]
    low, high = run_cells(table, [split], cells)
    assert list(low.scores) == losses.Huber.scores
    assert not np.array_equal(low.coef, high.coef)
    assert low.kkt.shape == (1,)
