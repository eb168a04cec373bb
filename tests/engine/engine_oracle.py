r"""An independent reading of the equation in NumPy: objective, duality gap, KKT conditions, alpha_max.

It shares no code and no intermediate quantity with the engine. The penalised quantity is
u_j = s_j (w_j - w0_j), s_j the weighted standard deviation with ``standardize`` and 1 without, so that

    P(b, w) = sum_i omega_i L(y_i, b + o_i + x_i'w) + sum_j a_j |u_j| + c_j u_j^2 / 2,
    a_j = alpha l1_ratio f_j,   c_j = alpha (1 - l1_ratio) f_j,   omega = v / sum v.

With r = -L'(eta), W = diag L''(eta), Z the intercept's column of ones and the columns with a_j = c_j = 0, the dual
point is theta = s (r - W Z c), Z' Omega W Z c = Z' Omega r, with the largest feasible s <= 1. The gap is taken
as P - D, the difference of primal and dual value, in extended precision.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metafit.engine import Solution, solve
from metafit.strategies.penalties import ElasticNet

REFERENCE = Path(__file__).parents[1] / "reference"
Wide = NDArray[np.longdouble]


def certified_problems() -> dict[str, dict[str, Any]]:
    problems = json.loads((REFERENCE / "certified_problems.json").read_text())["problems"]
    return {n: p for n, p in problems.items() if p["loss"] in ("squared", "logistic") and not p["groups"]}


def nist_sets() -> dict[str, dict[str, Any]]:
    return json.loads((REFERENCE / "nist_strd_linear.json").read_text())["sets"]


def wide(values: Any) -> Wide:
    return np.asarray(values, dtype=np.longdouble)


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One fit of the equation."""

    X: Any
    y: Any
    alpha: float
    loss: str = "squared"
    l1_ratio: float = 0.0
    factors: Any = None
    center: Any = None
    weights: Any = None
    offset: Any = None
    fit_intercept: bool = True
    standardize: bool = False
    columns: Any = None

    def solve(self, **options: Any) -> Solution:
        subset = {} if self.columns is None else {"subsets": [self.columns]}
        request = {
            "loss": self.loss,
            "penalty": ElasticNet(self.l1_ratio, factors=self.factors, center=self.center),
            "alphas": self.alpha,
            "sample_weight": self.weights,
            "offset": self.offset,
            "fit_intercept": self.fit_intercept,
            "standardize": self.standardize,
        }
        return solve(self.X, self.y, **(request | subset | options))

    def but(self, **changes: Any) -> Problem:
        return replace(self, **changes)

    # ---------------------------------------------------------------- rows
    @cached_property
    def rows(self) -> NDArray[np.bool_]:
        return np.ones(len(self.y), bool) if self.weights is None else np.asarray(self.weights) > 0

    @cached_property
    def Z(self) -> Wide:
        return wide(self.X)[self.rows]

    @cached_property
    def target(self) -> Wide:
        return wide(self.y)[self.rows]

    @cached_property
    def omega(self) -> Wide:
        weights = np.ones(len(self.y)) if self.weights is None else self.weights
        kept = wide(weights)[self.rows]
        return kept / kept.sum()

    @cached_property
    def shift(self) -> Wide:
        return wide(np.zeros(len(self.y)) if self.offset is None else self.offset)[self.rows]

    # ------------------------------------------------------------- columns
    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        p = self.Z.shape[1]
        return np.ones(p, bool) if self.columns is None else np.isin(np.arange(p), self.columns)

    @cached_property
    def w0(self) -> Wide:
        p = self.Z.shape[1]
        return np.where(self.allowed, wide(np.zeros(p) if self.center is None else self.center), 0)

    @cached_property
    def sd(self) -> Wide:
        mean = self.omega @ self.Z
        return np.sqrt(self.omega @ (self.Z - mean) ** 2)

    @cached_property
    def constant(self) -> NDArray[np.bool_]:
        return (self.Z[0] == self.Z).all(axis=0)

    @cached_property
    def f(self) -> Wide:
        return wide(np.ones(self.Z.shape[1]) if self.factors is None else self.factors)

    @cached_property
    def moving(self) -> NDArray[np.bool_]:
        """Columns that may leave their centre."""
        told_apart = ~self.constant | (not self.fit_intercept and not self.standardize and (self.Z != 0).any(axis=0))
        return self.allowed & np.isfinite(self.f) & told_apart

    @cached_property
    def unit(self) -> Wide:
        return np.where(self.constant, 1, self.sd) if self.standardize else np.ones_like(self.sd)

    def weights_of(self, alpha: float) -> tuple[Wide, Wide]:
        f = np.where(self.moving, self.f, 0)
        return alpha * wide(self.l1_ratio) * f, alpha * (1 - wide(self.l1_ratio)) * f

    # ------------------------------------------------------------ the loss
    def eta(self, coef: Any, intercept: Any) -> Wide:
        return self.shift + wide(intercept) + self.Z @ wide(coef)

    def value(self, eta: Wide) -> Wide:
        if self.loss == "squared":
            return (self.target - eta) ** 2 / 2
        return np.logaddexp(wide(0), np.where(self.target > 0.5, -eta, eta))

    def residual(self, eta: Wide) -> Wide:
        if self.loss == "squared":
            return self.target - eta
        return np.where(self.target > 0.5, 1, -1) * expit(np.where(self.target > 0.5, -eta, eta))

    def curvature(self, eta: Wide) -> Wide:
        return np.ones_like(eta) if self.loss == "squared" else expit(eta) * expit(-eta)

    def conjugate(self, theta: Wide) -> Wide:
        """L*(-theta)."""
        if self.loss == "squared":
            return theta**2 / 2 - theta * self.target
        q = self.target - theta
        return xlogx(q) + xlogx(1 - q)

    # ----------------------------------------------------- what is checked
    def objective(self, coef: Any, intercept: Any) -> float:
        return float(self._objective(coef, intercept))

    def _objective(self, coef: Any, intercept: Any) -> Any:
        a, c = self.weights_of(self.alpha)
        u = self.unit * (wide(coef) - self.w0)
        return self.omega @ self.value(self.eta(coef, intercept)) + np.sum(a * abs(u) + c * u**2 / 2)

    def _free_columns(self, free: NDArray[np.bool_]) -> Wide:
        ones = [np.ones(len(self.target), np.longdouble)[:, None]] if self.fit_intercept else []
        return np.hstack([*ones, self.Z[:, free]])

    def gap(self, coef: Any, intercept: Any) -> float:
        """P - D at the dual point that belongs to (coef, intercept)."""
        a, c = self.weights_of(self.alpha)
        eta = self.eta(coef, intercept)
        r, curvature = self.residual(eta), self.curvature(eta)
        Z = self._free_columns(self.moving & (a == 0) & (c == 0))
        theta = r - curvature * (Z @ solve_wide(Z.T @ ((self.omega * curvature)[:, None] * Z), Z.T @ (self.omega * r)))
        u = (self.Z.T @ (self.omega * theta)) / self.unit
        bounded = self.moving & (c == 0) & (a > 0)
        scale = min([wide(1), *(a[bounded] / np.maximum(abs(u[bounded]), a[bounded]))])
        if self.loss == "logistic":
            room = np.where(self.target > 0.5, theta, -theta)
            scale = 0.0 if (room < 0).any() else min(scale, 1 / max(room.max(), 1))
        base = self.shift + self.Z @ self.w0
        theta, u = scale * theta, scale * u
        square = self.moving & (c > 0)
        beyond = np.maximum(abs(u[square]) - a[square], 0)
        dual = -self.omega @ (self.conjugate(theta) + theta * base) - np.sum(beyond**2 / (2 * c[square]))
        return float(self._objective(coef, intercept) - dual)

    def violation(self, coef: Any, intercept: Any) -> float:
        """Largest violation of the KKT conditions, in units of the steepest slope at the null fit."""
        a, c = self.weights_of(self.alpha)
        r = self.residual(self.eta(coef, intercept))
        u = self.unit * (wide(coef) - self.w0)
        slope = (self.Z.T @ (self.omega * r)) / self.unit - c * u
        off = np.where(u == 0, np.maximum(abs(slope) - a, 0), abs(slope - a * np.sign(u)))
        intercept_off = abs(self.omega @ r) if self.fit_intercept else 0
        return float(max([intercept_off, *off[self.moving]]))

    @cached_property
    def null(self) -> tuple[Wide, Any]:
        """Coefficients and intercept with all penalised columns at their centre (Newton on the others)."""
        free = self.moving & (self.f == 0)
        Z = self._free_columns(free)
        move = np.zeros(Z.shape[1], np.longdouble)
        base = self.shift + self.Z @ self.w0
        for _ in range(60 if self.loss == "logistic" else 2):
            if not Z.shape[1]:
                break
            eta = base + Z @ move
            weight = self.omega * self.curvature(eta)
            step = solve_wide(Z.T @ (weight[:, None] * Z), Z.T @ (self.omega * self.residual(eta)))
            while self.omega @ self.value(eta + Z @ step) > self.omega @ self.value(eta) * (1 + 1e-15):
                step = step / 2
            move = move + step
        coef = self.w0.copy()
        coef[free] += move[int(self.fit_intercept) :]
        return coef, move[0] if self.fit_intercept else wide(0)

    @cached_property
    def null_objective(self) -> float:
        return float(self.omega @ self.value(self.eta(*self.null)))

    def scale(self, objective: float) -> float:
        return max(objective, 1e-4 * self.null_objective)

    @cached_property
    def alpha_max(self) -> float:
        coef, intercept = self.null
        r = self.residual(self.eta(coef, intercept))
        slope = abs(self.Z.T @ (self.omega * r)) / self.unit
        penalised = self.moving & (self.f > 0)
        return float(max([0, *(slope[penalised] / (max(self.l1_ratio, 1e-3) * self.f[penalised]))]))


