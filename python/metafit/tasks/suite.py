"""A suite: many tasks under one roof, made when they are asked for."""

from __future__ import annotations

import glob as globbing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metafit.tasks.entries import Entry, LazyTask
from metafit.tasks.fingerprints import digest
from metafit.tasks.frames import Frame, as_frame, as_text, as_values
from metafit.tasks.task import Kind, Task
from metafit.tasks.twins import Twins


class TaskSuite(Sequence[Task]):
    """
    An immutable sequence of tasks with unique names.

    Parameters
    ----------
    tasks : iterable of Task or LazyTask
        A `LazyTask` is loaded each time it is asked for and kept only while somebody holds it.

    Raises
    ------
    ValueError
        If two tasks have the same name.

    Examples
    --------
    >>> from metafit.tasks import load_suite
    >>> suite = load_suite("toy")
    >>> suite["diabetes"]
    Task('diabetes', regression, 442 rows, 10 features)
    >>> suite.kind("regression").names
    ['diabetes', 'linnerud_weight', 'linnerud_waist', 'linnerud_pulse', 'wine_alcohol']
    """

    def __init__(self, tasks: Iterable[Task | LazyTask]) -> None:
        self._hold(Entry.of(task) for task in tasks)

    def _hold(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)
        self._position = {entry.name: i for i, entry in enumerate(self._entries)}
        if len(self._position) < len(self._entries):
            repeated = sorted(name for name, count in Counter(self.names).items() if count > 1)
            raise ValueError(f"tasks must have unique names; {repeated} repeat.")

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, key: int | str) -> Task: ...
    @overload
    def __getitem__(self, key: slice | list[int] | list[str]) -> TaskSuite: ...
    def __getitem__(self, key: int | str | slice | list[int] | list[str]) -> Task | TaskSuite:
        if isinstance(key, slice):
            return TaskSuite._of(self._entries[key])
        if isinstance(key, int | str | np.integer):
            return self._entry(key).task()
        return TaskSuite._of([self._entry(item) for item in key])

    def _entry(self, key: int | str) -> Entry:
        if isinstance(key, str) and key not in self._position:
            shown = ", ".join(self.names[:10]) + (", ..." if len(self) > 10 else "")
            raise KeyError(f"no task is called {key!r}; the suite has {shown}")
        return self._entries[self._position[key] if isinstance(key, str) else key]

    @classmethod
    def _of(cls, entries: Iterable[Entry]) -> TaskSuite:
        suite = cls(())
        suite._hold(entries)
        return suite

    def __iter__(self) -> Iterator[Task]:
        return (entry.task() for entry in self._entries)

    def __contains__(self, item: object) -> bool:
        if isinstance(item, str):
            return item in self._position
        return any(item is not None and item is entry.held() for entry in self._entries)

    def __repr__(self) -> str:
        known = Counter(str(entry.known_kind) for entry in self._entries if entry.known_kind is not None)
        counts = "".join(f", {known[kind]} {kind}" for kind in sorted(known))
        return f"TaskSuite({len(self)} tasks{counts})"

    @property
    def names(self) -> list[str]:
        """The tasks' names, in order."""
        return [entry.name for entry in self._entries]

    @property
    def kinds(self) -> list[str]:
        """Each task's kind, in order."""
        return [entry.kind for entry in self._entries]

    @property
    def families(self) -> list[str]:
        """Each task's family, in order: what to leave out together."""
        return [entry.family for entry in self._entries]

    def kind(self, kind: Kind) -> TaskSuite:
        """Keep the tasks of one kind; no table is loaded where the suite knows its kinds."""
        return TaskSuite._of(entry for entry in self._entries if entry.kind == kind)

    def filter(self, keep: Callable[[Task], bool]) -> TaskSuite:
        """Keep the tasks for which `keep(task)` is true; loads each task once."""
        return TaskSuite._of(entry for entry in self._entries if keep(entry.task()))

    def limit(self, max_rows: int | None, random_state: int = 0) -> TaskSuite:
        """Cap every task's rows as `Task.limit` does, when it is loaded."""
        return TaskSuite._of(entry.limit(max_rows, random_state) for entry in self._entries)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all tasks in order, their names, families, groups, weights and offsets; loads each."""
        return digest(*(part for task in self for part in _identity(task)))

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        target: str,
        *,
        by: str | Sequence[str] | None = None,
        kind: Kind | None = None,
        name: str | None = None,
        drop: Sequence[str] = (),
        groups: str | None = None,
        sample_weight: str | None = None,
        offset: str | None = None,
    ) -> TaskSuite:
        """
        Cut one frame into a task for each value of the columns `by`.

        The tasks share one encoding and one list of classes, so their columns and coefficients correspond.
        They form one family. Rows whose target is missing are left out.

        Parameters
        ----------
        frame : pandas, polars or pyarrow table
        target : str
            The column to predict.
        by : str or sequence of str, optional
            The columns that tell the tasks apart; without them the frame is one task.
        kind : {"classification", "regression"}, optional
            As for `Task`.
        name : str, optional
            The family's name; by default made from `target` and `by`.
        drop : sequence of str
            Columns that are no features.
        groups, sample_weight, offset : str, optional
            Columns that hold what `Task` calls so; they are no features.

        Raises
        ------
        ValueError
            If a column is lacking, or `by` has missing values.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"school": [1, 1, 2], "ses": [0.5, -1.0, 0.1], "score": [11.5, 6.0, 9.0]})
        >>> [task.n_rows for task in TaskSuite.from_frame(frame, "score", by="school")]
        [2, 1]
        """
        table = as_frame(frame)
        keys = [by] if isinstance(by, str) else list(by or ())
        roles = {"groups": groups, "sample_weight": sample_weight, "offset": offset}
        family = name or (f"{target} by {' '.join(keys)}" if keys else target)
        whole = _whole_task(table, target, [*keys, *drop], roles, kind, family)
        return cls([whole] if not keys else _cut(whole, _labelled(table, target).select(keys)))

    @classmethod
    def from_parquet(
        cls,
        pattern: str | Path | Iterable[str | Path],
        target: str,
        *,
        kind: Kind | None = None,
        **columns: Any,
    ) -> TaskSuite:
        """
        Make a task of each Parquet file, named after the file and read when asked for.

        Parameters
        ----------
        pattern : str, path or iterable of paths
            A glob such as ``"tasks/*.parquet"``, or the files.
        target : str
            The column to predict, in every file.
        kind : {"classification", "regression"}, optional
            As for `Task`.
        **columns
            `drop`, `groups`, `sample_weight` and `offset` as for `from_frame`.

        Raises
        ------
        FileNotFoundError
            If no file matches.
        """
        found = globbing.glob(str(pattern), recursive=True) if isinstance(pattern, str | Path) else pattern
        files = sorted(Path(file) for file in found)
        if not files:
            raise FileNotFoundError(f"no Parquet file matches {str(pattern)!r}.")
        stems = [file.stem for file in files]
        names = stems if len(set(stems)) == len(stems) else [str(file.with_suffix("")) for file in files]
        read = partial(_read_parquet, target=target, kind=kind, columns=columns)
        return cls(
            LazyTask(n, partial(read, file, n), kind=kind, family=n) for n, file in zip(names, files, strict=True)
        )

    @cached_property
    def descriptions(self) -> pd.DataFrame:
        """The tasks' meta-features, a row per task (see `metafit.describe`); computed once."""
        from metafit.descriptions import describe

        return describe(self)

    def sample(self, k: int, how: Literal["random", "diverse"] = "random", random_state: int = 0) -> TaskSuite:
        """
        Choose `k` tasks.

        Parameters
        ----------
        k : int
            How many.
        how : {"random", "diverse"}
            At random, in the suite's order; or *diverse*: from a random first task on, each next task is the
            one whose description is farthest from all chosen (Gonzalez, Theoretical Computer Science 38,
            1985).
        random_state : int
            Seed.
        """
        if not 0 < k <= len(self):
            raise ValueError(f"k={k}; it must lie between 1 and the number of tasks, {len(self)}.")
        rng = np.random.default_rng(random_state)
        if how == "random":
            return self[sorted(int(i) for i in rng.choice(len(self), k, replace=False))]
        if how != "diverse":
            raise ValueError(f"how={how!r}; it must be 'random' or 'diverse'.")
        return self[farthest_first(self._coordinates(self.descriptions), k, int(rng.integers(len(self))))]

    def nearest(self, task: Task, k: int) -> TaskSuite:
        """
        Find the `k` tasks of `task`'s kind whose descriptions are nearest to its own, nearest first.

        A task of the suite that has the same name is not its own neighbour.
        """
        from metafit.descriptions import describe_task

        same_kind = [i for i, e in enumerate(self._entries) if e.kind == task.kind and e.name != task.name]
        if not 0 < k <= len(same_kind):
            raise ValueError(
                f"k={k}; it must lie between 1 and the number of other {task.kind} tasks, {len(same_kind)}."
            )
        known = self.descriptions.iloc[same_kind]
        gaps = self._coordinates(known) - self._coordinates(describe_task(task).to_frame().T, known)
        order = np.argsort(np.square(gaps).sum(axis=1), kind="stable")
        return self[[same_kind[i] for i in order[:k]]]

    @staticmethod
    def _coordinates(descriptions: pd.DataFrame, reference: pd.DataFrame | None = None) -> NDArray[np.float64]:
        from metafit.descriptions import standardize

        return standardize(descriptions, reference).to_numpy()

    def twins(self) -> list[tuple[str, str]]:
        """
        Find pairs of tasks that hold the same rows, as (first, later) names.

        Two tasks are twins if they have equal targets and share feature columns, by values whatever their
        names, that agree with each other and with the target row for row, the rows in any order. Columns that
        only one of the two has do not count. Capped tasks are compared before the cap.
        """
        return Twins.find(self._entries)

    def drop_duplicates(self) -> TaskSuite:
        """
        Keep the first of the tasks that hold the same rows (see `twins`).

        Examples
        --------
        >>> from metafit.tasks import load_suite
        >>> wine = load_suite("toy")["wine"]
        >>> TaskSuite([wine, wine.take(range(177, -1, -1)).rename("reversed")]).drop_duplicates().names
        ['wine']
        """
        later = {second for _, second in self.twins()}
        return TaskSuite._of(entry for entry in self._entries if entry.name not in later)


