"""W6: multinomial logistic regression with an L2 penalty on handwritten digits, 10 strengths x 5 folds."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import Case, Contender
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

from metafit.engine.cells import Cell, Split, run_cells
from metafit.engine.native import Table

FOLDS = 5
#: Slope of the mean loss at which lbfgs stops. The gap is about its square over the strength: measured 2e-7 with
#: the least strength among them, 6e-10 without. A gap of 1e-8, the tolerance of metafit, lies between.
PEER_TOL = 1e-6


def cases(size: str) -> list[Case]:
    data = load_digits()
    X, y = data.data / 16.0, data.target
    # the strengths of scikit-learn, 1 / C, are those of the sum over rows: a fold's alphas carry its number of rows
    strengths = np.geomspace(1e-4, 1e-1, 10) * len(y)
    if size != "full":
        strengths = strengths[::4]
    folds = list(StratifiedKFold(FOLDS).split(X, y))
    table = Table(X, y.astype(float))
    splits = [Split(train, test) for train, test in folds]

    def ours(tol: float = 1e-8) -> Any:
        cells = [
            Cell(split=f, loss="logistic", n_classes=10, alphas=strengths / len(train))
            for f, (train, _) in enumerate(folds)
        ]
        return run_cells(table, splits, cells, tol=tol, n_threads=2)

    def theirs() -> Any:
        estimator = LogisticRegressionCV(
            Cs=1 / strengths,
            l1_ratios=(0,),
            cv=folds,
            refit=False,
            tol=PEER_TOL,
            max_iter=10_000,
            n_jobs=2,
            scoring="neg_log_loss",
            use_legacy_attributes=True,
        )
        return estimator.fit(X, y)

    def their_gap(model: Any) -> float:
        # of each class an array (fold, strength, the one l1_ratio, feature and intercept)
        coefs = np.stack([model.coefs_paths_[k].reshape(FOLDS, len(strengths), -1) for k in range(10)], axis=2)
        off = 0.0
        for f, ((train, _), best) in enumerate(zip(folds, ours(1e-12), strict=True)):
            for a, strength in enumerate(strengths):
                value = _objective(X[train], y[train], coefs[f, a], strength / len(train))
                off = max(off, (value - best.objective[a]) / best.objective[a])
        return off

    return [
        Case(
            workload="W6",
            name="multinomial digits",
            shape=f"{len(y)} x {X.shape[1]}, 10 classes, {len(strengths)} alphas x {FOLDS} folds",
            n_fits=len(strengths) * FOLDS,
            ours=Contender(
                name="metafit", run=ours, gap=lambda fits: max(np.max(r.gap / r.objective) for r in fits), runs=3
            ),
            peers=[
                Contender(name="LogisticRegressionCV", run=theirs, gap=their_gap, runs=1, packages=["scikit-learn"])
            ],
            ratios={"*": 10.0},
            limit="flops: some 15 products with the Hessian a strength, 4 n p K each, and K Gram matrices each second",
        )
    ]


def _objective(X: Any, y: Any, weights: Any, alpha: float) -> float:
    eta = X @ weights[:, :-1].T + weights[:, -1]
    loss = np.mean(logsumexp(eta, axis=1) - eta[np.arange(len(y)), y])
    return float(loss + alpha / 2 * np.sum(np.square(weights[:, :-1])))
