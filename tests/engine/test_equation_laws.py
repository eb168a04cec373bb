"""Laws of the equation for every loss with every penalty of the registries, on random problems.

Where a solution need not be unique objectives are compared, else coefficients too.
"""

import hypothesis.strategies as st
import numpy as np
import pytest
from equation_draws import LOSSES, PENALTIES, draw, options_of
from hypothesis import HealthCheck, assume, example, given, settings
from oracle_losses import READINGS
from oracle_penalties import READINGS as PENALTY_READINGS

law = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
pytestmark = pytest.mark.filterwarnings("ignore::metafit.exceptions.ConvergenceWarning")

CONVEX = [name for name in PENALTIES if PENALTY_READINGS[name]().curve is None]
seeds = st.integers(0, 2**20)
each_loss = pytest.mark.parametrize("loss", LOSSES)


@st.composite
def cases(draw_from, losses=LOSSES, among=PENALTIES, without=()):
    """A penalty with a set of options that go with it, and a seed."""
    penalty = draw_from(st.sampled_from(among))
    possible = [option for option in options_of(penalty) if option not in without]
    options = [option for option in possible if draw_from(st.booleans())]
    return penalty, options, draw_from(seeds)


def problem_of(loss, case):
    penalty, options, seed = case
    return draw(loss, penalty, options, seed)


def is_determined(problem):
    """Whether there is one answer: a folded concave penalty has several, and ties of quantiles choose among them."""
    return problem.loss != "quantile" or problem.penalty in CONVEX


def same(problem, a, b, *, coef=None, intercept=0.0, tight=1e-9):
    """Two fits have one answer, up to a map of the coefficients of the second and a shift of its intercepts."""
    scale = problem.scale(a.objective)
    assert a.status == b.status
    convex = problem.penalty in CONVEX
    if not is_determined(problem):
        return
    assert b.objective == pytest.approx(a.objective, abs=(tight if convex else 1e-7) * scale)
    if convex and problem.is_unique:
        sd = np.asarray(problem.X).std(0)
        theirs = b.coef if coef is None else coef(b.coef)
        size = abs(a.coef * sd).max() + 0.1
        np.testing.assert_allclose(theirs * sd, a.coef * sd, rtol=0, atol=1e-6 * size)
        reach = size * (1 + abs(problem.X / sd).max())
        np.testing.assert_allclose(b.intercept + intercept, a.intercept, rtol=0, atol=1e-6 * reach)


def with_rows(problem, rows, **changes):
    """The same problem on some rows, perhaps repeated."""
    of_rows = {k: None if getattr(problem, k) is None else getattr(problem, k)[rows] for k in ("weights", "offset")}
    return problem.but(X=problem.X[rows], y=problem.y[rows], **(of_rows | changes))


# ------------------------------------------------------------------------------------------------------------ rows


@each_loss
@law
@given(cases(without=["weights"]), seeds)
def test_an_integer_weight_is_a_repeated_row(loss, case, seed):
    problem = problem_of(loss, case)
    counts = np.random.default_rng(seed).integers(0, 4, len(problem.y))
    counts[:8] = 1
    repeated = with_rows(problem, np.repeat(np.arange(len(problem.y)), counts))
    same(problem, repeated.fit(tol=0), problem.but(weights=counts).fit(tol=0))


@each_loss
@law
@given(cases(), seeds)
def test_a_row_of_weight_0_is_a_deleted_row(loss, case, seed):
    problem = problem_of(loss, case)
    keep = np.random.default_rng(seed).random(len(problem.y)) < 0.85
    keep[:8] = True
    weights = np.ones(len(keep)) if problem.weights is None else problem.weights
    absent = problem.but(X=np.where(keep[:, None], problem.X, 1e6), weights=np.where(keep, weights, 0.0))
    same(problem, with_rows(problem, keep).fit(tol=0), absent.fit(tol=0))


@each_loss
@law
@given(cases(), seeds)
def test_a_fold_is_a_fit_on_its_training_rows(loss, case, seed):
    """Also where a row is held out by one fold and learned from, twice, by the other."""
    problem = problem_of(loss, case)
    rng = np.random.default_rng(seed)
    held = np.sort(rng.choice(np.arange(8, len(problem.y)), 6, replace=False))
    train = np.setdiff1d(np.arange(len(problem.y)), held)
    solution = problem.solve(tol=0, folds=[(train, held), (np.arange(len(problem.y)), held)])
    for fold, rows in enumerate([train, np.arange(len(problem.y))]):
        alone = with_rows(problem, rows).fit(tol=0)
        at_fold = solution.dims["fold_coef"].index("fold")
        coef = np.take(solution.fold_coef, fold, axis=at_fold).reshape(alone.coef.shape)
        objective = np.ravel(solution.fold_objective)[fold]
        scale = problem.scale(alone.objective)
        if is_determined(problem):
            assert objective == pytest.approx(alone.objective, abs=1e-7 * scale)
        if problem.is_unique and problem.penalty in CONVEX:
            sd = problem.X.std(0)
            size = abs(alone.coef * sd).max() + 0.1
            np.testing.assert_allclose(coef * sd, alone.coef * sd, rtol=0, atol=1e-6 * size)


