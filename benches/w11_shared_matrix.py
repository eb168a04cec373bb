"""W11: very many targets on one matrix, ridge and lasso, with cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Case, Contender, installed
from sklearn.linear_model import LassoCV, RidgeCV
from squared_paths import SKLEARN_TOL, draw, fit_all, worst_gap

import metafit

N_ALPHAS, FOLDS, ROWS, COLUMNS = 20, 5, 500, 50
#: Targets whose gap is looked at.
CHECKED = 30


def cases(size: str) -> list[Case]:
    n_targets = 10_000 if size == "full" else 200
    rng = np.random.default_rng(0)
    X, Y = draw(ROWS, COLUMNS, rng, n_targets)
    targets = np.ascontiguousarray(Y.T)
    return [_ridge(X, targets, rng), _lasso(X, targets, rng)]


def _case(
    name: str, X: np.ndarray, targets: np.ndarray, run: Callable[[], Any], peers: list[Contender], limit: str
) -> Case:
    return Case(
        workload="W11",
        name=f"{name}, one X",
        shape=f"{len(targets)} targets, {ROWS} x {COLUMNS}, {N_ALPHAS} alphas x {FOLDS} folds",
        n_fits=len(targets) * N_ALPHAS * (FOLDS + 1),
        ours=Contender(name="metafit", run=run, gap=lambda fits: _our_gap(fits)),
        peers=peers,
        ratios={"*": 30.0},
        limit=limit,
    )


def _our_gap(fits: Any) -> float:
    return float(max(np.max(fits[i].gap / fits[i].objective) for i in range(0, len(fits), len(fits) // CHECKED)))


def _tasks(X: np.ndarray, targets: np.ndarray) -> Any:
    return ((X, y) for y in targets)


def _ridge(X: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> Case:
    alphas = np.geomspace(1e-3, 1e2, N_ALPHAS)
    share = min(len(targets), 1000)
    picked = targets[rng.choice(len(targets), share, replace=False)]
    # scikit-learn's strengths stand beside sums over the training rows
    models = RidgeCV(alphas * ROWS * (FOLDS - 1) / FOLDS, cv=FOLDS)
    alone = Contender(
        name="RidgeCV, joblib",
        run=lambda: fit_all(models, ((X, y) for y in picked[: share // 5])),
        share=share / 5 / len(targets),
        packages=["scikit-learn", "joblib"],
    )
    peers = [alone, *([_himalaya(X, targets, alphas)] if installed("himalaya") else [])]

    def run() -> Any:
        return metafit.engine.solve_tasks(_tasks(X, targets), alphas=alphas, folds=FOLDS, keep="best", n_threads=2)

    limit = "cycles of one core: products with eigenvectors, Gram matrix and held-out rows a fit"
    return _case("ridge", X, targets, run, peers, limit)


def _himalaya(X: np.ndarray, targets: np.ndarray, alphas: np.ndarray) -> Contender:
    """One singular value decomposition a fold for all targets at once."""
    from himalaya.ridge import RidgeCV as Himalaya

    Y = np.ascontiguousarray(targets.T)
    strengths = alphas * ROWS * (FOLDS - 1) / FOLDS

    def run() -> Any:
        return Himalaya(alphas=strengths, cv=FOLDS, fit_intercept=True).fit(X, Y)

    return Contender(name="himalaya", run=run, packages=["himalaya"])


def _lasso(X: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> Case:
    share = min(len(targets) // 4, 200)
    picked = targets[rng.choice(len(targets), share, replace=False)]
    estimator = LassoCV(alphas=N_ALPHAS, cv=FOLDS, tol=SKLEARN_TOL, max_iter=10_000)
    peer = Contender(
        name="LassoCV, joblib",
        run=lambda: fit_all(estimator, ((X, y) for y in picked)),
        gap=lambda models: worst_gap(
            [(X, y, m.coef_, m.alpha_) for m, y in list(zip(models, picked, strict=True))[:CHECKED]], 1.0
        ),
        share=share / len(targets),
        packages=["scikit-learn", "joblib"],
    )

    def run() -> Any:
        return metafit.engine.solve_tasks(
            _tasks(X, targets), penalty="l1", n_alphas=N_ALPHAS, folds=FOLDS, keep="best", n_threads=2
        )

    return _case("lasso", X, targets, run, [peer], "cycles of one core: factors and sweeps of up to 50 columns a fit")
