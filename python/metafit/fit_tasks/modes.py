"""How groups may be fitted, and the strengths to choose from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metafit.engine import Cell
from metafit.fit_tasks.grouped import Loss
from metafit.strategies import penalties

__all__ = ["MEANS", "MODES", "Candidate", "Path", "paths_for"]

Floats = NDArray[np.float64]

INDEPENDENT, POOLED, SHRUNKEN, MEANS = "independent", "pooled", "shrunken", "group means"
#: The modes to choose from; of equally good ones the first.
MODES = (POOLED, SHRUNKEN, INDEPENDENT)
#: How much harder than the level the slopes may be held: infinity means that only levels differ.
RATIOS = (0.1, 1.0, 10.0, math.inf)


class Candidate(NamedTuple):
    """A mode, and the weight of its penalty in rows: on the level, on the slopes of scaled columns."""

    mode: str
    level: float
    slopes: float

    @property
    def path(self) -> Path:
        """The path of this candidate alone."""
        if self.mode == INDEPENDENT:
            return Path(self.mode, (self.slopes,))
        if math.isinf(self.slopes):
            return Path(self.mode, (self.level,), math.inf)
        return Path(self.mode, (self.level,), self.slopes / self.level if self.level else 1.0)


@dataclass(frozen=True)
class Path:
    """Candidates that differ in strength alone: one cell of the engine a group.

    Parameters
    ----------
    mode : str
        Not `POOLED`, which is no fit of a group.
    strengths : tuple of float
        Ascending; on the level of a shrunken fit, on the slopes of an independent one.
    ratio : float, default=1
        How much harder a shrunken fit holds the slopes.
    """

    mode: str
    strengths: tuple[float, ...]
    ratio: float = 1.0

    @property
    def candidates(self) -> list[Candidate]:
        """The candidates, in the order of the strengths."""
        if self.mode == INDEPENDENT:
            return [Candidate(self.mode, 0.0, c) for c in self.strengths]
        if math.isinf(self.ratio):
            return [Candidate(self.mode, c, self.ratio) for c in self.strengths]
        return [Candidate(self.mode, c, c * self.ratio) for c in self.strengths]

    @property
    def has_level(self) -> bool:
        """Whether the level is a column of ones, penalised about that of all rows, and not an intercept."""
        return self.mode != INDEPENDENT

    def cell(self, loss: Loss, center: Floats) -> dict[str, Any]:
        """Return what the cells of all groups share; column 0 is the level, `center` the fit to shrink to."""
        if self.mode == INDEPENDENT:
            return {"loss": loss, "columns": np.arange(1, len(center)), "standardize": True}
        factors = [1.0, *[self.ratio] * (len(center) - 1)]
        if math.isinf(self.strengths[0]):
            factors = [math.inf] * len(center)
        penalty = penalties.L2(center=tuple(center.tolist()), factors=tuple(factors))
        return {"loss": loss, "penalty": penalty, "fit_intercept": False}

    def alphas(self, weight: float) -> Floats:
        """Return the strengths in the equation's units for a group of this total weight."""
        return self._finite / weight

    @cached_property
    def _finite(self) -> Floats:
        # the engine takes infinite factors but no infinite alpha: see `cell`
        return np.array([c if math.isfinite(c) else 1.0 for c in self.strengths])


def pooled_cell(loss: Loss, n_columns: int, strengths: Iterable[float], weight: float, split: int) -> Cell:
    """Return the path of one ridge fit of all rows."""
    alphas = np.array(list(strengths)) / weight
    return Cell(split=split, loss=loss, columns=np.arange(1, n_columns), alphas=alphas, standardize=True)


def paths_for(loss: Loss, strengths: tuple[float, ...], shrinkage: str | float) -> list[Path]:
    """Return the paths to try in every group."""
    # of two classes they lean on the overall frequency with one row: a single class has no finite level
    means = Path(MEANS, (0.0 if loss == "squared" else 1.0,), math.inf)
    if isinstance(shrinkage, str):
        shrunken = [Path(SHRUNKEN, strengths, ratio) for ratio in RATIOS]
    else:
        shrunken = [Path(SHRUNKEN, (shrinkage,))]
    return [means, Path(INDEPENDENT, strengths), *shrunken]
