"""W15: a lasso path for each of many bootstrap draws, as row weights on one table."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import Case, Contender
from joblib import Parallel, delayed
from sklearn.linear_model import Lasso
from squared_paths import SKLEARN_TOL, draw, grid, worst_gap

import metafit

ROWS, COLUMNS = 500, 50
#: Draws whose gap is looked at.
CHECKED = 20


def cases(size: str) -> list[Case]:
    n_draws, n_alphas = (1_000, 100) if size == "full" else (200, 50)
    rng = np.random.default_rng(0)
    X, Y = draw(ROWS, COLUMNS, rng)
    y = Y[:, 0]
    weights = rng.multinomial(ROWS, np.full(ROWS, 1 / ROWS), size=n_draws).astype(float)
    alphas = grid(X, y, 1.0, n_alphas)
    share = max(n_draws // 25, 20)
    picked = weights[rng.choice(n_draws, share, replace=False)]
    return [
        Case(
            workload="W15",
            name="lasso, bootstrap weights",
            shape=f"{n_draws} draws of {ROWS} x {COLUMNS}, {n_alphas} alphas",
            n_fits=n_draws * n_alphas,
            ours=Contender(
                name="metafit",
                run=lambda: metafit.engine.solve_tasks(
                    ((X, y, w) for w in weights), penalty="l1", alphas=alphas, n_threads=2
                ),
                gap=lambda fits: float(max(np.max(fits[i].gap / fits[i].objective) for i in range(0, n_draws, 20))),
            ),
            peers=[
                Contender(
                    name="Lasso, joblib",
                    run=lambda: Parallel(n_jobs=2)(delayed(_path)(X, y, w, alphas) for w in picked),
                    gap=lambda paths: worst_gap(
                        [
                            (X, y, path[at], alphas[at], w)
                            for path, w in list(zip(paths, picked, strict=True))[:CHECKED]
                            for at in (n_alphas // 2, n_alphas - 1)
                        ],
                        1.0,
                    ),
                    share=share / n_draws,
                    packages=["scikit-learn", "joblib"],
                )
            ],
            ratios={"*": 50.0},
            limit="cycles of one core: sweeps and steps on the active columns",
        )
    ]


def _path(X: np.ndarray, y: np.ndarray, weights: np.ndarray, alphas: Any) -> list[np.ndarray]:
    """Warm starts from the largest strength down; scikit-learn's paths take no weights, its estimators do."""
    model = Lasso(warm_start=True, tol=SKLEARN_TOL, max_iter=10_000)
    return [model.set_params(alpha=alpha).fit(X, y, sample_weight=weights).coef_.copy() for alpha in alphas]
