"""
From a raw frame to the matrix of numbers that a fit sees, fixed once per task.

Numbers stay as they are and booleans become 0/1. A category of two levels becomes one 0/1 column; one of more
levels becomes one column a level, for the 50 most frequent levels, and one `other` for the rest. The columns
that come from one raw column form a *block*. Missing numbers are NaN, and a missing or unseen category makes
its whole block NaN: each fit puts the means of its own training rows there. The encoding looks at categories
only, never at a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metafit.tasks.frames import Column, Floats, Ints, as_frame, holds_labels, read_labels, read_numbers

MAX_LEVELS = 50


class Block(Protocol):
    """How one raw column becomes one or several columns of numbers."""

    @property
    def name(self) -> str:
        """The raw column's name."""

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns."""

    def encode(self, column: Column) -> Floats:
        """Encode a raw column of n values to shape (n, encoded columns)."""


@dataclass(frozen=True)
class Number:
    """A raw column of numbers or booleans: one encoded column."""

    name: str

    @property
    def names(self) -> list[str]:
        """The raw name."""
        return [self.name]

    def encode(self, column: Column) -> Floats:
        """Read the numbers, NaN where missing."""
        return read_numbers(column)[:, None]


@dataclass(frozen=True)
class Category:
    """
    A raw column of categories: a 0/1 column for each of `levels`, and one for `rare` levels if there are any.

    Of two levels only the second has a column: the first is its complement.
    """

    name: str
    levels: tuple[str, ...]
    rare: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """Names such as ``"sex=male"``, and ``"sex=other"`` for rare levels."""
        shown = self.levels[1:] if self._is_binary else self.levels
        return [f"{self.name}={level}" for level in shown] + ([self._other] if self.rare else [])

    @property
    def _is_binary(self) -> bool:
        return len(self.levels) == 2 and not self.rare

    @property
    def _other(self) -> str:
        return f"{self.name}=other" if "other" not in self.levels else f"{self.name}=(other)"

    def encode(self, column: Column) -> Floats:
        """Write 0/1 indicators of the levels; a missing or unseen one is NaN throughout."""
        labels = read_labels(column)
        # The last entry answers for code -1, a missing label.
        return np.vstack([self.indicators(labels.levels), np.full((1, len(self.names)), np.nan)])[labels.codes]

    def indicators(self, levels: Sequence[str]) -> Floats:
        """Write the encoded columns of levels, shape (n levels, encoded columns); an unseen one is NaN throughout."""
        where = np.array([self._position(level) for level in levels], dtype=np.int64)
        encoded = (where[:, None] == np.arange(len(self.levels) + bool(self.rare))).astype(np.float64)
        encoded[where < 0] = np.nan
        return np.asarray(encoded[:, 1:] if self._is_binary else encoded, dtype=np.float64)

    def _position(self, level: str) -> int:
        if level in self.rare:
            return len(self.levels)
        return self.levels.index(level) if level in self.levels else -1


def block_of(column: Column) -> Block:
    """Choose how to encode a raw column from its contents."""
    if not holds_labels(column):
        return Number(column.name)
    labels = read_labels(column)
    counts = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.levels))
    # A stable sort of the alphabetical levels: ties go to the first in the alphabet.
    frequent = np.sort(np.argsort(-counts, kind="stable")[:MAX_LEVELS])
    kept = tuple(labels.levels[i] for i in frequent)
    return Category(column.name, kept, frozenset(labels.levels) - frozenset(kept))


class Encoder:
    """
    The fixed map from raw frames to float matrices.

    Attributes
    ----------
    columns : list of str
        Names of the p encoded columns, such as ``"age"`` and ``"sex=male"``.
    blocks : int array of shape (p,)
        The raw column that each encoded column comes from.
    block_names : list of str
        Names of the raw columns.
    parts : tuple of Number and Category
        How each raw column is encoded.
    categorical : bool array
        For each raw column, whether it is a category.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [31.0, None], "sex": ["male", "female"], "town": ["a", "b"]})
    >>> encoder = Encoder().fit(frame)
    >>> encoder.columns
    ['age', 'sex=male', 'town=b']
    >>> encoder.transform(frame)
    array([[31.,  1.,  0.],
           [nan,  0.,  1.]])
    """

    def __init__(self) -> None:
        self._set(())

    def _set(self, parts: Sequence[Block]) -> None:
        self.parts = tuple(parts)
        self.columns = [name for part in parts for name in part.names]
        self.block_names = [part.name for part in parts]
        self.blocks: Ints = np.repeat(np.arange(len(parts)), [len(part.names) for part in parts]).astype(np.int64)
        self.categorical: NDArray[np.bool_] = np.array([isinstance(part, Category) for part in parts], dtype=bool)

    def __repr__(self) -> str:
        return f"Encoder({len(self.block_names)} raw columns -> {len(self.columns)} columns)"

    def fit(self, X: Any) -> Encoder:
        """
        Fix the encoding from the columns of `X`.

        Raises
        ------
        ValueError
            For dates, durations and nested values, naming the column.
        """
        frame = as_frame(X)
        self._set([block_of(frame[name]) for name in frame.columns])
        return self

    def transform(self, X: Any) -> Floats:
        """
        Encode a raw frame.

        Parameters
        ----------
        X : frame, or array of shape (n, raw columns)
            Columns of a frame are matched by name, in any order; others are left aside. An array goes by
            position.

        Returns
        -------
        array of shape (n, p)
            float64 in Fortran order, NaN where missing.

        Raises
        ------
        ValueError
            If a column is missing, infinite, or holds text where the encoding has numbers.
        """
        frame = as_frame(X, names=self.block_names)
        lost = [name for name in self.block_names if name not in frame.columns]
        if lost:
            raise ValueError(f"X lacks the columns {lost} on which the encoding was fixed; it has {frame.columns}.")
        matrix = np.empty((len(frame), len(self.columns)), order="F")
        for j, part in enumerate(self.parts):
            matrix[:, self.blocks == j] = part.encode(frame[part.name])
        return matrix
