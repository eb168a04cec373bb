"""Tables at the edge of what can be solved: each case once had, or could have, a certificate that lies."""

import numpy as np
import pytest
from engine_oracle import Problem, check_certificate

# a fit that says that it did not converge is a right answer here and there
pytestmark = pytest.mark.filterwarnings("ignore::metafit.exceptions.ConvergenceWarning")


def draw_logistic(l1_ratio):
    rng = np.random.default_rng(6)
    X = rng.normal(size=(40, 4))
    y = (X[:, 0] + rng.normal(size=40) > 0) * 1.0
    problem = Problem(X=X, y=y, alpha=1.0, loss="logistic", l1_ratio=l1_ratio)
    return problem.but(alpha=0.05 * problem.alpha_max * max(l1_ratio, 1e-3))


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_separable_problem_of_two_rows(columns):
    """The dual point is exactly 0 there: the gap is the objective, since the infimum is 0."""
    X = np.array([[1.0, 2.0, 0.5], [3.0, 5.0, 0.0]])[:, :columns]
    with np.errstate(all="ignore"):
        solution = Problem(X=X, y=np.array([0.0, 1.0]), alpha=0.0, loss="logistic").solve()
    assert solution.gap == pytest.approx(solution.objective, rel=1e-6)
    assert solution.objective < 1e-6


@pytest.mark.parametrize("shift", [30.0, -50.0, 700.0, -745.0, 1000.0, 1e5])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_constant_offset_moves_the_intercept_alone(shift, l1_ratio):
    problem = draw_logistic(l1_ratio)
    plain, shifted = problem.solve(), problem.but(offset=np.full(40, shift)).solve()
    assert shifted.status == "converged"
    assert shifted.objective == pytest.approx(plain.objective, rel=1e-10)
    np.testing.assert_allclose(shifted.coef, plain.coef, rtol=1e-7, atol=1e-7)
    assert shifted.intercept + shift == pytest.approx(plain.intercept, abs=1e-7)


@pytest.mark.parametrize("spread", [10.0, 100.0])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_offsets_that_saturate(spread, l1_ratio):
    problem = draw_logistic(l1_ratio).but(offset=spread * np.random.default_rng(1).normal(size=40))
    assert check_certificate(problem, problem.solve(), 1e-8) <= 1e-8


