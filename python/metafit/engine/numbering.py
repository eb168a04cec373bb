"""How a request to the core names what its cells share: sets of rows, subsets and grids by number, as flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOTHING", "ZERO", "Shared", "ends", "fold_numbers", "places", "ragged", "repeated"]

Ints = NDArray[np.int64]
Ragged = tuple[NDArray[Any], Ints]

ZERO, MINUS_ONE = np.zeros(1, dtype=np.int64), np.full(1, -1)
NOTHING = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


class Shared:
    """Arrays by number; one that is asked for again keeps its number."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []
        self._numbers: dict[int, int] = {}

    def number(self, array: Any) -> int:
        """Return the number of an array; the caller keeps it alive."""
        number = self._numbers.setdefault(id(array), len(self._arrays))
        if number == len(self._arrays):
            self._arrays.append(np.atleast_1d(array))
        return number

    def ragged(self, dtype: Any) -> Ragged:
        """Return all arrays one after another, with their ends."""
        return ragged(self._arrays, dtype) if self._arrays else (np.empty(0, dtype), NOTHING[1])


def ragged(arrays: Sequence[NDArray[Any]], dtype: Any) -> Ragged:
    """One after another, with their ends."""
    ends = np.cumsum([len(array) for array in arrays], dtype=np.int64)
    return np.concatenate(arrays, dtype=dtype, casting="unsafe"), ends


def fold_numbers(folds: Sequence[Sequence[tuple[Ints, Ints]]], n_tables: int, rows: Shared) -> tuple[Ints, Ints]:
    """Numbers of the row sets of every table's splits; -1 stands for all rows to train on, none to be scored on."""
    if not folds[0]:
        minus = MINUS_ONE if n_tables == 1 else np.full(n_tables, -1)
        return minus, minus
    known: dict[int, tuple[list[int], list[int]]] = {}
    for pairs in folds:
        if id(pairs) not in known:
            numbers = [(rows.number(train), rows.number(test)) for train, test in pairs]
            known[id(pairs)] = [-1, *(train for train, _ in numbers)], [-1, *(test for _, test in numbers)]
    lists = [known[id(pairs)] for pairs in folds] * (n_tables if len(folds) == 1 else 1)
    train, test = np.array(lists, dtype=np.int64).transpose(1, 0, 2).reshape(2, -1)
    return train, test


@lru_cache(maxsize=16)
def repeated(n: int, times: int) -> Ints:
    """Return 0, ..., n - 1, each so many times in a row."""
    return np.repeat(np.arange(n), times)


@lru_cache(maxsize=16)
def ends(n: int, size: int) -> Ints:
    """Return the ends of n parts of the same size."""
    return np.arange(1, n + 1) * size


@lru_cache(maxsize=16)
def places(n_tables: int, n_subsets: int | None, n_splits: int, n_grids: int) -> tuple[Ints, Ints, Ints]:
    """Split, subset and grid of every cell; one number where it is that of all cells."""
    count = n_subsets or 1
    splits = np.arange(n_tables * n_splits).reshape(n_tables, 1, n_splits)
    split = np.repeat(splits, count, axis=1).ravel()
    subset = MINUS_ONE if n_subsets is None else np.tile(np.repeat(np.arange(n_subsets), n_splits), n_tables)
    grid = ZERO if n_grids == 1 else np.repeat(np.arange(n_tables), count * n_splits)
    return split, subset, grid
