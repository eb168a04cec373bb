"""W2: 10,000 logistic problems on subsets of columns (k = 10 of 40, n = 1000), on all rows and on 5 folds each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Case, Contender, installed
from joblib import Parallel, delayed
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

import metafit as mf

ALPHA = 1e-3
N, P, K, FOLDS = 1000, 40, 10, 5


def work(size: str) -> Callable[[int], Any]:
    """Return what is timed, a function of the number of threads."""
    x, y, subsets = _table(_n_subsets(size))
    return lambda n_threads: _solve(x, y, subsets, n_threads=n_threads)


def _n_subsets(size: str) -> int:
    return 10_000 if size == "full" else 500


def _solve(x: Any, y: Any, subsets: Any, tol: float = 1e-8, n_threads: int = 2) -> Any:
    folds = list(KFold(FOLDS).split(x))
    ridge = mf.penalties.L2()
    return mf.solve(
        x, y, loss="logistic", penalty=ridge, alphas=ALPHA, subsets=subsets, folds=folds, tol=tol, n_threads=n_threads
    )


def cases(size: str) -> list[Case]:
    m = _n_subsets(size)
    share = 0.02 if size == "full" else 0.1
    x, y, subsets = _table(m)
    some = [subsets[i] for i in np.random.default_rng(2).choice(m, round(share * m), replace=False)]
    splits = [np.arange(N), *(train for train, _ in KFold(FOLDS).split(x))]
    best: dict[tuple[tuple[int, ...], int], float] = {}

    def ours(which: Any = subsets, tol: float = 1e-8) -> Any:
        return _solve(x, y, which, tol)

    def objective(rows: Any, subset: Any, coef: Any, intercept: float) -> float:
        eta = x[np.ix_(rows, subset)] @ np.ravel(coef) + float(intercept)
        return float(np.mean(np.logaddexp(0, eta) - y[rows] * eta) + ALPHA / 2 * np.sum(np.square(coef)))

    def fits_of(solution: Any, which: Any) -> list[list[tuple[Any, float]]]:
        return [
            [
                (solution.coef[s][subset], solution.intercept[s]),
                *((solution.fold_coef[s, f][subset], solution.fold_intercept[s, f]) for f in range(FOLDS)),
            ]
            for s, subset in enumerate(which)
        ]

    def gap(fits: Any) -> float:
        if not best:
            for subset, of_subset in zip(some, fits_of(ours(some, 1e-12), some), strict=True):
                for f, (coef, intercept) in enumerate(of_subset):
                    best[tuple(subset), f] = objective(splits[f], subset, coef, intercept)
        off = 0.0
        for subset, of_subset in zip(some, fits, strict=True):
            for f, (coef, intercept) in enumerate(of_subset):
                least = best[tuple(subset), f]
                off = max(off, (objective(splits[f], subset, coef, intercept) - least) / least)
        return off

    def our_gap(solution: Any) -> float:
        place = {tuple(subset): s for s, subset in enumerate(subsets)}
        fits = fits_of(solution, subsets)
        return gap([fits[place[tuple(subset)]] for subset in some])

    def sklearn(solver: str, tol: float) -> Any:
        with Parallel(n_jobs=2) as pool:
            return pool(delayed(_sklearn)(x, y, subset, splits, solver, tol) for subset in some)

    def peer(name: str, run: Any, packages: list[str]) -> Contender:
        return Contender(name=name, run=run, gap=gap, share=share, runs=2, packages=packages)

    peers = [
        peer("sklearn newton-cholesky", lambda: sklearn("newton-cholesky", 1e-5), ["scikit-learn"]),
        peer("sklearn lbfgs", lambda: sklearn("lbfgs", 1e-5), ["scikit-learn"]),
    ]
    if installed("snapml"):
        peers.append(peer("snapml", lambda: [_snapml(x, y, subset, splits) for subset in some], ["snapml"]))
    if installed("jax"):
        peers.append(peer("jax vmap newton", _Jax(x, y, some, splits), ["jax"]))
    case = Case(
        workload="W2",
        name="logistic subsets",
        shape=f"{N} x {P}, {m} subsets of {K}",
        n_fits=m * (FOLDS + 1),
        ours=Contender(name="metafit", run=ours, gap=our_gap, runs=3),
        peers=peers,
        seconds=1.2 * m / 10_000,
        ratios={"sklearn newton-cholesky": 50, "sklearn lbfgs": 50, "jax vmap newton": 5},
        limit="flops of X'WX and calls of the exponential and the logarithm, in turns",
    )
    return [case]


def _table(m: int) -> tuple[Any, Any, list[list[int]]]:
    rng = np.random.default_rng(22)
    x = rng.standard_normal((N, P)) @ (np.eye(P) + 0.3 * rng.standard_normal((P, P)) / np.sqrt(P))
    y = (rng.random(N) < expit(x @ (0.3 * rng.standard_normal(P)))).astype(float)
    chosen: dict[tuple[int, ...], None] = {}
    while len(chosen) < m:
        chosen[tuple(sorted(int(j) for j in rng.choice(P, K, replace=False)))] = None
    return x, y, [list(subset) for subset in chosen]


def _sklearn(x: Any, y: Any, subset: Any, splits: Any, solver: str, tol: float) -> list[tuple[Any, float]]:
    fits = []
    for rows in splits:
        model = LogisticRegression(C=1 / (ALPHA * len(rows)), solver=solver, tol=tol, max_iter=1000)
        model.fit(x[np.ix_(rows, subset)], y[rows])
        fits.append((model.coef_[0], float(model.intercept_[0])))
    return fits


def _snapml(x: Any, y: Any, subset: Any, splits: Any) -> list[tuple[Any, float]]:
    from snapml import LogisticRegression as Snap

    fits = []
    for rows in splits:
        model = Snap(regularizer=ALPHA * len(rows), fit_intercept=True, n_jobs=2, tol=1e-6, max_iter=1000)
        model.fit(x[np.ix_(rows, subset)], y[rows])
        fits.append((np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])))
    return fits


class _Jax:
    """Newton's method on all problems at once, 8 steps of it, in double precision."""

    STEPS = 8

    def __init__(self, x: Any, y: Any, subsets: Any, splits: Any) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp

        # rows that a split leaves out weigh nothing
        weights = np.zeros((len(splits), len(y)))
        for f, rows in enumerate(splits):
            weights[f, rows] = 1 / len(rows)
        ridge = ALPHA * jnp.diag(jnp.r_[jnp.ones(K), 0.0])

        def fit(columns: Any, omega: Any) -> Any:
            z = jnp.column_stack([jnp.asarray(x)[:, columns], jnp.ones(len(y))])

            def step(w: Any, _: Any) -> Any:
                mean = jax.nn.sigmoid(z @ w)
                hessian = (z * (omega * mean * (1 - mean))[:, None]).T @ z + ridge
                return w - jnp.linalg.solve(hessian, z.T @ (omega * (mean - y)) + ridge @ w), None

            return jax.lax.scan(step, jnp.zeros(K + 1), None, length=self.STEPS)[0]

        self.fit = jax.jit(jax.vmap(jax.vmap(fit, (None, 0)), (0, None)))
        self.subsets, self.weights = jnp.asarray(subsets), jnp.asarray(weights)

    def __call__(self) -> Any:
        solved = np.asarray(self.fit(self.subsets, self.weights))
        return [[(w[:-1], float(w[-1])) for w in of_subset] for of_subset in solved]
