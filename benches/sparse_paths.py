"""Paths of sparse fits without an intercept, as W5, W9 and W13 run them, and the peers that solve the same objective.

    mean_i L(y_i, x_i'w) + alpha sum_g weight_g |w_g|        L squared / 2 or logistic, groups of one column for L1

Every peer minimises that, up to a factor that `alpha` and the tolerance take. Each has the loosest power of ten as its
tolerance at which all objectives of the path lie within 1e-6 of the least one, relatively (found by trying them in
turn, once, beforehand); the table's gap column shows what is left, against metafit's fits at a tolerance of 1e-12.
metafit is told the same 1e-6, and polishes beyond it: its own gaps mostly end below 1e-9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from harness import Contender, installed
from scipy import sparse

import metafit

__all__ = ["Problem", "ours", "peers"]


@dataclass(frozen=True)
class Problem:
    """One path: y is -1 or 1 for the logistic loss; `group` is the number of columns in each group."""

    X: Any
    y: np.ndarray
    loss: str
    n_alphas: int
    ratio: float
    group: int = 1

    @cached_property
    def alphas(self) -> np.ndarray:
        slope = self.X.T @ (self.y if self.loss == "squared" else 0.5 * self.y) / len(self.y)
        norms = np.linalg.norm(slope.reshape(-1, self.group), axis=1)
        return np.geomspace(1, self.ratio, self.n_alphas) * norms.max() / np.sqrt(self.group)

    @cached_property
    def least(self) -> np.ndarray:
        """Least objectives, as far as they are known."""
        solution = _solve(self, 1e-12)
        return self.objectives(solution.coef)

    def objectives(self, coef: np.ndarray) -> np.ndarray:
        eta = np.asarray(self.X @ np.asarray(coef).T)
        if self.loss == "squared":
            losses = 0.5 * (self.y[:, None] - eta) ** 2
        else:
            losses = np.logaddexp(0, -self.y[:, None] * eta)
        norms = np.linalg.norm(np.asarray(coef).reshape(len(coef), -1, self.group), axis=2).sum(axis=1)
        return losses.mean(axis=0) + self.alphas * np.sqrt(self.group) * norms

    def gap(self, coef: np.ndarray) -> float:
        return float(np.max(self.objectives(coef) / self.least - 1))


def _solve(problem: Problem, tol: float) -> Any:
    penalty = metafit.penalties.L1()
    if problem.group > 1:
        penalty = metafit.penalties.GroupLasso(np.repeat(np.arange(problem.X.shape[1] // problem.group), problem.group))
    options = {"loss": problem.loss, "penalty": penalty, "alphas": problem.alphas, "fit_intercept": False}
    return metafit.solve(problem.X, problem.y, **options, tol=tol)


def ours(problem: Problem, tol: float) -> Contender:
    return Contender(name="metafit", run=lambda: _solve(problem, tol).coef, gap=problem.gap, packages=["metafit"])


def peers(problem: Problem, tols: dict[str, float]) -> list[Contender]:
    """Those that are installed, of those that `tols` names."""
    known: dict[str, tuple[Callable[[Problem, float], np.ndarray], Sequence[str]]] = {
        "celer": (_celer, ["celer"]),
        "skglm": (_skglm, ["skglm"]),
        "adelie": (_adelie, ["adelie"]),
        "liblinear": (_liblinear, ["scikit-learn"]),
    }

    def one(name: str) -> Contender:
        run, packages = known[name]
        return Contender(name=name, run=lambda: run(problem, tols[name]), gap=problem.gap, packages=packages)

    return [one(name) for name in tols if installed(*known[name][1])]


def _celer(problem: Problem, tol: float) -> np.ndarray:
    """Its logistic objective is a sum over the rows; its least squares are a mean as here."""
    from celer.homotopy import celer_path

    n, p = problem.X.shape
    names = {"squared": "lasso" if problem.group == 1 else "grouplasso", "logistic": "logreg"}
    options: dict[str, Any] = {"alphas": problem.alphas * (n if problem.loss == "logistic" else 1)}
    if problem.group > 1:
        options |= {"groups": problem.group, "weights": np.full(p // problem.group, np.sqrt(problem.group))}
    return celer_path(problem.X, problem.y, names[problem.loss], tol=tol, max_iter=200, prune=1, **options)[1].T


def _skglm(problem: Problem, tol: float) -> np.ndarray:
    """Means as here; its tolerance is that of the optimality conditions."""
    solver, datafit, penalty = _skglm_parts(problem, tol)
    coef, fitted = np.zeros(problem.X.shape[1]), np.zeros(problem.X.shape[0])
    found = []
    for alpha in problem.alphas:
        penalty.alpha = alpha
        coef, *_ = solver.solve(problem.X, problem.y, datafit, penalty, coef.copy(), fitted)
        found.append(coef)
        fitted = problem.X @ coef
    return np.array(found)


def _skglm_parts(problem: Problem, tol: float) -> tuple[Any, Any, Any]:
    from skglm import datafits, penalties, solvers

    options = {"tol": tol, "fit_intercept": False, "warm_start": True}
    if problem.group == 1 and problem.loss == "squared":
        return solvers.AndersonCD(**options), datafits.Quadratic(), penalties.L1(1.0)
    if problem.group == 1:
        return solvers.ProxNewton(**options), datafits.Logistic(), penalties.L1(1.0)
    p, size = problem.X.shape[1], problem.group
    parts = (np.arange(0, p + 1, size, dtype=np.int32), np.arange(p, dtype=np.int32))
    penalty = penalties.WeightedGroupL2(1.0, np.full(p // size, np.sqrt(size)), *parts)
    return solvers.GroupBCD(**options), datafits.QuadraticGroup(*parts), penalty


def _adelie(problem: Problem, tol: float) -> np.ndarray:
    """Means as here, and group weights sqrt|g|."""
    import adelie

    p = problem.X.shape[1]
    if sparse.issparse(problem.X):
        X = adelie.matrix.sparse(problem.X, method="naive", n_threads=2)
    else:
        X = adelie.matrix.dense(problem.X, method="naive", n_threads=2)
    if problem.loss == "squared":
        glm, options = adelie.glm.gaussian(problem.y), {}
    else:
        glm, options = adelie.glm.binomial((problem.y + 1) / 2), {"irls_tol": tol}
    groups = np.arange(0, p, problem.group)
    flags = {"intercept": False, "early_exit": False, "progress_bar": False, "n_threads": 2}
    state = adelie.grpnet(X, glm, groups=groups, lmda_path=problem.alphas, tol=tol, **options, **flags)
    return state.betas.toarray()


def _liblinear(problem: Problem, tol: float) -> np.ndarray:
    """`|w|_1 + C sum_i L` has C = 1 / (n alpha); it knows of no path, so each fit starts at 0."""
    from sklearn.linear_model import LogisticRegression

    def fit(alpha: float) -> np.ndarray:
        C = 1 / (len(problem.y) * alpha)
        options = {"l1_ratio": 1.0, "solver": "liblinear", "fit_intercept": False, "tol": tol, "max_iter": 1000}
        return LogisticRegression(C=C, **options).fit(problem.X, problem.y).coef_[0]

    return np.array([fit(alpha) for alpha in problem.alphas])
