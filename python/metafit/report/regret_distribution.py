"""On how many tasks the regret stays below any value."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from metafit.evaluation import CEILING, Evaluation
from metafit.report._matplotlib import COLOURS, GREY, INK, Display, styled

_DASHES = ("-", "--", "-.", ":")


class RegretDistributionDisplay(Display):
    """Cumulative distribution of normalised regret over tasks, a line a learner; made by `from_evaluation`."""

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation, *, budget: int | None = None, kind: str | None = None) -> Self:
        """Draw one budget of an evaluation.

        Parameters
        ----------
        evaluation : Evaluation
        budget : int, optional
            The least by default.
        kind : str, optional
            All tasks by default.

        Returns
        -------
        RegretDistributionDisplay
            Its table has a row a task, a column a learner: the regrets that are drawn, means over repeats.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        rows = evaluation.per_task
        budget = min(evaluation.budgets) if budget is None else budget
        rows = rows[(rows["budget"] == budget) & (True if kind is None else rows["kind"] == kind)]
        names = list(rows["learner"].unique())
        table = rows.groupby(["task", "learner"])["normalized_regret"].mean().unstack("learner")[names]
        with styled() as figure_class:
            figure = figure_class(figsize=(6.4, 3.8), layout="constrained")
            panel = figure.subplots()
            for place, name in enumerate(names):
                _draw(panel, name, table[name].dropna().to_numpy(), place)
            panel.set(
                xlabel="normalised regret (0 best, 1 no skill)", ylabel="share of tasks", xlim=(0, 1), ylim=(0, 1.01)
            )
            panel.set_title(f"{len(table)} tasks, best of {budget} tried")
            panel.legend(loc="lower right")
        return cls(table, figure)


def _draw(panel: Any, name: str, regrets: Any, place: int) -> None:
    look = {"color": COLOURS[place % len(COLOURS)], "ls": _DASHES[place // len(COLOURS) % len(_DASHES)]}
    look |= {"single_best": {"color": INK, "ls": "--"}, CEILING: {"color": GREY, "ls": ":"}}.get(name, {})
    at = np.concatenate([[0.0], np.sort(regrets), [1.0]])
    share = np.concatenate([[0.0], np.arange(1, len(regrets) + 1) / len(regrets), [1.0]])
    panel.step(at, share, where="post", lw=1.5, label=name.replace("_", " "), **look)
