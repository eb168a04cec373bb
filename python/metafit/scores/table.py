"""What was measured: an incomplete table of tasks x strategies.

One row of ``Scores.cells`` is one fit that was attempted: (task, strategy, seed, fold) with a status, a loss
and seconds.

- A *hole* is a row that is not there: never attempted. It is left out of every figure.
- A *failure* (``failed``, ``timeout``, ``not_converged``) was attempted. Its loss counts as 1, no skill, and
  it is tied last: see `Scores.matrix`.
- ``not_applicable`` says that the strategy cannot be attempted on such a task: the same as a hole.

The loss is u = L / L0, held-out loss over that of a prediction without skill: lower is better, 1 is no skill.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from metafit.scores.aslib import Scenario
from metafit.scores.cells import Cells
from metafit.scores.checks import (
    canonical,
    check_in,
    described,
    known,
    one_per_task,
    renamed,
    settle_missing,
    text_index,
    union,
    with_defaults,
)
from metafit.scores.figures import FloatArray, normalized_regret
from metafit.scores.files import read_folder, write_folder


class Scores:
    """An incomplete table of what strategies scored on tasks.

    Parameters
    ----------
    cells : DataFrame
        A row per attempted fit: columns ``task``, ``strategy``, ``loss`` and, where known, ``seed`` (int, 0
        if absent), ``fold`` (int, 0), ``status`` ("ok"), ``seconds`` (NaN), then any metric. (task, strategy,
        seed, fold) is unique.
    tasks : DataFrame, optional
        Index task; columns such as ``kind``, ``family``, ``n_rows``, ``fingerprint``. The kind defaults to
        "unknown", the family to the task itself. Tasks without cells may be listed: a row of holes.
    strategies : DataFrame, optional
        Index strategy id, in the order that the *default* baseline follows; columns such as ``name``,
        ``kind``, ``json``.
    splits : DataFrame, optional
        Official partitions of the tasks: index task, a column per repetition, values the outer fold a task
        belongs to.
    failure_loss : float
        What a failure counts.
    descriptions : DataFrame, optional
        Index task, columns meta-features, where the table comes with them.

    Attributes
    ----------
    cells : DataFrame
        Sorted by (task, strategy, seed, fold) in the order of `tasks` and `strategies`, whatever order came
        in.
    tasks, strategies, splits, descriptions : DataFrame
    seeds : list of int
    kinds : list of str

    Raises
    ------
    ValueError
        For missing columns, duplicated cells, unknown statuses, a loss that is not finite though the status
        is "ok", and cells of a task or a strategy that is not listed.

    Examples
    --------
    >>> import pandas as pd
    >>> cells = pd.DataFrame({"task": ["t", "t", "u"], "strategy": ["a", "b", "a"], "loss": [0.5, None, 0.75],
    ...                       "status": ["ok", "timeout", "ok"]})
    >>> scores = Scores(cells)
    >>> scores
    Scores: 2 tasks x 2 strategies, 1 seed, 25.0% holes, 1 failure
    >>> scores.matrix()
    strategy    a    b
    task
    t         0.50  1.0
    u         0.75  NaN
    """

    def __init__(
        self,
        cells: pd.DataFrame,
        tasks: pd.DataFrame | None = None,
        strategies: pd.DataFrame | None = None,
        splits: pd.DataFrame | None = None,
        failure_loss: float = 1.0,
        descriptions: pd.DataFrame | None = None,
    ) -> None:
        cells = with_defaults(cells)
        self.failure_loss = float(failure_loss)
        self.tasks = described(tasks, cells["task"], "task")
        self.strategies = described(strategies, cells["strategy"], "strategy")
        self.splits = None if splits is None else text_index(splits, "task")
        self.descriptions = None if descriptions is None else text_index(descriptions, "task")
        self.cells = canonical(cells, self.tasks.index, self.strategies.index)

    # ---------------------------------------------------------------- in and out

    @classmethod
    def from_frame(
        cls,
        df: Any,
        *,
        task: str = "task",
        strategy: str = "strategy",
        loss: str = "loss",
        seconds: str | None = None,
        seed: str | None = None,
        fold: str | None = None,
        status: str | None = None,
        kind: str | None = None,
        family: str | None = None,
        missing: Literal["error", "hole", "failed"] = "error",
        tasks: pd.DataFrame | None = None,
        strategies: pd.DataFrame | None = None,
        failure_loss: float = 1.0,
    ) -> Scores:
        """Take a long table that somebody else measured, a row per fit.

        Parameters
        ----------
        df : DataFrame
            pandas, polars or anything else that narwhals knows.
        task, strategy, loss : str
            Names of its columns. Losses: lower is better; u = L / L0 if failures and regrets are to mean what
            they say.
        seconds, seed, fold, status, kind, family : str, optional
            Likewise; a column of that very name is taken unasked. Kind and family describe the task. Every
            other column is kept as a metric.
        missing : {"error", "hole", "failed"}
            What a missing loss without a failure's status means. There is no safe guess, so it is an error
            unless told.
        tasks, strategies, failure_loss
            See `Scores`.

        Returns
        -------
        Scores

        Examples
        --------
        >>> frame = pd.DataFrame({"data": ["t", "t"], "model": ["a", "b"], "error": [0.2, 0.4], "s": [1, 2]})
        >>> scores = Scores.from_frame(frame, task="data", strategy="model", loss="error", seconds="s")
        >>> scores.matrix("seconds")
        strategy  a    b
        task
        t        1.0  2.0
        """
        names = {"task": task, "strategy": strategy, "loss": loss, "seconds": seconds, "seed": seed}
        names |= {"fold": fold, "status": status, "kind": kind, "family": family}
        cells = renamed(nw.from_native(df, eager_only=True).to_pandas(), names)
        cells = settle_missing(cells, missing)
        about = [column for column in ("kind", "family") if column in cells]
        if tasks is None and about:
            tasks = one_per_task(cells, about)
        return cls(cells.drop(columns=about), tasks, strategies, failure_loss=failure_loss)

    @classmethod
    def from_matrix(cls, losses: pd.DataFrame, **kwargs: Any) -> Scores:
        """Take a wide table of losses, tasks x strategies; NaN is a hole.

        Examples
        --------
        >>> wide = pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, None]}, index=["t", "u"])
        >>> Scores.from_matrix(wide).coverage()
        strategy
        a    1.0
        b    0.5
        dtype: float64
        """
        rows, columns = np.nonzero(losses.notna().to_numpy())
        tasks, strategies = losses.index.map(str), losses.columns.map(str)
        values = losses.to_numpy(dtype=float)[rows, columns]
        cells = pd.DataFrame({"task": tasks[rows], "strategy": strategies[columns], "loss": values})
        kwargs.setdefault("tasks", pd.DataFrame(index=tasks))
        kwargs.setdefault("strategies", pd.DataFrame(index=strategies))
        return cls(cells, **kwargs)

    @classmethod
    def from_csv(cls, path: str | PathLike[str], **kwargs: Any) -> Scores:
        """Take a long table from a file; see `from_frame` for the arguments."""
        return cls.from_frame(pd.read_csv(path), **kwargs)

    @classmethod
    def from_aslib(cls, folder: str | PathLike[str]) -> Scores:
        """Take an algorithm-selection scenario in the format of ASlib.

        The loss of a run is seconds / (10 cutoff), that of a run that was not in time, ran out of memory or crashed
        is 1: 10 cutoff times a mean loss is a PAR10 score. Instances that nobody solves are kept. `descriptions`
        holds the features of the scenario's default steps, missing where a step failed; ``tasks`` has the columns
        ``cutoff`` and ``feature_seconds``, what these features cost; ``splits`` are the official folds.

        Parameters
        ----------
        folder : path
            Holds description.txt, algorithm_runs.arff, feature_values.arff, cv.arff and, where there are any,
            feature_runstatus.arff and feature_costs.arff.

        Returns
        -------
        Scores
            Of the kind "runtime".

        Raises
        ------
        ImportError
            Without the packages of the extra "aslib".
        FileNotFoundError, ValueError
            If a file is missing, or the scenario measures something else than runtimes.

        Notes
        -----
        Bischl et al. (2016), ASlib: A benchmark library for algorithm selection, Artificial Intelligence 237.
        """
        scenario = Scenario(Path(folder))
        return cls(scenario.cells(), scenario.tasks(), None, scenario.splits(), descriptions=scenario.descriptions())

    @classmethod
    def from_parquet(cls, folder: str | PathLike[str]) -> Scores:
        """Read what `to_parquet` wrote."""
        return cls(**read_folder(Path(folder)))

    def to_parquet(self, folder: str | PathLike[str]) -> None:
        """Write the table into a folder: ``cells.parquet`` and a file each for what describes it.

        Examples
        --------
        >>> import tempfile
        >>> scores = Scores.from_matrix(pd.DataFrame({"a": [0.1]}, index=["t"]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scores.to_parquet(folder)
        ...     Scores.from_parquet(folder)
        Scores: 1 task x 1 strategies, 1 seed, 0.0% holes, 0 failures
        """
        frames = {name: getattr(self, name) for name in ("tasks", "strategies", "splits", "descriptions")}
        write_folder(Path(folder), {"cells": self.cells, **frames}, self.failure_loss)

    def to_pandas(self) -> pd.DataFrame:
        """Copy the long table, a row per attempted fit, task and strategy as plain strings."""
        return self.cells.astype({"task": "str", "strategy": "str", "status": "str"})

    def to_polars(self) -> Any:
        """Give the long table as a polars frame.

        Raises
        ------
        ImportError
            Without polars.
        """
        try:
            import polars as pl
        except ImportError as error:
            raise ImportError("to_polars needs polars: pip install polars") from error
        return pl.from_pandas(self.to_pandas())

    def __repr__(self) -> str:
        size = f"{_count(len(self.tasks), 'task')} x {len(self.strategies)} strategies"
        holes = 1 - self.attempted().to_numpy().mean() if len(self.cells) else 1.0
        failures = _count(int(self._cells.is_failure.sum()), "failure")
        return f"Scores: {size}, {_count(len(self.seeds), 'seed')}, {holes:.1%} holes, {failures}"

    # ---------------------------------------------------------------- figures

    @cached_property
    def _cells(self) -> Cells:
        return Cells(self.cells, self.tasks.index, self.strategies.index, self.failure_loss)

    @property
    def seeds(self) -> list[int]:
        """Fold seeds in ascending order: the first is A (selects), the second B (scores)."""
        return [int(seed) for seed in np.unique(self.cells["seed"].to_numpy())]

    @property
    def kinds(self) -> list[str]:
        """Kinds of task, in order of appearance. They are learned and reported apart."""
        return [str(kind) for kind in self.tasks["kind"].unique()]

    def matrix(
        self,
        metric: str = "loss",
        *,
        seed: int | None = None,
        fold: int | None = None,
        tied_last: bool = False,
    ) -> pd.DataFrame:
        """Aggregate to tasks x strategies: the mean over folds within a seed, then over seeds.

        So a seed with more folds than another does not count more. A cell is aggregated from what is there;
        one that was never attempted is NaN.

        Parameters
        ----------
        metric : str
            "loss" or any other column of `cells`.
        seed, fold : int, optional
            Only this seed, only this fold.
        tied_last : bool
            A failed fold counts `failure_loss`. If True, it counts the worst loss that any strategy had on
            that very fold where this is worse, so that failing never pays. This is what regrets and ranks are
            made from. Metrics named ``*_score``, ``*_loss`` and ``*_error`` know no loss of a failure: there
            a failure is always tied last. Any other column is averaged as recorded.

        Returns
        -------
        DataFrame of float, shape (n_tasks, n_strategies)

        Raises
        ------
        ValueError
            If there is no such column, seed or fold.
        """
        check_in(self.cells, metric, seed, fold)
        use = self._cells.is_attempt & self._cells.at("seed", seed) & self._cells.at("fold", fold)
        return self._cells.aggregate(self._cells.values(metric, tied_last), use)

    def regret(self, seed: int | None = None, *, normalized: bool = True) -> pd.DataFrame:
        """Compare each cell with the best of its task, failures tied last, holes NaN.

        Parameters
        ----------
        seed : int, optional
            Only this seed.
        normalized : bool
            See `normalized_regret`; else u - u_best.

        Returns
        -------
        DataFrame of float, shape (n_tasks, n_strategies)
            The best is the best that ever worked; where nothing did, it is the failures' own loss.
        """
        loss, best = self._loss_and_best(seed)
        values = normalized_regret(loss, best[:, None]) if normalized else loss.to_numpy() - best[:, None]
        return pd.DataFrame(values, index=loss.index, columns=loss.columns)

    def best(self, seed: int | None = None) -> pd.Series[float]:
        """Give each task's lowest loss of a strategy that ever worked; `failure_loss` if none did."""
        return pd.Series(self._loss_and_best(seed)[1], index=self.tasks.index)

    def _loss_and_best(self, seed: int | None) -> tuple[pd.DataFrame, FloatArray]:
        if seed not in self._known:  # every learner asks for the same
            loss = self.matrix(seed=seed, tied_last=True)
            worked = self._cells.any(self._cells.is_("ok"), seed)
            lowest = loss.where(worked).min(axis=1).fillna(self.failure_loss)
            self._known[seed] = loss, lowest.to_numpy()
        return self._known[seed]

    @cached_property
    def _known(self) -> dict[int | None, tuple[pd.DataFrame, FloatArray]]:
        return {}

    def attempted(self, seed: int | None = None) -> pd.DataFrame:
        """Say of each (task, strategy) whether any fold was attempted; False is a hole."""
        return self._cells.any(self._cells.is_attempt, seed)

    def failed(self, seed: int | None = None) -> pd.DataFrame:
        """Say of each (task, strategy) whether any attempted fold failed, timed out or did not converge."""
        return self._cells.any(self._cells.is_failure, seed)

    def coverage(self) -> pd.Series[float]:
        """Give the share of the tasks on which each strategy was attempted."""
        return self.attempted().mean(axis=0)

    # ---------------------------------------------------------------- parts of the table

    def only_tasks(self, names: Iterable[str]) -> Scores:
        """Keep these tasks, in the order they have here.

        Raises
        ------
        ValueError
            If one of them is unknown.
        """
        keep = self.tasks.index.isin(known(names, self.tasks.index, "task"))
        return self._part(tasks=self.tasks[keep])

    def without_tasks(self, names: Iterable[str]) -> Scores:
        """Drop these tasks; see `only_tasks`."""
        drop = self.tasks.index.isin(known(names, self.tasks.index, "task"))
        return self._part(tasks=self.tasks[~drop])

    def only_strategies(self, ids: Iterable[str]) -> Scores:
        """Keep these strategies, in the order they have here.

        Raises
        ------
        ValueError
            If one of them is unknown.
        """
        keep = self.strategies.index.isin(known(ids, self.strategies.index, "strategy"))
        return self._part(strategies=self.strategies[keep])

    def without_strategies(self, ids: Iterable[str]) -> Scores:
        """Drop these strategies; see `only_strategies`."""
        drop = self.strategies.index.isin(known(ids, self.strategies.index, "strategy"))
        return self._part(strategies=self.strategies[~drop])

    def join(self, other: Scores) -> Scores:
        """Put two tables together: the tasks, strategies and cells of both, those of this one first.

        What `only_tasks` and `without_tasks`, or their likes for strategies, have taken apart is joined to the same
        table again.

        Raises
        ------
        ValueError
            If a cell is in both, if they say different things of a task or a strategy, or differ in what a failure
            counts.

        Examples
        --------
        >>> ours = Scores.from_matrix(pd.DataFrame({"a": [0.1, 0.2]}, index=["t", "u"]))
        >>> theirs = Scores.from_matrix(pd.DataFrame({"b": [0.3]}, index=["t"]))
        >>> ours.join(theirs).matrix()
        strategy    a    b
        task
        t         0.1  0.3
        u         0.2  NaN
        """
        if self.failure_loss != other.failure_loss:
            raise ValueError(f"a failure counts {self.failure_loss} here and {other.failure_loss} there")
        about = ("tasks", "strategies", "splits", "descriptions")
        frames = {name: union(getattr(self, name), getattr(other, name), name) for name in about}
        cells = pd.concat([self.to_pandas(), other.to_pandas()], ignore_index=True)
        return Scores(cells, failure_loss=self.failure_loss, **frames)

    def of_kind(self, kind: str) -> Scores:
        """Keep the tasks of one kind and its strategies: those declared so, or used on it if undeclared.

        Raises
        ------
        ValueError
            If no task is of this kind.
        """
        if kind not in self.kinds:
            raise ValueError(f"kind={kind!r}: these scores hold the kinds {self.kinds}")
        tasks = self.tasks[self.tasks["kind"] == kind]
        used = self.attempted()
        elsewhere = used.drop(index=tasks.index).any() & ~used.loc[tasks.index].any()
        declared = self.strategies["kind"]
        keep = (declared == kind) | (declared.isna() & ~elsewhere)
        return self._part(tasks=tasks, strategies=self.strategies[keep.to_numpy()])

    def seed(self, seed: int) -> Scores:
        """Keep the cells of one fold seed; tasks and strategies stay listed.

        Raises
        ------
        ValueError
            If there is no such seed.
        """
        check_in(self.cells, "loss", seed, None)
        return self._copy(self.cells[self._cells.at("seed", seed)], self.tasks, self.strategies)

    def _part(self, tasks: pd.DataFrame | None = None, strategies: pd.DataFrame | None = None) -> Scores:
        tasks = self.tasks if tasks is None else tasks
        strategies = self.strategies if strategies is None else strategies
        keep = self.cells["task"].isin(tasks.index) & self.cells["strategy"].isin(strategies.index)
        return self._copy(self.cells[keep], tasks, strategies)

    def _copy(self, cells: pd.DataFrame, tasks: pd.DataFrame, strategies: pd.DataFrame) -> Scores:
        part = object.__new__(Scores)
        part.failure_loss, part.tasks, part.strategies = self.failure_loss, tasks, strategies
        for name in ("splits", "descriptions"):
            frame = getattr(self, name)
            setattr(part, name, None if frame is None else frame[frame.index.isin(tasks.index)])
        part.cells = cells.reset_index(drop=True)
        for column, index in (("task", tasks.index), ("strategy", strategies.index)):
            part.cells[column] = part.cells[column].cat.set_categories(index)
        return part


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
