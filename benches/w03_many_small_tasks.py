"""W3: an elastic net path with cross-validation on each of very many small tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Case, Contender
from sklearn.linear_model import ElasticNetCV
from squared_paths import SKLEARN_TOL, draw, fit_all, worst_gap

import metafit

L1_RATIO, N_ALPHAS, FOLDS = 0.5, 20, 5
#: Fits whose gap is looked at.
CHECKED = 50


def work(size: str) -> Callable[[int], Any]:
    """Return what is timed, a function of the number of threads."""
    tasks = _tasks(size)
    return lambda n_threads: _ours(tasks, n_threads)


def _tasks(size: str) -> list[Any]:
    rng = np.random.default_rng(0)
    return [(X, Y[:, 0]) for X, Y in (draw(200, 20, rng) for _ in range(10_000 if size == "full" else 1_000))]


def cases(size: str) -> list[Case]:
    tasks, rng = _tasks(size), np.random.default_rng(1)
    n_tasks = len(tasks)
    share = 200 if size == "full" else 60
    picked = [tasks[i] for i in rng.choice(n_tasks, share, replace=False)]
    estimator = ElasticNetCV(l1_ratio=L1_RATIO, alphas=N_ALPHAS, cv=FOLDS, tol=SKLEARN_TOL, max_iter=10_000)
    return [
        Case(
            workload="W3",
            name="elastic net, many tasks",
            shape=f"{n_tasks} x (200 x 20), {N_ALPHAS} alphas x {FOLDS} folds",
            n_fits=n_tasks * N_ALPHAS * (FOLDS + 1),
            ours=Contender(name="metafit", run=lambda: _ours(tasks), gap=lambda fits: _our_gap(fits, tasks)),
            peers=[
                Contender(
                    name="ElasticNetCV, joblib",
                    run=lambda: fit_all(estimator, picked),
                    gap=lambda models: worst_gap(
                        [(X, y, m.coef_, m.alpha_) for m, (X, y) in list(zip(models, picked, strict=True))[:CHECKED]],
                        L1_RATIO,
                    ),
                    share=share / n_tasks,
                    packages=["scikit-learn", "joblib"],
                )
            ],
            seconds=1.3,
            ratios={"*": 50.0},
            limit="cycles of one core: sweeps and a factorisation of 20 columns a fit",
        )
    ]


def _ours(tasks: list[Any], n_threads: int = 2) -> Any:
    return metafit.engine.solve_tasks(
        tasks,
        penalty=metafit.penalties.ElasticNet(L1_RATIO),
        n_alphas=N_ALPHAS,
        folds=FOLDS,
        keep="best",
        n_threads=n_threads,
    )


def _our_gap(fits: Any, tasks: list[Any]) -> float:
    return float(max(np.max(fits[i].gap / fits[i].objective) for i in range(0, len(tasks), len(tasks) // CHECKED)))
