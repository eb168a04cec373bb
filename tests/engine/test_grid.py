"""Every loss with every penalty, each with every part of the equation: what is reported is what the oracle finds.

The pairs are those of the registries. ``python tests/engine/test_grid.py 10000`` tries that many random problems, with
random sets of options, and prints the worst figures of each pair.
"""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from equation_draws import LOSSES, OPTIONS, PENALTIES, draw, options_of
from equation_oracle import Fit, Problem
from oracle_losses import READINGS
from oracle_penalties import READINGS as PENALTY_READINGS
from pinball_program import pinball_bounds

pytestmark = pytest.mark.filterwarnings("ignore::metafit.exceptions.ConvergenceWarning")

PAIRS = [(loss, penalty) for loss in LOSSES for penalty in PENALTIES]
#: what rounding may do to figures, in units of the scale of the convergence test (or of the steepest slope)
ALLOWED = {"objective": 1e-10, "gap": 1e-10, "violation": 1e-8, "kkt": 1e-8, "excess": 1e-8, "beyond": 0.0}


def is_convex(penalty: str) -> bool:
    return PENALTY_READINGS[penalty]().curve is None


@dataclass
class Figures:
    """How far what a fit reports lies from what the oracle finds."""

    #: |objective - P| and |gap - recomputed| by the scale
    objective: float
    gap: float
    #: largest violation of the KKT conditions, and the reported one, by the steepest slope at the null fit
    violation: float
    kkt: float
    #: what the reported gap leaves unsaid of the distance from the best objective known, by the scale
    excess: float
    #: how far coefficients are outside their box
    beyond: float
    #: reported gap by the scale
    relative: float
    status: str


def figures(fit: Fit) -> Figures:
    problem = fit.problem
    objective = problem.objective(*fit.at)
    scale, slope = problem.scale(objective), problem.steepest()
    smooth = problem.reading.differentiable
    certified = smooth and is_convex(problem.penalty)
    recomputed = problem.gap(*fit.at) if certified else fit.gap
    # a gap far above the scale can only have digits of its own size
    error = 0.0 if recomputed == fit.gap else abs(recomputed - fit.gap) / max(scale, min(fit.gap, recomputed))
    return Figures(
        objective=float(abs(fit.objective - objective)) / scale,
        gap=float(error),
        violation=problem.violation(*fit.at) / slope if smooth else 0.0,
        kkt=fit.kkt / slope if smooth and np.isfinite(fit.kkt) else 0.0,
        excess=0.0 if smooth else unsaid(fit, objective) / scale,
        beyond=beyond(fit),
        relative=fit.gap / scale,
        status=fit.status,
    )


def beyond(fit: Fit) -> float:
    p = fit.problem
    outside = np.maximum(p._each(p.lower, -np.inf) - fit.coef, fit.coef - p._each(p.upper, np.inf))
    return float(np.where(p.allowed, np.maximum(outside, 0), abs(fit.coef)).max())


def unsaid(fit: Fit, objective: Any) -> float:
    """Without slopes of the loss: the distance from the least objective beyond what the gap admits, if any.

    Of a folded concave penalty the convex one that touches it takes its place: at a stationary point its fit is least.
    """
    problem, q = fit.problem, fit.problem.q(fit.coef)
    terms = problem.terms(problem.alpha)
    if terms.curve:
        terms = terms.convex_at(q)
        objective = problem.mean_loss(problem.eta(*fit.at)) + terms.value(q)
        lower, _ = pinball_bounds(problem, terms, q.astype(float))
        return max(0.0, float(objective) - lower)
    lower, upper = pinball_bounds(problem, terms, q.astype(float))
    below = max(0.0, float(objective) - fit.gap - upper)
    return max(below, float(objective) - lower - fit.gap)


def wanted(penalty: str) -> str:
    return "converged" if is_convex(penalty) else "local"


def complaints(found: Figures, penalty: str, tol: float) -> list[str]:
    """What is wrong with a fit that ran to `tol`."""
    out = [] if found.status == wanted(penalty) else [f"status {found.status}"]
    # KKT conditions to rounding are what tol=0 promises
    names = [name for name in ALLOWED if tol == 0 or name not in ("violation", "kkt")]
    values = {name: getattr(found, name) for name in names}
    out += [f"{name} {value:.1e}" for name, value in values.items() if not value <= ALLOWED[name]]
    # at the floor a gap is rounding
    enough = tol if tol > 0 else 1e-10
    if is_convex(penalty) and found.status == "converged" and not found.relative <= enough:
        out.append(f"converged with a gap of {found.relative:.1e}")
    return out


