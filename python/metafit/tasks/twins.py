"""Finding tasks that hold the same rows: under other names, in another order, with other columns beside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from metafit.tasks.entries import Entry
from metafit.tasks.fingerprints import Content, Hashes, digest_values, hash_numbers
from metafit.tasks.task import Task

# Below this many distinct rows over the shared columns, agreement could be a coincidence of small designs.
MIN_DISTINCT = 10


class Twins:
    """Pairs of tasks with equal targets that agree row for row on the feature columns they share."""

    @staticmethod
    def find(entries: Iterable[Entry]) -> list[tuple[str, str]]:
        """List (earlier, later) names; hashes every task once, then only those with equal targets again."""
        alike: dict[tuple[int, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            alike[_target_key(entry.whole())].append(entry)
        return [pair for same in alike.values() if len(same) > 1 for pair in _pairs(same)]


def _pairs(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    contents = [(entry.name, _canonical(entry.whole())) for entry in entries]
    return [(a, b) for (a, one), (b, other) in combinations(contents, 2) if same_rows(one, other)]


def _target_key(task: Task) -> tuple[int, str]:
    return task.n_rows, digest_values(_target(task))


def _target(task: Task) -> Hashes:
    """Hash the target; a class by how frequent it is, so that yes/no equals 1/0."""
    if task.classes is None:
        return hash_numbers(task.y)
    rank = np.argsort(np.argsort(-np.bincount(task.y, minlength=len(task.classes)), kind="stable"))
    return hash_numbers(rank[task.y].astype(np.float64))


def _canonical(task: Task) -> Content:
    return Content.of([*task.content().hashes.T[:-1], _target(task)])


def same_rows(one: Content, other: Content) -> bool:
    """
    Tell whether two tables hold the same rows on the columns that they share; the last column is the target.

    Columns are matched by content, and only while the rows over all matched columns agree as multisets:
    columns that merely hold the same values, such as the year in two panels, do not make twins.
    """
    mine, theirs = [-1], [-1]
    rows = one.rows(mine)
    for i, j in _alike(one, other):
        if i in mine or j in theirs:
            continue
        tried = one.rows([*mine, i])
        if np.array_equal(np.sort(tried), np.sort(other.rows([*theirs, j]))):
            mine, theirs, rows = [*mine, i], [*theirs, j], tried
    complete = len(mine) == len(one.digests) == len(other.digests)
    return complete or (len(mine) > 1 and len(np.unique(rows)) >= MIN_DISTINCT)


def _alike(one: Content, other: Content) -> list[tuple[int, int]]:
    """Pairs of feature columns with equal values, those that say most about a row first."""
    places: dict[str, list[int]] = defaultdict(list)
    for j, found in enumerate(other.digests[:-1]):
        places[found].append(j)
    distinct = [len(np.unique(column)) for column in one.hashes.T[:-1]]
    order = sorted(range(len(distinct)), key=lambda i: -distinct[i])
    return [(i, j) for i in order for j in places[one.digests[i]]]
