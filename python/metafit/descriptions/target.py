"""The shape of the target."""

from __future__ import annotations

import numpy as np

from metafit.descriptions.sketch import Sketch
from metafit.tasks.frames import Floats, Ints

DOCS = {
    "n_classes": "number of classes; NaN for regression, as the next two",
    "minority_ratio": "share of the rarest class",
    "class_entropy": "entropy of the class shares over its maximum: 1 is balanced",
    "target_skewness": "skewness of the target; NaN for classification, as the next four",
    "log_target_kurtosis": "log10 of the fourth standardised moment of the target",
    "target_distinct": "distinct target values per row",
    "target_mode": "share of the most frequent target value",
    "target_whole": "1 if the target holds whole numbers only, else 0",
}


def measure(sketch: Sketch) -> dict[str, float]:
    """Compute the meta-features of `DOCS`; those of the other kind are NaN."""
    task = sketch.task
    found = _numbers(task.y) if task.classes is None else _classes(task.y, len(task.classes))
    return {**dict.fromkeys(DOCS, np.nan), **found}


def _classes(codes: Ints, n_classes: int) -> dict[str, float]:
    shares = np.bincount(codes, minlength=n_classes) / len(codes)
    present = shares[shares > 0]
    entropy = -(present * np.log(present)).sum()
    return {
        "n_classes": n_classes,
        "minority_ratio": shares.min(),
        "class_entropy": entropy / np.log(n_classes) if n_classes > 1 else 0.0,
    }


def _numbers(y: Floats) -> dict[str, float]:
    values, counts = np.unique(y, return_counts=True)
    found = {
        "target_distinct": len(values) / len(y),
        "target_mode": counts.max() / len(y),
        "target_whole": float(np.all(values == np.floor(values))),
    }
    if len(values) == 1:
        return found
    unit = (y - y.mean()) / y.std()
    return {**found, "target_skewness": (unit**3).mean(), "log_target_kurtosis": np.log10((unit**4).mean())}
