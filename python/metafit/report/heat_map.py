"""Tasks x strategies at a glance: what works where, what failed, what was never attempted."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from metafit.report._matplotlib import Display, styled
from metafit.scores import Scores

_HOLE, _FAILURE = "#FFFFFF", "#D55E00"
_LABELLED = 200


class HeatMapDisplay(Display):
    """Normalised regret of each strategy on each task, a panel per kind; made by `from_scores`."""

    @classmethod
    def from_scores(cls, scores: Scores, seed: int | None = None, max_label: int = 48) -> Self:
        """Draw a table of scores.

        Strategies run from the lowest mean regret to the highest, tasks so that like stands by like. Dark is good,
        on a scale of square roots, for it is the small regrets that tell good strategies apart. Cells with a
        failure are orange, holes white.

        Parameters
        ----------
        scores : Scores
        seed : int, optional
            Only this fold seed.
        max_label : int
            Longer names are cut.

        Returns
        -------
        HeatMapDisplay
            Its table holds the regrets, index task, columns strategy.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        parts = [scores.of_kind(kind) for kind in scores.kinds]
        with styled() as figure_class:
            sizes = [(_inches(len(part.strategies)), _inches(len(part.tasks))) for part in parts]
            width = sum(across for across, _ in sizes) + 2.6 * len(parts) + 0.8
            height = max(down for _, down in sizes) + 3.2
            figure = figure_class(figsize=(width, height), layout="constrained")
            ratios = [across + 1.8 for across, _ in sizes]
            panels = figure.subplots(1, len(parts), squeeze=False, width_ratios=ratios)[0]
            for panel, part in zip(panels, parts, strict=True):
                image = _draw(panel, part, seed, max_label)
            ticks = [0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1]
            shrink = min(1.0, 3.5 / height)
            bar = figure.colorbar(image, ax=panels, shrink=shrink, pad=0.01, aspect=25, ticks=ticks, format="%g")
            bar.set_label("normalised regret (0 best, 1 no skill)")
            figure.legend(handles=_keys(), loc="outside upper left", ncols=2)
        return cls(scores.regret(seed), figure)


def _inches(n: int) -> float:
    return min(max(0.115 * n, 2.2), 22.0)


def _draw(panel: Any, scores: Scores, seed: int | None, max_label: int) -> Any:
    regret = scores.regret(seed)
    regret = regret.iloc[like_by_like(regret), np.argsort(regret.mean(axis=0).to_numpy(), kind="stable")]
    failed = scores.failed(seed).loc[regret.index, regret.columns].to_numpy()
    panel.set_facecolor(_HOLE)
    look = {"aspect": "auto", "interpolation": "nearest"}
    image = panel.imshow(np.ma.masked_invalid(regret), cmap="cividis", norm=_square_root(), **look)
    overlay = np.ma.masked_where(~failed, np.ones(failed.shape))
    panel.imshow(overlay, cmap=_one_colour(_FAILURE), **look)
    panel.grid(visible=False)
    names = scores.strategies["name"].reindex(regret.columns)
    _label(panel.xaxis, [str(name) for name in names], max_label, rotation=90)
    _label(panel.yaxis, [str(name) for name in regret.index], max_label, rotation=0)
    panel.set_title(f"{scores.kinds[0]}: {regret.shape[0]} tasks, {regret.shape[1]} strategies")
    return image


def like_by_like(regret: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Order tasks by optimal leaf ordering of their regrets; a hole is here at the strategy's mean."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(regret) < 3:
        return np.arange(len(regret))
    profiles = regret.fillna(regret.mean(axis=0)).fillna(1.0).to_numpy()
    return np.asarray(leaves_list(linkage(profiles, method="average", optimal_ordering=True)), dtype=np.intp)


def _label(axis: Any, names: list[str], max_label: int, rotation: int) -> None:
    if len(names) > _LABELLED:
        axis.set_ticks([])
        return
    short = [name if len(name) <= max_label else name[: max_label - 1] + "…" for name in names]
    axis.set_ticks(range(len(names)), short, rotation=rotation, fontsize=6)
    axis.set_tick_params(length=0)


def _square_root() -> Any:
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=1)


def _one_colour(colour: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([colour])


def _keys() -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=_FAILURE, label="a fold failed, timed out or did not converge"),
        Patch(facecolor=_HOLE, edgecolor="#999999", label="never attempted"),
    ]
