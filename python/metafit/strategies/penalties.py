r"""The regularisers Omega(w) of the equation.

With factors f (default 1) and centre w0 (default 0)::

    Omega(w) = sum_j f_j ( l1_ratio |w_j - w0_j| + (1 - l1_ratio) / 2 (w_j - w0_j)^2 ),

where ``L2`` has l1_ratio 0 and ``L1`` has l1_ratio 1. A factor of 0 leaves w_j unpenalised; a factor of
infinity pins it to its centre. Factors act in the coordinates that are solved (standardised where asked);
the centre is in original units, like the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metafit.strategies.parts import Part, check_number, lookup

__all__ = ["L1", "L2", "REGISTRY", "ElasticNet", "Penalty", "resolve"]

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Penalty(Part):
    """Base of the penalties: a factor and a centre for each column.

    Parameters
    ----------
    factors : sequence of float, shape (n_features,), optional
        How strongly each coefficient is penalised: >= 0, infinity allowed. None means 1 everywhere.
    center : sequence of float, shape (n_features,), optional
        The coefficients that cost nothing, in original units. None means 0 everywhere.

    Raises
    ------
    ValueError
        If factors are negative or NaN, the centre is not finite, or the two differ in length.
    """

    name: ClassVar[str]
    factors: tuple[float, ...] | None = None
    center: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Store arrays as tuples, so that a penalty is hashable and cannot change."""
        object.__setattr__(self, "factors", _as_factors(self.factors))
        object.__setattr__(self, "center", _as_center(self.center))
        if self.factors is not None and self.center is not None and len(self.factors) != len(self.center):
            raise ValueError(f"factors and center must be equally long, got {len(self.factors)} and {len(self.center)}")

    @property
    def is_per_column(self) -> bool:
        """Whether it holds a number for each column, so that it fits tables of one width only."""
        return self.factors is not None or self.center is not None

    @property
    def l1_ratio(self) -> float:
        """The share of the absolute value in the penalty, from 0 (ridge) to 1 (lasso)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class L2(Penalty):
    """Ridge penalty, ``Omega = sum_j f_j (w_j - w0_j)^2 / 2``.

    Parameters
    ----------
    factors, center : sequence of float, shape (n_features,), optional
        See `Penalty`.

    Examples
    --------
    >>> import numpy as np
    >>> L2(factors=np.array([0.0, 1.0]))
    L2(factors=(0.0, 1.0), center=None)
    """

    name: ClassVar[str] = "l2"

    @property
    def l1_ratio(self) -> float:
        """0.0."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class L1(Penalty):
    """Lasso penalty, ``Omega = sum_j f_j |w_j - w0_j|``.

    Parameters
    ----------
    factors, center : sequence of float, shape (n_features,), optional
        See `Penalty`.

    Examples
    --------
    >>> L1().l1_ratio
    1.0
    """

    name: ClassVar[str] = "l1"

    @property
    def l1_ratio(self) -> float:
        """1.0."""
        return 1.0


@dataclass(frozen=True)
class ElasticNet(Penalty):
    """Elastic net, ``Omega = sum_j f_j (r |w_j - w0_j| + (1 - r) (w_j - w0_j)^2 / 2)`` with r = l1_ratio.

    Parameters
    ----------
    l1_ratio : float, default=0.5
        From 0 (ridge) to 1 (lasso).
    factors, center : sequence of float, shape (n_features,), optional
        See `Penalty`.

    Raises
    ------
    ValueError
        If l1_ratio is outside [0, 1].

    Notes
    -----
    Zou and Hastie (2005), Regularization and variable selection via the elastic net. JRSS B 67, 301-320.

    Examples
    --------
    >>> ElasticNet(0.2).l1_ratio
    0.2
    """

    name: ClassVar[str] = "elastic_net"
    l1_ratio: float = 0.5

    def __post_init__(self) -> None:
        """Check the mixture, then what all penalties share."""
        object.__setattr__(self, "l1_ratio", check_number(self.l1_ratio, "l1_ratio", high=1.0))
        super().__post_init__()


REGISTRY: dict[str, type[Penalty]] = {penalty.name: penalty for penalty in (L2, L1, ElasticNet)}


def resolve(penalty: str | Penalty) -> Penalty:
    """Return the penalty that a name or an object stands for.

    Examples
    --------
    >>> resolve("l1")
    L1(factors=None, center=None)
    """
    if isinstance(penalty, Penalty):
        return penalty
    if not isinstance(penalty, str):
        raise TypeError(f"penalty must be a name or a penalty such as penalties.L2(), got {penalty!r}")
    return lookup(penalty, REGISTRY, "penalty")()


def _as_factors(values: Iterable[Any] | None) -> tuple[float, ...] | None:
    return _checked(values, "factors", ">= 0 (infinity allowed)", lambda vector: vector >= 0)


def _as_center(values: Iterable[Any] | None) -> tuple[float, ...] | None:
    return _checked(values, "center", "finite", np.isfinite)


def _checked(
    values: Iterable[Any] | None, argument: str, wanted: str, is_good: Callable[[Vector], NDArray[np.bool_]]
) -> tuple[float, ...] | None:
    if values is None:
        return None
    vector = _as_vector(values, argument)
    bad = np.flatnonzero(~is_good(vector))
    if bad.size:
        raise ValueError(f"{argument} must be {wanted}, got {vector[bad[0]]} at position {bad[0]}")
    return tuple(vector.tolist())


def _as_vector(values: Iterable[Any], argument: str) -> Vector:
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be a sequence of numbers, got {values!r}") from None
    if vector.ndim != 1:
        raise ValueError(f"{argument} must be one-dimensional, got shape {vector.shape}")
    return vector
