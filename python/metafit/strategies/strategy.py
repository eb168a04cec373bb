"""A strategy: every choice that the equation leaves open, in one frozen object with a stable id.

    strategy = (features S, transform phi, loss L, penalty Omega, alpha, standardize, scale_y, solver)

or any scikit-learn estimator in place of the whole equation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any, Self

from sklearn.base import is_classifier, is_regressor

from metafit.strategies import alphas, losses, penalties
from metafit.strategies import features as rules
from metafit.strategies.features import FeatureRule
from metafit.strategies.parts import Part, from_plain, to_plain
from metafit.strategies.solvers import check_solver
from metafit.strategies.wrapped import Wrapped, canonical_json

__all__ = ["Strategy"]

_ALL = rules.All()
_RIDGE = penalties.resolve("l2")
_ONE_ROW = alphas.PerRow(1.0)


@dataclass(frozen=True, init=False)
class Strategy:
    """How to fit one task.

    Parameters
    ----------
    loss : str or losses.Loss
        A loss of the task's kind, e.g. "squared" or "huber" for regression, "logistic" for classification.
    features : features.FeatureRule, default=All()
        Which raw columns to look at.
    transform : scikit-learn transformer, optional
        Fitted on the imputed, standardised training rows of the chosen columns.
    penalty : str or penalties.Penalty, default=L2()
        With factors, a centre or bounds it holds one number for each encoded column of the task. Groups are by
        default the encoded columns of each raw column. A metric needs standardize=False.
    alpha : float or alphas.Alpha, default=PerRow(1.0)
        How strong the penalty is.
    standardize : bool, default=True
        Solve with columns of unit variance (coefficients are given in original units all the same).
    scale_y : bool or "auto", default="auto"
        Solve with y of unit variance; "auto" does so for the squared loss.
    solver : str, default="auto"
        Which solver of the engine, as in `metafit.solve`.
    estimator : scikit-learn estimator, optional
        Use `from_estimator`.

    Raises
    ------
    TypeError, ValueError
        If a part is of the wrong type, or if parts contradict each other.

    Examples
    --------
    >>> from metafit.strategies.alphas import OfMax
    >>> from metafit.strategies.features import TopK
    >>> strategy = Strategy(features=TopK(8), loss="logistic", penalty="l1", alpha=OfMax(0.1))
    >>> strategy.name
    'logistic l1 of_max(0.1) top_k(8)'
    >>> strategy.kind, len(strategy.id)
    ('classification', 12)
    >>> Strategy.from_json(strategy.to_json()) == strategy
    True
    """

    loss: losses.Loss | None
    features: FeatureRule
    transform: Wrapped | None
    penalty: penalties.Penalty
    alpha: float | alphas.Alpha
    standardize: bool
    scale_y: bool | str
    solver: str
    estimator: Wrapped | None

    def __init__(
        self,
        *,
        loss: str | losses.Loss | None = None,
        features: FeatureRule = _ALL,
        transform: Any = None,
        penalty: str | penalties.Penalty = _RIDGE,
        alpha: float | alphas.Alpha = _ONE_ROW,
        standardize: bool = True,
        scale_y: bool | str = "auto",
        solver: str = "auto",
        estimator: Any = None,
    ) -> None:
        if estimator is None and loss is None:
            raise TypeError("loss is required: e.g. 'squared' for regression, 'logistic' for classification")
        parts = {
            "loss": None if loss is None else losses.resolve(loss),
            "features": _as_rule(features),
            "transform": None if transform is None else _as_transform(transform),
            "penalty": penalties.resolve(penalty),
            "alpha": alphas.resolve(alpha),
            "standardize": standardize,
            "scale_y": scale_y,
            "solver": check_solver(solver),
            "estimator": None if estimator is None else _as_estimator(estimator),
        }
        for field, value in parts.items():
            object.__setattr__(self, field, value)
        _check_options(self)

    @classmethod
    def from_estimator(cls, estimator: Any) -> Self:
        """Wrap a scikit-learn estimator.

        It gets the encoded matrix of the task; where it refuses NaN, missing values are first replaced by the
        means of the training rows. Its id comes from the class and all parameters.

        Parameters
        ----------
        estimator : classifier or regressor
            Cloned; parameters ``random_state=None`` become 0.

        Raises
        ------
        TypeError
            If it is neither a classifier nor a regressor.

        Examples
        --------
        >>> from sklearn.neighbors import KNeighborsRegressor
        >>> Strategy.from_estimator(KNeighborsRegressor(3)).name
        'KNeighborsRegressor(n_neighbors=3)'
        """
        return cls(estimator=Wrapped(estimator))

    @property
    def kind(self) -> str:
        """The kind of task it can fit: "classification" or "regression"."""
        if self.estimator is not None:
            return "classification" if is_classifier(self.estimator.build()) else "regression"
        return self.equation_loss.kind

    @property
    def equation_loss(self) -> losses.Loss:
        """The loss of a strategy that solves the equation."""
        if self.loss is None:
            raise TypeError(f"{self.name} is an estimator and has no loss")
        return self.loss

    @property
    def scales_y(self) -> bool:
        """Whether y is solved in units of its standard deviation."""
        return isinstance(self.loss, losses.Squared) if self.scale_y == "auto" else bool(self.scale_y)

    @cached_property
    def name(self) -> str:
        """The choices that differ from the defaults, in one line."""
        if self.estimator is not None:
            return self.estimator.name
        alpha = _label(self.alpha) if isinstance(self.alpha, Part) else f"alpha={self.alpha:g}"
        words = [_label(self.equation_loss), _label(self.penalty), alpha]
        words += [] if self.features == rules.All() else [_label(self.features)]
        words += [] if self.transform is None else [self.transform.name]
        words += [] if self.standardize else ["raw_x"]
        words += [] if self.scale_y == "auto" else [f"scale_y={self.scale_y}"]
        words += [] if self.solver == "auto" else [f"solver={self.solver}"]
        return " ".join(words)

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits that depend on `to_json` alone."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return the canonical JSON: equal strategies give equal text."""
        if self.estimator is not None:
            return canonical_json({"estimator": self.estimator.plain})
        plain: dict[str, Any] = {
            "loss": to_plain(self.equation_loss),
            "features": to_plain(self.features),
            "penalty": to_plain(self.penalty),
            "alpha": alphas.alpha_to_plain(self.alpha),
            "standardize": self.standardize,
            "scale_y": self.scale_y,
            "solver": self.solver,
        }
        return canonical_json(plain | ({} if self.transform is None else {"transform": self.transform.plain}))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild the strategy that `to_json` wrote.

        Raises
        ------
        ValueError
            If the text names parts that do not exist, or classes whose module must be imported first.
        """
        plain = json.loads(text)
        return cls(**{field: _BUILDERS.get(field, _as_is)(value) for field, value in plain.items()})


def _check_options(strategy: Strategy) -> None:
    if strategy.estimator is not None:
        _check_alone(strategy)
    if not isinstance(strategy.standardize, bool):
        raise TypeError(f"standardize must be True or False, got {strategy.standardize!r}")
    if strategy.scale_y not in ("auto", True, False):
        raise ValueError(f"scale_y must be True, False or 'auto', got {strategy.scale_y!r}")
    if strategy.scale_y is True and not isinstance(strategy.loss, losses.Squared):
        raise ValueError(f"scale_y=True needs the squared loss, got {strategy.loss}")
    if strategy.transform is not None and (strategy.penalty.is_per_column or strategy.penalty.has_groups):
        raise ValueError("a penalty of single columns or of groups cannot follow a transform: it makes new columns")
    if strategy.standardize and strategy.penalty.metric is not None:
        raise ValueError("a metric is in original units of the columns: it needs standardize=False")


def _check_alone(strategy: Strategy) -> None:
    """Refuse parts of the equation beside an estimator, which would be ignored."""
    bare = Strategy(loss=strategy.loss or losses.Squared())
    parts = [f.name for f in fields(Strategy) if f.name not in ("loss", "estimator")]
    given = [part for part in parts if getattr(strategy, part) != getattr(bare, part)]
    if strategy.loss is not None or given:
        raise ValueError(f"an estimator replaces the whole equation, but {given or ['loss']} came with it")


def _as_rule(rule: Any) -> FeatureRule:
    if not isinstance(rule, FeatureRule):
        raise TypeError(f"features must be a rule such as features.TopK(8), got {rule!r}")
    return rule


def _as_transform(transform: Any) -> Wrapped:
    if isinstance(transform, Wrapped):
        return transform
    if not hasattr(transform, "transform"):
        raise TypeError(f"transform must be a scikit-learn transformer, got {transform!r}")
    return Wrapped(transform)


def _as_estimator(estimator: Any) -> Wrapped:
    wrapped = estimator if isinstance(estimator, Wrapped) else Wrapped(estimator)
    built = wrapped.build()
    if not (is_classifier(built) or is_regressor(built)):
        raise TypeError(f"estimator must be a classifier or a regressor, got {wrapped.name}")
    return wrapped


def _label(part: Part) -> str:
    """Write a part as ``name(value, option=value)``, without what is left at its default."""
    words = []
    for f in fields(part):  # type: ignore[arg-type]
        value = getattr(part, f.name)
        if value != f.default:
            words.append(_show(value) if f.default is MISSING else f"{f.name}={_show(value)}")
    return f"{part.name}({', '.join(words)})" if words else part.name


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple) and len(value) > 4:
        return f"<{len(value)} values>"
    return str(value)


def _as_is(value: Any) -> Any:
    return value


_BUILDERS: dict[str, Callable[[Any], Any]] = {
    "loss": lambda plain: from_plain(plain, losses.REGISTRY, "loss"),
    "features": lambda plain: from_plain(plain, rules.REGISTRY, "features"),
    "transform": Wrapped.from_plain,
    "penalty": lambda plain: from_plain(plain, penalties.REGISTRY, "penalty"),
    "alpha": alphas.alpha_from_plain,
    "estimator": Wrapped.from_plain,
}
