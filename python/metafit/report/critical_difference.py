"""Mean ranks on a line; bars join contestants that a test cannot tell apart."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from metafit.evaluation import Comparison
from metafit.report._matplotlib import COLOURS, INK, Display, styled


class CriticalDifferenceDisplay(Display):
    """Mean ranks with the groups that a test cannot tell apart; made by `from_comparison`."""

    @classmethod
    def from_comparison(cls, comparison: Comparison) -> Self:
        """Draw a comparison.

        Parameters
        ----------
        comparison : Comparison

        Returns
        -------
        CriticalDifferenceDisplay
            Its table has the mean ranks by contestant.

        Raises
        ------
        ImportError
            Without matplotlib.

        Notes
        -----
        Demsar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7, figure 1; here a line
        a contestant, so that long names have room.
        """
        ranks, groups = comparison.mean_ranks, comparison.groups()
        with styled() as figure_class:
            figure = figure_class(figsize=(6.4, 1.5 + 0.3 * len(ranks)), layout="constrained")
            panel = figure.subplots()
            _draw_ranks(panel, ranks)
            for place, group in enumerate(groups):
                _draw_group(panel, ranks, group, place, len(groups))
            panel.set_title(_title(comparison), loc="left")
        return cls(ranks.to_frame("mean_rank"), figure)


def _draw_ranks(panel: Any, ranks: pd.Series[float]) -> None:
    at = np.arange(len(ranks))
    panel.hlines(at, 1, ranks, color="#D9D9D9", lw=1)
    panel.plot(ranks, at, "o", color=COLOURS[0], ms=6)
    panel.set_yticks(at, [str(name).replace("_", " ") for name in ranks.index])
    panel.invert_yaxis()
    panel.set_xlim(1, len(ranks) + 0.15 * (len(ranks) - 1))
    panel.set_xlabel("mean rank (1 is the best)")
    panel.grid(axis="y", visible=False)


def _draw_group(panel: Any, ranks: pd.Series[float], group: list[str], place: int, n_groups: int) -> None:
    """Draw a bracket on the right, one column a group."""
    rows = [list(ranks.index).index(name) for name in group]
    x = len(ranks) + 0.12 * (len(ranks) - 1) * (place + 0.5) / max(n_groups, 1)
    panel.plot([x, x], [rows[0] - 0.2, rows[-1] + 0.2], color=INK, lw=3, solid_capstyle="butt")


def _title(comparison: Comparison) -> str:
    test = {"friedman": "Friedman", "skillings_mack": "Skillings-Mack"}[comparison.test]
    posthoc = "Wilcoxon, Holm"
    if comparison.posthoc == "nemenyi":
        posthoc = f"Nemenyi, critical difference {comparison.critical_difference:.2f}"
    blocks = f"{len(comparison.values)} families"
    return f"{test} p = {comparison.p_value:.2g} over {blocks}\njoined on the right: not told apart ({posthoc})"
