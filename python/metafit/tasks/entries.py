"""What a suite holds: tasks, and tasks yet to be loaded."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from metafit.tasks.task import Kind, Task


@dataclass(frozen=True)
class LazyTask:
    """
    A task that is loaded when asked for.

    Attributes
    ----------
    name : str
        The name it will have.
    load : callable () -> Task
        Makes the task; a module-level function or a `functools.partial` of one, so that suites can be
        pickled.
    kind : {"classification", "regression"}, optional
        Where unknown, asking for the kind loads the task.
    family : str, optional
        By default `name`.
    """

    name: str
    load: Callable[[], Task]
    kind: Kind | None = None
    family: str | None = None


@dataclass(frozen=True)
class Entry:
    """One place of a suite: a lazy task, the cap on its rows, and a weak hold on what was loaded last."""

    lazy: LazyTask
    max_rows: int | None = None
    random_state: int = 0
    _memory: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def of(task: Task | LazyTask) -> Entry:
        """Wrap a task or a lazy task."""
        if isinstance(task, Task):
            return Entry(LazyTask(task.name, _Ready(task), task.kind, task.family))
        if isinstance(task, LazyTask):
            return Entry(task)
        raise TypeError(f"a suite takes Task and LazyTask objects; got {type(task).__name__}.")

    @property
    def name(self) -> str:
        """The task's name."""
        return self.lazy.name

    @property
    def family(self) -> str:
        """The task's family."""
        return self.lazy.name if self.lazy.family is None else self.lazy.family

    @property
    def known_kind(self) -> Kind | None:
        """The task's kind if it is known before loading."""
        return self.lazy.kind or self._memory.get("kind")

    @property
    def kind(self) -> Kind:
        """The task's kind; loads the task once if it is not known."""
        if self.known_kind is None:
            self._memory["kind"] = self.task().kind
        return cast(Kind, self.known_kind)

    def limit(self, max_rows: int | None, random_state: int) -> Entry:
        """Cap the rows of the task to come; the smaller of two caps holds."""
        caps = [cap for cap in (self.max_rows, max_rows) if cap is not None]
        return replace(self, max_rows=min(caps, default=None), random_state=random_state, _memory={})

    def whole(self) -> Task:
        """Load the task without its cap, under the suite's name and family."""
        task = self.lazy.load()
        return task if (task.name, task.family) == (self.name, self.family) else task.rename(self.name, self.family)

    def held(self) -> Task | None:
        """Find the task if it is in somebody's hands."""
        held: Callable[[], Task | None] = self._memory.get("task", lambda: None)
        return held()

    def task(self) -> Task:
        """Load the task, or hand out the one that is in somebody's hands."""
        task = self.held()
        if task is None:
            task = self.whole().limit(self.max_rows, self.random_state)
            self._memory["task"] = weakref.ref(task)
        return task

    def __getstate__(self) -> dict[str, Any]:
        # Weak references cannot be pickled.
        return {**self.__dict__, "_memory": {}}


@dataclass(frozen=True)
class _Ready:
    """A loader for a task that is there already."""

    task: Task

    def __call__(self) -> Task:
        return self.task
