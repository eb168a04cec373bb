"""W12: quantile regression at nine levels on one table, without a penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import Case, Contender
from joblib import Parallel, delayed
from sklearn.linear_model import QuantileRegressor

from metafit.engine.cells import Cell, Split, run_cells
from metafit.engine.native import Table
from metafit.strategies.losses import Quantile

LEVELS = np.arange(1, 10) / 10


def cases(size: str) -> list[Case]:
    n, p = (10_000, 20) if size == "full" else (2_000, 20)
    rng = np.random.default_rng(12)
    X = rng.standard_normal((n, p))
    y = X @ rng.standard_normal(p) + (1 + 0.5 * np.abs(X[:, 0])) * rng.standard_t(4, n)
    every = Split(np.arange(n), np.arange(0))
    # a simplex method ends at a vertex: one level is exact or not there at all, and costs seconds
    some = LEVELS[[2, 4]] if size == "full" else LEVELS[[0, 2, 4, 6]]

    def ours(levels: Any = LEVELS, tol: float = 1e-8) -> Any:
        cells = [Cell(loss=Quantile(float(level)), alphas=[0.0]) for level in levels]
        return run_cells(Table(X, y), [every], cells, tol=tol, n_threads=2)

    def theirs() -> list[Any]:
        models = [QuantileRegressor(quantile=level, alpha=0.0, solver="highs") for level in some]
        return list(Parallel(n_jobs=2)(delayed(model.fit)(X, y) for model in models))

    def their_gap(models: list[Any]) -> float:
        off = 0.0
        for level, model, best in zip(some, models, ours(some, 1e-12), strict=True):
            rest = y - model.predict(X)
            value = np.mean(np.maximum(level * rest, (level - 1) * rest))
            off = max(off, (value - best.objective[0]) / best.objective[0])
        return off

    return [
        Case(
            workload="W12",
            name="quantile levels",
            shape=f"{n} x {p}, {len(LEVELS)} levels",
            n_fits=len(LEVELS),
            ours=Contender(name="metafit", run=ours, gap=lambda fits: max(r.gap[0] / r.objective[0] for r in fits)),
            peers=[
                Contender(
                    name="QuantileRegressor (HiGHS)",
                    run=theirs,
                    gap=their_gap,
                    share=len(some) / len(LEVELS),
                    runs=1,
                    packages=["scikit-learn", "scipy", "joblib"],
                )
            ],
            ratios={"*": 10.0},
            limit="bytes: passes over the rows, about 20 interior-point steps a level",
        )
    ]
