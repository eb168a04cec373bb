"""A learner asked about one table, again and again while losses are observed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from metafit.knowledge import Knowledge
from metafit.learners import Learner, Ranking, Runtimes

__all__ = ["Ranker"]


@dataclass(frozen=True, eq=False)
class Ranker:
    """A fitted learner, with what it is told of one table.

    Attributes
    ----------
    learner : Learner
        Fitted.
    description : Series or None
        Of the table.
    candidates : tuple of str
        The strategies that can serve it.
    known : Knowledge
        What the learner learned from, of which costs are learned, too.
    """

    learner: Learner
    description: pd.Series[float] | None
    candidates: tuple[str, ...]
    known: Knowledge

    def rank(self, observed: Mapping[str, float]) -> Ranking:
        """Rank the candidates, given the losses of some on this very table."""
        return self.learner.rank(self.description, observed=observed, candidates=self.candidates)

    def seconds(self, observed: Mapping[str, float]) -> pd.Series[float]:
        """Give the expected seconds of a fit of each candidate, given those of some on this very table.

        Returns
        -------
        Series
            Index strategy; NaN for those whose cost nothing is known of.
        """
        runtimes = _runtimes(self.known)
        if runtimes is None:
            return pd.Series(np.nan, pd.Index(self.candidates))
        ranking = runtimes.rank(self.description, observed=observed, candidates=self.candidates)
        return ranking.to_frame()["expected_loss"]


@lru_cache(maxsize=8)
def _runtimes(known: Knowledge) -> Runtimes | None:
    """Fit once for equal content: that takes longer than a fit of a small table."""
    timed = known.scores.cells["seconds"].notna().any()
    return Runtimes().fit(known.scores, known.descriptions) if timed else None
