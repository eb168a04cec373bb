"""A durable study: many strategies on many tasks, each fit kept, each run resumed.

On disk::

    runs/first/
        study.json             format, settings, package versions
        tasks/*.parquet        a line a task: name, kind, family, sizes, fingerprint
        strategies/*.parquet   id, name, kind and canonical JSON of the strategies
        scores/*.parquet       a part a shard: every cell (task, strategy, seed, fold) with loss, costs, metrics
        descriptions/*.parquet a line a task: its meta-features
        failed/*.parquet       tasks that could not be loaded, encoded or scored; the next run tries them again

Parts are immutable (`metafit.study.parts`): what is there is whole, what is missing runs again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path
from random import Random

import pandas as pd
import pyarrow as pa

from metafit.scores import Scores
from metafit.strategies.strategy import Strategy
from metafit.study import parts, settings, tables
from metafit.study.progress import Progress
from metafit.study.settings import Settings
from metafit.study.shard import (
    SCORES,
    STRATEGIES,
    Shard,
    applicable,
    description_path,
    identity,
    refuse_other,
    run_shard,
)
from metafit.tasks.suite import TaskSuite
from metafit.tasks.task import Task


class Study:
    """Scores of strategies on tasks, kept in a folder and resumed from there.

    Parameters
    ----------
    path : str or Path
        Folder of the study. It is created by the first `run`.

    Raises
    ------
    ValueError
        When the folder holds a study of another format version.

    Examples
    --------
    >>> import tempfile
    >>> from metafit.strategies.grids import default_strategies
    >>> from metafit.tasks.sources import load_suite
    >>> study = Study(tempfile.mkdtemp())
    >>> suite = load_suite("toy").kind("regression")
    >>> study = study.run(suite, default_strategies("regression")[:3], folds=3, repeats=1)
    >>> study
    Study('...': 5 tasks, 3 strategies, 45 cells)
    >>> study.run(suite, default_strategies("regression")[:4], folds=3, repeats=1)  # runs one strategy
    Study('...': 5 tasks, 4 strategies, 60 cells)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"path must be a folder, got the file {self.path}")
        settings.load(self.path)

    @property
    def settings(self) -> Settings | None:
        """Folds, repeats and seed of the study; None before its first run."""
        return settings.load(self.path)

    def run(
        self,
        suite: TaskSuite | Iterable[Task],
        strategies: Iterable[Strategy],
        *,
        folds: int = 5,
        repeats: int = 2,
        random_state: int = 0,
        executor: Executor | None = None,
        n_threads: int | None = None,
        progress: bool = True,
    ) -> Study:
        """Score every strategy on every task of its kind; what the study holds already is not run again.

        Parameters
        ----------
        suite : TaskSuite or iterable of Task
            Lazy tasks are loaded one at a time, inside their shard.
        strategies : iterable of Strategy
            Those with an id that the study knows run only on tasks that are new to them.
        folds, repeats : int
            Each of the `repeats` partitions has `folds` folds.
        random_state : int
            Seed of the first partition; the next ones count up from it.
        executor : concurrent.futures.Executor or None
            Where shards run: None for this process, one after another on the engine's own threads;
            or a process pool, ``dask_client.get_executor()``, ... with workers that see the study's folder.
        n_threads : int or None
            Threads of the engine per shard. None: all cores in this process, one per worker of an executor.
        progress : bool
            Show a progress bar (plain lines where there is no terminal) when the run takes over two seconds.

        Returns
        -------
        Study
            This study.

        Raises
        ------
        ValueError
            At once, with nothing written, when the study was made with other settings, or knows
            another task (other data) under a name in `suite`.

        Warns
        -----
        RuntimeWarning
            When tasks could not be loaded, encoded or scored; their cells are kept as failed, with the
            reason.

        Notes
        -----
        Ctrl-C, a crash or ``kill -9`` lose at most the shards in flight: call `run` again to go on.
        Several processes may run the same study at once.
        """
        wanted = Settings.checked(folds, repeats, random_state)
        strategies = _checked_strategies(strategies)
        suite = suite if isinstance(suite, TaskSuite) else TaskSuite(suite)
        if (found := self.settings) is not None:
            settings.refuse_other(self.path, wanted, found)
        shards = self._missing(suite, strategies, wanted)
        self._prepare(strategies, wanted)
        threads = 1 if executor is not None and n_threads is None else n_threads
        self._work(shards, executor, threads, progress)
        self._warn_of_failures(suite)
        return self

    def _missing(self, suite: TaskSuite, strategies: tuple[Strategy, ...], wanted: Settings) -> list[Shard]:
        """Return what is left to do, after comparing each task that the study knows with the one at hand."""
        covered, known = tables.covered(self.path), tables.kinds(self.path)
        shards = []
        for name in suite.names:
            one = suite[[name]]
            if name in known:
                self._compare(one)
            wanting = applicable(strategies, known.get(name))
            lacking = tuple(s for s in wanting if s.id not in covered.get(name, ()))
            if lacking or not description_path(self.path, name).exists():
                shards.append(Shard(self.path.absolute(), one, lacking, wanted))
        return shards

    def _compare(self, one: TaskSuite) -> None:
        try:
            task = one[0]
        except Exception:  # what cannot be loaded cannot be compared; if its shard runs, that says why
            return
        refuse_other(self.path, {"task": task.name, "identity": identity(task)})

    def _prepare(self, strategies: tuple[Strategy, ...], wanted: Settings) -> None:
        parts.clean(self.path)
        settings.settle(self.path, wanted)
        known = tables.strategies(self.path).index
        new = [strategy for strategy in strategies if strategy.id not in known]
        lines = [
            {"id": s.id, "name": s.name, "kind": s.kind, "json": s.to_json(), "position": len(known) + i}
            for i, s in enumerate(new)
        ]
        if lines:
            path = self.path / STRATEGIES / f"{parts.digest([s.id for s in new])}.parquet"
            parts.write_once(path, parts.parquet(pa.Table.from_pylist(lines), {}))

    def _work(self, shards: list[Shard], executor: Executor | None, n_threads: int | None, shown: bool) -> None:
        # in random order, writers that share a folder seldom meet, and the time left is an honest estimate
        Random().shuffle(shards)
        done = _in_turn(shards, n_threads) if executor is None else _spread(shards, executor, n_threads)
        with Progress(f"study {self.path}", n_steps=len(shards), shown=shown) as bar:
            for path in done:
                bar.advance(parts.n_rows(path))

    def _warn_of_failures(self, suite: TaskSuite) -> None:
        reasons = {name: reason for name, reason in self.failures().items() if name in suite.names}
        if reasons:
            first = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3])
            more = "" if len(reasons) <= 3 else "; ..."
            warnings.warn(
                f"{len(reasons)} of {len(suite)} tasks failed and count as failures of every strategy "
                f"({first}{more}); Study.failures() has all reasons, run() tries them again",
                RuntimeWarning,
                stacklevel=3,
            )

    def scores(self) -> Scores:
        """Return everything the study has scored so far.

        Returns
        -------
        Scores
            A row of ``cells`` per (task, strategy, seed, fold); ``tasks`` and ``strategies`` say what they
            are, ``descriptions`` what the tasks look like. What was never attempted is a hole: it has no row.

        Raises
        ------
        ValueError
            When there is no study in the folder.
        """
        self._require()
        # tasks and strategies are written before their cells, so they are read after them
        cells = tables.cells(self.path)
        tasks, strategies = tables.tasks(self.path), tables.strategies(self.path)
        return Scores(cells, tasks, strategies, descriptions=tables.descriptions(self.path))

    def descriptions(self) -> pd.DataFrame:
        """Return the meta-features of the tasks, computed when they were scored.

        Returns
        -------
        DataFrame
            A row a task (sorted by name), a column a meta-feature as in `metafit.describe`.
        """
        self._require()
        return tables.descriptions(self.path)

    @property
    def strategies(self) -> list[Strategy]:
        """The study's strategies, in the order in which they were added."""
        return [Strategy.from_json(text) for text in tables.strategies(self.path)["json"]]

    def failures(self) -> dict[str, str]:
        """Return the reason for each task that could not be loaded, encoded, scored or described."""
        return tables.failures(self.path)

    def _require(self) -> None:
        if self.settings is None:
            raise ValueError(f"there is no study in {self.path}: Study.run makes one")

    def __repr__(self) -> str:
        if self.settings is None:
            return f"Study({str(self.path)!r}: not run yet)"
        n_cells = sum(map(parts.n_rows, parts.names(self.path / SCORES)))
        tasks, strategies = tables.tasks(self.path), tables.strategies(self.path)
        sizes = f"{_count(tasks, 'task')}, {_count(strategies, 'strategy')}, {n_cells:,} cells"
        return f"Study({str(self.path)!r}: {sizes})"


def _in_turn(shards: Iterable[Shard], n_threads: int | None) -> Iterator[Path]:
    return (run_shard(shard, n_threads) for shard in shards)


def _spread(shards: Iterable[Shard], executor: Executor, n_threads: int | None) -> Iterator[Path]:
    futures: list[Future[Path]] = [executor.submit(run_shard, shard, n_threads) for shard in shards]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        # after Ctrl-C or a broken pool: nothing new starts, what runs ends as the executor's owner decides
        for future in futures:
            future.cancel()


def _checked_strategies(strategies: Iterable[Strategy]) -> tuple[Strategy, ...]:
    unique = {}
    for strategy in strategies:
        if not isinstance(strategy, Strategy):
            raise TypeError(f"strategies must hold Strategy objects, got {type(strategy).__name__}")
        unique[strategy.id] = strategy
    if not unique:
        raise ValueError("strategies must hold at least one Strategy, got none")
    return tuple(unique.values())


def _count(table: pd.DataFrame, noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{len(table):,} {noun if len(table) == 1 else plural}"
