"""The same problems by other libraries, where they cover the pair.

Their conventions: scikit-learn's GLMs and quantile regression have our alpha; LinearSVC's C is 1 / (alpha n) and its
intercept is penalised as the coefficient of a column of ones, so both sides get that column; LogisticRegression's C is
1 / (alpha n). Where a solution is not unique the objectives are compared.
"""

import warnings

import numpy as np
import pytest
import scipy.optimize
from equation_draws import LOSSES, draw
from equation_oracle import Problem
from oracle_losses import READINGS
from pinball_program import pinball_bounds
from sklearn import linear_model
from sklearn.svm import LinearSVC

# stochastic solvers stop at their last step: what is compared is the objective reached
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEEDS = range(4)


def positive(seed, loss, **changes):
    """A problem with an intercept, row weights and nothing else that few libraries know."""
    problem = draw(loss, "l2", ["weights"], 500 + seed)
    standard = (problem.X - problem.X.mean(0)) / problem.X.std(0)
    return problem.but(X=standard, fit_intercept=True, standardize=False, columns=None, **changes)


def check_peer(problem, coef, intercept, *, rtol=1e-5, unique=True):
    """Our objective is at most theirs, and not by much; coefficients agree to what theirs are good for."""
    fit = problem.fit(tol=1e-12)
    ours, theirs = fit.objective, float(problem.objective(coef, intercept))
    scale = problem.scale(ours)
    assert ours <= theirs + 1e-11 * scale
    assert theirs - ours <= 1e-6 * scale
    if unique:
        size = abs(fit.coef).max() + 1e-3
        np.testing.assert_allclose(fit.coef, np.reshape(coef, fit.coef.shape), rtol=0, atol=rtol * size)
    return fit


# ---------------------------------------------------------------------------------------------------- scikit-learn


