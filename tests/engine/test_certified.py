"""The certificates: against problems solved at 50 digits, and against an independent duality gap in NumPy."""

import numpy as np
import pytest
from engine_oracle import Problem, certified_problems, check_certificate, nist_sets, one

CERTIFIED = certified_problems()
NIST = nist_sets()
SEEDS = range(8)
PROBLEMS_A_SEED = 8

# a fit that is stopped early on purpose warns
pytestmark = pytest.mark.filterwarnings("ignore::metafit.exceptions.ConvergenceWarning")


def from_file(problem):
    l1, l2 = float(problem["l1"]), float(problem["l2"])
    return Problem(
        X=np.array(problem["X"], dtype=float),
        y=np.array(problem["y"], dtype=float),
        loss=problem["loss"],
        l1_ratio=l1 / (l1 + l2),
        alpha=l1 + l2,
        weights=np.array(problem["sample_weight"], dtype=float),
        fit_intercept=problem["fit_intercept"],
    )


def draw(seed):
    """A random problem with everything that the equation allows."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(12, 60)), int(rng.integers(1, 12))
    X = rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-2, 2, p) + rng.normal(size=p) * 10.0 ** rng.uniform(-1, 2)
    X[:, 0] = 3.0 if rng.random() < 0.3 else X[:, 0]
    loss = str(rng.choice(["squared", "logistic"]))
    eta = (X - X.mean(0)) / np.maximum(X.std(0), 1e-12) @ rng.normal(size=p) / np.sqrt(p)
    y = eta + rng.normal(size=n) * 10.0 ** rng.uniform(-3, 1) + 10 * rng.normal()
    if loss == "logistic":
        y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
        y[:4] = [0, 1, 0, 1]
    weights = 10.0 ** rng.uniform(-1, 1, n) * np.r_[np.ones(4), rng.random(n - 4) > 0.2]
    factors = rng.choice([0.5, 1, 3, np.inf], p)
    # few unpenalised columns, so that they neither interpolate nor separate
    factors[rng.choice(p, min(p, 2), replace=False)[: rng.integers(3)]] = 0
    problem = Problem(
        X=X,
        y=y,
        alpha=1.0,
        loss=loss,
        l1_ratio=float(rng.choice([0, 0.3, 0.9, 1])),
        factors=factors if rng.random() < 0.5 else None,
        center=rng.normal(size=p) * 0.3 if rng.random() < 0.4 else None,
        weights=weights if rng.random() < 0.5 else None,
        offset=rng.normal(size=n) if rng.random() < 0.4 else None,
        fit_intercept=bool(rng.random() < 0.7),
        standardize=bool(rng.random() < 0.5),
        columns=np.flatnonzero(rng.random(p) < 0.6) if rng.random() < 0.3 else None,
    )
    return problem.but(alpha=float(10.0 ** rng.uniform(-3.5, 0.2)) * (problem.alpha_max or 1.0))


def draws(seed):
    return [draw(1000 * seed + k) for k in range(PROBLEMS_A_SEED)]


# ------------------------------------------------------------------------------------------- certified problems


@pytest.mark.parametrize("name", CERTIFIED)
def test_certified_solution(name):
    problem, truth = from_file(CERTIFIED[name]), CERTIFIED[name]
    solution = problem.solve(tol=0)
    coef = np.array(truth["coef"], dtype=float)
    assert np.abs(solution.coef - coef).max() <= 1e-8 * np.abs(coef).max()
    np.testing.assert_array_equal(solution.coef != 0, coef != 0)
    assert solution.intercept == pytest.approx(float(truth["intercept"]), rel=1e-9, abs=1e-8 * np.abs(coef).max())
    assert solution.objective == pytest.approx(float(truth["objective"]), rel=1e-11)
    assert np.all(solution.status == "converged")


@pytest.mark.parametrize("name", CERTIFIED)
@pytest.mark.parametrize("tol", [0, 1e-8, 1e-3])
def test_certified_gap(name, tol):
    problem = from_file(CERTIFIED[name])
    assert check_certificate(problem, problem.solve(tol=tol), tol) <= max(tol, 1e-10)


@pytest.mark.parametrize("name", CERTIFIED)
def test_the_gap_bounds_the_excess_of_a_fit_stopped_early(name):
    problem, least = from_file(CERTIFIED[name]), float(CERTIFIED[name]["objective"])
    for max_iter in (0, 1, 2, 3):
        solution = problem.solve(max_iter=max_iter)
        check_certificate(problem, solution, 1e-8)
        assert solution.objective - least <= solution.gap + 1e-11 * least


def test_all_certified_problems_of_these_losses_are_there():
    assert len(CERTIFIED) == 16


# ---------------------------------------------------------------------------------------------- random problems


@pytest.mark.parametrize("seed", SEEDS)
def test_gap_equals_the_oracle(seed):
    for problem in draws(seed):
        assert check_certificate(problem, problem.solve(), 1e-8) <= 1e-8


@pytest.mark.parametrize("seed", SEEDS)
def test_gap_of_fits_stopped_early_equals_the_oracle(seed):
    for problem in draws(seed):
        for max_iter in (1, 2):
            check_certificate(problem, problem.solve(max_iter=max_iter), 1e-8)


@pytest.mark.parametrize("seed", SEEDS)
def test_loose_tolerances_keep_their_word(seed):
    for problem in draws(seed)[:5]:
        for tol in (0.1, 1e-3):
            solution = problem.solve(tol=tol)
            assert check_certificate(problem, solution, tol) <= tol
            assert np.all(solution.status == "converged")


@pytest.mark.parametrize("seed", range(12))
def test_tol_0_runs_to_the_floor(seed):
    for problem in draws(seed):
        solution = problem.solve(tol=0)
        assert check_certificate(problem, solution, 0) <= 1e-10
        assert np.all(solution.status == "converged"), f"gap {one(solution, 'gap'):.1e} is called {solution.status}"


@pytest.mark.parametrize("seed", SEEDS)
def test_kkt_conditions(seed):
    """At the floor no column wants to move: the slopes are those of a stationary point."""
    for problem in draws(seed):
        coef, intercept = problem.null
        start = problem.but(alpha=0.0, columns=problem.columns).violation(coef, intercept)
        solution = problem.solve(tol=0)
        off = problem.violation(solution.coef.reshape(-1), one(solution, "intercept"))
        assert off <= 1e-8 * max(start, 1e-300) + 1e-12


@pytest.mark.parametrize("seed", range(16))
def test_every_fit_of_a_path_is_certified(seed):
    problem = draw(7000 + seed)
    alphas = problem.alpha * np.geomspace(1, 1e-2, 6)
    solution = problem.solve(alphas=alphas, tol=1e-10)
    for k, alpha in enumerate(alphas):
        at = problem.but(alpha=float(alpha))
        coef, intercept = solution.coef.reshape(6, -1)[k], np.ravel(solution.intercept)[k]
        scale = at.scale(at.objective(coef, intercept))
        assert np.ravel(solution.gap)[k] == pytest.approx(at.gap(coef, intercept), abs=1e-10 * scale)
        assert at.gap(coef, intercept) <= 2e-10 * scale


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_more_columns_than_a_gram_matrix_is_made_for(loss, l1_ratio):
    """From 1501 columns on the squared loss works on rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 1501))
    y = X[:, 0] + 0.3 * rng.normal(size=12)
    problem = Problem(X=X, y=y if loss == "squared" else (y > 0) * 1.0, loss=loss, l1_ratio=l1_ratio, alpha=1.0)
    problem = problem.but(alpha=0.1 * problem.alpha_max * max(l1_ratio, 1e-3))
    assert check_certificate(problem, problem.solve(), 1e-8) <= 1e-8


# ------------------------------------------------------------------------------------ least squares without end


@pytest.mark.parametrize("name", NIST)
def test_nist_least_squares(name):
    """Certified regressions; six digits are what moments leave of Wampler's polynomials."""
    data = NIST[name]
    x, y = np.array(data["X"], dtype=float), np.array(data["y"], dtype=float)
    X = x if data["degree"] == 1 else np.hstack([x**k for k in range(1, data["degree"] + 1)])
    problem = Problem(X=X, y=y, alpha=0.0, fit_intercept=data["intercept"])
    solution = problem.solve(tol=0)
    truth = np.array(data["exact_beta_25"], dtype=float)
    coef = np.r_[solution.intercept, solution.coef] if data["intercept"] else solution.coef
    assert np.abs(coef - truth).max() <= 1e-6 * np.abs(truth).max()
    rss = float(data["rss_25"]) / 2 / data["n"]
    assert problem.objective(solution.coef, solution.intercept) == pytest.approx(rss, rel=1e-6, abs=1e-16 * y @ y)
    assert np.all(solution.status == "converged")
    assert solution.gap <= 1e-10 * problem.scale(rss)
