"""How like a table is to those that are known, by its description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from metafit.descriptions import Scales

__all__ = ["LEAST_TASKS", "QUANTILE", "Likeness", "Neighbourhood"]

#: With fewer described tasks there is no telling what is unusual.
LEAST_TASKS = 20
#: Of the distances from each known task to the nearest other one: what lies beyond is unlike them.
QUANTILE = 0.99

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Described tasks as points, and how far apart they lie.

    Attributes
    ----------
    descriptions : DataFrame
        Index task, columns meta-features.
    scales : Scales
        Of the meta-features.
    points : ndarray of shape (n_tasks, n_columns)
        Standardised.
    limit : float
        The 99% quantile of the distances from each task to the nearest other one; infinite with fewer than 20.
    """

    descriptions: pd.DataFrame
    scales: Scales
    points: Floats
    limit: float

    @classmethod
    def of(cls, descriptions: pd.DataFrame) -> Self:
        """Measure the distances between described tasks."""
        scales = Scales.of(descriptions)
        points = scales.apply(descriptions).to_numpy()
        few = len(points) < LEAST_TASKS or not points.shape[1]
        limit = np.inf if few else float(np.quantile(_to_the_nearest(points), QUANTILE))
        return cls(descriptions, scales, points, limit)

    def told_by(self, description: pd.Series[float]) -> Neighbourhood:
        """Leave out the meta-features that a description lacks."""
        told = self.descriptions.columns.isin(description.index)
        return self if told.all() else Neighbourhood.of(self.descriptions.loc[:, told])


@dataclass(frozen=True)
class Likeness:
    """The known task that a table is nearest to.

    Distances are Euclidean between standardised descriptions (`metafit.descriptions.standardize`, its scales from
    the known tasks).

    Attributes
    ----------
    nearest : str
        The known task.
    distance : float
        From the table to that task.
    limit : float
        See `Neighbourhood`.

    Examples
    --------
    >>> known = Neighbourhood.of(pd.DataFrame({"log_rows": np.linspace(2, 4, 30)}).rename(index=str))
    >>> Likeness.of(pd.Series({"log_rows": 2.1}), known).is_unlike
    False
    >>> Likeness.of(pd.Series({"log_rows": 6.0}), known).is_unlike
    True
    """

    nearest: str
    distance: float
    limit: float

    @classmethod
    def of(cls, description: pd.Series[float], known: Neighbourhood) -> Self:
        """Compare a description with those of known tasks, by the meta-features that it gives."""
        known = known.told_by(description)
        given = description[known.descriptions.columns].astype(float)
        point = known.scales.apply(given.to_frame().T).to_numpy()
        gaps = np.sqrt(((known.points - point) ** 2).sum(axis=1))
        return cls(str(known.descriptions.index[int(gaps.argmin())]), float(gaps.min()), known.limit)

    @property
    def is_unlike(self) -> bool:
        """Whether the table is farther from all known tasks than these are from each other."""
        return self.distance > self.limit


def _to_the_nearest(points: Floats) -> Floats:
    """Return the distance from each point to the nearest other one."""
    distances = cdist(points, points)
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances.min(axis=1))
