"""What to try on a table, best first: asked of a learner, or of a fixed order where nothing is known."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from metafit import learners
from metafit.descriptions import describe_task
from metafit.engine.running import why_not
from metafit.estimators.ranker import Ranker
from metafit.exceptions import DriftWarning
from metafit.knowledge import Knowledge, Likeness
from metafit.learners import Learner, Ranking
from metafit.strategies.alphas import CV
from metafit.strategies.grids import Profile, default_strategies
from metafit.strategies.strategy import Strategy
from metafit.tasks.task import Task

__all__ = ["Advice", "advise", "static_order"]


@dataclass(frozen=True, eq=False)
class Advice:
    """A ranking, its strategies in the same order, and who ranks again; None for an order that is fixed."""

    ranking: Ranking
    strategies: list[Strategy]
    ranker: Ranker | None = None


def advise(task: Task, knowledge: Any, learner: Learner | None, profile: Profile, metric: str | None = None) -> Advice:
    """Rank the strategies that can serve a task, by a metric if the scores hold it, else by their loss.

    Raises
    ------
    TypeError, ValueError
        If the knowledge is of another type, cannot be read, or holds no strategy for such a task; or if a
        learner is given without knowledge.
    """
    if profile not in ("fast", "full"):
        raise ValueError(f"profile must be 'fast' or 'full', got {profile!r}")
    if knowledge is None:
        if learner is not None:
            raise ValueError("learner has nothing to learn from: knowledge is None")
        return _without_knowledge(task, profile)
    known = _part(_unseen(task, Knowledge.of(knowledge, metric)), task.kind, profile)
    usable = _usable(task, known)
    fitted = _fitted(known) if learner is None else clone(learner).fit(known.scores, known.descriptions)
    ranker = Ranker(fitted, _described(task, known), tuple(usable), known)
    ranking = ranker.rank({})
    return Advice(ranking, [usable[name] for name in ranking], ranker)


def static_order(kind: str, profile: Profile = "fast") -> list[Strategy]:
    """Return the default strategies in an order for when nothing is known of any task.

    The plain default is first. Then strategies are sorted by feature rule, transform, penalty, standardisation
    and class of trees, and every sort gives one in turn: the strengths chosen by inner folds first, then from
    medium to extreme.

    Examples
    --------
    >>> [strategy.name for strategy in static_order("regression")[:2]]
    ['squared l2 per_row(1)', 'squared l2 cv']
    """
    plain, *others = default_strategies(kind, profile)
    sorts: dict[Any, list[Strategy]] = defaultdict(list)
    for strategy in others:
        sorts[_sort(strategy)].append(strategy)
    rounds = zip_longest(*map(_from_the_middle, sorts.values()))
    return [plain, *(strategy for turn in rounds for strategy in turn if strategy is not None)]


def _sort(strategy: Strategy) -> Any:
    trees = None if strategy.estimator is None else type(strategy.estimator.build())
    return type(strategy.features), strategy.transform, strategy.penalty, strategy.standardize, trees


def _from_the_middle(strategies: list[Strategy]) -> list[Strategy]:
    middle = (len(strategies) - 1) / 2
    places = sorted(range(len(strategies)), key=lambda i: abs(i - middle))
    return sorted((strategies[i] for i in places), key=lambda s: not isinstance(s.alpha, CV))


def _without_knowledge(task: Task, profile: Profile) -> Advice:
    strategies = static_order(task.kind, profile)
    usable = [strategy for strategy in strategies if not why_not(task, strategy)]
    if not usable:
        raise ValueError(f"no default strategy can serve this table: {why_not(task, strategies[0])}")
    unknown = np.full(len(usable), np.nan)
    reasons = ("no knowledge was given: the plain default first, then one strategy of each sort in turn",)
    return Advice(Ranking(tuple(s.id for s in usable), unknown, unknown.copy(), reasons, fallback=True), usable)


def _unseen(task: Task, known: Knowledge) -> Knowledge:
    """Drop the tasks that are this very table: what was seen on it would decide its own case."""
    if task.kind not in known.scores.kinds:
        raise ValueError(f"knowledge holds tasks of {' and '.join(known.scores.kinds)}, none of {task.kind}")
    same = known.same_table(task.fingerprint)
    if not same:
        return known
    # it is the caller of fit who should hear of it
    message = f"knowledge holds this very table as {', '.join(map(repr, same))}: dropped"
    warnings.warn(message, UserWarning, stacklevel=4)
    others = known.remove(same)
    if task.kind not in others.scores.kinds:
        raise ValueError(f"knowledge holds no task of {task.kind} but this very table")
    return others


@lru_cache(maxsize=16)
def _part(known: Knowledge, kind: str, profile: Profile) -> Knowledge:
    """Keep what is to be learned from: with profile="fast" trees are not what a strategy is compared with."""
    of_kind = known.of_kind(kind)
    if not of_kind.strategies:
        raise ValueError("knowledge lacks the strategies themselves: scores.strategies has no column 'json'")
    if profile == "full":
        return of_kind
    quick = [name for name, strategy in of_kind.strategies.items() if strategy.estimator is None]
    if not quick:
        raise ValueError("knowledge holds nothing but estimators of scikit-learn, which profile='fast' leaves out")
    return of_kind.only_strategies(quick)


@lru_cache(maxsize=8)
def _fitted(known: Knowledge) -> Learner:
    """Fit the default learner, once for equal content: that takes longer than a fit of a small table."""
    return learners.default().fit(known.scores, known.descriptions)


def _described(task: Task, known: Knowledge) -> pd.Series[float] | None:
    """Describe the table, and warn where it is unlike all that is known."""
    if known.neighbourhood is None:
        return None
    description = describe_task(task)
    likeness = Likeness.of(description, known.neighbourhood)
    if likeness.is_unlike:
        message = (
            f"this table is unlike all known ones: the nearest, {likeness.nearest!r}, is {likeness.distance:.1f} away, "
            f"and 99% of the known ones have another within {likeness.limit:.1f}"
        )
        warnings.warn(message, DriftWarning, stacklevel=4)
    return description


def _usable(task: Task, known: Knowledge) -> dict[str, Strategy]:
    """Return the strategies that can be run on the task, by their names in the scores."""
    refusals = {name: why_not(task, strategy) for name, strategy in known.strategies.items()}
    usable = {name: strategy for name, strategy in known.strategies.items() if not refusals[name]}
    if not usable:
        raise ValueError(f"knowledge holds no strategy for this table: {next(iter(refusals.values()))}")
    return usable
