"""What a learner is: it fits on `Scores` and ranks strategies for a task that it has not seen.

A learner knows the scores table and the tasks' descriptions, never the tasks themselves: it works as well on
a table that somebody else measured. The base below does what all share; a newcomer says how it learns and
what it advises.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from metafit.learners.table import FloatArray, IntArray, RegretTable
from metafit.scores import Scores, normalized_regret
from metafit.strategies import Strategy

# tasks that reasons name
N_NAMED = 5


@dataclass(frozen=True, eq=False)
class Ranking:
    """Strategies in the order in which to try them on one task.

    Attributes
    ----------
    strategies : tuple of str
        Best first: if only one can be tried, the first; with a budget of b, the first b.
    expected_loss : ndarray of shape (n_strategies,)
        Expected normalised regret of each, in that order: 0 as good as the best, 1 no skill (or no better
        than failing). NaN where nothing is known. It need not ascend: the second to try should be good where
        the first is not.
    std : ndarray of shape (n_strategies,)
        Standard deviation of that regret from task to task; 0 for what was observed.
    reasons : tuple of str
        Sentences for people, the weightiest first.
    neighbours : DataFrame or None
        The tasks that were weighed, nearest first: index task, columns ``distance``, ``weight``, and ``lead``, by how
        much each puts the strategy of the lowest expected regret ahead of the next: its weight times the difference of
        their regrets on it.
    fallback : bool
        True if the learner had nothing to say about this task and gave what it would give for any.
    gain : ndarray of shape (n_strategies,) or None
        By how much each is expected to lower the best loss observed on the task, in units of the relative loss; 0 for
        what was observed, None where nothing was or the learner cannot say.
    """

    strategies: tuple[str, ...]
    expected_loss: FloatArray
    std: FloatArray
    reasons: tuple[str, ...] = ()
    neighbours: pd.DataFrame | None = None
    fallback: bool = False
    gain: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.strategies)

    def __iter__(self) -> Iterator[str]:
        return iter(self.strategies)

    def __getitem__(self, position: int) -> str:
        return self.strategies[position]

    @property
    def decided_by(self) -> tuple[str, ...]:
        """The tasks that the reasons name, at most five: those that put the first strategy most ahead of the next."""
        return () if self.neighbours is None else tuple(decided_by(self.neighbours))

    def to_frame(self) -> pd.DataFrame:
        """Give a row per strategy, best first: columns ``expected_loss`` and ``std``."""
        index = pd.Index(self.strategies, name="strategy", dtype="str")
        return pd.DataFrame({"expected_loss": self.expected_loss, "std": self.std}, index=index)

    def __repr__(self) -> str:
        top = ", ".join(self.strategies[:3]) + (", ..." if len(self) > 3 else "")
        return f"Ranking({len(self)} strategies: {top}{'; fallback' if self.fallback else ''})"


@runtime_checkable
class Learner(Protocol):
    """Whatever fits on scores and ranks strategies; `metafit.testing.check_learner` says whether it does."""

    def fit(self, scores: Scores, descriptions: pd.DataFrame | None = None) -> Self:
        """Learn from the scores of one kind of tasks."""

    def rank(
        self,
        description: Any = None,
        observed: Mapping[str, float] | None = None,
        candidates: Iterable[str] | None = None,
    ) -> Ranking:
        """Order strategies for a task."""


@dataclass(frozen=True)
class Advice:
    """What one learner says of the strategies it knows, by their position in ``strategies_``.

    Attributes
    ----------
    order : ndarray of int
        The whole pool, best first.
    expected, std : ndarray of shape (n_strategies,)
    reasons, neighbours, fallback, gain
        See `Ranking`.
    """

    order: IntArray
    expected: FloatArray
    std: FloatArray
    reasons: tuple[str, ...] = field(default=())
    neighbours: pd.DataFrame | None = None
    fallback: bool = False
    gain: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Opinion:
    """What one learner expects of the strategies it knows, before any order is made of it or reason given.

    Attributes
    ----------
    expected, std : ndarray of shape (n_strategies,)
    weights : ndarray of shape (n_tasks,) or None
        Of the training tasks, where it weighs them.
    fallback : bool
        See `Ranking`.
    is_mean : bool
        The expectation is the mean over the training tasks under these weights: without some of them it is another.
    """

    expected: FloatArray
    std: FloatArray
    weights: FloatArray | None
    fallback: bool
    is_mean: bool = False


class BaseLearner(BaseEstimator):  # type: ignore[misc]
    """The part that all learners share: checks, the regret table, the places of the observed and the unknown.

    A subclass gives ``_advise`` (or ``_advise_observed``, if it learns from losses seen on the task) and, if it keeps
    more than the regret table, ``_learn``.

    Attributes
    ----------
    strategies_ : Index of str
    names_ : list of str
        Readable names of the strategies.
    tasks_ : Index of str
        Training tasks with at least one cell.
    regret_ : ndarray of shape (n_tasks, n_strategies)
        Normalised regret on the training tasks, failures tied last, NaN for a hole.
    coverage_, mean_regret_, std_regret_ : ndarray of shape (n_strategies,)
    """

    learns = True  # False for baselines that ignore the losses

    def fit(self, scores: Scores, descriptions: pd.DataFrame | None = None) -> Self:
        """Learn from the scores of training tasks.

        Parameters
        ----------
        scores : Scores
            Tasks of one kind; all seeds in it are averaged.
        descriptions : DataFrame, optional
            Index task, columns meta-features. Tasks that are not in `scores` are ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the scores mix kinds, or hold no cell.
        """
        if len(scores.kinds) > 1:
            raise ValueError(f"scores mix the kinds {scores.kinds}: fit on scores.of_kind(...), one at a time")
        regret = scores.regret().dropna(axis=0, how="all")
        if regret.empty:
            raise ValueError(f"scores hold no attempted cell to learn from: {scores!r}")
        self.strategies_, self.tasks_ = scores.strategies.index, regret.index
        self._ids = self.strategies_.to_list()
        self._place = {name: place for place, name in enumerate(self._ids)}
        self._about = scores.strategies
        self.names_ = [str(name) for name in scores.strategies["name"]]
        self._table = RegretTable(regret.to_numpy())
        self.regret_, self.coverage_ = self._table.regret, self._table.coverage
        self.mean_regret_, self.std_regret_ = self._table.moments(np.ones(len(regret)))
        self._learn(scores, _with_text_index(descriptions))
        return self

    def rank(
        self,
        description: Any = None,
        observed: Mapping[str, float] | None = None,
        candidates: Iterable[str | Strategy] | None = None,
    ) -> Ranking:
        """Order strategies for a task, best first.

        Parameters
        ----------
        description : Series, mapping or one-row DataFrame, optional
            The task's meta-features.
        observed : mapping of strategy to loss, optional
            Losses u already seen on this very task; NaN for a failure. What was observed stands first, lowest
            loss first, so that the first of the ranking is always the one to use now; what follows is the
            order to go on in.
        candidates : iterable of str or Strategy, optional
            Rank these only. Those that were never attempted in training come last, in the order given, unless the
            learner knows strategies by their hyper-parameters (`infers`) and they are given as `Strategy` or listed in
            the scores.

        Returns
        -------
        Ranking

        Raises
        ------
        ValueError
            If a candidate is there twice.
        """
        check_is_fitted(self, "strategies_")
        given = self._ids if candidates is None else list(candidates)
        names = [one.id if isinstance(one, Strategy) else str(one) for one in given]
        new = [one for one in given if isinstance(one, Strategy) and one.id not in self._place]
        asked = set(names)
        if len(asked) < len(names):
            raise ValueError(f"candidates hold {_first_twice(names)!r} twice")
        seen = _in_order_of_loss({name: loss for name, loss in (observed or {}).items() if name in asked})
        if new and self.infers(bool(seen)):
            return self._listing(_described(new)).rank(description, observed, names)
        pool, tried = np.sort(self._positions(names)), self._positions(seen)
        losses = np.array([loss for name, loss in seen.items() if name in self._place], dtype=float)
        return self._ranking(self._advise_observed(_as_series(description), pool, tried, losses), names, seen)

    def _learn(self, scores: Scores, descriptions: pd.DataFrame | None) -> None:
        """Keep what `_advise` needs beyond the regret table."""

    def _advise(self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray) -> Advice:
        """Order the strategies at positions `pool`; those at `tried` were tried on this task already."""
        raise NotImplementedError

    def _advise_observed(
        self, description: pd.Series[Any] | None, pool: IntArray, tried: IntArray, losses: FloatArray
    ) -> Advice:
        """Order the pool; a learner that learns nothing from the losses of those tried gives `_advise` alone."""
        return self._advise(description, pool, tried)

    def _opinion(self, description: pd.Series[Any] | None, pool: IntArray) -> Opinion:
        """Say what is expected of the pool; a learner gives it itself if that is quicker than to advise."""
        nothing = np.empty(0, dtype=np.intp)
        advice = self._advise_observed(description, pool, nothing, np.empty(0))
        weights = None
        if advice.neighbours is not None:
            weights = np.zeros(len(self.tasks_))
            weights[self.tasks_.get_indexer(advice.neighbours.index)] = advice.neighbours["weight"]
        return Opinion(advice.expected, advice.std, weights, advice.fallback)

    def expect(self, descriptions: pd.DataFrame) -> FloatArray:
        """Give the expected normalised regret of every strategy on many tasks.

        Parameters
        ----------
        descriptions : DataFrame
            A row per task, columns meta-features.

        Returns
        -------
        ndarray of shape (n_tasks, n_strategies)
            In the order of ``strategies_``; NaN where nothing is known.
        """
        check_is_fitted(self, "strategies_")
        pool = np.arange(len(self.strategies_))
        rows = [self._opinion(row, pool).expected for _, row in descriptions.iterrows()]
        return np.array(rows).reshape(-1, len(pool))

    def infers(self, observed: bool = False) -> bool:
        """Say whether strategies that were never attempted are ranked by their hyper-parameters.

        Parameters
        ----------
        observed : bool
            After losses were observed on the task.
        """
        return False

    def _infer(self) -> None:
        """Prepare for the strategies in ``_about`` that were never attempted."""

    def _listing(self, strategies: pd.DataFrame) -> Self:
        """Give a copy that lists further strategies, as if they had been in the scores without a cell."""
        longer = copy.copy(self)
        longer._about = pd.concat([self._about, strategies])
        longer.strategies_ = longer._about.index
        longer._ids = longer.strategies_.to_list()
        longer._place = {name: place for place, name in enumerate(longer._ids)}
        longer.names_ = [*self.names_, *map(str, strategies["name"])]
        longer._table = RegretTable(np.pad(self.regret_, ((0, 0), (0, len(strategies))), constant_values=np.nan))
        longer.regret_, longer.coverage_ = longer._table.regret, longer._table.coverage
        nothing = np.full(len(strategies), np.nan)
        longer.mean_regret_ = np.append(self.mean_regret_, nothing)
        longer.std_regret_ = np.append(self.std_regret_, nothing)
        longer._infer()
        return longer

    def _ranking(self, advice: Advice, names: list[str], seen: dict[str, float]) -> Ranking:
        learned = [self._ids[i] for i in advice.order if self._ids[i] not in seen]
        placed = {*seen, *learned}
        order = [*seen, *learned, *(name for name in names if name not in placed)]
        known = self._positions(learned)
        unknown = np.full(len(order) - len(seen) - len(learned), np.nan)
        expected = np.concatenate([_observed_regret(seen), advice.expected[known], unknown])
        std = np.concatenate([np.zeros(len(seen)), advice.std[known], unknown])
        gain = None if advice.gain is None else np.concatenate([np.zeros(len(seen)), advice.gain[known], unknown])
        return Ranking(tuple(order), expected, std, advice.reasons, advice.neighbours, advice.fallback, gain)

    def _positions(self, names: Iterable[str]) -> IntArray:
        """Give the positions of those names that are known."""
        return np.array([self._place[name] for name in names if name in self._place], dtype=np.intp)

    def _deciding(self, weights: FloatArray, standing: IntArray) -> pd.DataFrame:
        """Give the tasks that have weight, the heaviest first."""
        order = np.argsort(-weights, kind="stable")
        order = order[weights[order] > 0]
        columns = {"distance": 1 - weights[order] / weights.max(), "weight": weights[order]}
        return pd.DataFrame(columns | {"lead": self._leads(weights, standing)[order]}, index=self.tasks_[order])

    def _leads(self, weights: FloatArray, standing: IntArray) -> FloatArray:
        """Give by how much each task puts the first that stands ahead of the next; 0 where it lacks one of them."""
        if len(standing) < 2:
            return np.zeros(len(weights))
        first, second = self._table.regret[:, standing[:2]].T
        return np.asarray(np.nan_to_num(weights * (second - first)))

    def _named(self, neighbours: pd.DataFrame) -> IntArray:
        """Give the positions of the training tasks that reasons name."""
        return self.tasks_.get_indexer(decided_by(neighbours))

    def _without(self, weights: FloatArray, named: IntArray) -> FloatArray:
        """Give the weighted mean regrets of all strategies if some tasks had no weight."""
        others = weights.copy()
        others[named] = 0.0
        return self._table.means(others)

    def _counterfactual(self, first: int, instead: int, n_named: int) -> str:
        """Say what would stand first without the tasks that are named."""
        if first == instead:
            return f"without these {n_named} tasks {self.names_[first]} would still come first"
        return f"without these {n_named} tasks {self.names_[instead]} would come first"

    def _like_reasons(self, neighbours: pd.DataFrame, standing: IntArray) -> tuple[str, ...]:
        """Name the tasks that decided between the first that stands and the next."""
        if not len(standing):
            return ()
        named = self._named(neighbours)
        first = standing[:2]
        weights = neighbours["weight"].to_numpy()[neighbours.index.get_indexer(self.tasks_[named])]
        return tuple(
            f"like {task} (weight {weight:.2f}), where "
            + ", ".join(f"{self.names_[j]} had a regret of {self._table.regret[place, j]:.2f}" for j in first)
            for task, place, weight in zip(self.tasks_[named], named, weights, strict=True)
        )

    def _standing(self, expected: FloatArray, pool: IntArray, min_coverage: float) -> IntArray:
        """Order the pool by expected regret; the rarely attempted follow, those never attempted are last."""
        # what was never attempted has no luck: it has a place if anything is known of it
        coverage = self.coverage_[pool]
        rare = (coverage > 0) & (coverage < min_coverage * self.coverage_.max())
        unknown = np.isnan(expected[pool])
        keys = (np.arange(len(pool)), np.where(unknown, 0, expected[pool]), rare, unknown)
        return pool[np.lexsort(keys)]


def decided_by(neighbours: pd.DataFrame) -> pd.Index[str]:
    """Give the tasks with the largest lead; the nearest where none has one, as nothing tells the first two apart."""
    lead = neighbours["lead"].to_numpy()
    largest = np.argsort(-lead, kind="stable")[:N_NAMED]
    largest = largest[lead[largest] > 0]
    return neighbours.index[largest] if len(largest) else neighbours.index[:N_NAMED]


def _described(strategies: list[Strategy]) -> pd.DataFrame:
    """Give rows as those of ``Scores.strategies``."""
    rows = {one.id: {"name": one.name, "kind": one.kind, "json": one.to_json()} for one in strategies}
    return pd.DataFrame.from_dict(rows, orient="index")


def _observed_regret(seen: dict[str, float]) -> FloatArray:
    losses = np.array(list(seen.values()), dtype=float)
    best = np.nanmin(losses) if np.isfinite(losses).any() else 1.0
    return np.where(np.isnan(losses), 1.0, normalized_regret(losses, best))


def _in_order_of_loss(observed: dict[str, float]) -> dict[str, float]:
    ordered = sorted(observed.items(), key=lambda item: np.inf if np.isnan(item[1]) else item[1])
    return {name: float(loss) for name, loss in ordered}


def _as_series(description: Any) -> pd.Series[Any] | None:
    if description is None:
        return None
    if isinstance(description, pd.DataFrame):
        if len(description) != 1:
            raise ValueError(f"description has {len(description)} rows; rank takes one task at a time")
        return description.iloc[0]
    return pd.Series(description)


def _with_text_index(descriptions: pd.DataFrame | None) -> pd.DataFrame | None:
    if descriptions is None:
        return None
    index = descriptions.index.map(str)
    if index.has_duplicates:
        raise ValueError(f"descriptions hold the task {index[index.duplicated()][0]!r} twice")
    return descriptions.set_axis(index, axis=0)


def _first_twice(names: list[str]) -> str:
    return next(name for position, name in enumerate(names) if name in names[:position])