def generalised(loss, problem):
    options = {"alpha": problem.alpha, "tol": 1e-10, "max_iter": 10000}
    if loss == "poisson":
        return linear_model.PoissonRegressor(**options)
    if loss == "gamma":
        return linear_model.GammaRegressor(**options)
    return linear_model.TweedieRegressor(power=problem.loss_parameters["power"], link="log", **options)


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
@pytest.mark.parametrize("seed", SEEDS)
def test_generalised_linear_models_of_sklearn(loss, seed):
    # scikit-learn halves the deviance: its loss is ours, constants apart
    problem = positive(seed, loss)
    model = generalised(loss, problem).fit(problem.X, problem.y, sample_weight=problem.weights)
    fit = check_peer(problem, model.coef_, model.intercept_)
    np.testing.assert_allclose(fit.solution.predict(problem.X), model.predict(problem.X), rtol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_multinomial_of_sklearn(seed):
    problem = positive(seed, "softmax")
    n = float(problem.weights.sum())
    model = linear_model.LogisticRegression(C=1 / (problem.alpha * n), tol=1e-10, max_iter=10000)
    model.fit(problem.X, problem.y, sample_weight=problem.weights)
    fit = check_peer(problem, model.coef_, model.intercept_)
    np.testing.assert_allclose(fit.intercept, model.intercept_ - model.intercept_.mean(), atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_multinomial_lasso_of_sklearn(seed):
    # SAGA does not converge with row weights
    problem = positive(seed, "softmax", penalty="l1", weights=None)
    problem = problem.but(alpha=0.1 * problem.alpha_max)
    n = len(problem.y)
    options = {"solver": "saga", "tol": 1e-9, "max_iter": 50000, "random_state": 0}
    model = linear_model.LogisticRegression(C=1 / (problem.alpha * n), l1_ratio=1.0, **options)
    model.fit(problem.X, problem.y)
    check_peer(problem, model.coef_, model.intercept_, rtol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_squared_hinge_of_sklearn(seed):
    problem = positive(seed, "squared_hinge", weights=None)
    # its intercept is the coefficient of a column of ones, and penalised
    with_ones = problem.but(X=np.column_stack([problem.X, np.ones(len(problem.y))]), fit_intercept=False)
    options = {"loss": "squared_hinge", "dual": False, "tol": 1e-10, "max_iter": 10**6}
    model = LinearSVC(C=1 / (problem.alpha * len(problem.y)), **options)
    # scikit-learn halves |w|^2 and does not halve the loss; neither do we
    model.fit(problem.X, problem.y)
    check_peer(with_ones, np.r_[model.coef_[0], model.intercept_], 0.0, rtol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_squared_hinge_lasso_of_sklearn(seed):
    problem = positive(seed, "squared_hinge", weights=None, penalty="l1")
    problem = problem.but(fit_intercept=False)
    problem = problem.but(alpha=0.1 * problem.alpha_max)
    options = {"fit_intercept": False, "tol": 1e-10, "max_iter": 10**6, "random_state": 0}
    model = LinearSVC(C=1 / (problem.alpha * len(problem.y)), penalty="l1", dual=False, **options)
    model.fit(problem.X, problem.y)
    check_peer(problem, model.coef_, 0.0, rtol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_quantile_regression_of_sklearn(seed, level):
    problem = positive(seed, "quantile", penalty="l1", loss_parameters={"level": level})
    problem = problem.but(alpha=0.2 * problem.alpha_max)
    model = linear_model.QuantileRegressor(quantile=level, alpha=problem.alpha)
    model.fit(problem.X, problem.y, sample_weight=problem.weights)
    check_peer(problem, model.coef_, model.intercept_, unique=False)


# --------------------------------------------------------------------------------------------- HiGHS, through SciPy


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("penalty", ["l1", "l2", "elastic_net", "group_lasso", "sparse_group_lasso"])
def test_quantile_regression_by_linear_programs(seed, penalty):
    options = [["weights", "offset"], ["bounds"], ["factors", "center"], []][seed % 4]
    problem = draw("quantile", penalty, options, 600 + seed)
    fit = problem.fit(tol=1e-10)
    lower, upper = pinball_bounds(problem, problem.terms(problem.alpha), problem.q(fit.coef).astype(float))
    scale = problem.scale(fit.objective)
    assert fit.status == "converged"
    assert lower - 1e-9 * scale <= fit.objective <= upper + 1e-9 * scale
    assert fit.gap <= 1e-10 * scale
    assert fit.n_iter <= 60


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gap_of_a_quantile_fit_bounds_its_distance(seed):
    """Also when it is stopped early."""
    problem = draw("quantile", "l1", ["weights", "offset"], 700 + seed)
    lower, _ = pinball_bounds(problem, problem.terms(problem.alpha), 0 * problem.q(problem.w0).astype(float))
    for max_iter in (0, 1, 3, 5, 8):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = problem.fit(max_iter=max_iter)
        assert fit.gap >= fit.objective - lower - 1e-9 * problem.scale(fit.objective)


# --------------------------------------------------------------------------------------- SciPy's generic optimisers

SMOOTH = [loss for loss in LOSSES if READINGS[loss].differentiable]


def split(problem, x):
    """Coefficients (K, p) and intercepts of a vector of moving coefficients and intercepts."""
    coef = problem.w0.copy()
    m = problem.k * int(problem.moving.sum())
    coef[:, problem.moving] = np.reshape(x[:m], (problem.k, -1)) / problem.s[problem.moving] + coef[:, problem.moving]
    return coef, x[m:] if problem.fit_intercept else np.zeros(problem.k)


def by_l_bfgs_b(problem):
    """Any convex penalty: q = plus - minus where there are absolute values, norms rounded off less and less."""
    terms = problem.terms(problem.alpha)
    m = len(terms.l1)
    n_free = problem.k if problem.fit_intercept else 0
    low, high = terms.lower.astype(float), terms.upper.astype(float)
    if terms.l1.any():
        box = [*zip(np.zeros(m), high, strict=True), *zip(np.zeros(m), -low, strict=True)]
        to_q = np.hstack([np.eye(m), -np.eye(m)])
    else:
        box, to_q = list(zip(low, high, strict=True)), np.eye(m)
    box += [(-np.inf, np.inf)] * n_free
    x = np.zeros(len(box))
    options = {"ftol": 1e-16, "gtol": 1e-11, "maxiter": 5000, "maxfun": 20000}
    for rounding in [1e-1, 1e-2, 1e-3, 1e-4, 1e-5] if terms.blocks else [0.0]:
        loss = objective_and_slope(problem, terms, to_q, rounding)
        x = scipy.optimize.minimize(loss, x, jac=True, method="L-BFGS-B", bounds=box, options=options).x
    return split(problem, np.r_[to_q @ x[: len(box) - n_free], x[len(box) - n_free :]])


def objective_and_slope(problem, terms, to_q, rounding):
    l1 = np.full(to_q.shape[1], 0.0) if not terms.l1.any() else np.tile(terms.l1.astype(float), 2)
    metric = np.diag(terms.l2) if terms.metric is None else terms.metric

    def loss(x):
        q = to_q @ x[: to_q.shape[1]]
        coef, intercept = split(problem, np.r_[q, x[to_q.shape[1] :]])
        eta = problem.eta(coef, intercept)
        theta = problem.reading.residual(problem.target, eta)
        value, slope = q @ metric @ q / 2, metric @ q - problem.slope(theta)
        for g in terms.blocks:
            norm = np.sqrt(np.sum((g.f * q[g.members]) ** 2) + rounding**2)
            value += g.weight * norm
            slope[g.members] += g.weight * g.f**2 * q[g.members] / norm
        own = -(problem.omega @ theta) if problem.fit_intercept else np.zeros(0)
        value += problem.mean_loss(eta) + l1 @ x[: to_q.shape[1]]
        return float(value), np.r_[slope.astype(float) @ to_q + l1, own.astype(float)]

    return loss


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("options", [["bounds", "weights"], ["metric"], ["bounds", "center", "offset"], ["factors"]])
def test_smooth_penalties_by_l_bfgs_b(loss, options):
    problem = draw(loss, "l2", options, 800)
    check_scipy(problem, *by_l_bfgs_b(problem))


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("penalty", ["l1", "elastic_net", "group_lasso", "sparse_group_lasso"])
@pytest.mark.parametrize("options", [["weights", "offset"], ["bounds", "factors"]])
def test_absolute_values_and_norms_by_l_bfgs_b(loss, penalty, options):
    problem = draw(loss, penalty, options, 900)
    check_scipy(problem, *by_l_bfgs_b(problem), slack=1e-4 if "group" in penalty else 1e-7)


def check_scipy(problem, coef, intercept, slack=1e-7):
    """Ours is at most as large, and theirs, as far as such methods go, comes to it."""
    fit = problem.fit(tol=1e-12)
    theirs = float(problem.objective(coef, intercept))
    scale = problem.scale(fit.objective)
    assert fit.objective <= theirs + 1e-11 * scale
    assert theirs - fit.objective <= slack * scale


# --------------------------------------------------------------------------------------- libraries that may be there


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie", "logistic", "squared"])
@pytest.mark.parametrize("seed", SEEDS)
def test_glum(loss, seed):
    """It knows weights, offsets, factors, an elastic net and bounds."""
    glum = pytest.importorskip("glum")
    problem = draw(loss, "elastic_net", ["weights", "offset", "bounds"], 1000 + seed)
    problem = problem.but(standardize=False, fit_intercept=True, columns=None)
    family = {
        "tweedie": lambda: glum.TweedieDistribution(problem.loss_parameters["power"]),
        "logistic": lambda: "binomial",
        "squared": lambda: "normal",
    }.get(loss, lambda: loss)()
    model = glum.GeneralizedLinearRegressor(
        family=family,
        link={"squared": "identity", "logistic": "logit"}.get(loss, "log"),
        alpha=problem.alpha,
        l1_ratio=problem.penalty_parameters["l1_ratio"],
        lower_bounds=problem.lower,
        upper_bounds=problem.upper,
        gradient_tol=1e-9,
        max_iter=5000,
        scale_predictors=False,
    )
    with np.errstate(divide="ignore"):
        model.fit(problem.X, problem.y, sample_weight=problem.weights, offset=problem.offset)
    check_scipy(problem, model.coef_, model.intercept_, slack=1e-6)


@pytest.mark.parametrize("penalty", ["l1", "mcp", "scad"])
@pytest.mark.parametrize("seed", SEEDS)
def test_skglm(penalty, seed):
    """Folded concave fits may differ: both have to be stationary, and ours is no worse by much."""
    skglm = pytest.importorskip("skglm")
    problem = draw("squared", penalty, [], 1100 + seed).but(fit_intercept=False, standardize=False, columns=None)
    gamma = problem.penalty_parameters.get("gamma")
    made = {
        "l1": lambda: skglm.penalties.L1(problem.alpha),
        "mcp": lambda: skglm.penalties.MCPenalty(problem.alpha, gamma),
        "scad": lambda: skglm.penalties.SCAD(problem.alpha, gamma),
    }[penalty]()
    solver = skglm.solvers.AndersonCD(tol=1e-12, max_iter=1000, fit_intercept=False)
    model = skglm.GeneralizedLinearEstimator(skglm.datafits.Quadratic(), made, solver).fit(problem.X, problem.y)
    fit = problem.fit(tol=0)
    assert problem.violation(fit.coef, 0.0) <= 1e-8 * problem.steepest()
    if penalty == "l1":
        check_peer(problem, model.coef_, 0.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_skglm_groups(seed):
    pytest.importorskip("skglm")
    from skglm.datafits import QuadraticGroup
    from skglm.penalties import WeightedGroupL2
    from skglm.solvers import GroupBCD
    from skglm.utils.data import grp_converter

    problem = draw("squared", "group_lasso", [], 1200 + seed).but(fit_intercept=False, standardize=False, columns=None)
    groups = [np.flatnonzero(problem.groups == g).tolist() for g in np.unique(problem.groups)]
    indices, pointers = grp_converter(groups, problem.p)
    weights = np.sqrt([len(g) for g in groups])
    penalty = WeightedGroupL2(problem.alpha, weights, pointers, indices)
    datafit = QuadraticGroup(pointers, indices)
    solver = GroupBCD(tol=1e-10, max_iter=5000, fit_intercept=False)
    coef, _, _ = solver.solve(np.asfortranarray(problem.X), problem.y, datafit, penalty)
    check_peer(problem, coef, 0.0)


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie", "logistic", "squared"])
@pytest.mark.parametrize("seed", SEEDS)
def test_maximum_likelihood_of_statsmodels(loss, seed):
    """Without a penalty, with weights and an offset."""
    sm = pytest.importorskip("statsmodels.api")
    problem = draw(loss, "l2", ["weights", "offset"], 1300 + seed)
    problem = problem.but(alpha=0.0, standardize=False, fit_intercept=True, columns=None)
    families, links = sm.families, sm.families.links
    family = {
        "poisson": lambda: families.Poisson(),
        "gamma": lambda: families.Gamma(links.Log()),
        "tweedie": lambda: families.Tweedie(links.Log(), var_power=problem.loss_parameters["power"]),
        "logistic": lambda: families.Binomial(),
        "squared": lambda: families.Gaussian(),
    }[loss]()
    rows = problem.rows
    model = sm.GLM(
        problem.y[rows],
        sm.add_constant(problem.X[rows]),
        family=family,
        offset=problem.offset[rows],
        freq_weights=problem.weights[rows],
    )
    found = model.fit(tol=1e-13, maxiter=200).params
    check_peer(problem, found[1:], found[0], rtol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_multinomial_of_statsmodels(seed):
    sm = pytest.importorskip("statsmodels.api")
    problem = draw("softmax", "l2", [], 1400 + seed).but(alpha=0.0, fit_intercept=True, columns=None, standardize=False)
    X = (problem.X - problem.X.mean(0)) / problem.X.std(0)
    problem = problem.but(X=X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = sm.MNLogit(problem.y, sm.add_constant(X))
        found = model.fit(disp=False, method="newton", tol=1e-14, maxiter=200).params
    # it holds the first class at 0; here the classes sum to 0
    params = np.column_stack([np.zeros(len(found)), found]).T
    params = params - params.mean(axis=0)
    fit = check_peer(problem, params[:, 1:], params[:, 0], rtol=1e-6)
    np.testing.assert_allclose(fit.intercept, params[:, 0], atol=1e-6)


def test_a_problem_by_hand():
    """One column, three rows, quantiles that can be read off."""
    y = np.array([1.0, 2.0, 10.0])
    problem = Problem(X=np.zeros((3, 1)), y=y, alpha=1.0, loss="quantile", loss_parameters={"level": 0.5}, penalty="l1")
    fit = problem.fit()
    assert fit.intercept[0] == pytest.approx(2.0, abs=1e-7)
    assert fit.objective == pytest.approx(0.5 * (1 + 8) / 3, rel=1e-8)
