"""A shard, one task with the strategies that a study lacks on it: the unit of work, of loss and of resume."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from metafit.descriptions import describe_task
from metafit.engine.rows import one_blas_thread
from metafit.engine.running import FoldResult, run_strategies
from metafit.strategies.strategy import Strategy
from metafit.study import parts
from metafit.study.settings import Settings
from metafit.tasks.suite import TaskSuite
from metafit.tasks.task import Task

TASKS, STRATEGIES, SCORES, DESCRIPTIONS, FAILED = "tasks", "strategies", "scores", "descriptions", "failed"

#: Columns of every scores part, in front of the metrics.
CELLS = pa.schema(
    [
        ("task", pa.string()),
        ("strategy", pa.string()),
        ("seed", pa.int64()),
        ("fold", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("loss", pa.float64()),
        ("seconds", pa.float64()),
        ("gap", pa.float64()),
        ("n_iter", pa.float64()),
        ("alpha", pa.float64()),
        ("n_features", pa.float64()),
        ("n_columns_used", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Shard:
    """What one worker needs to know; picklable when the task, or its loader, is.

    Attributes
    ----------
    folder : Path
        The study.
    suite : TaskSuite
        The one task, loaded by the worker.
    strategies : tuple of Strategy
        What the study lacks on it. Those of the other kind are passed over.
    settings : Settings
    """

    folder: Path
    suite: TaskSuite
    strategies: tuple[Strategy, ...]
    settings: Settings

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.suite.names[0]


def run_shard(shard: Shard, n_threads: int | None = None) -> Path:
    """Score the strategies of one shard on its task and leave the result as a part of the study.

    It needs nothing but its arguments and a folder that all workers see, so any
    ``concurrent.futures.Executor`` can run it. Running it twice does no harm.

    Parameters
    ----------
    shard : Shard
        The task and its strategies.
    n_threads : int or None
        Threads of the engine; None means all cores.

    Returns
    -------
    Path
        The part in ``scores``; or the note in ``failed`` when the task could not be loaded, encoded, scored
        or described. Such a task is tried again by the next run.
    """
    note = shard.folder / FAILED / _file(shard.name)
    try:
        with one_blas_thread():  # the engine's threads are the parallel ones
            path = _score(shard, n_threads)
    except Exception as error:  # one bad table must not stop the others
        parts.write_over(note, _failure(shard, error))
        return note
    note.unlink(missing_ok=True)
    return path


def _score(shard: Shard, n_threads: int | None) -> Path:
    task = shard.suite[0]
    about = {"task": task.name, "kind": task.kind, "identity": identity(task)}
    refuse_other(shard.folder, about)
    strategies = applicable(shard.strategies, task.kind)
    ids = sorted(s.id for s in strategies)
    path = shard.folder / SCORES / _file(about, ids, shard.settings.context)
    if not path.exists():  # else another writer has been here
        cells = score_cells(task, strategies, shard.settings, n_threads)
        # its line comes after the work, so that a table that cannot be scored may be mended under its name
        record_task(shard.folder, task, about)
        if ids:
            parts.write_once(path, parts.parquet(cells, about | {"strategies": ids}))
    record_description(shard.folder, task, about)
    return path


def identity(task: Task) -> str:
    """Name the content of a task: features, target, groups, weights and offset, and the order of its rows.

    More than `Task.fingerprint`, because groups and the order of rows decide the folds.
    """
    return parts.digest(TaskSuite([task]).fingerprint, sha256(task.y.tobytes()).hexdigest())


def applicable(strategies: Iterable[Strategy], kind: str | None) -> tuple[Strategy, ...]:
    """Return the strategies that fit tasks of this kind; all of them while the kind is not known."""
    return tuple(s for s in strategies if kind in (None, s.kind))


def score_cells(
    task: Task, strategies: tuple[Strategy, ...], settings: Settings, n_threads: int | None = None
) -> pa.Table:
    """Return a row per (strategy, seed, fold): status, relative loss, costs and every metric."""
    rows: list[dict[str, Any]] = []
    for seed in settings.seeds:
        splits = task.splits(settings.folds, random_state=seed)
        results = run_strategies(task, strategies, splits, n_threads=n_threads)
        rows += [_row(task.name, seed, result) for result in results]
    return _table(rows)


def _row(task: str, seed: int, result: FoldResult) -> dict[str, Any]:
    return {
        "task": task,
        "strategy": result.strategy_id,
        "seed": seed,
        "fold": result.fold,
        "status": result.status,
        "reason": result.reason,
        "loss": result.loss,
        "seconds": result.seconds,
        "gap": result.gap,
        "n_iter": result.n_iter,
        "alpha": result.alpha,
        "n_features": result.n_features,
        "n_columns_used": result.n_columns_used,
    } | result.metrics


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    metrics = sorted({name for row in rows for name in row} - set(CELLS.names))
    schema = pa.schema([*CELLS, *[(name, pa.float64()) for name in metrics]])
    columns = {name: [row.get(name) for row in rows] for name in schema.names}
    return pa.Table.from_pydict(columns, schema=schema)


def record_task(folder: Path, task: Task, about: dict[str, Any]) -> None:
    """Write the task's line of the study, or refuse when the study knows other data under this name."""
    if not parts.write_once(_task_path(folder, task.name), parts.parquet(_task_line(task), about)):
        refuse_other(folder, about)


