"""Sizes, missing cells, and the shape of single columns."""

from __future__ import annotations

import numpy as np

from metafit.descriptions.sketch import Sketch
from metafit.tasks.frames import Floats

DOCS = {
    "log_rows": "log10 of the number of rows",
    "log_features": "log10 of the number of raw columns",
    "log_rows_per_column": "log10 of rows per encoded column",
    "group_ratio": "groups per row; NaN without groups",
    "category_ratio": "share of raw columns that are categories",
    "log_levels": "mean log10 of the number of levels (at most 51) of the categories; NaN without any",
    "binary_ratio": "share of encoded columns that take two values",
    "whole_ratio": "share of number columns that hold whole numbers only; NaN without number columns",
    "zero_ratio": "share of zeros among the present cells of number columns",
    "distinct_ratio": "distinct feature rows per row",
    "missing_ratio": "share of cells that are missing, over raw columns",
    "missing_features": "share of raw columns with a missing cell",
    "skewness_mean": "mean absolute skewness of the number columns",
    "log_kurtosis": "log10 of the number columns' mean fourth standardised moment (Gaussian: log10 of 3)",
    "outlier_ratio": "share of cells of number columns beyond 3 standard deviations",
    "log_scale_spread": "log10 of the largest over the smallest standard deviation of the number columns",
}


def measure(sketch: Sketch) -> dict[str, float]:
    """Compute the meta-features of `DOCS`."""
    return {**_sizes(sketch), **_values(sketch), **_missing(sketch), **_moments(sketch)}


def _sizes(sketch: Sketch) -> dict[str, float]:
    task, encoder = sketch.task, sketch.task.encoder
    widths = np.bincount(encoder.blocks, minlength=task.n_features)[encoder.categorical]
    # A category of two levels has one column.
    levels = np.where(widths == 1, 2, widths)
    return {
        "log_rows": np.log10(task.n_rows),
        "log_features": np.log10(task.n_features),
        "log_rows_per_column": np.log10(task.n_rows / encoder.blocks.size),
        "group_ratio": np.nan if task.groups is None else len(np.unique(task.groups)) / task.n_rows,
        "category_ratio": encoder.categorical.mean(),
        "log_levels": _mean(np.log10(levels)),
    }


def _values(sketch: Sketch) -> dict[str, float]:
    numbers = sketch.matrix[:, sketch.is_number]
    present = ~np.isnan(numbers)
    whole = np.all(~present | (numbers == np.floor(numbers)), axis=0)
    return {
        "binary_ratio": _mean(_two_valued(sketch.matrix)),
        "whole_ratio": _mean(whole.astype(float)),
        "zero_ratio": (numbers == 0).sum() / present.sum(),
        "distinct_ratio": _distinct_rows(sketch.matrix) / len(sketch.matrix),
    }


def _two_valued(matrix: Floats) -> Floats:
    low, high = _range(matrix)
    return np.asarray(((low < high) & np.all(np.isnan(matrix) | (matrix == low) | (matrix == high), axis=0)) * 1.0)


def _range(matrix: Floats) -> tuple[Floats, Floats]:
    missing = np.isnan(matrix)
    return np.where(missing, np.inf, matrix).min(axis=0), np.where(missing, -np.inf, matrix).max(axis=0)


def _distinct_rows(matrix: Floats) -> int:
    # Random projection in place of comparing rows: equal rows collide, others almost surely do not.
    weights = np.random.default_rng(0).standard_normal(matrix.shape[1])
    return len(np.unique(np.nan_to_num(matrix, nan=-1.2345e3) @ weights))


def _missing(sketch: Sketch) -> dict[str, float]:
    # A missing category is missing in its whole block: the first column of each block stands for it.
    _, first = np.unique(sketch.blocks, return_index=True)
    missing = np.isnan(sketch.matrix[:, first])
    return {
        "missing_ratio": missing.mean(),
        "missing_features": missing.any(axis=0).mean(),
    }


def _moments(sketch: Sketch) -> dict[str, float]:
    numbers = sketch.matrix[:, sketch.is_number]
    count = (~np.isnan(numbers)).sum(axis=0)
    centred = np.nan_to_num(numbers - np.nan_to_num(numbers).sum(axis=0) / count)
    scale = np.sqrt(np.square(centred).sum(axis=0) / count)
    varies = scale > 1e-12 * np.abs(np.nan_to_num(numbers)).max(axis=0, initial=0.0)
    unit, count, scale = centred[:, varies] / scale[varies], count[varies], scale[varies]
    skewness = np.abs((unit * unit * unit).sum(axis=0) / count)
    return {
        "skewness_mean": _mean(skewness),
        "log_kurtosis": np.log10(_mean((np.square(unit * unit)).sum(axis=0) / count)),
        "outlier_ratio": (np.abs(unit) > 3).sum() / count.sum(),
        "log_scale_spread": np.log10(scale.max(initial=0.0) / scale.min(initial=np.inf)),
    }


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if values.size else np.nan
