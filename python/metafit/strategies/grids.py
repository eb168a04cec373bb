"""Many strategies at once: products of choices, and the defaults that a study starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Literal

from metafit.strategies import losses, penalties
from metafit.strategies.alphas import OfMax, PerRow
from metafit.strategies.default_parts import default_parts
from metafit.strategies.default_trees import default_trees
from metafit.strategies.penalties import Penalty
from metafit.strategies.strategy import Strategy

__all__ = ["Profile", "default_strategies", "grid"]

Profile = Literal["fast", "full"]

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


def default_strategies(kind: str, profile: Profile = "fast") -> list[Strategy]:
    """Return about a hundred strategies that differ; the first is the plain default.

    Parameters
    ----------
    kind : {"classification", "regression"}
        Logistic loss, or squared loss.
    profile : {"fast", "full"}, default="fast"
        "full" adds tree ensembles of scikit-learn, at the end.

    Raises
    ------
    ValueError
        If the kind or the profile is unknown.

    Examples
    --------
    >>> strategies = default_strategies("regression")
    >>> len(strategies), strategies[0].name
    (106, 'squared l2 per_row(1)')
    >>> len(default_strategies("regression", "full"))
    112
    """
    by_kind = {"regression": losses.Squared(), "classification": losses.Logistic()}
    if kind not in by_kind:
        raise ValueError(f"kind must be one of {sorted(by_kind)}, got {kind!r}")
    if profile not in ("fast", "full"):
        raise ValueError(f"profile must be 'fast' or 'full', got {profile!r}")
    of_equation = list(dict.fromkeys(Strategy(loss=by_kind[kind], **part) for part in default_parts()))
    return of_equation + ([] if profile == "fast" else default_trees(kind))


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
