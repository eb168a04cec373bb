"""The parts of a study read back as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from metafit.study import parts
from metafit.study.shard import DESCRIPTIONS, FAILED, SCORES, STRATEGIES, TASKS

_KEY = ["task", "strategy", "seed", "fold"]


def cells(folder: Path) -> pd.DataFrame:
    """Return a row per (task, strategy, seed, fold) that was attempted, failed tasks included."""
    found = [table for name in (SCORES, FAILED) if (table := parts.read(folder / name)) is not None]
    if not found:
        return pd.DataFrame(columns=pd.Index([*_KEY, "status", "loss", "seconds"]))
    frame: pd.DataFrame = pa.concat_tables(found, promote_options="permissive").to_pandas()
    # writers that met left equal cells twice; where a description failed, the scores before it stand
    return frame.drop_duplicates(_KEY)


def tasks(folder: Path) -> pd.DataFrame:
    """Return a row per task, sorted by name; of failed ones only kind and family are known."""
    known = _frame(folder / TASKS, "task")
    lost = pd.DataFrame(
        [{key: note[key] for key in ("task", "kind", "family")} for note in _failed(folder) if note["kind"]]
    )
    if len(lost):
        lost = lost.set_index("task")
        known = pd.concat([known, lost[~lost.index.isin(known.index)]])
    return known.sort_index()


def strategies(folder: Path) -> pd.DataFrame:
    """Return name, kind and JSON of each strategy, in the order in which they were added."""
    # writers that met may both have added a strategy, and under the same positions
    frame = _frame(folder / STRATEGIES, "id", ["name", "kind", "json", "position"])
    frame = frame.sort_index().sort_values("position", kind="stable").drop(columns="position")
    return frame[~frame.index.duplicated()]


def descriptions(folder: Path) -> pd.DataFrame:
    """Return the meta-features of each task, sorted by name."""
    return _frame(folder / DESCRIPTIONS, "task").sort_index()


def kinds(folder: Path) -> dict[str, str]:
    """Return the kind of each task that was scored."""
    notes = map(parts.read_note, parts.names(folder / TASKS))
    return {note["task"]: note["kind"] for note in notes}


def covered(folder: Path) -> dict[str, set[str]]:
    """Return the ids of the strategies that were scored on each task."""
    ids: dict[str, set[str]] = {}
    for note in map(parts.read_note, parts.names(folder / SCORES)):
        ids.setdefault(note["task"], set()).update(note["strategies"])
    return ids


def failures(folder: Path) -> dict[str, str]:
    """Return the reason for each task that failed as a whole."""
    return {note["task"]: note["reason"] for note in _failed(folder)}


def _failed(folder: Path) -> list[dict[str, Any]]:
    return [parts.read_note(path) for path in parts.names(folder / FAILED)]


def _frame(folder: Path, index: str, columns: list[str] | None = None) -> pd.DataFrame:
    table = parts.read(folder)
    frame = pd.DataFrame(columns=pd.Index([index, *(columns or [])])) if table is None else table.to_pandas()
    indexed: pd.DataFrame = frame.set_index(index)
    return indexed