def refuse_other(folder: Path, about: dict[str, Any]) -> None:
    """Raise a ValueError when the study knows other data under this task's name."""
    path = _task_path(folder, about["task"])
    if path.exists() and parts.read_note(path)["identity"] != about["identity"]:
        raise ValueError(
            f"the study in {folder} holds another task named {about['task']!r}: its features, target, "
            "groups, weights, family or order of rows differ; rename the task or choose another folder"
        )


def _task_path(folder: Path, name: str) -> Path:
    return folder / TASKS / _file(name)


def _task_line(task: Task) -> pa.Table:
    line = {
        "task": task.name,
        "kind": task.kind,
        "family": task.family,
        "n_rows": task.n_rows,
        "n_features": task.n_features,
        "n_columns": len(task.columns),
        "n_classes": task.n_classes,
        "fingerprint": task.source_fingerprint,
    }
    return pa.Table.from_pylist([line])


def record_description(folder: Path, task: Task, about: dict[str, Any]) -> None:
    """Describe the task and keep the description as a part, unless it is there."""
    path = description_path(folder, task.name)
    if not path.exists():
        line = {"task": task.name} | describe_task(task).to_dict()
        parts.write_once(path, parts.parquet(pa.Table.from_pylist([line]), about))


def description_path(folder: Path, name: str) -> Path:
    """Return where the description of a task is, or will be."""
    return folder / DESCRIPTIONS / _file(name)


def _failure(shard: Shard, error: Exception) -> bytes:
    reason, kind = f"{type(error).__name__}: {error}", _kind_if_known(shard.suite)
    cell = {"task": shard.name, "status": "failed", "reason": reason, "loss": np.nan, "seconds": np.nan}
    cells = [
        cell | {"strategy": strategy.id, "seed": seed, "fold": fold}
        for strategy in applicable(shard.strategies, kind or "unknown")
        for seed in shard.settings.seeds
        for fold in range(shard.settings.folds)
    ]
    note = {"task": shard.name, "kind": kind, "family": shard.suite.families[0], "reason": reason}
    return parts.parquet(_table(cells), note)


def _kind_if_known(suite: TaskSuite) -> str | None:
    try:
        return suite.kinds[0]
    except Exception:  # it loads a task whose kind nobody told
        return None


def _file(name: str | dict[str, Any], *more: object) -> str:
    task = name if isinstance(name, str) else name["task"]
    return f"{parts.slug(task)}-{parts.digest(name, *more)}.parquet"
