"""Strategies on tasks: every strategy on every fold, in as few engine calls as possible.

Whatever a strategy learns (features, means, scales, transform, alpha) comes from the training rows of the
fold. A failure is a result with a status and a reason, and never stops the other strategies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metafit.engine import outside
from metafit.engine.batches import Job, Options, Solved, grouped, solve_jobs
from metafit.engine.cells import CellResult, Split
from metafit.engine.rows import FoldRows, one_blas_thread
from metafit.strategies.features import Columns
from metafit.strategies.penalties import Penalty
from metafit.strategies.strategy import Strategy
from metafit.tasks.task import Task

__all__ = ["FoldResult", "FoldRun", "fold_rows", "outcome", "run_folds", "run_strategies", "why_not"]

#: What the engine's status means for a comparison. A minimum-norm solution is a solution, and so is a stationary
#: point where no more can be asked for.
_STATUS = {
    "converged": "ok",
    "rank_deficient": "ok",
    "local": "ok",
    "max_iter": "not_converged",
    "separated": "not_converged",
    "overflow": "not_converged",
}
_REASON = {
    "separated": "the classes are separated: without a penalty the coefficients run away",
    "overflow": "linear predictions left the range of numbers",
}


@dataclass(frozen=True)
class FoldResult:
    """One strategy on one fold.

    Attributes
    ----------
    strategy_id : str
        `Strategy.id`.
    fold : int
        Position in the splits given.
    status : {"ok", "failed", "not_converged", "not_applicable"}
        "not_applicable" was not attempted.
    reason : str
        Why it is not "ok"; may hold a remark where it is.
    metrics : dict
        Held-out scores under the names of `sklearn.metrics`, and ``loss``, the mean squared error or log loss
        relative to that of the training rows' mean or class frequencies. Empty without a fit.
    seconds : float
        What the strategy would have cost alone: choosing features, transform, inner folds, fit.
    gap : float
        Duality gap that certifies the fit; infinite where there is none, NaN for estimators.
    n_iter, alpha : float
        Iterations, and the strength that was used; NaN for estimators.
    n_features : float
        Raw columns that the fit uses.
    n_columns_used : float
        Coefficients that are not zero; for estimators the encoded columns.
    """

    strategy_id: str
    fold: int
    status: str
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = math.nan
    gap: float = math.nan
    n_iter: float = math.nan
    alpha: float = math.nan
    n_features: float = math.nan
    n_columns_used: float = math.nan

    @property
    def loss(self) -> float:
        """Relative loss u = L / L0, NaN without a fit."""
        return self.metrics.get("loss", math.nan)


def run_strategies(
    task: Task,
    strategies: Iterable[Strategy],
    splits: Iterable[Any],
    *,
    tol: float = 1e-8,
    max_iter: int = 1000,
    n_threads: int | None = None,
) -> list[FoldResult]:
    """Fit strategies on the training rows of each split and score them on the test rows.

    Parameters
    ----------
    task : Task
        One table.
    strategies : iterable of Strategy
        Those of the other kind are "not_applicable".
    splits : iterable of Split or of (train, test)
        Row numbers; neither side empty.
    tol, max_iter : float, int
        When the engine's solvers stop.
    n_threads : int, optional
        Threads of the engine; None means all cores. The results do not depend on it.

    Returns
    -------
    list of FoldResult
        Strategy by strategy, and within each fold by fold.

    Raises
    ------
    ValueError
        If a split has an empty side.

    Examples
    --------
    >>> X = np.arange(12.0)[:, None]
    >>> task = Task(X, 2 * X[:, 0] + 1)
    >>> [result] = run_strategies(task, [Strategy(loss="squared", alpha=0.0)], task.splits(3)[:1])
    >>> result.status, round(result.loss, 6), result.n_features
    ('ok', 0.0, 1)
    """
    folds = [fold_rows(task, number, split) for number, split in enumerate(splits)]
    options = Options(tol, max_iter, n_threads)
    return [run.result for run in run_folds(task, strategies, folds, options)]


@dataclass(frozen=True, eq=False)
class FoldRun:
    """What came of one strategy on one fold, with the fit itself where there is one."""

    strategy: Strategy
    rows: FoldRows
    result: FoldResult
    fit: Solved | outside.FittedEstimator | None = None


def run_folds(task: Task, strategies: Iterable[Strategy], folds: Sequence[FoldRows], options: Options) -> list[FoldRun]:
    """Do what `run_strategies` does, and keep the fits; folds that were run before know what they learned then."""
    with one_blas_thread():
        begun = [item for strategy in strategies for item in _begin(task, strategy, folds)]
        jobs = [job for job in begun if isinstance(job, Job)]
        solved = solve_jobs(task, jobs, options)
        results = map(_fold_result, jobs, solved, _sizes(task, jobs, solved))
        runs = iter(map(_fold_run, jobs, solved, results))
        return [next(runs) if isinstance(item, Job) else item for item in begun]


def _fold_run(job: Job, solved: Solved, result: FoldResult) -> FoldRun:
    return FoldRun(job.strategy, job.rows, result, solved)


def _begin(task: Task, strategy: Strategy, folds: Sequence[FoldRows]) -> list[Job | FoldRun]:
    refusal = why_not(task, strategy)
    return [_begin_fold(strategy, fold, rows, refusal) for fold, rows in enumerate(folds)]


def _begin_fold(strategy: Strategy, fold: int, rows: FoldRows, refusal: str) -> Job | FoldRun:
    """Return a job for the engine, or what came of it where none is needed."""
    if refusal:
        return FoldRun(strategy, rows, FoldResult(strategy.id, fold, "not_applicable", refusal))
    if rows.problem:
        return FoldRun(strategy, rows, FoldResult(strategy.id, fold, "failed", rows.problem))
    if strategy.estimator is not None:
        return _run_estimator(strategy, fold, rows)
    try:
        rows.columns(strategy.features)
    except Exception as error:
        return FoldRun(strategy, rows, FoldResult(strategy.id, fold, "failed", f"{type(error).__name__}: {error}"))
    return Job(strategy, rows, fold)


def why_not(task: Task, strategy: Strategy) -> str:
    """Say why a strategy cannot be attempted on a task; empty if it can."""
    if strategy.kind != task.kind:
        return f"a strategy for {strategy.kind} on a task of {task.kind}"
    if strategy.estimator is not None:
        return outside.why_not(task, strategy)
    return _unfit_loss(task, strategy) or _misfit(task, strategy)


def _unfit_loss(task: Task, strategy: Strategy) -> str:
    """Say why a loss does not serve the classes of a task."""
    loss = strategy.equation_loss
    if task.classes is None:
        return ""
    if len(task.classes) > 2 and not loss.is_multinomial:
        return f"the {loss.name} loss serves two classes, the task has {len(task.classes)}"
    if not loss.has_probabilities:
        return f"the {loss.name} loss gives no probabilities, by which classifications are compared"
    return ""


def _misfit(task: Task, strategy: Strategy) -> str:
    """Say which part of a strategy speaks of columns or classes that the task does not have."""
    rule, penalty = strategy.features, strategy.penalty
    missing = sorted(set(rule.names) - set(task.block_names)) if isinstance(rule, Columns) else []
    if missing:
        return f"the task has no columns {missing}"
    for name, n in penalty.widths.items():
        if n != len(task.columns):
            return f"{name} has {n} values, the task has {len(task.columns)} encoded columns"
    for name, n in penalty.class_rows.items():
        if n != (task.n_classes or 0) or n == 2:
            return f"{name} has {n} rows, one a class of more than two; the task has {task.n_classes or 'no'} classes"
    return _misfit_groups(task, penalty) if penalty.has_groups else ""


def _misfit_groups(task: Task, penalty: Penalty) -> str:
    try:
        grouped(penalty, task)
    except ValueError as error:
        return str(error)
    return ""


def fold_rows(task: Task, number: int, split: Any) -> FoldRows:
    """Return the rows of a split.

    Raises
    ------
    ValueError
        If a side is empty.
    """
    train, test = (split.train, split.test) if isinstance(split, Split) else split
    rows = FoldRows(task, train, test)
    if not (len(rows.train) and len(rows.test)):
        raise ValueError(
            f"splits must have rows on both sides; split {number} has {len(rows.train)} and {len(rows.test)}"
        )
    return rows


def _run_estimator(strategy: Strategy, fold: int, rows: FoldRows) -> FoldRun:
    try:
        fitted = outside.fit_estimator(strategy, rows)
        scores = outside.held_out_scores(fitted, rows)
    except Exception as error:  # an estimator may raise anything; the other strategies go on
        return FoldRun(strategy, rows, FoldResult(strategy.id, fold, "failed", f"{type(error).__name__}: {error}"))
    result = FoldResult(
        strategy.id,
        fold,
        "not_converged" if fitted.complaint else "ok",
        fitted.complaint,
        _with_loss(scores, rows),
        fitted.seconds,
        n_features=len(rows.task.block_names),
        n_columns_used=len(rows.task.columns),
    )
    return FoldRun(strategy, rows, result, fitted)


def _fold_result(job: Job, solved: Solved, sizes: tuple[float, float]) -> FoldResult:
    result = solved.result
    if result is None:
        return FoldResult(job.strategy.id, job.fold, "failed", solved.reason)
    scores = {name: float(values[0]) for name, values in result.scores.items()}
    status, reason = outcome(result)
    metrics = _with_loss(scores, job.rows)
    if status == "ok" and not math.isfinite(metrics["loss"]):
        status, reason = "failed", "the held-out loss is not finite"
    return FoldResult(
        job.strategy.id,
        job.fold,
        status,
        reason,
        {} if status == "failed" else metrics,
        solved.seconds,
        float(result.gap[0]),
        float(result.n_iter[0]),
        float(result.alphas[0]),
        *sizes,
    )


def outcome(result: CellResult) -> tuple[str, str]:
    """Return the status and the reason of the only fit of a result, as `FoldResult` has them."""
    status = result.status[0]
    return _STATUS.get(status, "failed"), result.reason[0] or _REASON.get(status, "")


def _with_loss(scores: dict[str, float], rows: FoldRows) -> dict[str, float]:
    loss = scores["mean_squared_error" if rows.task.classes is None else "log_loss"]
    return {"loss": rows.relative(loss)} | scores


def _sizes(task: Task, jobs: Sequence[Job], solved: Sequence[Solved]) -> list[tuple[float, float]]:
    """Return how many raw columns and how many coefficients each fit uses."""
    sizes: list[tuple[float, float]] = [(math.nan, math.nan)] * len(jobs)
    plain = []
    for k, (job, one) in enumerate(zip(jobs, solved, strict=True)):
        if one.result is not None and one.preparation is not None:
            used = np.atleast_2d(one.result.coef[0]).any(axis=0)
            sizes[k] = len(job.rows.choose(job.strategy.features)), int(np.count_nonzero(used))
        elif one.result is not None:
            plain.append(k)
    for k, n_blocks, n_columns in zip(plain, *_sizes_of(task, [solved[k] for k in plain]), strict=True):
        sizes[k] = n_blocks, n_columns
    return sizes


def _sizes_of(task: Task, solved: Sequence[Solved]) -> tuple[list[int], list[int]]:
    """Return the sizes of fits on the task's own columns, all at once."""
    if not solved:
        return [], []
    order = np.argsort(task.blocks, kind="stable")
    coefs = np.array([one.result.coef[0] for one in solved if one.result is not None])
    used = np.any(coefs.reshape(len(coefs), -1, len(order)) != 0, axis=1, keepdims=True)[:, 0, order]
    starts = np.unique(task.blocks[order], return_index=True)[1]
    blocks = np.logical_or.reduceat(used, starts, axis=1)
    return blocks.sum(axis=1).tolist(), used.sum(axis=1).tolist()
