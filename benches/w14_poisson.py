"""W14: Poisson regression of rates, 600,000 x 60, with weights and an offset."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import Case, Contender, installed
from sklearn.linear_model import PoissonRegressor

import metafit as mf

ALPHA = 1e-3


def cases(size: str) -> list[Case]:
    n, p = (600_000, 60) if size == "full" else (50_000, 60)
    x, y, weights, offset = _table(n, p)

    def objective(coef: Any, intercept: float) -> float:
        eta = x @ np.ravel(coef) + float(intercept) + offset
        return float(np.average(np.exp(eta) - y * eta, weights=weights) + ALPHA / 2 * np.sum(np.square(coef)))

    def ours(tol: float = 1e-8) -> tuple[Any, float]:
        solution = mf.solve(
            x,
            y,
            loss="poisson",
            penalty=mf.penalties.L2(),
            alphas=ALPHA,
            sample_weight=weights,
            offset=offset,
            tol=tol,
            n_threads=2,
        )
        return solution.coef, float(solution.intercept)

    def sklearn() -> tuple[Any, float]:
        # it has no offset: counts over exposures, weighted by exposures, are the same likelihood
        exposure = np.exp(offset)
        model = PoissonRegressor(alpha=ALPHA * scale, solver="newton-cholesky", tol=1e-6)
        model.fit(x, y / exposure, sample_weight=weights * exposure)
        return model.coef_, float(model.intercept_)

    def glum() -> tuple[Any, float]:
        from glum import GeneralizedLinearRegressor

        model = GeneralizedLinearRegressor(
            family="poisson", alpha=ALPHA, l1_ratio=0, gradient_tol=1e-6, solver="irls-ls", copy_X=False
        )
        model.fit(x, y, sample_weight=weights, offset=offset)
        return model.coef_, float(model.intercept_)

    # scikit-learn divides by the sum of weights * exposure, metafit by that of the weights
    scale = float(np.sum(weights) / np.sum(weights * np.exp(offset)))
    best = objective(*ours(1e-12))

    def gap(solution: tuple[Any, float]) -> float:
        return max(objective(*solution) - best, 0.0) / abs(best)

    peers = [
        Contender(name="sklearn newton-cholesky", run=sklearn, gap=gap, runs=2, packages=["scikit-learn"]),
    ]
    if installed("glum"):
        peers.append(Contender(name="glum", run=glum, gap=gap, runs=2, packages=["glum"]))
    case = Case(
        workload="W14",
        name="Poisson, weights and offset",
        shape=f"{n} x {p}",
        n_fits=1,
        ours=Contender(name="metafit", run=ours, gap=gap),
        peers=peers,
        ratios={"*": 1.2},
        limit="flops of X'WX, and bytes of X",
    )
    return [case]


def _table(n: int, p: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(14)
    x = rng.standard_normal((n, p))
    weights = rng.uniform(0.5, 2.0, n)
    offset = np.log(rng.uniform(0.2, 3.0, n))
    w = rng.standard_normal(p) * (0.5 / np.sqrt(p))
    y = rng.poisson(np.exp(x @ w - 1.0 + offset)).astype(float)
    return x, y, weights, offset
