"""The table of meta-features, and how tasks are described by it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from metafit.descriptions import correlation, landmarks, shapes, target
from metafit.descriptions.sketch import Sketch
from metafit.tasks.task import Task

# Each part documents and computes its own meta-features.
_PARTS = (shapes, target, correlation, landmarks)

META_FEATURES: dict[str, str] = {name: doc for part in _PARTS for name, doc in part.DOCS.items()}

# Standardised meta-features end here: one odd table must not decide all distances.
_CLIP = 3.0


def describe_task(task: Task, rows: ArrayLike | None = None) -> pd.Series[float]:
    """
    Describe one task by its meta-features.

    Parameters
    ----------
    task : Task
    rows : array of int or bool, optional
        Look at these rows only: training rows, where others will be predicted.

    Returns
    -------
    Series
        Named like the task, indexed by `META_FEATURES`; NaN where a meta-feature has no meaning.

    Examples
    --------
    >>> from metafit.tasks import load_suite
    >>> description = describe_task(load_suite("toy")["breast_cancer"])
    >>> description[["log_rows", "n_classes", "target_skewness"]].round(2).tolist()
    [2.76, 2.0, nan]
    """
    sketch = Sketch.of(task if rows is None else task.take(rows))
    with np.errstate(all="ignore"):
        found = {name: value for part in _PARTS for name, value in part.measure(sketch).items()}
    values = np.array([found[name] for name in META_FEATURES], dtype=np.float64)
    return pd.Series(np.where(np.isfinite(values), values, np.nan), index=pd.Index(META_FEATURES), name=task.name)


def describe(tasks: Iterable[Task]) -> pd.DataFrame:
    """
    Describe every task of a suite.

    Parameters
    ----------
    tasks : TaskSuite or iterable of Task
        Loaded one after another.

    Returns
    -------
    DataFrame
        Indexed by task name (``"task"``), a column per meta-feature.

    Examples
    --------
    >>> from metafit.tasks import load_suite
    >>> describe(load_suite("toy").kind("regression"))["log_rows"].round(2).tolist()
    [2.65, 1.3, 1.3, 1.3, 2.25]
    """
    described = [describe_task(task) for task in tasks]
    table = pd.DataFrame([series.to_numpy() for series in described], columns=pd.Index(META_FEATURES))
    return table.set_index(pd.Index([series.name for series in described], name="task"))


def standardize(descriptions: pd.DataFrame, reference: pd.DataFrame | None = None) -> pd.DataFrame:
    """
    Put meta-features on one scale, so that descriptions can be compared by distance.

    Each is centred at the median of `reference` (by default `descriptions` themselves), divided by its
    interquartile range / 1.349, which is one standard deviation for a Gaussian, and clipped to [-3, 3]. NaN
    becomes 0, the median.

    Examples
    --------
    >>> standardize(pd.DataFrame({"log_rows": [1.0, 2.0, 3.0, float("nan")]}))["log_rows"].round(2).tolist()
    [-1.35, 0.0, 1.35, 0.0]
    """
    return Scales.of(descriptions if reference is None else reference).apply(descriptions)


@dataclass(frozen=True, eq=False)
class Scales:
    """Where meta-features lie and how far they spread: see `standardize`.

    Attributes
    ----------
    centre, spread : Series
        Index meta-feature.
    """

    centre: pd.Series[float]
    spread: pd.Series[float]

    @classmethod
    def of(cls, reference: pd.DataFrame) -> Self:
        """Take them from descriptions."""
        quartiles = reference.quantile([0.25, 0.5, 0.75]).T
        spread = (quartiles[0.75] - quartiles[0.25]) / 1.349
        # Where the middle half is one value, fall back on the standard deviation; a constant tells nothing apart.
        spread = spread.where(spread > 0, reference.std()).where(lambda s: s > 0, np.inf)
        return cls(quartiles[0.5], spread)

    def apply(self, descriptions: pd.DataFrame) -> pd.DataFrame:
        """Put descriptions on these scales; a meta-feature that they lack is at the median."""
        known = descriptions.reindex(columns=self.centre.index)
        return ((known - self.centre) / self.spread).clip(-_CLIP, _CLIP).fillna(0.0)
