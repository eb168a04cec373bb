"""Jobs, a strategy on a fold each, solved in as few engine calls as possible.

Jobs without a transform share the task's own table; jobs with a transform share a table with those that have
the same transform of the same columns on the same fold. Two calls serve many tables: first inner folds, for
jobs whose alpha is chosen by cross-validation, then all jobs on their training rows. Equal cells are solved
once.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metafit.engine.cells import Cell, CellResult, Split, run_cells
from metafit.engine.native import Table
from metafit.engine.rows import FoldRows, Ints, Preparation, prepare
from metafit.strategies.alphas import CV, OfMax, PerRow
from metafit.strategies.penalties import Penalty, label_groups
from metafit.strategies.strategy import Strategy
from metafit.tasks.task import Task

__all__ = ["Job", "Options", "Solved", "grouped", "held_out_loss", "solve_jobs"]

#: What the engine calls the loss that strategies are compared by.
_METRIC = {"regression": "mean_squared_error", "classification": "log_loss"}
_GOOD = ("converged", "rank_deficient", "local")
#: Numbers that the tables of one call may hold: the transforms of a large task must not fill the memory.
_CALL_SIZE = 8_000_000


@dataclass(frozen=True, eq=False)
class Job:
    """One strategy that solves the equation, on one fold."""

    strategy: Strategy
    rows: FoldRows
    fold: int = 0


@dataclass(frozen=True)
class Options:
    """What `run_cells` is told about all cells."""

    tol: float = 1e-8
    max_iter: int = 1000
    n_threads: int | None = None


@dataclass(frozen=True, eq=False)
class Solved:
    """The outcome of a job: the engine's result for one alpha, or the reason why there is none."""

    result: CellResult | None = None
    reason: str = ""
    seconds: float = 0.0
    preparation: Preparation | None = None


def held_out_loss(result: CellResult, kind: str) -> NDArray[np.float64]:
    """Return the loss that strategies are compared by, shape (n_alphas,)."""
    return np.asarray(result.scores[_METRIC[kind]])


def solve_jobs(task: Task, jobs: Sequence[Job], options: Options) -> list[Solved]:
    """Solve jobs of one task; the outcomes are in the order of the jobs."""
    solved: dict[int, Solved] = {}
    for benches in _calls(_benches(task, jobs)):
        members = [(bench, k) for bench in benches for k in bench.members]
        outcomes = _solve([(bench, jobs[k]) for bench, k in members], options)
        solved |= {k: outcome for (_, k), outcome in zip(members, outcomes, strict=True)}
    return [solved[k] for k in range(len(jobs))]


@dataclass(frozen=True, eq=False)
class _Bench:
    """A table and the jobs that share it; a string in place of the table says why there is none."""

    members: list[int]
    table: Table | str
    where: Ints
    preparation: Preparation | None = None
    seconds: float = 0.0

    @property
    def size(self) -> int:
        """Numbers in the table."""
        return 0 if isinstance(self.table, str) else self.table.n_rows * self.table.n_columns


def _benches(task: Task, jobs: Sequence[Job]) -> Iterator[_Bench]:
    """Make the tables one after the other, each when the one before has been handed on."""
    plain = [k for k, job in enumerate(jobs) if job.strategy.transform is None]
    if plain:
        everything = np.arange(task.n_rows)
        yield _Bench(plain, _table(task, task.matrix, everything), everything)
    for members in _alike(jobs):
        yield _transformed(jobs[members[0]], members)


def _calls(benches: Iterator[_Bench]) -> Iterator[list[_Bench]]:
    """Put small tables together, for one engine call."""
    call: list[_Bench] = []
    for bench in benches:
        if call and sum(b.size for b in call) + bench.size > _CALL_SIZE:
            yield call
            call = []
        call.append(bench)
    if call:
        yield call


def _alike(jobs: Sequence[Job]) -> list[list[int]]:
    """Group the jobs with a transform that can share a table."""
    groups: dict[Hashable, list[int]] = {}
    for k, job in enumerate(jobs):
        if job.strategy.transform is not None:
            columns = _key(job.rows.columns(job.strategy.features))
            groups.setdefault((job.strategy.transform, columns, id(job.rows)), []).append(k)
    return list(groups.values())


