"""W5: paths of the lasso and of L1 logistic regression on many more columns than rows, in leukemia's shape."""

from __future__ import annotations

import numpy as np
from harness import Case
from sparse_paths import Problem, ours, peers

#: Tolerances of metafit and its peers that bring every fit within 1e-6 of the least objective.
TOLS = {
    "squared": (1e-6, {"celer": 1e-7, "skglm": 1e-6, "adelie": 1e-12}),
    "logistic": (1e-6, {"celer": 1e-6, "skglm": 1e-6, "adelie": 1e-10}),
}


def cases(size: str) -> list[Case]:
    n, p, n_alphas = (72, 3571, 100) if size == "full" else (72, 1800, 30)
    return [_case(loss, n, p, n_alphas) for loss in TOLS]


def _case(loss: str, n: int, p: int, n_alphas: int) -> Case:
    X, y = _table(n, p)
    problem = Problem(X, y if loss == "squared" else np.where(y > 0, 1.0, -1.0), loss, n_alphas, 0.01)
    tol, tols = TOLS[loss]
    return Case(
        workload="W5",
        name=f"{loss} L1 path, p >> n",
        shape=f"{n} x {p}, {n_alphas} alphas",
        n_fits=n_alphas,
        ours=ours(problem, tol),
        peers=peers(problem, tols),
        ratios={"*": 1.0},
    )


def _table(n: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Standardised columns that share 10 factors, so that many correlate; a response of 20 of them, centred."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10)) @ rng.normal(size=(10, p)) * 0.3 + rng.normal(size=(n, p))
    X = np.asfortranarray((X - X.mean(axis=0)) / X.std(axis=0))
    y = X[:, rng.choice(p, 20, replace=False)] @ rng.normal(size=20)
    y += rng.normal(size=n) * 0.5 * y.std()
    return X, y - y.mean()
