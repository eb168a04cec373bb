"""`solve_tasks`: the equation for many tasks, many targets of one X, or many weightings of its rows, in few calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metafit.engine.fits import Axes, Fits
from metafit.engine.native import STATUSES, Table
from metafit.engine.recipes import as_recipe
from metafit.engine.solution import LAZY, Solution
from metafit.engine.solve import Problem, as_alphas, check_options, check_penalty, warn
from metafit.engine.validation import Target, as_matrix, as_row_vector, as_splits, as_subsets, as_target
from metafit.strategies import losses, penalties
from metafit.strategies.penalties import label_groups

__all__ = ["TaskSolutions", "solve_tasks", "stream_tasks"]

Ints = NDArray[np.int64]
Pairs = Sequence[tuple[Ints, Ints]]

#: Numbers in the tables of one call of the core, and fits: memory stays flat however many tasks there are.
_CALL_VALUES, _CALL_FITS = 4_000_000, 100_000
_ARGUMENTS = ("X", "y", "sample_weight", "offset", "groups")


def solve_tasks(
    tasks: Iterable[Any],
    *,
    loss: str | losses.Loss = "squared",
    penalty: str | penalties.Penalty = "l2",
    alphas: float | ArrayLike | None = None,
    n_alphas: int = 50,
    subsets: Sequence[Any] | None = None,
    folds: Any = None,
    fit_intercept: bool = True,
    standardize: bool = False,
    solver: str = "auto",
    tol: float = 1e-8,
    max_iter: int = 1000,
    keep: Literal["coef", "scores", "best"] = "coef",
    n_threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> TaskSolutions:
    """Solve the equation for many tasks: each as `metafit.solve` would, without its price of a call.

    Parameters
    ----------
    tasks : iterable of (X, y), (X, y, sample_weight) or mapping
        A mapping holds "X", "y" and, where there are some, "sample_weight", "offset" and "groups". They are read as
        they are needed. Tasks one after the other that hold the same array as X (one object, which has to stay as it
        is) share one copy of it, and what can be computed without y.
    folds : int, splitter, callable or list of (train, test), optional
        As in `metafit.solve`, for every task; a callable takes X and y and returns the pairs.
    progress : callable, optional
        Called as ``progress(n_done)`` after some tasks.
    loss, penalty, alphas, n_alphas, subsets, fit_intercept, standardize, solver, tol, max_iter, keep, n_threads
        As in `metafit.solve`; with alphas=None each task has a grid of its own.

    Returns
    -------
    TaskSolutions

    Raises
    ------
    ValueError
        As in `metafit.solve`; the message says which task.

    Warns
    -----
    ConvergenceWarning, RankWarning
        As in `metafit.solve`, once for all tasks.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(40, 3)), rng.normal(size=(100, 40))
    >>> solutions = solve_tasks(((X, y) for y in Y), penalty="l1", alphas=[0.1, 0.01], folds=4)
    >>> len(solutions), solutions.coef.shape, solutions.scores["mean_squared_error"].shape
    (100, (100, 2, 3), (100, 2, 4))
    >>> solutions[7]
    Solution(2 alphas, 4 folds; 3 features; 2 converged)
    """
    options = {name: value for name, value in locals().items() if name not in ("tasks", "progress")}
    parts: list[_Part] = []
    for part in _parts(tasks, _Request(**options)):
        parts.append(part)
        if progress is not None:
            progress(sum(len(done.numbers) for done in parts))
    counts = np.sum([part.fits.counts for part in parts], axis=0, dtype=int).tolist() if parts else [0] * len(STATUSES)
    warn(counts, {reason for part in parts for reason in part.fits.reasons.values()})
    return TaskSolutions(parts)


def stream_tasks(tasks: Iterable[Any], **options: Any) -> Iterator[TaskSolutions]:
    """Solve tasks as `solve_tasks` does, and hand on some at a time: memory does not grow with their number.

    Parameters
    ----------
    tasks : iterable
    **options
        Those of `solve_tasks`, but for progress.

    Yields
    ------
    TaskSolutions
        Of the next tasks.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> tasks = ((rng.normal(size=(30, 2)), rng.normal(size=30)) for _ in range(50))
    >>> sum(len(solutions) for solutions in stream_tasks(tasks, alphas=0.1))
    50
    """
    defaults = {name: value for name, value in (solve_tasks.__kwdefaults__ or {}).items() if name != "progress"}
    for part in _parts(tasks, _Request(**defaults | options)):
        warn(part.fits.counts, set(part.fits.reasons.values()))
        part.numbers -= part.numbers[0]
        yield TaskSolutions([part])
        del part


@dataclass(eq=False)
class _Part:
    """Fits of some tasks of one shape, with what is not in the fits."""

    fits: Fits
    axes: Axes
    numbers: Ints
    grids: NDArray[np.float64]
    names: list[list[str]]
    classes: list[NDArray[Any] | None]
    has_names: list[bool]


class TaskSolutions(Sequence[Solution]):
    """Fits of many tasks: a sequence of `metafit.Solution`, made on demand, and arrays over all of them.

    Attributes
    ----------
    coef, intercept, objective, gap, kkt, n_iter, seconds, status, reason, scores
        As in `metafit.Solution`, with an axis task in front; so are ``fold_coef`` and the others of folds. They exist
        where all tasks have the same shape.
    alphas : array, shape (n_tasks, n_alphas)
    best : dict of str to array, shape (n_tasks,), or None
        As in `metafit.Solution`; -1 where no fold could be scored.
    dims : dict of str to tuple of str
    """

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(len(part.numbers) for part in self._parts)

    @overload
    def __getitem__(self, index: int) -> Solution: ...

    @overload
    def __getitem__(self, index: slice) -> list[Solution]: ...

    def __getitem__(self, index: int | slice) -> Solution | list[Solution]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part, row = self._places[range(len(self))[index]]
        return _solution(self._parts[part], int(row))

    @cached_property
    def _places(self) -> Ints:
        """Part of each task, and its place there."""
        places = np.empty((len(self), 2), dtype=np.int64)
        for number, part in enumerate(self._parts):
            places[part.numbers, 0], places[part.numbers, 1] = number, np.arange(len(part.numbers))
        return places

    @property
    def alphas(self) -> NDArray[np.float64]:
        """Strengths of each task."""
        return np.concatenate([part.grids for part in self._uniform])[self._order]

    @property
    def best(self) -> dict[str, NDArray[np.intp]] | None:
        """Subset and alpha of each task with the least mean held-out score."""
        if not self._uniform[0].axes.fold:
            return None
        subset, alpha, is_there = (
            np.concatenate(arrays) for arrays in zip(*(p.fits.best for p in self._parts), strict=True)
        )
        return {name: np.where(is_there, a, -1)[self._order] for name, a in (("subset", subset), ("alpha", alpha))}

    def __getattr__(self, name: str) -> Any:
        """Stack the arrays of a solution."""
        if name not in LAZY:
            raise AttributeError(f"solutions have no {name!r}")
        first = self._uniform[0]
        if name == "dims":
            return first.axes.dims(first.fits.keep)
        if name == "scores":
            scores = [part.fits.scores_of(part.axes) for part in self._parts]
            return {key: np.concatenate([one[key] for one in scores])[self._order] for key in scores[0]}
        made = [part.fits.field(name, part.axes) for part in self._parts]
        return None if made[0] is None else np.concatenate(made)[self._order]

    @property
    def _uniform(self) -> Sequence[_Part]:
        """The parts, of one shape."""
        shapes = {(part.fits.shape[1:], part.fits.n_classes, len(part.names[0])) for part in self._parts}
        if len(shapes) != 1:
            raise ValueError(f"tasks of {len(shapes)} shapes have no common arrays: take them one by one")
        return self._parts

    @property
    def _order(self) -> Ints | slice:
        """Where the tasks stand in the parts put together."""
        numbers = np.concatenate([part.numbers for part in self._parts])
        return slice(None) if (numbers[1:] > numbers[:-1]).all() else np.argsort(numbers)

    def __repr__(self) -> str:
        return f"TaskSolutions({len(self)} tasks)"


def _solution(part: _Part, row: int) -> Solution:
    grid = part.grids[min(row, len(part.grids) - 1)]
    return Solution(
        part.fits,
        Axes(subset=part.axes.subset, alpha=part.axes.alpha, fold=part.axes.fold, classes=part.axes.classes),
        alphas=grid if part.axes.alpha else float(grid[0]),
        classes=part.classes[row],
        feature_names=part.names[row],
        has_names=part.has_names[row],
        task=row,
    )


@dataclass(eq=False)
class _Request:
    """The options of a call, checked, and what they make of tasks."""

    loss: Any
    penalty: Any
    alphas: Any
    n_alphas: int
    subsets: Sequence[Any] | None
    folds: Any
    fit_intercept: bool
    standardize: bool
    solver: str
    tol: float
    max_iter: int
    keep: Literal["coef", "scores", "best"]
    n_threads: int | None
    _known: dict[int, Pairs] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.loss, self.penalty = losses.resolve(self.loss), penalties.resolve(self.penalty)
        check_options("error", self.solver, self.keep, self.tol, self.max_iter, self.n_threads, self.folds, None)
        self.has_axis, self.grid = self._grid()
        if not (
            self.folds is None or isinstance(self.folds, int) or callable(self.folds) or hasattr(self.folds, "split")
        ):
            self.folds = list(self.folds)

    def _grid(self) -> tuple[bool, NDArray[np.float64] | None]:
        return (True, None) if self.alphas is None else as_alphas(self.alphas)

    def pairs(self, matrix: Any, target: Target, groups: Any) -> Pairs:
        """Folds of a task; one object for all tasks that have the same."""
        if self.folds is None:
            return ()
        if callable(self.folds):
            return as_splits(list(self.folds(matrix, target.values)), matrix, target, groups)
        by_length = isinstance(self.folds, list) or (isinstance(self.folds, int) and target.classes is None)
        if not by_length or groups is not None:
            return as_splits(self.folds, matrix, target, groups)
        n = len(target.values)
        if n not in self._known:
            self._known[n] = as_splits(self.folds, matrix, target, groups)
        return self._known[n]

    def solve(self, tasks: Sequence[_Task]) -> _Part:
        """Solve tasks of one shape."""
        first = tasks[0]
        penalty = label_groups(self.penalty, first.names)
        options = {"tol": self.tol, "max_iter": self.max_iter, "n_threads": self.n_threads}
        check_penalty(penalty, len(first.names), first.target.n_classes, self.standardize)
        n_classes = first.target.n_classes
        problem = Problem(
            tables=[task.table for task in tasks],
            folds=[task.pairs for task in tasks],
            subsets=None if self.subsets is None else as_subsets(self.subsets, first.names),
            loss=self.loss,
            penalty=penalty,
            n_classes=n_classes,
            recipe=as_recipe(self.loss, penalty, n_classes, self.solver, self.fit_intercept, self.standardize),
            options=options,
        )
        for task in tasks:
            task.check(problem)
        grids = problem.grids(self.n_alphas) if self.grid is None else self.grid
        fits = problem.fits(grids, self.keep)
        fits.settle()
        return _Part(
            fits=fits,
            axes=Axes(self.subsets is not None, self.has_axis, bool(first.pairs), n_classes > 1, task=True),
            numbers=np.array([task.number for task in tasks]),
            grids=np.broadcast_to(grids, (len(tasks), grids.shape[1])),
            names=[task.names for task in tasks],
            classes=[task.target.classes for task in tasks],
            has_names=[task.has_names for task in tasks],
        )


@dataclass(eq=False)
class _Task:
    """A task in the engine's layout."""

    number: int
    table: Table
    target: Target
    pairs: Pairs
    names: list[str]
    has_names: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """What tasks of one call of the core have in common."""
        return len(self.names), self.target.n_classes, len(self.pairs)

    def check(self, problem: Problem) -> None:
        reason = self.table.refusal(problem.recipe)
        if reason:
            raise ValueError(f"task {self.number}: {problem.loss!r} cannot be fitted: {reason}")