@pytest.mark.parametrize("offset", [-20.0, -60.0, 100.0, -300.0, -800.0, 2000.0])
@pytest.mark.parametrize("with_l1", [False, True])
def test_offsets_that_only_an_unpenalised_column_can_answer(offset, with_l1):
    """Without an intercept all rows start saturated, where exp underflows; the free column brings them back."""
    rng = np.random.default_rng(0)
    X, y = np.column_stack([rng.normal(size=7) + 5, rng.normal(size=7)]), np.array([0.0, 1, 0, 0, 1, 1, 1])
    problem = Problem(X=X, y=y, loss="logistic", alpha=0.01, fit_intercept=False, offset=np.full(7, offset))
    problem = problem.but(l1_ratio=1.0, factors=[0, 1]) if with_l1 else problem.but(X=X[:, :1], alpha=0.0)
    solution = problem.solve()
    # a fit whose coefficient answers the offset is known: whatever is reported must not claim more than it allows
    known = min(
        problem.objective(np.r_[-(offset + shift) / 5, np.zeros(X.shape[1] - 1)][: problem.X.shape[1]], 0.0)
        for shift in np.linspace(-100, 100, 401)
    )
    assert solution.objective - solution.gap <= known * (1 + 1e-9), "the gap is no bound"
    assert solution.objective <= known * (1 + 1e-9)
    assert solution.status == "converged"


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("center", [7.0, 50.0])
def test_the_centre_of_an_unpenalised_column_is_no_trap(seed, center):
    """From there all rows are saturated; the fit is the same as from 0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 4)) * 10.0 ** rng.uniform(-1, 1, 4) + 3 * rng.normal(size=4)
    y = (rng.random(30) < 0.5) * 1.0
    y[:4] = [0, 1, 0, 1]
    for fit_intercept in (True, False):
        problem = Problem(X=X, y=y, alpha=0.1, loss="logistic", factors=[0, 1, 1, 1], fit_intercept=fit_intercept)
        far = problem.but(center=[center, 0, 0, 0]).solve()
        assert far.status == "converged"
        np.testing.assert_allclose(far.coef, problem.solve().coef, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("noise", [1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_centre_close_to_the_truth(noise, l1_ratio):
    """The objective has digits of its own where the centre explains nearly all of y."""
    rng = np.random.default_rng(2)
    X, center = rng.normal(size=(40, 4)), np.array([1.0, 2.0, -3.0, 4.0])
    problem = Problem(X=X, y=X @ center + noise * rng.normal(size=40), alpha=1.0, l1_ratio=l1_ratio, center=center)
    problem = problem.but(alpha=0.1 * problem.alpha_max)
    solution = problem.solve()
    assert check_certificate(problem, solution, 1e-8) <= 1e-8
    assert solution.objective == pytest.approx(problem.objective(solution.coef, solution.intercept), rel=1e-10)


@pytest.mark.parametrize("scale", [1e-170, 1e-155, 1e-100, 1e100, 1e155, 1e170])
@pytest.mark.parametrize("what", ["X", "y", "one column"])
def test_units_beyond_what_squares_hold_are_solved_or_refused(scale, what):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    X, y = (
        X * (scale if what == "X" else [1, scale, 1] if what == "one column" else 1),
        y * (scale if what == "y" else 1),
    )
    problem = Problem(X=X, y=y, alpha=1.0, l1_ratio=1.0, standardize=True)
    try:
        solution = problem.solve(alphas=None, n_alphas=5)
    except ValueError as error:
        assert "rescale" in str(error)
        return
    assert np.isfinite(solution.gap).all()
    by_hand = Problem(X=X / X.std(0), y=y / y.std(), alpha=1.0, l1_ratio=1.0).solve(alphas=None, n_alphas=5)
    unit = solution.coef * X.std(0) / y.std()
    np.testing.assert_allclose(unit, by_hand.coef, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_weights_of_very_different_size(loss, l1_ratio):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(80, 4))
    y = X[:, 0] + rng.normal(size=80)
    weights = 10.0 ** rng.uniform(-6, 6, 80)
    problem = Problem(
        X=X,
        y=y if loss == "squared" else (y > 0) * 1.0,
        loss=loss,
        alpha=1.0,
        weights=weights,
        l1_ratio=l1_ratio,
    )
    problem = problem.but(alpha=0.03 * problem.alpha_max * max(l1_ratio, 1e-3))
    assert check_certificate(problem, problem.solve(), 1e-8) <= 1e-8
    assert problem.solve().status == "converged"


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_weights_that_would_overflow_are_no_solution(loss):
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(20, 2)), (np.arange(20) % 2) * 1.0
    for weights in (np.full(20, 1e308), np.r_[1e300, np.ones(19)], np.full(20, 1e-310)):
        solution = Problem(X=X, y=y, loss=loss, alpha=0.1, weights=weights).solve()
        finite = np.isfinite([solution.gap, solution.objective, solution.intercept, *solution.coef]).all()
        assert finite or solution.status != "converged"
    whole, tiny = (Problem(X=X, y=y, loss=loss, alpha=0.1, weights=np.full(20, w)).solve() for w in (1.0, 1e-300))
    np.testing.assert_allclose(tiny.coef, whole.coef, rtol=1e-9)


@pytest.mark.parametrize("offset", [1e4, 1e8])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_columns_far_from_the_origin(loss, l1_ratio, offset):
    """A column of mean 1e8 and spread 1 is the same column about 0."""
    problem = draw_logistic(l1_ratio)
    if loss == "squared":
        problem = problem.but(loss="squared", y=problem.X[:, 0] + np.sin(np.arange(40)))
    far = problem.but(X=problem.X + offset)
    here, there = problem.but(X=far.X - offset).solve(tol=0), far.solve(tol=0)
    assert there.status == "converged"
    np.testing.assert_allclose(there.coef, here.coef, rtol=0, atol=1e-12 * np.abs(here.coef).max())


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_nearly_separable_classes_down_to_tiny_strengths(l1_ratio, noise):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(200, 5))
    y = (X @ [3, -2, 1, 0, 0] + noise * rng.normal(size=200) > 0) * 1.0
    problem = Problem(X=X, y=y, alpha=1.0, loss="logistic", l1_ratio=l1_ratio)
    top = problem.alpha_max * max(l1_ratio, 1e-3)
    solution = problem.solve(alphas=top * np.geomspace(1, 1e-10, 21))
    assert (solution.status == "converged").all()
    assert solution.n_iter.max() <= 30
    assert (np.diff(solution.objective) < 0).all()
    for k in (5, 12, 20):
        at = problem.but(alpha=float(solution.alphas[k]))
        scale = at.scale(at.objective(solution.coef[k], solution.intercept[k]))
        assert at.gap(solution.coef[k], solution.intercept[k]) <= 2e-8 * scale


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["wide", "duplicated", "integers", "sparse"])
def test_default_paths_on_awkward_designs_converge_everywhere(loss, l1_ratio, kind):
    rng = np.random.default_rng(8)
    base = rng.normal(size=(25, 5))
    X = {
        "wide": rng.normal(size=(25, 60)),
        "duplicated": np.hstack([base, 2 * base, -base[:, :2]]),
        "integers": rng.integers(0, 3, size=(25, 20)).astype(float),
        "sparse": rng.normal(size=(25, 12)) * (rng.random((25, 12)) < 0.15),
    }[kind]
    y = X[:, 0] - X[:, 1] + rng.normal(size=25)
    problem = Problem(X=X, y=y if loss == "squared" else (y > 0) * 1.0, alpha=1.0, loss=loss, l1_ratio=l1_ratio)
    solution = problem.solve(alphas=None)
    assert (solution.status == "converged").all()
    assert solution.n_iter.max() <= 20
    assert (np.diff(solution.objective) <= 1e-9 * solution.objective[:-1]).all()
    for k in (10, 49):
        at = problem.but(alpha=float(solution.alphas[k]))
        scale = at.scale(at.objective(solution.coef[k], solution.intercept[k]))
        assert at.gap(solution.coef[k], solution.intercept[k]) <= 2e-8 * scale


SMALL = {
    "one row": (np.array([[1.0, 2.0]]), np.array([3.0])),
    "two rows": (np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([0.0, 1.0])),
    "equal rows": (np.full((6, 2), 3.0), np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0])),
    "columns of zeros": (np.zeros((6, 2)), np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0])),
    "no columns": (np.empty((6, 0)), np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0])),
    "y that is constant": (np.arange(12.0).reshape(6, 2) ** 2, np.full(6, 7.1)),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_smallest_tables(name, l1_ratio, fit_intercept):
    X, y = SMALL[name]
    for loss in ["squared"] + ["logistic"] * (len(set(y)) == 2):
        problem = Problem(X=X, y=y, loss=loss, alpha=0.1, l1_ratio=l1_ratio, fit_intercept=fit_intercept)
        for standardize in (False, True):
            problem = problem.but(standardize=standardize)
            solution = problem.solve()
            assert solution.status == "converged"
            assert check_certificate(problem, solution, 1e-8) <= 1e-8
        path = problem.solve(alphas=None, n_alphas=6)
        assert (path.status == "converged").all()
        assert np.isfinite(path.coef).all()
