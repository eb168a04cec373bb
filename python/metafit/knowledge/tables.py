"""The one form that knowledge of equal content has, so that what is added can be taken away to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from metafit.scores import Scores
from metafit.tasks.fingerprints import digest

__all__ = ["CELLS", "canonical", "changed", "digest_of", "joined"]

#: What is kept of every cell, beside metrics.
CELLS = ["task", "strategy", "seed", "fold", "status", "loss", "seconds"]
#: What a study says of a fit beside its metrics; nothing is learned from it.
_REMARKS = ["reason", "gap", "n_iter", "alpha", "n_features", "n_columns_used"]
_TASKS = ["kind", "family", "fingerprint", "twin"]
_STRATEGIES = ["name", "kind", "json"]


def changed(scores: Scores, **parts: Any) -> Scores:
    """Return scores of which some parts are others."""
    names = ("cells", "tasks", "strategies", "failure_loss", "descriptions")
    return Scores(**{name: getattr(scores, name) for name in names} | parts)


def canonical(scores: Scores) -> Scores:
    """Keep the attempted tasks and strategies, with what learning reads of them."""
    cells = _metrics_last(scores.cells[scores.cells["status"] != "not_applicable"])
    tasks = _texts(_used(scores.tasks, cells["task"]), _TASKS).sort_index()
    tasks["twin"] = tasks["twin"].where(tasks["twin"].notna(), tasks.index.to_series())
    strategies = _texts(_used(scores.strategies, cells["strategy"]), _STRATEGIES)
    descriptions = _described(scores.descriptions, tasks.index)
    return Scores(cells, tasks, strategies, failure_loss=scores.failure_loss, descriptions=descriptions)


def joined(ours: Scores, theirs: Scores) -> Scores:
    """Put two tables together; of cells that are in both and agree one is kept.

    Raises
    ------
    ValueError
        If cells, tasks, strategies or descriptions contradict each other.
    """
    both = pd.concat([ours.to_pandas(), theirs.to_pandas()], ignore_index=True)
    is_known = both.duplicated().to_numpy()[len(ours.cells) :]
    return ours.join(changed(theirs, cells=theirs.to_pandas()[~is_known]))


def digest_of(scores: Scores) -> str:
    """Digest every table, bit for bit."""
    frames = (scores.cells, scores.tasks, scores.strategies, scores.descriptions)
    parts = [part for frame in frames if frame is not None for part in _parts(frame)]
    return digest(repr(scores.failure_loss), *parts)


def _metrics_last(cells: pd.DataFrame) -> pd.DataFrame:
    """Keep the metrics that any cell has, by name, behind what every cell has."""
    metrics = cells.drop(columns=[*CELLS, *_REMARKS], errors="ignore").select_dtypes("number").dropna(axis=1, how="all")
    return cells[[*CELLS, *sorted(metrics.columns.map(str))]]


def _used(frame: pd.DataFrame, labels: pd.Series[Any]) -> pd.DataFrame:
    """Keep the rows that cells speak of."""
    return frame.iloc[np.unique(labels.cat.codes)]


def _texts(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return frame.reindex(columns=columns).astype("str")


def _described(descriptions: pd.DataFrame | None, tasks: pd.Index[str]) -> pd.DataFrame | None:
    """Keep the tasks that are there, in their order, and the meta-features that any of them has."""
    if descriptions is None:
        return None
    kept = descriptions.reindex([name for name in tasks if name in descriptions.index]).astype("float64")
    kept = kept.dropna(axis="columns", how="all")
    return None if kept.empty else kept


def _parts(frame: pd.DataFrame) -> Iterator[bytes | str]:
    """Give the index and each column as what a digest takes; texts keep their borders and their holes."""
    for name, column in [("", frame.index.to_series()), *frame.items()]:
        yield str(name)
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.cat.codes
        if pd.api.types.is_numeric_dtype(column.dtype):
            yield np.ascontiguousarray(column.to_numpy()).tobytes()
        else:
            yield repr(["" if missing else text for text, missing in zip(column, column.isna(), strict=True)])
            yield np.ascontiguousarray(column.isna().to_numpy()).tobytes()
