r"""The least objective of the pinball loss with any convex penalty, by linear programs and cuts.

The loss, absolute values and boxes are linear programs. A square c (a'q)^2 / 2 is replaced by its tangents, a norm
weight |f q| by planes through 0, added where the last program's solution lies below them (Kelley's method): the
program's value is a lower bound of the objective at every stage, the objective at its solution an upper one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from oracle_penalties import Terms

Floats = NDArray[np.float64]


@dataclass
class PinballProgram:
    """Minimise sum omega rho(target - columns x) + sum l1 |x| + sum t within a box, t above all cuts."""

    columns: Any
    target: Any
    omega: Any
    level: float
    box: Any = None
    l1: Any = None
    n_terms: int = 0
    cuts: list[tuple[Floats, int, float]] = field(default_factory=list)

    def solve(self) -> tuple[Floats, Floats, float]:
        """Return x, t and the value."""
        columns, target, omega = (np.asarray(v, dtype=float) for v in (self.columns, self.target, self.omega))
        n, m = columns.shape
        l1 = np.zeros(m) if self.l1 is None else np.asarray(self.l1, dtype=float)
        cost = np.r_[np.zeros(m), l1, np.ones(self.n_terms), self.level * omega, (1 - self.level) * omega]
        equal = np.hstack([columns, np.zeros((n, m + self.n_terms)), np.eye(n), -np.eye(n)])
        below, right = self._inequalities(m, 2 * n)
        box = [(None, None)] * m if self.box is None else [tuple(map(_end, ends)) for ends in self.box]
        bounds = [*box, *[(0, None)] * (m + self.n_terms + 2 * n)]
        options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        found = scipy.optimize.linprog(cost, below, right, equal, target, bounds, method="highs-ds", options=options)
        assert found.status == 0, found.message
        return found.x[:m], found.x[2 * m : 2 * m + self.n_terms], float(found.fun)

    def _inequalities(self, m: int, rest: int) -> tuple[Floats, Floats]:
        """The bounds |x| <= second block, then the cuts g'x - t <= h."""
        eye, none = np.eye(m), np.zeros((m, self.n_terms + rest))
        rows = [np.hstack([eye, -eye, none]), np.hstack([-eye, -eye, none])]
        for gradient, term, _ in self.cuts:
            row = np.zeros(2 * m + self.n_terms + rest)
            row[:m], row[2 * m + term] = gradient, -1
            rows.append(row[None])
        return np.vstack(rows), np.r_[np.zeros(2 * m), [h for _, _, h in self.cuts]]


def _end(value: Any) -> float | None:
    return None if value is None or np.isinf(value) else float(value)


@dataclass
class Square:
    """c (a'q)^2 / 2."""

    a: Floats
    c: float

    def cut(self, q: Floats) -> tuple[Floats, float]:
        at = self.a @ q
        return self.c * at * self.a, self.c * at**2 / 2


@dataclass
class Norm:
    """weight |f q|, f of all coordinates."""

    f: Floats
    weight: float

    def cut(self, q: Floats) -> tuple[Floats, float]:
        length = np.linalg.norm(self.f * q)
        return self.weight * self.f**2 * q / (length if length > 0 else 1), 0.0


def curved_terms(terms: Terms) -> list[Square | Norm]:
    """The terms of a penalty that are no absolute values."""
    m = len(terms.l1)
    squares: list[Square | Norm] = [Square(np.eye(m)[j], float(terms.l2[j])) for j in np.flatnonzero(terms.l2 > 0)]
    if terms.metric is not None:
        values, vectors = np.linalg.eigh(terms.metric.astype(float))
        squares += [Square(vectors[:, i], v) for i, v in enumerate(values) if v > 1e-14 * values[-1]]
    for g in terms.blocks:
        f = np.zeros(m)
        f[g.members] = g.f
        squares.append(Norm(f, float(g.weight)))
    return squares


def pinball_bounds(problem: Any, terms: Terms, start: Any, rounds: int = 80) -> tuple[float, float]:
    """Lower and upper bound of the least objective with a convex penalty, with first cuts about `start`."""
    own = int(problem.fit_intercept)
    unit = (problem.Z / problem.s)[:, problem.moving]
    columns = np.hstack([np.ones((len(unit), own)), unit])
    base = problem.shift[:, 0] + problem.Z @ problem.w0[0]
    curved = curved_terms(terms)
    program = PinballProgram(
        columns=columns,
        target=problem.target[:, 0] - base,
        omega=problem.omega,
        level=problem.reading.level,
        box=[(None, None)] * own + list(zip(terms.lower, terms.upper, strict=True)),
        l1=np.r_[np.zeros(own), terms.l1.astype(float)],
        n_terms=len(curved),
    )

    def add(q: Floats) -> None:
        for i, term in enumerate(curved):
            gradient, h = term.cut(q)
            program.cuts.append((np.r_[np.zeros(own), gradient], i, h))

    def value(x: Floats) -> float:
        loss = problem.omega @ problem.reading.value(program.target, columns @ x)
        return float(loss + terms.value(x[own:].astype(np.longdouble)))

    add(np.asarray(start, dtype=float))
    upper = np.inf
    for _ in range(rounds):
        x, _, lower = program.solve()
        upper = min(upper, value(x))
        if not curved or upper - lower <= 1e-10 * max(upper, 1e-3):
            break
        add(x[own:])
        # halfway to what is known: the same cuts from the other side
        add((x[own:] + start) / 2)
    return lower, upper
