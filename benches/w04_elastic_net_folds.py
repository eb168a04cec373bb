"""W4: one elastic net path with cross-validation on a table of many columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import Case, Contender, installed
from sklearn.linear_model import ElasticNetCV
from squared_paths import SKLEARN_TOL, grid, objective, worst_gap

import metafit

L1_RATIO = 0.5


def cases(size: str) -> list[Case]:
    n, p, n_alphas, folds = (10_000, 1_000, 100, 10) if size == "full" else (2_000, 200, 50, 5)
    X, y = _table(n, p)
    alphas = grid(X, y, L1_RATIO, n_alphas)
    peers = [_sklearn(X, y, alphas, folds, size)]
    if installed("adelie"):
        peers.append(_adelie(X, y, alphas, folds))
    return [
        Case(
            workload="W4",
            name="elastic net, folds",
            shape=f"{n} x {p}, {n_alphas} alphas x {folds} folds",
            n_fits=n_alphas * (folds + 1),
            ours=Contender(
                name="metafit",
                run=lambda: metafit.solve(
                    X, y, penalty=_penalty(), alphas=alphas, folds=folds, keep="best", n_threads=2
                ),
                gap=lambda fits: float(
                    max(np.max(fits.gap / fits.objective), np.max(fits.fold_gap / fits.fold_objective))
                ),
            ),
            peers=peers,
            seconds=0.8,
            ratios={"ElasticNetCV": 10.0, "*": 3.0},
            limit="bytes: an 8 MB Gram matrix a fold; flops of its moments",
        )
    ]


def _penalty() -> Any:
    return metafit.penalties.ElasticNet(L1_RATIO)


def _table(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """A tenth of the columns matter; noise of the signal's size."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    signal = X[:, : p // 10] @ rng.normal(size=p // 10)
    return X, signal + signal.std() * rng.normal(size=n)


def _sklearn(X: np.ndarray, y: np.ndarray, alphas: np.ndarray, folds: int, size: str) -> Contender:
    estimator = ElasticNetCV(
        l1_ratio=L1_RATIO, alphas=alphas, cv=folds, tol=SKLEARN_TOL, max_iter=10_000, precompute=True, n_jobs=2
    )
    return Contender(
        name="ElasticNetCV",
        run=lambda: estimator.fit(X, y),
        gap=lambda fit: worst_gap([(X, y, fit.coef_, fit.alpha_)], L1_RATIO),
        runs=1 if size == "full" else 3,
        packages=["scikit-learn"],
    )


def _adelie(X: np.ndarray, y: np.ndarray, alphas: np.ndarray, folds: int) -> Contender:
    """The path on all rows; each fold costs it as much, but for the rows left out."""
    import adelie

    F = np.asfortranarray(X)

    def run() -> Any:
        return adelie.grpnet(
            F,
            adelie.glm.gaussian(y),
            alpha=L1_RATIO,
            lmda_path=np.sort(alphas)[::-1],
            early_exit=False,
            n_threads=2,
            tol=1e-9,
            progress_bar=False,
        )

    def gap(state: Any) -> float:
        coef = np.asarray(state.betas[-1].todense()).ravel()
        best = metafit.solve(X, y, penalty=_penalty(), alphas=float(np.min(alphas)), tol=0.0)
        value = objective(X, y, coef, float(np.min(alphas)), L1_RATIO)
        return max(value - objective(X, y, best.coef, float(np.min(alphas)), L1_RATIO), 0.0) / value

    # all rows, and (folds - 1) / folds of them for each fold
    return Contender(name="adelie", run=run, gap=gap, share=1 / folds, runs=2, packages=["adelie"])
