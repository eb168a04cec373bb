"""Strategies as the numbers that learners take: their own hyper-parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from metafit.learners.table import FloatArray

# columns of ``Scores.strategies`` that say nothing of how a strategy works
_LABELS = ("name", "kind", "json")

Record = Mapping[str, float | str]


@dataclass(frozen=True, eq=False)
class _Numbers:
    """A hyper-parameter that is a number: its logarithm if that is always there, in standard deviations."""

    parameter: str
    in_logarithms: bool
    mean: float
    scale: float

    @classmethod
    def of(cls, parameter: str, values: FloatArray) -> _Numbers:
        in_logarithms = bool((values > 0).all())
        values = np.log(values) if in_logarithms else values
        return cls(parameter, in_logarithms, float(values.mean()), float(values.std()))

    def of_record(self, record: Record) -> float:
        value = record.get(self.parameter)
        if not isinstance(value, float) or (self.in_logarithms and value <= 0):
            return 0.0  # the mean
        return ((np.log(value) if self.in_logarithms else value) - self.mean) / self.scale


@dataclass(frozen=True, eq=False)
class _Level:
    """1 where a hyper-parameter has this value."""

    parameter: str
    level: str

    def of_record(self, record: Record) -> float:
        return float(record.get(self.parameter) == self.level)


@dataclass(frozen=True, eq=False)
class StrategyFeatures:
    """Hyper-parameters in which strategies differ, as numbers.

    They come from ``Scores.strategies``: from the column ``json`` (see `metafit.Strategy.to_json`), and from every
    further column but ``name`` and ``kind``. A number is standardised, its logarithm where it is always positive; what
    is no number is a column of zeros and ones for each value. A strategy that has no such parameter takes the mean.

    Attributes
    ----------
    columns : tuple
    """

    columns: tuple[_Numbers | _Level, ...]

    @classmethod
    def of(cls, strategies: pd.DataFrame) -> StrategyFeatures | None:
        """Take what tells these strategies apart; None where nothing does.

        Examples
        --------
        >>> strategies = pd.DataFrame({"name": ["a", "b", "c"], "depth": [1, 10, 100], "model": ["x", "y", "x"]})
        >>> StrategyFeatures.of(strategies).rows(strategies).round(2).tolist()
        [[-1.22, 1.0, 0.0], [0.0, 0.0, 1.0], [1.22, 1.0, 0.0]]
        """
        records = _records(strategies)
        columns: list[_Numbers | _Level] = []
        for parameter in sorted({parameter for record in records for parameter in record}):
            values = [record.get(parameter) for record in records]
            numbers = np.array([value for value in values if isinstance(value, float)])
            if len(np.unique(numbers)) > 1:
                columns.append(_Numbers.of(parameter, numbers))
            words = [value for value in values if isinstance(value, str)]
            columns += [_Level(parameter, word) for word in sorted(set(words)) if words.count(word) < len(values)]
        apart = _distinct([np.array([column.of_record(record) for record in records]) for column in columns])
        return cls(tuple(columns[j] for j in apart)) if apart else None

    def rows(self, strategies: pd.DataFrame) -> FloatArray:
        """Give those of some strategies, (n_strategies, n_columns)."""
        records = _records(strategies)
        rows = [[column.of_record(record) for column in self.columns] for record in records]
        return np.array(rows, dtype=float).reshape(-1, len(self.columns))


def _records(strategies: pd.DataFrame) -> list[Record]:
    plain = strategies.drop(columns=[name for name in _LABELS if name in strategies]).to_dict("records")
    texts = strategies["json"] if "json" in strategies else [None] * len(strategies)
    return [
        dict(_leaves("", record)) | (dict(_leaves("", json.loads(text))) if isinstance(text, str) else {})
        for record, text in zip(plain, texts, strict=True)
    ]


def _distinct(columns: Sequence[FloatArray]) -> list[int]:
    """Give the places of those that no earlier one equals: what a class always has says no more than the class."""
    first = {column.tobytes(): place for place, column in reversed(list(enumerate(columns)))}
    return sorted(first.values())


def _leaves(path: str, value: Any) -> Iterator[tuple[str, float | str]]:
    """Yield every number and word with where it stands; below a named part it is a parameter of that part alone."""
    if isinstance(value, Mapping):
        yield from _of_part(path, value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, item in enumerate(value):
            yield from _leaves(f"{path}.{place}", item)
    elif isinstance(value, str) or value is None:
        yield path, str(value)
    elif np.isfinite(value):
        yield path, float(value)


def _of_part(path: str, part: Mapping[str, Any]) -> Iterator[tuple[str, float | str]]:
    if "@estimator" in part:
        name, part = part["@estimator"]
        part = {**part, "name": name}
    if "name" in part:
        yield path, str(part["name"])
        path = f"{path}.{part['name']}"
    for key, value in part.items():
        if key != "name":
            yield from _leaves(f"{path}.{key}", value)
