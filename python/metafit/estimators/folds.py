"""Which rows are fitted and which are held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, check_cv

from metafit.tasks.rows import sample_rows
from metafit.tasks.task import Task

__all__ = ["first_look", "splits_of"]

Rows = NDArray[np.intp]
Split = tuple[Rows, Rows]

#: Training rows above which strategies are first looked at on a sample, and the rows of a sample.
_LARGE, _SAMPLE = 20_000, 4_000


def splits_of(task: Task, cv: Any, random_state: int | None) -> list[Split]:
    """Return the folds that `cv` stands for; an int keeps groups together and class proportions alike.

    Raises
    ------
    ValueError
        If there are fewer rows or groups than folds, or a fold has an empty side.
    """
    if cv is None or isinstance(cv, int | np.integer):
        splitter = _splitter(task, 5 if cv is None else int(cv), random_state)
    else:
        splitter = check_cv(cv, task.y)
    found = splitter.split(np.zeros(task.n_rows), task.y, task.groups)
    pairs = [(np.asarray(train), np.asarray(test)) for train, test in found]
    for train, test in pairs:
        if not len(train) or not len(test):
            raise ValueError("cv has a fold without training rows or without held-out rows")
    return pairs


def _splitter(task: Task, folds: int, random_state: int | None) -> Any:
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): KFold,
        (True, False): StratifiedKFold,
        (False, True): GroupKFold,
        (True, True): StratifiedGroupKFold,
    }
    kind = kinds[task.classes is not None, task.groups is not None]
    return kind(folds) if random_state is None else kind(folds, shuffle=True, random_state=random_state)


def first_look(task: Task, split: Split, random_state: int | None) -> Split | None:
    """Sample both sides of a fold whose training rows are many; None where they are not.

    Whole groups, and each class by its share: see `metafit.tasks.rows.sample_rows`.

    Examples
    --------
    >>> task = Task(np.zeros((30_000, 1)), np.arange(30_000.0))
    >>> train, test = first_look(task, (np.arange(24_000), np.arange(24_000, 30_000)), None)
    >>> len(train), len(test), int(test.min()) >= 24_000
    (4000, 4000, True)
    >>> first_look(task, (np.arange(9_000), np.arange(9_000, 30_000)), None) is None
    True
    """
    train, test = split
    if len(train) <= _LARGE:
        return None
    rng = np.random.default_rng(random_state)
    return _sampled(task, train, rng), _sampled(task, test, rng)


def _sampled(task: Task, rows: Rows, rng: np.random.Generator) -> Rows:
    if len(rows) <= _SAMPLE:
        return rows
    codes = None if task.classes is None else task.y[rows]
    groups = None if task.groups is None else task.groups[rows]
    return rows[sample_rows(_SAMPLE, codes, groups, len(rows), rng)]
