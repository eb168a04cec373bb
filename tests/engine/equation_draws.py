"""Random problems of every loss with every penalty, with the parts of the equation that a test asks for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any
from zlib import crc32

import numpy as np
from equation_oracle import Problem
from oracle_losses import READINGS
from oracle_penalties import READINGS as PENALTY_READINGS

from metafit.strategies import losses, penalties

#: what can be said beside X and y
OPTIONS = ("weights", "offset", "factors", "center", "bounds", "metric")
#: the losses of the registry as the oracle has them: the softmax is one of its own
REGISTERED = [name for loss in losses.REGISTRY for name in ([loss, "softmax"] if loss == "logistic" else [loss])]
#: what the oracle can read so far; that it reads every member is a test of its own
LOSSES = [name for name in REGISTERED if name in READINGS]
PENALTIES = [name for name in penalties.REGISTRY if name in PENALTY_READINGS]


def accepts(penalty: str, argument: str) -> bool:
    """Whether the public class of a penalty takes an argument."""
    return argument in {field.name for field in fields(penalties.REGISTRY[penalty])}


def needed(argument: str) -> str:
    return {"bounds": "lower"}.get(argument, argument)


def options_of(penalty: str) -> list[str]:
    """The options that go with a penalty."""
    of_rows = ("weights", "offset")
    return [option for option in OPTIONS if option in of_rows or accepts(penalty, needed(option))]


def parameters(part: Any, rng: np.random.Generator) -> dict[str, float]:
    """Parameters within the ranges that the registry states."""
    drawn = {}
    for parameter in part.takes:
        low, high = max(parameter.low, -10.0), min(parameter.high, parameter.low + 4.0)
        drawn[parameter.name] = float(low + (high - low) * rng.uniform(0.15, 0.85))
    return drawn


def table(rng: np.random.Generator, n: int, p: int, k: int) -> tuple[Any, Any]:
    """Columns of several sizes, some of their values 0, and linear predictions of the order of 1."""
    X = (rng.normal(size=(n, p)) + rng.normal(size=p)) * 10.0 ** rng.uniform(-1, 1, p)
    X[rng.random((n, p)) < 0.2] = 0.0
    standard = (X - X.mean(0)) / X.std(0)
    return X, standard @ rng.normal(size=(p, k)) / np.sqrt(p) + 0.5


def draw_metric(rng: np.random.Generator, p: int, bounded: bool) -> Any:
    """A vector or a matrix; without bounds with directions that cost nothing."""
    if rng.random() < 0.4:
        return rng.uniform(0.3, 3, p) * np.where(bounded | (np.arange(p) > 0), 1.0, 0.0)
    rank = p if bounded else p - 1
    root = rng.normal(size=(p, rank))
    return root @ root.T / p


def draw_bounds(rng: np.random.Generator, center: Any, sd: Any) -> dict[str, Any]:
    """Boxes that hold the centre: on both sides, on one, ending at the centre, or absent."""
    p = len(sd)
    width = rng.choice([0.0, 0.1, 0.3, np.inf], (2, p), p=[0.15, 0.25, 0.3, 0.3]) / sd
    width[1] = np.where(width.sum(axis=0) == 0, np.inf, width[1])
    return {"lower": center - width[0], "upper": center + width[1]}


def draw_factors(rng: np.random.Generator, p: int) -> Any:
    """Positive ones, perhaps an infinite one, perhaps a 0: few, so that they neither interpolate nor separate."""
    factors = rng.choice([0.5, 1.0, 2.0], p)
    factors[rng.integers(p)] = rng.choice([0.0, np.inf, 1.0])
    factors[rng.integers(p)] = rng.choice([0.0, 1.0])
    return factors


def draw(
    loss: str, penalty: str, options: Collection[str] = (), seed: int = 0, size: tuple[int, int] | None = None
) -> Problem:
    """A problem of one pair, with all of `options`; small unless its numbers of rows and columns are told."""
    rng = np.random.default_rng([seed, crc32(f"{loss} {penalty}".encode())])
    n, p = size or (int(rng.integers(24, 45)), int(rng.integers(3, 7)))
    k = 3 if loss == "softmax" else 1
    X, eta = table(rng, n, p, k)
    reading = READINGS[loss]
    loss_parameters = {} if loss == "softmax" else parameters(losses.REGISTRY[loss], rng)
    given: dict[str, Any] = {}
    sd = X.std(0)
    center = 0.2 * rng.normal(size=p) / sd
    if accepts(penalty, "groups"):
        given["groups"] = np.sort(rng.integers(0, max(2, p // 2), p))[rng.permutation(p)]
    if "weights" in options:
        given["weights"] = rng.uniform(0.2, 3, n) * np.r_[np.ones(8), rng.random(n - 8) > 0.15]
    if "offset" in options:
        given["offset"] = 0.5 * rng.normal(size=n)
    if "factors" in options:
        given["factors"] = draw_factors(rng, p)
    if "center" in options:
        given["center"] = center
    if "bounds" in options:
        given |= draw_bounds(rng, center if "center" in options else np.zeros(p), sd)
    if "metric" in options:
        given["metric"] = draw_metric(rng, p, "bounds" in options)
    problem = Problem(
        X=X,
        y=reading(**loss_parameters).draw(rng, eta),
        alpha=1.0,
        loss=loss,
        loss_parameters=loss_parameters,
        penalty=penalty,
        penalty_parameters=parameters(penalties.REGISTRY[penalty], rng),
        fit_intercept=bool(rng.random() < 0.75),
        standardize=bool(rng.random() < 0.5) and "metric" not in options,
        columns=np.flatnonzero(np.arange(p) != rng.integers(p)) if rng.random() < 0.2 else None,
        **given,
    )
    return problem.but(alpha=strength(problem, rng))


def strength(problem: Problem, rng: np.random.Generator) -> float:
    """Between 1e-2 and 0.7 of alpha_max; of a ridge so that it shrinks and leaves something."""
    if problem.penalty == "l2":
        spread = float(np.median(problem.s) ** -2 * np.median(problem.X.std(0)) ** 2)
        return spread * 10.0 ** rng.uniform(-2.5, 0)
    return (problem.alpha_max or 1.0) * 10.0 ** rng.uniform(-2, -0.15)