def _identity(task: Task) -> list[bytes | str]:
    rows = (task.groups, task.sample_weight, task.offset)
    return [task.name, task.family, task.fingerprint, *(b"" if v is None else v.tobytes() for v in rows)]


def _labelled(table: Frame, target: str) -> Frame:
    if target not in table.columns:
        raise ValueError(f"the frame has no column {target!r} for the target; it has {table.columns}.")
    values = as_values(table[target].to_native(), "target", len(table))
    return table[np.flatnonzero(~pd.isna(values))]


def _whole_task(
    table: Frame, target: str, drop: Sequence[str], roles: dict[str, str | None], kind: Kind | None, name: str
) -> Task:
    named = {role: column for role, column in roles.items() if column is not None}
    lost = [column for column in [*drop, *named.values()] if column not in table.columns]
    if lost:
        raise ValueError(f"the frame has no columns {lost}; it has {table.columns}.")
    rows = _labelled(table, target)
    values = {role: rows[column].to_native() for role, column in named.items()}
    features = rows.drop(list({target, *drop, *named.values()}))
    return Task(features, rows[target].to_native(), name=name, kind=kind, **values)


def _cut(whole: Task, keys: Frame) -> list[Task]:
    for column in keys.columns:
        missing = int(pd.isna(keys[column].to_numpy()).sum())
        if missing:
            raise ValueError(f"column {column!r} splits the tasks but has {missing} missing values; drop those rows.")
    parts = pd.DataFrame({c: keys[c].to_numpy() for c in keys.columns}).groupby(keys.columns, sort=True).indices
    whole.matrix  # noqa: B018 - encoded once here, sliced for each part
    return [whole.take(rows).rename(_key_name(keys.columns, key)) for key, rows in parts.items()]


def _key_name(columns: Iterable[str], key: Any) -> str:
    values = key if isinstance(key, tuple) else (key,)
    return ",".join(f"{column}={as_text(value)}" for column, value in zip(columns, values, strict=True))


def _read_parquet(file: Path, name: str, *, target: str, kind: Kind | None, columns: dict[str, Any]) -> Task:
    suite = TaskSuite.from_frame(pd.read_parquet(file), target, kind=kind, name=name, **columns)
    return suite[0]


def farthest_first(points: NDArray[np.float64], k: int, first: int) -> list[int]:
    """Choose points, from a first one on each time that which is farthest from all chosen (Gonzalez 1985)."""
    chosen, distance = [first], np.full(len(points), np.inf)
    while len(chosen) < k:
        distance = np.minimum(distance, np.square(points - points[chosen[-1]]).sum(axis=1))
        distance[chosen] = -np.inf
        chosen.append(int(np.argmax(distance)))
    return chosen
