"""What did well on tasks like this one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from metafit.learners.meta_features import MetaFeatures
from metafit.learners.table import FloatArray, IntArray
from metafit.learners.weighted_tasks import WeightedTasks
from metafit.scores import Scores

# the mean squared difference of two independent uniform variables: what an unknown coordinate counts
_UNKNOWN = 1 / 6


class NearestTasks(WeightedTasks):
    """Rank by the training tasks whose descriptions are nearest, shrunk towards all training tasks.

    The one nearest neighbour loses to the single best on most public tables, so many neighbours vote, with
    weights 1 / (0.05 + d / h), h the distance of the first that has no vote, and every training task adds
    `shrinkage` / n_tasks. With these weights the first `size` strategies are a greedy portfolio (see
    `Portfolio`), the rest follow by expected regret: near-copies of the first choice are of little use as the
    second.

    Descriptions are brought to one scale by the training tasks' ranks, so heavy tails do not matter: a
    coordinate is the share of the training tasks below. A distance is the root mean square over coordinates;
    one that is missing on one side counts what two random tasks differ by, missing on both sides nothing.

    Parameters
    ----------
    n_neighbors : int
    shrinkage : float
        Weight of all training tasks together, in neighbours: 0 for none.
    size : int
        Number of complementary strategies at the head of the ranking.
    min_coverage : float
        See `Portfolio`.

    Attributes
    ----------
    columns_ : Index of str or None
        Meta-features in use: numeric, and known and not the same for all training tasks; None without
        descriptions.
    coordinates_ : ndarray of shape (n_tasks, n_columns)

    Notes
    -----
    Without descriptions, or for a task of which none of the columns is known, all training tasks count alike
    and the ranking says ``fallback=True``.

    Examples
    --------
    >>> from metafit.scores import Scores
    >>> losses = pd.DataFrame({"few": [0.1, 0.2, 0.8, 0.9], "many": [0.8, 0.9, 0.1, 0.2]}, index=list("abcd"))
    >>> rows = pd.DataFrame({"n_rows": [10, 20, 1000, 2000]}, index=list("abcd"))
    >>> learner = NearestTasks(n_neighbors=2).fit(Scores.from_matrix(losses), rows)
    >>> learner.rank({"n_rows": 1500}).strategies
    ('many', 'few')
    """

    def __init__(
        self, n_neighbors: int = 25, shrinkage: float = 2.0, size: int = 16, min_coverage: float = 0.8
    ) -> None:
        self.n_neighbors = n_neighbors
        self.shrinkage = shrinkage
        self.size = size
        self.min_coverage = min_coverage

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        if self.n_neighbors < 1 or self.shrinkage < 0:
            given = f"n_neighbors={self.n_neighbors!r}, shrinkage={self.shrinkage!r}"
            raise ValueError(f"{given}: at least one neighbour and no negative shrinkage")
        super()._learn(scores, descriptions)

    def _compare(self, features: MetaFeatures) -> None:
        self.coordinates_ = features.shares(features.known)

    def _distances(self, coordinates: FloatArray) -> FloatArray:
        difference = (self.coordinates_ - coordinates) ** 2
        both_missing = np.isnan(self.coordinates_) & np.isnan(coordinates)
        difference = np.where(np.isnan(difference), np.where(both_missing, 0.0, _UNKNOWN), difference)
        return np.asarray(np.sqrt(difference.mean(axis=1)), dtype=float)

    def _votes(self, distances: FloatArray) -> FloatArray:
        """Give each training task's vote; the votes sum to the number of neighbours."""
        order = np.argsort(distances, kind="stable")
        near = order[: self.n_neighbors]
        bandwidth = distances[order[min(len(near), len(order) - 1)]]
        votes = np.zeros(len(distances))
        votes[near] = 1 / (0.05 + distances[near] / bandwidth) if bandwidth > 0 else 1.0
        return np.asarray(votes * (len(near) / votes.sum()))

    def _weights(self, rows: FloatArray) -> FloatArray:
        assert self._features is not None
        votes = [self._votes(self._distances(coordinates)) for coordinates in self._features.shares(rows)]
        return np.array(votes).reshape(-1, len(self.tasks_)) + self.shrinkage / len(self.tasks_)

    def _neighbours(self, values: FloatArray, weights: FloatArray, standing: IntArray) -> pd.DataFrame:
        assert self._features is not None
        distances = self._distances(self._features.shares(values[None])[0])
        near = np.argsort(distances, kind="stable")[: self.n_neighbors]
        shares = weights / weights.sum()
        columns = {"distance": distances[near], "weight": shares[near], "lead": self._leads(shares, standing)[near]}
        return pd.DataFrame(columns, index=self.tasks_[near])
