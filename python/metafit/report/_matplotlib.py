"""matplotlib, where it is installed, and the look that all our pictures share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd

# Okabe and Ito, Color Universal Design, 2008: colour-blind readers tell them apart; its yellow is too pale
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY, INK = "#8A8A8A", "#222222"

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 150,
}


@contextmanager
def styled() -> Iterator[Any]:
    """Give the class ``Figure`` under our style; no window, no global state.

    Raises
    ------
    ImportError
        Without matplotlib, saying how to get it.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'metafit[report]'") from error
    with mpl.rc_context(_STYLE):
        yield Figure


@dataclass(frozen=True, eq=False)
class Display:
    """A picture with the numbers it shows.

    Attributes
    ----------
    table : DataFrame
        What is drawn.
    figure_ : matplotlib.figure.Figure
    """

    table: pd.DataFrame
    figure_: Any
