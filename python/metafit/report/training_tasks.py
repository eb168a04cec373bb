"""Regret against the number of training tasks, for each way to choose them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from metafit.evaluation import BASELINES, CEILING, SINGLE_BEST
from metafit.report._matplotlib import COLOURS, INK, Display, styled

_MARKERS = {"random": "o", "diverse": "v", "nearest": "P"}


class TrainingTasksDisplay(Display):
    """What learners reach by the number of training tasks: a row per kind, a panel per learner."""

    @classmethod
    def from_curve(cls, curve: pd.DataFrame) -> Self:
        """Draw what `metafit.evaluation.by_training_tasks` gives.

        Bars are bootstrap intervals over families. The dashed line is the single best strategy on as many tasks drawn
        at random (or by the first way, if none was), the shaded floor the noise ceiling.

        Parameters
        ----------
        curve : DataFrame

        Returns
        -------
        TrainingTasksDisplay
            ``display.figure_.savefig("training_tasks.png")`` writes it.

        Raises
        ------
        ValueError
            If the curve holds baselines only.
        ImportError
            Without matplotlib.
        """
        kinds = list(curve["kind"].unique())
        learners = [name for name in curve["learner"].unique() if name not in (*BASELINES, CEILING)]
        if not learners:
            raise ValueError("curve holds no learner beside the baselines: nothing to draw")
        with styled() as figure_class:
            figure = figure_class(figsize=(3.4 * len(learners) + 1.6, 3.2 * len(kinds) + 0.6), layout="constrained")
            panels = figure.subplots(len(kinds), len(learners), squeeze=False, sharex=True, sharey="row")
            for row, kind in zip(panels, kinds, strict=True):
                for panel, learner in zip(row, learners, strict=True):
                    _draw(panel, curve[curve["kind"] == kind], learner)
                    panel.set_title(learner.replace("_", " ") + ("" if kind == "unknown" else f", {kind}"))
                row[0].set_ylabel("normalised regret")
            sizes = np.unique(curve["n_train"])
            for panel in panels[-1]:
                panel.set_xlabel("training tasks")
                panel.set_xticks(sizes, [str(size) for size in sizes])
                panel.minorticks_off()
            drawn = [panel.get_legend_handles_labels() for panel in panels.flat]
            legend = {label: handle for pair in drawn for handle, label in zip(*pair, strict=True)}
            figure.legend(legend.values(), legend.keys(), loc="outside right upper")
        return cls(curve, figure)


def _draw(panel: Any, curve: pd.DataFrame, learner: str) -> None:
    ways = list(curve["how"].unique())
    for place, how in enumerate(ways):
        rows = curve[(curve["learner"] == learner) & (curve["how"] == how)]
        value = rows["normalized_regret"]
        bars = [value - rows["normalized_regret_low"], rows["normalized_regret_high"] - value]
        # a little apart, so that intervals do not hide each other
        at = rows["n_train"] * 1.04 ** (place - (len(ways) - 1) / 2)
        look = {"color": COLOURS[place % len(COLOURS)], "marker": _MARKERS.get(how, "s"), "label": how}
        panel.errorbar(at, value, yerr=bars, **look, lw=1.5, ms=5, elinewidth=0.9)
    drawn = curve[curve["how"] == ("random" if "random" in ways else ways[0])]
    single = drawn[drawn["learner"] == SINGLE_BEST]
    panel.plot(single["n_train"], single["normalized_regret"], color=INK, ls="--", lw=1.2, label="single best")
    floor = drawn.loc[drawn["learner"] == CEILING, "normalized_regret"]
    if floor.notna().any():
        panel.axhspan(0, floor.mean(), color="#DDDDDD", lw=0, label="noise ceiling", zorder=0)
    panel.set_xscale("log", base=2)
    panel.set_ylim(bottom=0)