def _transformed(job: Job, members: list[int]) -> _Bench:
    """Fit the transform on the training rows and apply it to all rows of the fold."""
    rows, transform = job.rows, job.strategy.transform
    assert transform is not None
    start = time.perf_counter()
    used = np.concatenate([rows.train, rows.test])
    where = np.full(rows.task.n_rows, -1, dtype=np.intp)
    where[used] = np.arange(len(used))
    try:
        with warnings.catch_warnings():
            # a transform that makes do with fewer rows than it asked for is a strategy like any other
            warnings.simplefilter("ignore")
            preparation = prepare(transform.build(), rows, rows.columns(job.strategy.features))
            table = _table(rows.task, preparation.apply(rows.task.matrix[used]), used)
    except Exception as error:  # a transformer may raise anything; the other strategies go on
        return _Bench(members, _describe(error), where)
    return _Bench(members, table, where, preparation, time.perf_counter() - start)


def _table(task: Task, matrix: NDArray[np.float64], rows: Ints) -> Table:
    weights, offset = (None if v is None else v[rows] for v in (task.sample_weight, task.offset))
    return Table(matrix, task.y[rows].astype(np.float64), sample_weight=weights, offset=offset)


def _solve(jobs: Sequence[tuple[_Bench, Job]], options: Options) -> list[Solved]:
    """Choose alphas on inner folds, then solve every job on its training rows."""
    alphas = _alphas(jobs, options)
    fits = _Queue(options)
    places = [
        alpha if isinstance(alpha, str) else fits.add(bench, job, job.rows, alpha)
        for (bench, job), alpha in zip(jobs, alphas, strict=True)
    ]
    results = fits.run()
    found = (place if isinstance(place, str) else results[place] for place in places)
    return [_solved(*pair, result, alpha) for pair, result, alpha in zip(jobs, found, alphas, strict=True)]


def _alphas(jobs: Sequence[tuple[_Bench, Job]], options: Options) -> list[_Alpha | str]:
    """Return the strength of each job, or why it cannot be solved."""
    paths = _Queue(options)
    places = [paths.add_inner(bench, job) for bench, job in jobs]
    results = paths.run()
    return [
        bench.table if isinstance(bench.table, str) else _alpha(job, [results[place] for place in mine])
        for (bench, job), mine in zip(jobs, places, strict=True)
    ]


def _solved(bench: _Bench, job: Job, result: CellResult | str, alpha: _Alpha | str) -> Solved:
    if isinstance(result, str) or isinstance(alpha, str):
        return Solved(reason=str(result))
    choosing = job.rows.seconds(job.strategy.features)
    seconds = float(result.seconds[0]) + alpha.seconds + bench.seconds + choosing
    return Solved(result, "", seconds, bench.preparation)


class _Alpha(NamedTuple):
    """Strengths, whether they are multiples of alpha_max, and the seconds it took to choose them."""

    values: NDArray[np.float64]
    of_max: bool
    seconds: float = 0.0


@dataclass(eq=False)
class _Queue:
    """Cells for one engine call; a cell that is asked for twice is solved once."""

    options: Options
    cells: list[Cell] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    _places: dict[Hashable, int] = field(default_factory=dict)
    _penalties: dict[int, Penalty] = field(default_factory=dict)
    _recipes: dict[int, int] = field(default_factory=dict)
    _numbers: dict[Hashable, int] = field(default_factory=dict)

    def add(self, bench: _Bench, job: Job, rows: FoldRows, alpha: _Alpha) -> int:
        """Ask for a strategy on training rows; return the place of its result."""
        strategy, split = job.strategy, self._split(bench, rows)
        columns = rows.columns(strategy.features) if bench.preparation is None else None
        key = (split, _key(columns), self._recipe(strategy), alpha.values.tobytes(), alpha.of_max)
        if key not in self._places:
            self._places[key] = len(self.cells)
            self.cells.append(_cell(job, self._penalty(job), split, columns, alpha))
        return self._places[key]

    def _recipe(self, strategy: Strategy) -> int:
        """Return a number that strategies share which ask for the same fits; hashing them is dear, so once each."""
        number = self._recipes.get(id(strategy))
        if number is None:
            parts = (strategy.loss, strategy.penalty, strategy.standardize, strategy.scales_y, strategy.solver)
            number = self._recipes[id(strategy)] = self._numbers.setdefault(parts, len(self._numbers))
        return number

    def _penalty(self, job: Job) -> Penalty:
        """Return the penalty with its groups as labels; jobs that share a penalty share the answer."""
        penalty = job.strategy.penalty
        if id(penalty) not in self._penalties:
            self._penalties[id(penalty)] = grouped(penalty, job.rows.task)
        return self._penalties[id(penalty)]

    def add_inner(self, bench: _Bench, job: Job) -> list[int]:
        """Ask for the path of a job's alphas on its inner folds; for nothing where alpha is given."""
        alpha = job.strategy.alpha
        if not isinstance(alpha, CV) or isinstance(bench.table, str):
            return []
        path = _Alpha(alpha.ratios(job.strategy.penalty.l1_share), of_max=True)
        folds = job.rows.inner(alpha.folds, alpha.random_state)
        return [self.add(bench, job, rows, path) for rows in folds if not rows.problem]

    def _split(self, bench: _Bench, rows: FoldRows) -> int:
        assert isinstance(bench.table, Table)
        if (id(bench), id(rows)) not in self._places:
            if id(bench) not in self._places:
                self._places[id(bench)] = len(self.tables)
                self.tables.append(bench.table)
            self._places[id(bench), id(rows)] = len(self.splits)
            table = self._places[id(bench)]
            self.splits.append(Split(bench.where[rows.train], bench.where[rows.test], table))
        return self._places[id(bench), id(rows)]

    def run(self) -> list[CellResult | str]:
        """Solve what was asked for; if the engine refuses the lot, one by one: a bad cell fails alone."""
        try:
            return list(self._call(self.cells))
        except Exception:
            return [self._alone(cell) for cell in self.cells]

    def _alone(self, cell: Cell) -> CellResult | str:
        try:
            return self._call([cell])[0]
        except Exception as error:
            return _describe(error)

    def _call(self, cells: Sequence[Cell]) -> Sequence[CellResult]:
        if not cells:
            return []
        return run_cells(
            self.tables,
            self.splits,
            cells,
            tol=self.options.tol,
            max_iter=self.options.max_iter,
            missing="mean",
            n_threads=self.options.n_threads,
        )


