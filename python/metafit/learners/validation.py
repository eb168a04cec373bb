"""What learners would have picked on tasks left out of their training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from sklearn.base import clone

from metafit.learners.base import BaseLearner
from metafit.learners.single_best import SingleBest
from metafit.learners.table import FloatArray
from metafit.scores import Scores

SINGLE_BEST, MEAN = "single best", "mean"


def regret_left_out(
    learners: Mapping[str, BaseLearner],
    scores: Scores,
    descriptions: pd.DataFrame,
    *,
    n_folds: int,
    min_coverage: float = 0.8,
    random_state: int = 0,
) -> pd.DataFrame:
    """Fit learners on some families of tasks, and give the regret of what they pick on the others.

    Parameters
    ----------
    learners : mapping of str to BaseLearner
        They are cloned.
    scores : Scores
    descriptions : DataFrame
        Index task; tasks that are not described are not judged.
    n_folds : int
        Parts into which families are drawn at random.
    min_coverage : float
        See `SingleBest`.
    random_state : int

    Returns
    -------
    DataFrame
        A row per task, a column per learner; one more for the mean of their expectations, if they are more than one,
        and the last for the single best strategy.

    Examples
    --------
    >>> from metafit.testing import make_scores
    >>> from metafit.learners import NearestTasks
    >>> regret_left_out({"near": NearestTasks()}, *make_scores(), n_folds=4).columns.to_list()
    ['near', 'single best']
    """
    described = scores.tasks.index[scores.tasks.index.isin(descriptions.index)]
    regret = scores.regret().loc[described].dropna(how="all")
    ways = dict(learners) | {SINGLE_BEST: SingleBest(min_coverage=min_coverage)}
    parts = []
    for held_out in _folds(scores.tasks["family"], n_folds, random_state):
        known = scores.only_tasks(scores.tasks.index[~held_out])
        about = descriptions[descriptions.index.isin(known.tasks.index)]
        here = regret[regret.index.isin(scores.tasks.index[held_out])]
        if here.empty or known.cells.empty:
            continue
        fitted = {name: clone(learner).fit(known, about) for name, learner in ways.items()}
        expected = {name: learner.expect(descriptions.loc[here.index]) for name, learner in fitted.items()}
        if len(learners) > 1:
            expected = {MEAN: np.mean([expected[name] for name in learners], axis=0)} | expected
        coverage = fitted[SINGLE_BEST].coverage_
        rare = coverage < min_coverage * coverage.max()
        picked = {name: _picked(table, here.to_numpy(), rare) for name, table in expected.items()}
        parts.append(pd.DataFrame(picked, index=here.index))
    columns = [*learners, *([MEAN] if len(learners) > 1 else []), SINGLE_BEST]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns, dtype=float)


def gains(regret: pd.DataFrame, families: pd.Series[str], over: str = SINGLE_BEST) -> pd.DataFrame:
    """Say by how much each way is better than another, and how sure that is.

    Parameters
    ----------
    regret : DataFrame
        As of `regret_left_out`.
    families : Series of str
        Index task; tasks of one family are not independent.
    over : str
        The other way.

    Returns
    -------
    DataFrame
        Index way, but the single best; mean ``regret``, paired ``gain``, and its standard ``error`` over families.

    Examples
    --------
    >>> regret = pd.DataFrame({"near": [0.1, 0.3, 0.2], "single best": [0.2, 0.4, 0.6]}, index=list("abc"))
    >>> gains(regret, pd.Series(list("xyy"), index=list("abc"))).round(3)
          regret  gain  error
    near     0.2   0.2  0.067
    """
    ways = regret.drop(columns=SINGLE_BEST)
    gain = -ways.sub(regret[over], axis=0)
    off = (gain - gain.mean()).groupby(families.reindex(regret.index).to_numpy()).sum()
    n_families = len(off)
    error = np.sqrt((off**2).sum() * n_families / max(n_families - 1, 1)) / max(len(regret), 1)
    return pd.DataFrame({"regret": ways.mean(), "gain": gain.mean(), "error": error})


def _folds(families: pd.Series[str], n_folds: int, random_state: int) -> Iterator[np.ndarray]:
    """Yield masks of the tasks left out together."""
    names = np.unique(families)  # sorted, so that the order of the tasks does not matter
    fold = np.random.default_rng(random_state).permutation(len(names)) % n_folds
    of_task = fold[np.searchsorted(names, families)]
    yield from (of_task == k for k in range(n_folds))


def _picked(expected: FloatArray, regret: FloatArray, rare: np.ndarray) -> FloatArray:
    """Give the regret of the lowest expectation among those attempted; rarely attempted ones come after all others."""
    keys = np.where(np.isnan(expected), 3.0, expected) + 2.0 * rare
    picks = np.where(np.isnan(regret), np.inf, keys).argmin(axis=1)
    return np.asarray(regret[np.arange(len(regret)), picks])