def expit(eta: Wide) -> Wide:
    small = np.exp(-abs(eta))
    return np.where(eta >= 0, 1, small) / (1 + small)


def xlogx(q: Wide) -> Wide:
    """Q log q, 0 at 0; rounding may leave q a hair below."""
    return q * np.log(np.where(q > 0, q, 1))


def solve_wide(matrix: Wide, right: Wide) -> Wide:
    """Gaussian elimination with pivoting in extended precision."""
    a, b = matrix.copy(), right.copy()
    k = len(b)
    scale = 1 / np.sqrt(np.maximum(np.diag(a), np.finfo(float).tiny)) if k else b
    a, b = a * scale[:, None] * scale, b * scale
    for j in range(k):
        best = j + int(np.argmax(abs(a[j:, j])))
        a[[j, best]], b[[j, best]] = a[[best, j]], b[[best, j]]
        for i in range(j + 1, k):
            share = a[i, j] / a[j, j]
            a[i, j:] -= share * a[j, j:]
            b[i] -= share * b[j]
    x = np.zeros_like(b)
    for j in range(k - 1, -1, -1):
        x[j] = (b[j] - a[j, j + 1 :] @ x[j + 1 :]) / a[j, j]
    return x * scale


def one(solution: Solution, field: str) -> float:
    """A figure of a solution of one fit."""
    return float(np.ravel(getattr(solution, field))[0])


