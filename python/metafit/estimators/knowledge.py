"""What to try on a table, best first: asked of a learner, or of a fixed order where nothing is known."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import clone

from metafit import learners
from metafit.descriptions import describe_task
from metafit.engine.running import why_not
from metafit.estimators.ranker import Ranker
from metafit.learners import Learner, Ranking
from metafit.scores import Scores, by_metric
from metafit.strategies.alphas import CV
from metafit.strategies.grids import default_strategies
from metafit.strategies.strategy import Strategy
from metafit.study import Study
from metafit.tasks.task import Task

__all__ = ["Advice", "advise", "static_order"]

Profile = Literal["fast", "full"]


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
    if isinstance(knowledge, str) and knowledge == "default":
        if learner is not None:
            raise ValueError("learner has nothing to learn from: knowledge must be a Study, its path, or Scores")
        return _without_knowledge(task)
    scores, descriptions = _read(knowledge)
    scores, descriptions = _unseen(task, scores, descriptions)
    if metric is not None and metric in scores.cells:
        scores = by_metric(scores, metric)
    return _learned(task, scores, descriptions, learner, profile)


def static_order(kind: str) -> list[Strategy]:
    """Return the default strategies in an order for when nothing is known of any task.

    The plain default is first. Then strategies are sorted by feature rule, transform, penalty and
    standardisation, and every sort gives one in turn: the strengths chosen by inner folds first, then from
    medium to extreme.

    Examples
    --------
    >>> [strategy.name for strategy in static_order("regression")[:2]]
    ['squared l2 per_row(1)', 'squared l2 cv']
    """
    plain, *others = default_strategies(kind)
    sorts: dict[Any, list[Strategy]] = defaultdict(list)
    for strategy in others:
        sorts[_sort(strategy)].append(strategy)
    rounds = zip_longest(*map(_from_the_middle, sorts.values()))
    return [plain, *(strategy for turn in rounds for strategy in turn if strategy is not None)]


def _sort(strategy: Strategy) -> Any:
    return type(strategy.features), strategy.transform, strategy.penalty, strategy.standardize


def _from_the_middle(strategies: list[Strategy]) -> list[Strategy]:
    middle = (len(strategies) - 1) / 2
    places = sorted(range(len(strategies)), key=lambda i: abs(i - middle))
    return sorted((strategies[i] for i in places), key=lambda s: not isinstance(s.alpha, CV))


def _without_knowledge(task: Task) -> Advice:
    strategies = static_order(task.kind)
    usable = [strategy for strategy in strategies if not why_not(task, strategy)]
    if not usable:
        raise ValueError(f"no default strategy can serve this table: {why_not(task, strategies[0])}")
    unknown = np.full(len(usable), np.nan)
    reasons = ("no knowledge was given: the plain default first, then one strategy of each sort in turn",)
    return Advice(Ranking(tuple(s.id for s in usable), unknown, unknown.copy(), reasons, fallback=True), usable)


def _read(knowledge: Any) -> tuple[Scores, pd.DataFrame | None]:
    if isinstance(knowledge, Scores):
        return knowledge, None
    if isinstance(knowledge, str | Path):
        knowledge = Study(knowledge)
    if not isinstance(knowledge, Study):
        got = type(knowledge).__name__
        raise TypeError(f"knowledge must be 'default', a Study, the path of one, or Scores, got {got}")
    return knowledge.scores(), knowledge.descriptions()


def _unseen(task: Task, scores: Scores, descriptions: pd.DataFrame | None) -> tuple[Scores, pd.DataFrame | None]:
    """Drop the tasks that are this very table: what was seen on it would decide its own case."""
    if task.kind not in scores.kinds:
        raise ValueError(f"knowledge holds tasks of {' and '.join(scores.kinds)}, none of {task.kind}")
    if "fingerprint" not in scores.tasks:
        return scores, descriptions
    same = scores.tasks.index[scores.tasks["fingerprint"] == task.fingerprint].tolist()
    if same:
        # it is the caller of fit who should hear of it
        message = f"knowledge holds this very table as {', '.join(map(repr, same))}: dropped"
        warnings.warn(message, UserWarning, stacklevel=4)
    others = scores.without_tasks(same)
    if task.kind not in others.kinds:
        raise ValueError(f"knowledge holds no task of {task.kind} but this very table")
    return others, descriptions


def _learned(
    task: Task, scores: Scores, descriptions: pd.DataFrame | None, learner: Learner | None, profile: Profile
) -> Advice:
    scores = scores.of_kind(task.kind)
    usable = _usable(task, scores, profile)
    fitted = (learners.default() if learner is None else clone(learner)).fit(scores, descriptions)
    description = None if descriptions is None else describe_task(task)
    ranker = Ranker(fitted, description, tuple(usable), scores, descriptions)
    ranking = ranker.rank({})
    return Advice(ranking, [usable[name] for name in ranking], ranker)


def _usable(task: Task, scores: Scores, profile: Profile) -> dict[str, Strategy]:
    """Return the strategies that can be run on the task, by their names in the scores."""
    if "json" not in scores.strategies:
        raise ValueError("knowledge lacks the strategies themselves: scores.strategies has no column 'json'")
    written = scores.strategies["json"].dropna()
    strategies = {str(name): Strategy.from_json(text) for name, text in written.items()}
    usable = {
        name: strategy
        for name, strategy in strategies.items()
        if not why_not(task, strategy) and (profile == "full" or strategy.estimator is None)
    }
    if not usable:
        refused = [reason for strategy in strategies.values() if (reason := why_not(task, strategy))]
        why = refused[0] if refused else "with profile='fast' estimators of scikit-learn are left out"
        raise ValueError(f"knowledge holds no strategy for this table: {why}")
    return usable
