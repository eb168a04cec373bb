"""How long strategies take: what they cost, and which of those that give the same fit is the fastest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import RidgeCV
from sklearn.utils.validation import check_is_fitted

from metafit.learners.base import Ranking
from metafit.learners.duels import Duels
from metafit.learners.leaf_weights import LeafWeights
from metafit.learners.meta_features import MetaFeatures
from metafit.learners.table import FloatArray
from metafit.scores import Scores

# the resolution of clocks: nothing is taken to be faster
_LEAST_SECONDS = 1e-7
_STRENGTHS = np.logspace(-3, 3, 13)
# tasks that make a line, and standard deviations beyond which it is not drawn on
_FEWEST, _FAR = 3, 5.0
# trees of a duel, and tasks that a leaf holds at least: fewer would take one long run for the rule
_DUEL_TREES, _DUEL_TASKS = 100, 3


class Runtimes(BaseEstimator):  # type: ignore[misc]
    """Predict the seconds of each strategy from the description of a task.

    The logarithm of the seconds is linear in the standardised meta-features (costs are products of powers of sizes), by
    a ridge regression for each strategy. Where a strategy was timed on `min_tasks_trees` tasks or more, extremely
    randomised trees learn what that leaves, and expected seconds are the mean over the tasks of their leaves: one that
    now and then takes for ever counts so. Elsewhere the errors are taken to be log-normal, with the variance on tasks
    left out one by one. Seconds seen on the task itself show how fast the machine is, and shift all predictions.

    `fastest` answers another question: which strategy to run where several give the same fit, such as the solvers of
    one problem. Duels decide, in which a task counts the seconds that a wrong choice loses on it: these add up.

    It is asked as a `BaseLearner` is, by `fit`, `expect` and `rank`, but is none of the registry: what it expects and
    what it is told of the task are seconds, not losses, so neither can stand in the place of the other.

    Parameters
    ----------
    n_trees : int
    min_tasks_trees : int
    random_state : int

    Attributes
    ----------
    strategies_ : Index of str
    error_ : Series of float
        Index strategy: standard deviation of log seconds on tasks left out; NaN for one never timed.

    Notes
    -----
    Hutter, Xu, Hoos and Leyton-Brown (2014), Algorithm runtime prediction: methods and evaluation, Artificial
    Intelligence 206, for logarithms and forests; Duan (1983), Smearing estimate, JASA 78, for means of exponentials.

    Examples
    --------
    >>> sizes = pd.DataFrame({"log_rows": np.linspace(1, 4, 25)}, index=[f"t{k}" for k in range(25)])
    >>> seconds = {"cubic": 1e-6 * 10.0 ** (3 * sizes["log_rows"]), "linear": 1e-2 * 10.0 ** sizes["log_rows"]}
    >>> frame = pd.DataFrame(seconds).rename_axis("task").reset_index().melt("task", None, "strategy", "seconds")
    >>> model = Runtimes().fit(Scores.from_frame(frame.assign(loss=0.5)), sizes)
    >>> model.rank({"log_rows": 1.5}).strategies, model.rank({"log_rows": 3.5}).strategies
    (('cubic', 'linear'), ('linear', 'cubic'))
    >>> model.fastest(pd.DataFrame({"log_rows": [1.0, 4.0]}, index=["small", "large"])).to_dict()
    {'small': 'cubic', 'large': 'linear'}
    """

    def __init__(self, n_trees: int = 50, min_tasks_trees: int = 200, random_state: int = 0) -> None:
        self.n_trees = n_trees
        self.min_tasks_trees = min_tasks_trees
        self.random_state = random_state

    def fit(self, scores: Scores, descriptions: pd.DataFrame | None = None) -> Self:
        """Learn from the seconds of training tasks; a hole is left out.

        Parameters
        ----------
        scores : Scores
            With the column ``seconds`` of `Scores.cells`.
        descriptions : DataFrame, optional
            Index task. Without it each strategy has its mean.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If no cell was timed.
        """
        seconds = scores.matrix("seconds").dropna(how="all")
        if seconds.empty:
            raise ValueError(f"scores hold no seconds to learn from: {scores!r}")
        self.strategies_ = scores.strategies.index
        self._seconds = seconds.to_numpy(dtype=float)
        logs = np.log(np.maximum(self._seconds, _LEAST_SECONDS))
        self._features = MetaFeatures.of(descriptions, seconds.index)
        self._known = self._rows(None if self._features is None else self._features.known, len(logs))
        self._models = [self._model(self._known, column) for column in logs.T]
        self._duels: dict[tuple[int, ...], Duels] = {}
        self.error_ = pd.Series([model.error if model else np.nan for model in self._models], self.strategies_)
        return self

    def expect(self, descriptions: pd.DataFrame) -> FloatArray:
        """Give the expected seconds of every strategy on many tasks.

        Parameters
        ----------
        descriptions : DataFrame
            A row per task, columns meta-features.

        Returns
        -------
        ndarray of shape (n_tasks, n_strategies)
            In the order of ``strategies_``; NaN for a strategy that was never timed.
        """
        check_is_fitted(self, "strategies_")
        rows = self._rows(None if self._features is None else self._features.rows(descriptions), len(descriptions))
        nothing = np.full(len(descriptions), np.nan)
        return np.array([nothing if model is None else model.expect(rows) for model in self._models]).T

    def rank(
        self,
        description: Any = None,
        observed: Mapping[str, float] | None = None,
        candidates: Iterable[str] | None = None,
    ) -> Ranking:
        """Order strategies by their expected seconds on a task, the fastest first.

        Parameters
        ----------
        description : Series or mapping, optional
            The task's meta-features.
        observed : mapping of strategy to seconds, optional
            Seconds already seen on this task, NaN for none; they shift what is expected of all others.
        candidates : iterable of str, optional
            Rank these only; those never timed come last.

        Returns
        -------
        Ranking
            Its ``expected_loss`` and ``std`` are in seconds.
        """
        check_is_fitted(self, "strategies_")
        names = list(self.strategies_ if candidates is None else map(str, candidates))
        seconds = np.asarray(self._expected(description, observed or {}).reindex(names), dtype=np.float64)
        spread = pd.Series(np.sqrt(np.expm1(self.error_.to_numpy(dtype=float) ** 2)), self.strategies_)
        std = seconds * np.asarray(spread.reindex(names), dtype=np.float64)
        order = np.argsort(np.where(np.isnan(seconds), np.inf, seconds), kind="stable")
        reasons = ("by the seconds that are expected of each strategy",)
        return Ranking(tuple(names[i] for i in order), seconds[order], std[order], reasons)

    def fastest(self, descriptions: pd.DataFrame, candidates: Iterable[str] | None = None) -> pd.Series[str]:
        """Name the strategy with which the least time is lost, for many tasks.

        Parameters
        ----------
        descriptions : DataFrame
            A row per task, columns meta-features.
        candidates : iterable of str, optional
            Strategies that serve these tasks, timed on tasks in common.

        Returns
        -------
        Series of str
            Index task.

        Raises
        ------
        ValueError
            If no candidate was ever timed.
        """
        check_is_fitted(self, "strategies_")
        names = list(self.strategies_ if candidates is None else map(str, candidates))
        timed = np.isfinite(self._seconds).any(axis=0)
        present = tuple(int(i) for i in self.strategies_.get_indexer(pd.Index(names)) if i >= 0 and timed[i])
        if not present:
            raise ValueError(f"none of {names} was timed")
        rows = self._rows(None if self._features is None else self._features.rows(descriptions), len(descriptions))
        if present not in self._duels:
            self._duels[present] = self._fought(present)
        lost = self._duels[present].differences(rows if rows.shape[1] else np.zeros((len(rows), 1))).mean(axis=2)
        return pd.Series(self.strategies_[np.array(present)[lost.argmin(axis=1)]], descriptions.index)

    def _fought(self, present: tuple[int, ...]) -> Duels:
        """Let strategies meet on the tasks where they were timed."""
        return Duels(
            # trees split on something: without meta-features all tasks are alike
            self._known if self._known.shape[1] else np.zeros((len(self._known), 1)),
            self._seconds[:, present],
            n_trees=_DUEL_TREES,
            min_tasks=_DUEL_TASKS,
            max_features="sqrt",
            random_state=self.random_state,
        )

    def _expected(self, description: Any, observed: Mapping[str, float]) -> pd.Series[float]:
        row = pd.DataFrame([pd.Series({} if description is None else description, dtype=float)])
        expected = pd.Series(self.expect(row)[0], self.strategies_)
        seen = pd.Series(observed, dtype=float).reindex(self.strategies_).clip(lower=_LEAST_SECONDS)
        off = np.log(seen.to_numpy(dtype=float)) - np.log(expected.to_numpy(dtype=float))
        known = off[np.isfinite(off)]
        # as if one more strategy had run as expected
        return seen.where(seen.notna(), expected * np.exp(known.sum() / (len(known) + 1)))

    def _rows(self, rows: FloatArray | None, n_rows: int) -> FloatArray:
        if rows is None or self._features is None:
            return np.empty((n_rows, 0))
        return self._features.complete(rows)

    def _model(self, known: FloatArray, logs: FloatArray) -> _LogSeconds | None:
        timed = np.isfinite(logs)
        if not timed.any():
            return None
        n_trees = self.n_trees if timed.sum() >= self.min_tasks_trees else 0
        return _LogSeconds.fit(known[timed], logs[timed], n_trees, self.random_state)


@dataclass(frozen=True, eq=False)
class _LogSeconds:
    """A line through log seconds, and what it leaves; without columns, or with few tasks, the line is flat."""

    mean: FloatArray
    scale: FloatArray
    line: Any
    left: FloatArray
    trees: LeafWeights | None
    error: float

    @classmethod
    def fit(cls, known: FloatArray, logs: FloatArray, n_trees: int, random_state: int) -> _LogSeconds:
        mean, scale = known.mean(axis=0), known.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        if len(logs) < _FEWEST or not known.shape[1]:
            line = DummyRegressor().fit(known, logs)
            return cls(mean, scale, line, np.empty(0), None, float(logs.std()))
        inputs = (known - mean) / scale
        line = RidgeCV(_STRENGTHS, store_cv_results=True).fit(inputs, logs)
        if not n_trees:
            left_out = line.cv_results_[:, list(_STRENGTHS).index(line.alpha_)]
            return cls(mean, scale, line, np.empty(0), None, float(np.sqrt(left_out.mean())))
        left = logs - line.predict(inputs)
        trees = LeafWeights(
            inputs, left[:, None], n_trees=n_trees, min_rows=2, random_state=random_state, bootstrap=True
        )
        error = np.sqrt(np.mean((left - trees.out_of_bag() @ left) ** 2))
        return cls(mean, scale, line, left, trees, float(error))

    def expect(self, rows: FloatArray) -> FloatArray:
        """Give expected seconds."""
        inputs = np.clip((rows - self.mean) / self.scale, -_FAR, _FAR)
        around = np.exp(self.error**2 / 2) if self.trees is None else self.trees.of(inputs) @ np.exp(self.left)
        return np.asarray(np.exp(self.line.predict(inputs)) * around)