@each_loss
@law
@given(cases(), seeds)
def test_the_order_of_rows_does_not_matter(loss, case, seed):
    problem = problem_of(loss, case)
    rows = np.random.default_rng(seed).permutation(len(problem.y))
    same(problem, problem.fit(tol=0), with_rows(problem, rows).fit(tol=0))


@each_loss
@law
@given(cases(), seeds)
def test_the_order_of_columns_does_not_matter(loss, case, seed):
    problem = problem_of(loss, case)
    order = np.random.default_rng(seed).permutation(problem.p)
    names = ("groups", "factors", "center", "lower", "upper")
    changes = {k: None if getattr(problem, k) is None else getattr(problem, k)[order] for k in names}
    if problem.metric is not None:
        changes["metric"] = problem.metric[order] if problem.metric.ndim == 1 else problem.metric[np.ix_(order, order)]
    if problem.columns is not None:
        changes["columns"] = np.flatnonzero(np.isin(order, problem.columns))
    moved = problem.but(X=problem.X[:, order], **changes)
    same(problem, problem.fit(tol=0), moved.fit(tol=0), coef=lambda c: c[:, np.argsort(order)])


@each_loss
@law
@given(cases(), st.floats(1e-3, 1e3))
def test_the_size_of_all_weights_does_not_matter(loss, case, times):
    problem = problem_of(loss, case)
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    same(problem, problem.fit(tol=0), problem.but(weights=times * weights).fit(tol=0))


# ------------------------------------------------------------------------------------------------ shifts, offsets


@each_loss
@law
@given(cases(), seeds)
def test_shifting_the_columns_moves_the_intercept_alone(loss, case, seed):
    problem = problem_of(loss, case).but(fit_intercept=True)
    shift = np.random.default_rng(seed).normal(size=problem.p) * 5 * problem.X.std(0)
    fit = problem.fit(tol=0)
    moved = problem.but(X=problem.X + shift).fit(tol=0)
    change = moved.coef @ shift
    # classes share a constant: what the intercepts sum to is free
    same(problem, fit, moved, intercept=change - (change.mean() if loss == "softmax" else 0))


@pytest.mark.parametrize("loss", [name for name in LOSSES if READINGS[name].shifts])
@law
@given(cases(without=["offset"]), seeds)
def test_an_offset_is_taken_from_the_target(loss, case, seed):
    problem = problem_of(loss, case)
    offset = 3 * np.random.default_rng(seed).normal(size=len(problem.y))
    same(problem, problem.but(offset=offset).fit(tol=0), problem.but(y=problem.y - offset).fit(tol=0))


@each_loss
@law
@given(cases(without=["offset"]), st.floats(-3, 3))
def test_a_constant_offset_moves_the_intercept_alone(loss, case, shift):
    problem = problem_of(loss, case).but(fit_intercept=True)
    moved = problem.but(offset=np.full(len(problem.y), shift))
    # the same number in all classes says nothing
    same(problem, problem.fit(tol=0), moved.fit(tol=0), intercept=0 if loss == "softmax" else shift)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "softmax"])
@law
@given(cases(without=["center", "offset"]), seeds)
def test_a_centre_is_an_offset(loss, case, seed):
    """About w0 the fit is w0 plus the fit, about 0 and within the box less w0, with the offset X w0."""
    problem = problem_of(loss, case)
    center = np.random.default_rng(seed).normal(size=problem.p) / problem.X.std(0) / 3
    center = np.where(problem.allowed, center, 0.0)
    box = {k: None if getattr(problem, k) is None else getattr(problem, k) + center for k in ("lower", "upper")}
    about = problem.but(center=center, **box)
    shifted = problem.but(offset=problem.X @ center)
    same(problem, about.fit(tol=0), shifted.fit(tol=0), coef=lambda c: c + center)


# ------------------------------------------------------------------------------------------------ what is optimal


@pytest.mark.parametrize("loss", [name for name in LOSSES if READINGS[name].differentiable])
@law
@given(cases(among=[name for name in CONVEX if name != "l2"]))
def test_from_alpha_max_on_everything_is_at_the_centre(loss, case):
    problem = problem_of(loss, case)
    assume(problem.alpha_max > 1e-8)
    penalised = problem.moving & (problem.f > 0)
    w0 = problem.w0.astype(float)[:, penalised]
    for times in (1 + 1e-7, 2.0, 1e4):
        fit = problem.but(alpha=times * problem.alpha_max).fit(tol=0)
        np.testing.assert_array_equal(fit.coef[:, penalised], w0)
    assert (problem.but(alpha=0.999 * problem.alpha_max).fit(tol=0).coef[:, penalised] != w0).any()


@pytest.mark.parametrize("loss", [name for name in LOSSES if READINGS[name].differentiable])
@law
@given(cases(among=[name for name in PENALTIES if name != "l2"]))
def test_a_path_starts_at_alpha_max(loss, case):
    problem = problem_of(loss, case)
    assume(problem.alpha_max > 1e-8)
    alphas = problem.solve(alphas=None, n_alphas=2).alphas
    assert alphas[0] == pytest.approx(problem.alpha_max, rel=1e-6)