def _parts(tasks: Iterable[Any], request: _Request) -> Iterator[_Part]:
    """Solve some tasks at a time, those of one shape together."""
    for chunk in _chunks(_read(tasks, request), request):
        shapes: dict[tuple[int, ...], list[_Task]] = {}
        for task in chunk:
            shapes.setdefault(task.shape, []).append(task)
        # the tables are dropped before the next ones are read
        chunk.clear()
        for shape in list(shapes):
            yield request.solve(shapes.pop(shape))


def _chunks(tasks: Iterator[_Task], request: _Request) -> Iterator[list[_Task]]:
    n_alphas = request.n_alphas if request.grid is None else request.grid.size
    chunk: list[_Task] = []
    size = n_fits = 0
    for task in tasks:
        shares = bool(chunk) and chunk[-1].names is task.names
        values = task.table.n_rows * (1 if shares else task.table.n_columns)
        if chunk and (size + values > _CALL_VALUES or n_fits > _CALL_FITS):
            yield chunk
            chunk, size, n_fits = [], 0, 0
        chunk.append(task)
        size, n_fits = size + values, n_fits + n_alphas * (1 + len(task.pairs)) * len(request.subsets or " ")
    if chunk:
        yield chunk


def _read(tasks: Iterable[Any], request: _Request) -> Iterator[_Task]:
    """Turn what was given into tables; an X that comes again is not copied again."""
    last: Any = None
    matrix: Any = None
    names: list[str] = []
    first: Table | None = None
    for number, given in enumerate(tasks):
        try:
            X, y, weight, offset, groups = _arguments(given)
            if X is not last or first is None:
                (matrix, names), last, first = as_matrix(X), X, None
            n_rows = matrix.shape[0]
            target = as_target(y, n_rows, request.loss)
            rows = {
                "sample_weight": as_row_vector(weight, n_rows, "sample_weight"),
                "offset": as_row_vector(offset, n_rows, "offset"),
            }
            table = Table(matrix, target.values, **rows) if first is None else first.with_rows(target.values, **rows)
            pairs = request.pairs(matrix, target, groups)
        except ValueError as error:
            raise ValueError(f"task {number}: {error}") from None
        first = first or table
        yield _Task(number, table, target, pairs, names, hasattr(X, "columns"))


def _arguments(given: Any) -> tuple[Any, Any, Any, Any, Any]:
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(_ARGUMENTS))
        if unknown or "X" not in given or "y" not in given:
            raise ValueError(f"a mapping holds X, y and, optionally, {', '.join(_ARGUMENTS[2:])}; got {sorted(given)}")
        return tuple(given.get(name) for name in _ARGUMENTS)  # type: ignore[return-value]
    if not 2 <= len(given) <= 3:
        raise ValueError(f"wants (X, y), (X, y, sample_weight) or a mapping, got {len(given)} entries")
    return given[0], given[1], given[2] if len(given) == 3 else None, None, None
