"""Cross-validation of a list of strategies, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import Tags

from metafit.engine.fitted import FittedStrategy, refit
from metafit.engine.running import FoldResult, run_strategies
from metafit.strategies.strategy import Strategy
from metafit.tasks.task import Task

__all__ = ["Trials", "cross_validate", "splits_of"]

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Scorer = Callable[[Any, Any, Any], float]

#: Scores that the engine computes, by their names as scorers, and the sign that makes higher better.
_ENGINE_SCORES = {
    "neg_mean_squared_error": ("mean_squared_error", -1.0),
    "r2": ("r2_score", 1.0),
    "neg_log_loss": ("log_loss", -1.0),
    "neg_brier_score": ("brier_score_loss", -1.0),
    "accuracy": ("accuracy_score", 1.0),
    "roc_auc": ("roc_auc_score", 1.0),
}
_DEFAULT_SCORE = {"regression": "neg_mean_squared_error", "classification": "neg_log_loss"}
#: Strategies a chunk: the clock is read between chunks, and a first small one says what a strategy costs.
_CHUNKS = (1, 3, 4)


@dataclass(frozen=True, eq=False)
class Trials:
    """Strategies with their held-out scores; higher is better.

    Attributes
    ----------
    strategies : list of Strategy
    scores, seconds : array, shape (n_strategies, n_folds)
        NaN where there is no fit that can be trusted.
    status : list of str
        "ok", or how the strategy first failed.
    """

    strategies: list[Strategy]
    scores: Floats
    seconds: Floats
    status: list[str]

    @property
    def means(self) -> Floats:
        """Mean score over the folds on which any strategy worked; NaN for a strategy that failed on one."""
        anyone = np.isfinite(self.scores).any(axis=0)
        if not anyone.any():
            return np.full(len(self.scores), np.nan)
        return np.asarray(self.scores[:, anyone].mean(axis=1))

    @property
    def order(self) -> NDArray[np.intp]:
        """Positions of the strategies, best first; those that failed last, equally good ones as they came."""
        return np.argsort(np.where(np.isnan(self.means), np.inf, -self.means), kind="stable")

    def results(self) -> dict[str, Any]:
        """Return the arrays of `cv_results_`."""
        rank = np.empty(len(self.order), dtype=np.int32)
        rank[self.order] = np.arange(1, len(self.order) + 1)
        anyone = np.isfinite(self.scores).any(axis=0)
        spread = self.scores[:, anyone].std(axis=1) if anyone.any() else self.means
        return {
            "strategy": _objects(self.strategies),
            "name": _objects([strategy.name for strategy in self.strategies]),
            "status": _objects(self.status),
            "mean_fit_time": _known_mean(self.seconds),
            **{f"split{k}_test_score": column for k, column in enumerate(self.scores.T)},
            "mean_test_score": self.means,
            "std_test_score": spread,
            "rank_test_score": rank,
        }


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _known_mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    totals = np.where(known, values, 0.0).sum(axis=1)
    means = np.divide(totals, known.sum(axis=1), out=np.full(len(values), np.nan), where=known.any(axis=1))
    return np.asarray(means)


def splits_of(task: Task, cv: Any, random_state: int | None) -> list[tuple[Rows, Rows]]:
    """Return the folds that `cv` stands for; an int keeps groups together and class proportions alike.

    Raises
    ------
    ValueError
        If there are fewer rows or groups than folds, or a fold has an empty side.
    """
    if cv is None or isinstance(cv, int | np.integer):
        splitter = _splitter(task, 5 if cv is None else int(cv), random_state)
    else:
        splitter = check_cv(cv, task.y)
    found = splitter.split(np.zeros(task.n_rows), task.y, task.groups)
    pairs = [(np.asarray(train), np.asarray(test)) for train, test in found]
    for train, test in pairs:
        if not len(train) or not len(test):
            raise ValueError("cv has a fold without training rows or without held-out rows")
    return pairs


def _splitter(task: Task, folds: int, random_state: int | None) -> Any:
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): KFold,
        (True, False): StratifiedKFold,
        (False, True): GroupKFold,
        (True, True): StratifiedGroupKFold,
    }
    kind = kinds[task.classes is not None, task.groups is not None]
    return kind(folds) if random_state is None else kind(folds, shuffle=True, random_state=random_state)


def cross_validate(
    task: Task,
    strategies: Sequence[Strategy],
    splits: Sequence[tuple[Rows, Rows]],
    *,
    scoring: str | Scorer | None,
    time_limit: float | None,
    n_threads: int | None,
) -> Trials:
    """Score strategies on held-out rows until they or the time are used up; the first one always.

    Raises
    ------
    ValueError
        If there is no such scoring.
    """
    name = _DEFAULT_SCORE[task.kind] if scoring is None else scoring
    by_engine = isinstance(name, str) and name in _ENGINE_SCORES
    scorer = None if by_engine else check_scoring(_Model(None, task), scoring=name)
    deadline = np.inf if time_limit is None else time.monotonic() + time_limit
    results: list[FoldResult] = []
    scores: list[Floats] = []
    for chunk in _chunks(strategies, time_limit is not None):
        if results and time.monotonic() >= deadline:
            break
        found = run_strategies(task, chunk, splits, n_threads=n_threads)
        results += found
        scores.append(
            _engine_scores(found, str(name)) if scorer is None else _scorer_scores(task, chunk, splits, found, scorer)
        )
    shape = (-1, len(splits))
    seconds = np.array([result.seconds for result in results]).reshape(shape)
    done = list(strategies[: len(seconds)])
    return Trials(done, np.concatenate(scores).reshape(shape), seconds, _statuses(results, len(splits)))


def _chunks(strategies: Sequence[Strategy], against_time: bool) -> Iterator[Sequence[Strategy]]:
    if not against_time:
        yield strategies
        return
    start, sizes = 0, iter(_CHUNKS)
    while start < len(strategies):
        size = next(sizes, _CHUNKS[-1])
        yield strategies[start : start + size]
        start += size


def _statuses(results: list[FoldResult], n_folds: int) -> list[str]:
    groups = [results[i : i + n_folds] for i in range(0, len(results), n_folds)]
    return [next((result.status for result in group if result.status != "ok"), "ok") for group in groups]


def _engine_scores(results: list[FoldResult], name: str) -> Floats:
    metric, sign = _ENGINE_SCORES[name]
    values = [result.metrics.get(metric, np.nan) if result.status == "ok" else np.nan for result in results]
    return sign * np.array(values)


def _scorer_scores(
    task: Task,
    strategies: Sequence[Strategy],
    splits: Sequence[tuple[Rows, Rows]],
    results: list[FoldResult],
    scorer: Scorer,
) -> Floats:
    """Score by any scorer of scikit-learn: it wants a fitted model, so every fold is fitted once more."""
    jobs = [(strategy, *split) for strategy in strategies for split in splits]
    return np.array(
        [
            _scorer_score(task, *job, scorer) if result.status == "ok" else np.nan
            for job, result in zip(jobs, results, strict=True)
        ]
    )


def _scorer_score(task: Task, strategy: Strategy, train: Rows, test: Rows, scorer: Scorer) -> float:
    fitted = refit(task.take(train), strategy)
    held_out = task.take(test)
    y = held_out.y if task.classes is None else task.classes[held_out.y]
    return float(scorer(_Model(fitted, task), held_out.X, y))


class _Model(BaseEstimator):  # type: ignore[misc]
    """A fitted strategy as scorers want it."""

    def __init__(self, fitted: FittedStrategy | None, task: Task) -> None:
        self.fitted = fitted
        self.task = task
        if task.classes is not None:
            self.classes_ = task.classes

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor" if self.task.classes is None else "classifier"
        return tags

    def fit(self, X: Any, y: Any) -> None:
        """Exist: scorers are only made for what can be fitted."""

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict values or labels."""
        assert self.fitted is not None
        return self.fitted.predict(X)

    def predict_proba(self, X: Any) -> Floats:
        """Predict probabilities."""
        assert self.fitted is not None
        return self.fitted.predict_proba(X)
