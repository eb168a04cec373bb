r"""An independent reading of the whole equation in NumPy: objective, null fit, duality gap, KKT conditions, alpha_max.

It shares no code and no intermediate quantity with the engine. With q = s (w - w0) the penalised coordinates, s the
weighted standard deviation with ``standardize`` and 1 without, and omega = v / sum v,

    P(b, w) = sum_i omega_i L(y_i, b + o_i + x_i'w) + alpha Omega(q)    on the box of w.

With r = -L'(eta), W = diag L''(eta) and Z the directions that cost nothing, the dual point is theta = s (r - W Z c),
Z' Omega W Z c = Z' Omega r, with the largest feasible s <= 1. Where W cannot project (rows on the flat or straight part
of a loss), a parabola above the loss takes its place. The gap is taken as P - D, the difference of primal and dual
value, in extended precision:

    D = -sum_i omega_i [L*(-theta_i) + theta_i o_i] - sup_{w in box} {w' X' Omega theta - alpha Omega}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import oracle_losses
import oracle_penalties
import scipy.optimize
import scipy.sparse
from numpy.typing import NDArray
from oracle_losses import Wide, wide
from oracle_penalties import Block, Terms, solve_wide
from pinball_program import PinballProgram

from metafit.engine import Solution, solve
from metafit.strategies import losses, penalties

#: part of the correlation with Z that may be left in a dual point
LEFT = 1e-8
#: of extended precision, in a sum over rows
ROUNDING = 1e-17


def public_name(loss: str) -> str:
    return "logistic" if loss == "softmax" else loss


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One fit of the equation. Parameters are those of the public classes, where they are not the defaults."""

    X: Any
    y: Any
    alpha: float
    loss: str = "squared"
    loss_parameters: Mapping[str, float] = field(default_factory=dict)
    penalty: str = "l2"
    penalty_parameters: Mapping[str, float] = field(default_factory=dict)
    groups: Any = None
    factors: Any = None
    center: Any = None
    lower: Any = None
    upper: Any = None
    metric: Any = None
    weights: Any = None
    offset: Any = None
    fit_intercept: bool = True
    standardize: bool = False
    columns: Any = None

    def but(self, **changes: Any) -> Problem:
        return replace(self, **changes)

    @property
    def is_unique(self) -> bool:
        """Whether the coefficients are determined for certain: by curvature, in the softmax up to what classes share.

        That is of least norm along what costs nothing, but where bounds end it.
        """
        shared = self.loss == "softmax" and self.lower is not None and bool((self.f == 0).any())
        return self.loss not in ("quantile", "huber", "squared_hinge") and not shared

    # ------------------------------------------------------------------------------------------------- the request
    def public_penalty(self) -> Any:
        names = ("groups", "factors", "center", "lower", "upper", "metric")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return penalties.REGISTRY[self.penalty](**given, **self.penalty_parameters)

    def solve(self, *, sparse: bool = False, **options: Any) -> Solution:
        request = {
            "loss": losses.REGISTRY[public_name(self.loss)](**self.loss_parameters),
            "penalty": self.public_penalty(),
            "alphas": self.alpha,
            "sample_weight": self.weights,
            "offset": self.offset,
            "fit_intercept": self.fit_intercept,
            "standardize": self.standardize,
        }
        subset = {} if self.columns is None else {"subsets": [self.columns]}
        X = scipy.sparse.csc_array(self.X) if sparse else self.X
        return solve(X, self.y, **(request | subset | options))

    def fit(self, **options: Any) -> Fit:
        return Fit.of(self, self.solve(**options))

    # -------------------------------------------------------------------------------------------------------- rows
    @cached_property
    def reading(self) -> oracle_losses.Loss:
        return oracle_losses.READINGS[self.loss](**self.loss_parameters)

    @cached_property
    def rows(self) -> NDArray[np.bool_]:
        return np.ones(len(self.y), bool) if self.weights is None else np.asarray(self.weights) > 0

    @cached_property
    def Z(self) -> Wide:
        return wide(self.X)[self.rows]

    @cached_property
    def target(self) -> Wide:
        y = np.unique(self.y, return_inverse=True)[1] if self.reading.classes else self.y
        return wide(y)[self.rows][:, None]

    @cached_property
    def omega(self) -> Wide:
        kept = wide(np.ones(len(self.y)) if self.weights is None else self.weights)[self.rows]
        return kept / kept.sum()

    @cached_property
    def k(self) -> int:
        """Linear predictions a row."""
        return len(np.unique(self.y)) if self.loss == "softmax" else 1

    @cached_property
    def shift(self) -> Wide:
        """Offsets (n, K); a softmax row that is told one number has it in all classes."""
        offset = wide(np.zeros(len(self.y)) if self.offset is None else self.offset)[self.rows]
        return np.broadcast_to(offset[:, None] if offset.ndim == 1 else offset, (len(offset), self.k))

    # ----------------------------------------------------------------------------------------------------- columns
    @cached_property
    def p(self) -> int:
        return self.Z.shape[1]

    def _each(self, values: Any, default: float) -> Wide:
        """(K, p) of what is said of columns."""
        given = np.full(self.p, default) if values is None else values
        return np.broadcast_to(wide(given), (self.k, self.p))

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        return np.ones(self.p, bool) if self.columns is None else np.isin(np.arange(self.p), self.columns)

    @cached_property
    def w0(self) -> Wide:
        return np.where(self.allowed, self._each(self.center, 0.0), 0)

    @cached_property
    def f(self) -> Wide:
        return wide(np.ones(self.p) if self.factors is None else self.factors)

    @cached_property
    def constant(self) -> NDArray[np.bool_]:
        return (self.Z[0] == self.Z).all(axis=0)

    @cached_property
    def moving(self) -> NDArray[np.bool_]:
        """Columns that may leave their centre."""
        told_apart = ~self.constant | (not self.fit_intercept and not self.standardize and (self.Z != 0).any(axis=0))
        return self.allowed & np.isfinite(self.f) & told_apart

    @cached_property
    def s(self) -> Wide:
        sd = np.sqrt(self.omega @ (self.Z - self.omega @ self.Z) ** 2)
        return np.where(self.constant, 1, sd) if self.standardize else np.ones_like(sd)

    def q(self, coef: Any) -> Wide:
        """Penalised coordinates of the columns that may move, class after class."""
        return (self.s * (wide(coef).reshape(self.k, self.p) - self.w0))[:, self.moving].ravel()

    def _flat(self, values: Wide) -> Wide:
        return np.broadcast_to(values, (self.k, self.p))[:, self.moving].ravel()

    def terms(self, alpha: float) -> Terms:
        """The penalty at one strength."""
        alpha = wide(alpha)
        shares = oracle_penalties.READINGS[self.penalty](**self.penalty_parameters)
        f = self._flat(np.where(self.moving, self.f, 0))
        is_matrix = np.ndim(self.metric) == 2
        if self.metric is not None and not is_matrix:
            # a vector is a factor of the square
            f = f * self._flat(wide(self.metric))
        return Terms(
            l1=alpha * shares.l1 * f,
            l2=alpha * shares.l2 * f * (not is_matrix),
            lower=self._flat(self.s * (self._each(self.lower, -np.inf) - self.w0)),
            upper=self._flat(self.s * (self._each(self.upper, np.inf) - self.w0)),
            blocks=self._blocks(alpha * shares.norm, f) if shares.norm > 0 and alpha > 0 else [],
            metric=alpha * self._metric(f) if is_matrix and alpha > 0 else None,
            curve=shares.curve if alpha > 0 else None,
        )

    def _blocks(self, weight: Any, f: Wide) -> list[Block]:
        label = np.asarray(self.groups)
        of_flat = np.tile(label[self.moving], self.k)
        blocks = []
        for group in np.unique(label[self.allowed]):
            members = np.flatnonzero((of_flat == group) & (f > 0))
            size = np.sum(self.allowed & (label == group))
            if len(members):
                blocks.append(Block(weight * np.sqrt(wide(size)), members, f[members]))
        return blocks

    def _metric(self, f: Wide) -> Wide:
        inside = wide(self.metric)[np.ix_(self.moving, self.moving)]
        return np.kron(np.eye(self.k), inside) * np.sqrt(f)[:, None] * np.sqrt(f)

    # ---------------------------------------------------------------------------------------------------- the loss
    def eta(self, coef: Any, intercept: Any) -> Wide:
        coef = wide(coef).reshape(self.k, self.p)
        return self.shift + wide(intercept).reshape(-1) + self.Z @ coef.T

    def mean_loss(self, eta: Wide) -> Any:
        return self.omega @ self.reading.value(self.target, eta).sum(axis=1)

    def slope(self, theta: Wide) -> Wide:
        """X' Omega theta in penalised coordinates."""
        return ((self.Z.T @ (self.omega[:, None] * theta)).T / self.s)[:, self.moving].ravel()

    @cached_property
    def least(self) -> Any:
        """Mean of min_eta L."""
        return self.omega @ self.reading.least(self.target)[:, 0]

    def objective(self, coef: Any, intercept: Any) -> Any:
        return self.mean_loss(self.eta(coef, intercept)) + self.terms(self.alpha).value(self.q(coef))

    # ---------------------------------------------------------------------------------------------------- null fit
    def _moves(self, directions: Wide) -> Wide:
        """Moves of eta, (m, n, K): the intercepts', then those of `directions` of penalised coordinates."""
        n = len(self.Z)
        own = np.broadcast_to(np.eye(self.k, dtype=np.longdouble)[:, None], (self.k, n, self.k))
        steps = np.zeros((len(directions), self.k, self.p), np.longdouble)
        steps[:, :, self.moving] = directions.reshape(len(directions), self.k, int(self.moving.sum()))
        moves = np.einsum("nj,mkj->mnk", self.Z / self.s, steps)
        return np.concatenate([own, moves]) if self.fit_intercept else moves

    @cached_property
    def null(self) -> tuple[Wide, Wide]:
        """Coefficients and intercepts with only what costs nothing fitted, all else at the centre."""
        terms = self.terms(1.0)
        at = np.zeros(len(terms.l1), np.longdouble)
        unbounded = replace(terms, lower=np.full_like(at, -np.inf), upper=np.full_like(at, np.inf))
        directions = unbounded.free(at)
        step = self._fit_free(directions, terms)
        k = self.k if self.fit_intercept else 0
        coef = self.w0.copy()
        coef[:, self.moving] += (step[k:] @ directions).reshape(self.k, int(self.moving.sum())) / self.s[self.moving]
        return coef, step[:k] if k else np.zeros(self.k, np.longdouble)

    def _fit_free(self, directions: Wide, terms: Terms) -> Wide:
        moves, base = self._moves(directions), self.eta(self.w0, 0)
        k = len(moves) - len(directions)
        if not len(moves):
            return np.zeros(0, np.longdouble)
        box = [(None, None)] * k + [_ends(d, terms) for d in directions]
        unit = np.sqrt(np.einsum("mnk,n->m", moves**2, self.omega))
        size = np.where(unit > 0, unit, 1)
        if not self.reading.differentiable:
            return self._fit_pinball(moves, base, box)

        def loss(step: Any) -> Any:
            eta = base + np.einsum("m,mnk->nk", wide(step) / size, moves)
            slope = np.einsum("mnk,nk->m", moves, self.omega[:, None] * self.reading.residual(self.target, eta)) / size
            return float(self.mean_loss(eta)), -slope.astype(float)

        scaled = [tuple(None if e is None else float(e * u) for e in ends) for ends, u in zip(box, size, strict=True)]
        start = np.zeros(len(moves))
        options = {"ftol": 1e-16, "gtol": 1e-12, "maxiter": 2000}
        found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=scaled, options=options)
        step = wide(found.x) / size
        is_open = all(ends == (None, None) for ends in box)
        return self._polish(step, moves, base) if is_open else step

    def _polish(self, step: Wide, moves: Wide, base: Wide) -> Wide:
        """Newton's method, as long as it gains."""
        best = self.mean_loss(base + np.einsum("m,mnk->nk", step, moves))
        for _ in range(20):
            eta = base + np.einsum("m,mnk->nk", step, moves)
            c = self._project(moves, eta, self.reading.residual(self.target, eta))
            value = self.mean_loss(base + np.einsum("m,mnk->nk", step + c, moves))
            if not value < best:
                break
            step, best = step + c, value
        return step

    def _fit_pinball(self, moves: Wide, base: Wide, box: Any) -> Wide:
        columns, target = moves[:, :, 0].T, (self.target - base)[:, 0]
        return wide(PinballProgram(columns, target, self.omega, self.reading.level, box=box).solve()[0])

    @cached_property
    def null_objective(self) -> Any:
        """On L - min L, as the scale of the convergence test has it."""
        return self.mean_loss(self.eta(*self.null)) - self.least

    def scale(self, objective: Any) -> float:
        return float(max(objective - self.least, wide(1e-4) * self.null_objective))

    @cached_property
    def alpha_max(self) -> float:
        slope = self.slope(self.reading.residual(self.target, self.eta(*self.null)))
        return float(self.terms(1.0).least_strength(slope, 1.0))

    # -------------------------------------------------------------------------------------------------- certificate
    def _project(self, moves: Wide, eta: Wide, r: Wide, by_majorant: bool = False) -> Wide:
        """Coefficients c of Z' Omega W Z c = Z' Omega r."""
        weighted = self.omega[:, None] * self.reading.times(self.target, eta, moves, by_majorant)
        return solve_wide(
            np.einsum("ank,bnk->ab", moves, weighted), np.einsum("ank,nk->a", moves, self.omega[:, None] * r)
        )

    def dual_point(self, coef: Any, intercept: Any, by_majorant: bool = False) -> Wide | None:
        """Residuals with the directions that cost nothing projected out, before they are scaled."""
        eta = self.eta(coef, intercept)
        r = self.reading.residual(self.target, eta)
        moves = self._moves(self.terms(self.alpha).free(self.q(coef)))
        c = self._project(moves, eta, r, by_majorant)
        fitted = np.einsum("m,mnk->nk", c, moves)
        theta = r - self.reading.times(self.target, eta, fitted, by_majorant)
        left = abs(np.einsum("mnk,nk->m", moves, self.omega[:, None] * theta))
        size = np.einsum("mnk,nk->m", abs(moves), self.omega[:, None] * abs(r))
        return theta if (left <= LEFT * size).all() else None

    def gap(self, coef: Any, intercept: Any) -> float:
        """P - D at the dual point that belongs to (coef, intercept)."""
        theta = self.dual_point(coef, intercept)
        if theta is None:
            theta = self.dual_point(coef, intercept, by_majorant=True)
        return np.inf if theta is None else self.gap_at(coef, intercept, theta)

    def gap_at(self, coef: Any, intercept: Any, theta: Wide) -> float:
        """P - D for theta scaled to the largest feasible multiple up to 1."""
        terms = self.terms(self.alpha)
        free = terms.free(self.q(coef))
        u = self.slope(theta)
        size = (abs(self.Z / self.s).T @ (self.omega[:, None] * abs(theta))).T[:, self.moving].ravel()
        # what is left of an exact 0 would need an end of the box
        u = np.where(abs(u) > ROUNDING * size, u - free.T @ (free @ u), 0)
        scale = min(self.reading.room(self.target, theta).min(), terms.room(u, free))
        theta, u = scale * theta, scale * u
        # w'X' Omega theta = u'q + w0'X' Omega theta
        base = self.shift + self.Z @ self.w0.T
        linear = self.omega @ (self.reading.conjugate(self.target, theta) + theta * base).sum(axis=1)
        return float(self.objective(coef, intercept) + linear + terms.conjugate(u, free))

    def violation(self, coef: Any, intercept: Any, theta: Wide | None = None) -> float:
        """Largest distance of the slope of the loss from the subdifferential of the penalty."""
        if theta is None:
            theta = self.reading.residual(self.target, self.eta(coef, intercept))
        of_intercept = abs(self.omega @ theta).max() if self.fit_intercept else 0
        away = self.terms(self.alpha).violations(self.q(coef), self.slope(theta))
        return float(max([of_intercept, *away]))

    def steepest(self) -> float:
        """The size of slopes: what a violation is compared with."""
        coef, intercept = self.null
        size = self.omega[:, None] * abs(self.reading.residual(self.target, self.eta(coef, intercept)))
        return float(max((abs(self.Z / self.s).T @ size).max(initial=0), size.sum(axis=0).max()))


def _ends(direction: Wide, terms: Terms) -> tuple[Any, Any]:
    """Box of a multiple of a direction, if that is a coordinate."""
    j = np.flatnonzero(direction)
    if len(j) > 1:
        return None, None
    low, high = terms.lower[j[0]], terms.upper[j[0]]
    return None if np.isinf(low) else low, None if np.isinf(high) else high


@dataclass(frozen=True)
class Fit:
    """The figures of a solution of one fit."""

    problem: Problem
    solution: Solution
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    objective: float
    gap: float
    kkt: float
    n_iter: int
    status: str

    @classmethod
    def of(cls, problem: Problem, solution: Solution) -> Fit:
        def one(name: str) -> Any:
            return np.ravel(getattr(solution, name))[0]

        return cls(
            problem=problem,
            solution=solution,
            coef=np.reshape(solution.coef, (problem.k, problem.p)),
            intercept=np.reshape(solution.intercept, -1),
            objective=float(one("objective")),
            gap=float(one("gap")),
            kkt=float(one("kkt")) if hasattr(solution, "kkt") else np.nan,
            n_iter=int(one("n_iter")),
            status=str(one("status")),
        )

    @property
    def at(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.coef, self.intercept
