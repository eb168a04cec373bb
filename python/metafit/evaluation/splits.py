"""Which tasks are left out together, and what is left to learn from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from metafit.scores import Scores


@dataclass(frozen=True)
class Holdout:
    """One split of the tasks: learn on `train`, be judged on `test`; `repeat` counts whole partitions."""

    train: list[str]
    test: list[str]
    repeat: int = 0


def holdouts(scores: Scores, leave_out: Any = "family") -> list[Holdout]:
    """Split the tasks of a table.

    Parameters
    ----------
    scores : Scores
    leave_out : {"task", "family", "folds"}, array-like of shape (n_tasks,), splitter, or list of Holdout
        One task at a time; all tasks of one family at a time; the partitions that the scores carry
        (``scores.splits``); labels, in the order of ``scores.tasks`` or as a Series with that index, whose
        equals are left out together; or anything with scikit-learn's ``split(X, y, groups)``, which gets the
        families as groups. A list of `Holdout` is taken as it is.

    Returns
    -------
    list of Holdout

    Raises
    ------
    ValueError
        If `leave_out` is none of these, or leaves nothing to learn from.
    """
    splits = [split for split in _splits(scores, leave_out) if split.test]
    if not splits or any(not split.train for split in splits):
        raise ValueError(f"leave_out={leave_out!r} leaves no task to learn from among {len(scores.tasks)} tasks")
    return splits


def _splits(scores: Scores, leave_out: Any) -> Iterator[Holdout]:
    tasks = scores.tasks
    if isinstance(leave_out, str):
        yield from _named(scores, leave_out)
    elif are_holdouts(leave_out):
        yield from leave_out
    elif hasattr(leave_out, "split"):
        names = tasks.index.to_numpy()
        with warnings.catch_warnings():
            # the families are offered to every splitter, wanted or not
            warnings.filterwarnings("ignore", message="The groups parameter is ignored")
            pairs = list(leave_out.split(tasks, None, tasks["family"].to_numpy()))
        yield from (Holdout(names[train].tolist(), names[test].tolist()) for train, test in pairs)
    else:
        yield from _by_label(labels_of(tasks, leave_out))


def are_holdouts(leave_out: Any) -> bool:
    """Say whether these are splits already."""
    return isinstance(leave_out, list) and len(leave_out) > 0 and isinstance(leave_out[0], Holdout)


def _named(scores: Scores, leave_out: str) -> Iterator[Holdout]:
    if leave_out == "task":
        yield from _by_label(scores.tasks.index.to_series())
    elif leave_out == "family":
        yield from _by_label(scores.tasks["family"])
    elif leave_out == "folds":
        if scores.splits is None:
            raise ValueError("leave_out='folds': these scores carry no splits")
        for repeat, column in enumerate(scores.splits.columns):
            yield from _by_label(scores.splits[column].reindex(scores.tasks.index), repeat)
    else:
        raise ValueError(f"leave_out={leave_out!r}: choose 'task', 'family', 'folds', labels or a splitter")


def labels_of(tasks: pd.DataFrame, labels: Any) -> pd.Series[Any]:
    """Give labels as a Series over the tasks, checking that there is one for each."""
    if isinstance(labels, pd.Series):
        labels = labels.set_axis(labels.index.map(str)).reindex(tasks.index)
    series = pd.Series(np.asarray(labels), index=tasks.index) if len(labels) == len(tasks) else None
    if series is None or series.isna().any():
        raise ValueError(f"leave_out must label each of the {len(tasks)} tasks; it has {len(labels)} labels")
    return series


def _by_label(labels: pd.Series[Any], repeat: int = 0) -> Iterator[Holdout]:
    for label in labels.dropna().unique():
        out = (labels == label).to_numpy()
        # a task of no fold (of an official partition) is in no test and in no training
        yield Holdout(labels.index[~out & labels.notna()].tolist(), labels.index[out].tolist(), repeat)


def warn_of_twins(tasks: pd.DataFrame, splits: Sequence[Holdout]) -> None:
    """Warn where a task left out has the same fingerprint as one that was learned from."""
    if "fingerprint" not in tasks:
        return
    prints = tasks["fingerprint"].dropna()
    shared = prints[prints.duplicated(keep=False)]
    twins = {name for split in splits for name in _twins(shared, split)}
    if twins:
        warnings.warn(
            f"{len(twins)} tasks are left out but learned from under another name: {sorted(twins)[:5]}. "
            "Give duplicates one family, or drop them.",
            UserWarning,
            stacklevel=3,
        )


def _twins(shared: pd.Series[str], split: Holdout) -> list[str]:
    learned = set(shared[shared.index.isin(split.train)])
    return [name for name in split.test if name in shared.index and shared[name] in learned]
