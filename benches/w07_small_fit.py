"""W7: what one small fit costs from Python, with every check on.

scikit-learn once as it is, once without validation of parameters and values. Ridge there is
|y - Xw|^2 + a |w|^2 with a = n alpha, the logistic loss has C = 1 / (n alpha): the same minimiser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from harness import Case, Contender
from sklearn.linear_model import LogisticRegression, Ridge

import metafit as mf

N, P, ALPHA = 100, 5, 0.1


def cases(size: str) -> list[Case]:
    calls = 1000 if size == "full" else 200
    rng = np.random.default_rng(7)
    X = rng.normal(size=(N, P))
    y = X @ rng.normal(size=P) + rng.normal(size=N)
    return [
        _case("ridge", "squared", X, y, Ridge(alpha=N * ALPHA), calls, 30e-6, 15),
        _case(
            "logistic",
            "logistic",
            X,
            (y > 0) * 1.0,
            LogisticRegression(C=1 / (N * ALPHA), solver="newton-cholesky"),
            calls,
            60e-6,
            20,
        ),
    ]


def _case(name: str, loss: str, X: Any, y: Any, estimator: Any, calls: int, goal: float, off: float) -> Case:
    def ours() -> tuple[Any, Any]:
        solution = mf.solve(X, y, loss=loss, alphas=ALPHA)
        return solution.coef, solution.intercept

    def theirs() -> tuple[Any, Any]:
        fitted = estimator.fit(X, y)
        return np.ravel(fitted.coef_), fitted.intercept_

    exact = mf.solve(X, y, loss=loss, alphas=ALPHA, tol=0)
    least = _objective(loss, X, y, exact.coef, exact.intercept)

    def gap(fit: tuple[Any, Any]) -> float:
        return (_objective(loss, X, y, *fit) - least) / least

    def contender(label: str, fit: Callable[[], Any], quiet: bool = False) -> Contender:
        def run() -> Any:
            with sklearn.config_context(assume_finite=quiet, skip_parameter_validation=quiet):
                for _ in range(calls):
                    found = fit()
            return found

        packages = ("scikit-learn",) if fit is theirs else ()
        return Contender(name=label, run=run, gap=gap, threads=1, packages=packages)

    return Case(
        workload="W7",
        name=f"{calls} calls, {name}",
        shape=f"{N} x {P}",
        n_fits=calls,
        ours=contender("metafit", ours),
        peers=[contender("scikit-learn", theirs), contender("scikit-learn, no checks", theirs, quiet=True)],
        seconds=goal * calls,
        ratios={"scikit-learn": 20, "scikit-learn, no checks": off},
        limit="calls: allocations and branches of one small fit, then the interpreter",
    )


def _objective(loss: str, X: Any, y: Any, coef: Any, intercept: Any) -> float:
    eta = X @ coef + intercept
    values = (y - eta) ** 2 / 2 if loss == "squared" else np.logaddexp(0, eta) - y * eta
    return float(values.mean() + ALPHA * coef @ coef / 2)
