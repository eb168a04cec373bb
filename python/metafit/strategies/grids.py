"""Many strategies at once: products of choices, and the defaults that a study starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from sklearn.kernel_approximation import Nystroem
from sklearn.preprocessing import SplineTransformer

from metafit.strategies import losses, penalties
from metafit.strategies.alphas import CV, Alpha, OfMax, PerRow
from metafit.strategies.features import TopK
from metafit.strategies.penalties import Penalty
from metafit.strategies.strategy import Strategy
from metafit.strategies.transforms import Clipped, OnContinuous

__all__ = ["default_strategies", "grid"]

L1: Any = penalties.L1
L2: Any = penalties.L2
ElasticNet: Any = penalties.ElasticNet


def grid(**choices: Any) -> list[Strategy]:
    """Return every sensible combination of choices, each once.

    Left out are combinations that contradict themselves (``scale_y=True`` with the logistic loss, factors or
    groups of columns after a transform) and repetitions of the same fit: an elastic net at an l1_ratio of 0 or 1
    is L2 or L1, and at alpha 0 all penalties are one.

    Parameters
    ----------
    **choices : list or single value
        For any argument of `Strategy`, the values to try. ``loss`` is required.

    Returns
    -------
    list of Strategy
        The last choice varies fastest.

    Raises
    ------
    TypeError
        If an argument is unknown or ``loss`` is missing.
    ValueError
        If a list is empty.

    Examples
    --------
    >>> space = grid(loss="squared", penalty=[L1(), ElasticNet(1.0), L2()], alpha=[OfMax(0.1), 0.0])
    >>> [strategy.name for strategy in space]
    ['squared l1 of_max(0.1)', 'squared l2 alpha=0', 'squared l2 of_max(0.1)']
    """
    options = {argument: _as_options(argument, values) for argument, values in choices.items()}
    combinations = (dict(zip(options, values, strict=True)) for values in product(*options.values()))
    strategies = (_simplest(Strategy(**parts)) for parts in combinations if _is_sensible(parts))
    return list(dict.fromkeys(strategies))


def default_strategies(kind: str) -> list[Strategy]:
    """Return about 60 strategies that differ; the first is the plain default.

    Parameters
    ----------
    kind : {"classification", "regression"}
        Logistic loss, or squared loss.

    Raises
    ------
    ValueError
        If the kind is unknown.

    Examples
    --------
    >>> strategies = default_strategies("regression")
    >>> len(strategies), strategies[0].name
    (60, 'squared l2 per_row(1)')
    """
    by_kind = {"regression": losses.Squared(), "classification": losses.Logistic()}
    if kind not in by_kind:
        raise ValueError(f"kind must be one of {sorted(by_kind)}, got {kind!r}")
    parts = _linear() + _screened() + _raw() + _splines() + _kernels()
    return list(dict.fromkeys(Strategy(loss=by_kind[kind], **part) for part in parts))


def _linear() -> list[dict[str, Any]]:
    """Use all columns as they are, penalised from almost nothing to almost everything."""
    return [
        *_each(L2(), PerRow, 1, 0.01, 10, 100, 1000, 10_000),
        *(_part(L2(), alpha) for alpha in (0.03, 0.3, 3.0)),
        *_each(L1(), OfMax, 0.5, 0.25, 0.1, 0.05, 0.02, 0.005),
        *_each(ElasticNet(0.5), OfMax, 0.3, 0.1, 0.03, 0.01),
        *_each(ElasticNet(0.1), OfMax, 0.1, 0.03),
        _part(L2(), CV()),
        # the weak end of a lasso path is the dear one
        *(_part(penalty, CV(n_alphas=6, smallest=0.005)) for penalty in (L1(), ElasticNet(0.5))),
    ]


def _screened() -> list[dict[str, Any]]:
    """Use a few columns only."""
    return [
        *(_part(L2(), PerRow(1), features=TopK(k)) for k in (1, 2, 4, 8, 16)),
        *(_part(L2(), PerRow(100), features=TopK(k)) for k in (4, 8, 16)),
        _part(L1(), OfMax(0.05), features=TopK(8)),
    ]


def _raw() -> list[dict[str, Any]]:
    """Keep columns in their own units: large ones are hardly penalised."""
    pairs = [(L2(), PerRow(1)), (L2(), PerRow(100)), (L2(), CV()), (L1(), OfMax(0.05))]
    return [_part(penalty, alpha, standardize=False) for penalty, alpha in pairs]


def _splines() -> list[dict[str, Any]]:
    """Bend the lines: smooth curves and broken lines, additive in the columns."""
    cubic = OnContinuous(SplineTransformer(n_knots=4, knots="quantile", include_bias=False))
    broken = OnContinuous(SplineTransformer(n_knots=4, degree=1, knots="quantile", include_bias=False))
    return [
        *(_part(L2(), PerRow(c), transform=cubic) for c in (1, 10, 100, 1000)),
        *(_part(L1(), OfMax(r), transform=cubic) for r in (0.1, 0.03)),
        *(_part(L2(), PerRow(10), transform=cubic, features=TopK(k)) for k in (2, 4, 8)),
        *(_part(L2(), PerRow(c), transform=broken) for c in (10, 100)),
        _part(L1(), OfMax(0.03), transform=broken),
    ]


def _kernels() -> list[dict[str, Any]]:
    """Let columns interact, through training rows as landmarks (gamma = 1 / columns)."""
    radial = Nystroem(n_components=50, random_state=0)
    quadratic = Clipped(Nystroem(kernel="poly", degree=2, coef0=1, n_components=50, random_state=0))
    richer = Clipped(Nystroem(kernel="poly", degree=2, coef0=1, n_components=100, random_state=0))
    return [
        *(_part(L2(), PerRow(c), transform=radial) for c in (10, 100, 1000)),
        *(_part(L2(), PerRow(c), transform=quadratic) for c in (10, 100, 1000)),
        _part(L1(), OfMax(0.1), transform=quadratic),
        _part(L2(), PerRow(100), transform=richer),
        _part(L2(), PerRow(10), transform=radial, features=TopK(4)),
        *(_part(L2(), PerRow(10), transform=quadratic, features=TopK(k)) for k in (4, 8)),
    ]


def _each(penalty: Penalty, scale: type[PerRow] | type[OfMax], *values: float) -> list[dict[str, Any]]:
    return [_part(penalty, scale(value)) for value in values]


def _part(penalty: Penalty, alpha: float | Alpha, **others: Any) -> dict[str, Any]:
    return {"penalty": penalty, "alpha": alpha} | others


def _as_options(argument: str, values: Any) -> Sequence[Any]:
    options = list(values) if isinstance(values, list | tuple) else [values]
    if not options:
        raise ValueError(f"{argument} must hold at least one value, got {values!r}")
    return options


def _of_columns(penalty: Penalty) -> dict[str, Any]:
    """Return what every penalty may say of single columns."""
    return {argument: getattr(penalty, argument) for argument in ("factors", "center", "lower", "upper")}


def _is_sensible(parts: dict[str, Any]) -> bool:
    """Tell combinations that contradict themselves from those that are merely unusual."""
    if parts.get("scale_y") is True and losses.resolve(parts["loss"]) != losses.Squared():
        return False
    penalty = parts.get("penalty")
    is_of_columns = isinstance(penalty, Penalty) and (penalty.is_per_column or penalty.has_groups)
    has_metric = isinstance(penalty, Penalty) and penalty.metric is not None
    if has_metric and parts.get("standardize", True):
        return False
    return not (is_of_columns and parts.get("transform") is not None)


def _simplest(strategy: Strategy) -> Strategy:
    """Return the plainest strategy that fits the same."""
    penalty, alpha = strategy.penalty, strategy.alpha
    if alpha in (0.0, PerRow(0.0), OfMax(0.0)):
        penalty, alpha = penalty if isinstance(penalty, L2) else L2(**_of_columns(penalty)), 0.0
    elif isinstance(penalty, ElasticNet) and penalty.l1_ratio in (0.0, 1.0):
        penalty = (L1 if penalty.l1_ratio else L2)(**_of_columns(penalty))
    scale_y = "auto" if strategy.scale_y == isinstance(strategy.loss, losses.Squared) else strategy.scale_y
    return replace(strategy, penalty=penalty, alpha=alpha, scale_y=scale_y)
