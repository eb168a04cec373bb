"""Rank, evaluate, rank again: which strategies are tried on a table, how far, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metafit.engine.batches import Options
from metafit.engine.rows import FoldRows
from metafit.engine.running import fold_rows, run_folds
from metafit.estimators.folds import Split, first_look
from metafit.estimators.held_out import HeldOut, Scoring
from metafit.estimators.plans import Planner
from metafit.estimators.trials import Trial, Trials, clearly_worse
from metafit.tasks.task import Task

__all__ = ["EFFORTS", "Effort", "Search"]

#: Strategies a round. Against time the first is alone: it says what a strategy costs.
_ROUND, _AGAINST_TIME = 4, (1, 3)
#: Share of the loss without skill by which a strategy must be worse on a sample: with more rows it may catch up.
_CATCH_UP = 0.1


@dataclass(frozen=True)
class Effort:
    """How far a search goes.

    Attributes
    ----------
    n_errors : float
        Standard errors by which a strategy must be worse on the first fold not to be finished: see `clearly_worse`.
    least_gain : float
        Expected improvement of the relative loss below which another strategy is not worth its fits.
    is_patient : bool
        Go on after a round in which nothing was better than what was tried before.
    """

    n_errors: float
    least_gain: float
    is_patient: bool


#: "fast" spends on a table of 2,000 rows about what one boosting of a hundred trees does.
EFFORTS = {"fast": Effort(1.0, 5e-3, is_patient=False), "full": Effort(3.0, 1e-3, is_patient=True)}


class Search:
    """Strategies on trial, in rounds.

    Each round asks for the ranking given what was seen so far and tries the first few strategies. They are raced: on a
    large table first on a sample of the first fold, then on that fold; one that is clearly worse there than the best
    (see `clearly_worse`) is not finished. The search ends with the budget, with the time, or when the ranking says that
    no untried strategy can be expected to gain much; without patience, and where no time is given, also with the first
    round that brings nothing better.

    Parameters
    ----------
    task : Task
    planner : Planner
    splits : sequence of (train, test)
    scoring : Scoring
    effort : Effort
    budget : int
        Strategies, at most.
    time_limit : float or None
        Seconds. The clock is read between rounds; what has begun is finished.
    random_state : int or None
        Of the sample.
    n_threads : int or None

    Notes
    -----
    Maron and Moore (1997), The racing algorithm, Artificial Intelligence Review 11; Karnin, Koren and Somekh (2013),
    Almost optimal exploration in multi-armed bandits, ICML, for halving.
    """

    def __init__(
        self,
        task: Task,
        planner: Planner,
        splits: Sequence[Split],
        scoring: Scoring,
        *,
        effort: Effort,
        budget: int,
        time_limit: float | None,
        random_state: int | None,
        n_threads: int | None,
    ) -> None:
        self.task, self.planner, self.scoring, self.effort, self.budget = task, planner, scoring, effort, budget
        self._folds = [fold_rows(task, number, split) for number, split in enumerate(splits)]
        sample = first_look(task, splits[0], random_state)
        self._sample = None if sample is None else fold_rows(task, 0, sample)
        self._options = Options(n_threads=n_threads)
        self._against_time = time_limit is not None
        self._deadline = np.inf if time_limit is None else time.monotonic() + time_limit
        self._tried: list[Trial] = []

    def run(self) -> Trials:
        """Try strategies until there is a reason to stop."""
        reason = ""
        while not reason:
            names, reason = self._next()
            if names:
                number = len({trial.round for trial in self._tried})
                self._try([Trial(self.planner.strategy(name), name, number) for name in names])
        return Trials(self._tried, len(self._folds), reason)

    @property
    def trials(self) -> Trials:
        """What was tried so far."""
        return Trials(self._tried, len(self._folds))

    # ---------------------------------------------------------------- what to try

    def _next(self) -> tuple[list[str], str]:
        """Name the strategies of the next round, or say why there is none."""
        n_tried = len(self._tried)
        if n_tried >= self.budget:
            return [], f"the budget of {self.budget} strategies is used up"
        left = self._deadline - time.monotonic()
        if n_tried and left <= 0:
            return [], "the time is used up"
        if self._is_stale():
            return [], "the last round brought nothing better"
        tried = [trial.name for trial in self._tried]
        per_fit = left / len(self._folds) if n_tried else np.inf
        plan = self.planner.plan(tried, self._observed(), self._seconds(), per_fit)
        if not plan.names:
            return [], plan.reason
        if plan.gain is not None and n_tried and plan.gain < self.effort.least_gain:
            return [], f"no untried strategy is expected to lower the relative loss by more than {plan.gain:.1g}"
        return list(plan.names[: self._size()]), ""

    def _size(self) -> int:
        n_rounds = len({trial.round for trial in self._tried})
        if self._against_time:
            size = _AGAINST_TIME[n_rounds] if n_rounds < len(_AGAINST_TIME) else _ROUND
        else:
            # an order that nothing changes is tried at once, which shares the most work
            size = _ROUND if self.planner.learns else self.budget
        return min(size, self.budget - len(self._tried))

    def _is_stale(self) -> bool:
        """Whether the last round, but the first, brought nothing better to a search without patience."""
        best = self.trials.best()
        if best is None or self.effort.is_patient or self._against_time:
            return False
        return best.round < self._tried[-1].round

    def _seconds(self) -> dict[str, float]:
        """Give the mean seconds of a fit of those tried; nothing where the clock must not matter."""
        return {trial.name: trial.seconds for trial in self._tried} if self._against_time else {}

    def _observed(self) -> dict[str, float]:
        """Give the loss of each that was tried; of one not finished, that of the best and what it was worse by."""
        best = self.trials.best()
        return {} if best is None else {trial.name: self._loss(trial, best) for trial in self._tried}

    def _loss(self, trial: Trial, best: Trial) -> float:
        own, its = self.planner.losses(trial.folds), self.planner.losses(best.folds)
        there = np.isfinite(its)
        if trial.status == "outclassed" and len(own):
            there = there[: len(own)]
            return float(np.mean(its[np.isfinite(its)]) + np.mean(own[there] - its[: len(own)][there]))
        if trial.status == "outclassed":
            assert trial.look is not None
            assert best.look is not None
            own, of_best = self.planner.losses([trial.look]), self.planner.losses([best.look])
            return float(np.mean(its[there]) + own[0] - of_best[0])
        return float(np.mean(own[there])) if len(own) == len(its) else np.nan

    # ---------------------------------------------------------------- how far to try it

    def _try(self, trials: list[Trial]) -> None:
        self._tried += trials
        left = trials
        if self._sample is not None:
            for trial, found in zip(trials, self._run(trials, [self._sample]), strict=True):
                trial.look = found[0]
            left = self._raced(trials, self._sample, _CATCH_UP)
        for trial, found in zip(left, self._run(left, self._folds[:1]), strict=True):
            trial.folds += found
        self._finish(self._raced(left, None, 0.0))
        best = self.trials.best()
        if best is None or best.status != "ok":
            # what outclassed them failed on another fold, on which they may work
            self._finish([trial for trial in trials if trial.reason and trial.status == "outclassed"])

    def _raced(self, trials: list[Trial], sample: FoldRows | None, margin: float) -> list[Trial]:
        """Give those that go on; say of the others why they do not."""
        best = self.trials.best() or max(trials, key=lambda trial: _score(_look(trial, sample)))
        its = _look(best, sample)
        if its is None or its.model is None:
            return trials  # nothing worked there: that fold does not count
        where = "on the first fold" if sample is None else "on a sample of the first fold"
        rows = self._folds[0] if sample is None else sample
        for trial in trials:
            mine = _look(trial, sample)
            assert mine is not None
            if mine.model is None:
                trial.reason = f"{where}: {mine.result.reason or mine.result.status}"
            elif trial is not best and clearly_worse(mine, its, self.effort.n_errors, margin * rows.baseline):
                trial.reason = f"{where} clearly worse than {best.strategy.name}"
        return [trial for trial in trials if not trial.reason]

    def _finish(self, trials: list[Trial]) -> None:
        n_done = min((len(trial.folds) for trial in trials), default=0)
        for trial in trials:
            trial.reason = ""
        for trial, found in zip(trials, self._run(trials, self._folds[n_done:]), strict=True):
            trial.folds = trial.folds[:n_done] + found
            bad = next((fold.result for fold in trial.folds if fold.model is None), None)
            trial.reason = "" if bad is None else bad.reason

    def _run(self, trials: list[Trial], folds: Sequence[FoldRows]) -> list[list[HeldOut]]:
        """Fit all on some folds, in one call of the engine."""
        if not trials or not folds:
            return [[] for _ in trials]
        runs = run_folds(self.task, [trial.strategy for trial in trials], folds, self._options)
        found = [self.scoring.of(run) for run in runs]
        return [found[k : k + len(folds)] for k in range(0, len(found), len(folds))]


def _look(trial: Trial, sample: FoldRows | None) -> HeldOut | None:
    return trial.look if sample is not None else (trial.folds[0] if trial.folds else None)


def _score(found: HeldOut | None) -> float:
    return -np.inf if found is None or np.isnan(found.score) else found.score
