"""The oracle itself: derivatives by differences, conjugates and distances by brute force, bounds by chance."""

import numpy as np
import pytest
import scipy.optimize
from equation_draws import LOSSES, PENALTIES, draw, options_of
from oracle_losses import READINGS, expit, wide
from oracle_penalties import READINGS as PENALTY_READINGS
from oracle_penalties import Block, Terms, largest_in_box, soft, solve_wide

from metafit.strategies import losses, penalties

SCALAR = [name for name in READINGS if name != "softmax"]


def test_the_oracle_reads_every_member():
    """A loss or a penalty that is new needs its formula here, written from its definition."""
    assert set(READINGS) == {*losses.REGISTRY, "softmax"}
    assert set(PENALTY_READINGS) == set(penalties.REGISTRY)


# ---------------------------------------------------------------------------------------------------------- losses


def points(name, rng, n=60):
    """A loss, targets that it takes, linear predictions around them; none at a kink."""
    loss = READINGS[name]()
    k = 3 if name == "softmax" else 1
    eta = wide(rng.normal(size=(n, k)) * 2)
    return loss, wide(loss.draw(rng, eta.astype(float)))[:, None], eta


@pytest.mark.parametrize("name", READINGS)
def test_derivatives_are_differences(name):
    loss, y, eta = points(name, np.random.default_rng(0))
    h = wide(1e-7)
    for k in range(eta.shape[1]):
        step = h * (np.arange(eta.shape[1]) == k)
        slope = (loss.value(y, eta + step) - loss.value(y, eta - step)) / (2 * h)
        np.testing.assert_allclose(slope[:, 0], -loss.residual(y, eta)[:, k], rtol=1e-8, atol=1e-8)
        if loss.differentiable:
            change = (loss.residual(y, eta - step) - loss.residual(y, eta + step)) / (2 * h)
            unit = np.broadcast_to(step / h, eta.shape)
            np.testing.assert_allclose(change, loss.times(y, eta, unit), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", SCALAR)
def test_the_least_value_is_a_minimum(name):
    loss, y, eta = points(name, np.random.default_rng(1))
    lowest = np.min([loss.value(y, wide(np.full_like(eta, e))) for e in np.linspace(-30, 30, 60001)], axis=0)
    assert (lowest >= loss.least(y) - 1e-12).all()
    np.testing.assert_allclose(lowest, loss.least(y), atol=1e-3)  # the grid on a slope of 1


@pytest.mark.parametrize("name", [n for n in SCALAR if READINGS[n].differentiable])
def test_a_majorant_lies_above(name):
    """Of losses whose curvature is bounded it does everywhere; of all of them, at the point itself it touches."""
    loss, y, eta = points(name, np.random.default_rng(2))
    assert (loss.majorant(y, eta) >= loss.curvature(y, eta) - 1e-15).all()
    if name in ("huber", "squared_hinge"):
        for move in np.linspace(-5, 5, 101):
            above = loss.value(y, eta) - loss.residual(y, eta) * move + loss.majorant(y, eta) * move**2 / 2
            assert (above >= loss.value(y, eta + move) - 1e-12).all()


def supremum(loss, y, theta):
    """sup over eta of -theta eta - L(y, eta), by SciPy within |eta| <= 60."""

    def at(e):
        return float(theta * e + loss.value(wide([[y]]), wide([[e]]))[0, 0])

    grid = np.linspace(-60, 60, 2401)
    near = grid[np.argmin([at(e) for e in grid])]
    ends = (near - 0.1, near + 0.1)
    found = scipy.optimize.minimize_scalar(at, bounds=ends, method="bounded", options={"xatol": 1e-9})
    return -min(found.fun, at(near))


@pytest.mark.parametrize("name", SCALAR)
def test_conjugates_are_suprema(name):
    loss, y, eta = points(name, np.random.default_rng(3), n=25)
    theta = wide(np.random.default_rng(4).normal(size=y.shape)) + loss.residual(y, eta)
    s = loss.room(y, theta)
    assert ((s >= 0) & (s <= 1)).all()
    value = loss.conjugate(y, s * theta)
    for i in range(len(y)):
        assert float(value[i, 0]) == pytest.approx(supremum(loss, float(y[i, 0]), float((s * theta)[i, 0])), abs=1e-6)


@pytest.mark.parametrize("name", SCALAR)
def test_beyond_the_room_the_supremum_is_infinite(name):
    loss, y, _ = points(name, np.random.default_rng(5), n=40)
    theta = 3 * wide(np.random.default_rng(6).normal(size=y.shape))
    for i in np.flatnonzero((loss.room(y, theta) < 1)[:, 0]):
        t = theta[i, 0]
        # it grows with |eta|, without end
        ends = [max(-t * e - loss.value(y[i : i + 1], wide([[e]]))[0, 0] for e in (-far, far)) for far in (300, 600)]
        assert ends[1] > ends[0] + 1e-3


def test_the_conjugate_of_the_softmax_bounds_and_is_attained():
    rng = np.random.default_rng(7)
    loss, y, eta = points("softmax", rng)
    q = rng.dirichlet(np.ones(3), len(y))
    theta = wide(y == np.arange(3)) - q
    value = loss.conjugate(y, theta).sum(axis=1)
    for other in (eta, wide(rng.normal(size=eta.shape) * 5)):
        assert (value >= -(theta * other).sum(axis=1) - loss.value(y, other)[:, 0] - 1e-15).all()
    at = np.log(wide(q))
    np.testing.assert_allclose(value, -(theta * at).sum(axis=1) - loss.value(y, at)[:, 0], atol=1e-15)


def test_expit_is_the_logistic_function():
    eta = wide(np.linspace(-30, 30, 7))
    np.testing.assert_allclose(expit(eta), 1 / (1 + np.exp(-eta)), rtol=1e-17)


# ------------------------------------------------------------------------------------------------------- penalties


def draw_terms(rng, kind, m=4):
    """Terms of one kind with random boxes."""
    width = rng.choice([0.0, 0.4, 1.5, np.inf], (2, m))
    terms = Terms(l1=wide(np.zeros(m)), l2=wide(np.zeros(m)), lower=-wide(width[0]), upper=wide(width[1]))
    if kind in ("l1", "elastic_net", "sparse_group"):
        terms.l1 = wide(rng.uniform(0.2, 1, m))
    if kind in ("l2", "elastic_net"):
        terms.l2 = wide(rng.uniform(0.2, 1, m))
    if kind in ("group", "sparse_group"):
        terms.blocks = [Block(wide(0.7), np.arange(m - 1), wide(rng.uniform(0.5, 2, m - 1)))]
        terms.l2[-1] = 0.5
    if kind == "metric":
        root = wide(rng.normal(size=(m, m)))
        terms.metric = root @ root.T
    return terms


KINDS = ["l1", "l2", "elastic_net", "group", "sparse_group", "metric"]
NO_DIRECTIONS = np.zeros((0, 4), np.longdouble)


def largest(terms, u, rng):
    """sup over the box of u'q - Omega(q), by SciPy from several starts."""
    box = [(max(float(a), -1e4), min(float(b), 1e4)) for a, b in zip(terms.lower, terms.upper, strict=True)]

    def loss(q):
        return float(terms.value(wide(q)) - u @ wide(q))

    best = 0.0
    for _ in range(6):
        start = np.clip(rng.normal(size=len(u)), *np.transpose(box))
        for method, options in (("Powell", {"xtol": 1e-10, "ftol": 1e-14}), ("Nelder-Mead", {"fatol": 1e-14})):
            found = scipy.optimize.minimize(loss, start, method=method, bounds=box, options=options | {"maxiter": 4000})
            best, start = max(best, -found.fun), found.x
    return best


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_penalty_conjugates_are_suprema(kind, seed):
    rng = np.random.default_rng(seed)
    terms, u = draw_terms(rng, kind), wide(rng.normal(size=4))
    u = terms.room(u, NO_DIRECTIONS) * u
    # Powell's method stops on the edges of norms: a little slack, and never above
    value, found = float(terms.conjugate(u, NO_DIRECTIONS)), largest(terms, u, rng)
    assert found <= value + 1e-9
    assert found >= value - 1e-3 * (1 + value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(10))
def test_penalty_conjugates_bound(kind, seed):
    rng = np.random.default_rng(100 + seed)
    terms, u = draw_terms(rng, kind), wide(2 * rng.normal(size=4))
    u = terms.room(u, NO_DIRECTIONS) * u
    value = terms.conjugate(u, NO_DIRECTIONS)
    for size in (0.01, 0.3, 3, 100):
        for _ in range(40):
            q = np.clip(wide(size * rng.normal(size=4)), terms.lower, terms.upper)
            assert u @ q - terms.value(q) <= value + 1e-12 * size**2


@pytest.mark.parametrize("kind", ["l1", "group", "sparse_group"])
@pytest.mark.parametrize("seed", range(5))
def test_there_is_no_more_room(kind, seed):
    """Beyond the largest scale the supremum has no end."""
    rng = np.random.default_rng(200 + seed)
    terms, u = draw_terms(rng, kind), wide(5 * rng.normal(size=4))
    s = terms.room(u, NO_DIRECTIONS)
    if s == 1:
        return
    u = 1.01 * s * u
    q = np.zeros(4, np.longdouble)
    for g in terms.blocks:
        q[g.members] = 1e6 * soft(u[g.members], terms.l1[g.members]) / g.f**2
    single = (terms.l2 == 0) & ~terms.blocked
    q[single] = 1e6 * soft(u, terms.l1)[single]
    held = np.isfinite(np.where(q > 0, terms.upper, terms.lower))
    q[held] = 0
    assert u @ q - terms.value(q) > 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_distances_are_rates_of_steepest_descent(kind, seed):
    """The least subgradient is as long as the fastest fall of the function, here over many directions."""
    rng = np.random.default_rng(300 + seed)
    terms = draw_terms(rng, kind, m=3)
    q = np.clip(wide(rng.normal(size=3) * (rng.random(3) < 0.6)), terms.lower, terms.upper)
    if seed % 2:
        q[:2] = 0
    slope, h = wide(rng.normal(size=3)), wide(1e-9)
    claimed = float(np.sqrt(np.sum(terms.violations(q, slope) ** 2)))
    low, high = terms.touched(q)
    directions = rng.normal(size=(12000, 3)) * (rng.random((12000, 3)) < 0.7)
    directions = np.where(low & (directions < 0) | high & (directions > 0), 0, directions)
    directions = wide(directions[np.linalg.norm(directions, axis=1) > 0])
    directions = directions / np.sqrt((directions**2).sum(axis=1))[:, None]
    here = terms.value(q)
    fall = max(float(slope @ d - (terms.value(q + h * d) - here) / h) for d in directions)
    assert fall <= claimed + 1e-7
    assert max(fall, 0) >= 0.985 * claimed - 1e-7


@pytest.mark.parametrize("name", ["mcp", "scad"])
def test_folded_concave_curves(name):
    curve = PENALTY_READINGS[name]().curve
    lam, t, h = wide(0.7), wide(np.linspace(0.013, 4, 60)), wide(1e-7)
    value, slope = curve(lam, t)
    np.testing.assert_allclose(slope, (curve(lam, t + h)[0] - curve(lam, t - h)[0]) / (2 * h), atol=1e-6)
    assert curve(lam, wide(0))[0] == 0
    assert curve(lam, wide(0))[1] == lam
    assert (np.diff(value) >= 0).all()
    assert (np.diff(slope) <= 1e-18).all()
    assert slope[-1] == 0


def test_elimination():
    rng = np.random.default_rng(0)
    root = wide(rng.normal(size=(6, 4)))
    matrix, x = root @ root.T, wide(rng.normal(size=6))
    # of rank 4: another solution, of the same product
    np.testing.assert_allclose(matrix @ solve_wide(matrix, matrix @ x), matrix @ x, atol=1e-16)
    matrix = matrix + np.eye(6)
    np.testing.assert_allclose(solve_wide(matrix, matrix @ x), x, atol=1e-16)


@pytest.mark.parametrize("seed", range(10))
def test_quadratic_in_a_box(seed):
    rng = np.random.default_rng(seed)
    root = wide(rng.normal(size=(4, 4)))
    m, u = root @ root.T, wide(2 * rng.normal(size=4))
    lower, upper = -wide(rng.uniform(0, 1, 4)), wide(rng.uniform(0, 1, 4))
    q = largest_in_box(u, m, lower, upper)
    slope = u - m @ q
    off = np.where(q <= lower, np.maximum(slope, 0), np.where(q >= upper, np.maximum(-slope, 0), abs(slope)))
    assert off.max() <= 1e-12


# ------------------------------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize("loss", [name for name in LOSSES if READINGS[name].differentiable])
@pytest.mark.parametrize("penalty", [name for name in PENALTIES if not PENALTY_READINGS[name]().curve])
def test_the_dual_value_is_below_every_objective(loss, penalty):
    """P - gap, at any point, is a lower bound of P at all points: weak duality, tried by chance."""
    for seed in range(3):
        problem = draw(loss, penalty, options_of(penalty)[seed % 2 :], seed)
        rng = np.random.default_rng(seed)
        coefs = [in_box(problem, rng) for _ in range(12)]
        intercepts = problem.null[1] + problem.fit_intercept * rng.normal(size=(12, problem.k))
        values = np.array([problem.objective(c, b) for c, b in zip(coefs, intercepts, strict=True)])
        gaps = [problem.gap(c, b) for c, b in zip(coefs, intercepts, strict=True)]
        assert min(gaps) >= -1e-17
        assert (values - gaps).max() <= values.min() + 1e-12


def in_box(problem, rng):
    """A coefficient for each moving column within its bounds, some at their ends or at the centre."""
    move = 0.5 * rng.normal(size=(problem.k, problem.p)) / np.asarray(problem.X).std(0)
    move = np.where(problem.moving & (rng.random(move.shape) < 0.7), move, 0)
    low, high = problem._each(problem.lower, -np.inf), problem._each(problem.upper, np.inf)
    return np.where(problem.moving, np.clip(problem.w0 + move, low, high), problem.w0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_no_null_fit_is_better(loss, penalty):
    """The null objective is least among moves of what costs nothing, tried by chance."""
    problem = draw(loss, penalty, [o for o in ("offset", "factors", "weights") if o in options_of(penalty)], 3)
    coef, intercept = problem.null
    least = problem.mean_loss(problem.eta(coef, intercept))
    rng = np.random.default_rng(0)
    free = problem.moving & (problem.f == 0)
    for size in (1, 1e-2, 1e-4):
        for _ in range(10):
            moved = coef + size * rng.normal(size=coef.shape) * free / np.asarray(problem.X).std(0)
            shifted = intercept + size * rng.normal(size=intercept.shape) * problem.fit_intercept
            assert problem.mean_loss(problem.eta(moved, shifted)) >= least - 1e-13
