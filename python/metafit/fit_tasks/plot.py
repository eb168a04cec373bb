"""The picture of a `TaskFits`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metafit.fit_tasks.modes import INDEPENDENT, MEANS, POOLED, SHRUNKEN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from metafit.fit_tasks.result import TaskFits

__all__ = ["draw"]

_COLORS = {INDEPENDENT: "#9aa5b1", POOLED: "#d1495b", SHRUNKEN: "#00668c", MEANS: "#c9b458"}


def draw(fits: TaskFits, feature: str | None) -> Figure:
    """Draw the modes' held-out losses beside the groups' fits."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("plot needs matplotlib: pip install 'metafit[report]'") from error
    values = _values(fits, feature)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    _losses(left, fits)
    _groups(right, values)
    right.set_ylabel("prediction at mean features" if feature is None else f"coefficient of {feature}")
    right.set_xlabel(f"{len(fits.groups):,} groups by {fits.by},\nin the order of their independent fits")
    return figure


def _values(fits: TaskFits, feature: str | None) -> dict[str, Any]:
    """Return what is drawn of each group, by mode."""
    if feature is None:
        return {mode: fits._coef(mode)[:, 0] for mode in (INDEPENDENT, SHRUNKEN, POOLED)}
    if feature not in fits.columns:
        raise ValueError(f"feature must be one of the encoded columns {fits.columns}, got {feature!r}")
    return {mode: fits.coef_table(mode)[feature].to_numpy()[1:] for mode in (INDEPENDENT, SHRUNKEN, POOLED)}


def _losses(axes: Any, fits: TaskFits) -> None:
    summary = fits.summary().iloc[::-1]
    for place, (mode, row) in enumerate(summary.iterrows()):
        # whether the mode in use is better is told by the error of the difference, not by that of each mean
        spread = 2 * row["std_difference"] if not row["chosen"] else None
        axes.errorbar(row[fits.metric], place, xerr=spread, fmt="o", capsize=4, color=_COLORS[str(mode)])
        label = f"{row[fits.metric]:.4g}" + (" (chosen)" if row["chosen"] else "")
        axes.annotate(label, (row[fits.metric], place), xytext=(0, 8), textcoords="offset points", ha="center")
    axes.axvline(summary.loc[fits.mode, fits.metric], color=_COLORS[fits.mode], linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(summary)), summary.index)
    axes.set_ylim(-0.5, len(summary) - 0.4)
    axes.margins(x=0.25)
    name = fits.metric.replace("_", " ")
    axes.set_xlabel(f"held-out {name}\n(bars: ± 2 standard errors of the difference to {fits.mode})")
    axes.set_title("What held-out rows say")


def _groups(axes: Any, values: dict[str, Any]) -> None:
    order = np.argsort(values[INDEPENDENT], kind="stable")
    places = np.arange(len(order))
    size = float(np.clip(2000 / max(len(order), 1), 2, 25))
    for mode in (INDEPENDENT, SHRUNKEN):
        axes.scatter(places, values[mode][order], s=size, color=_COLORS[mode], label=mode, linewidths=0)
    axes.axhline(values[POOLED][0], color=_COLORS[POOLED], label=POOLED)
    # a few wild independent fits must not flatten the picture
    low, high = np.quantile(np.concatenate([values[INDEPENDENT], values[SHRUNKEN]]), [0.005, 0.995])
    margin = 0.1 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.legend(frameon=False, markerscale=5 / size**0.5)
    axes.set_title("Every group's fit")
