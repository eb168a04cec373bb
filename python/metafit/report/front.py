"""Which strategies nobody beats at once in accuracy and in time."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metafit.report._matplotlib import COLOURS, GREY, INK, Display, styled
from metafit.scores import Scores


class FrontDisplay(Display):
    """Mean regret of each strategy against its time, a panel per kind; made by `from_scores`."""

    @classmethod
    def from_scores(cls, scores: Scores, seed: int | None = None, max_label: int = 40) -> Self:
        """Draw a table of scores that holds seconds.

        Seconds are compared within tasks, as multiples of the median strategy's, and averaged as logarithms: a strategy
        that was attempted on small tasks only does not pass for fast. Strategies without seconds are left out.

        Parameters
        ----------
        scores : Scores
        seed : int, optional
            Only this fold seed.
        max_label : int
            Longer names are cut.

        Returns
        -------
        FrontDisplay
            Its table has a row a kind and strategy: ``name``, ``time``, ``regret``, and ``front``, whether no other
            strategy is as fast and as good, and better in one of them.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        tables = {kind: front(scores.of_kind(kind), seed) for kind in scores.kinds}
        with styled() as figure_class:
            figure = figure_class(figsize=(6.4 * len(tables), 4.6), layout="constrained")
            panels = figure.subplots(1, len(tables), squeeze=False)[0]
            for panel, (kind, table) in zip(panels, tables.items(), strict=True):
                _draw(panel, table, max_label)
                panel.set_title(f"{kind}: {len(table)} strategies")
        return cls(pd.concat(tables, names=["kind"]), figure)


def front(scores: Scores, seed: int | None = None) -> pd.DataFrame:
    """Give time and regret of strategies, the fastest first, and say which are on the front.

    Examples
    --------
    >>> frame = pd.DataFrame({"task": ["t"] * 3, "strategy": ["quick", "slow", "worse"], "loss": [0.5, 0.25, 0.7],
    ...                       "seconds": [1.0, 4.0, 2.0]})
    >>> front(Scores.from_frame(frame))[["time", "regret", "front"]].round(2)
              time  regret  front
    strategy
    quick      0.5    0.33   True
    worse      1.0    0.60  False
    slow       2.0    0.00   True
    """
    seconds = scores.matrix("seconds", seed=seed)
    seconds = seconds.where(seconds > 0)
    times = np.log(seconds.div(seconds.median(axis=1), axis=0)).mean(axis=0)
    columns = {"name": scores.strategies["name"], "time": np.exp(times), "regret": scores.regret(seed).mean(axis=0)}
    table = pd.DataFrame(columns).dropna().sort_values(["time", "regret"], kind="stable")
    return table.assign(front=_leading(table["regret"].to_numpy(dtype=float))).rename_axis("strategy")


def _leading(regret: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which are lower than all before them."""
    before = np.minimum.accumulate(np.concatenate([[np.inf], regret[:-1]])) if len(regret) else regret
    return np.asarray(regret < before)


def _draw(panel: Any, table: pd.DataFrame, max_label: int) -> None:
    best = table[table["front"]]
    panel.plot(table["time"], table["regret"], "o", color=GREY, ms=4, alpha=0.6, label="strategies")
    panel.step(best["time"], best["regret"], where="post", color=COLOURS[0], lw=1.5)
    panel.plot(best["time"], best["regret"], "o", color=COLOURS[0], ms=6, label="on the front")
    for place, (name, time, regret) in enumerate(zip(best["name"], best["time"], best["regret"], strict=True), 1):
        panel.annotate(
            str(place), (time, regret), (4, 4), textcoords="offset points", fontsize=8, color=INK, weight="bold"
        )
        short = str(name) if len(str(name)) <= max_label else str(name)[: max_label - 1] + "…"
        panel.plot([], [], " ", label=f"{place}  {short}")
    panel.set_xscale("log")
    panel.set_ylim(bottom=0)
    panel.set_xlabel("time of a fit (the median strategy takes 1)")
    panel.set_ylabel("mean normalised regret (0 best, 1 no skill)")
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=7, ncols=2)
