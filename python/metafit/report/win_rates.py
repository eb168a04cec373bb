"""How often each contestant beats each other one."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from metafit.report._matplotlib import INK, Display, styled


class WinRateDisplay(Display):
    """Share of blocks on which the contestant of a row beats that of a column; made by `from_values`."""

    @classmethod
    def from_values(cls, values: pd.DataFrame) -> Self:
        """Draw the win rates of a table.

        Parameters
        ----------
        values : DataFrame
            A row a block, a column a contestant, as from `Evaluation.blocks`; lower is better. Pairs are compared on
            the blocks that both have; a draw counts half.

        Returns
        -------
        WinRateDisplay
            Its table has a row and a column a contestant, the best first; NaN on the diagonal and for pairs that no
            block has.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        table = win_rates(values)
        order = table.mean(axis=1).sort_values(ascending=False, kind="stable").index
        table = table.loc[order, order]
        with styled() as figure_class:
            side = 1.6 + 0.55 * len(table)
            figure = figure_class(figsize=(side + 1.4, side), layout="constrained")
            _draw(figure, table)
        return cls(table, figure)


def win_rates(values: pd.DataFrame) -> pd.DataFrame:
    """Give the share of blocks on which each column is lower than each other one.

    Examples
    --------
    >>> win_rates(pd.DataFrame({"a": [0.1, 0.2, 0.3], "b": [0.2, 0.2, np.nan]}))
          a     b
    a   NaN  0.75
    b  0.25   NaN
    """
    array = values.to_numpy(dtype=float)
    difference = array[:, None, :] - array[:, :, None]
    won = np.where(np.isnan(difference), np.nan, (np.sign(difference) + 1) / 2)
    there = ~np.isnan(won)
    with np.errstate(invalid="ignore"):
        rates = np.nansum(won, axis=0) / there.sum(axis=0)
    np.fill_diagonal(rates, np.nan)
    return pd.DataFrame(rates, index=values.columns, columns=values.columns)


def _draw(figure: Any, table: pd.DataFrame) -> None:
    panel = figure.subplots()
    image = panel.imshow(np.ma.masked_invalid(table), cmap="PuOr_r", vmin=0, vmax=1)
    names = [str(name).replace("_", " ") for name in table]
    panel.set_xticks(range(len(names)), names, rotation=40, ha="right")
    panel.set_yticks(range(len(names)), names)
    panel.grid(visible=False)
    for (row, column), rate in np.ndenumerate(table.to_numpy()):
        if np.isfinite(rate):
            ink = INK if 0.2 < rate < 0.8 else "white"
            panel.text(column, row, f"{rate:.2f}", ha="center", va="center", fontsize=8, color=ink)
    panel.set_title("share of families on which the row beats the column")
    figure.colorbar(image, ax=panel, shrink=0.8)
