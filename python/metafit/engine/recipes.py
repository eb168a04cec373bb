"""What is fitted, whatever the rows, columns and strengths, as the core reads it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metafit import _core
from metafit.strategies.losses import Loss
from metafit.strategies.penalties import Penalty

__all__ = ["as_recipe", "make_recipe"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def as_recipe(
    loss: Loss, penalty: Penalty, n_classes: int, solver: str, fit_intercept: bool, standardize: bool
) -> _core.Recipe:
    """Return what is fitted, on whichever rows and columns, as the core reads it."""
    make = make_recipe if penalty.is_per_column else _plain_recipe
    return make(loss, penalty, n_classes, solver, False, fit_intercept, standardize, False)


def make_recipe(
    loss: Loss,
    penalty: Penalty,
    n_classes: int,
    solver: str,
    of_max: bool,
    fit_intercept: bool,
    standardize: bool,
    scale_y: bool,
) -> _core.Recipe:
    """Return a recipe; `of_max` takes strengths as multiples of the largest that matters."""
    return _core.Recipe(
        loss=loss.name,
        loss_parameters=loss.parameters,
        penalty=penalty.name,
        penalty_parameters=penalty.parameters,
        of_max=of_max,
        fit_intercept=fit_intercept,
        standardize=standardize,
        scale_y=scale_y,
        n_classes=n_classes,
        solver=solver,
        **_of_columns(penalty, n_classes),
    )


_plain_recipe = lru_cache(maxsize=64)(make_recipe)


def _of_columns(penalty: Penalty, n_classes: int) -> dict[str, Any]:
    """Write what a penalty says of columns as flat arrays."""
    groups, metric = penalty.groups, _maybe(penalty.metric)
    return {
        "factors": _with_diagonal(_maybe(penalty.factors), metric),
        "groups": None if groups is None else _codes(groups),
        "metric": metric if metric is not None and metric.ndim == 2 else None,
        **{name: _of_classes(getattr(penalty, name), n_classes) for name in ("center", "lower", "upper")},
    }


def _codes(labels: Sequence[int | str]) -> Ints:
    """Labels numbered in the order in which they first stand."""
    numbers: dict[int | str, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)


def _with_diagonal(factors: Floats | None, metric: Floats | None) -> Floats | None:
    """Factors times a diagonal metric; infinity pins a column whatever the metric says."""
    if metric is None or metric.ndim == 2:
        return factors
    return metric if factors is None else np.where(np.isinf(factors), np.inf, np.nan_to_num(factors, posinf=1) * metric)


def _of_classes(values: Any, n_classes: int) -> Floats | None:
    """Numbers of the columns of one class after another; one row is for all classes."""
    if values is None:
        return None
    array = _floats(values)
    return (array if array.ndim == 2 else np.tile(array, (n_classes, 1))).ravel()


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _maybe(values: ArrayLike | None) -> Floats | None:
    return None if values is None else _floats(values)
