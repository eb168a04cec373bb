"""Regret against budget: how good the best of the first b strategies is."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd

from metafit.evaluation import Evaluation
from metafit.report._matplotlib import COLOURS, GREY, INK, Display, styled

_BASELINES = {
    "single_best": {"color": INK, "linestyle": "--", "marker": "s", "label": "single best"},
    "default": {"color": GREY, "linestyle": ":", "marker": "D", "label": "default order"},
    "random": {"color": GREY, "linestyle": "--", "marker": "x", "label": "random order"},
}
_MARKERS = "ovP^*X"
_LABELS = {
    "normalized_regret": "normalised regret (0 best, 1 no skill)",
    "mean_regret": "regret in units of relative loss",
    "gap_closed": "gap closed, single best to virtual best",
    "ceiling_gap_closed": "gap closed, single best to noise ceiling",
    "mean_rank": "mean rank among the contestants",
    "win_rate": "win rate against the single best",
}


class RegretCurveDisplay(Display):
    """A figure of an evaluation against the budget, a panel per kind; made by `from_evaluation`."""

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation, metric: str = "normalized_regret", level: float = 0.95) -> Self:
        """Draw a figure of `Evaluation.curve`.

        Bars are bootstrap intervals over families. The shaded floor is the noise ceiling: what not even somebody
        who knew all losses on the selecting folds could undercut.

        Parameters
        ----------
        evaluation : Evaluation
        metric : str
            A figure of `Evaluation.summary`.
        level : float

        Returns
        -------
        RegretCurveDisplay
            ``display.figure_.savefig("regret.png")`` writes it.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        table = evaluation.curve(metric, level=level)
        kinds = list(table["kind"].unique())
        with styled() as figure_class:
            figure = figure_class(figsize=(5.2 * len(kinds) + 1.6, 4.2), layout="constrained")
            panels = figure.subplots(1, len(kinds), squeeze=False, sharey=metric.endswith("regret"))[0]
            for panel, kind in zip(panels, kinds, strict=True):
                _draw(panel, table[table["kind"] == kind], metric, evaluation.budgets)
                n_tasks = evaluation.per_task.loc[evaluation.per_task["kind"] == kind, "task"].nunique()
                panel.set_title(
                    f"{kind}: {n_tasks} tasks left out" if kind != "unknown" else f"{n_tasks} tasks left out"
                )
            panels[0].set_ylabel(_LABELS[metric])
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside right upper")
        return cls(table, figure)


def _draw(panel: Any, table: pd.DataFrame, metric: str, budgets: tuple[int, ...]) -> None:
    names = [name for name in table["learner"].unique() if name not in (*_BASELINES, "noise_ceiling")]
    contestants = [*names, *(name for name in _BASELINES if name in set(table["learner"]))]
    for place, name in enumerate(contestants):
        rows = table[table["learner"] == name]
        # a little apart, so that intervals do not hide each other
        at = rows["budget"] * 1.035 ** (place - (len(contestants) - 1) / 2)
        bars = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        panel.errorbar(at, rows["value"], yerr=bars, **_look(place, name), lw=1.5, ms=5, elinewidth=0.9)
    _draw_ceiling(panel, table[table["learner"] == "noise_ceiling"], metric)
    panel.set_xscale("log", base=2)
    panel.set_xticks(budgets, [str(budget) for budget in budgets])
    panel.minorticks_off()
    panel.set_xlabel("strategies tried (budget)")


def _look(place: int, name: str) -> dict[str, Any]:
    if name in _BASELINES:
        return dict(_BASELINES[name])
    look = {"color": COLOURS[place % len(COLOURS)], "marker": _MARKERS[place % len(_MARKERS)]}
    return look | {"label": name.replace("_", " ")}


def _draw_ceiling(panel: Any, rows: pd.DataFrame, metric: str) -> None:
    if metric.endswith("regret"):
        panel.axhspan(0, rows["value"].iloc[0], color="#DDDDDD", lw=0, label="noise ceiling", zorder=0)
        panel.set_ylim(bottom=0)
    elif rows["value"].notna().all():
        panel.axhline(rows["value"].iloc[0], color="#BBBBBB", lw=4, label="noise ceiling", zorder=0)
