"""What a table holds, whatever the order of its rows and columns and however they are called."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metafit.tasks.frames import (
    Column,
    Floats,
    Frame,
    Labels,
    holds_labels,
    labels_of,
    read_labels,
    read_numbers,
)

Hashes = NDArray[np.uint64]


def digest(*parts: bytes | str) -> str:
    """Hash texts and bytes, in order, to 128 bits of hex."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()


def mix(values: Hashes) -> Hashes:
    """Scramble 64-bit integers (the finaliser of SplitMix64; Steele, Lea and Flood, OOPSLA 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def hash_numbers(numbers: Floats) -> Hashes:
    """Hash numbers by value: -0.0 equals 0.0 and all NaN are one."""
    plain = np.where(np.isnan(numbers), np.nan, numbers + 0.0)
    return mix(np.ascontiguousarray(plain).view(np.uint64))


def hash_labels(labels: Labels) -> Hashes:
    """Hash categories by their text; a missing one hashes as 0."""
    levels = [int(digest(level)[:16], 16) for level in labels.levels]
    return np.array([*levels, 0], dtype=np.uint64)[labels.codes]


def hash_column(column: Column) -> Hashes:
    """Hash a raw column value by value."""
    return hash_labels(read_labels(column)) if holds_labels(column) else hash_numbers(read_numbers(column))


def hash_target(y: NDArray[Any], classes: NDArray[Any] | None) -> Hashes:
    """Hash a target value by value; of classes the label counts, not the code."""
    return hash_numbers(y) if classes is None else hash_labels(labels_of(classes[y]))


def digest_values(hashes: Hashes) -> str:
    """Digest a column whatever the order of its rows."""
    return digest(np.sort(hashes).tobytes())


@dataclass(frozen=True)
class Content:
    """
    A table's values as hashes.

    Attributes
    ----------
    hashes : uint64 array of shape (n, k)
        A hash for each value; equal values of any column have equal hashes.
    digests : list of str
        A digest for each column, whatever the order of its rows.
    """

    hashes: Hashes
    digests: list[str]

    @staticmethod
    def of(columns: list[Hashes]) -> Content:
        """Collect columns of hashes."""
        return Content(np.column_stack(columns), [digest_values(column) for column in columns])

    def rows(self, columns: list[int]) -> Hashes:
        """
        Hash each row over some columns, whatever the order of the columns.

        A value is salted with its column's digest, not its name, so equal columns of two tables salt alike.
        """
        salts = np.array([int(self.digests[j][:16], 16) for j in columns], dtype=np.uint64)
        return mix(mix(self.hashes[:, columns] ^ salts).sum(axis=1, dtype=np.uint64))


def content_of(frame: Frame, y: NDArray[Any], classes: NDArray[Any] | None) -> Content:
    """Hash a table; its target is the last column."""
    return Content.of([*(hash_column(frame[name]) for name in frame.columns), hash_target(y, classes)])


def fingerprint(content: Content, kind: str) -> str:
    """Digest a table: its columns as sets of values, and its rows as a multiset over all columns."""
    *features, target = content.digests
    rows = content.rows(list(range(len(content.digests))))
    return digest(kind, target, *sorted(features), np.sort(rows).tobytes())