def check_certificate(problem: Problem, solution: Solution, tol: float) -> float:
    """Check that the figures reported are those of the coefficients reported; return gap / scale.

    Scale is max(P, 1e-4 P0), with P0 the objective at the centre with only unpenalised directions fitted.
    """
    coef, intercept = solution.coef.reshape(-1), one(solution, "intercept")
    gap, objective = one(solution, "gap"), problem.objective(coef, intercept)
    scale = problem.scale(objective)
    assert one(solution, "objective") == pytest.approx(objective, abs=1e-10 * scale)
    # a gap far above the scale (a fit that was stopped early) can only have digits of its own size
    assert gap == pytest.approx(problem.gap(coef, intercept), abs=1e-10 * max(scale, gap))
    assert gap >= 0
    if np.all(solution.status == "converged"):
        assert gap <= max(tol, 1e-10) * scale
    return gap / scale if gap else 0.0


def same_bits(a: Solution, b: Solution) -> None:
    """Check that two solutions are equal to the last bit."""
    for field in ("coef", "intercept", "objective", "gap", "n_iter", "status", "fold_coef", "fold_intercept"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)
    assert a.scores.keys() == b.scores.keys()
    for name, values in a.scores.items():
        np.testing.assert_array_equal(values, b.scores[name], err_msg=name)