def sparse_differs(problem: Problem, dense: Fit) -> list[str]:
    """Whether a sparse matrix gives another fit: another objective, or other coefficients where there is one answer."""
    fit = problem.fit(tol=0, sparse=True)
    scale = problem.scale(dense.objective)
    out = [] if fit.status == dense.status else [f"sparse: status {fit.status}"]
    if not abs(fit.objective - dense.objective) <= 1e-10 * scale:
        out.append(f"sparse: objective {abs(fit.objective - dense.objective) / scale:.1e}")
    if problem.is_unique:
        sd = np.asarray(problem.X).std(0)
        off = abs((fit.coef - dense.coef) * sd).max() / (abs(dense.coef * sd).max() + 1e-3)
        out += [f"sparse: coef {off:.1e}"] if not off <= 1e-7 else []
    return out


def check(problem: Problem) -> tuple[Figures | None, list[str]]:
    """Solve one problem in all ways; an exception is a complaint like others."""
    try:
        return check_fits(problem)
    except Exception as error:
        return None, [f"{type(error).__name__}: {error}"]


def check_fits(problem: Problem) -> tuple[Figures, list[str]]:
    """Solve one problem to the floor, to the default tolerance, and from sparse columns."""
    exact = problem.fit(tol=0)
    found = figures(exact)
    out = complaints(found, problem.penalty, 0)
    usual = complaints(figures(problem.fit()), problem.penalty, 1e-8)
    out += [f"at the default tolerance: {text}" for text in usual]
    return found, out + (sparse_differs(problem, exact) if is_convex(problem.penalty) else [])


@pytest.mark.parametrize(("loss", "penalty"), PAIRS)
def test_pair(loss, penalty):
    wrong = {}
    for seed, option in enumerate(["", *options_of(penalty)]):
        _, complaint = check(draw(loss, penalty, [option] if option else [], seed))
        if complaint:
            wrong[option or "plain"] = complaint
    assert not wrong


@pytest.mark.parametrize("loss", LOSSES)
def test_options_together(loss):
    wrong = {}
    for seed, penalty in enumerate(PENALTIES):
        options = random_options(penalty, np.random.default_rng(seed))
        _, complaint = check(draw(loss, penalty, options, 100 + seed))
        if complaint:
            wrong[penalty, *options] = complaint
    assert not wrong


@pytest.mark.parametrize(("loss", "penalty"), [pair for pair in PAIRS if is_convex(pair[1]) and pair[0] != "quantile"])
def test_more_columns_than_rows(loss, penalty):
    problem = draw(loss, penalty, ["weights", "offset", "center"], 0, size=(25, 40))
    # ends of paths interpolate: stay where there is one answer
    strong = problem if penalty == "l2" else problem.but(alpha=0.4 * problem.alpha_max)
    _, complaint = check(strong)
    assert not complaint


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if READINGS[loss].differentiable])
@pytest.mark.parametrize("penalty", [penalty for penalty in PENALTIES if is_convex(penalty)])
def test_gaps_of_fits_stopped_early(loss, penalty):
    """The certificate does not presume that a fit has ended."""
    problem = draw(loss, penalty, options_of(penalty)[:3], 7)
    least = problem.fit(tol=0).objective
    for max_iter in (0, 1, 2):
        fit = problem.fit(max_iter=max_iter)
        assert figures(fit).gap <= ALLOWED["gap"]
        assert fit.objective - least <= fit.gap + 1e-11 * problem.scale(least)


def random_options(penalty: str, rng: np.random.Generator) -> list[str]:
    possible = options_of(penalty)
    return [option for option in OPTIONS if option in possible and rng.random() < 0.45]


# ------------------------------------------------------------------------------------------------- as a programme


def run(count: int) -> int:
    """Try random problems; print the worst figures of each pair and what was wrong."""
    worst: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    rng = np.random.default_rng(20261122)
    wrong = 0
    for seed in range(count):
        loss, penalty = PAIRS[seed % len(PAIRS)]
        options = random_options(penalty, rng)
        found, complaint = check(draw(loss, penalty, options, 1000 + seed))
        row = worst[loss, penalty]
        row["problems"] += 1
        row["wrong"] += bool(complaint)
        for f in fields(Figures)[:-1] if found else ():
            row[f.name] = max(row[f.name], getattr(found, f.name))
        if complaint:
            wrong += 1
            print(f"{loss} {penalty} {' '.join(options)} seed {1000 + seed}: {'; '.join(complaint)}", flush=True)
    print_table(worst)
    return wrong


def print_table(worst: dict[tuple[str, str], dict[str, float]]) -> None:
    names = ["problems", "wrong", *(f.name for f in fields(Figures)[:-1])]
    print(f"{'loss':14}{'penalty':20}" + "".join(f"{name:>11}" for name in names))
    for (loss, penalty), row in worst.items():
        cells = [f"{row[name]:11.0f}" if name in names[:2] else f"{row[name]:11.1e}" for name in names]
        print(f"{loss:14}{penalty:20}{''.join(cells)}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000) > 0)
