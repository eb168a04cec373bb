"""W8: one large logistic fit, n = 10^6, p = 50; and the memory that it takes beyond the input."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import Case, Contender, installed
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

import metafit as mf

ALPHA = 1e-3


def cases(size: str) -> list[Case]:
    n, p = (1_000_000, 50) if size == "full" else (60_000, 50)
    x, y = _table(n, p)

    def objective(coef: Any, intercept: float) -> float:
        eta = x @ np.ravel(coef) + float(np.ravel(intercept)[0])
        return float(np.mean(np.logaddexp(0, eta) - y * eta) + ALPHA / 2 * np.sum(np.square(coef)))

    used = peak_beyond(lambda: _ours(x, y)) / x.nbytes
    best = objective(*_tight(x, y))

    def gap(solution: tuple[Any, float]) -> float:
        return max(objective(*solution) - best, 0.0) / best

    peers = [
        Contender(
            name="sklearn newton-cholesky",
            run=lambda: _sklearn(x, y),
            gap=gap,
            runs=2,
            packages=["scikit-learn"],
        )
    ]
    if installed("glum"):
        peers.append(Contender(name="glum", run=lambda: _glum(x, y), gap=gap, runs=2, packages=["glum"]))
    if installed("snapml"):
        peers.append(Contender(name="snapml", run=lambda: _snapml(x, y), gap=gap, runs=2, packages=["snapml"]))
    case = Case(
        workload="W8",
        name="one large logistic fit",
        shape=f"{n} x {p}",
        n_fits=1,
        ours=Contender(name="metafit", run=lambda: _ours(x, y), gap=gap),
        peers=peers,
        ratios={"*": 1.5},
        limit=f"flops of X'WX, and bytes of X; memory beyond the input {used:.2f} x the input (goal 1.3)",
    )
    return [case]


def peak_beyond(run: Callable[[], Any]) -> int:
    """Bytes by which the resident set grew at most while `run` ran."""
    done, most = threading.Event(), 0
    before = _resident()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, _resident() - before)
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    done.set()
    watcher.join()
    return most


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def _table(n: int, p: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(8)
    x = rng.standard_normal((n, p))
    # neighbours correlate
    x[:, 1:] += 0.5 * x[:, :-1]
    weights = rng.standard_normal(p) / np.sqrt(p)
    y = (rng.random(n) < expit(x @ weights - 0.5)).astype(float)
    return x, y


def _ours(x: Any, y: Any) -> tuple[Any, float]:
    solution = mf.solve(x, y, loss="logistic", penalty=mf.penalties.L2(), alphas=ALPHA, tol=1e-8, n_threads=2)
    return solution.coef, solution.intercept


def _tight(x: Any, y: Any) -> tuple[Any, float]:
    solution = mf.solve(x, y, loss="logistic", penalty=mf.penalties.L2(), alphas=ALPHA, tol=1e-12, n_threads=2)
    return solution.coef, solution.intercept


def _sklearn(x: Any, y: Any) -> tuple[Any, float]:
    model = LogisticRegression(C=1 / (ALPHA * len(y)), solver="newton-cholesky", tol=1e-5)
    model.fit(x, y)
    return model.coef_, model.intercept_[0]


def _glum(x: Any, y: Any) -> tuple[Any, float]:
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        family="binomial", alpha=ALPHA, l1_ratio=0, gradient_tol=1e-5, solver="irls-ls", copy_X=False
    )
    model.fit(x, y)
    return model.coef_, model.intercept_


def _snapml(x: Any, y: Any) -> tuple[Any, float]:
    from snapml import LogisticRegression as Snap

    model = Snap(regularizer=ALPHA * len(y), fit_intercept=True, n_jobs=2, tol=1e-6, max_iter=1000)
    model.fit(x, y)
    return model.coef_, model.intercept_