@pytest.mark.parametrize("loss", [name for name in LOSSES if READINGS[name].canonical])
@law
@given(cases(), st.booleans())
def test_predictions_have_the_mean_of_the_target(loss, case, by_predict):
    problem = problem_of(loss, case).but(fit_intercept=True)
    fit = problem.fit(tol=0)
    if by_predict and loss not in ("logistic", "softmax") and problem.offset is None:
        mean = fit.solution.predict(problem.X).reshape(-1, 1)[problem.rows]
    else:
        mean = problem.reading.mean(problem.eta(*fit.at))
    hot = problem.target == np.arange(problem.k) if loss == "softmax" else problem.target
    size = float(problem.omega @ abs(problem.target)[:, 0]) + 1
    np.testing.assert_allclose((problem.omega @ (hot - mean)).astype(float), 0, atol=1e-9 * size)


@each_loss
@law
@given(cases())
def test_a_path_is_its_fits(loss, case):
    """Warm starts change nothing; nor does the order of the strengths."""
    problem = problem_of(loss, case)
    alphas = problem.alpha * np.array([0.3, 3.0, 1.0])
    path = problem.solve(alphas=alphas, tol=0)
    for i, alpha in enumerate(alphas):
        cold = problem.but(alpha=float(alpha)).fit(tol=0)
        scale = problem.scale(cold.objective)
        if is_determined(problem):
            assert np.ravel(path.objective)[i] == pytest.approx(cold.objective, abs=1e-9 * scale)
        if problem.is_unique and problem.penalty in CONVEX:
            sd = problem.X.std(0)
            off = abs((path.coef.reshape(3, *cold.coef.shape)[i] - cold.coef) * sd).max()
            assert off <= 1e-6 * (abs(cold.coef * sd).max() + 0.1)


@each_loss
@law
@given(cases(among=CONVEX))
def test_the_objective_grows_with_the_strength(loss, case):
    problem = problem_of(loss, case)
    values = [problem.but(alpha=times * problem.alpha).fit(tol=0).objective for times in (0.2, 1.0, 5.0)]
    slack = 1e-10 * problem.scale(values[-1])
    assert values[0] <= values[1] + slack
    assert values[1] <= values[2] + slack


@each_loss
@law
@given(cases(without=["metric"]), seeds)
def test_standardised_fits_know_no_units(loss, case, seed):
    problem = problem_of(loss, case).but(standardize=True)
    units = 10.0 ** np.random.default_rng(seed).uniform(-3, 3, problem.p)
    names = ("center", "lower", "upper")
    changes = {k: None if getattr(problem, k) is None else getattr(problem, k) / units for k in names}
    other = problem.but(X=problem.X * units, **changes)
    same(problem, problem.fit(tol=0), other.fit(tol=0), coef=lambda c: c * units)


@law
@example(("l2", ["weights", "metric"], 5109), True)
@given(cases(among=CONVEX, without=["bounds", "center"]), st.booleans())
def test_what_classes_share_is_0_where_nothing_is_penalised(case, penalised):
    """Intercepts sum to 0, and so do coefficients along directions that cost nothing in any class."""
    problem = problem_of("softmax", case).but(fit_intercept=True)
    if not penalised:
        problem = problem.but(alpha=0.0)
    fit = problem.fit(tol=0)
    assert abs(fit.intercept.sum()) <= 1e-9 * (1 + abs(fit.intercept).max())
    q = problem.q(fit.coef)
    alike = problem.terms(problem.alpha).free(q).reshape(-1, problem.k, int(problem.moving.sum())).sum(axis=1)
    assert abs(alike @ q.reshape(problem.k, -1).sum(axis=0)).max(initial=0) <= 1e-8 * (1 + abs(q).max())


# ------------------------------------------------------------------------------------------------------- overflow


@each_loss
@pytest.mark.parametrize("far", [-2500.0, 2500.0])
def test_what_cannot_be_computed_is_said(loss, far):
    """Offsets so large that exp overflows: the status says so where the loss is an exponential, else the fit stands."""
    problem = draw(loss, "l2", [], 0)
    offset = np.zeros(len(problem.y))
    offset[5] = far
    problem = problem.but(offset=offset, fit_intercept=False, alpha=1e3)
    fit = problem.fit()
    at = np.full((1, problem.k), far)
    value = float(READINGS[loss](**problem.loss_parameters).value(problem.target[5:6], at.astype(np.longdouble))[0, 0])
    if not np.isfinite(np.float64(value)):
        assert fit.status == "overflow"
    elif loss in ("squared", "huber", "quantile", "logistic", "softmax", "squared_hinge"):
        assert fit.status == "converged"
        assert np.isfinite(fit.objective)
    else:
        # the flat side of an exponential: the rule is about |eta|, a finite answer has to be a right one
        assert fit.status in ("overflow", "converged")
    assert np.isfinite(fit.coef).all() or fit.status in ("overflow", "failed")
