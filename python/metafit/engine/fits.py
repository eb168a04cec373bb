"""Fits of tables, subsets, splits and alphas as arrays, each made when somebody asks for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metafit.engine.native import STATUSES, CoreFits
from metafit.strategies.losses import Loss

__all__ = ["Axes", "Fits"]

Floats = NDArray[np.float64]

#: Figures of a fit.
FIGURES = ("intercept", "objective", "gap", "kkt", "n_iter", "seconds", "status", "reason")
_FIGURES = ("objective", "gap", "kkt", "n_iter", "seconds")


@dataclass
class Axes:
    """Which axes exist; `task` is that of several tables."""

    subset: bool
    alpha: bool
    fold: bool
    classes: bool
    task: bool = False

    @property
    def fits(self) -> tuple[str, ...]:
        """Axes that tell the fits on all rows apart."""
        return ("task",) * self.task + ("subset",) * self.subset + ("alpha",) * self.alpha

    def within(self, field: str) -> tuple[str, ...]:
        """Axes within a fit."""
        is_of_classes = self.classes and field in ("coef", "intercept")
        return ("class",) * is_of_classes + ("feature",) * (field == "coef")

    def shape(self, array: NDArray[Any]) -> NDArray[Any]:
        """Drop the axes task, subset and alpha (the first three) of an array where they do not exist."""
        every = slice(None)
        index = (every if self.task else 0, every if self.subset else 0, every if self.alpha else 0)
        return np.asarray(array[index])

    def dims(self, keep: str) -> dict[str, tuple[str, ...]]:
        """Axes of every array."""
        fields = (*FIGURES, "coef")
        dims = {field: self.fits + self.within(field) for field in fields}
        if keep == "best":
            dims |= {field: ("task",) * self.task + self.within(field) for field in ("coef", "intercept")}
        if self.fold:
            dims |= {f"fold_{field}": (*self.fits, "fold", *self.within(field)) for field in fields}
            dims["scores"] = (*self.fits, "fold")
        return dims


@dataclass(eq=False)
class Fits:
    """What the core returned, with its axes (task, subset, split, alpha); the first split is all rows."""

    core: CoreFits
    shape: tuple[int, int, int, int]
    loss: Loss
    n_classes: int
    keep: str

    def __getattr__(self, name: str) -> Any:
        """Figures of a fit by name, made once."""
        if name not in _FIGURES:
            raise AttributeError(name)
        array = getattr(self.core, name).reshape(self.shape)
        self.__dict__[name] = array
        return array

    def settle(self) -> None:
        """Make all arrays and leave the core's own fits behind: they are larger."""
        for name in (*_FIGURES, "coef", "intercept", "codes", "counts", "reasons", "scores"):
            getattr(self, name)
        del self.core

    @property
    def _of_classes(self) -> tuple[int, ...]:
        return () if self.n_classes == 1 else (self.n_classes,)

    @cached_property
    def coef(self) -> NDArray[Any]:
        """Axes as above, then classes and features; with keep="best" the axes task and subset alone."""
        kept = self.shape[:2] if self.keep == "best" else self.shape
        flat = self.core.take_coef()
        width = len(flat) // (math.prod(kept) * self.n_classes)
        return flat.reshape(*kept, *self._of_classes, width)

    @cached_property
    def intercept(self) -> NDArray[Any]:
        """Axes as above, then classes."""
        return self.core.intercept.reshape(*self.shape, *self._of_classes)

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """How fits ended, as positions in `STATUSES`."""
        return self.core.status.reshape(self.shape)

    @property
    def status(self) -> NDArray[Any]:
        """How fits ended."""
        return np.array(STATUSES)[self.codes]

    @cached_property
    def counts(self) -> list[int]:
        """Number of fits of each status."""
        return list(self.core.counts)

    @cached_property
    def reasons(self) -> dict[int, str]:
        """Why fits failed, by number."""
        return dict(self.core.reasons)

    @property
    def reason(self) -> NDArray[Any]:
        """Why fits failed."""
        reasons = self.reasons
        texts = np.zeros(math.prod(self.shape), dtype=f"U{max(map(len, reasons.values()), default=1)}")
        texts[list(reasons)] = list(reasons.values())
        return texts.reshape(self.shape)

    @cached_property
    def scores(self) -> dict[str, NDArray[Any]]:
        """Held-out scores by name; axes task, subset, alpha, fold."""
        n_tasks, n_subsets, n_splits, n_alphas = self.shape
        flat = self.core.scores
        if n_splits == 1:
            return {}
        table = flat.reshape(n_tasks, n_subsets, n_splits - 1, n_alphas, len(self.loss.scores)).swapaxes(2, 3)
        return {name: table[..., i] for i, name in enumerate(self.loss.scores)}

    @cached_property
    def best(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
        """Subset and alpha of each task with the least mean held-out loss, and whether there is one.

        The mean is over the folds that any fit could be scored on.
        """
        loss = self.scores[self.loss.score]
        scored = ~np.isnan(loss).all(axis=(1, 2), keepdims=True)
        # one fold after the other, as the core adds them
        total = np.zeros(loss.shape[:-1])
        for fold in range(loss.shape[-1]):
            total += np.where(scored[..., fold], loss[..., fold], 0.0)
        is_there = (~np.isnan(total) & scored.any(axis=-1)).reshape(len(loss), -1)
        place = np.where(is_there, total.reshape(len(loss), -1), np.inf).argmin(axis=1)
        return place // loss.shape[2], place % loss.shape[2], is_there.any(axis=1)

    def field(self, name: str, axes: Axes, at: slice = slice(None)) -> Any:
        """Return what a solution of some tasks calls by that name; `fold_` in front tells the splits."""
        of_folds, key = name.startswith("fold_"), name.removeprefix("fold_")
        if (of_folds and not axes.fold) or (key in ("coef", "intercept") and not self._holds(key, of_folds)):
            return None
        if key in ("coef", "intercept") and self.keep == "best":
            return self._of_best(key, at)[slice(None) if axes.task else 0]
        array = getattr(self, key)
        return axes.shape(array[at, :, 1:].swapaxes(2, 3) if of_folds else array[at, :, 0])

    def _holds(self, key: str, of_folds: bool) -> bool:
        return self.keep == "coef" or (self.keep == "best" and not of_folds)

    def _of_best(self, key: str, at: slice) -> NDArray[Any]:
        subset, alpha, is_there = (array[at] for array in self.best)
        tasks = np.arange(len(subset))
        best = self.coef[at][tasks, subset] if key == "coef" else self.intercept[at][tasks, subset, 0, alpha]
        best[~is_there] = np.nan
        return np.asarray(best)

    def scores_of(self, axes: Axes, at: slice = slice(None)) -> dict[str, Floats]:
        """Held-out scores as a solution names them, of some tasks."""
        return {name.removesuffix("_score"): axes.shape(array[at]) for name, array in self.scores.items()}
