"""How strongly to regularise: the alpha of the equation, in units that travel between tables.

A bare number does not mean the same on 100 and on 70,000 rows. `PerRow` fixes the penalty against *one
row's* loss, `OfMax` against the strength at which an L1 penalty sets everything to zero, and `CV` lets inner
folds of the training rows decide. None of them ever looks at held-out rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metafit.strategies.parts import Part, check_count, check_number, from_plain, to_plain

__all__ = ["CV", "L1_RATIO_FLOOR", "REGISTRY", "Alpha", "OfMax", "PerRow", "resolve"]

#: alpha_max of a penalty without L1 part is infinite; it is computed as if l1_ratio were this.
L1_RATIO_FLOOR = 1e-3


class Alpha(Part):
    """Base of the alphas that know their scale; a plain float is an alpha too."""


@dataclass(frozen=True)
class PerRow(Alpha):
    """``alpha = c / sum of the training weights``: the penalty weighs as much as c rows.

    Parameters
    ----------
    c : float
        >= 0. For L2 it is `alpha` of scikit-learn's Ridge and `1 / C` of its LogisticRegression.

    Examples
    --------
    >>> PerRow(2.0).value(total_weight=100.0)
    0.02
    """

    name: ClassVar[str] = "per_row"
    c: float

    def __post_init__(self) -> None:
        """Check the number."""
        object.__setattr__(self, "c", check_number(self.c, "c"))

    def value(self, total_weight: float) -> float:
        """Return alpha for training rows whose weights sum to ``total_weight``."""
        return self.c / total_weight


@dataclass(frozen=True)
class OfMax(Alpha):
    """``alpha = r * alpha_max`` of the training rows.

    alpha_max is the smallest alpha at which all penalised coefficients sit at their centre; for l1_ratio
    below 0.001 (ridge) it is taken at 0.001.

    Parameters
    ----------
    r : float
        >= 0, usually below 1.

    Examples
    --------
    >>> OfMax(0.1)
    OfMax(r=0.1)
    """

    name: ClassVar[str] = "of_max"
    r: float

    def __post_init__(self) -> None:
        """Check the number."""
        object.__setattr__(self, "r", check_number(self.r, "r"))


@dataclass(frozen=True)
class CV(Alpha):
    """The alpha with the best mean held-out loss over inner folds of the training rows.

    The candidates are ``n_alphas`` multiples of alpha_max, evenly spaced in logarithm. They end where an L1
    penalty would be at ``smallest`` of its own alpha_max, so that ridge and lasso reach the same weakest
    regularisation. The multiple is chosen, not the number: it is applied to alpha_max of all training rows.

    Parameters
    ----------
    n_alphas : int, default=8
        Number of candidates, >= 2.
    folds : int, default=3
        Number of inner folds, >= 2; fewer where the training rows hold fewer groups.
    smallest : float, default=0.001
        In (0, 1).
    random_state : int, default=0
        Seed of the inner folds.

    Examples
    --------
    >>> from metafit.strategies.penalties import L1, L2
    >>> CV(n_alphas=4).ratios(L1().l1_ratio)
    array([1.   , 0.1  , 0.01 , 0.001])
    >>> CV(n_alphas=4).ratios(L2().l1_ratio)
    array([1.e+00, 1.e-02, 1.e-04, 1.e-06])
    """

    name: ClassVar[str] = "cv"
    n_alphas: int = 8
    folds: int = 3
    smallest: float = 1e-3
    random_state: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        object.__setattr__(self, "n_alphas", check_count(self.n_alphas, "n_alphas", low=2))
        object.__setattr__(self, "folds", check_count(self.folds, "folds", low=2))
        object.__setattr__(self, "smallest", check_number(self.smallest, "smallest", high=1.0))
        object.__setattr__(self, "random_state", check_count(self.random_state, "random_state", low=0))
        if not 0.0 < self.smallest < 1.0:
            raise ValueError(f"smallest must be between 0 and 1, both excluded, got {self.smallest}")

    def ratios(self, l1_ratio: float) -> NDArray[np.float64]:
        """Return the candidates as multiples of alpha_max, largest first, shape (n_alphas,)."""
        return np.geomspace(1.0, self.smallest * max(l1_ratio, L1_RATIO_FLOOR), self.n_alphas)


REGISTRY: dict[str, type[Alpha]] = {alpha.name: alpha for alpha in (PerRow, OfMax, CV)}


def resolve(alpha: float | Alpha) -> float | Alpha:
    """Return an alpha as it is, a number as a checked float.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the number is negative, NaN or infinite.
    """
    return alpha if isinstance(alpha, Alpha) else check_number(alpha, "alpha")


def alpha_to_plain(alpha: float | Alpha) -> Any:
    """Turn an alpha into what JSON can hold: a number, or a dict."""
    return to_plain(alpha) if isinstance(alpha, Alpha) else alpha


def alpha_from_plain(plain: Any) -> float | Alpha:
    """Build the alpha that `alpha_to_plain` wrote."""
    return from_plain(plain, REGISTRY, "alpha") if isinstance(plain, dict) else resolve(plain)