def grouped(penalty: Penalty, task: Task) -> Penalty:
    """Return a penalty with the groups that it has on a task: by default the columns of each raw column.

    Raises
    ------
    ValueError
        If the groups name a column that the task does not have, or one twice.
    """
    return label_groups(penalty, task.columns, task.blocks, task.block_names)


def _cell(job: Job, penalty: Penalty, split: int, columns: Ints | None, alpha: _Alpha) -> Cell:
    strategy, n_classes = job.strategy, job.rows.task.n_classes or 0
    return Cell(
        alphas=alpha.values,
        split=split,
        columns=columns,
        loss=strategy.equation_loss,
        penalty=penalty,
        n_classes=n_classes if n_classes > 2 else 1,
        solver=strategy.solver,
        of_max=alpha.of_max,
        standardize=strategy.standardize,
        scale_y=strategy.scales_y,
    )


def _alpha(job: Job, inner: Sequence[CellResult | str]) -> _Alpha | str:
    """Return the strength of a job, or why there is none."""
    alpha = job.strategy.alpha
    if isinstance(alpha, CV):
        return _best_of_path(job, alpha, inner)
    if isinstance(alpha, PerRow):
        return _Alpha(np.array([alpha.value(job.rows.total_weight)]), of_max=False)
    if isinstance(alpha, OfMax):
        return _Alpha(np.array([alpha.r]), of_max=True)
    if isinstance(alpha, float):
        return _Alpha(np.array([alpha]), of_max=False)
    return f"alpha must be a number, PerRow, OfMax or CV, got {alpha!r}"


def _best_of_path(job: Job, alpha: CV, inner: Sequence[CellResult | str]) -> _Alpha | str:
    """Return the multiple of alpha_max with the lowest mean loss; the larger one where two are equal."""
    solved = [result for result in inner if not isinstance(result, str)]
    if not solved:
        reasons = [result for result in inner if isinstance(result, str)]
        return f"alpha could not be chosen: {reasons[0] if reasons else 'no inner fold has both sides'}"
    mean = np.mean([_usable_loss(result, job.strategy.kind) for result in solved], axis=0)
    if not np.isfinite(mean).any():
        return "alpha could not be chosen: no candidate converged on every inner fold"
    best = int(np.argmin(mean))
    seconds = sum(float(np.sum(result.seconds)) for result in solved)
    return _Alpha(alpha.ratios(job.strategy.penalty.l1_share)[best : best + 1], True, seconds)


def _usable_loss(result: CellResult, kind: str) -> NDArray[np.float64]:
    """Return held-out losses, infinite where the fit cannot be trusted."""
    loss = held_out_loss(result, kind)
    return np.where(np.isin(result.status, _GOOD) & np.isfinite(loss), loss, np.inf)


def _key(columns: Ints | None) -> bytes | None:
    return None if columns is None else columns.tobytes()


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
