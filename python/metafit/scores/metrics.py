"""A table of scores in terms of another metric than the loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metafit.scores.table import Scores

#: The metrics whose value without skill is known, and that value; perfection is 1.
LEVELS = {"r2_score": 0.0, "roc_auc_score": 0.5}
#: The metrics that loss u is made from.
LOSSES = ("mean_squared_error", "log_loss")


def by_metric(scores: Scores, metric: str) -> Scores:
    """Let another metric be the loss that learners learn from.

    Parameters
    ----------
    scores : Scores
        With a column of that name in ``cells``: ``*_score`` is the better the higher, all others the lower.
    metric : str

    Returns
    -------
    Scores
        Its loss is 0 for a perfect fit, and 1 without skill where that level is known ("r2_score", "roc_auc_score");
        else 1 is the worst value that any strategy reached on the task. A fit on which the metric could not be
        computed is a hole, a failure stays one.

    Raises
    ------
    ValueError
        If there is no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": ["t", "t"], "strategy": ["a", "b"], "loss": [0.5, 0.4],
    ...                       "roc_auc_score": [0.9, 0.8]})
    >>> by_metric(Scores.from_frame(frame), "roc_auc_score").matrix().round(3)
    strategy    a    b
    task
    t         0.2  0.4
    """
    if metric not in scores.cells:
        raise ValueError(f"metric={metric!r}: scores hold {sorted(map(str, scores.cells.select_dtypes('number')))}")
    cells = scores.to_pandas()
    worked = cells["status"] == "ok"
    values = cells[metric].to_numpy(dtype=float)
    lost = 1 - values if metric.endswith("_score") else values
    if metric in LEVELS:
        lost = relative(metric, values)
    else:
        worst = cells.assign(lost=np.where(worked, lost, np.nan)).groupby("task")["lost"].transform("max")
        lost = lost / worst.where(worst > 0, 1.0).to_numpy(dtype=float)
    kept = ~worked | np.isfinite(lost)
    cells["loss"] = np.where(worked, lost, cells["loss"])
    parts = {"tasks": scores.tasks, "strategies": scores.strategies, "splits": scores.splits}
    return Scores(cells[kept], **parts, failure_loss=scores.failure_loss, descriptions=scores.descriptions)


def relative(metric: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Write values of a metric of `LEVELS` as a loss: 1 without skill, 0 for perfection."""
    return np.asarray((1 - np.asarray(values, dtype=float)) / (1 - LEVELS[metric]))
