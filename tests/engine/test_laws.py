"""Laws of the equation, on random problems: what a fit may and may not depend on."""

import hypothesis.strategies as st
import numpy as np
import pytest
from engine_oracle import Problem, one
from hypothesis import HealthCheck, assume, given, settings
from sklearn.impute import SimpleImputer

from metafit.engine import solve
from metafit.strategies import penalties

law = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

# at tol=0 what is left is rounding: far below what a broken law would show
pytestmark = pytest.mark.filterwarnings("ignore::metafit.exceptions.ConvergenceWarning")
LOSSES = ["squared", "logistic"]


@st.composite
def problems(draw, losses=LOSSES, l1_ratios=(0.0, 0.4, 1.0), min_ratio=-3, per_column=True):
    """A problem of moderate conditioning, alpha between 10**min_ratio and 1 times alpha_max."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, p = draw(st.integers(15, 40)), draw(st.integers(1, 7))
    X = rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-1, 1, p) + rng.normal(size=p) * 3
    loss = draw(st.sampled_from(losses))
    signal = (X - X.mean(0)) / X.std(0) @ rng.normal(size=p)
    y = signal + rng.normal(size=n) + 2
    if loss == "logistic":
        y = (rng.random(n) < 1 / (1 + np.exp(-signal))) * 1.0
        y[:4] = [0, 1, 0, 1]
    weights, factors = draw(st.booleans()), per_column and draw(st.booleans())
    problem = Problem(
        X=X,
        y=y,
        alpha=1.0,
        loss=loss,
        l1_ratio=draw(st.sampled_from(l1_ratios)),
        factors=rng.choice([0.3, 1.0, 4.0], p) if factors else None,
        center=rng.normal(size=p) / X.std(0) / 3 if per_column and draw(st.booleans()) else None,
        weights=rng.uniform(0.2, 3, n) if weights else None,
        offset=rng.normal(size=n) if draw(st.booleans()) else None,
        fit_intercept=draw(st.booleans()),
        standardize=draw(st.booleans()),
    )
    alpha_max = problem.alpha_max
    assume(alpha_max > 1e-6)
    return problem.but(alpha=alpha_max * 10.0 ** draw(st.floats(min_ratio, 0)))


def fit(problem, **options):
    solution = problem.solve(tol=0, **options)
    return solution.coef.reshape(-1), one(solution, "intercept"), one(solution, "objective")


def same_fit(problem, other, *, objective=True, coef=None, intercept=0.0, atol=1e-7):
    """Two requests have one answer, up to a map of the coefficients and a shift of the intercept."""
    (a, b, p), (c, d, q) = fit(problem), fit(other)
    c = c if coef is None else coef(c)
    scale = np.abs(a * problem.X.std(0)).max() + 1
    np.testing.assert_allclose(c * problem.X.std(0), a * problem.X.std(0), rtol=0, atol=atol * scale)
    assert d + intercept == pytest.approx(b, abs=atol * scale * (1 + np.abs(problem.X / problem.X.std(0)).max()))
    if objective:
        assert q == pytest.approx(p, rel=1e-9)


# ---------------------------------------------------------------------------------------------------------- rows


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_an_integer_weight_is_a_repeated_row(problem, seed):
    counts = np.random.default_rng(seed).integers(0, 4, len(problem.y))
    counts[:6] = 1
    rows = np.repeat(np.arange(len(problem.y)), counts)
    offset = None if problem.offset is None else problem.offset[rows]
    repeated = problem.but(X=problem.X[rows], y=problem.y[rows], offset=offset, weights=None)
    same_fit(repeated, problem.but(weights=counts))


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_a_row_of_weight_0_is_a_deleted_row(problem, seed):
    keep = np.random.default_rng(seed).random(len(problem.y)) < 0.8
    keep[:6] = True
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    spoilt = np.where(keep[:, None], problem.X, 1e9)
    offset = None if problem.offset is None else problem.offset[keep]
    deleted = problem.but(X=problem.X[keep], y=problem.y[keep], offset=offset, weights=weights[keep])
    present = problem.but(X=spoilt, weights=np.where(keep, weights, 0.0))
    for a, b in zip(fit(deleted), fit(present), strict=True):
        np.testing.assert_array_equal(a, b)


@law
@given(problems(), st.floats(1e-6, 1e6))
def test_the_size_of_all_weights_does_not_matter(problem, times):
    weights = np.ones(len(problem.y)) if problem.weights is None else problem.weights
    same_fit(problem, problem.but(weights=times * weights))


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_the_order_of_rows_and_columns_does_not_matter(problem, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(problem.y)), rng.permutation(problem.X.shape[1])
    by_row = {k: None if getattr(problem, k) is None else getattr(problem, k)[rows] for k in ("y", "weights", "offset")}
    same_fit(problem, problem.but(X=problem.X[rows], **by_row))
    fields = {k: None if getattr(problem, k) is None else getattr(problem, k)[columns] for k in ("factors", "center")}
    same_fit(problem, problem.but(X=problem.X[:, columns], **fields), coef=lambda c: c[np.argsort(columns)])


# ------------------------------------------------------------------------------------------------ offsets, shifts


@law
@given(problems(losses=["squared"]), st.integers(0, 2**32 - 1))
def test_an_offset_is_taken_from_the_target(problem, seed):
    offset = np.random.default_rng(seed).normal(size=len(problem.y)) * 5
    same_fit(problem.but(offset=None, y=problem.y - offset), problem.but(offset=offset))


@law
@given(problems(), st.floats(-30, 30))
def test_a_constant_offset_moves_the_intercept_alone(problem, shift):
    problem = problem.but(fit_intercept=True, offset=None)
    same_fit(problem, problem.but(offset=np.full(len(problem.y), shift)), intercept=shift)


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_shifting_the_columns_moves_the_intercept_alone(problem, seed):
    problem = problem.but(fit_intercept=True)
    shift = np.random.default_rng(seed).normal(size=problem.X.shape[1]) * 10
    coef, _, _ = fit(problem)
    same_fit(problem, problem.but(X=problem.X + shift), intercept=float(shift @ coef), atol=1e-6)


@law
@given(problems(losses=["squared"], per_column=False), st.floats(1e-3, 1e3))
def test_the_unit_of_the_target(problem, unit):
    """c y with the L1 part times c is c times the fit."""
    problem = problem.but(offset=None, l1_ratio=1.0)
    scaled = problem.but(y=unit * problem.y, alpha=unit * problem.alpha)
    (a, b, p), (c, d, q) = fit(problem), fit(scaled)
    scale = np.abs(a).max() + 1e-3
    np.testing.assert_allclose(c / unit, a, rtol=0, atol=1e-8 * scale)
    assert d / unit == pytest.approx(b, abs=1e-6)
    assert q / unit**2 == pytest.approx(p, rel=1e-9)


@law
@given(problems(losses=["logistic"]))
def test_swapping_the_classes_turns_the_signs(problem):
    turned = problem.but(
        y=1 - problem.y,
        offset=None if problem.offset is None else -problem.offset,
        center=None if problem.center is None else -problem.center,
    )
    (a, b, p), (c, d, q) = fit(problem), fit(turned)
    np.testing.assert_allclose(-c, a, rtol=0, atol=1e-8 * (np.abs(a).max() + 1))
    assert -d == pytest.approx(b, abs=1e-6)
    assert q == pytest.approx(p, rel=1e-10)


# ------------------------------------------------------------------------------------------------ what is optimal


@law
@given(problems(min_ratio=-4))
def test_the_kkt_conditions_hold(problem):
    coef, intercept, _ = fit(problem)
    steepest = problem.but(alpha=0.0).violation(*problem.null)
    assert problem.violation(coef, intercept) <= 1e-9 * max(steepest, 1)


@law
@given(problems(min_ratio=-4), st.integers(0, 2**32 - 1))
def test_no_point_nearby_is_better(problem, seed):
    rng = np.random.default_rng(seed)
    coef, intercept, objective = fit(problem)
    for size in (1e-1, 1e-3, 1e-5):
        moved = coef + size * rng.normal(size=len(coef)) * (rng.random(len(coef)) < 0.6)
        shifted = intercept + size * rng.normal() * problem.fit_intercept
        assert problem.objective(moved, shifted) >= objective * (1 - 1e-13)


@law
@given(problems())
def test_with_an_intercept_the_predictions_have_the_mean_of_the_target(problem):
    problem = problem.but(fit_intercept=True)
    coef, intercept, _ = fit(problem)
    residual = problem.residual(problem.eta(coef, intercept))
    assert abs(float(problem.omega @ residual)) <= 1e-10 * float(abs(problem.target).max())


@law
@given(problems(l1_ratios=(1.0, 0.4)))
def test_from_alpha_max_on_everything_is_at_the_centre(problem):
    center = np.zeros(problem.X.shape[1]) if problem.center is None else problem.center
    for times in (1 + 1e-9, 1.5, 1e6):
        np.testing.assert_array_equal(fit(problem.but(alpha=times * problem.alpha_max))[0], center)
    assert (fit(problem.but(alpha=0.999 * problem.alpha_max))[0] != center).any()


@law
@given(problems())
def test_the_objective_grows_with_the_strength(problem):
    values = [fit(problem.but(alpha=times * problem.alpha))[2] for times in (0.1, 1.0, 10.0)]
    assert values[0] <= values[1] * (1 + 1e-12)
    assert values[1] <= values[2] * (1 + 1e-12)


# ---------------------------------------------------------------------------------------------- factors, centres


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_a_centre_is_a_shifted_problem(problem, seed):
    """About w0 the fit is w0 plus the fit, about 0, with the offset X w0."""
    center = np.random.default_rng(seed).normal(size=problem.X.shape[1]) / problem.X.std(0)
    offset = np.zeros(len(problem.y)) if problem.offset is None else problem.offset
    shifted = problem.but(center=None, offset=offset + problem.X @ center)
    same_fit(problem.but(center=center), shifted, coef=lambda c: c + center)


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_an_infinite_factor_pins_a_column_to_its_centre(problem, seed):
    p = problem.X.shape[1]
    pinned = np.random.default_rng(seed).random(p) < 0.5
    factors = np.ones(p) if problem.factors is None else problem.factors
    center = np.zeros(p) if problem.center is None else problem.center
    held = problem.but(factors=np.where(pinned, np.inf, factors))
    coef, _, _ = fit(held)
    np.testing.assert_array_equal(coef[pinned], center[pinned])
    offset = np.zeros(len(problem.y)) if problem.offset is None else problem.offset
    without = problem.but(columns=np.flatnonzero(~pinned), offset=offset + problem.X[:, pinned] @ center[pinned])
    same_fit(held, without, coef=lambda c: np.where(pinned, center, c))


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_a_factor_of_0_leaves_a_column_unpenalised(problem, seed):
    p = problem.X.shape[1]
    free = np.zeros(p, dtype=bool)
    free[np.random.default_rng(seed).integers(p)] = True
    factors = np.ones(p) if problem.factors is None else problem.factors
    problem = problem.but(factors=np.where(free, 0.0, factors))
    coef, intercept, _ = fit(problem)
    residual = problem.residual(problem.eta(coef, intercept))
    slope = abs(problem.Z[:, free].T @ (problem.omega * residual))
    assert float(slope.max()) <= 1e-9 * float(abs(problem.Z[:, free]).max() * abs(problem.target).max())
    # where it starts makes no difference
    other = (np.zeros(p) if problem.center is None else problem.center) + 7 * free
    same_fit(problem, problem.but(center=other))


@law
@given(problems(), st.floats(0.1, 10))
def test_a_factor_is_a_strength_of_its_own(problem, times):
    factors = np.ones(problem.X.shape[1]) if problem.factors is None else problem.factors
    same_fit(problem, problem.but(factors=times * factors, alpha=problem.alpha / times))


@law
@given(problems(), st.booleans())
def test_a_constant_column_stays_at_its_centre(problem, with_center):
    problem = problem.but(fit_intercept=True)
    n, p = problem.X.shape
    center = np.zeros(p) if problem.center is None else problem.center
    factors = np.ones(p) if problem.factors is None else problem.factors
    for value in (0.0, 3.0, 0.1, 1e8):
        # unpenalised or not
        for factor in (1.0, 0.0):
            wide = problem.but(
                X=np.column_stack([problem.X, np.full(n, value)]),
                center=np.r_[center, 0.25 * with_center],
                factors=np.r_[factors, factor],
            )
            assert fit(wide)[0][-1] == 0.25 * with_center
    np.testing.assert_allclose(fit(wide)[0][:-1], fit(problem)[0], rtol=0, atol=1e-7 * (1 + np.abs(center).max()))


# ------------------------------------------------------------------------------------- standardising, imputing


@law
@given(problems())
def test_standardising_is_scaling_by_hand(problem):
    sd = problem.sd.astype(float)
    center = None if problem.center is None else problem.center * sd
    by_hand = problem.but(standardize=False, X=problem.X / sd, center=center)
    same_fit(problem.but(standardize=True), by_hand, coef=lambda c: c / sd)


@law
@given(problems(), st.integers(0, 2**32 - 1))
def test_standardised_fits_know_no_units(problem, seed):
    units = 10.0 ** np.random.default_rng(seed).uniform(-6, 6, problem.X.shape[1])
    center = None if problem.center is None else problem.center / units
    problem = problem.but(standardize=True)
    same_fit(problem, problem.but(X=problem.X * units, center=center), coef=lambda c: c * units)


@settings(law, max_examples=15)
@given(problems(per_column=False), st.integers(0, 2**32 - 1), st.booleans())
def test_imputing_is_filling_by_hand_in_each_fold(problem, seed, standardize):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random(problem.X.shape) < 0.15, np.nan, problem.X)
    fold = np.arange(len(X)) // 2 % 3
    pairs = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    assume(all(len(set(problem.y[train])) > 1 for train, _ in pairs))
    assume(not any(np.isnan(X[train]).all(axis=0).any() for train, _ in pairs))
    request = {"loss": problem.loss, "penalty": penalties.ElasticNet(problem.l1_ratio), "alphas": problem.alpha}
    request |= {"standardize": standardize, "tol": 0}
    solution = solve(X, problem.y, missing="mean", folds=pairs, **request)
    for k, (train, test) in enumerate(pairs):
        imputer = SimpleImputer().fit(X[train])
        by_hand = solve(imputer.transform(X), problem.y, folds=[(train, test)], **request)
        scale = np.abs(by_hand.fold_coef).max() + 1e-9
        np.testing.assert_allclose(solution.fold_coef[k], by_hand.fold_coef[0], rtol=0, atol=1e-7 * scale)
        for name in ("mean_squared_error", "r2", "log_loss", "brier_score_loss"):
            if name in solution.scores:
                assert solution.scores[name][k] == pytest.approx(by_hand.scores[name][0], rel=1e-7, nan_ok=True)


def test_a_column_without_any_value_stays_at_its_centre():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    X[:, 1] = np.nan
    for center in (None, [0.0, 0.5, 0.0]):
        penalty = penalties.L2(center=center)
        solution = solve(X, y, alphas=0.1, penalty=penalty, missing="mean", folds=3)
        assert solution.coef[1] == (0 if center is None else 0.5)
        assert np.isfinite(solution.scores["mean_squared_error"]).all()
    # a column that only the held-out rows know
    X[:10, 1] = 5.0
    solution = solve(X, y, alphas=0.1, missing="mean", folds=3)
    assert solution.fold_coef[0, 1] == 0


# ------------------------------------------------------------------------------------------- losses and penalties


@law
@given(problems(per_column=False))
def test_the_ends_of_the_elastic_net_are_l1_and_l2(problem):
    request = {"loss": problem.loss, "alphas": problem.alpha, "tol": 0}
    for l1_ratio, name in ((0.0, "l2"), (1.0, "l1")):
        elastic = solve(problem.X, problem.y, penalty=penalties.ElasticNet(l1_ratio), **request)
        np.testing.assert_array_equal(elastic.coef, solve(problem.X, problem.y, penalty=name, **request).coef)


@law
@given(problems(l1_ratios=(0.0,), losses=["squared"]))
def test_the_ridge_has_a_closed_form(problem):
    """Normal equations, solved as least squares on the rows with the penalty's rows below."""
    center = np.zeros(problem.X.shape[1]) if problem.center is None else problem.center
    factors = np.ones(problem.X.shape[1]) if problem.factors is None else problem.factors
    omega, unit = problem.omega.astype(float), problem.unit.astype(float)
    offset = 0 if problem.offset is None else problem.offset
    target = problem.y - offset - problem.X @ center
    mean = omega @ problem.X if problem.fit_intercept else 0
    target = target - omega @ target if problem.fit_intercept else target
    rows = np.sqrt(omega)[:, None] * (problem.X - mean) / unit
    below = np.diag(np.sqrt(problem.alpha * factors))
    u = np.linalg.lstsq(np.vstack([rows, below]), np.r_[np.sqrt(omega) * target, 0 * factors], rcond=None)[0]
    coef, _, _ = fit(problem)
    np.testing.assert_allclose(coef * problem.X.std(0), (center + u / unit) * problem.X.std(0), rtol=0, atol=1e-9)
