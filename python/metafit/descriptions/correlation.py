"""How the columns hang together, and how they hang on the target."""

from __future__ import annotations

import numpy as np

from metafit.descriptions.sketch import Sketch, standardized_columns
from metafit.tasks.frames import Floats

DOCS = {
    "correlation_mean": "mean absolute correlation of columns of different blocks; missing cells at the mean",
    "correlation_max": "largest absolute correlation of columns of different blocks",
    "effective_rank": "exp(entropy of the correlation matrix's spectrum) over the number of columns "
    "(Roy and Vetterli, EUSIPCO 2007): 1 is uncorrelated",
    "components_90": "components that carry 90% of the variance, over the number of columns",
    "log_condition": "log10 of the condition number of the correlation matrix, at most 12: singular",
    "target_correlation_max": "largest absolute correlation of a column with the target "
    "(with an indicator per class for more than two classes)",
    "target_correlation_mean": "mean over columns of the absolute correlation with the target",
    "signal_ratio": "share of columns that correlate with the target beyond 2 / sqrt(rows), twice the error",
}

# Beyond it, the smallest eigenvalue is rounding error.
_MAX_LOG_CONDITION = 12.0


def measure(sketch: Sketch) -> dict[str, float]:
    """Compute the meta-features of `DOCS`; NaN for a table whose columns are all constant."""
    unit = sketch.standardized
    if unit.shape[1] == 0:
        return dict.fromkeys(DOCS, np.nan)
    gram = unit.T @ unit
    # Columns with missing cells have less than unit length: correlations are cosines.
    length = np.sqrt(np.diag(gram))
    matrix = gram / length / length[:, None]
    return {**_pairs(matrix, sketch), **_spectrum(matrix), **_with_target(unit / length, sketch)}


def _pairs(matrix: Floats, sketch: Sketch) -> dict[str, float]:
    apart = sketch.varying_blocks[:, None] < sketch.varying_blocks
    if not apart.any():
        return {"correlation_mean": np.nan, "correlation_max": np.nan}
    found = np.abs(matrix[apart])
    return {"correlation_mean": found.mean(), "correlation_max": min(found.max(), 1.0)}


def _spectrum(matrix: Floats) -> dict[str, float]:
    values = np.clip(np.linalg.eigvalsh(matrix)[::-1], 0.0, None)
    shares = values / values.sum()
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    return {
        "effective_rank": np.exp(entropy) / len(values),
        "components_90": (np.searchsorted(np.cumsum(shares), 0.9) + 1) / len(values),
        "log_condition": min(np.log10(values[0] / values[-1]), _MAX_LOG_CONDITION),
    }


def _with_target(unit: Floats, sketch: Sketch) -> dict[str, float]:
    targets, varies = standardized_columns(sketch.targets)
    if not varies.any():
        return {"target_correlation_max": np.nan, "target_correlation_mean": np.nan, "signal_ratio": np.nan}
    rows = len(targets)
    found = np.abs(unit.T @ targets[:, varies]).max(axis=1) / np.sqrt(rows)
    return {
        "target_correlation_max": min(found.max(), 1.0),
        "target_correlation_mean": found.mean(),
        "signal_ratio": (found > 2 / np.sqrt(rows)).mean(),
    }
