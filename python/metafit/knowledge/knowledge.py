"""`Knowledge`: what strategies scored on tasks, and what these tasks look like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

import pandas as pd

from metafit.knowledge import files, tables
from metafit.knowledge.likeness import Neighbourhood
from metafit.scores import Scores, by_metric
from metafit.strategies.strategy import Strategy
from metafit.study import Study

__all__ = ["Knowledge"]


@dataclass(frozen=True, eq=False, repr=False)
class Knowledge:
    """Scores of strategies on tasks, with the tasks' descriptions; immutable, equal where the content is equal.

    Parameters
    ----------
    scores : Scores
        With ``scores.descriptions`` where tasks are described. Kept are the tasks and strategies that were attempted,
        and of the cells what learning reads: status, loss and seconds of every split.

    Attributes
    ----------
    scores : Scores
        ``scores.tasks`` has the columns ``kind``, ``family``, ``fingerprint`` and ``twin``: tasks that hold the same
        rows bear the same name there.

    Notes
    -----
    What `update` adds, `remove` takes away to the last bit.

    Examples
    --------
    >>> known = Knowledge.load("default")
    >>> known.without(known.scores.tasks["family"].iloc[0]) == known
    False
    >>> losses = pd.DataFrame({"a": [0.1, 0.2]}, index=["t", "u"])
    >>> more = known.update(Scores.from_matrix(losses))
    >>> more == known, more.remove(["t", "u"]) == known
    (False, True)
    """

    scores: Scores

    def __post_init__(self) -> None:
        """Keep what learning reads, in one form for equal content."""
        object.__setattr__(self, "scores", tables.canonical(self.scores))

    @classmethod
    def of(cls, source: Any, metric: str | None = None) -> Knowledge:
        """Return what a source knows.

        Parameters
        ----------
        source : "default", path of a study or of saved knowledge, Study, Scores or Knowledge
            "default" is what ships with the package.
        metric : str, optional
            Takes the place of the loss where the source holds it: see `metafit.scores.by_metric`. Knowledge holds none.

        Raises
        ------
        TypeError, ValueError
            If it is something else, or cannot be read.
        """
        if isinstance(source, Knowledge):
            return source
        if isinstance(source, str | Path):
            return cls.of(_opened(source), metric)
        if isinstance(source, Study):
            return cls.of(source.scores(), metric)
        if isinstance(source, Scores):
            return cls(by_metric(source, metric) if metric is not None and metric in source.cells else source)
        choices = "'default', None, a Knowledge, a Study, the path of one of them, or Scores"
        raise TypeError(f"knowledge must be {choices}, got {type(source).__name__}")

    @classmethod
    def load(cls, path: str | Path = "default") -> Knowledge:
        """Read what `save` wrote, a study, or what ships with the package.

        Parameters
        ----------
        path : path or "default"

        Raises
        ------
        ValueError
            If there is neither, or it is of another format version.
        """
        return cls.of(_opened(path))

    def save(self, path: str | Path) -> None:
        """Write it into a folder: a Parquet file each for cells, tasks, strategies and descriptions.

        Examples
        --------
        >>> import tempfile
        >>> known = Knowledge(Scores.from_matrix(pd.DataFrame({"a": [0.1]}, index=["t"])))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     known.save(folder)
        ...     Knowledge.load(folder) == known
        True
        """
        files.write(Path(path), self.scores)

    @property
    def descriptions(self) -> pd.DataFrame | None:
        """The tasks' meta-features as `metafit.describe` gives them; None if no task is described."""
        return self.scores.descriptions

    @cached_property
    def strategies(self) -> dict[str, Strategy]:
        """The strategies that are written down, by their names in the scores."""
        written = self.scores.strategies["json"].dropna()
        return {str(name): Strategy.from_json(text) for name, text in written.items()}

    @cached_property
    def neighbourhood(self) -> Neighbourhood | None:
        """The described tasks as points, to compare a table with; None if no task is described."""
        return None if self.descriptions is None else Neighbourhood.of(self.descriptions)

    @cached_property
    def content(self) -> str:
        """A digest of everything it holds."""
        return tables.digest_of(self.scores)

    def without(self, family: str | Iterable[str]) -> Knowledge:
        """Leave out all tasks of a family, or of several: nothing of them is left.

        Raises
        ------
        ValueError
            If there is no such family.
        """
        families = [family] if isinstance(family, str) else list(family)
        known = self.scores.tasks["family"]
        if unknown := sorted(set(families) - set(known)):
            raise ValueError(f"knowledge holds no family {unknown[:5]}; it holds {list(known.unique()[:5])} ...")
        return self.remove(known.index[known.isin(families)])

    def remove(self, task: str | Iterable[str]) -> Knowledge:
        """Leave out a task, or several.

        Raises
        ------
        ValueError
            If there is no such task.
        """
        return Knowledge(self.scores.without_tasks([task] if isinstance(task, str) else task))

    def update(self, source: Any) -> Knowledge:
        """Add what a study (or any other source, see `of`) knows; cells that are here already must be the same.

        Raises
        ------
        ValueError
            If the two contradict each other: in a cell, in what a task or a strategy is.
        """
        return Knowledge(tables.joined(self.scores, Knowledge.of(source).scores))

    def of_kind(self, kind: str) -> Knowledge:
        """Keep the tasks of one kind.

        Raises
        ------
        ValueError
            If there is none.
        """
        return Knowledge(self.scores.of_kind(kind))

    def only_strategies(self, ids: Iterable[str]) -> Knowledge:
        """Keep these strategies."""
        return Knowledge(self.scores.only_strategies(ids))

    def with_twins(self, pairs: Iterable[tuple[str, str]]) -> Knowledge:
        """Mark tasks that hold the same rows, as `TaskSuite.twins` finds them: (first, later) names."""
        twin = self.scores.tasks["twin"].copy()
        for first, later in pairs:
            if {first, later} <= set(twin.index):
                twin[later] = twin[first]
        return Knowledge(tables.changed(self.scores, tasks=self.scores.tasks.assign(twin=twin)))

    def same_table(self, fingerprint: str) -> list[str]:
        """Return the tasks of this fingerprint, and their twins."""
        tasks = self.scores.tasks
        twins = tasks["twin"][tasks["fingerprint"] == fingerprint]
        return [str(name) for name in tasks.index[tasks["twin"].isin(twins)]]

    def __sklearn_clone__(self) -> Self:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Knowledge) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __repr__(self) -> str:
        described = 0 if self.descriptions is None else len(self.descriptions)
        return f"Knowledge({self.scores!r}, {described} described)"


def _opened(path: str | Path) -> Knowledge | Study:
    if path == "default":
        return _shipped()
    return Knowledge(files.read(Path(path))) if files.is_saved(Path(path)) else Study(path)


@cache
def _shipped() -> Knowledge:
    return Knowledge(files.read(files.SHIPPED))
