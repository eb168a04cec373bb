"""W13: a path of the group lasso on more columns than rows."""

from __future__ import annotations

import numpy as np
from harness import Case
from scipy.signal import lfilter
from sparse_paths import Problem, ours, peers

#: Tolerances of metafit and its peers that bring every fit within 1e-6 of the least objective.
TOL = 1e-6
TOLS = {"celer": 1e-6, "skglm": 1e-4, "adelie": 1e-10}


def cases(size: str) -> list[Case]:
    n, p, n_alphas = (1_000, 5_000, 50) if size == "full" else (300, 1_600, 20)
    X, y = _table(n, p)
    problem = Problem(X, y, "squared", n_alphas, 0.05, group=10)
    case = Case(
        workload="W13",
        name="group lasso path",
        shape=f"{n} x {p}, groups of 10, {n_alphas} alphas",
        n_fits=n_alphas,
        ours=ours(problem, TOL),
        peers=peers(problem, TOLS),
        ratios={"*": 1.0},
    )
    return [case]


def _table(n: int, p: int, seed: int = 0, rho: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Standardised columns, each correlated with the one before it; a response of 20 groups, centred."""
    rng = np.random.default_rng(seed)
    X = lfilter([np.sqrt(1 - rho**2)], [1, -rho], rng.normal(size=(n, p)), axis=1)
    X = np.asfortranarray((X - X.mean(axis=0)) / X.std(axis=0))
    coef = np.zeros((p // 10, 10))
    coef[rng.choice(p // 10, 20, replace=False)] = rng.normal(size=(20, 10))
    y = X @ coef.ravel()
    y += rng.normal(size=n) * 0.5 * y.std()
    return X, y - y.mean()
